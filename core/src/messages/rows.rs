//! The SQL of `thread`, `message`, `read_mark` and of drafts.

use super::words;
use crate::change::Change;
use crate::error::{PortalError, Reason};
use crate::store::Transaction;
use crate::sync::feed::{Kind, Record, Unfit};
use crate::values::{Id, Millis, Phi, parse_rfc3339};
use rusqlite::{Connection, OptionalExtension, Params, Row, params};
use serde::Deserialize;
use std::borrow::Cow;

const CHANGED: Change = Change::Messages { thread: None };

pub(crate) static THREAD: Kind =
    Kind { entity: "thread", table: "thread", put: put_thread, forget: None, change: CHANGED };
pub(crate) static MESSAGE: Kind = Kind {
    entity: "message",
    table: "message",
    put: put_message,
    forget: Some("DELETE FROM message_words WHERE rowid IN {pk}"),
    change: CHANGED,
};
pub(crate) static READ_MARK: Kind =
    Kind { entity: "read_mark", table: "read_mark", put: put_read_mark, forget: None, change: CHANGED };

#[derive(Deserialize)]
pub(super) struct ThreadRecord {
    pub(super) subject: String,
    #[serde(default)]
    pub(super) participants: Vec<String>,
    created_at: String,
    #[serde(default)]
    pub(super) closed: bool,
}

#[derive(Deserialize)]
struct MessageRecord<'a> {
    thread: Id,
    #[serde(borrow)]
    n: Cow<'a, str>,
    #[serde(borrow)]
    author: Author<'a>,
    #[serde(borrow)]
    body: Cow<'a, str>,
    #[serde(borrow)]
    sent_at: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Author<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
}

#[derive(Deserialize)]
struct ReadMarkRecord {
    upto: String,
}

fn put_thread(tx: &Transaction<'_>, record: &Record<'_>) -> Result<Change, Unfit> {
    let thread: ThreadRecord = serde_json::from_str(record.body).map_err(|_| Unfit::Record("fields"))?;
    let created_at = parse_rfc3339(&thread.created_at).ok_or(Unfit::Record("created_at"))?;
    tx.prepare_cached(
        "INSERT INTO thread (id, seq, ver, body, created_at) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (id) DO UPDATE SET
         seq = excluded.seq, ver = excluded.ver, body = excluded.body, created_at = excluded.created_at
         WHERE excluded.seq > seq",
    )?
    .execute(params![record.id.as_bytes(), record.seq, record.ver, record.body, created_at.0])?;
    Ok(moved(record.id))
}

fn put_message(tx: &Transaction<'_>, record: &Record<'_>) -> Result<Change, Unfit> {
    let message: MessageRecord<'_> =
        serde_json::from_str(record.body).map_err(|_| Unfit::Record("fields"))?;
    let n: i64 = message.n.parse().ok().filter(|n| *n > 0).ok_or(Unfit::Record("n"))?;
    let sent_at = parse_rfc3339(&message.sent_at).ok_or(Unfit::Record("sent_at"))?;
    let (thread, mine) = (message.thread.as_bytes(), message.author.kind == "client");
    let row = params![record.id.as_bytes(), record.seq, record.ver, record.body, thread, n, mine, sent_at.0];
    // Nearly every message is new: the common case is a plain insert, which tells by its count.
    let inserted = tx
        .prepare_cached(
            "INSERT INTO message (id, seq, ver, body, thread, n, mine, sent_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT (id) DO NOTHING",
        )?
        .execute(row)?;
    if inserted > 0 {
        tx.prepare_cached("INSERT INTO message_words (rowid, words) VALUES (?1, ?2)")?
            .execute((tx.last_insert_rowid(), words::indexed(&message.body)))?;
        return Ok(moved(message.thread));
    }
    let pk: Option<i64> = tx
        .prepare_cached(
            "UPDATE message SET seq = ?2, ver = ?3, body = ?4, thread = ?5, n = ?6, mine = ?7, sent_at = ?8
             WHERE id = ?1 AND seq < ?2 RETURNING pk",
        )?
        .query_row(row, |row| row.get(0))
        .optional()?;
    if let Some(pk) = pk {
        tx.prepare_cached("INSERT OR REPLACE INTO message_words (rowid, words) VALUES (?1, ?2)")?
            .execute((pk, words::indexed(&message.body)))?;
    }
    Ok(moved(message.thread))
}

