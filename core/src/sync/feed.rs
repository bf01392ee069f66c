//! The feed into the base: pages are staged, and the last one publishes rows, cursor and acks in
//! one transaction, so that every read is one checkpoint.

use super::wire::{Change as WireChange, Page, Verb};
use super::{outbox, staged};
use crate::change::Change;
use crate::error::{PortalError, Reason};
use crate::log::{self, LogEvent};
use crate::proof::{planted, point};
use crate::store::Transaction;
use crate::values::{Id, Millis};
use ring::digest::{SHA256, digest};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::BTreeMap;

/// One kind of record that this version knows: where it lives and how it gets there.
pub(crate) struct Kind {
    /// The wire's name.
    pub(crate) entity: &'static str,
    /// Its table, which has at least `pk, id, seq, ver, body`.
    pub(crate) table: &'static str,
    /// Parses and upserts, and says what a shell reads again. Must touch nothing before the record is known
    /// to be good.
    pub(crate) put: fn(&Transaction<'_>, &Record<'_>) -> Result<Change, Unfit>,
    /// Removes what else belongs to the rows that a condition on `pk` selects.
    pub(crate) forget: Option<&'static str>,
    /// What a shell reads again when one of these went.
    pub(crate) change: Change,
}

/// A record as it came.
pub(crate) struct Record<'a> {
    pub(crate) id: Id,
    pub(crate) seq: i64,
    pub(crate) ver: i64,
    /// JSON, kept as the server sent it.
    pub(crate) body: &'a str,
}

