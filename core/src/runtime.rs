//! The core's own runtime. Verbs run on it to their end, whatever becomes of the caller
//! (DESIGN 7); the simulator runs the same futures in place.

use crate::error::{PortalError, Reason};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};

/// What a library that links the core does once in its process, before the core's first thread starts.
/// Hand it over with `inventory::submit!`.
pub struct AtStart(pub fn());
inventory::collect!(AtStart);

static RUNTIME: LazyLock<std::io::Result<tokio::runtime::Runtime>> = LazyLock::new(|| {
    inventory::iter::<AtStart>.into_iter().for_each(|AtStart(work)| work());
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("portal").enable_all().build()
});

/// Where verbs run.
#[derive(Clone)]
pub enum Mode {
    /// On the core's threads, as on a phone.
    Threads,
    /// In place, on whoever polls; nothing runs in the background. For tests.
    Inline,
    /// In place, with the background's work handed to whoever steps it. For simulation.
    Stepped(Arc<dyn Background>),
}

/// Takes the work that nobody waits for.
pub trait Background: Send + Sync {
    /// Begins it.
    fn begin(&self, work: BoxFuture<'static, ()>);
}

impl Mode {
    /// Runs the work to its end even if the caller goes away.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, PortalError>> + Send + 'static,
    ) -> Result<T, PortalError> {
        match self {
            Self::Inline | Self::Stepped(_) => work.await,
            Self::Threads => {
                let runtime = RUNTIME.as_ref().map_err(|_| PortalError::bug(Reason::Impossible))?;
                // A panic stays inside its task: the caller gets a kind without the panic's text.
                runtime.spawn(work).await.unwrap_or_else(|_| Err(PortalError::bug(Reason::Panicked)))
            }
        }
    }

    /// Runs work that only waits for the store, whose threads are its own: on whoever polls, which saves two
    /// changes of thread, and on the core's threads to its end if the caller goes away.
    pub(crate) async fn run_here<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, PortalError>> + Send + 'static,
    ) -> Result<T, PortalError> {
        match self {
            Self::Inline | Self::Stepped(_) => work.await,
            // A panic stays inside, as in a task.
            Self::Threads => Here(Some(AssertUnwindSafe(work).catch_unwind().boxed())).await,
        }
    }

    /// Starts work that nobody waits for. `Inline` starts nothing: the test calls `sync`.
    pub(crate) fn background(&self, work: impl Future<Output = ()> + Send + 'static) {
        match self {
            Self::Threads => drop(RUNTIME.as_ref().map(|runtime| runtime.spawn(work))),
            Self::Inline => {}
            Self::Stepped(background) => background.begin(Box::pin(work)),
        }
    }

    /// Runs a call that may block (a key store waiting for a finger) off the async threads.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PortalError> + Send + 'static,
    ) -> Result<T, PortalError> {
        match self {
            Self::Inline | Self::Stepped(_) => work(),
            Self::Threads => {
                let runtime = RUNTIME.as_ref().map_err(|_| PortalError::bug(Reason::Impossible))?;
                runtime.spawn_blocking(work).await.unwrap_or_else(|_| Err(PortalError::bug(Reason::Panicked)))
            }
        }
    }
}

/// Work that began on a caller's thread.
struct Here<T: Send + 'static>(Option<BoxFuture<'static, std::thread::Result<Result<T, PortalError>>>>);

impl<T: Send + 'static> Future for Here<T> {
    type Output = Result<T, PortalError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(work) = self.0.as_mut() else {
            return Poll::Ready(Err(PortalError::bug(Reason::Impossible)));
        };
        let Poll::Ready(result) = work.as_mut().poll(context) else { return Poll::Pending };
        self.0 = None;
        Poll::Ready(result.unwrap_or_else(|_| Err(PortalError::bug(Reason::Panicked))))
    }
}

impl<T: Send + 'static> Drop for Here<T> {
    fn drop(&mut self) {
        if let (Some(work), Ok(runtime)) = (self.0.take(), RUNTIME.as_ref()) {
            drop(runtime.spawn(work));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_kind_without_its_text() {
        for here in [false, true] {
            let work = async { panic!("canary Renée") };
            let error = RUNTIME.as_ref().ok().map(|runtime| {
                runtime.block_on(async {
                    if here {
                        Mode::Threads.run_here::<()>(work).await
                    } else {
                        Mode::Threads.run(work).await
                    }
                })
            });
            assert_eq!(error, Some(Err(PortalError::bug(Reason::Panicked))));
            assert!(!format!("{error:?}").contains("canary"));
        }
    }

    #[test]
    fn work_whose_caller_goes_away_runs_to_its_end() {
        let (go, wait) = tokio::sync::oneshot::channel::<()>();
        let (done, heard) = std::sync::mpsc::channel();
        let work = Mode::Threads.run_here(async move {
            let _ = wait.await;
            let _ = done.send(());
            Ok(())
        });
        assert_eq!(work.now_or_never(), None);
        assert!(heard.try_recv().is_err());
        let _ = go.send(());
        assert_eq!(heard.recv_timeout(std::time::Duration::from_secs(30)), Ok(()));
    }
}
