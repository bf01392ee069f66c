//! Many runs: on all cores, some of them twice; and the shortest story of one that failed.

use super::{Plan, Run, Violation, run, shelf};
use crate::practice::locked;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Of so many runs one is made again.
const ONE_IN: u64 = 100;

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
                    let seed = first.wrapping_add(place);
                    let plan = Plan::new(seed, steps);
                    let one = if place.is_multiple_of(ONE_IN) { again(&plan) } else { run(plan) };
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

/// One run, and the same once more, where its trace must be the same (I37), also with every wall clock
/// eleven years ahead (I27).
fn again(plan: &Plan) -> Run {
    let mut first = run(plan.clone());
    if first.violation.is_some() {
        return first;
    }
    let mut differs = |plan: Plan, invariant: &'static str| {
        let other = run(plan);
        if other.trace != first.trace || invariant == "I37" && other.bodies != first.bodies {
            let of = |run: &Run| format!("{:016x}/{:016x}", run.trace, run.bodies);
            let what = format!("the trace is {} and then {}", of(&first), of(&other));
            first.fired.insert(invariant);
            first.violation = Some(Violation { invariant, what });
        }
    };
    differs(Plan { wall: 11 * 365 * 86_400_000, ..plan.clone() }, "I27");
    differs(plan.clone(), "I37");
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
    /// What else did not hold in the first of its runs.
    pub fired: BTreeSet<&'static str>,
}

/// So many runs of each bug, and the one that found it, go on when a check does not hold: which others do not?
#[cfg(feature = "proof")]
const GO_ON: u64 = 30;

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
                    let mut hunt = Hunt { mutant, runs: 0, found: None, fired: BTreeSet::new() };
                    while hunt.found.is_none() && hunt.runs < most {
                        let (seed, plan) = (hunt.runs + 1, Plan::new(hunt.runs + 1, steps));
                        let one = if hunt.runs.is_multiple_of(ONE_IN) { again(&plan) } else { run(plan) };
                        hunt.runs += 1;
                        hunt.fired.extend(one.fired);
                        let found = |violation| Found { seed, steps: one.steps, violation };
                        hunt.found = one.violation.map(found);
                    }
                    for seed in (1..=GO_ON).chain(hunt.found.as_ref().map(|found| found.seed)) {
                        hunt.fired.extend(run(Plan { goes_on: true, ..Plan::new(seed, steps) }).fired);
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

/// One run with its story, made again like one in a hundred.
pub fn replay(seed: u64, steps: u64) -> Run {
    let told = again(&Plan { telling: true, ..Plan::new(seed, steps) });
    shelf::clear();
    told
}

/// The shortest story of a run that failed: steps after the failure go, then as many of the others as
/// can be left out while the same thing fails.
pub fn shrink(seed: u64, steps: u64) -> Run {
    let whole = again(&Plan::new(seed, steps));
    let Some(violation) = whole.violation else { return whole };
    let compared = matches!(violation.invariant, "I27" | "I37");
    let once = |plan: Plan| if compared { again(&plan) } else { run(plan) };
    let fails = |without: &BTreeSet<u64>| {
        let plan = Plan { without: without.clone(), ..Plan::new(seed, whole.steps) };
        once(plan).violation.is_some_and(|found| found.invariant == violation.invariant)
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
    let told = once(Plan { telling: true, without, ..Plan::new(seed, whole.steps) });
    shelf::clear();
    told
}
