//! What the harness and its child say to each other: one order in, one line of JSON a report out.
//! A report is one `write` to a pipe, so it outlives the kill that follows it.

use portal_tests::points::Scene;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What a child is to do in its life.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    /// Its phone: `data`, `keys`, `ca`.
    pub(crate) place: PathBuf,
    /// The practice.
    pub(crate) url: String,
    /// For its choices.
    pub(crate) seed: u64,
    /// Makes its texts unlike those of every other life.
    pub(crate) name: String,
    pub(crate) life: Life,
    /// Where it ends itself: at the `nth` time that it comes by this point.
    pub(crate) point: Option<(String, u32)>,
    pub(crate) person: Person,
    /// Conversations whose read marks it shows when it opens.
    pub(crate) marked: Vec<String>,
    /// The file may be damaged.
    pub(crate) spoiled: bool,
    pub(crate) bug: Option<Bug>,
}

/// What a life is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Life {
    /// To be killed.
    Scene(Scene),
    /// To come to rest, and to show what is in the file then.
    Rest,
    /// To damage the file.
    Spoil,
}

/// Who uses the phone.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Person {
    pub(crate) link: String,
    pub(crate) family_name: String,
    pub(crate) birth_date: String,
    pub(crate) login: String,
    pub(crate) password: String,
}

/// A bug of the child itself, for the control.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Bug {
    /// It promises before the act.
    Early,
    /// It sends everything twice.
    Twice,
    /// It throws the wrapped key away.
    Keyless,
}

/// What the child tells.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// The process runs, and is about to open the portal.
    Started,
    /// The portal is open, and nobody has unlocked it.
    Opened {
        state: String,
        reason: String,
        users: usize,
        keys: usize,
        wiping: usize,
    },
    /// The records are open, and this is in them.
    Seen(Seen),
    /// The records are open and shown, and the work begins.
    Working,
    Begun(Act),
    Done(Made),
    /// Refused by a rule: nothing happened.
    Failed(String),
    /// Whoever has a browser goes there and sends a line with where they are sent.
    Browse(String),
    /// Something that must not happen.
    Fault(String),
    Rest(Rest),
    /// Nothing is left to do.
    Idle,
}

/// Something with a promise.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Act {
    Enter,
    Leave,
    Send { thread: String, text: String },
    Start { text: String, draft: Option<String> },
    Edit { old: String, new: String, refused: bool },
    Discard { text: String },
    Retry { text: String, refused: bool },
    Mark { thread: String, upto: u64 },
    Draft { key: Option<String>, text: String },
    DropDraft { key: String },
}

/// What a verb gave back.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Made {
    /// A message's id or a draft's key.
    pub(crate) id: Option<String>,
    /// A new conversation's id.
    pub(crate) thread: Option<String>,
}

/// What the phone shows when it opens.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// The texts of the outbox's entries.
    pub(crate) outbox: Vec<String>,
    /// Key and text.
    pub(crate) drafts: Vec<(String, String)>,
    /// The messages of staff that show as unread: conversation and place.
    pub(crate) unread: Vec<(String, u64)>,
    /// Texts that show more than once.
    pub(crate) twice: Vec<String>,
}

/// What is in the file at rest.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Rest {
    /// Entity, id, sequence, version and JSON of every record of the base.
    pub(crate) rows: Vec<(String, String, u64, u64, String)>,
    pub(crate) drafts: Vec<(String, String)>,
    pub(crate) outbox: u64,
    pub(crate) quarantined: u64,
    pub(crate) staged: u64,
}
