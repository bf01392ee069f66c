//! The outbox's rows: what the client asked for, until the base contains it.

use super::fate::{Fate, fate};
use super::wire::OpResult;
use crate::error::{PortalError, Reason};
use crate::proof::{planted, point};
use crate::store::Transaction;
use crate::values::{Id, Millis};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::BTreeMap;
use std::hash::BuildHasher;

/// Something to queue: what the server is asked to do, and in which lane.
pub(crate) struct NewOp {
    pub(crate) lane: String,
    /// `message.create@1`
    pub(crate) kind: &'static str,
    pub(crate) entity: &'static str,
    pub(crate) id: Id,
    /// A JSON object.
    pub(crate) args: String,
    pub(crate) guard: Guard,
}

/// Under which conditions an op may still leave (SPEC 2.1, class G). When one fails before delivery,
/// the op goes back to the client and is never sent silently.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Guard {
    /// Not at or after this time of the server's clock.
    pub(crate) deadline: Option<Millis>,
    /// Only while the base has this version of the op's entity. The server checks it again.
    pub(crate) base: Option<i64>,
}

/// Where an op stands; the numbers are the column's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpState {
    /// Its first byte has not left: it can be edited or taken back.
    Waiting = 0,
    /// It may have arrived: only the server's answer tells.
    Unanswered = 1,
    /// Done; the base does not contain it yet.
    Done = 2,
    /// Refused: it waits for the client.
    NeedsClient = 3,
}

/// One row.
pub(crate) struct OpRow {
    pub(crate) pk: i64,
    pub(crate) key: Id,
    pub(crate) lane: String,
    pub(crate) n: Option<i64>,
    pub(crate) kind: String,
    pub(crate) entity: String,
    pub(crate) id: Id,
    pub(crate) args: String,
    pub(crate) created_at: Millis,
    pub(crate) state: OpState,
    pub(crate) reason: Option<Reason>,
    pub(crate) field: Option<String>,
    pub(crate) attempts: u64,
    pub(crate) guard: Guard,
    /// No copy of it left before the claim that gave it out.
    pub(crate) fresh: bool,
}

const COLUMNS: &str =
    "pk, key, lane, n, type, entity, id, args, created_at, state, reason, field, attempts, deadline, base";

fn row(row: &Row<'_>) -> rusqlite::Result<OpRow> {
    Ok(OpRow {
        pk: row.get(0)?,
        key: Id::from_bytes(row.get(1)?),
        lane: row.get(2)?,
        n: row.get(3)?,
        kind: row.get(4)?,
        entity: row.get(5)?,
        id: Id::from_bytes(row.get(6)?),
        args: row.get(7)?,
        created_at: Millis(row.get(8)?),
        state: match row.get::<_, i64>(9)? {
            0 => OpState::Waiting,
            1 => OpState::Unanswered,
            2 => OpState::Done,
            _ => OpState::NeedsClient,
        },
        reason: row.get::<_, Option<String>>(10)?.map(|code| Reason::from_code(&code)),
        field: row.get(11)?,
        attempts: row.get::<_, i64>(12)?.unsigned_abs(),
        guard: Guard { deadline: row.get::<_, Option<i64>>(13)?.map(Millis), base: row.get(14)? },
        fresh: false,
    })
}

/// Queues an op; durable with the transaction.
pub(crate) fn enqueue(tx: &Transaction<'_>, op: &NewOp, key: Id, now: Millis) -> Result<(), PortalError> {
    tx.prepare_cached(
        "INSERT INTO outbox (key, lane, type, entity, id, args, created_at, state, deadline, base)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8, ?9)",
    )?
    .execute(params![
        key.as_bytes(),
        op.lane,
        op.kind,
        op.entity,
        op.id.as_bytes(),
        op.args,
        now.0,
        op.guard.deadline.map(|at| at.0),
        op.guard.base
    ])?;
    Ok(())
}

