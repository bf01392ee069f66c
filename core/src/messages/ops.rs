//! What messages queue, and how a queued op shows before the server has answered: the overlay.

use super::{MessageState, Recipient};
use crate::error::{PortalError, Reason};
use crate::proof::planted;
use crate::sync::outbox::{self, Guard, NewOp, OpRow, OpState};
use crate::values::{Id, Millis, Phi};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

pub(crate) const CREATE_THREAD: &str = "thread.create@1";
pub(crate) const CREATE_MESSAGE: &str = "message.create@1";
pub(crate) const READ: &str = "thread.read@1";

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct CreateThread {
    pub(crate) subject: String,
    pub(crate) to: To,
    pub(crate) message: FirstMessage,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum To {
    Staff(String),
    Route(String),
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct FirstMessage {
    pub(crate) id: Id,
    pub(crate) body: String,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct CreateMessage {
    pub(crate) thread: Id,
    pub(crate) body: String,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Read {
    pub(crate) thread: Id,
    upto: String,
}

impl From<&Recipient> for To {
    fn from(recipient: &Recipient) -> Self {
        match recipient {
            Recipient::Staff { id } => Self::Staff(id.clone()),
            Recipient::Route { route } => Self::Route(route.clone()),
        }
    }
}

fn lane(thread: Id) -> String {
    format!("thread:{thread}")
}

fn read_lane(thread: Id) -> String {
    format!("read:{thread}")
}

fn json(args: &impl Serialize) -> Result<String, PortalError> {
    serde_json::to_string(args).map_err(|_| PortalError::bug(Reason::Impossible))
}

pub(super) fn create_thread(thread: Id, args: &CreateThread) -> Result<NewOp, PortalError> {
    Ok(NewOp {
        lane: lane(thread),
        kind: CREATE_THREAD,
        entity: "thread",
        id: thread,
        args: json(args)?,
        guard: Guard::default(),
    })
}

pub(super) fn create_message(id: Id, args: &CreateMessage) -> Result<NewOp, PortalError> {
    Ok(NewOp {
        lane: lane(args.thread),
        kind: CREATE_MESSAGE,
        entity: "message",
        id,
        args: json(args)?,
        guard: Guard::default(),
    })
}

pub(super) fn read(thread: Id, upto: i64) -> Result<NewOp, PortalError> {
    let args = json(&Read { thread, upto: upto.to_string() })?;
    Ok(NewOp {
        lane: read_lane(thread),
        kind: READ,
        entity: "read_mark",
        id: thread,
        args,
        guard: Guard::default(),
    })
}

/// Unsent marks of a thread that a higher one replaces.
pub(super) fn replaced_marks(c: &Connection, thread: Id) -> Result<Vec<i64>, PortalError> {
    let ops = outbox::of_lane(c, &read_lane(thread))?;
    Ok(ops.into_iter().filter(|op| op.state == OpState::Waiting && op.n.is_none()).map(|op| op.pk).collect())
}

/// A message of the client's that the base does not have.
#[derive(Clone)]
pub(crate) struct PendingMessage {
    pub(crate) id: Id,
    pub(crate) thread: Id,
    pub(crate) body: Phi<String>,
    pub(crate) at: Millis,
    pub(crate) state: MessageState,
    /// The outbox entry.
    pub(crate) entry: Id,
}

/// A conversation of the client's that the base does not have.
#[derive(Clone)]
pub(crate) struct PendingThread {
    pub(crate) id: Id,
    pub(crate) subject: String,
    pub(crate) to: To,
}

/// What the outbox adds to the base: a pure function of its ops. Whoever reads skips what the base
/// has by id, so that nothing shows twice or not at all (I10).
#[derive(Default)]
pub(crate) struct Overlay {
    pub(crate) threads: Vec<PendingThread>,
    pub(crate) messages: Vec<PendingMessage>,
    /// Highest mark asked for, by thread.
    pub(crate) marks: HashMap<Id, i64>,
}

impl Overlay {
    pub(crate) fn read(c: &Connection) -> Result<Self, PortalError> {
        Self::of(outbox::all(c)?)
    }

    /// What it adds to one conversation.
    pub(crate) fn of_thread(c: &Connection, thread: Id) -> Result<Self, PortalError> {
        Self::of(outbox::of_lanes(c, [&lane(thread), &read_lane(thread)])?)
    }

    fn of(ops: Vec<OpRow>) -> Result<Self, PortalError> {
        let mut overlay = Self::default();
        ops.into_iter().try_for_each(|op| overlay.add(op))?;
        Ok(overlay)
    }

    fn add(&mut self, op: OpRow) -> Result<(), PortalError> {
        match op.kind.as_str() {
            CREATE_THREAD => {
                let args: CreateThread = args(&op)?;
                self.messages.push(pending(&op, args.message.id, op.id, args.message.body));
                self.threads.push(PendingThread { id: op.id, subject: args.subject, to: args.to });
            }
            CREATE_MESSAGE => {
                let args: CreateMessage = args(&op)?;
                self.messages.push(pending(&op, op.id, args.thread, args.body));
            }
            READ if op.state != OpState::NeedsClient
                && !(planted!(MarkForgottenOnItsWay) && op.state == OpState::Unanswered) =>
            {
                let args: Read = args(&op)?;
                let upto = args.upto.parse().unwrap_or(0);
                let mark = self.marks.entry(args.thread).or_insert(upto);
                *mark = upto.max(*mark);
            }
            _ => {}
        }
        Ok(())
    }
}

fn pending(op: &OpRow, id: Id, thread: Id, body: String) -> PendingMessage {
    let state = match op.state {
        OpState::Waiting => MessageState::Waiting,
        OpState::Unanswered => MessageState::Sending,
        OpState::Done => MessageState::Sent,
        OpState::NeedsClient => MessageState::Refused {
            reason: op.reason.clone().unwrap_or(Reason::Impossible),
            field: op.field.clone(),
        },
    };
    PendingMessage { id, thread, body: Phi::new(body), at: op.created_at, state, entry: op.key }
}

fn args<T: serde::de::DeserializeOwned>(op: &OpRow) -> Result<T, PortalError> {
    serde_json::from_str(&op.args).map_err(|_| PortalError::storage(Reason::Damaged))
}

/// What an op says to a person: its thread, subject and text. `None` for what nobody asked for by
/// hand (a read mark) or that this version does not know.
pub(crate) fn words(op: &OpRow) -> Result<Option<(Id, Option<String>, String)>, PortalError> {
    Ok(match op.kind.as_str() {
        CREATE_THREAD => {
            let args: CreateThread = args(op)?;
            Some((op.id, Some(args.subject), args.message.body))
        }
        CREATE_MESSAGE => {
            let args: CreateMessage = args(op)?;
            Some((args.thread, None, args.body))
        }
        _ => None,
    })
}

/// The op's arguments with another text; `None` when it has none.
pub(crate) fn with_text(op: &OpRow, text: &str) -> Result<Option<String>, PortalError> {
    Ok(match op.kind.as_str() {
        CREATE_THREAD => {
            let mut args: CreateThread = args(op)?;
            args.message.body = text.to_owned();
            Some(json(&args)?)
        }
        CREATE_MESSAGE => {
            let mut args: CreateMessage = args(op)?;
            args.body = text.to_owned();
            Some(json(&args)?)
        }
        _ => None,
    })
}
