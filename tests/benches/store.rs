//! What the encryption of the store costs: 100,000 rows of 330 bytes, bulk insert, cold scan, point
//! read and page of 50, each with the shipped settings, against plain SQLite (the same library without
//! a key) and against SQLCipher's defaults, in alternating processes. ADR 2 was written from it.
//!
//! `cargo bench -p portal-tests --bench store`
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_macros,
    clippy::print_stdout,
    clippy::indexing_slicing
)]

mod figure;

use portal_tests::phone::Scratch;
use rusqlite::{Connection, params};
use std::path::Path;
use std::time::{Duration, Instant};

const ROWS: u32 = 100_000;
const KEY: &str = "PRAGMA key = \"x'2dd29ca851e7b56e4697b0e1f08507293d761a05ce4d1b628663f411a8086d99'\";";

/// What the core sets, as it stands there, and the page caches of its two connections.
const SHIPPED: [&str; 2] = [
    "PRAGMA cipher_memory_security = ON;",
    "PRAGMA cipher_page_size = 16384; PRAGMA cipher_hmac_algorithm = HMAC_SHA256;",
];
const RECIPE: &str = include_str!("../../core/src/store/connection.rs");

/// In KiB, as the core's source has it.
fn cache(of: &str) -> u32 {
    let value = RECIPE.split(&format!("const {of}_CACHE_KIB: u32 = ")).nth(1).unwrap();
    value.split(';').next().unwrap().split('*').map(|factor| factor.trim().parse::<u32>().unwrap()).product()
}

fn open(path: &Path, setting: &str, of: &str) -> Connection {
    let connection = Connection::open(path).unwrap();
    let shipped = setting == "shipped";
    if shipped {
        connection.execute_batch(SHIPPED[0]).unwrap();
    }
    if setting != "plain" {
        connection.execute_batch(KEY).unwrap();
    }
    if shipped {
        connection.execute_batch(SHIPPED[1]).unwrap();
    }
    connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY;")
        .unwrap();
    if shipped {
        connection.execute_batch("PRAGMA secure_delete = ON;").unwrap();
        connection.execute_batch(&format!("PRAGMA cache_size = -{};", cache(of))).unwrap();
    }
    connection
}

/// An id that is spread like a random one.
fn id(n: u32) -> [u8; 16] {
    let mixed = u128::from(n).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    mixed.to_be_bytes()
}

fn insert(connection: &mut Connection) -> Duration {
    let start = Instant::now();
    let tx = connection.transaction().unwrap();
    tx.execute_batch("CREATE TABLE m (pk INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, thread INTEGER, n INTEGER, body TEXT);
                      CREATE INDEX m_thread ON m (thread, n);").unwrap();
    {
        let mut statement =
            tx.prepare("INSERT INTO m (id, thread, n, body) VALUES (?1, ?2, ?3, ?4)").unwrap();
        let body = "x".repeat(290);
        for n in 0..ROWS {
            statement.execute(params![id(n), n % 100, n / 100, body]).unwrap();
        }
    }
    tx.commit().unwrap();
    start.elapsed()
}

fn scan(connection: &Connection) -> Duration {
    let start = Instant::now();
    let total: i64 = connection.query_row("SELECT sum(length(body)) FROM m", [], |row| row.get(0)).unwrap();
    assert_eq!(total, i64::from(ROWS) * 290);
    start.elapsed()
}

fn point(connection: &Connection) -> Duration {
    let mut statement = connection.prepare_cached("SELECT body FROM m WHERE id = ?1").unwrap();
    let start = Instant::now();
    for n in 0..10_000 {
        let body: String = statement.query_row([id(n * 7 % ROWS)], |row| row.get(0)).unwrap();
        assert_eq!(body.len(), 290);
    }
    start.elapsed()
}

fn page(connection: &Connection) -> Duration {
    let mut statement = connection
        .prepare_cached("SELECT n, body FROM m WHERE thread = ?1 AND n < ?2 ORDER BY n DESC LIMIT 50")
        .unwrap();
    let start = Instant::now();
    for n in 0..1_000u32 {
        let rows = statement.query_map([n % 100, 1_000 - n % 900], |row| row.get::<_, String>(1)).unwrap();
        assert!(rows.map(|row| row.unwrap().len()).sum::<usize>() >= 290);
    }
    start.elapsed()
}

/// One run of one setting: milliseconds per figure.
fn run(setting: &str) {
    let scratch = Scratch::new();
    let path = scratch.path().join("bench.db");
    let mut connection = open(&path, setting, "WRITER");
    let insert = insert(&mut connection);
    drop(connection);
    let connection = open(&path, setting, "READER");
    // Cold: a connection that has decrypted nothing yet. The next ones find it touched.
    let scan = scan(&connection);
    point(&connection);
    let point = point(&connection);
    page(&connection);
    for figure in [insert, scan, point, page(&connection)] {
        println!("{}", figure.as_secs_f64() * 1e3);
    }
}

const FIGURES: [&str; 4] = ["insert", "scan-cold", "point", "page50"];

fn main() {
    if let Some(role) = figure::role() {
        return run(&role[0]);
    }
    for part in
        SHIPPED.iter().flat_map(|line| line.split_inclusive(';')).chain(["PRAGMA secure_delete = ON;"])
    {
        assert!(RECIPE.contains(part.trim()), "the core does not set {part}: this measures something else");
    }
    for floor in ["plain", "defaults"] {
        let columns = figure::pairs(&["shipped"], &[floor]);
        for (what, (ours, theirs)) in FIGURES.iter().zip(columns) {
            figure::print(&format!("store/{what}/{floor}"), "ms", &ours, &theirs);
        }
    }
}