/// Everything in the outbox, oldest first.
pub(crate) fn all(c: &Connection) -> Result<Vec<OpRow>, PortalError> {
    let mut statement = c.prepare_cached(&format!("SELECT {COLUMNS} FROM outbox ORDER BY pk"))?;
    let rows = statement.query_map([], row)?.collect::<Result<_, _>>()?;
    Ok(rows)
}

/// The ops of one lane, oldest first.
pub(crate) fn of_lane(c: &Connection, lane: &str) -> Result<Vec<OpRow>, PortalError> {
    let mut statement =
        c.prepare_cached(&format!("SELECT {COLUMNS} FROM outbox WHERE lane = ?1 ORDER BY pk"))?;
    let rows = statement.query_map([lane], row)?.collect::<Result<_, _>>()?;
    Ok(rows)
}

/// The ops of two lanes, oldest first.
pub(crate) fn of_lanes(c: &Connection, lanes: [&str; 2]) -> Result<Vec<OpRow>, PortalError> {
    let sql = format!("SELECT {COLUMNS} FROM outbox WHERE lane IN (?1, ?2) ORDER BY pk");
    let mut statement = c.prepare_cached(&sql)?;
    let rows = statement.query_map(lanes, row)?.collect::<Result<_, _>>()?;
    Ok(rows)
}

/// One op by its key.
pub(crate) fn by_key(c: &Connection, key: Id) -> Result<Option<OpRow>, PortalError> {
    let mut statement = c.prepare_cached(&format!("SELECT {COLUMNS} FROM outbox WHERE key = ?1"))?;
    Ok(statement.query_row([key.as_bytes()], row).optional()?)
}

/// Takes an op out for good.
pub(crate) fn remove(tx: &Transaction<'_>, pk: i64) -> Result<(), PortalError> {
    tx.prepare_cached("DELETE FROM outbox WHERE pk = ?1")?.execute([pk])?;
    Ok(())
}

/// Gives an op other arguments; only for one that has not begun to leave.
pub(crate) fn set_args(tx: &Transaction<'_>, pk: i64, args: &str) -> Result<(), PortalError> {
    tx.prepare_cached("UPDATE outbox SET args = ?2 WHERE pk = ?1 AND state = 0")?.execute((pk, args))?;
    Ok(())
}

/// How many wait and how many need the client. Read marks, which nobody asked for by hand, are left
/// out.
pub(crate) fn counts(c: &Connection) -> Result<(u64, u64), PortalError> {
    let mut statement = c.prepare_cached(
        "SELECT count(*) FILTER (WHERE state < 2), count(*) FILTER (WHERE state = 3) FROM outbox WHERE entity <> 'read_mark'",
    )?;
    let (waiting, refused): (i64, i64) = statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok((waiting.unsigned_abs(), refused.unsigned_abs()))
}

/// Lanes with something to send, the one that has waited longest first: an order of names would be one of
/// the wall clock, which is in the ids (I27).
pub(crate) fn lanes(c: &Connection) -> Result<Vec<String>, PortalError> {
    let mut statement =
        c.prepare_cached("SELECT lane FROM outbox WHERE state < 2 GROUP BY lane ORDER BY min(pk)")?;
    let rows = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(rows)
}

/// Whether something waits whose deadline can only be judged once the server's clock is known.
pub(crate) fn needs_clock(c: &Connection) -> Result<bool, PortalError> {
    Ok(c.prepare_cached("SELECT 1 FROM outbox WHERE state = 0 AND deadline IS NOT NULL")?.exists([])?)
}

/// Bytes of one request's ops: below the protocol's 1 MiB with room for what stands around them.
const MOST_BYTES: usize = 768 * 1024;
/// What stands around one op's arguments: names, ids, numbers.
const AROUND: usize = 512;

/// What [`claim`] did.
#[derive(Default)]
pub(crate) struct Claimed {
    pub(crate) ops: Vec<OpRow>,
    /// Ops whose guard failed: they wait for the client.
    pub(crate) stopped: u64,
}

