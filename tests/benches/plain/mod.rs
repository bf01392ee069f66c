//! The floor: plain SQLite with the core's schema, filled from the same pages in the most direct way.
#![allow(dead_code, unreachable_pub, reason = "each bench uses a part")]

use rusqlite::{Connection, params};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::path::Path;

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    changes: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Change<'a> {
    seq: Cow<'a, str>,
    entity: Cow<'a, str>,
    id: uuid::Uuid,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct Message<'a> {
    thread: uuid::Uuid,
    n: Cow<'a, str>,
    #[serde(borrow)]
    author: Author<'a>,
    #[serde(borrow)]
    body: Cow<'a, str>,
    sent_at: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Author<'a> {
    kind: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Mark<'a> {
    upto: Cow<'a, str>,
}

/// A file with the core's first schema, WAL as the core has it, and the core's page cache for writing.
pub fn create(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY;
             PRAGMA cache_size = -16384;",
        )
        .unwrap();
    connection.execute_batch(include_str!("../../../core/src/store/migrations/001_initial.sql")).unwrap();
    connection
}

/// Parses and inserts everything in one transaction.
pub fn apply(connection: &mut Connection, pages: &[Vec<u8>]) {
    let tx = connection.transaction().unwrap();
    {
        let mut message = tx
            .prepare("INSERT INTO message (id, seq, ver, body, thread, n, mine, sent_at) VALUES (?1, ?2, 1, ?3, ?4, ?5, ?6, ?7)")
            .unwrap();
        let mut words = tx.prepare("INSERT INTO message_words (rowid, words) VALUES (?1, ?2)").unwrap();
        for page in pages {
            let page: Page<'_> = serde_json::from_slice(page).unwrap();
            for raw in page.changes {
                let change: Change<'_> = serde_json::from_str(raw.get()).unwrap();
                let (id, seq): (_, i64) = (change.id.as_bytes(), change.seq.parse().unwrap());
                let data = change.data.get();
                if change.entity != "message" {
                    other(&tx, &change.entity, id, seq, data);
                    continue;
                }
                let record: Message<'_> = serde_json::from_str(data).unwrap();
                let n: i64 = record.n.parse().unwrap();
                let at = chrono::DateTime::parse_from_rfc3339(&record.sent_at).unwrap().timestamp_millis();
                let thread = record.thread.as_bytes();
                let mine = record.author.kind == "client";
                message.execute(params![id, seq, data, thread, n, mine, at]).unwrap();
                words.execute(params![tx.last_insert_rowid(), record.body]).unwrap();
            }
        }
    }
    tx.commit().unwrap();
}

/// The few rows that are no message.
fn other(connection: &Connection, entity: &str, id: &[u8], seq: i64, data: &str) {
    let sql = match entity {
        "practice" | "client" => {
            format!("INSERT INTO {entity} (id, seq, ver, body) VALUES (?1, ?2, 1, ?3)")
        }
        "staff" => "INSERT INTO staff (id, seq, ver, body, name) VALUES (?1, ?2, 1, ?3, '')".to_owned(),
        "read_mark" => {
            "INSERT INTO read_mark (id, seq, ver, body, upto) VALUES (?1, ?2, 1, ?3, ?4)".to_owned()
        }
        _ => "INSERT INTO thread (id, seq, ver, body, created_at) VALUES (?1, ?2, 1, ?3, 0)".to_owned(),
    };
    if entity == "read_mark" {
        let mark: Mark<'_> = serde_json::from_str(data).unwrap();
        let upto: i64 = mark.upto.parse().unwrap();
        connection.execute(&sql, params![id, seq, data, upto]).unwrap();
    } else {
        connection.execute(&sql, params![id, seq, data]).unwrap();
    }
}
