package org.portal

import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.flow

/**
 * What to read again, as a cold flow. It begins with [Change.Everything], once it listens: whoever reads at
 * that misses nothing. Each collector has a listener of its own, which is freed when the collector ends or is
 * cancelled. A collector that is too slow gets [Change.Everything] in place of what it missed.
 */
public fun Portal.changesFlow(): Flow<Change> = flow {
    // Closed by hand: garbage collection would free it too, but who knows when.
    changes().use { listener ->
        emit(Change.Everything)
        while (true) emit(listener.next() ?: break)
    }
}