/// Gives numbers to the next ops of every lane that is not held, and marks them as leaving. Durable
/// before the first byte leaves, so that a kill cannot reuse a number. `guard` says why an op may not
/// leave any more.
pub(crate) fn claim(
    tx: &Transaction<'_>,
    held: &[String],
    most: usize,
    guard: impl Fn(&OpRow) -> Result<Result<(), Reason>, PortalError>,
) -> Result<Claimed, PortalError> {
    let mut claimed = Claimed::default();
    let mut bytes = 0;
    let mut lanes = lanes(tx)?;
    if planted!(OrderByChance) && std::collections::hash_map::RandomState::new().hash_one(0).is_multiple_of(2)
    {
        lanes.reverse();
    }
    for lane in lanes.iter().filter(|lane| !held.contains(lane)) {
        let mut ops = of_lane(tx, lane)?;
        if planted!(RefusedBlocksItsLane) && ops.iter().any(|op| op.state == OpState::NeedsClient) {
            continue;
        }
        if planted!(NewestFirst) {
            ops.reverse();
        }
        let again =
            |op: &OpRow| planted!(RefusalSentAgain) && op.state == OpState::NeedsClient && op.n.is_some();
        for mut op in ops.into_iter().filter(|op| (op.state as i64) < 2 || again(op)) {
            if claimed.ops.len() == most {
                return Ok(claimed);
            }
            // What may have arrived is asked about again whatever its guard says now.
            if let (OpState::Waiting, Err(reason)) = (op.state, guard(&op)?) {
                refuse(tx, op.pk, &reason, None)?;
                claimed.stopped += 1;
                continue;
            }
            bytes += op.args.len() + op.lane.len() + AROUND;
            // One op always goes, however long: only the server can say that it is too long.
            if bytes > MOST_BYTES && !claimed.ops.is_empty() {
                return Ok(claimed);
            }
            let n = match op.n {
                Some(n) if !planted!(NewNumberEachTry) => n,
                _ => next_number(tx, lane)?,
            };
            point!("outbox.numbered");
            op.n = Some(n);
            op.fresh = op.state == OpState::Waiting;
            op.state = OpState::Unanswered;
            tx.prepare_cached("UPDATE outbox SET n = ?2, state = 1, attempts = attempts + 1 WHERE pk = ?1")?
                .execute((op.pk, n))?;
            point!("outbox.claimed");
            claimed.ops.push(op);
        }
    }
    Ok(claimed)
}

fn next_number(tx: &Transaction<'_>, lane: &str) -> Result<i64, PortalError> {
    let mut statement = tx.prepare_cached(
        "INSERT INTO lane (lane, last_n) VALUES (?1, 1) ON CONFLICT (lane) DO UPDATE SET last_n = last_n + 1 RETURNING last_n",
    )?;
    Ok(statement.query_row([lane], |row| row.get(0))?)
}

/// No byte of the request left: what was claimed for it waits again as before, so that it can be
/// edited and taken back, and its numbers are free. Only what still is as it was claimed moves, and
/// only a lane's last number goes back: whatever came in between, no number is given twice.
pub(crate) fn release(tx: &Transaction<'_>, sent: &[OpRow]) -> Result<(), PortalError> {
    for op in sent.iter().rev().filter(|op| op.fresh) {
        if free_number(tx, op)? {
            point!("outbox.released");
            tx.prepare_cached(
                "UPDATE outbox SET n = NULL, state = 0, attempts = attempts - 1 WHERE pk = ?1",
            )?
            .execute([op.pk])?;
        }
    }
    Ok(())
}

/// Takes an op's number back if the op still is what was claimed and the number its lane's last.
fn free_number(tx: &Transaction<'_>, op: &OpRow) -> Result<bool, PortalError> {
    let mut statement = tx.prepare_cached(
        "UPDATE lane SET last_n = ?2 - 1 WHERE lane = ?1 AND last_n = ?2
         AND EXISTS (SELECT 1 FROM outbox WHERE pk = ?3 AND n = ?2 AND state = 1)",
    )?;
    Ok(statement.execute((&op.lane, op.n, op.pk))? == 1)
}

