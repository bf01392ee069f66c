//! Durable enqueue: a message sent without a network, through the public API on the core's own
//! threads, from the call to its Ok, against one write of 4 KiB and `fdatasync` into a file that is
//! long enough already. In turns, in one process.
//!
//! `cargo bench -p portal-tests --bench enqueue`
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_macros,
    clippy::print_stdout,
    clippy::indexing_slicing
)]

mod figure;

use portal_core::messages::ThreadFilter;
use portal_core::runtime::Mode;
use portal_tests::phone::{Scratch, registration};
use portal_tests::practice::Practice;
use portal_tests::prepared;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

const WRITES: u64 = 700;
const BLOCK: usize = 4096;

fn main() {
    let scratch = Scratch::new();
    let practice = Practice::demo(0);
    let pages = prepared::pages(10_000, 1);
    let phone = prepared::phone(scratch.path(), &practice, pages, Mode::Threads).unwrap();
    let file = File::create(scratch.path().join("floor")).unwrap();
    for block in 0..WRITES {
        file.write_all_at(&[1; BLOCK], block * BLOCK as u64).unwrap();
    }
    file.sync_all().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (ours, floor) = runtime.block_on(async {
        phone.account().register(registration(&practice)).await.unwrap();
        assert!(phone.sync(None).await.unwrap().complete);
        let threads = phone.messages().threads(ThreadFilter::All, 0, 1).await.unwrap();
        practice.set_online(false);
        let (mut ours, mut floor) = (Vec::new(), Vec::new());
        for block in 0..WRITES {
            let start = Instant::now();
            file.write_all_at(&[2; BLOCK], block * BLOCK as u64).unwrap();
            file.sync_data().unwrap();
            floor.push(start.elapsed());
            let (messages, thread) = (phone.messages(), threads.threads[0].id.clone());
            let start = Instant::now();
            messages.send(thread, "Written in a tunnel, and it must not be lost.".into()).await.unwrap();
            ours.push(start.elapsed());
            // Nobody's outbox is long: taken back, and not measured, once the background has given up.
            let entries = phone.outbox().entries().await.unwrap();
            assert_eq!(entries.len(), 1);
            while phone.outbox().discard(entries[0].id.clone()).await.is_err() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        (ours, floor)
    });
    // Seven runs of a hundred: single writes vary by more than half on any disk.
    let micros =
        |times: &[Duration]| -> Vec<f64> { times.iter().map(|time| time.as_secs_f64() * 1e6).collect() };
    let runs = |times: Vec<Duration>| -> Vec<f64> {
        times.chunks(100).map(|run| figure::median(&micros(run))).collect()
    };
    figure::print("enqueue", "us", &runs(ours), &runs(floor));
}
