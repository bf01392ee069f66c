//! The outbox for people: what waits, why, and what can be done about it (SPEC idea 17).

use crate::change::Change;
use crate::error::{PortalError, Reason};
use crate::messages::{ops, state};
use crate::people::Availability;
use crate::people::rows::{policy, zone};
use crate::proof::{planted, point};
use crate::session::Session;
use crate::sync::Driver;
use crate::sync::outbox::{self, OpRow, OpState};
use crate::values::{Id, When, private_debug};
use rusqlite::Connection;
use std::sync::Arc;

/// What the client asked for and the practice does not have.
#[derive(uniffi::Object)]
pub struct Outbox {
    session: Arc<Session>,
    driver: Arc<Driver>,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, uniffi::Enum)]
#[serde(rename_all = "snake_case")]
pub enum OutboxKind {
    /// A reply.
    Message,
    /// A new conversation.
    NewThread,
}

/// Where an entry stands.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, uniffi::Enum)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum OutboxState {
    /// Saved; it leaves as soon as it can.
    Waiting,
    /// It may have arrived; only the practice's answer tells.
    Sending,
    /// The practice has it.
    Sent,
    /// The practice does not take it: edit, retry or discard.
    Refused {
        /// Why.
        reason: Reason,
        /// The input that is to blame, when one is.
        field: Option<String>,
    },
}

/// One entry.
#[derive(Clone, PartialEq, Eq, serde::Serialize, uniffi::Record)]
#[uniffi::export(Debug)]
pub struct OutboxEntry {
    /// Pass it to `retry`, `edit` and `discard`.
    pub id: String,
    /// What it is.
    pub kind: OutboxKind,
    /// The conversation that it belongs to.
    pub thread: String,
    /// The subject of a new conversation.
    pub subject: Option<String>,
    /// The text, whole.
    pub text: String,
    /// When it was written, by the device's clock.
    pub created_at: When,
    /// Where it stands.
    pub state: OutboxState,
    /// How often it was tried.
    pub attempts: u64,
    /// Whether it can be edited or discarded now.
    pub change: Availability,
}

private_debug!(OutboxEntry);

#[uniffi::export]
impl Outbox {
    /// Everything that waits, oldest first.
    pub async fn entries(&self) -> Result<Vec<OutboxEntry>, PortalError> {
        let session = self.session.clone();
        self.session.mode.run_here(async move { session.store()?.read(entries).await }).await
    }

    /// Tries a refused entry again, unchanged, at the end of its conversation's queue; for an entry
    /// that waits, tries now.
    ///
    /// # Errors
    /// `NotFound { entry_unknown }`.
    pub async fn retry(&self, id: String) -> Result<(), PortalError> {
        self.change(id, |_, _| Ok(Act::Again(None))).await
    }

    /// Replaces the text of an entry that waits or was refused; a refused one is tried again.
    ///
    /// # Errors
    /// `Refused { on_its_way }` while its outcome is not known; `Refused` with `body_empty` or
    /// `body_too_long`; `NotFound { entry_unknown }`.
    pub async fn edit(&self, id: String, text: String) -> Result<(), PortalError> {
        self.change(id, move |c, op| {
            state::body(&text, &policy(c)?).map_err(|reason| PortalError::refused_field(reason, "text"))?;
            changeable(op).map_err(PortalError::refused)?;
            Ok(Act::Again(ops::with_text(op, &text)?))
        })
        .await
    }

    /// Throws an entry away: it will never be sent.
    ///
    /// # Errors
    /// `Refused { on_its_way }` while its outcome is not known, since it may have arrived;
    /// `NotFound { entry_unknown }`.
    pub async fn discard(&self, id: String) -> Result<(), PortalError> {
        self.change(id, |_, op| {
            changeable(op).map_err(PortalError::refused)?;
            Ok(Act::Discard)
        })
        .await
    }
}

enum Act {
    Again(Option<String>),
    Discard,
}

impl Outbox {
    pub(crate) fn new(session: Arc<Session>, driver: Arc<Driver>) -> Self {
        Self { session, driver }
    }

    async fn change(
        &self,
        id: String,
        decide: impl FnOnce(&Connection, &OpRow) -> Result<Act, PortalError> + Send + 'static,
    ) -> Result<(), PortalError> {
        let id = Id::parse(&id, "id")?;
        let (session, driver) = (self.session.clone(), self.driver.clone());
        let key = Id::new(session.ports.clock.as_ref(), session.ports.entropy.as_ref());
        self.session
            .mode
            .run_here(async move {
                driver
                    .write(move |tx, _| {
                        let op = outbox::by_key(tx, id)?
                            .ok_or_else(|| PortalError::not_found(Reason::EntryUnknown))?;
                        match (decide(tx, &op)?, op.state) {
                            (Act::Discard, _) => outbox::remove(tx, op.pk),
                            (Act::Again(args), OpState::NeedsClient) => {
                                let args = args.filter(|_| !planted!(EditSendsTheOldText));
                                outbox::requeue(tx, &op, args.as_deref().unwrap_or(&op.args), key)
                            }
                            (Act::Again(Some(args)), _) => outbox::set_args(tx, op.pk, &args),
                            (Act::Again(None), _) => Ok(()),
                        }
                    })
                    .await?;
                point!("change.kept");
                // Somebody looks at the outbox and wants it sent: the backoff is over.
                session.changes.emit(&Change::Outbox);
                driver.hurry();
                session.changes.emit(&Change::Messages { thread: None });
                Ok(())
            })
            .await
    }
}

/// What may be edited or taken back: what has not begun to leave, and what came back (I3).
fn changeable(op: &OpRow) -> Result<(), Reason> {
    match op.state {
        OpState::Waiting if op.n.is_none() => Ok(()),
        OpState::NeedsClient => Ok(()),
        OpState::Unanswered if planted!(DiscardOnItsWay) => Ok(()),
        _ => Err(Reason::OnItsWay),
    }
}

pub(crate) fn entries(c: &Connection) -> Result<Vec<OutboxEntry>, PortalError> {
    let zone = zone(c)?;
    let mut entries = Vec::new();
    for op in outbox::all(c)? {
        if let Some((thread, subject, text)) = ops::words(&op)? {
            entries.push(OutboxEntry {
                id: op.key.to_string(),
                kind: if subject.is_some() { OutboxKind::NewThread } else { OutboxKind::Message },
                thread: thread.to_string(),
                subject,
                text,
                created_at: When::new(op.created_at, &zone),
                change: Availability::of(changeable(&op)),
                attempts: op.attempts,
                state: match op.state {
                    OpState::Waiting => OutboxState::Waiting,
                    OpState::Unanswered => OutboxState::Sending,
                    OpState::Done => OutboxState::Sent,
                    OpState::NeedsClient => OutboxState::Refused {
                        reason: op.reason.unwrap_or(Reason::Impossible),
                        field: op.field,
                    },
                },
            });
        }
    }
    Ok(entries)
}
