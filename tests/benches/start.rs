//! Cold start: from `main` of a new process to the data of the home screen, as a shell does it (open,
//! unlock, home), over a file of 100 MB, against opening a plain file with the same rows and asking the
//! same questions of it. Every run is a process of its own, in turns.
//!
//! `cargo bench -p portal-tests --bench start`
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_macros,
    clippy::print_stdout,
    clippy::indexing_slicing
)]

mod figure;
mod live;
mod plain;

use portal_tests::phone::{Scratch, now};
use portal_tests::practice::ISSUER;
use portal_tests::{prepared, tls_lab};
use rusqlite::Connection;
use std::path::Path;
use std::time::Instant;

/// So many that the file has 100 MB.
const MESSAGES: usize = 200_000;

fn main() {
    let start = Instant::now();
    let Some(role) = figure::role() else { return measure() };
    let directory = Path::new(&role[1]);
    match role[0].as_str() {
        "prepare" => {
            let pages = prepared::pages(MESSAGES, 1);
            plain::apply(&mut plain::create(&directory.join("plain.db")), &pages);
            let phone = prepared::registered(directory, pages).unwrap();
            assert!(now(phone.sync(None)).unwrap().complete);
        }
        "floor" => raw(&directory.join("plain.db")),
        _ => home(directory, &role[2]),
    }
    println!("{}", start.elapsed().as_secs_f64() * 1e3);
}

fn measure() {
    let scratch = Scratch::new();
    let directory = scratch.path().to_str().unwrap();
    figure::child(&["prepare", directory]);
    let files = std::fs::read_dir(scratch.path().join("data/users")).into_iter().flatten().flatten();
    let size: u64 = files
        .map(|user| std::fs::metadata(user.path().join("portal.db")).map_or(0, |file| file.len()))
        .max()
        .unwrap_or_default();
    println!("# start: the file has {} MB", size / 1_000_000);
    let roots = tls_lab::Authority::new("Roots").certificate.pem();
    for (ours, floor) in figure::pairs(&["ours", directory, &roots], &["floor", directory]) {
        figure::print("start/home", "ms", &ours, &floor);
    }
}

fn home(directory: &Path, roots: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let portal = live::phone(directory, ISSUER, roots).await;
        portal.account().unlock().await.unwrap();
        let home = portal.home().view().await.unwrap();
        assert!(home.practice.is_some() && home.badge > 0, "{}", home.badge);
    });
}

/// What the home screen asks: practice, client, staff, what is unread, what waits.
fn raw(path: &Path) {
    let connection = Connection::open(path).unwrap();
    for table in ["practice", "client", "staff"] {
        let mut statement = connection.prepare(&format!("SELECT id, body FROM {table}")).unwrap();
        let rows = statement.query_map([], |row| row.get::<_, String>(1)).unwrap();
        for body in rows {
            let _: serde_json::Value = serde_json::from_str(&body.unwrap()).unwrap();
        }
    }
    let one = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    let unread = one("SELECT sum((SELECT count(*) FROM message m
            WHERE m.thread = t.id AND m.n > coalesce(r.upto, 0) AND m.mine = 0))
         FROM thread t LEFT JOIN read_mark r ON r.id = t.id");
    assert!(unread > 0);
    one("SELECT count(*) FROM outbox");
    one("SELECT count(*) FROM feed");
}
