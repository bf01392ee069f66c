//! What all lanes have counted.

use crate::ledger::{Fault, Wrong};
use crate::out;
use portal_tests::practice::locked;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Whoever sees so many faults has seen enough.
const MOST_FAULTS: usize = 20;

/// Kills and what was wrong after them.
pub(crate) struct Tally {
    /// How many kills there are to be.
    pub(crate) most: u64,
    pub(crate) seed: u64,
    quiet: bool,
    kills: AtomicU64,
    faults: Mutex<Vec<Wrong>>,
}

impl Tally {
    /// `quiet`: faults are expected, and counted only.
    pub(crate) fn new(most: u64, seed: u64, quiet: bool) -> Self {
        Self { most, seed, quiet, kills: AtomicU64::new(0), faults: Mutex::default() }
    }

    /// The number of the next kill, unless there were enough.
    pub(crate) fn next(&self) -> Option<u64> {
        let enough = locked(&self.faults).len() >= MOST_FAULTS;
        let take = |kills| (!enough && kills < self.most).then_some(kills + 1);
        self.kills.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).ok()
    }

    pub(crate) fn kills(&self) -> u64 {
        self.kills.load(Ordering::SeqCst)
    }

    /// Something is wrong.
    pub(crate) fn fault(&self, lane: u64, kill: u64, (wrong, words): Fault) {
        locked(&self.faults).push(wrong);
        if !self.quiet {
            out::line(&format!("{wrong:?}: {words} (seed {}, lane {lane}, kill {kill})", self.seed));
        }
    }

    pub(crate) fn count(&self, wrong: Wrong) -> usize {
        locked(&self.faults).iter().filter(|one| **one == wrong).count()
    }

    pub(crate) fn is_clean(&self) -> bool {
        locked(&self.faults).is_empty()
    }

    /// The last line of a run.
    pub(crate) fn line(&self, points: usize) -> String {
        format!(
            "kills={} lost={} doubled={} unopenable={} points={points}",
            self.kills(),
            self.count(Wrong::Lost),
            self.count(Wrong::Doubled),
            self.count(Wrong::Unopenable),
        )
    }
}
