package org.portal

import java.time.DateTimeException
import java.time.ZoneId
import java.time.ZoneOffset
import java.time.ZonedDateTime

/**
 * The instant in the zone in which it is to be shown. A zone that this device does not know becomes UTC, so
 * that what is shown stays true: print the zone with it, always.
 */
public fun When.toZonedDateTime(): ZonedDateTime = try {
    at.atZone(ZoneId.of(zone))
} catch (_: DateTimeException) {
    at.atZone(ZoneOffset.UTC)
}
