//! The core's own runtime. Verbs run on it to their end, whatever becomes of the caller
//! (DESIGN 7); the simulator runs the same futures in place.

use crate::error::{PortalError, Reason};
use futures_util::future::BoxFuture;
use std::future::Future;
use std::sync::{Arc, LazyLock};

static RUNTIME: LazyLock<std::io::Result<tokio::runtime::Runtime>> = LazyLock::new(|| {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_kind_without_its_text() {
        let work = Mode::Threads.run::<()>(async { panic!("canary Renée") });
        let error = RUNTIME.as_ref().ok().map(|runtime| runtime.block_on(work));
        assert_eq!(error, Some(Err(PortalError::bug(Reason::Panicked))));
        assert!(!format!("{error:?}").contains("canary"));
    }
}
