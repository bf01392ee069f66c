//! The one background loop: it exists only while something waits to be sent.

use super::Driver;
use super::engine::{self, Step};
use crate::error::{PortalError, Reason};
use crate::ports::Clock;
use crate::proof::planted;
use crate::session::state::State;
use futures_util::future::select;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Tells that the loop is gone when a panic ended it.
struct Alive(Weak<Driver>);

impl Drop for Alive {
    fn drop(&mut self) {
        if let Some(driver) = self.0.upgrade().filter(|_| std::thread::panicking()) {
            driver.running.store(false, Ordering::SeqCst);
        }
    }
}

impl Driver {
    /// Syncs, and goes on while something waits to be sent and waiting helps.
    pub(super) async fn keep_trying(driver: Weak<Self>, clock: Arc<dyn Clock>) {
        let _alive = Alive(driver.clone());
        while let Some(driver) = driver.upgrade() {
            let over = match driver.run(None).await {
                Ok(_) => false,
                // Closed in the middle: whether the files are open again by now is looked at below. Who
                // opened them found this loop alive, and counts on it.
                Err(PortalError::Storage { reason: Reason::Suspended } | PortalError::Locked { .. }) => {
                    if planted!(LockEndsTheBackground) {
                        return driver.running.store(false, Ordering::SeqCst);
                    }
                    false
                }
                Err(error) => !engine::passes(&error),
            };
            let mut wait = driver.retry_in(over).await;
            if wait.is_none() {
                driver.running.store(false, Ordering::SeqCst);
                // A trigger that came since the last look found the loop alive: it is ours.
                wait = driver.retry_in(over).await;
                if wait.is_none() || driver.running.swap(true, Ordering::SeqCst) {
                    return;
                }
            }
            let wake = driver.wake.clone();
            drop(driver);
            if let Some(wait) = wait.filter(|wait| !wait.is_zero()) {
                select(clock.sleep(wait), pin!(wake.notified())).await;
            }
        }
    }

    /// When a background try makes sense: now, later while something waits to be sent, or never.
    /// `over`: the last one ended where only a person can help.
    pub(super) async fn retry_in(&self, over: bool) -> Option<Duration> {
        if over {
            return self.engine().asked().then_some(Duration::ZERO);
        }
        if self.session.state() != State::Active {
            return None;
        }
        let store = self.session.store().ok()?;
        let (work, _) = self.work(&store).await.ok()?;
        let now = self.session.ports.clock.boot();
        match self.engine().step(&work, now) {
            Step::Wait { until } if !work.lanes.is_empty() => {
                Some(Duration::from_millis(until.saturating_sub(now).max(1)))
            }
            Step::Push { .. } | Step::Pull => Some(Duration::ZERO),
            Step::Wait { .. } | Step::Rest => None,
        }
    }
}
