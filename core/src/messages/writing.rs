//! What a client writes with: recipients, new conversations, drafts.

use crate::people::{Availability, Person};
use crate::values::{When, private_debug, rfc3339_option};
use std::time::SystemTime;

/// To whom a new conversation goes.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, uniffi::Enum)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Recipient {
    /// One person.
    Staff {
        /// Their id, never their name (R21).
        id: String,
    },
    /// Whoever the practice designated, such as `scheduler` or `biller` (SPEC 59).
    Route {
        /// The route.
        route: String,
    },
}

/// Everybody to whom a client can write.
#[derive(Clone, PartialEq, serde::Serialize, uniffi::Record)]
#[uniffi::export(Debug)]
pub struct Recipients {
    /// Routes first, then people by name.
    pub choices: Vec<RecipientChoice>,
    /// Whether a conversation can be started at all.
    pub start: Availability,
    /// The server's clock when this was last in step.
    #[serde(serialize_with = "rfc3339_option")]
    pub as_of: Option<SystemTime>,
}

/// One of them.
#[derive(Clone, PartialEq, Eq, serde::Serialize, uniffi::Record)]
#[uniffi::export(Debug)]
pub struct RecipientChoice {
    /// What to pass to `start`.
    pub recipient: Recipient,
    /// What to show.
    pub label: String,
    /// The person, when it is one.
    pub person: Option<Person>,
    /// Whether they take messages.
    pub writable: Availability,
}

/// A new conversation.
#[derive(Clone, uniffi::Record)]
#[uniffi::export(Debug)]
pub struct NewThread {
    /// To whom.
    pub recipient: Recipient,
    /// 1 to 200 characters.
    pub subject: String,
    /// 1 character to the practice's maximum.
    pub text: String,
    /// The draft that this was; it goes in the same act.
    pub draft: Option<String>,
}

/// What was started.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, uniffi::Record)]
pub struct Started {
    /// The conversation.
    pub thread: String,
    /// Its first message.
    pub message: String,
}

/// What is being typed. Any part may be missing or empty.
#[derive(Clone, PartialEq, Eq, serde::Serialize, uniffi::Record)]
#[uniffi::export(Debug)]
pub struct Draft {
    /// From `save_draft` or `drafts`; absent the first time.
    pub key: Option<String>,
    /// The conversation, for a reply.
    pub thread: Option<String>,
    /// To whom, for a new conversation.
    pub recipient: Option<Recipient>,
    /// Subject, for a new conversation.
    pub subject: String,
    /// The text so far.
    pub text: String,
}

/// A draft in a list.
#[derive(Clone, PartialEq, Eq, serde::Serialize, uniffi::Record)]
#[uniffi::export(Debug)]
pub struct DraftView {
    /// The draft.
    pub draft: Draft,
    /// When its last change was saved, by the device's clock.
    pub saved_at: When,
}

private_debug!(Recipients, RecipientChoice, NewThread, Draft, DraftView);