/// Why a record was not taken.
pub(crate) enum Unfit {
    /// It is not what PROTOCOL says: quarantined, the rest goes on.
    Record(&'static str),
    /// The store failed: nothing of this page happens.
    Store(PortalError),
}

impl From<rusqlite::Error> for Unfit {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// What taking a page did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Changes on this page.
    pub(crate) received: u64,
    /// Set when the base moved.
    pub(crate) published: bool,
    pub(crate) quarantined: u64,
    /// The server began another pull in the middle of ours: nothing was taken.
    pub(crate) abandoned: bool,
    pub(crate) changes: Vec<Change>,
    /// How far this pull is: the page's highest sequence, of the checkpoint.
    pub(crate) progress: (u64, u64),
}

/// Where the feed stands.
pub(crate) struct Place {
    pub(crate) epoch: String,
    /// The next page starts here; empty at the very start and for a refill.
    pub(crate) from: String,
    pub(crate) begun: bool,
    /// A first pull or a refill: no counter is known before it ends.
    pub(crate) refill: bool,
    pub(crate) checkpoint: i64,
    pub(crate) as_of: Option<Millis>,
    pub(crate) install: String,
}

/// Reads it.
pub(crate) fn place(c: &Connection) -> Result<Place, PortalError> {
    let mut statement =
        c.prepare_cached("SELECT epoch, cursor, checkpoint, as_of, install, pull_next, resync FROM feed")?;
    let place = statement.query_row([], |row| {
        let (cursor, pull_next): (String, Option<String>) = (row.get(1)?, row.get(5)?);
        let refill = cursor.is_empty() || row.get::<_, bool>(6)?;
        Ok(Place {
            epoch: row.get(0)?,
            begun: pull_next.is_some(),
            from: pull_next.unwrap_or(if refill { String::new() } else { cursor }),
            refill,
            checkpoint: row.get(2)?,
            as_of: row.get::<_, Option<i64>>(3)?.map(Millis),
            install: row.get(4)?,
        })
    })?;
    Ok(place)
}

/// When the base was last known to be the practice's present, by the practice's clock.
pub(crate) fn as_of(c: &Connection) -> Result<Option<Millis>, PortalError> {
    let mut statement = c.prepare_cached("SELECT as_of FROM feed")?;
    Ok(statement.query_row([], |row| row.get::<_, Option<i64>>(0))?.map(Millis))
}

/// Throws the pull under way and asks for a refill. The base stays as it is until the refill is
/// complete; outbox and drafts are not touched (I15).
pub(crate) fn refill(tx: &Transaction<'_>) -> Result<(), PortalError> {
    abandon(tx)?;
    if planted!(OutboxClearedByResync) {
        tx.prepare_cached("DELETE FROM outbox WHERE state < 2")?.execute([])?;
    }
    if planted!(DraftsClearedByResync) {
        tx.prepare_cached("DELETE FROM draft")?.execute([])?;
    }
    tx.prepare_cached("UPDATE feed SET resync = 1")?.execute([])?;
    point!("feed.refill-marked");
    log::event(LogEvent::ResyncStarted, None, 0u64);
    Ok(())
}

/// Another install's counters are not ours: the next refill learns ours.
pub(crate) fn adopt_install(tx: &Transaction<'_>, install: &str) -> Result<(), PortalError> {
    tx.prepare_cached("UPDATE feed SET install = ?1")?.execute([install])?;
    point!("feed.install-adopted");
    if planted!(CountersOfAnotherInstall) {
        return Ok(());
    }
    refill(tx)
}

fn abandon(tx: &Transaction<'_>) -> Result<(), PortalError> {
    if planted!(StagedPagesStay) {
        tx.prepare_cached("UPDATE feed SET pull_epoch = NULL, pull_next = NULL, pull_checkpoint = NULL")?
            .execute([])?;
        return Ok(());
    }
    for sql in [
        "DELETE FROM staged",
        "DELETE FROM staged_ack",
        "UPDATE feed SET pull_epoch = NULL, pull_next = NULL, pull_checkpoint = NULL",
    ] {
        tx.prepare_cached(sql)?.execute([])?;
    }
    Ok(())
}

/// The unchanged answer (304): only its time is news, and that the base has all that was done.
/// Tells whether something left the outbox by that.
pub(crate) fn unchanged(tx: &Transaction<'_>, as_of: Option<Millis>) -> Result<bool, PortalError> {
    tx.prepare_cached("UPDATE feed SET as_of = coalesce(?1, as_of)")?.execute([as_of.map(|at| at.0)])?;
    let checkpoint = place(tx)?.checkpoint;
    outbox::pull_began(tx, checkpoint)?;
    Ok(outbox::drop_contained(tx, checkpoint)? > 0)
}

/// Takes one page, and publishes the pull when it is the last.
///
/// # Errors
/// `Offline { bad_answer }` for a page that does not continue the pull: nothing changes.
pub(crate) fn take(
    tx: &Transaction<'_>,
    kinds: &[&Kind],
    asked_from: &str,
    page: &Page<'_>,
    as_of: Option<Millis>,
    new_key: &mut dyn FnMut() -> Id,
) -> Result<Taken, PortalError> {
    let bad = || PortalError::offline(Reason::BadAnswer);
    let place = place(tx)?;
    let leads_nowhere = page.next.is_empty() || (page.has_more && page.next == page.from);
    let foreign = page.from != asked_from && !planted!(ForeignPageApplied);
    if foreign || place.from != asked_from || leads_nowhere || page.epoch.is_empty() {
        return Err(bad());
    }
    let begun: Option<(String, i64)> = tx
        .prepare_cached("SELECT pull_epoch, pull_checkpoint FROM feed WHERE pull_next IS NOT NULL")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match &begun {
        Some((epoch, checkpoint)) if *epoch != page.epoch || *checkpoint != page.checkpoint.0 => {
            // The server began another pull in the middle of ours: start over, keep the base.
            abandon(tx)?;
            return Ok(Taken { abandoned: true, ..Taken::default() });
        }
        // An earlier answer, out of some cache, also to a refill: within an epoch nothing goes back (I8).
        None if page.epoch == place.epoch
            && page.checkpoint.0 < place.checkpoint
            && !planted!(EarlierPageApplied) =>
        {
            return Err(bad());
        }
        None if !place.refill && page.epoch != place.epoch => return Err(bad()),
        _ => {}
    }
    if begun.is_none() {
        outbox::pull_began(tx, page.checkpoint.0)?;
    }
    let mut taken = Taken { received: page.changes.len() as u64, ..Taken::default() };
    if page.has_more && !planted!(PagesPublishedOneByOne) {
        stage(tx, page)?;
    } else {
        if place.refill {
            // Everything comes again; what is bad on any page of it is counted anew.
            tx.prepare_cached("DELETE FROM quarantined")?.execute([])?;
            mark_all(tx, kinds)?;
        }
        let heal = quarantined(tx)? > 0;
        let mut sink = Sink { tx, kinds, heal, taken: &mut taken };
        #[cfg(feature = "proof")]
        crate::proof::kept().iter().try_for_each(|raw| sink.apply_raw(raw))?;
        staged::take(tx, |raw| sink.apply_raw(raw))?;
        page.changes.iter().try_for_each(|raw| sink.apply_raw(raw.get()))?;
    }
    // In order of their sequences: the last one that can be read is the highest.
    let highest = page.changes.iter().rev().find_map(|raw| sequence(raw.get())).unwrap_or(0);
    taken.progress = (highest.unsigned_abs(), page.checkpoint.0.unsigned_abs());
    if !page.has_more {
        point!("feed.applied");
        finish(tx, kinds, &place, page, as_of, new_key, &mut taken)?;
    }
    Ok(taken)
}

/// Keeps a page until the last one of its pull publishes it.
fn stage(tx: &Transaction<'_>, page: &Page<'_>) -> Result<(), PortalError> {
    staged::put(tx, &page.changes)?;
    for (lane, n) in &page.acked {
        tx.prepare_cached("INSERT OR REPLACE INTO staged_ack VALUES (?1, ?2)")?.execute((lane, n.0))?;
    }
    tx.prepare_cached("UPDATE feed SET pull_epoch = ?1, pull_next = ?2, pull_checkpoint = ?3")?.execute((
        &page.epoch,
        &page.next,
        page.checkpoint.0,
    ))?;
    point!("feed.staged");
    if planted!(CursorBeforeRows) {
        tx.prepare_cached("UPDATE feed SET cursor = ?1, checkpoint = ?2")?
            .execute((&page.next, page.checkpoint.0))?;
    }
    Ok(())
}

/// A refill takes rows of any sequence and afterwards sweeps what it did not bring.
fn mark_all(tx: &Transaction<'_>, kinds: &[&Kind]) -> Result<(), PortalError> {
    for kind in kinds {
        tx.prepare_cached(&format!("UPDATE {} SET seq = -1", kind.table))?.execute([])?;
    }
    tx.prepare_cached("UPDATE parked SET seq = -1")?.execute([])?;
    Ok(())
}

/// The last page: cursor, acks and sweeping, in the transaction of the rows.
fn finish(
    tx: &Transaction<'_>,
    kinds: &[&Kind],
    place: &Place,
    page: &Page<'_>,
    as_of: Option<Millis>,
    new_key: &mut dyn FnMut() -> Id,
    taken: &mut Taken,
) -> Result<(), PortalError> {
    let checkpoint = page.checkpoint.0;
    if place.refill {
        sweep(tx, kinds)?;
        point!("feed.swept");
        let mut acked: BTreeMap<String, i64> =
            page.acked.iter().map(|(lane, n)| (lane.clone(), n.0)).collect();
        let mut statement = tx.prepare_cached("SELECT lane, n FROM staged_ack")?;
        for row in statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))? {
            let (lane, n) = row?;
            acked.insert(lane, n);
        }
        outbox::recount(tx, &acked, page.epoch != place.epoch, new_key)?;
        point!("feed.recounted");
        taken.changes = vec![Change::Everything];
    }
    // The badge and the counts of the first screen follow from the messages.
    if !planted!(BadgeNotTold)
        && taken.changes.iter().any(|change| matches!(change, Change::Messages { .. }))
        && !taken.changes.contains(&Change::Home)
    {
        taken.changes.push(Change::Home);
    }
    if outbox::drop_contained(tx, checkpoint)? > 0 {
        taken.changes.push(Change::Outbox);
    }
    point!("feed.dropped");
    abandon(tx)?;
    tx.prepare_cached(
        "UPDATE feed SET epoch = ?1, cursor = ?2, checkpoint = ?3, as_of = coalesce(?4, as_of), resync = 0",
    )?
    .execute(params![page.epoch, page.next, checkpoint, as_of.map(|at| at.0)])?;
    point!("feed.placed");
    taken.published = true;
    log::event(LogEvent::PagePublished, None, taken.received);
    Ok(())
}

