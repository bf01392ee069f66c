//! Threads and messages as the practice keeps them, and their rows in the feed.

use super::{Author, Effect, Entity, Route, StaffError, Why, World};
use crate::rules::{
    numbers::{decimal, decimals},
    times::{self, millis},
};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::collections::BTreeMap;
use uuid::Uuid;

/// A conversation between one client and some staff.
#[derive(Clone, Debug, Serialize)]
pub struct Thread {
    /// Its id.
    pub id: Uuid,
    /// The client.
    pub client: Uuid,
    /// What it is about.
    pub subject: String,
    /// The desk that it went to, if it did.
    pub route: Option<Route>,
    /// The staff in it.
    pub participants: Vec<Uuid>,
    /// When it began.
    #[serde(with = "millis")]
    pub created_at: DateTime<Utc>,
    /// Who began it.
    pub created_by: Author,
    /// Whether it takes no more messages.
    pub closed: bool,
    /// Whether the practice took it back.
    pub withdrawn: bool,
    /// Its messages in order: `n` is the place, from 1.
    pub messages: Vec<Message>,
    /// The highest `n` that the client has read.
    #[serde(serialize_with = "decimal")]
    pub read_upto: u64,
    /// The highest `n` that each member of staff has read.
    #[serde(serialize_with = "decimals")]
    pub staff_read: BTreeMap<Uuid, u64>,
}

/// A message.
#[derive(Clone, Debug, Serialize)]
pub struct Message {
    /// Its id.
    pub id: Uuid,
    /// Its place in the thread, from 1.
    #[serde(serialize_with = "decimal")]
    pub n: u64,
    /// Who wrote it.
    pub author: Author,
    /// What it says.
    pub body: String,
    /// When the practice took it.
    #[serde(with = "millis")]
    pub sent_at: DateTime<Utc>,
    /// Whether the practice took it back.
    pub withdrawn: bool,
    /// The change that shows it in the client's feed.
    #[serde(serialize_with = "decimal")]
    pub seq: u64,
}

/// What a new thread begins with.
pub(super) struct NewThread {
    pub(super) id: Uuid,
    pub(super) client: Uuid,
    pub(super) subject: String,
    pub(super) route: Option<Route>,
    pub(super) participants: Vec<Uuid>,
    pub(super) created_by: Author,
}

/// What a new message says.
pub(super) struct NewMessage {
    pub(super) id: Uuid,
    pub(super) author: Author,
    pub(super) body: String,
}

/// The row of entity `thread`.
#[derive(Serialize)]
struct ThreadRow<'a> {
    id: Uuid,
    subject: &'a str,
    route: Option<Route>,
    participants: &'a [Uuid],
    created_at: String,
    created_by: Author,
    closed: bool,
}

/// The row of entity `message`.
#[derive(Serialize)]
struct MessageRow<'a> {
    id: Uuid,
    thread: Uuid,
    #[serde(serialize_with = "decimal")]
    n: u64,
    author: Author,
    body: &'a str,
    sent_at: String,
}

/// The row of entity `read_mark`.
#[derive(Serialize)]
struct ReadMarkRow {
    id: Uuid,
    thread: Uuid,
    #[serde(serialize_with = "decimal")]
    upto: u64,
}

impl Thread {
    /// The newest `n`.
    pub fn newest(&self) -> u64 {
        self.messages.last().map_or(0, |message| message.n)
    }

    fn row(&self) -> ThreadRow<'_> {
        ThreadRow {
            id: self.id,
            subject: &self.subject,
            route: self.route,
            participants: &self.participants,
            created_at: times::text(self.created_at),
            created_by: self.created_by,
            closed: self.closed,
        }
    }
}

impl World {
    /// A thread.
    pub fn thread(&self, id: Uuid) -> Option<&Thread> {
        self.threads.get(&id)
    }

    /// A client's threads.
    pub fn threads_of(&self, client: Uuid) -> impl Iterator<Item = &Thread> {
        self.threads.values().filter(move |thread| thread.client == client)
    }

    /// A message with its thread.
    pub(super) fn message(&self, id: Uuid) -> Option<(&Thread, &Message)> {
        let (thread, place) = self.messages.get(&id)?;
        let thread = self.threads.get(thread)?;
        Some((thread, thread.messages.get(*place)?))
    }

    pub(super) fn open_thread(&mut self, new: NewThread, now: DateTime<Utc>) -> Uuid {
        let NewThread { id, client, subject, route, participants, created_by } = new;
        let thread = Thread {
            id,
            client,
            subject,
            route,
            participants,
            created_at: now,
            created_by,
            closed: false,
            withdrawn: false,
            messages: Vec::new(),
            read_upto: 0,
            staff_read: BTreeMap::new(),
        };
        self.threads.insert(id, thread);
        self.publish_thread(id);
        id
    }

