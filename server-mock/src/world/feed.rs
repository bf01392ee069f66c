//! One account's feed: a log of changes in commit order, from which any past state can be paged.
//!
//! Nothing is removed from the log; a newer change of a row only marks the older one with its own
//! `seq`. So the state at a checkpoint is read by skipping what was superseded up to there, and a
//! page costs what it holds, however much is committed meanwhile.

use crate::rules::secrets;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::value::RawValue;
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};
use uuid::Uuid;

/// How long a tombstone lives.
const TOMBSTONE_DAYS: i64 = 90;

/// The kinds of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Entity {
    Practice,
    Client,
    Staff,
    Thread,
    Message,
    ReadMark,
    Appointment,
}

impl Entity {
    /// The name on the wire.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Practice => "practice",
            Self::Client => "client",
            Self::Staff => "staff",
            Self::Thread => "thread",
            Self::Message => "message",
            Self::ReadMark => "read_mark",
            Self::Appointment => "appointment",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        const ALL: [Entity; 7] = [
            Entity::Practice,
            Entity::Client,
            Entity::Staff,
            Entity::Thread,
            Entity::Message,
            Entity::ReadMark,
            Entity::Appointment,
        ];
        ALL.into_iter().find(|entity| entity.as_str() == name)
    }
}

/// Why a row went away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    Withdrawn,
}

impl Why {
    /// The name on the wire.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// One change.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) seq: u64,
    pub(crate) entity: Entity,
    pub(crate) id: Uuid,
    pub(crate) ver: u64,
    pub(crate) body: Body,
    /// The next change of the same row.
    superseded_by: Option<u64>,
}

/// What a change leaves of a row.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    Put(Arc<RawValue>),
    Del(Why),
}

/// A live row of a feed, for comparing it with what a phone holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedRow {
    /// The kind of row.
    pub entity: &'static str,
    /// Its id.
    pub id: Uuid,
    /// The change that made it what it is.
    pub seq: u64,
    /// Its version.
    pub ver: u64,
    /// Its JSON text.
    pub data: String,
}

/// The log of one account.
#[derive(Clone, Debug, Default)]
pub(crate) struct Feed {
    log: Vec<Entry>,
    /// Where the newest change of each row is in the log.
    newest: HashMap<(Entity, Uuid), usize>,
    head: u64,
    /// The tombstones that still live, oldest first.
    tombstones: VecDeque<(u64, DateTime<Utc>)>,
    /// A cursor before this has missed a tombstone that is gone.
    horizon: u64,
}

/// Which part of a feed a page shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pull {
    /// Everything up to here was delivered.
    pub(crate) position: u64,
    /// Nothing after this is shown.
    pub(crate) checkpoint: u64,
    /// The pull began with nothing, so there is nothing that a tombstone could remove.
    pub(crate) full: bool,
}

/// One page of changes.
pub(crate) struct Page<'a> {
    pub(crate) entries: Vec<&'a Entry>,
    /// Everything up to here is delivered now.
    pub(crate) position: u64,
    pub(crate) has_more: bool,
}

impl Feed {
    /// The newest `seq`.
    pub(crate) fn head(&self) -> u64 {
        self.head
    }

    /// Commits a row.
    pub(crate) fn put(&mut self, entity: Entity, id: Uuid, data: Arc<RawValue>) -> u64 {
        self.append(entity, id, Body::Put(data))
    }

    /// Commits a row's end; nothing if it is not live.
    pub(crate) fn del(&mut self, entity: Entity, id: Uuid, why: Why, now: DateTime<Utc>) {
        if self.row(entity, id).is_some() {
            let seq = self.append(entity, id, Body::Del(why));
            self.tombstones.push_back((seq, now));
        }
    }

    /// Uses up one `seq` for an op that changed no row, so that its acknowledgement is news too.
    pub(crate) fn tick(&mut self) -> u64 {
        self.head += 1;
        self.head
    }

    /// The newest change of a live row.
    pub(crate) fn row(&self, entity: Entity, id: Uuid) -> Option<&Entry> {
        let entry = self.log.get(*self.newest.get(&(entity, id))?)?;
        matches!(entry.body, Body::Put(_)).then_some(entry)
    }

    /// The rows that were live at a checkpoint, in the order of their newest changes.
    pub(crate) fn rows_at(&self, checkpoint: u64) -> Vec<FeedRow> {
        let until = self.log.iter().take_while(|entry| entry.seq <= checkpoint);
        let live = until.filter(|entry| entry.superseded_by.is_none_or(|seq| seq > checkpoint));
        live.filter_map(|entry| match &entry.body {
            Body::Put(data) => Some(FeedRow {
                entity: entry.entity.as_str(),
                id: entry.id,
                seq: entry.seq,
                ver: entry.ver,
                data: data.get().to_owned(),
            }),
            Body::Del(_) => None,
        })
        .collect()
    }

