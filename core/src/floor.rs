//! What the records of a page cost to carry to a shell with no core behind them: the floor that the
//! benchmarks of `bindings/` measure against. No library that ships has it.

use crate::error::{PortalError, Reason};
use crate::messages::ThreadView;
use crate::outbox::OutboxEntry;
use std::sync::{Mutex, PoisonError};

static KEPT: Mutex<Option<(ThreadView, Vec<OutboxEntry>)>> = Mutex::new(None);

/// Keeps the records that the calls below hand out.
#[uniffi::export]
pub fn floor_keep(page: ThreadView, list: Vec<OutboxEntry>) {
    *KEPT.lock().unwrap_or_else(PoisonError::into_inner) = Some((page, list));
}

/// Carries nothing.
///
/// # Errors
/// None.
#[uniffi::export]
pub async fn floor_call() -> Result<(), PortalError> {
    Ok(())
}

/// The page that was kept.
///
/// # Errors
/// `Bug` when none was.
#[uniffi::export]
pub async fn floor_page() -> Result<ThreadView, PortalError> {
    kept(|(page, _)| page.clone())
}

/// The list that was kept.
///
/// # Errors
/// `Bug` when none was.
#[uniffi::export]
pub async fn floor_list() -> Result<Vec<OutboxEntry>, PortalError> {
    kept(|(_, list)| list.clone())
}

fn kept<T>(of: impl FnOnce(&(ThreadView, Vec<OutboxEntry>)) -> T) -> Result<T, PortalError> {
    let kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    kept.as_ref().map(of).ok_or(PortalError::bug(Reason::Impossible))
}
