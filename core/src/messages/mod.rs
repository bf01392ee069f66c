//! Secure messages: conversations with everyone at the practice who writes.

pub(crate) mod ops;
pub(crate) mod rows;
pub(crate) mod state;
pub(crate) mod views;
mod words;
mod writing;

pub use writing::{Draft, DraftView, NewThread, Recipient, RecipientChoice, Recipients, Started};

use crate::change::Change;
use crate::error::{PortalError, Reason};
use crate::people::rows::{policy, practice, staff};
use crate::people::{Availability, Person};
use crate::proof::{planted, point};
use crate::session::Session;
use crate::store::Transaction;
use crate::sync::{Driver, outbox};
use crate::values::{Id, Phi, When, private_debug, rfc3339_option};
use rusqlite::Connection;
use std::sync::Arc;
use std::time::SystemTime;

/// Conversations, drafts and search. Everything reads from the device and works without network.
#[derive(uniffi::Object)]
pub struct Messages {
    session: Arc<Session>,
    driver: Arc<Driver>,
}

/// Which conversations to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum ThreadFilter {
    /// All.
    All,
    /// Those with something unread.
    Unread,
}

/// One page of the list, newest conversation first.
#[derive(Clone, PartialEq, serde::Serialize, uniffi::Record)]
#[uniffi::export(Debug)]
pub struct ThreadPage {
    /// At most `limit` conversations.
    pub threads: Vec<ThreadSummary>,
    /// How many the filter finds.
    pub total: u32,
    /// Unread messages in all conversations: the badge.
    pub unread: u64,
    /// Whether a new one can be started.
    pub start: Availability,
    /// The server's clock when this was last in step; absent before the first sync.
    #[serde(serialize_with = "rfc3339_option")]
    pub as_of: Option<SystemTime>,
}

/// One conversation in a list.
#[derive(Clone, PartialEq, Eq, serde::Serialize, uniffi::Record)]
#[uniffi::export(Debug)]
pub struct ThreadSummary {
    /// Id.
    pub id: String,
    /// Subject.
    pub subject: String,
    /// The people at the practice who take part; empty while the server has not said who.
    pub with: Vec<Person>,
    /// When its newest message was written.
    pub last_at: When,
    /// How its newest message begins, at most 120 characters.
    pub last_text: String,
    /// Whether the client wrote it.
    pub last_mine: bool,
    /// Unread messages.
    pub unread: u64,
    /// The client's messages that the practice does not have yet.
    pub pending: u32,
    /// The client's messages that the practice refused.
    pub refused: u32,
    /// Whether the practice closed it.
    pub closed: bool,
}

/// One conversation with one page of its messages.
#[derive(Clone, PartialEq, serde::Serialize, uniffi::Record)]
#[uniffi::export(Debug)]
pub struct ThreadView {
    /// As in the list.
    pub thread: ThreadSummary,
    /// Oldest first; what is not sent yet stands at the end of the newest page.
    pub messages: Vec<MessageView>,
    /// Pass as `before` for the page before this one; absent when this page begins the conversation.
    pub earlier: Option<u64>,
    /// The unsent reply, as last typed.
    pub draft: Option<String>,
    /// Whether a reply is possible.
    pub reply: Availability,
    /// The longest message, in characters.
    pub message_max_chars: u32,
    /// Always true: show that nobody reads this at once, with the crisis card beside it.
    pub not_for_emergencies: bool,
    /// The server's clock when this was last in step; absent before the first sync.
    #[serde(serialize_with = "rfc3339_option")]
    pub as_of: Option<SystemTime>,
}

/// One message.
#[derive(Clone, PartialEq, Eq, serde::Serialize, uniffi::Record)]
#[uniffi::export(Debug)]
pub struct MessageView {
    /// Id, the same from the moment of writing on.
    pub id: String,
    /// Its place in the conversation; absent until the practice gave one.
    pub n: Option<u64>,
    /// Who wrote it.
    pub author: Person,
    /// Whether that is the client.
    pub mine: bool,
    /// Plain text.
    pub text: String,
    /// When it was sent; by the device's clock until the practice has it.
    pub at: When,
    /// Where it stands.
    pub state: MessageState,
    /// The outbox entry of a message that is not sent yet.
    pub entry: Option<String>,
}

