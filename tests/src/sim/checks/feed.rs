//! The base against the practice's feed.

use crate::practice::locked;
use crate::sim::Sim;
use portal_server_mock::world::FeedRow;
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use uuid::Uuid;

/// What a base holds: by kind and id, sequence, version and text of each row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Base {
    /// Epoch and checkpoint.
    pub(crate) place: (String, i64),
    rows: BTreeMap<(String, Uuid), (i64, i64, String)>,
    /// Rows that were deleted, with the checkpoint at which they were seen to be gone.
    gone: BTreeMap<(String, Uuid), i64>,
    /// Messages without a conversation.
    dangling: i64,
    /// What the outbox and the drafts hold, as a number.
    own: u64,
}

const TABLES: [&str; 6] = ["practice", "client", "staff", "thread", "message", "read_mark"];

/// Epoch and checkpoint.
pub(super) fn place(raw: &Connection) -> rusqlite::Result<(String, i64)> {
    let mut statement = raw.prepare_cached("SELECT epoch, checkpoint FROM feed")?;
    statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
}

fn read(raw: &Connection) -> rusqlite::Result<Base> {
    let mut base = Base { place: place(raw)?, ..Base::default() };
    let ours = TABLES.iter().map(|table| format!("SELECT '{table}', id, seq, ver, body FROM {table}"));
    let sql = ours.chain(["SELECT entity, id, seq, ver, body FROM parked".to_owned()]).collect::<Vec<_>>();
    let mut statement = raw.prepare_cached(&sql.join(" UNION ALL "))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let id = Uuid::from_bytes(row.get(1)?);
        base.rows.insert((row.get(0)?, id), (row.get(2)?, row.get(3)?, row.get(4)?));
    }
    let dangling = "SELECT count(*) FROM message WHERE thread NOT IN (SELECT id FROM thread)";
    let own = "SELECT key, state, coalesce(reason, ''), args FROM outbox UNION ALL SELECT key, 0, subject, body FROM draft";
    let mut statement = raw.prepare_cached(own)?;
    let mut rows = statement.query([])?;
    let mut hash = DefaultHasher::new();
    while let Some(row) = rows.next()? {
        let key = row.get_ref(0)?.as_bytes().unwrap_or_default();
        (key, row.get::<_, i64>(1)?, row.get_ref(2)?.as_str()?, row.get_ref(3)?.as_str()?).hash(&mut hash);
    }
    base.own = hash.finish();
    base.dangling = raw.prepare_cached(dangling)?.query_row([], |row| row.get(0))?;
    Ok(base)
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
            if let Some(Ok(base)) = raw.map(read) {
                self.fresh.insert(book, base);
            }
        }
    }

    /// Finds out which open books show something else than when the checks last looked, or ought to:
    /// views are functions of the records, and what is expected of them one of the ledger.
    pub(super) fn read_what_shows(&mut self) {
        self.shows.clear();
        for place in self.moved() {
            let Some(book) = self.books.get(place).filter(|_| self.portal_of(place).is_some()) else {
                continue;
            };
            // What could not be read is looked at now and again.
            let Some(base) = self.fresh.get(&place) else {
                self.looked_at.remove(&place);
                self.shows.push(place);
                continue;
            };
            let mut hash = DefaultHasher::new();
            self.devices.get(book.device).map(|device| device.process()).hash(&mut hash);
            (&base.place, &base.rows, base.own).hash(&mut hash);
            for entry in &book.entries {
                (&entry.thread, &entry.text, entry.owed as u8).hash(&mut hash);
            }
            book.drafts.hash(&mut hash);
            let hash = hash.finish();
            if self.looked_at.insert(place, hash) != Some(hash) {
                self.shows.push(place);
            }
        }
    }

    /// They are what the next ones are compared with.
    pub(super) fn remember_bases(&mut self) {
        for (book, mut base) in std::mem::take(&mut self.fresh) {
            if let Some(before) = self.bases.remove(&book) {
                base.gone = before.gone;
                let lost = before.rows.into_keys().filter(|row| !base.rows.contains_key(row));
                base.gone.extend(lost.map(|row| (row, base.place.1)));
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
        for (row, (seq, ver, _)) in &base.rows {
            let before = sim.bases.get(book).and_then(|before| before.rows.get(row));
            if before.is_some_and(|before| before.0 > *seq || before.1 > *ver) {
                return Err(format!("{} {} went back to {ver}", row.0, row.1));
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
        let Some((seq, ver, body)) = base.rows.get(&(row.entity.to_owned(), row.id)) else {
            return Err(format!("{} {} is missing", row.entity, row.id));
        };
        if (seq.unsigned_abs(), ver.unsigned_abs(), body.as_str()) != (row.seq, row.ver, row.data.as_str()) {
            return Err(format!("{} {} is {seq}/{ver}, not {}/{}", row.entity, row.id, row.seq, row.ver));
        }
    }
    match base.rows.len() == theirs.len() {
        true => Ok(()),
        false => Err(format!("{} rows, not {}", base.rows.len(), theirs.len())),
    }
}

pub(super) fn references_resolve(sim: &mut Sim) -> Result<(), String> {
    match sim.fresh.values().map(|base| base.dangling).sum::<i64>() {
        0 => Ok(()),
        dangling => Err(format!("{dangling} messages without their conversation")),
    }
}

pub(super) fn deleted_stays_deleted(sim: &mut Sim) -> Result<(), String> {
    for (book, base) in &sim.fresh {
        let Some(before) = sim.bases.get(book) else { continue };
        for (row, gone_at) in &before.gone {
            if base.rows.get(row).is_some_and(|(seq, ..)| seq <= gone_at) && !before.rows.contains_key(row) {
                return Err(format!("{} {} came back", row.0, row.1));
            }
        }
    }
    Ok(())
}

pub(super) fn only_a_pull_moves_the_base(sim: &mut Sim) -> Result<(), String> {
    for (book, base) in &sim.fresh {
        let before = sim.bases.get(book).filter(|before| before.place == base.place);
        if before.is_some_and(|before| before.rows != base.rows) {
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
