//! The owner of one connection: a thread with a queue of closures, or the same closures in place.

use super::connection::Source;
use super::{InUse, suspended};
use crate::error::{PortalError, Reason};
use crate::runtime::Mode;
use rusqlite::Connection;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce(&mut State) + Send>;

pub(super) enum Owner {
    /// The queue and the thread, until the drop.
    Thread(Option<(mpsc::Sender<Job>, JoinHandle<()>)>),
    Inline(Box<Mutex<State>>),
}

pub(super) struct State {
    connection: Option<Connection>,
    /// The disk failed under it.
    suspect: bool,
    /// A page of it was found damaged: SQLCipher refuses everything on it from then on, as if memory
    /// had run out.
    damaged: bool,
    /// Holds the key; `None` once closed for good.
    source: Option<Source>,
}

impl Owner {
    pub(super) async fn start(mode: &Mode, name: &str, source: Source) -> Result<Self, PortalError> {
        let state = State { connection: None, suspect: false, damaged: false, source: Some(source) };
        let owner = match mode {
            Mode::Inline | Mode::Stepped(_) => Self::Inline(Box::new(Mutex::new(state))),
            Mode::Threads => {
                let (jobs, queue) = mpsc::channel::<Job>();
                let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
                    let mut state = state;
                    while let Ok(job) = queue.recv() {
                        job(&mut state);
                    }
                })?;
                Self::Thread(Some((jobs, thread)))
            }
        };
        owner.resume().await?;
        Ok(owner)
    }

    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, PortalError> + Send + 'static,
    ) -> Result<T, PortalError> {
        self.with(move |state| {
            state.renew()?;
            let mut result = work(state.connection.as_mut().ok_or_else(suspended)?);
            if let Err(PortalError::Storage { reason }) = &mut result {
                if state.damaged && *reason == Reason::FileUnavailable {
                    *reason = Reason::Damaged;
                }
                state.damaged |= *reason == Reason::Damaged;
                state.suspect = *reason == Reason::FileUnavailable;
            }
            result
        })
        .await
    }

    pub(super) async fn suspend(&self) -> Result<(), PortalError> {
        self.with(|state| {
            state.close();
            Ok(())
        })
        .await
    }

    /// Runs the closure over the connection and, when it agrees, closes for good: nothing can come in
    /// between, and the key is gone when this returns.
    pub(super) async fn end_if<T: Send + 'static>(
        &self,
        check: impl FnOnce(&Connection) -> Result<T, PortalError> + Send + 'static,
    ) -> Result<T, PortalError> {
        self.with(move |state| {
            // Whoever closes does so on a broken disk as well.
            let _ = state.renew();
            let value = check(state.connection.as_ref().ok_or_else(suspended)?)?;
            state.end();
            Ok(value)
        })
        .await
    }

    /// Starts closing for good, without waiting for it.
    pub(super) fn close(&self) {
        match self {
            Self::Inline(state) => {
                let _in_use = InUse::begin();
                state.lock().unwrap_or_else(PoisonError::into_inner).end();
            }
            // An owner that is gone has closed already.
            Self::Thread(Some((jobs, _))) => {
                let end = |state: &mut State| {
                    let _in_use = InUse::begin();
                    state.end();
                };
                drop(jobs.send(Box::new(end)));
            }
            Self::Thread(None) => {}
        }
    }

    pub(super) async fn resume(&self) -> Result<(), PortalError> {
        self.with(|state| {
            if state.connection.is_none() {
                state.connection = Some(state.source.as_ref().ok_or_else(suspended)?.open()?);
            }
            Ok(())
        })
        .await
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut State) -> Result<T, PortalError> + Send + 'static,
    ) -> Result<T, PortalError> {
        match self {
            Self::Inline(state) => {
                let _in_use = InUse::begin();
                work(&mut state.lock().unwrap_or_else(PoisonError::into_inner))
            }
            Self::Thread(None) => Err(suspended()),
            Self::Thread(Some((jobs, _))) => {
                let (reply, answer) = oneshot::channel();
                let job = Box::new(move |state: &mut State| {
                    let _in_use = InUse::begin();
                    // A panic in a closure rolls its transaction back and must not end the thread.
                    let result = catch_unwind(AssertUnwindSafe(|| work(state)));
                    let _ = reply.send(result.unwrap_or_else(|_| Err(PortalError::bug(Reason::Panicked))));
                });
                jobs.send(job).map_err(|_| suspended())?;
                answer.await.unwrap_or_else(|_| Err(suspended()))
            }
        }
    }
}

impl Drop for Owner {
    /// Waits for the thread: when a store is gone, its file is closed.
    fn drop(&mut self) {
        if let Self::Thread(owner) = self
            && let Some((jobs, thread)) = owner.take()
        {
            drop(jobs);
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

impl State {
    /// Once the disk has failed under a connection, what it remembers of the file is not to be trusted:
    /// it may call a whole one damaged. The new one is there before the old one goes, so that nobody
    /// finds a commit in the log that was answered with an error.
    fn renew(&mut self) -> Result<(), PortalError> {
        if let (true, Some(_), Some(source)) = (self.suspect, &self.connection, &self.source) {
            self.connection = Some(source.open()?);
            self.suspect = false;
        }
        Ok(())
    }

    fn end(&mut self) {
        self.close();
        self.source = None;
    }

    fn close(&mut self) {
        self.damaged = false;
        if let (Some(connection), Some(source)) = (self.connection.take(), &self.source) {
            source.close(connection);
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let _in_use = InUse::begin();
        self.close();
    }
}
