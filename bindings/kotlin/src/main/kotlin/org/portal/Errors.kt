package org.portal

/** The reason, whichever the kind: every kind has one. */
public val PortalException.reason: Reason
    get() = when (this) {
        is PortalException.Offline -> reason
        is PortalException.SignedOut -> reason
        is PortalException.Locked -> reason
        is PortalException.Refused -> reason
        is PortalException.Conflict -> reason
        is PortalException.NotFound -> reason
        is PortalException.Storage -> reason
        is PortalException.Bug -> reason
    }

/**
 * The stable code of a reason, such as `no_connection`: for a log, and for looking up the words in an app's
 * resources. It never holds text of a person.
 */
public val Reason.code: String
    get() = toString()
