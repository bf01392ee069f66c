//! The controls of the power cuts: a disk that loses what it said was safe is noticed, and one that
//! does not is not blamed. `power_cut` itself takes minutes; this is its short form.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, clippy::disallowed_macros, reason = "a test prints its seed")]

mod lab;
mod storage;

use portal_test_vfs::{self as vfs, Disk};
use portal_tests::phone::Scratch;
use storage::check::Wrong;
use storage::cuts;
use storage::script::Act;

const SEED: u64 = 20_260_416;

/// The acts of the short story before the first one that is cut: they write the most.
const SIGNED_UP: usize = 2;

fn short() -> Vec<Act> {
    vec![
        Act::Register,
        Act::Sync,
        Act::Send(0, "I slept better."),
        Act::DraftReply(0, "And"),
        Act::DraftReply(0, "And today"),
        Act::Sync,
    ]
}

#[test]
fn i24_a_short_story_survives_every_cut() {
    println!("seed {SEED}");
    let tally = cuts::cut(&cuts::play(short(), 5, None), SIGNED_UP, 1, SEED, || ());
    assert_eq!(tally.wrong, []);
    assert!(tally.images > 500 && tally.phones > 10 && tally.act_was_done > 2, "{tally:?}");
}

#[test]
fn a_disk_that_says_that_it_synced_and_did_not_is_noticed() {
    println!("seed {SEED}");
    let tally = cuts::cut(&cuts::play(short(), 5, Some(SIGNED_UP)), SIGNED_UP, 1, SEED, || ());
    let lost = tally.count(|wrong| matches!(wrong, Wrong::Lost(_)));
    assert!(lost > 5, "{lost} of {}", tally.phones);
}

/// What a committed row is worth under this setting, when nothing survives that was not synced.
fn survives(synchronous: &str) -> bool {
    vfs::install();
    let scratch = Scratch::new();
    vfs::record(scratch.path());
    let file = scratch.path().join("a.db");
    let connection = rusqlite::Connection::open(&file).unwrap();
    let setup = format!("PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}; CREATE TABLE t (x);");
    connection.execute_batch(&setup).unwrap();
    connection.execute_batch("INSERT INTO t VALUES (1)").unwrap();
    let recording = vfs::stop();
    drop(connection);
    let mut disk = Disk::default();
    recording.events.iter().for_each(|event| disk.play(event));
    assert!(recording.events.len() > 4);
    disk.image(&disk.first(0)).lay_out(scratch.path()).unwrap();
    let connection = rusqlite::Connection::open(&file).unwrap();
    connection.query_row("SELECT x FROM t", [], |row| row.get::<_, i64>(0)).is_ok()
}

#[test]
fn a_weaker_setting_of_sqlite_loses_what_was_committed_and_ours_does_not() {
    assert!(survives("FULL"));
    assert!(!survives("NORMAL"));
    assert!(!survives("OFF"));
}
