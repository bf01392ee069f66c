//! Many runs: on all cores, some of them twice; and the shortest story of one that failed.

use super::{Plan, Run, Violation, run, shelf};
use crate::practice::locked;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What many runs came to.
#[derive(Debug, Default)]
pub struct Many {
    /// Runs.
    pub seeds: u64,
    /// Their steps together.
    pub steps: u64,
    /// Their traces, added up, so that the order in which they ended does not matter.
    pub trace: u64,
    /// Those that failed, by seed.
    pub found: Vec<Found>,
}

/// A run that failed.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its number.
    pub seed: u64,
    /// Steps until then.
    pub steps: u64,
    /// What did not hold.
    pub violation: Violation,
}

/// Runs the seeds from `first` on, and tells after each how many are done. Ends early after `most`
/// failures. `prepare` is called on every thread before its first run.
pub fn many(
    first: u64,
    seeds: u64,
    steps: u64,
    most: usize,
    prepare: impl Fn() + Sync,
    progress: impl Fn(u64) + Sync,
) -> Many {
    let (next, done, over) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let many = Mutex::new(Many::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                prepare();
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    if place >= seeds || over.load(Ordering::Relaxed) {
                        return shelf::clear();
                    }
                    let seed = first + place;
                    let one = twice(seed, steps);
                    let mut many = locked(&many);
                    many.seeds += 1;
                    many.steps += one.steps;
                    many.trace = many.trace.wrapping_add(one.trace ^ seed);
                    if let Some(violation) = one.violation {
                        many.found.push(Found { seed, steps: one.steps, violation });
                        over.store(many.found.len() >= most, Ordering::Relaxed);
                    }
                    drop(many);
                    progress(done.fetch_add(1, Ordering::Relaxed) + 1);
                }
            });
        }
    });
    let mut many = many.into_inner().unwrap_or_default();
    many.found.sort_by_key(|found| found.seed);
    many
}

/// One run; one in a hundred is run again, where its trace must be the same (I37), also with every
/// wall clock eleven years ahead (I27).
fn twice(seed: u64, steps: u64) -> Run {
    let mut first = run(Plan::new(seed, steps));
    if seed.is_multiple_of(100) && first.violation.is_none() {
        let mut again = Plan::new(seed, steps);
        let mut differs = |plan: Plan, invariant: &'static str| {
            let other = run(plan);
            if other.trace != first.trace {
                let what = format!("the trace is {:016x} and then {:016x}", first.trace, other.trace);
                first.violation = Some(Violation { invariant, what });
            }
        };
        differs(again.clone(), "I37");
        again.wall = 11 * 365 * 86_400_000;
        differs(again, "I27");
    }
    first
}

/// How long it took to find a planted bug.
#[cfg(feature = "proof")]
#[derive(Clone, Debug)]
pub struct Hunt {
    /// The bug.
    pub mutant: portal_core::proof::Mutant,
    /// Runs until it was found, or all of them.
    pub runs: u64,
    /// Where it showed.
    pub found: Option<Found>,
}

/// Runs seeds from 1 on with each bug planted, until it is found; on all cores, a bug a core. Tells
/// each result as soon as it is there, and gives them in order.
#[cfg(feature = "proof")]
pub fn hunt(
    mutants: &[portal_core::proof::Mutant],
    most: u64,
    steps: u64,
    tell: impl Fn(&Hunt) + Sync,
) -> Vec<Hunt> {
    let (next, hunts) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let place = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap_or(usize::MAX);
                    let Some(mutant) = mutants.get(place).copied() else { return shelf::clear() };
                    portal_core::proof::plant(Some(mutant));
                    let mut hunt = Hunt { mutant, runs: 0, found: None };
                    while hunt.found.is_none() && hunt.runs < most {
                        hunt.runs += 1;
                        let seed = hunt.runs;
                        let run = twice(seed, steps);
                        let found = |violation| Found { seed, steps: run.steps, violation };
                        hunt.found = run.violation.map(found);
                    }
                    portal_core::proof::plant(None);
                    tell(&hunt);
                    locked(&hunts).push((place, hunt));
                }
            });
        }
    });
    let mut hunts = hunts.into_inner().unwrap_or_default();
    hunts.sort_by_key(|(place, _)| *place);
    hunts.into_iter().map(|(_, hunt)| hunt).collect()
}

/// One run with its story.
pub fn replay(seed: u64, steps: u64) -> Run {
    let told = run(Plan { telling: true, ..Plan::new(seed, steps) });
    shelf::clear();
    told
}

/// The shortest story of a run that failed: steps after the failure go, then as many of the others as
/// can be left out while the same thing fails.
pub fn shrink(seed: u64, steps: u64) -> Run {
    let whole = run(Plan::new(seed, steps));
    let Some(violation) = whole.violation else { return whole };
    let fails = |without: &BTreeSet<u64>| {
        let plan = Plan { without: without.clone(), ..Plan::new(seed, whole.steps) };
        run(plan).violation.is_some_and(|found| found.invariant == violation.invariant)
    };
    let mut without = BTreeSet::new();
    let mut size = whole.steps.div_ceil(2).max(1);
    let mut tries = 400;
    while tries > 0 {
        let mut start = 0;
        while start < whole.steps && tries > 0 {
            let mut more = without.clone();
            more.extend(start..(start + size).min(whole.steps));
            if more.len() > without.len() {
                tries -= 1;
                if fails(&more) {
                    without = more;
                }
            }
            start += size;
        }
        if size == 1 {
            break;
        }
        size = size.div_ceil(2);
    }
    let told = run(Plan { telling: true, without, ..Plan::new(seed, whole.steps) });
    shelf::clear();
    told
}