    /// Up to `limit` changes of a pull.
    pub(crate) fn page(&self, pull: Pull, limit: usize) -> Page<'_> {
        let start = self.log.partition_point(|entry| entry.seq <= pull.position);
        let in_range = self.log.get(start..).unwrap_or_default().iter();
        let mut shown = in_range
            .take_while(|entry| entry.seq <= pull.checkpoint)
            .filter(|entry| entry.superseded_by.is_none_or(|seq| seq > pull.checkpoint))
            .filter(|entry| !pull.full || matches!(entry.body, Body::Put(_)));
        let entries: Vec<&Entry> = shown.by_ref().take(limit).collect();
        match shown.next() {
            // the next page starts right before its first change, over all that is skipped between
            Some(next) => Page { entries, position: next.seq - 1, has_more: true },
            None => Page { entries, position: pull.checkpoint, has_more: false },
        }
    }

    /// Whether a cursor at this position has missed a tombstone that lives no more.
    pub(crate) fn has_expired(&mut self, position: u64, now: DateTime<Utc>) -> bool {
        let life = TimeDelta::days(TOMBSTONE_DAYS);
        while let Some((seq, _)) = self.tombstones.front().filter(|(_, at)| now - *at >= life) {
            self.horizon = self.horizon.max(*seq);
            self.tombstones.pop_front();
        }
        position < self.horizon
    }

    /// Ends every cursor that was given out.
    pub(crate) fn expire_cursors(&mut self) {
        self.horizon = self.tick();
        self.tombstones.clear();
    }

    fn append(&mut self, entity: Entity, id: Uuid, body: Body) -> u64 {
        self.head += 1;
        let seq = self.head;
        let previous = self.newest.insert((entity, id), self.log.len());
        let previous = previous.and_then(|index| self.log.get_mut(index));
        let ver = previous.map_or(1, |entry| {
            entry.superseded_by = Some(seq);
            entry.ver + 1
        });
        self.log.push(Entry { seq, entity, id, ver, body, superseded_by: None });
        seq
    }
}

/// Where a phone is in a feed. It is opaque on the wire, and read back strictly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) epoch: Uuid,
    pub(crate) account: Uuid,
    /// Everything up to here was delivered.
    pub(crate) position: u64,
    /// The pull that is under way, if it did not end.
    pub(crate) under_way: Option<UnderWay>,
}

/// A pull of which pages are still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnderWay {
    pub(crate) checkpoint: u64,
    pub(crate) full: bool,
}

const CURSOR_FORMAT: u8 = 1;

impl Cursor {
    /// The text on the wire.
    pub(crate) fn encode(&self) -> String {
        let mut bytes = vec![CURSOR_FORMAT];
        bytes.extend(self.epoch.as_bytes());
        bytes.extend(self.account.as_bytes());
        bytes.extend(self.position.to_be_bytes());
        if let Some(pull) = self.under_way {
            bytes.extend(pull.checkpoint.to_be_bytes());
            bytes.push(u8::from(pull.full));
        }
        secrets::base64url(&bytes)
    }

    /// Reads the text back; nothing but what [`Cursor::encode`] can have written passes.
    pub(crate) fn decode(text: &str) -> Option<Self> {
        let bytes = secrets::from_base64url(text)?;
        let (&[CURSOR_FORMAT], rest) = bytes.split_first_chunk()? else { return None };
        let (epoch, rest) = rest.split_first_chunk::<16>()?;
        let (account, rest) = rest.split_first_chunk::<16>()?;
        let (position, rest) = rest.split_first_chunk::<8>()?;
        let position = u64::from_be_bytes(*position);
        let under_way = match rest.split_first_chunk::<8>() {
            None if rest.is_empty() => None,
            Some((checkpoint, [full @ (0 | 1)])) => {
                let checkpoint = u64::from_be_bytes(*checkpoint);
                Some(UnderWay { checkpoint, full: *full == 1 })
            }
            _ => return None,
        };
        let consistent = under_way.is_none_or(|pull| position < pull.checkpoint);
        let (epoch, account) = (Uuid::from_bytes(*epoch), Uuid::from_bytes(*account));
        consistent.then_some(Self { epoch, account, position, under_way })
    }
}