/// Where a message stands.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, uniffi::Enum)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum MessageState {
    /// From the practice.
    Received {
        /// Whether the client has read it.
        read: bool,
    },
    /// Saved on the device; it leaves as soon as it can.
    Waiting,
    /// On its way: whether it arrived is not known yet.
    Sending,
    /// The practice has it.
    Sent,
    /// The practice does not take it; the text is intact and can be edited, retried or discarded.
    Refused {
        /// Why.
        reason: Reason,
        /// The input that is to blame, when one is.
        field: Option<String>,
    },
}

/// One message found.
#[derive(Clone, PartialEq, Eq, serde::Serialize, uniffi::Record)]
#[uniffi::export(Debug)]
pub struct MessageHit {
    /// Its conversation.
    pub thread: String,
    /// The conversation's subject.
    pub subject: String,
    /// About 160 characters around the first word asked for.
    pub excerpt: String,
    /// The message.
    pub message: MessageView,
}

/// A conversation to print or share.
#[derive(Clone, PartialEq, Eq, serde::Serialize, uniffi::Record)]
#[uniffi::export(Debug)]
pub struct Printable {
    /// The subject.
    pub title: String,
    /// Plain text, times with their zone.
    pub text: String,
}

private_debug!(ThreadPage, ThreadSummary, ThreadView, MessageView, MessageHit, Printable);

/// Most rows of one page.
const PAGE: u32 = 100;
/// A draft longer than this is not a message.
const DRAFT_MAX_BYTES: usize = 1024 * 1024;

#[uniffi::export]
impl Messages {
    /// One page of conversations, newest first. `limit` is at most 100.
    ///
    /// # Errors
    /// `SignedOut`, `Locked`, `Storage`, as for every read.
    pub async fn threads(
        &self,
        filter: ThreadFilter,
        offset: u32,
        limit: u32,
    ) -> Result<ThreadPage, PortalError> {
        self.read(move |c| views::threads(c, filter, offset, limit.min(PAGE))).await
    }

    /// One conversation with its newest messages, or with those before `before` (see
    /// [`ThreadView::earlier`]). `limit` is at most 100.
    ///
    /// # Errors
    /// `NotFound { thread_unknown }`.
    pub async fn thread(
        &self,
        id: String,
        before: Option<u64>,
        limit: u32,
    ) -> Result<ThreadView, PortalError> {
        let id = Id::parse(&id, "id")?;
        self.read(move |c| views::thread(c, id, before, limit.clamp(1, PAGE))).await
    }

    /// Everybody to whom the client can write.
    pub async fn recipients(&self) -> Result<Recipients, PortalError> {
        self.read(views::recipients).await
    }

    /// Starts a conversation: durable when this returns, sent as soon as it can be.
    ///
    /// # Errors
    /// `Refused` with `threads_disabled`, `recipient_unknown`, `recipient_inactive`,
    /// `subject_empty`, `subject_too_long`, `body_empty` or `body_too_long`. The draft stays then.
    pub async fn start(&self, thread: NewThread) -> Result<Started, PortalError> {
        let (id, message) = (self.new_id(), self.new_id());
        let started = Started { thread: id.to_string(), message: message.to_string() };
        self.write(Change::Messages { thread: Some(started.thread.clone()) }, move |tx, queue| {
            point!("start.begun");
            check_start(tx, &thread)?;
            if let Some(draft) = &thread.draft {
                rows::remove_draft(tx, draft)?;
            }
            point!("start.drafted");
            let to = ops::To::from(&thread.recipient);
            let message = ops::FirstMessage { id: message, body: thread.text };
            queue.push(ops::create_thread(id, &ops::CreateThread { subject: thread.subject, to, message })?);
            Ok(())
        })
        .await?;
        Ok(started)
    }

