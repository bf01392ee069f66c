//! The only place that logs: a named event, a reason code and a number.
//! There is no way to log text (SECURITY 10).

use crate::error::Reason;
use std::panic::Location;
use std::sync::{Arc, PoisonError, RwLock};

/// What may be logged. A new event is a new variant, reviewed like an API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum LogEvent {
    /// The records of a person were opened.
    StoreOpened,
    /// The files were closed before the app is suspended.
    StoreSuspended,
    /// A sync began.
    SyncStarted,
    /// A sync ended; `value` is how many changes arrived.
    SyncEnded,
    /// What was fetched became visible; `value` is how many changes.
    PagePublished,
    /// A record that is not what the practice may send was set aside; `value` is its place in the feed.
    RecordQuarantined,
    /// Everything is fetched anew.
    ResyncStarted,
    /// The practice did so many writes: `value`.
    OpsSettled,
    /// The session was renewed.
    SessionRefreshed,
    /// The session ended; `code` is why.
    SessionEnded,
    /// Somebody signed in.
    SignedIn,
    /// Somebody signed out.
    SignedOut,
    /// The records were locked.
    Locked,
    /// The records were unlocked.
    Unlocked,
    /// Everything of a person was destroyed.
    Wiped,
    /// A request failed: `code` is why when no answer came, `value` is the HTTP status of an answer.
    RequestFailed,
    /// A part of the core panicked; `code` is the source file and `value` the line.
    Panicked,
}

/// One line of the log. Nothing in it is about a person.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct LogLine {
    /// What happened.
    pub event: LogEvent,
    /// The code of a [`Reason`], `other` for a code of a newer server, or empty.
    pub code: String,
    /// A number that belongs to the event.
    pub value: u64,
}

/// Takes the lines of the log: to the system's log, or to a file that a client can choose to send.
#[uniffi::export(with_foreign)]
pub trait LogSink: Send + Sync {
    /// Called on any thread, the core's or the one that called a verb. Must return at once and must not
    /// call the portal.
    fn log(&self, line: LogLine) -> Result<(), LogSinkError>;
}

/// The sink did not take the line, which is lost; nothing else happens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, uniffi::Error)]
pub enum LogSinkError {
    /// Any failure.
    #[error("failed")]
    Failed {
        /// A platform code, without personal text.
        code: i32,
    },
}

impl From<uniffi::UnexpectedUniFFICallbackError> for LogSinkError {
    fn from(_: uniffi::UnexpectedUniFFICallbackError) -> Self {
        Self::Failed { code: -1 }
    }
}

static SINK: RwLock<Option<Arc<dyn LogSink>>> = RwLock::new(None);

/// Sends the log of this process to `sink` from now on; with none, nowhere.
#[uniffi::export]
pub fn log_to(sink: Option<Arc<dyn LogSink>>) {
    // Dropped after the lock: a foreign object may do anything when it goes.
    let _before = std::mem::replace(&mut *SINK.write().unwrap_or_else(PoisonError::into_inner), sink);
}

/// Logs where a panic happened, for the hook of whoever links the core. Its text may quote a record.
pub fn panicked(place: &Location<'_>) {
    // Of a path on the machine that built it, only what is ours to tell.
    let file = place.file().rsplit_once("src/").map_or("?", |(_, file)| file);
    write(LogEvent::Panicked, file, place.line().into());
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
pub(crate) fn event(event: LogEvent, reason: Option<&Reason>, number: impl Into<Number>) {
    let code = match reason {
        Some(Reason::Other { .. }) => "other",
        Some(known) => known.code(),
        None => "",
    };
    write(event, code, number.into().0);
}

fn write(event: LogEvent, code: &str, value: u64) {
    tracing::info!(target: "portal", event = ?event, code, value);
    let sink = SINK.read().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some(sink) = sink {
        // A line that is lost is no reason to stop.
        let _ = sink.log(LogLine { event, code: code.to_owned(), value });
    }
}