    /// Commits a message: its row and its effect. Tells the `seq` that shows it.
    pub(super) fn append(&mut self, thread: Uuid, new: NewMessage, now: DateTime<Utc>) -> u64 {
        let Some((n, account)) = self
            .threads
            .get(&thread)
            .and_then(|thread| Some((thread.newest() + 1, self.clients.get(&thread.client)?.account)))
        else {
            return 0;
        };
        let NewMessage { id, author, body } = new;
        let sent_at = times::text(now);
        let row = MessageRow { id, thread, n, author, body: &body, sent_at };
        let seq = self.publish(account, Entity::Message, id, &row);
        let message = Message { id, n, author, body, sent_at: now, withdrawn: false, seq };
        if let Some(thread) = self.threads.get_mut(&thread) {
            self.messages.insert(id, (thread.id, thread.messages.len()));
            thread.messages.push(message);
        }
        self.effects.push(Effect { id, thread, author, seq, when: now });
        seq
    }

    /// Lets staff into a thread who are not in it yet.
    pub(super) fn add_participants(&mut self, thread: Uuid, staff: &[Uuid]) {
        let Some(row) = self.threads.get_mut(&thread) else { return };
        let before = row.participants.len();
        for id in staff {
            if !row.participants.contains(id) {
                row.participants.push(*id);
            }
        }
        if row.participants.len() > before {
            self.publish_thread(thread);
        }
    }

    /// Moves the client's read mark up, never down. Tells the `seq` of the mark if it moved.
    pub(super) fn mark_read(&mut self, thread: Uuid, upto: u64) -> Option<u64> {
        let row = self.threads.get_mut(&thread)?;
        let upto = upto.min(row.newest());
        if upto <= row.read_upto {
            return None;
        }
        row.read_upto = upto;
        let account = self.clients.get(&row.client)?.account;
        let mark = ReadMarkRow { id: thread, thread, upto };
        Some(self.publish(account, Entity::ReadMark, thread, &mark))
    }

    /// Takes no more messages in a thread.
    pub fn close_thread(&mut self, id: Uuid) -> Result<(), StaffError> {
        let thread = self.live_thread_mut(id)?;
        if !thread.closed {
            thread.closed = true;
            self.publish_thread(id);
        }
        Ok(())
    }

    /// Takes a thread back with all that is in it, as one that went to the wrong client.
    pub fn withdraw_thread(&mut self, id: Uuid, now: DateTime<Utc>) -> Result<(), StaffError> {
        let thread = self.live_thread_mut(id)?;
        thread.withdrawn = true;
        let messages: Vec<Uuid> = thread.messages.iter().map(|message| message.id).collect();
        let client = thread.client;
        let account = self.account_of_mut(client).ok_or(StaffError::ClientUnknown)?;
        for message in messages {
            account.feed.del(Entity::Message, message, Why::Withdrawn, now);
        }
        account.feed.del(Entity::ReadMark, id, Why::Withdrawn, now);
        account.feed.del(Entity::Thread, id, Why::Withdrawn, now);
        Ok(())
    }

    /// Takes one message of staff back. Its `n` stays used.
    pub fn withdraw_message(&mut self, id: Uuid, now: DateTime<Utc>) -> Result<(), StaffError> {
        let unknown = StaffError::MessageUnknown;
        let (thread, place) = self.messages.get(&id).copied().ok_or(unknown)?;
        let thread = self.threads.get_mut(&thread).ok_or(unknown)?;
        let message = thread.messages.get_mut(place).ok_or(unknown)?;
        if message.author.kind != super::AuthorKind::Staff {
            return Err(unknown);
        }
        message.withdrawn = true;
        let client = thread.client;
        let account = self.account_of_mut(client).ok_or(unknown)?;
        account.feed.del(Entity::Message, id, Why::Withdrawn, now);
        Ok(())
    }

    pub(super) fn live_thread_mut(&mut self, id: Uuid) -> Result<&mut Thread, StaffError> {
        let thread = self.threads.get_mut(&id).filter(|thread| !thread.withdrawn);
        thread.ok_or(StaffError::ThreadUnknown)
    }

    fn publish_thread(&mut self, id: Uuid) {
        let Some(thread) = self.threads.get(&id) else { return };
        let Some(client) = self.clients.get(&thread.client) else { return };
        let data = super::raw(&thread.row());
        if let Some(account) = self.accounts.get_mut(&client.account) {
            account.feed.put(Entity::Thread, id, data);
        }
    }
}