/// After a refill: what the server no longer has goes. What came but could not be read is still
/// there, so its last good version stays.
fn sweep(tx: &Transaction<'_>, kinds: &[&Kind]) -> Result<(), PortalError> {
    let mut statement = tx.prepare_cached("SELECT entity, id FROM quarantined")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (entity, id): (String, String) = (row.get(0)?, row.get(1)?);
        let kind = kinds.iter().find(|kind| kind.entity == entity);
        if let (Some(kind), Some(id)) = (kind, Id::from_wire(&id)) {
            // Any later version is newer than a sequence of 0.
            tx.prepare_cached(&format!("UPDATE {} SET seq = 0 WHERE id = ?1 AND seq = -1", kind.table))?
                .execute([id.as_bytes()])?;
        }
    }
    for kind in kinds.iter().filter(|_| !planted!(ResyncKeepsDeleted)) {
        if let Some(forget) = kind.forget {
            tx.prepare_cached(
                &forget.replace("{pk}", &format!("(SELECT pk FROM {} WHERE seq = -1)", kind.table)),
            )?
            .execute([])?;
        }
        tx.prepare_cached(&format!("DELETE FROM {} WHERE seq = -1", kind.table))?.execute([])?;
    }
    tx.prepare_cached("DELETE FROM parked WHERE seq = -1")?.execute([])?;
    Ok(())
}

