//! Sync: the feed in, the outbox out, one engine. `engine` decides, this driver acts, one act at
//! a time and each one durable, so that it can stop after any.

mod acts;
mod background;
mod engine;
mod fate;
pub(crate) mod feed;
mod lock;
pub(crate) mod outbox;
mod staged;
mod wire;

use crate::change::Change;
use crate::error::{PortalError, Reason};
use crate::log::{self, LogEvent};
use crate::net::bound;
use crate::ports::Lock;
use crate::proof::{planted, point};
use crate::session::Session;
use crate::session::api::Failure;
use crate::store::{Store, Transaction};
use crate::values::{Id, Millis, rfc3339_option};
use engine::{Engine, Heard, Step, Trigger, Work};
use feed::{Kind, Place};
use futures_util::future::{Either, select};
use lock::Held;
use outbox::NewOp;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// What a sync did.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, uniffi::Record)]
pub struct SyncReport {
    /// Everything was fetched and sent. False: the deadline came first, or something waits for a
    /// later try; call again.
    pub complete: bool,
    /// Changes that arrived.
    pub received: u64,
    /// Writes that the practice took.
    pub sent: u64,
    /// Writes that still wait. "Synced" is only true at 0.
    pub waiting: u64,
    /// Writes that the practice refused and that wait for the client.
    pub refused: u64,
    /// Records that were set aside because they are not what the practice may send.
    pub quarantined: u64,
    /// The server's clock at the last answer.
    #[serde(serialize_with = "rfc3339_option")]
    pub as_of: Option<SystemTime>,
}

/// The one driver of a portal.
pub(crate) struct Driver {
    session: Arc<Session>,
    kinds: Vec<&'static Kind>,
    /// Called in the background after the base moved.
    after_publish: fn(Arc<Session>) -> Published,
    engine: Mutex<Engine>,
    turn: tokio::sync::Mutex<()>,
    /// The account's lock while a sync runs; `suspend` takes it away.
    lock: Mutex<Option<Lock>>,
    /// A background loop is alive.
    running: AtomicBool,
    /// Somebody is about to close the files.
    quiet_wanted: AtomicUsize,
    /// Wakes it from waiting: what is new may go at once although something else has to wait.
    wake: Arc<tokio::sync::Notify>,
}

/// Work to do once the base moved.
pub(crate) type Published = futures_util::future::BoxFuture<'static, ()>;

/// The ops that one write queues.
pub(crate) struct Queue {
    ops: Vec<NewOp>,
}

impl Queue {
    pub(crate) fn push(&mut self, op: NewOp) {
        self.ops.push(op);
    }
}

impl Driver {
    pub(crate) fn new(
        session: Arc<Session>,
        kinds: Vec<&'static Kind>,
        after_publish: fn(Arc<Session>) -> Published,
    ) -> Self {
        Self {
            session,
            kinds,
            after_publish,
            engine: Mutex::new(Engine::default()),
            turn: tokio::sync::Mutex::new(()),
            lock: Mutex::new(None),
            running: AtomicBool::new(false),
            quiet_wanted: AtomicUsize::new(0),
            wake: Arc::default(),
        }
    }