/// What settling did.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    pub(crate) done: u64,
    /// Lanes to try later, with the server's wish.
    pub(crate) later: Vec<(String, Option<std::time::Duration>)>,
    /// A lane's first op is `blocked`: our counter is not the server's.
    pub(crate) out_of_step: bool,
}

impl Settled {
    /// The first of a lane that has to wait says for how long; what is blocked behind it has no say.
    fn hold(&mut self, lane: &str, wait: Option<std::time::Duration>) {
        if !self.later.iter().any(|(held, _)| held == lane) {
            self.later.push((lane.to_owned(), wait));
        }
    }
}

/// Stores the server's answers to what [`claim`] gave out.
pub(crate) fn settle(
    tx: &Transaction<'_>,
    sent: &[OpRow],
    results: &[OpResult],
) -> Result<Settled, PortalError> {
    let checkpoint: i64 =
        tx.prepare_cached("SELECT checkpoint FROM feed")?.query_row([], |row| row.get(0))?;
    let mut settled = Settled::default();
    let mut before: Option<&OpRow> = None;
    for op in sent {
        let first_of_lane = before.replace(op).is_none_or(|before| before.lane != op.lane);
        // An answer is matched by lane and number, never by its place alone.
        let answer = results.iter().find(|result| result.lane == op.lane && Some(result.n.0) == op.n);
        match fate(answer, checkpoint) {
            Fate::InBase => {
                settled.done += 1;
                remove(tx, op.pk)?;
            }
            Fate::Done { .. } if planted!(OwnWriteGoneUntilSynced) => remove(tx, op.pk)?,
            Fate::Done { seq } => {
                settled.done += 1;
                tx.prepare_cached("UPDATE outbox SET state = 2, seq = ?2 WHERE pk = ?1")?
                    .execute((op.pk, seq))?;
            }
            Fate::Refused { .. } if planted!(RefusalNotShown) => remove(tx, op.pk)?,
            Fate::Refused { reason, field } => {
                refuse(tx, op.pk, &reason, field.as_deref())?;
            }
            Fate::Later { wait } => settled.hold(&op.lane, wait),
            Fate::Blocked => {
                settled.out_of_step |= first_of_lane;
                settled.hold(&op.lane, None);
            }
        }
    }
    Ok(settled)
}

fn refuse(tx: &Transaction<'_>, pk: i64, reason: &Reason, field: Option<&str>) -> Result<(), PortalError> {
    tx.prepare_cached("UPDATE outbox SET state = 3, reason = ?2, field = ?3 WHERE pk = ?1")?.execute((
        pk,
        reason.code(),
        field,
    ))?;
    Ok(())
}

/// The server knows this op's key with another number, or its number with another key: under a key and
/// a number of its own it can be sent again, since its id keeps it from being done twice (M1). One of
/// which an earlier copy left stays on its way.
pub(crate) fn rekey(tx: &Transaction<'_>, op: &OpRow, key: Id) -> Result<(), PortalError> {
    tx.prepare_cached("UPDATE outbox SET key = ?2, n = NULL WHERE pk = ?1 AND state < 2 AND key = ?3")?
        .execute((op.pk, key.as_bytes(), op.key.as_bytes()))?;
    Ok(())
}

/// A request with this one op, of which no copy left before, was refused as a whole: it goes to the
/// client, and its number back.
pub(crate) fn refuse_fresh(
    tx: &Transaction<'_>,
    op: &OpRow,
    reason: &Reason,
    field: Option<&str>,
) -> Result<(), PortalError> {
    if free_number(tx, op)? {
        refuse(tx, op.pk, reason, field)?;
    }
    Ok(())
}

