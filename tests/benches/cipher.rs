//! What the encryption of the store costs: 100,000 rows of 330 bytes, point read, page of 50, cold
//! scan, bulk insert and single durable writes, for several settings of SQLCipher, each against plain SQLite
//! (the same library without a key), in alternating pairs of processes.
//!
//! `cargo bench -p portal-tests --bench cipher` prints one line a figure; ADR 2 was written from it.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_macros,
    clippy::print_stdout,
    clippy::indexing_slicing
)]

use rusqlite::{Connection, params};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const ROWS: u32 = 100_000;
const PAIRS: usize = 7;
const KEY: &str = "PRAGMA key = \"x'2dd29ca851e7b56e4697b0e1f08507293d761a05ce4d1b628663f411a8086d99'\";";

struct Setting {
    name: &'static str,
    before_key: &'static str,
    after_key: &'static str,
}

/// The first is the floor; the last is what the store ships.
const SETTINGS: [Setting; 8] = [
    Setting { name: "plain", before_key: "", after_key: "" },
    Setting { name: "defaults", before_key: "", after_key: "" },
    Setting { name: "memory-security", before_key: "PRAGMA cipher_memory_security = ON;", after_key: "" },
    Setting {
        name: "sha256",
        before_key: "PRAGMA cipher_memory_security = ON;",
        after_key: "PRAGMA cipher_hmac_algorithm = HMAC_SHA256;",
    },
    Setting {
        name: "sha256-cache64-page8k",
        before_key: "PRAGMA cipher_memory_security = ON;",
        after_key: "PRAGMA cipher_page_size = 8192; PRAGMA cipher_hmac_algorithm = HMAC_SHA256; PRAGMA cache_size = -65536;",
    },
    Setting {
        name: "sha256-cache64-page4k",
        before_key: "PRAGMA cipher_memory_security = ON;",
        after_key: "PRAGMA cipher_hmac_algorithm = HMAC_SHA256; PRAGMA cache_size = -65536;",
    },
    Setting {
        name: "sha512-cache64-page16k",
        before_key: "PRAGMA cipher_memory_security = ON;",
        after_key: "PRAGMA cipher_page_size = 16384; PRAGMA cache_size = -65536;",
    },
    Setting {
        name: "shipped",
        before_key: "PRAGMA cipher_memory_security = ON;",
        after_key: "PRAGMA cipher_page_size = 16384; PRAGMA cipher_hmac_algorithm = HMAC_SHA256; PRAGMA cache_size = -65536;",
    },
];

fn open(path: &Path, setting: &Setting) -> Connection {
    let connection = Connection::open(path).unwrap();
    if setting.name != "plain" {
        connection.execute_batch(setting.before_key).unwrap();
        connection.execute_batch(KEY).unwrap();
        connection.execute_batch(setting.after_key).unwrap();
    }
    connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY;")
        .unwrap();
    connection
}

/// A 330-byte row whose id is spread like a random one.
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

/// Small durable writes: one row and its transaction each.
fn commit(connection: &Connection) -> Duration {
    let start = Instant::now();
    for n in 0..100 {
        connection
            .execute("INSERT INTO m (id, thread, n, body) VALUES (?1, 1, ?2, 'x')", params![id(ROWS + n), n])
            .unwrap();
    }
    start.elapsed()
}

/// One run of one setting, in a process of its own: memory security, once on, stays on for every
/// connection of a process, so a floor beside it would not be plain.
fn run(setting: &Setting) {
    let directory = std::env::temp_dir().join(format!("portal-cipher-bench-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("bench.db");
    let mut connection = open(&path, setting);
    let insert = insert(&mut connection);
    drop(connection);
    let connection = open(&path, setting);
    // Cold: a connection that has decrypted nothing yet. The next ones find it touched.
    let scan = scan(&connection);
    point(&connection);
    let point = point(&connection);
    page(&connection);
    let page = page(&connection);
    let commit = commit(&connection);
    for figure in [insert, scan, point, page, commit] {
        println!("{}", figure.as_secs_f64() * 1e3);
    }
    let _ = std::fs::remove_dir_all(&directory);
}

const FIGURES: [&str; 5] = ["insert", "scan", "point", "page", "commit"];

/// Milliseconds per figure.
fn child(setting: &Setting) -> Vec<f64> {
    let output =
        Command::new(std::env::current_exe().unwrap()).args(["--run", setting.name]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(|line| line.parse().unwrap()).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--run");
    if let Some(name) = arguments.nth(1) {
        return run(SETTINGS.iter().find(|setting| setting.name == name).unwrap());
    }
    let version: String = Connection::open_in_memory()
        .unwrap()
        .query_row("PRAGMA cipher_version", [], |row| row.get(0))
        .unwrap();
    println!(
        "# SQLCipher {version}, {ROWS} rows of 330 bytes, medians of {PAIRS} alternating pairs of processes, milliseconds"
    );
    for setting in &SETTINGS[1..] {
        let (mut ours, mut floor) = (Vec::new(), Vec::new());
        for _ in 0..PAIRS {
            floor.push(child(&SETTINGS[0]));
            ours.push(child(setting));
        }
        for (index, what) in FIGURES.iter().enumerate() {
            let of = |runs: &[Vec<f64>]| runs.iter().map(|run| run[index]).collect::<Vec<_>>();
            let (least, most) =
                of(&floor).into_iter().fold((f64::MAX, 0f64), |(l, m), v| (l.min(v), m.max(v)));
            let noisy = if most > 1.5 * least { " noisy" } else { "" };
            let (ours, floor) = (median(of(&ours)), median(of(&floor)));
            println!(
                "bench cipher/{}/{what} ours={ours:.1}ms floor={floor:.1}ms ratio={:.2}{noisy}",
                setting.name,
                ours / floor
            );
        }
    }
}