fn put_read_mark(tx: &Transaction<'_>, record: &Record<'_>) -> Result<Change, Unfit> {
    let mark: ReadMarkRecord = serde_json::from_str(record.body).map_err(|_| Unfit::Record("fields"))?;
    let upto: i64 = mark.upto.parse().map_err(|_| Unfit::Record("upto"))?;
    tx.prepare_cached(
        "INSERT INTO read_mark (id, seq, ver, body, upto) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (id) DO UPDATE SET
         seq = excluded.seq, ver = excluded.ver, body = excluded.body, upto = excluded.upto WHERE excluded.seq > seq",
    )?
    .execute(params![record.id.as_bytes(), record.seq, record.ver, record.body, upto])?;
    Ok(moved(record.id))
}

fn moved(thread: Id) -> Change {
    Change::Messages { thread: Some(thread.to_string()) }
}

/// A conversation of the base, with what the list needs.
pub(super) struct ThreadRow {
    pub(super) id: Id,
    pub(super) record: ThreadRecord,
    pub(super) created_at: Millis,
    pub(super) last: Option<MessageRow>,
    pub(super) unread: u64,
    pub(super) upto: i64,
}

/// A message of the base.
pub(super) struct MessageRow {
    pub(super) id: Id,
    pub(super) n: i64,
    pub(super) mine: bool,
    pub(super) author: String,
    pub(super) text: Phi<String>,
    pub(super) sent_at: Millis,
}

fn damaged() -> PortalError {
    PortalError::storage(Reason::Damaged)
}

/// Every conversation, in no order.
pub(super) fn threads(c: &Connection) -> Result<Vec<ThreadRow>, PortalError> {
    thread_rows(c, "", [])
}

/// One conversation.
pub(super) fn thread(c: &Connection, id: Id) -> Result<Option<ThreadRow>, PortalError> {
    Ok(thread_rows(c, "WHERE t.id = ?1", [id.as_bytes()])?.pop())
}

fn thread_rows(c: &Connection, condition: &str, values: impl Params) -> Result<Vec<ThreadRow>, PortalError> {
    let mut statement = c.prepare_cached(&format!(
        "SELECT t.id, t.body, t.created_at, coalesce(r.upto, 0),
           (SELECT count(*) FROM message m WHERE m.thread = t.id AND m.n > coalesce(r.upto, 0) AND m.mine = 0),
           (SELECT m.pk FROM message m WHERE m.thread = t.id ORDER BY m.n DESC LIMIT 1)
         FROM thread t LEFT JOIN read_mark r ON r.id = t.id {condition}"
    ))?;
    let mut rows = statement.query(values)?;
    let mut threads = Vec::new();
    while let Some(row) = rows.next()? {
        let body: String = row.get(1)?;
        let last: Option<i64> = row.get(5)?;
        threads.push(ThreadRow {
            id: Id::from_bytes(row.get(0)?),
            record: serde_json::from_str(&body).map_err(|_| damaged())?,
            created_at: Millis(row.get(2)?),
            upto: row.get(3)?,
            unread: row.get::<_, i64>(4)?.unsigned_abs(),
            last: last.map(|pk| message(c, pk)).transpose()?,
        });
    }
    Ok(threads)
}

const MESSAGE_COLUMNS: &str = "id, n, mine, sent_at, body";

