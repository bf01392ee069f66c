//! Counting failures of something that may not even exist: five lock it for half an hour.

use crate::rules::secrets::Digest;
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::HashMap;

const FAILURES: u32 = 5;
const LOCK: TimeDelta = TimeDelta::minutes(30);

/// The failures by the hash of what failed. A single failure is forgotten half an hour after the last one,
/// which admits fewer guesses than the lock itself does and bounds the memory.
#[derive(Clone, Default)]
pub(crate) struct Lockouts {
    failures: HashMap<Digest, Failures>,
    /// The number of entries at which old ones are swept out.
    sweep_at: usize,
}

#[derive(Clone)]
struct Failures {
    count: u32,
    /// The end of the lock once locked, else when the count is forgotten.
    until: DateTime<Utc>,
}

impl Lockouts {
    /// How long it stays locked, if it is.
    pub(crate) fn remaining(&self, key: &Digest, now: DateTime<Utc>) -> Option<TimeDelta> {
        let failures = self.failures.get(key).filter(|failures| failures.count >= FAILURES)?;
        (now < failures.until).then(|| failures.until - now)
    }

    /// Counts a failure.
    pub(crate) fn fail(&mut self, key: Digest, now: DateTime<Utc>) {
        self.sweep(now);
        let failures = self.failures.entry(key).or_insert(Failures { count: 0, until: now });
        if now >= failures.until {
            failures.count = 0;
        }
        failures.count += 1;
        failures.until = now + LOCK;
    }

    /// Forgets the failures after a success.
    pub(crate) fn clear(&mut self, key: &Digest) {
        self.failures.remove(key);
    }

    fn sweep(&mut self, now: DateTime<Utc>) {
        if self.failures.len() >= self.sweep_at.max(1_000) {
            self.failures.retain(|_, failures| now < failures.until);
            self.sweep_at = self.failures.len() * 2;
        }
    }
}
