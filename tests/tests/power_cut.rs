//! The power goes at every write and every sync of sixty acts: the next start succeeds unattended and
//! nothing that was promised is lost, doubled or half done (I24).
//!
//! A program rather than a test of the usual harness: it takes minutes and shows where it is.
//! `cargo test -p portal-tests --test power_cut -- --help`
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, clippy::disallowed_macros, reason = "a program prints what it found")]

mod lab;
mod storage;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use std::process::ExitCode;
use std::time::Instant;
use storage::check::Wrong;
use storage::{cuts, script};

/// Messages that the practice has of this client before it all begins.
const MESSAGES: usize = 40;

/// Cuts the power at every write and every sync of sixty acts of a client, in every way in which a disk
/// may have kept and lost what was not synced, and opens the phone again.
#[derive(Parser)]
#[command(name = "power_cut")]
struct Arguments {
    /// Chooses the random subsets of what was not synced.
    #[arg(long, default_value_t = 20_260_415)]
    seed: u64,
    /// Cuts run on so many threads.
    #[arg(long, default_value_t = std::thread::available_parallelism().map_or(2, std::num::NonZero::get))]
    threads: usize,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let started = Instant::now();
    println!("seed {}", arguments.seed);
    let played = cuts::play(script::canonical(), MESSAGES, None);
    println!("{} acts, {} events: {:?}", script::canonical().len(), played.events(), played.kinds());
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} events, {eta} left").unwrap();
    // Draws only on a terminal.
    let bar = ProgressBar::new(played.events() as u64 + 1).with_style(style);
    let tally = cuts::cut(&played, 0, arguments.threads, arguments.seed, || bar.inc(1));
    bar.finish_and_clear();
    for (place, wrong) in tally.wrong.iter().take(20) {
        println!("{place}: {wrong:?}");
    }
    println!(
        "{} images of a disk, as SQLite reads them {} phones; {} had done the act under way, {} asked to sign in again; {} s",
        tally.images,
        tally.phones,
        tally.act_was_done,
        tally.signed_in_again,
        started.elapsed().as_secs()
    );
    println!(
        "cuts={} policies={} unopenable={} lost={} doubled={} wrong={}",
        tally.cuts,
        cuts::POLICIES,
        tally.count(|wrong| matches!(wrong, Wrong::Unopenable(_))),
        tally.count(|wrong| matches!(wrong, Wrong::Lost(_))),
        tally.count(|wrong| matches!(wrong, Wrong::Doubled(_))),
        tally.count(|wrong| matches!(wrong, Wrong::Other(_))),
    );
    if tally.wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