struct Sink<'a, 'tx> {
    tx: &'a Transaction<'tx>,
    kinds: &'a [&'a Kind],
    /// Something is in quarantine: a good version of it takes it out.
    heal: bool,
    taken: &'a mut Taken,
}

impl Sink<'_, '_> {
    fn apply_raw(&mut self, raw: &str) -> Result<(), PortalError> {
        let Ok(change) = serde_json::from_str::<WireChange<'_>>(raw) else {
            return self.quarantine("", &digest_of(raw), 0, "change", raw);
        };
        match body(&change) {
            Some(body) => self.apply(&change.entity, &change.id, change.seq.0, change.ver.0, body),
            None => self.quarantine(&change.entity, &change.id, change.seq.0, "data", raw),
        }
    }

    /// One change into the base. `body` is `None` for a tombstone.
    fn apply(
        &mut self,
        entity: &str,
        id: &str,
        seq: i64,
        ver: i64,
        body: Option<&str>,
    ) -> Result<(), PortalError> {
        let Some(row_id) = Id::from_wire(id) else {
            return self.quarantine(entity, id, seq, "id", body.unwrap_or("null"));
        };
        let kind = self.kinds.iter().find(|kind| kind.entity == entity).copied();
        match (kind, body) {
            (Some(kind), Some(body)) => match (kind.put)(self.tx, &Record { id: row_id, seq, ver, body }) {
                Ok(change) => {
                    change.add_to(&mut self.taken.changes);
                    self.healed(entity, id)?;
                }
                Err(Unfit::Record(_)) if planted!(BadRecordStopsTheFeed) => {
                    return Err(PortalError::offline(Reason::BadAnswer));
                }
                Err(Unfit::Record(reason)) => self.quarantine(entity, id, seq, reason, body)?,
                Err(Unfit::Store(error)) => return Err(error),
            },
            (Some(kind), None) => {
                self.delete(kind, row_id, seq)?;
                kind.change.clone().add_to(&mut self.taken.changes);
                self.healed(entity, id)?;
            }
            (None, Some(_)) if planted!(UnknownKindsDropped) => {}
            (None, Some(body)) => {
                self.tx
                    .prepare_cached(
                        "INSERT INTO parked VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET
                         seq = excluded.seq, ver = excluded.ver, body = excluded.body WHERE excluded.seq > seq",
                    )?
                    .execute(params![entity, row_id.as_bytes(), seq, ver, body])?;
            }
            (None, None) => {
                self.tx
                    .prepare_cached("DELETE FROM parked WHERE entity = ?1 AND id = ?2 AND seq < ?3")?
                    .execute(params![entity, row_id.as_bytes(), seq])?;
            }
        }
        Ok(())
    }

    fn delete(&self, kind: &Kind, id: Id, seq: i64) -> Result<(), PortalError> {
        if planted!(TombstoneDropped) {
            return Ok(());
        }
        let pk: Option<i64> = self
            .tx
            .prepare_cached(&format!("SELECT pk FROM {} WHERE id = ?1 AND seq < ?2", kind.table))?
            .query_row(params![id.as_bytes(), seq], |row| row.get(0))
            .optional()?;
        if let Some(pk) = pk {
            #[cfg(feature = "proof")]
            if planted!(DeletedComesBack) {
                let sql = format!(
                    "SELECT json_object('seq', CAST(seq AS TEXT), 'ver', CAST(ver AS TEXT), 'entity', '{}', 'id', '{id}',
                     'op', 'put', 'data', json(body)) FROM {} WHERE pk = {pk}",
                    kind.entity, kind.table
                );
                crate::proof::keep(self.tx.query_row(&sql, [], |row| row.get(0))?);
            }
            if let Some(forget) = kind.forget {
                self.tx.prepare_cached(&forget.replace("{pk}", &format!("({pk})")))?.execute([])?;
            }
            self.tx.prepare_cached(&format!("DELETE FROM {} WHERE pk = ?1", kind.table))?.execute([pk])?;
        }
        Ok(())
    }

    /// A good version, or the end, of a record that may be in quarantine.
    fn healed(&self, entity: &str, id: &str) -> Result<(), PortalError> {
        if self.heal {
            let mut statement =
                self.tx.prepare_cached("DELETE FROM quarantined WHERE entity = ?1 AND id = ?2")?;
            statement.execute((entity, id))?;
        }
        Ok(())
    }

    /// Keeps a record that no version should have sent, and lets the rest go on.
    fn quarantine(
        &mut self,
        entity: &str,
        id: &str,
        seq: i64,
        reason: &str,
        body: &str,
    ) -> Result<(), PortalError> {
        self.tx
            .prepare_cached("INSERT OR REPLACE INTO quarantined (entity, id, seq, reason, body) VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute((entity, id, seq, reason, body))?;
        self.taken.quarantined += 1;
        log::event(LogEvent::RecordQuarantined, None, seq.unsigned_abs());
        Ok(())
    }
}

