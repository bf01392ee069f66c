//! The device's own clock and randomness: the one place that asks the operating system for them.
#![allow(clippy::disallowed_methods, reason = "this is what everybody else goes through")]

use super::{Clock, Entropy};
use crate::values::Millis;
use futures_util::future::BoxFuture;
use ring::rand::{SecureRandom, SystemRandom};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(crate) struct SystemClock {
    started: std::time::Instant,
}

impl SystemClock {
    pub(crate) fn new() -> Self {
        Self { started: std::time::Instant::now() }
    }
}

impl Clock for SystemClock {
    fn wall(&self) -> Millis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn boot(&self) -> u64 {
        // `Instant` stops while a phone sleeps (SECURITY 1, trap 5), so the kernel's boot clock is
        // asked; where there is none, `Instant` is the best that safe Rust has.
        boottime().unwrap_or_else(|| u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn boottime() -> Option<u64> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).ok()?;
    let millis = u64::try_from(time.tv_nsec / 1_000_000).ok()?;
    Some(seconds * 1000 + millis)
}

// On Apple's systems CLOCK_MONOTONIC goes on during sleep (it is mach_continuous_time).
#[cfg(target_vendor = "apple")]
fn boottime() -> Option<u64> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).ok()?;
    let millis = u64::try_from(time.tv_nsec / 1_000_000).ok()?;
    Some(seconds * 1000 + millis)
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn boottime() -> Option<u64> {
    None
}

pub(crate) struct SystemEntropy(SystemRandom);

impl SystemEntropy {
    pub(crate) fn new() -> Self {
        Self(SystemRandom::new())
    }
}

impl Entropy for SystemEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        // The system's generator fails only before it is seeded at boot: wait for it.
        while self.0.fill(buffer).is_err() {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
