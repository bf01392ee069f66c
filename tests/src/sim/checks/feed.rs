//! The base against the practice's feed.

use super::number_of;
use crate::practice::locked;
use crate::sim::Sim;
use portal_server_mock::world::FeedRow;
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use std::collections::BTreeMap;
use std::hash::Hash;
use std::rc::Rc;
use uuid::Uuid;

/// A row's kind, as a number, and its id.
type RowId = (u64, Uuid);

/// A row as the checks remember it: its text is a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    /// Its place in [`TABLES`].
    table: u16,
    seq: i64,
    ver: i64,
    text: u64,
    /// The conversation on whose screen it is.
    thread: Option<Uuid>,
}

/// What the practice sent.
#[derive(Clone, Debug, Default)]
struct Rows {
    by_id: BTreeMap<RowId, Row>,
    /// By conversation, its rows as a number that does not depend on their order.
    threads: BTreeMap<Uuid, u64>,
    /// The newest sequence among them.
    newest: Option<i64>,
}

/// What a base holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Base {
    /// Epoch and checkpoint.
    pub(crate) place: (String, i64),
    /// Those of the base before, where place and sums are the same.
    rows: Rc<Rows>,
    /// Looks since all of them were read.
    looks: u32,
    /// Of every table how many rows there are, and the sums of their sequences and versions.
    sums: Vec<i64>,
    /// Rows that were deleted, with the checkpoint at which they were seen to be gone.
    gone: BTreeMap<RowId, i64>,
    /// By conversation, its part of the outbox, as a number.
    queued: BTreeMap<Uuid, u64>,
    /// What the outbox holds, in words, and what the drafts do.
    pub(super) outbox: String,
    pub(super) drafts: String,
    /// The keys of ops whose answer is kept.
    pub(super) settled: Vec<Uuid>,
    /// The texts of rows that the base before did not have.
    pub(super) new_texts: Vec<String>,
}

/// Where rows of the practice are; the last one holds what the core does not know.
const TABLES: [&str; 7] = ["practice", "client", "staff", "thread", "message", "read_mark", PARKED];
const PARKED: &str = "parked";
const THREAD: u16 = 3;
const MESSAGE: u16 = 4;

fn kind(entity: &str) -> u64 {
    let place = TABLES.iter().position(|table| *table == entity);
    place.map_or_else(|| number_of(&entity) | 1 << 63, |place| place as u64)
}

fn name(kind: u64) -> &'static str {
    usize::try_from(kind).ok().and_then(|kind| TABLES.get(kind)).copied().unwrap_or("what is unknown")
}

/// Epoch and checkpoint.
pub(super) fn place(raw: &Connection) -> rusqlite::Result<(String, i64)> {
    let mut statement = raw.prepare_cached("SELECT epoch, checkpoint FROM feed")?;
    statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
}

fn read(raw: &Connection, before: Option<&Base>) -> rusqlite::Result<Base> {
    let mut base = Base { place: place(raw)?, sums: sums(raw)?, ..Base::default() };
    let before = before.filter(|before| before.place.0 == base.place.0);
    match before.filter(|before| before.looks < LOOKS) {
        Some(before) if before.place == base.place && before.sums == base.sums => {
            (base.rows, base.looks) = (before.rows.clone(), before.looks + 1);
        }
        Some(before) if read_newer(raw, before, &mut base)? => base.looks = before.looks + 1,
        _ => {
            base.new_texts.clear();
            let mut rows = Rows::default();
            read_rows(raw, before, &mut base, &mut rows)?;
            base.rows = Rc::new(rows);
        }
    }
    read_own(raw, &mut base)?;
    Ok(base)
}

/// For so many looks the rows of before hold, with those of a later sequence in their place, as long as that
/// explains the sums: what does not, a body under the same version, is seen that much later, and at rest.
const LOOKS: u32 = 8;