    /// Writes with the ops that belong to it, in one transaction; asks for a sync if there are any.
    pub(crate) async fn write<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Transaction<'_>, &mut Queue) -> Result<T, PortalError> + Send + 'static,
    ) -> Result<T, PortalError> {
        let store = self.session.store()?;
        let ports = self.session.ports.clone();
        let (value, queued) = store
            .write(move |tx| {
                let mut queue = Queue { ops: Vec::new() };
                let value = work(tx, &mut queue)?;
                for op in &queue.ops {
                    let key = Id::new(ports.clock.as_ref(), ports.entropy.as_ref());
                    outbox::enqueue(tx, op, key, ports.clock.wall())?;
                    point!("outbox.queued");
                }
                Ok((value, !queue.ops.is_empty()))
            })
            .await?;
        if queued {
            point!("outbox.kept");
            self.session.changes.emit(&Change::Outbox);
            self.nudge();
        }
        Ok(value)
    }

    /// Something was written: sync in the background when the backoff allows.
    pub(crate) fn nudge(self: &Arc<Self>) {
        self.start(Trigger::Wrote);
    }

    /// A person wants it now: sync in the background, whatever the backoff says.
    pub(crate) fn hurry(self: &Arc<Self>) {
        self.start(Trigger::Asked);
    }

    fn start(self: &Arc<Self>, trigger: Trigger) {
        self.engine().trigger(trigger);
        self.go_on();
    }

    /// Tries in the background as long as something waits to be sent.
    fn go_on(self: &Arc<Self>) {
        if self.running.swap(true, Ordering::SeqCst) {
            self.wake.notify_one();
        } else {
            let (driver, clock) = (Arc::downgrade(self), self.session.ports.clock.clone());
            self.session.mode.background(Self::keep_trying(driver, clock));
        }
    }

    /// Syncs until nothing is left to do, or `deadline` milliseconds have passed: no act begins after
    /// them, and no request outlasts them.
    ///
    /// # Errors
    /// `Offline`, `SignedOut`, `Locked`, `Storage`: what had been done before stays done.
    pub(crate) async fn sync(self: &Arc<Self>, deadline: Option<u64>) -> Result<SyncReport, PortalError> {
        self.engine().trigger(Trigger::Asked);
        let end = deadline.map(|ms| self.session.ports.clock.boot().saturating_add(ms));
        let work = async {
            let result = self.run(end).await;
            // It may have been this run that found something to send: a refill after a restore does.
            if result.as_ref().is_err_and(engine::passes) && self.retry_in(false).await.is_some() {
                self.go_on();
            }
            // Without a network they wait, too.
            if !matches!(result, Err(PortalError::Offline { .. })) && !self.over(end) {
                let _ = self.in_time(end, self.session.deliver_revocations()).await;
            }
            result
        };
        bound::until(end, work).await
    }

    fn over(&self, end: Option<u64>) -> bool {
        end.is_some_and(|end| self.session.ports.clock.boot() >= end)
    }

    async fn run(&self, end: Option<u64>) -> Result<SyncReport, PortalError> {
        let store = match self.session.store() {
            Ok(store) => store,
            Err(error) => {
                // Whoever asked is answered by this: the background must not try for ever.
                self.engine().run();
                return Err(error);
            }
        };
        let turn = async { if planted!(TwoSyncsAtOnce) { None } else { Some(self.turn.lock().await) } };
        let Some(_turn) = self.in_time(end, turn).await else {
            // The one under way took all the time.
            return self.ended(&store, SyncReport::default()).await;
        };
        self.engine().run();
        let result = self.run_locked(&store, end).await;
        if let Err(failure) = &result {
            let wait = if let Failure::Later { wait, .. } = failure { *wait } else { None };
            let open = self.session.store().is_ok_and(|now| Arc::ptr_eq(&now, &store));
            if open || wait.is_some() || planted!(LockStopsTheBackground) {
                self.heard(Heard::Failed { error: failure.clone().into(), wait });
            } else {
                // Closed meanwhile: that is no reason for those that are open now to wait.
                self.engine().trigger(Trigger::Wrote);
            }
        }
        self.session.changes.emit(&Change::Synced);
        // Locked in the middle: say so, and not that a file is closed.
        result.map_err(|failure| match failure.into() {
            error @ PortalError::Storage { reason: Reason::Suspended } => {
                self.session.store().err().unwrap_or(error)
            }
            error => error,
        })?
    }

    /// The work's result, unless the time was over first.
    async fn in_time<T>(&self, end: Option<u64>, work: impl Future<Output = T>) -> Option<T> {
        let Some(end) = end else { return Some(work.await) };
        let clock = &self.session.ports.clock;
        let left = clock.sleep(Duration::from_millis(end.saturating_sub(clock.boot())));
        match select(pin!(work), left).await {
            Either::Left((value, _)) => Some(value),
            Either::Right(_) => None,
        }
    }

    /// The inner error is one of an earlier run, whose wait is not over; the outer one is this run's.
    async fn run_locked(
        &self,
        store: &Arc<Store>,
        end: Option<u64>,
    ) -> Result<Result<SyncReport, PortalError>, Failure> {
        self.take_lock()?;
        let _held = Held(self);
        point!("sync.locked");
        let clock = self.session.ports.clock.clone();
        let mut report = SyncReport::default();
        log::event(LogEvent::SyncStarted, None, 0u64);
        self.adopt_install(store).await?;
        while !self.over(end) {
            self.may_go_on()?;
            let (work, place) = self.work(store).await?;
            let now = if planted!(WallClockRules) { clock.wall().0.unsigned_abs() } else { clock.boot() };
            let step = self.engine().step(&work, now);
            self.engine().begin(&step, &work);
            match step {
                Step::Push { held, most } => self.push(store, held, most, &mut report).await?,
                Step::Pull => self.pull(store, place, &mut report).await?,
                Step::Rest => {
                    report.complete = true;
                    break;
                }
                Step::Wait { .. } => break,
            }
        }
        point!("sync.ended");
        log::event(LogEvent::SyncEnded, None, report.received);
        match self.ended(store, report).await {
            Err(error @ PortalError::Storage { .. }) => Err(error.into()),
            result => Ok(result),
        }
    }

    /// What a run that was not cut short says.
    async fn ended(&self, store: &Store, mut report: SyncReport) -> Result<SyncReport, PortalError> {
        let (place, (waiting, refused), quarantined) =
            store.read(|c| Ok((feed::place(c)?, outbox::counts(c)?, feed::quarantined(c)?))).await?;
        (report.waiting, report.refused, report.quarantined) = (waiting, refused, quarantined);
        report.as_of = place.as_of.map(Millis::system_time);
        let failure = self.engine().failure().cloned();
        match failure {
            Some(error) if !report.complete => Err(error),
            _ => Ok(report),
        }
    }

    /// What there is to do, and the place in the feed.
    async fn work(&self, store: &Store) -> Result<(Work, Place), PortalError> {
        let clock_known = self.session.server_now().is_some();
        store
            .read(move |c| {
                let place = feed::place(c)?;
                let pull_first = place.refill || (!clock_known && outbox::needs_clock(c)?);
                let work = Work { pull_first, pull_begun: place.begun, lanes: outbox::lanes(c)? };
                Ok((work, place))
            })
            .await
    }

    fn heard(&self, heard: Heard) {
        let mut random = [0u8; 8];
        self.session.ports.entropy.fill(&mut random);
        if planted!(JitterFromTheClock) {
            random = self.session.ports.clock.wall().0.to_le_bytes();
        }
        self.engine().heard(heard, self.session.ports.clock.boot(), u64::from_le_bytes(random));
    }

    fn engine(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod driver_tests;
#[cfg(test)]
mod guard_tests;
#[cfg(test)]
mod tests;
