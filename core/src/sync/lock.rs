//! One sync per account at a time, in whatever process.

use super::Driver;
use crate::error::{PortalError, Reason};
use crate::store::files;
use std::fs::{File, TryLockError};
use std::sync::{MutexGuard, PoisonError};

/// Gives the lock back however a run ends, be it by a panic.
pub(super) struct Held<'a>(pub(super) &'a Driver);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.unlock();
    }
}

impl Driver {
    pub(super) fn take_lock(&self) -> Result<(), PortalError> {
        let account = self.session.account().ok_or_else(|| PortalError::signed_out(Reason::NotSignedIn))?;
        let file = files::private_file(&self.session.directory(&account).join("sync.lock"))?;
        match file.try_lock() {
            // A file system without locks has no second process either.
            Ok(()) | Err(TryLockError::Error(_)) => *self.lock_file() = Some(file),
            Err(TryLockError::WouldBlock) => return Err(PortalError::storage(Reason::InUse)),
        }
        Ok(())
    }

    /// Gives the lock back, also while a request is under way: the run ends at its next step, be the
    /// files open again by then.
    pub(crate) fn unlock(&self) {
        if let Some(file) = self.lock_file().take() {
            // Said aloud: a process that was forked meanwhile holds a copy of the file, and closing
            // ours alone would leave it locked.
            let _ = file.unlock();
        }
    }

    /// Without the lock another process may have synced meanwhile: what this run knows is old.
    pub(super) fn still_ours(&self) -> Result<(), PortalError> {
        self.lock_file().as_ref().map(drop).ok_or_else(|| PortalError::storage(Reason::Suspended))
    }

    fn lock_file(&self) -> MutexGuard<'_, Option<File>> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