    /// Sends a reply and gives its id: durable when this returns, sent as soon as it can be. The
    /// draft of the reply goes in the same act.
    ///
    /// # Errors
    /// `NotFound { thread_unknown }`; `Refused` with `thread_closed`, `body_empty` or
    /// `body_too_long`. The draft stays then.
    pub async fn send(&self, thread: String, text: String) -> Result<String, PortalError> {
        let (to, id) = (Id::parse(&thread, "thread")?, self.new_id());
        self.write(Change::Messages { thread: Some(thread) }, move |tx, queue| {
            point!("send.begun");
            state::reply(views::closed(tx, to)?).map_err(PortalError::refused)?;
            state::body(&text, &policy(tx)?).map_err(|reason| PortalError::refused_field(reason, "text"))?;
            if !planted!(SentDraftStays) {
                rows::remove_draft(tx, &reply_draft(to))?;
            }
            point!("send.drafted");
            queue.push(ops::create_message(id, &ops::CreateMessage { thread: to, body: text })?);
            Ok(())
        })
        .await?;
        Ok(id.to_string())
    }

    /// Marks everything up to place `upto` as read, here at once and at the practice when it can be.
    /// Marks only rise.
    ///
    /// # Errors
    /// `NotFound { thread_unknown }`.
    pub async fn mark_read(&self, thread: String, upto: u64) -> Result<(), PortalError> {
        let id = Id::parse(&thread, "thread")?;
        let (driver, session) = (self.driver.clone(), self.session.clone());
        let mark = move |tx: &Transaction<'_>, queue: &mut crate::sync::Queue| {
            let row = rows::thread(tx, id)?.ok_or_else(|| PortalError::not_found(Reason::ThreadUnknown))?;
            let overlay = ops::Overlay::of_thread(tx, id)?;
            let present = row.upto.max(overlay.marks.get(&id).copied().unwrap_or(0));
            let newest = row.last.map_or(0, |message| message.n);
            let raised = state::raised_mark(present, upto, newest);
            if let Some(upto) = raised {
                for replaced in ops::replaced_marks(tx, id)? {
                    outbox::remove(tx, replaced)?;
                }
                point!("mark.replaced");
                queue.push(ops::read(id, upto)?);
            }
            Ok(raised.is_some())
        };
        self.session
            .mode
            .run_here(async move {
                if driver.write(mark).await? {
                    point!("mark.kept");
                    session.changes.emit(&Change::Messages { thread: Some(thread) });
                    // The badge fell.
                    session.changes.emit(&Change::Home);
                }
                Ok(())
            })
            .await
    }

    /// Saves what is being typed and gives the draft's key; durable when this returns, so call it at
    /// every change. An empty draft is removed.
    ///
    /// # Errors
    /// `Refused { body_too_long }` above 1 MiB; `Refused { malformed }` for a key or id that is none.
    pub async fn save_draft(&self, draft: Draft) -> Result<String, PortalError> {
        let key = match (&draft.thread, &draft.key) {
            (Some(thread), _) => reply_draft(Id::parse(thread, "thread")?),
            (None, Some(key)) => {
                format!("new:{}", Id::parse(key.strip_prefix("new:").unwrap_or_default(), "key")?)
            }
            (None, None) => format!("new:{}", self.new_id()),
        };
        if draft.text.len() + draft.subject.len() > DRAFT_MAX_BYTES {
            return Err(PortalError::refused_field(Reason::BodyTooLong, "text"));
        }
        let saved = key.clone();
        let saved_at = self.session.ports.clock.wall();
        self.write_quietly(move |tx| {
            point!("draft.begun");
            if draft.text.is_empty() && draft.subject.is_empty() && draft.recipient.is_none() {
                return rows::remove_draft(tx, &saved);
            }
            let recipient = draft.recipient.map(|recipient| match recipient {
                Recipient::Staff { id } => format!("staff:{id}"),
                Recipient::Route { route } => format!("route:{route}"),
            });
            rows::save_draft(
                tx,
                &rows::DraftRow {
                    key: saved,
                    recipient,
                    subject: Phi::new(draft.subject),
                    body: Phi::new(draft.text),
                    saved_at,
                },
            )
        })
        .await?;
        Ok(key)
    }

    /// All drafts, the last changed first.
    pub async fn drafts(&self) -> Result<Vec<DraftView>, PortalError> {
        self.read(views::drafts).await
    }

    /// Throws a draft away.
    pub async fn discard_draft(&self, key: String) -> Result<(), PortalError> {
        self.write_quietly(move |tx| rows::remove_draft(tx, &key)).await
    }

    /// Messages that have every word of `query` (as a word's beginning, without regard to case and
    /// accents), newest first; what is not sent yet comes first. `limit` is at most 100. Searches on
    /// the device.
    pub async fn search(&self, query: String, limit: u32) -> Result<Vec<MessageHit>, PortalError> {
        self.read(move |c| views::search(c, &query, limit.min(PAGE))).await
    }

    /// A whole conversation as text to print, stamped with its age.
    ///
    /// # Errors
    /// `NotFound { thread_unknown }`.
    pub async fn print(&self, thread: String) -> Result<Printable, PortalError> {
        let id = Id::parse(&thread, "thread")?;
        let now = self.session.ports.clock.wall().system_time();
        self.read(move |c| views::print(c, id, now)).await
    }
}