/// A request with this one op was refused as a whole, and an earlier copy of it may have been
/// executed. Tells whether that is the first time.
pub(crate) fn doubt(tx: &Transaction<'_>, op: &OpRow, reason: &Reason) -> Result<bool, PortalError> {
    let mut statement =
        tx.prepare_cached("UPDATE outbox SET reason = ?2 WHERE pk = ?1 AND reason IS NULL")?;
    Ok(statement.execute((op.pk, reason.code()))? == 1)
}

/// Puts a refused op back at the end of its lane, under a new key: the server keeps its answer to
/// the old one for ever.
pub(crate) fn requeue(tx: &Transaction<'_>, op: &OpRow, args: &str, key: Id) -> Result<(), PortalError> {
    tx.prepare_cached(
        "INSERT INTO outbox (key, lane, type, entity, id, args, created_at, state, deadline, base)
         SELECT ?2, lane, type, entity, id, ?3, created_at, 0, deadline, base FROM outbox WHERE pk = ?1",
    )?
    .execute((op.pk, key.as_bytes(), args))?;
    point!("outbox.requeued");
    remove(tx, op.pk)
}

/// A pull begins after everything that is done: what does not know its change is in its checkpoint.
pub(crate) fn pull_began(tx: &Transaction<'_>, checkpoint: i64) -> Result<(), PortalError> {
    tx.prepare_cached("UPDATE outbox SET seq = ?1 WHERE state = 2 AND seq IS NULL")?.execute([checkpoint])?;
    Ok(())
}

/// The base now contains everything up to the checkpoint: what is done leaves in the same
/// transaction, so that no read sees it twice or not at all.
pub(crate) fn drop_contained(tx: &Transaction<'_>, checkpoint: i64) -> Result<usize, PortalError> {
    if planted!(DoneNeverLeaves) {
        return Ok(0);
    }
    let checkpoint = if planted!(DoneLeavesTooEarly) { i64::MAX } else { checkpoint };
    Ok(tx.prepare_cached("DELETE FROM outbox WHERE state = 2 AND seq <= ?1")?.execute([checkpoint])?)
}

/// After a refill: the counters are what the server says, and what it has not executed is numbered
/// anew, in a new epoch under a new key. Running a create again is harmless, since the server knows
/// its id (M1). It stays on its way, since a late copy may still arrive: it can be neither edited nor
/// taken back (I3).
pub(crate) fn recount(
    tx: &Transaction<'_>,
    acked: &BTreeMap<String, i64>,
    new_epoch: bool,
    mut key: impl FnMut() -> Id,
) -> Result<(), PortalError> {
    if planted!(CountersKeptInANewEpoch) && new_epoch {
        return Ok(());
    }
    tx.prepare_cached("DELETE FROM lane")?.execute([])?;
    point!("outbox.uncounted");
    for (lane, n) in acked {
        tx.prepare_cached("INSERT INTO lane (lane, last_n) VALUES (?1, ?2)")?.execute((lane, n))?;
    }
    for op in all(tx)? {
        if planted!(AckTakenForApplied)
            && op.n.is_some_and(|n| acked.get(&op.lane).is_some_and(|last| n <= *last))
        {
            remove(tx, op.pk)?;
            continue;
        }
        let executed = op.n.is_some_and(|n| acked.get(&op.lane).is_some_and(|last| n <= *last));
        let again = match op.state {
            OpState::Unanswered => new_epoch || !executed,
            OpState::Done => new_epoch,
            OpState::Waiting | OpState::NeedsClient => false,
        };
        if again {
            // In the same epoch a late copy of the request may still arrive: under the same key it is
            // the same op.
            let key = if new_epoch { key() } else { op.key };
            tx.prepare_cached("UPDATE outbox SET n = NULL, seq = NULL, state = 1, key = ?2 WHERE pk = ?1")?
                .execute((op.pk, key.as_bytes()))?;
        }
    }
    Ok(())
}