fn message_row(row: &Row<'_>) -> rusqlite::Result<(Id, i64, bool, i64, String)> {
    Ok((Id::from_bytes(row.get(0)?), row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
}

fn message_of((id, n, mine, sent_at, body): (Id, i64, bool, i64, String)) -> Result<MessageRow, PortalError> {
    let record: MessageRecord<'_> = serde_json::from_str(&body).map_err(|_| damaged())?;
    let (author, text) = (record.author.id.into_owned(), Phi::new(record.body.into_owned()));
    Ok(MessageRow { id, n, mine, author, text, sent_at: Millis(sent_at) })
}

fn message(c: &Connection, pk: i64) -> Result<MessageRow, PortalError> {
    let mut statement = c.prepare_cached(&format!("SELECT {MESSAGE_COLUMNS} FROM message WHERE pk = ?1"))?;
    message_of(statement.query_row([pk], message_row)?)
}

/// Up to `limit` messages of a conversation below `before`, newest first.
pub(super) fn messages(
    c: &Connection,
    thread: Id,
    before: i64,
    limit: u32,
) -> Result<Vec<MessageRow>, PortalError> {
    let mut statement = c.prepare_cached(&format!(
        "SELECT {MESSAGE_COLUMNS} FROM message WHERE thread = ?1 AND n < ?2 ORDER BY n DESC LIMIT ?3"
    ))?;
    let rows = statement.query_map(params![thread.as_bytes(), before, limit], message_row)?;
    rows.map(|row| message_of(row?)).collect()
}

/// Whether the base has a message.
pub(super) fn has_message(c: &Connection, id: Id) -> Result<bool, PortalError> {
    Ok(c.prepare_cached("SELECT 1 FROM message WHERE id = ?1")?.exists([id.as_bytes()])?)
}

/// Unread messages of a conversation above a mark.
pub(super) fn unread(c: &Connection, thread: Id, upto: i64) -> Result<u64, PortalError> {
    let mut statement =
        c.prepare_cached("SELECT count(*) FROM message WHERE thread = ?1 AND n > ?2 AND mine = 0")?;
    let count: i64 = statement.query_row(params![thread.as_bytes(), upto], |row| row.get(0))?;
    Ok(count.unsigned_abs())
}

/// Messages that have the words, newest first, with their conversation.
pub(super) fn search(c: &Connection, asked: &str, limit: u32) -> Result<Vec<(Id, MessageRow)>, PortalError> {
    let (sql, argument) = match words::query(asked) {
        Some(query) => (
            "SELECT m.pk FROM message_words JOIN message m ON m.pk = message_words.rowid
             WHERE message_words MATCH ?1 ORDER BY m.sent_at DESC, m.pk DESC LIMIT ?2",
            query,
        ),
        // SQLite takes no JSON of more than 1,000 levels, and we keep what the server sent.
        None => (
            "SELECT pk FROM message
             WHERE CASE WHEN json_valid(body) THEN instr(json_extract(body, '$.body'), ?1) ELSE 0 END > 0
             ORDER BY sent_at DESC, pk DESC LIMIT ?2",
            asked.trim().to_owned(),
        ),
    };
    let mut statement = c.prepare_cached(sql)?;
    let found =
        statement.query_map((argument, limit), |row| row.get::<_, i64>(0))?.collect::<Result<Vec<_>, _>>()?;
    let mut thread_of = c.prepare_cached("SELECT thread FROM message WHERE pk = ?1")?;
    found
        .into_iter()
        .map(|pk| Ok((Id::from_bytes(thread_of.query_row([pk], |row| row.get(0))?), message(c, pk)?)))
        .collect()
}

/// A draft as stored.
pub(super) struct DraftRow {
    pub(super) key: String,
    pub(super) recipient: Option<String>,
    pub(super) subject: Phi<String>,
    pub(super) body: Phi<String>,
    pub(super) saved_at: Millis,
}

/// Drafts, newest first.
pub(super) fn drafts(c: &Connection) -> Result<Vec<DraftRow>, PortalError> {
    let mut statement = c.prepare_cached(
        "SELECT key, recipient, subject, body, saved_at FROM draft ORDER BY saved_at DESC, key",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(DraftRow {
            key: row.get(0)?,
            recipient: row.get(1)?,
            subject: Phi::new(row.get(2)?),
            body: Phi::new(row.get(3)?),
            saved_at: Millis(row.get(4)?),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn save_draft(tx: &Transaction<'_>, draft: &DraftRow) -> Result<(), PortalError> {
    tx.prepare_cached(
        "INSERT OR REPLACE INTO draft (key, recipient, subject, body, saved_at) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute((
        &draft.key,
        &draft.recipient,
        draft.subject.expose(),
        draft.body.expose(),
        draft.saved_at.0,
    ))?;
    Ok(())
}

pub(super) fn remove_draft(tx: &Transaction<'_>, key: &str) -> Result<(), PortalError> {
    tx.prepare_cached("DELETE FROM draft WHERE key = ?1")?.execute([key])?;
    Ok(())
}

/// The text of one draft.
pub(super) fn draft_body(c: &Connection, key: &str) -> Result<Option<String>, PortalError> {
    Ok(c.prepare_cached("SELECT body FROM draft WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()?)
}