fn sums(raw: &Connection) -> rusqlite::Result<Vec<i64>> {
    let of = |table| format!("SELECT count(*), ifnull(sum(seq), 0), ifnull(sum(ver), 0) FROM {table}");
    let mut statement = raw.prepare_cached(&TABLES.map(of).join(" UNION ALL "))?;
    let mut rows = statement.query([])?;
    let mut sums = Vec::new();
    while let Some(row) = rows.next()? {
        sums.extend(<[i64; 3]>::from(<(i64, i64, i64)>::try_from(row)?));
    }
    Ok(sums)
}

/// Whether the rows of before are, with the later ones, what is there now.
fn read_newer(raw: &Connection, before: &Base, base: &mut Base) -> rusqlite::Result<bool> {
    let mut rows = Rows::clone(&before.rows);
    read_rows(raw, Some(before), base, &mut rows)?;
    let mut sums = vec![0; 3 * TABLES.len()];
    for row in rows.by_id.values() {
        for (place, part) in [1, row.seq, row.ver].into_iter().enumerate() {
            sums.get_mut(3 * usize::from(row.table) + place).into_iter().for_each(|sum| *sum += part);
        }
    }
    base.rows = Rc::new(rows);
    Ok(sums == base.sums)
}

/// Reads those that are newer than the newest one of `into`, into it. A row is part of a conversation's
/// screen under the conversation's id.
fn read_rows(
    raw: &Connection,
    before: Option<&Base>,
    base: &mut Base,
    into: &mut Rows,
) -> rusqlite::Result<()> {
    let sql = "SELECT 0, id, seq, ver, body, NULL, NULL FROM practice WHERE seq > ?1
         UNION ALL SELECT 1, id, seq, ver, body, NULL, NULL FROM client WHERE seq > ?1
         UNION ALL SELECT 2, id, seq, ver, body, NULL, NULL FROM staff WHERE seq > ?1
         UNION ALL SELECT 3, id, seq, ver, body, id, NULL FROM thread WHERE seq > ?1
         UNION ALL SELECT 4, id, seq, ver, body, thread, NULL FROM message WHERE seq > ?1
         UNION ALL SELECT 5, id, seq, ver, body, id, NULL FROM read_mark WHERE seq > ?1
         UNION ALL SELECT 6, id, seq, ver, body, NULL, entity FROM parked WHERE seq > ?1";
    let mut statement = raw.prepare_cached(sql)?;
    let mut rows = statement.query([into.newest.unwrap_or(i64::MIN)])?;
    while let Some(row) = rows.next()? {
        let table: u16 = row.get(0)?;
        let kind = match row.get_ref(6)? {
            ValueRef::Text(_) => kind(row.get_ref(6)?.as_str()?),
            _ => u64::from(table),
        };
        let (id, text) = (Uuid::from_bytes(row.get(1)?), row.get_ref(4)?.as_str()?);
        let thread = row.get::<_, Option<[u8; 16]>>(5)?.map(Uuid::from_bytes);
        let now = Row { table, seq: row.get(2)?, ver: row.get(3)?, text: number_of(&text), thread };
        if before.and_then(|before| before.rows.by_id.get(&(kind, id))) != Some(&now) {
            base.new_texts.push(text.to_owned());
        }
        into.put((kind, id), now);
    }
    Ok(())
}

impl Rows {
    fn put(&mut self, id: RowId, now: Row) {
        self.newest = self.newest.max(Some(now.seq));
        let draws = |row: &Row| number_of(&(id, row.seq, row.ver, row.text));
        let before = self.by_id.insert(id, now);
        if let Some((thread, before)) = before.and_then(|before| Some((before.thread?, before))) {
            let number = self.threads.entry(thread).or_default();
            *number = number.wrapping_sub(draws(&before));
        }
        if let Some(thread) = now.thread {
            let number = self.threads.entry(thread).or_default();
            *number = number.wrapping_add(draws(&now));
        }
    }

