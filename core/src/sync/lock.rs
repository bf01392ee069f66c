//! One sync per account at a time, in whatever process.

use super::Driver;
use super::engine::Trigger;
use crate::error::{PortalError, Reason};
use crate::ports::Lock;
use crate::proof::planted;
use crate::runtime::Mode;
use futures_util::future::{Either, select};
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

/// How long a suspension or a lock waits for the act under way.
const PATIENCE: Duration = Duration::from_secs(1);

/// Gives the lock back however a run ends, be it by a panic.
pub(super) struct Held<'a>(pub(super) &'a Driver);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Whatever the run was to answer has no answer: the next one asks again (I30).
            self.0.engine().trigger(Trigger::Wrote);
        }
        self.0.unlock();
    }
}

impl Driver {
    pub(super) fn take_lock(&self) -> Result<(), PortalError> {
        // Whoever came before may have locked, signed out or lost the access: the session says which.
        let Some(account) = self.session.account() else {
            return Err(self.session.store().err().unwrap_or(PortalError::storage(Reason::Suspended)));
        };
        let file = self.session.directory(&account).join("sync.lock");
        let lock = self.session.ports.files.system().try_lock(&file)?;
        if lock.is_none() && planted!(TwoSyncsAtOnce) {
            return Ok(());
        }
        *self.held() = Some(lock.ok_or_else(|| PortalError::storage(Reason::InUse))?);
        Ok(())
    }

    /// Waits a moment for a run to come to the end of its act, so that what it learns is kept, and
    /// lets none begin while the answer is held.
    pub(crate) async fn quiet(&self) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        if matches!(self.session.mode, Mode::Inline) {
            // In place, who holds the turn goes on only when somebody polls it.
            return self.turn.try_lock().ok();
        }
        self.quiet_wanted.fetch_add(1, Ordering::SeqCst);
        let turn = pin!(self.turn.lock());
        let turn = match select(turn, self.session.ports.clock.sleep(PATIENCE)).await {
            Either::Left((turn, _)) => Some(turn),
            Either::Right(_) => None,
        };
        self.quiet_wanted.fetch_sub(1, Ordering::SeqCst);
        turn
    }

    /// Gives the lock back, also while a request is under way: the run ends at its next step, be the
    /// files open again by then.
    pub(crate) fn unlock(&self) {
        self.held().take();
    }

    /// Before each act: whether a run may go on.
    pub(super) fn may_go_on(&self) -> Result<(), PortalError> {
        match self.quiet_wanted.load(Ordering::SeqCst) {
            0 => self.still_ours(),
            _ => Err(PortalError::storage(Reason::Suspended)),
        }
    }

    /// Without the lock another process may have synced meanwhile: what this run knows is old.
    pub(super) fn still_ours(&self) -> Result<(), PortalError> {
        self.held().as_ref().map(drop).ok_or_else(|| PortalError::storage(Reason::Suspended))
    }

    fn held(&self) -> MutexGuard<'_, Option<Lock>> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
