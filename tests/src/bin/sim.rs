//! The simulator's command line.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::disallowed_macros, reason = "a program that reports")]

use clap::Parser;
use portal_tests::progress::Progress;
use portal_tests::sim::{self, CHECKS, ELSEWHERE, Run, When};
use std::process::ExitCode;
use std::time::Instant;

/// With the C library's allocator an eighth of a run's instructions were its own; phones have others as well.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs the core as shipped through random disasters: one to three phones, two clients and the staff of
/// a practice, on a virtual clock and network, with every fault of tests/src/sim/faults.rs. What must
/// hold is checked after every step. A run is one number and can be replayed from it.
#[derive(Parser)]
#[command(after_help = "Examples:
  sim                               a thousand runs
  sim --seeds 100000 --seed0 1      the runs 1 to 100,000
  sim --seed 4711                   replays one run with its story
  sim --list                        what is checked")]
struct Args {
    /// How many runs.
    #[arg(long, default_value_t = 1_000, conflicts_with_all = ["seed", "mutants", "list"])]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1, conflicts_with_all = ["seed", "mutants", "list"])]
    seed0: u64,
    /// Replays this run with its story, shortened when it fails.
    #[arg(long, conflicts_with_all = ["mutants", "list"])]
    seed: Option<u64>,
    /// Steps of a run, before it comes to rest.
    #[arg(long, default_value_t = 200)]
    steps: u64,
    /// Plants one bug after the other and runs each until it is found, and tells which bugs each check
    /// answers to (needs `--features proof`).
    #[arg(long, conflicts_with = "list")]
    mutants: bool,
    /// Lists what is checked.
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    portal_test_vfs::in_memory();
    sim::keep_panics();
    if args.list {
        for check in CHECKS {
            let when = if check.when == When::Step { "after every step" } else { "at rest" };
            println!("{:<5} {when:<17} {}", check.id, check.says);
        }
        for (id, says) in ELSEWHERE {
            println!("{id:<5} {:<17} {says}", "where it happens");
        }
        return ExitCode::SUCCESS;
    }
    if args.mutants {
        return mutants(args.steps);
    }
    if let Some(seed) = args.seed {
        let run = sim::replay(seed, args.steps);
        let failed = run.violation.is_some();
        tell(seed, &if failed { sim::shrink(seed, args.steps) } else { run });
        return if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    }
    let progress = Progress::new(args.seeds, "runs");
    let began = Instant::now();
    let many = sim::many(args.seed0, args.seeds, args.steps, 5, || (), |done| progress.show(done));
    drop(progress);
    if let Some(first) = many.found.first() {
        tell(first.seed, &sim::shrink(first.seed, args.steps));
    }
    for found in &many.found {
        println!(
            "seed {}: {} after {} steps: {}",
            found.seed, found.violation.invariant, found.steps, found.violation.what
        );
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{:.0} s, {:.0} runs a second", seconds, many.seeds as f64 / seconds.max(0.001));
    println!(
        "seeds={} steps={} violations={} trace={:016x}",
        many.seeds,
        many.steps,
        many.found.len(),
        many.trace
    );
    if many.found.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(not(feature = "proof"))]
fn mutants(_: u64) -> ExitCode {
    println!(
        "Bugs are planted in a build of their own: cargo run -p portal-tests --features proof --bin sim -- --mutants"
    );
    ExitCode::from(2)
}

/// Every bug has to be found within this many runs.
#[cfg(feature = "proof")]
const MOST: u64 = 2_000;

#[cfg(feature = "proof")]
fn mutants(steps: u64) -> ExitCode {
    use portal_core::proof::Mutant;
    let hunts = sim::hunt(Mutant::ALL, MOST, steps, |hunt| {
        let found = hunt.found.as_ref().map_or("NOT FOUND", |found| found.violation.invariant);
        println!(
            "{:<32} {:<10} {:>5} runs  {}",
            format!("{:?}", hunt.mutant),
            found,
            hunt.runs,
            hunt.mutant.sentence()
        );
    });
    let names = CHECKS.iter().map(|check| check.id).chain(ELSEWHERE.iter().map(|(id, _)| *id));
    let names: Vec<&str> = names.collect();
    let mut answers = 0;
    for name in &names {
        let bugs = hunts.iter().filter(|hunt| hunt.fired.contains(name));
        let bugs: Vec<String> = bugs.map(|hunt| format!("{:?}", hunt.mutant)).collect();
        answers += usize::from(!bugs.is_empty());
        let first = bugs.get(..bugs.len().min(3)).unwrap_or_default().join(", ");
        println!("{name:<5} answers to {:>2} bugs  {first}", bugs.len());
    }
    println!("checks={} answering={answers}", names.len());
    let caught = hunts.iter().filter(|hunt| hunt.found.is_some()).count();
    let worst = hunts.iter().map(|hunt| hunt.runs).max().unwrap_or(0);
    println!("mutants={} caught={caught} worst={worst}", hunts.len());
    if caught == hunts.len() && answers == names.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tell(seed: u64, run: &Run) {
    run.story.iter().for_each(|line| println!("{line}"));
    match &run.violation {
        Some(violation) => {
            println!(
                "seed {seed} violates {} after {} steps: {}",
                violation.invariant, run.steps, violation.what
            );
        }
        None => println!("seed {seed}: {} steps, everything holds, trace {:016x}", run.steps, run.trace),
    }
}
