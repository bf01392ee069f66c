//! The only place that logs: a named event, a reason code and a number.
//! There is no way to log text (SECURITY 10).

use crate::error::Reason;

/// What may be logged. A new event is a new variant, reviewed like an API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    StoreOpened,
    StoreSuspended,
    SyncStarted,
    SyncEnded,
    PagePublished,
    RecordQuarantined,
    ResyncStarted,
    OpsSettled,
    SessionRefreshed,
    SessionEnded,
    SignedIn,
    SignedOut,
    Locked,
    Unlocked,
    Wiped,
    RequestFailed,
}

/// A value that cannot hold text of a person or a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number(u64);

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Self(value)
    }
}

impl From<u16> for Number {
    fn from(value: u16) -> Self {
        Self(value.into())
    }
}

/// Logs an event. `reason` is a code of ours; a code that came from a server is logged as `other`.
pub(crate) fn event(event: Event, reason: Option<&Reason>, number: impl Into<Number>) {
    let code = match reason {
        Some(Reason::Other { .. }) => "other",
        Some(known) => known.code(),
        None => "",
    };
    tracing::info!(target: "portal", event = ?event, code, value = number.into().0);
}
