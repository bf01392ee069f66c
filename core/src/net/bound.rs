//! The end of the work under way: no request of the portal API outlasts it, however deep in it is
//! made. Only a refresh takes its own time: cut off, its answer would be lost, and a token that is
//! shown again too late ends the session.

use crate::ports::Clock;
use std::future::Future;
use std::time::Duration;

tokio::task_local! {
    /// Boot time, in milliseconds.
    static END: u64;
}

/// Runs the work so that each of its requests ends by `end`.
pub(crate) async fn until<T>(end: Option<u64>, work: impl Future<Output = T>) -> T {
    match end {
        Some(end) => END.scope(end, work).await,
        None => work.await,
    }
}

/// How long a request may take that has `most` by itself.
pub(crate) fn within(most: Duration, clock: &dyn Clock) -> Duration {
    let left = END.try_with(|end| Duration::from_millis(end.saturating_sub(clock.boot()))).unwrap_or(most);
    most.min(left)
}
