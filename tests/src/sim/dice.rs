//! Random choices. Every step has dice of its own, thrown from the run's seed and the step's number:
//! when a step is left out to shorten a story, the others stay what they were.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Dice.
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    /// The dice of one purpose of one run.
    pub(crate) fn of(seed: u64, purpose: u64) -> Self {
        // Two odd constants, so that neighbours have nothing in common.
        let mixed = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ purpose.wrapping_mul(0xD134_2543_DE82_EF95);
        Self(ChaCha8Rng::seed_from_u64(mixed))
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64() % bound.max(1)
    }

    /// True this often.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && ((self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64) < probability
    }

    /// One of them.
    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let place = self.below(from.len() as u64);
        from.get(usize::try_from(place).unwrap_or(0))
    }

    /// A time in milliseconds whose order of magnitude is uniform.
    pub(crate) fn magnitude(&mut self, least: u64, most: u64) -> u64 {
        let (low, high) = ((least.max(1) as f64).ln(), (most.max(2) as f64).ln());
        let share = self.below(1 << 20) as f64 / (1 << 20) as f64;
        (low + (high - low) * share).exp() as u64
    }
}