fn sequence(raw: &str) -> Option<i64> {
    serde_json::from_str::<WireChange<'_>>(raw).ok().map(|change| change.seq.0)
}

/// The name of what has none, so that each one counts.
fn digest_of(raw: &str) -> String {
    digest(&SHA256, raw.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `Some(Some(json))` for a put, `Some(None)` for a tombstone, `None` for a put without data.
fn body<'a>(change: &WireChange<'a>) -> Option<Option<&'a str>> {
    match (change.op, change.data) {
        (Verb::Put, Some(data)) => Some(Some(data.get())),
        (Verb::Put, None) => None,
        (Verb::Del, _) => Some(None),
    }
}

/// The version of a record in the base, when its kind is known and it is there.
pub(crate) fn version(
    c: &Connection,
    kinds: &[&Kind],
    entity: &str,
    id: Id,
) -> Result<Option<i64>, PortalError> {
    let Some(kind) = kinds.iter().find(|kind| kind.entity == entity) else { return Ok(None) };
    let mut statement = c.prepare_cached(&format!("SELECT ver FROM {} WHERE id = ?1", kind.table))?;
    Ok(statement.query_row([id.as_bytes()], |row| row.get(0)).optional()?)
}

/// How many records wait in quarantine.
pub(crate) fn quarantined(c: &Connection) -> Result<u64, PortalError> {
    let count: i64 = c.prepare_cached("SELECT count(*) FROM quarantined")?.query_row([], |row| row.get(0))?;
    Ok(count.unsigned_abs())
}