impl Messages {
    pub(crate) fn new(session: Arc<Session>, driver: Arc<Driver>) -> Self {
        Self { session, driver }
    }

    fn new_id(&self) -> Id {
        Id::new(self.session.ports.clock.as_ref(), self.session.ports.entropy.as_ref())
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, PortalError> + Send + 'static,
    ) -> Result<T, PortalError> {
        let session = self.session.clone();
        self.session.mode.run_here(async move { session.store()?.read(work).await }).await
    }

    async fn write(
        &self,
        change: Change,
        work: impl FnOnce(&Transaction<'_>, &mut crate::sync::Queue) -> Result<(), PortalError> + Send + 'static,
    ) -> Result<(), PortalError> {
        let (driver, session) = (self.driver.clone(), self.session.clone());
        self.session
            .mode
            .run_here(async move {
                driver.write(work).await?;
                point!("write.kept");
                session.changes.emit(&change);
                Ok(())
            })
            .await
    }

    /// A write that the practice never hears of.
    async fn write_quietly(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<(), PortalError> + Send + 'static,
    ) -> Result<(), PortalError> {
        let session = self.session.clone();
        self.session
            .mode
            .run_here(async move {
                session.store()?.write(work).await?;
                point!("draft.kept");
                Ok(())
            })
            .await
    }
}

/// The key of the draft of a reply.
fn reply_draft(thread: Id) -> String {
    format!("thread:{thread}")
}

fn check_start(c: &Connection, thread: &NewThread) -> Result<(), PortalError> {
    let policy = policy(c)?;
    let field = |name: &'static str| move |reason| PortalError::refused_field(reason, name);
    state::start(&policy).map_err(PortalError::refused)?;
    match &thread.recipient {
        Recipient::Staff { id } => {
            let wanted = Id::parse(id, "recipient")?;
            let staff = staff(c)?;
            let found = staff.iter().find(|(id, _)| *id == wanted).map(|(_, record)| record);
            state::recipient(found).map_err(field("recipient"))?;
        }
        Recipient::Route { route } => {
            let known = practice(c)?
                .is_some_and(|(practice, _)| practice.routes.iter().any(|known| known.route == *route));
            known.then_some(()).ok_or(Reason::RecipientUnknown).map_err(field("recipient"))?;
        }
    }
    state::subject(&thread.subject).map_err(field("subject"))?;
    state::body(&thread.text, &policy).map_err(field("text"))
}