    /// Messages without a conversation.
    fn dangling(&self) -> usize {
        let messages = self.by_id.values().filter(|row| row.table == MESSAGE);
        let threads = messages.filter_map(|row| row.thread);
        threads.filter(|thread| !self.by_id.contains_key(&(u64::from(THREAD), *thread))).count()
    }
}

/// An op belongs to the conversation of its lane, `<what>:<id>`; a draft is typed in one or in none.
fn read_own(raw: &Connection, base: &mut Base) -> rusqlite::Result<()> {
    let sql = "SELECT lane, key, state, coalesce(reason, ''), args FROM outbox
         UNION ALL SELECT 'draft', key, 0, subject, body FROM draft";
    let mut statement = raw.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (lane, state) = (row.get_ref(0)?.as_str()?, row.get::<_, i64>(2)?);
        let (key, reason, args) =
            (row.get_ref(1)?.as_bytes()?, row.get_ref(3)?.as_str()?, row.get_ref(4)?.as_str()?);
        let thread = lane.rsplit(':').next().and_then(|id| id.parse().ok()).unwrap_or_default();
        if state >= 2 {
            base.settled.push(key.try_into().map(Uuid::from_bytes).unwrap_or_default());
        }
        draws(&mut base.queued, thread, &(key, state, reason, args));
        let words = if lane == "draft" { &mut base.drafts } else { &mut base.outbox };
        words.extend([reason, args, "\n"]);
    }
    Ok(())
}

fn draws(threads: &mut BTreeMap<Uuid, u64>, thread: Uuid, what: &impl Hash) {
    let number = threads.entry(thread).or_default();
    *number = number.rotate_left(1).wrapping_add(number_of(what));
}

impl Base {
    /// What a conversation is drawn from, as numbers: its rows and its part of the outbox.
    pub(super) fn thread(&self, thread: Uuid) -> (Option<u64>, Option<u64>) {
        (self.rows.threads.get(&thread).copied(), self.queued.get(&thread).copied())
    }

    /// The next look reads every row.
    pub(in crate::sim) fn forget(&mut self) {
        self.looks = LOOKS;
    }

    /// What is in here and may not have been in the one before, in words.
    pub(super) fn new_words(&self) -> impl Iterator<Item = &str> {
        self.new_texts.iter().chain([&self.outbox, &self.drafts]).map(String::as_str)
    }
}

impl Sim {
    /// Reads the bases that may have moved.
    pub(super) fn read_bases(&mut self) {
        self.fresh.clear();
        for book in self.moved() {
            let Some((device, directory)) = self.books.get(book).map(|b| (b.device, b.directory.clone()))
            else {
                continue;
            };
            let raw = self.devices.get_mut(device).and_then(|device| device.raw(&directory));
            if let Some(Ok(base)) = raw.map(|raw| read(raw, self.bases.get(&book))) {
                self.fresh.insert(book, base);
            }
        }
    }

    /// They are what the next ones are compared with.
    pub(super) fn remember_bases(&mut self) {
        for (book, mut base) in std::mem::take(&mut self.fresh) {
            if let Some(before) = self.bases.remove(&book) {
                base.gone = before.gone;
                if !Rc::ptr_eq(&before.rows, &base.rows) {
                    let lost = before.rows.by_id.keys().filter(|row| !base.rows.by_id.contains_key(row));
                    base.gone.extend(lost.map(|row| (*row, base.place.1)));
                }
            }
            self.bases.insert(book, base);
        }
    }

    fn rows_of(&self, book: usize, checkpoint: u64) -> Vec<FeedRow> {
        let person = self.books.get(book).and_then(|book| self.people.get(book.person));
        person.map(|person| locked(&self.world).feed_rows_at(person.account, checkpoint)).unwrap_or_default()
    }
}

