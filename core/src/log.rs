//! The only place that logs: a named event with numbers, booleans, reason codes and opaque ids.
//! There is no way to log text (SECURITY 10).

use crate::error::Reason;
use crate::values::Id;

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
pub(crate) enum Field {
    Number(u64),
    Id(Id),
}

impl From<u64> for Field {
    fn from(value: u64) -> Self {
        Self::Number(value)
    }
}

impl From<usize> for Field {
    fn from(value: usize) -> Self {
        Self::Number(value as u64)
    }
}

impl From<u16> for Field {
    fn from(value: u16) -> Self {
        Self::Number(value.into())
    }
}

impl From<Id> for Field {
    fn from(value: Id) -> Self {
        Self::Id(value)
    }
}

/// Logs an event. `reason` is a code of ours; a code that came from a server is logged as `other`.
pub(crate) fn event(event: Event, reason: Option<&Reason>, field: impl Into<Field>) {
    let code = match reason {
        Some(Reason::Other { .. }) => "other",
        Some(known) => known.code(),
        None => "",
    };
    match field.into() {
        Field::Number(value) => tracing::info!(target: "portal", event = ?event, code, value),
        Field::Id(id) => tracing::info!(target: "portal", event = ?event, code, id = ?id),
    }
}
