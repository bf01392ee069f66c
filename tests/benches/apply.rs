//! Sync apply: 100,000 records, from JSON pages in memory to published rows, through the core as
//! shipped and its public API (the network hands over prepared pages), against plain SQLite with the
//! same schema, the same parsing, one transaction and nothing else: no staging, no upsert, no
//! encryption.
//!
//! `cargo bench -p portal-tests --bench apply`
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_macros,
    clippy::print_stdout,
    clippy::indexing_slicing
)]

mod figure;
mod plain;

use portal_tests::phone::{Scratch, now};
use portal_tests::prepared;
use std::time::Instant;

const MESSAGES: usize = 100_000;

fn main() {
    let Some(role) = figure::role() else {
        for (ours, floor) in figure::pairs(&["ours"], &["floor"]) {
            figure::print("apply/100k", "ms", &ours, &floor);
        }
        return;
    };
    let pages = prepared::pages(MESSAGES, 1);
    let scratch = Scratch::new();
    let took = if role[0] == "floor" {
        let mut connection = plain::create(&scratch.path().join("plain.db"));
        let start = Instant::now();
        plain::apply(&mut connection, &pages);
        start.elapsed()
    } else {
        let phone = prepared::registered(scratch.path(), pages).unwrap();
        let start = Instant::now();
        let report = now(phone.sync(None)).unwrap();
        let took = start.elapsed();
        assert!(report.complete && report.quarantined == 0, "{report:?}");
        assert!(report.received > MESSAGES as u64, "{report:?}");
        took
    };
    println!("{}", took.as_secs_f64() * 1e3);
}