pub(super) fn place_never_goes_back(sim: &mut Sim) -> Result<(), String> {
    for (book, base) in &sim.fresh {
        let before = sim.bases.get(book).map_or(("", 0), |base| (base.place.0.as_str(), base.place.1));
        if before.0 == base.place.0 && base.place.1 < before.1 {
            return Err(format!("from {} to {}", before.1, base.place.1));
        }
    }
    Ok(())
}

pub(super) fn versions_never_go_back(sim: &mut Sim) -> Result<(), String> {
    for (book, base) in &sim.fresh {
        let Some(before) = sim.bases.get(book).filter(|before| !Rc::ptr_eq(&before.rows, &base.rows)) else {
            continue;
        };
        for (id, row) in &base.rows.by_id {
            let before = before.rows.by_id.get(id);
            if before.is_some_and(|before| before.seq > row.seq || before.ver > row.ver) {
                return Err(format!("{} {} went back to {}", name(id.0), id.1, row.ver));
            }
        }
    }
    Ok(())
}

pub(super) fn base_is_one_checkpoint(sim: &mut Sim) -> Result<(), String> {
    for (book, base) in &sim.fresh {
        // Before the first pull ended there is none.
        if base.place.0.is_empty() || sim.bases.get(book).is_some_and(|before| before.place == base.place) {
            continue;
        }
        let checkpoint = u64::try_from(base.place.1).unwrap_or(0);
        same(base, &sim.rows_of(*book, checkpoint)).map_err(|what| format!("at {checkpoint}: {what}"))?;
    }
    Ok(())
}

fn same(base: &Base, theirs: &[FeedRow]) -> Result<(), String> {
    for row in theirs {
        let Some(ours) = base.rows.by_id.get(&(kind(row.entity), row.id)) else {
            return Err(format!("{} {} is missing", row.entity, row.id));
        };
        let (seq, ver) = (ours.seq.unsigned_abs(), ours.ver.unsigned_abs());
        if (seq, ver, ours.text) != (row.seq, row.ver, number_of(&row.data.as_str())) {
            return Err(format!("{} {} is {seq}/{ver}, not {}/{}", row.entity, row.id, row.seq, row.ver));
        }
    }
    match base.rows.by_id.len() == theirs.len() {
        true => Ok(()),
        false => Err(format!("{} rows, not {}", base.rows.by_id.len(), theirs.len())),
    }
}

pub(super) fn references_resolve(sim: &mut Sim) -> Result<(), String> {
    match sim.fresh.values().map(|base| base.rows.dangling()).sum::<usize>() {
        0 => Ok(()),
        dangling => Err(format!("{dangling} messages without their conversation")),
    }
}

pub(super) fn deleted_stays_deleted(sim: &mut Sim) -> Result<(), String> {
    for (book, base) in &sim.fresh {
        let Some(before) = sim.bases.get(book).filter(|before| !Rc::ptr_eq(&before.rows, &base.rows)) else {
            continue;
        };
        for (row, gone_at) in &before.gone {
            let back = base.rows.by_id.get(row).is_some_and(|row| row.seq <= *gone_at);
            if back && !before.rows.by_id.contains_key(row) {
                return Err(format!("{} {} came back", name(row.0), row.1));
            }
        }
    }
    Ok(())
}

pub(super) fn only_a_pull_moves_the_base(sim: &mut Sim) -> Result<(), String> {
    for (book, base) in &sim.fresh {
        let same = |before: &&Base| before.place == base.place && !Rc::ptr_eq(&before.rows, &base.rows);
        if sim.bases.get(book).filter(same).is_some_and(|before| before.rows.by_id != base.rows.by_id) {
            return Err(format!("rows changed at the same place {}", base.place.1));
        }
    }
    Ok(())
}

pub(super) fn base_is_the_present(sim: &mut Sim) -> Result<(), String> {
    for book in sim.open_books() {
        let base = sim.fresh.get(&book).or_else(|| sim.bases.get(&book));
        let Some(base) = base else { return Err("no base at all".to_owned()) };
        same(base, &sim.rows_of(book, u64::MAX))?;
    }
    Ok(())
}
