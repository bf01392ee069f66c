//! Virtual time: one for everybody, and on each device a wall clock that somebody may have set and a
//! boot clock that begins anew when it is switched on.

use crate::practice::locked;
use futures_util::future::BoxFuture;
use portal_core::ports::Clock;
use portal_core::values::Millis;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// The start of every run: 2026-04-15T15:00:00Z, in milliseconds since 1970.
pub(crate) const START: i64 = 1_776_265_200_000;

/// Time, and who waits for it.
#[derive(Default)]
pub(crate) struct Time {
    now: AtomicU64,
    next: AtomicU64,
    sleepers: Mutex<BTreeMap<(u64, u64), Waker>>,
    /// How often somebody looked at a clock since time last passed.
    looks: AtomicU64,
}

/// Who looks at the clock more often than this while no time passes goes round in circles.
const MOST_LOOKS: u64 = 100_000;

impl Time {
    /// Milliseconds since the run began.
    pub(crate) fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    /// The practice's clock.
    pub(crate) fn server(&self) -> chrono::DateTime<chrono::Utc> {
        let millis = START + i64::try_from(self.now()).unwrap_or(0);
        chrono::DateTime::from_timestamp_millis(millis).unwrap_or_default()
    }

    /// Lets time pass up to then, and wakes whoever waited for it.
    pub(crate) fn pass_to(&self, then: u64) {
        let then = then.max(self.now());
        self.now.store(then, Ordering::Relaxed);
        self.looks.store(0, Ordering::Relaxed);
        let due = {
            let mut sleepers = locked(&self.sleepers);
            let later = sleepers.split_off(&(then + 1, 0));
            std::mem::replace(&mut *sleepers, later)
        };
        due.into_values().for_each(Waker::wake);
    }

    /// When the next one wakes.
    pub(crate) fn next_wake(&self) -> Option<u64> {
        locked(&self.sleepers).keys().next().map(|(due, _)| *due)
    }
}

/// The clocks of one device.
pub(crate) struct DeviceClock {
    time: Arc<Time>,
    /// What the wall clock is ahead of the practice's.
    pub(crate) ahead: AtomicI64,
    /// When it was switched on.
    pub(crate) booted: AtomicU64,
}

impl DeviceClock {
    /// A clock that is right.
    pub(crate) fn new(time: &Arc<Time>) -> Self {
        Self { time: time.clone(), ahead: AtomicI64::new(0), booted: AtomicU64::new(time.now()) }
    }
}

impl Clock for DeviceClock {
    fn wall(&self) -> Millis {
        let now = i64::try_from(self.time.now()).unwrap_or(0);
        Millis(START + now + self.ahead.load(Ordering::Relaxed))
    }

    /// # Panics
    /// When somebody goes round in circles: there is no other way out of a loop that never waits.
    #[allow(clippy::panic, reason = "a run that panics is a violation")]
    fn boot(&self) -> u64 {
        if self.time.looks.fetch_add(1, Ordering::Relaxed) > MOST_LOOKS {
            panic!("somebody goes round in circles");
        }
        self.time.now() - self.booted.load(Ordering::Relaxed)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 2);
        Box::pin(Sleep { until: self.time.now().saturating_add(millis), at: None, time: self.time.clone() })
    }
}

struct Sleep {
    until: u64,
    at: Option<u64>,
    time: Arc<Time>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.time.now() >= self.until {
            return Poll::Ready(());
        }
        let number = self.at.unwrap_or_else(|| self.time.next.fetch_add(1, Ordering::Relaxed));
        self.at = Some(number);
        locked(&self.time.sleepers).insert((self.until, number), context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(number) = self.at {
            locked(&self.time.sleepers).remove(&(self.until, number));
        }
    }
}
