//! Kills the core with SIGKILL, thousands of times: real processes, a real encrypted file, real TLS
//! sockets. After every kill the phone is opened again and has to know everything that it promised,
//! and the practice's own log has to show it once. `--help` tells how.

#![forbid(unsafe_code)]

mod acts;
mod child;
mod lane;
mod ledger;
mod life;
mod out;
mod practice;
mod raw;
mod tally;
mod targets;
mod words;

use clap::{Parser, Subcommand};
use lane::Lane;
use ledger::Wrong;
use portal_tests::progress::Progress;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tally::Tally;
use targets::Targets;
use words::Bug;

/// Kills the phone core at random and at named moments, and checks after each kill that nothing
/// promised is lost, nothing arrived twice, and everything opens.
///
/// The last line is `kills=N lost=0 doubled=0 unopenable=0 points=P`. It exits 1 when anything but
/// the first and last is not 0, or when a named moment was never killed at.
#[derive(Parser)]
#[command(version, after_help = "Examples:\n  kills --kills 5000 --seed 7\n  kills --control")]
struct Args {
    /// How often to kill.
    #[arg(long, default_value_t = 5_000)]
    kills: u64,
    /// Where the random numbers start; the same seed makes the same choices, at other moments.
    #[arg(long)]
    seed: Option<u64>,
    /// How many phones are killed at the same time, each with a practice of its own.
    #[arg(long, default_value_t = 2)]
    lanes: u64,
    /// Breaks promises on purpose, and fails if that is not found.
    #[arg(long)]
    control: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// A phone. The harness starts it.
    #[command(hide = true)]
    Child,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.command.is_some() {
        child::main();
        return ExitCode::SUCCESS;
    }
    let seed = args.seed.unwrap_or_else(|| u64::from(std::process::id()));
    out::line(&format!("seed {seed}"));
    let ended = if args.control { control(seed) } else { kills(&args, seed) };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(words) => {
            out::line(&words);
            ExitCode::FAILURE
        }
    }
}

fn run(tally: &Tally, targets: &Targets, lanes: u64, bug: Option<Bug>) -> Result<(), String> {
    let progress = Progress::new(tally.most, "kills");
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..lanes)
            .map(|number| {
                let lane = Lane { number, seed: tally.seed, bug, targets, tally };
                scope.spawn(move || lane.run())
            })
            .collect();
        while running.iter().any(|lane| !lane.is_finished()) {
            std::thread::sleep(Duration::from_millis(200));
            if bug.is_none() {
                progress.show(tally.kills());
            }
        }
        running.into_iter().try_for_each(|lane| lane.join().map_err(|_| "a lane panicked".to_owned())?)
    })
}

fn kills(args: &Args, seed: u64) -> Result<bool, String> {
    let (targets, began) = (Targets::default(), Instant::now());
    let tally = Tally::new(args.kills, seed, false);
    run(&tally, &targets, args.lanes, None)?;
    let (points, at_points, later) = targets.counts();
    let missed = targets.missed();
    out::line(&format!(
        "{} s; {at_points} kills at named points, {later} of them not at the first time",
        began.elapsed().as_secs()
    ));
    if !missed.is_empty() {
        out::line(&format!("never killed at: {}", missed.join(" ")));
    }
    out::line(&tally.line(points));
    Ok(missed.is_empty() && tally.is_clean())
}

/// Each bug of the child has to be found, and named as what it is.
fn control(seed: u64) -> Result<bool, String> {
    let mut found = true;
    for (bug, wrong) in
        [(Bug::Early, Wrong::Lost), (Bug::Twice, Wrong::Doubled), (Bug::Keyless, Wrong::Unopenable)]
    {
        let tally = Tally::new(100, seed, true);
        run(&tally, &Targets::default(), 2, Some(bug))?;
        out::line(&format!("control {bug:?}: {}", tally.line(0)));
        found &= tally.count(wrong) > 0;
    }
    out::line(if found { "every broken promise was found" } else { "a broken promise was not found" });
    Ok(found)
}
