//! Sync: the feed in, the outbox out, one engine. [`engine`] decides, this driver acts, one act at
//! a time and each one durable, so that it can stop after any.

mod engine;
mod fate;
pub(crate) mod feed;
pub(crate) mod outbox;
mod wire;

use crate::change::Change;
use crate::error::{PortalError, Reason};
use crate::log::{self, Event};
use crate::ports::Clock;
use crate::session::Session;
use crate::session::api::{self, Failure};
use crate::session::state::State;
use crate::store::{Store, files};
use crate::values::{Id, Millis, rfc3339_option};
use engine::{Engine, Heard, Step, Trigger, Work};
use feed::Kind;
use futures_util::future::select;
use http::{Method, StatusCode};
use outbox::{NewOp, OpRow};
use rusqlite::Transaction;
use serde_json::value::RawValue;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

/// Rows of one page.
const PAGE: usize = 500;

/// What a sync did.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, uniffi::Record)]
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
    lock: Mutex<Option<std::fs::File>>,
    /// A background loop is alive.
    running: AtomicBool,
    /// Wakes it from waiting: what is new may go at once although something else has to wait.
    wake: Arc<tokio::sync::Notify>,
}

/// Gives the lock back however a run ends, be it by a panic.
struct Held<'a>(&'a Driver);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.unlock();
    }
}

/// Tells that the background loop is gone when a panic ended it.
struct Alive(Weak<Driver>);

impl Drop for Alive {
    fn drop(&mut self) {
        if let Some(driver) = self.0.upgrade().filter(|_| std::thread::panicking()) {
            driver.running.store(false, Ordering::SeqCst);
        }
    }
}

/// Work to do once the base moved.
pub(crate) type Published = futures_util::future::BoxFuture<'static, ()>;

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
            wake: Arc::default(),
        }
    }

    /// Writes with the ops that belong to it, in one transaction; then asks for a sync.
    pub(crate) async fn write<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Transaction<'_>, &mut Queue) -> Result<T, PortalError> + Send + 'static,
    ) -> Result<T, PortalError> {
        let store = self.session.store()?;
        let ports = self.session.ports.clone();
        let value = store
            .write(move |tx| {
                let mut queue = Queue { ops: Vec::new() };
                let value = work(tx, &mut queue)?;
                for op in &queue.ops {
                    let key = Id::new(ports.clock.as_ref(), ports.entropy.as_ref());
                    outbox::enqueue(tx, op, key, ports.clock.wall())?;
                }
                Ok(value)
            })
            .await?;
        self.session.changes.emit(&Change::Outbox);
        self.nudge();
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
        if self.running.swap(true, Ordering::SeqCst) {
            self.wake.notify_one();
        } else {
            self.session.mode.background(Self::keep_trying(Arc::downgrade(self), self.session.ports.clock.clone()));
        }
    }

    /// The one background loop: syncs, and goes on while something waits to be sent.
    async fn keep_trying(driver: Weak<Self>, clock: Arc<dyn Clock>) {
        let _alive = Alive(driver.clone());
        while let Some(driver) = driver.upgrade() {
            let wait = match driver.run(None).await {
                Ok(_) | Err(PortalError::Offline { .. }) => driver.retry_in().await,
                // Locked, signed out, a full disk: the next trigger tries again.
                Err(_) => None,
            };
            let Some(wait) = wait else {
                driver.running.store(false, Ordering::SeqCst);
                // A trigger that came since the last look found the loop alive: it is ours.
                let more = driver.retry_in().await.is_some_and(|wait| wait.is_zero());
                if more && !driver.running.swap(true, Ordering::SeqCst) {
                    continue;
                }
                return;
            };
            let wake = driver.wake.clone();
            drop(driver);
            select(clock.sleep(wait), pin!(wake.notified())).await;
        }
    }

    /// When a background try makes sense: now, later while something waits to be sent, or never.
    async fn retry_in(&self) -> Option<Duration> {
        if self.session.state() != State::Active {
            return None;
        }
        let store = self.session.store().ok()?;
        let work = self.work(&store).await.ok()?;
        let now = self.session.ports.clock.boot();
        match self.engine().step(&work, now) {
            Step::Wait { until } if !work.lanes.is_empty() => Some(Duration::from_millis(until.saturating_sub(now).max(1))),
            Step::Push { .. } | Step::Pull => Some(Duration::ZERO),
            Step::Wait { .. } | Step::Rest => None,
        }
    }

    /// Syncs until nothing is left to do, or `deadline` milliseconds have passed (looked at between
    /// acts, each of which is bounded and durable).
    ///
    /// # Errors
    /// `Offline`, `SignedOut`, `Locked`, `Storage`: what had been done before stays done.
    pub(crate) async fn sync(self: &Arc<Self>, deadline: Option<u64>) -> Result<SyncReport, PortalError> {
        self.engine().trigger(Trigger::Asked);
        self.session.deliver_revocations().await;
        self.run(deadline).await
    }

    async fn run(&self, deadline: Option<u64>) -> Result<SyncReport, PortalError> {
        let _turn = self.turn.lock().await;
        let store = self.session.store()?;
        self.take_lock()?;
        let held = Held(self);
        let result = self.run_locked(&store, deadline).await;
        drop(held);
        // Locked in the middle: say so, and not that a file is closed.
        result.map_err(|error| match error {
            PortalError::Storage { reason: Reason::Suspended } => self.session.store().err().unwrap_or(error),
            error => error,
        })
    }

    async fn run_locked(&self, store: &Arc<Store>, deadline: Option<u64>) -> Result<SyncReport, PortalError> {
        let clock = self.session.ports.clock.clone();
        let end = deadline.map(|ms| clock.boot().saturating_add(ms));
        let mut report = SyncReport { complete: false, received: 0, sent: 0, waiting: 0, refused: 0, quarantined: 0, as_of: None };
        log::event(Event::SyncStarted, None, 0u64);
        self.adopt_install(store).await?;
        loop {
            if end.is_some_and(|end| clock.boot() >= end) {
                break;
            }
            let work = self.work(store).await?;
            let step = self.engine().step(&work, clock.boot());
            self.engine().begin(&step, &work);
            let failed = match &step {
                Step::Push { held, most } => self.push(store, held.clone(), *most, &mut report).await?,
                Step::Pull => self.pull(store, &mut report).await?,
                Step::Rest => {
                    report.complete = true;
                    break;
                }
                Step::Wait { .. } => break,
            };
            if let Some(failure) = failed {
                self.session.changes.emit(&Change::Synced);
                return Err(failure.into());
            }
        }
        let (place, (waiting, refused), quarantined) =
            store.read(|c| Ok((feed::place(c)?, outbox::counts(c)?, feed::quarantined(c)?))).await?;
        (report.waiting, report.refused, report.quarantined) = (waiting, refused, quarantined);
        report.as_of = place.as_of.map(Millis::system_time);
        log::event(Event::SyncEnded, None, report.received);
        self.session.changes.emit(&Change::Synced);
        let failure = self.engine().failure().cloned();
        match failure {
            Some(reason) if !report.complete => Err(PortalError::offline(reason)),
            _ => Ok(report),
        }
    }

    async fn work(&self, store: &Store) -> Result<Work, PortalError> {
        let clock_known = self.session.server_now().is_some();
        store
            .read(move |c| {
                let place = feed::place(c)?;
                let pull_first = place.refill || (!clock_known && outbox::needs_clock(c)?);
                Ok(Work { pull_first, pull_begun: place.begun, lanes: outbox::lanes(c)? })
            })
            .await
    }

    /// One sync per account at a time, in whatever process.
    fn take_lock(&self) -> Result<(), PortalError> {
        let account = self.session.account().ok_or_else(|| PortalError::signed_out(Reason::NotSignedIn))?;
        let file = files::private_file(&self.session.directory(&account).join("sync.lock"))?;
        match file.try_lock() {
            // A file system without locks has no second process either.
            Ok(()) | Err(std::fs::TryLockError::Error(_)) => *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = Some(file),
            Err(std::fs::TryLockError::WouldBlock) => return Err(PortalError::storage(Reason::InUse)),
        }
        Ok(())
    }

    /// Gives the lock back, also while a request is under way: its answer will find the file closed.
    pub(crate) fn unlock(&self) {
        if let Some(file) = self.lock.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Said aloud: a process that was forked meanwhile holds a copy of the file, and closing
            // ours alone would leave it locked.
            let _ = file.unlock();
        }
    }

    async fn adopt_install(&self, store: &Store) -> Result<(), PortalError> {
        let Some(account) = self.session.account() else { return Ok(()) };
        store
            .write(move |tx| match feed::place(tx)?.install == account.install_id {
                true => Ok(()),
                false => feed::adopt_install(tx, &account.install_id),
            })
            .await
    }

    async fn pull(&self, store: &Arc<Store>, report: &mut SyncReport) -> Result<Option<Failure>, PortalError> {
        let place = store.read(feed::place).await?;
        let from = place.from;
        let mut url = self.session.config.url("/v1/sync")?;
        url.query_pairs_mut().append_pair("limit", &PAGE.to_string());
        if !from.is_empty() {
            url.query_pairs_mut().append_pair("cursor", &from);
        }
        let response = match self.session.authorized(Method::GET, url, None).await {
            Ok(response) => response,
            Err(Failure::Gone) => {
                store.write(feed::refill).await?;
                self.heard(Heard::Gone);
                return Ok(None);
            }
            Err(failure) => return Ok(Some(self.failed(failure))),
        };
        let as_of = api::server_time(&response);
        if response.status() == StatusCode::NOT_MODIFIED {
            // To a pull that has only begun "nothing is newer" is no answer: it would ask for ever.
            if place.begun || place.refill {
                return Ok(Some(self.failed(api::bad_answer())));
            }
            store.write(move |tx| feed::unchanged(tx, as_of)).await?;
            self.heard(Heard::Pulled { ended: true });
            return Ok(None);
        }
        let (kinds, ports) = (self.kinds.clone(), self.session.ports.clone());
        let taken = store
            .write(move |tx| {
                let page = serde_json::from_slice(response.body()).map_err(|_| PortalError::offline(Reason::BadAnswer))?;
                let mut key = || Id::new(ports.clock.as_ref(), ports.entropy.as_ref());
                feed::take(tx, &kinds, &from, &page, as_of, &mut key)
            })
            .await;
        let taken = match taken {
            Ok(taken) => taken,
            Err(PortalError::Offline { .. }) => return Ok(Some(self.failed(api::bad_answer()))),
            Err(error) => return Err(error),
        };
        // A pull that the server cut short starts over, without losing the trigger that it answered.
        self.heard(if taken.abandoned { Heard::Gone } else { Heard::Pulled { ended: taken.published } });
        report.received += taken.received;
        let (done, total) = taken.progress;
        self.session.changes.emit(&Change::Syncing { done, total });
        if taken.published {
            taken.changes.iter().for_each(|change| self.session.changes.emit(change));
            (self.after_publish)(self.session.clone()).await;
        }
        Ok(None)
    }

    async fn push(
        &self,
        store: &Store,
        held: Vec<String>,
        most: usize,
        report: &mut SyncReport,
    ) -> Result<Option<Failure>, PortalError> {
        let (kinds, now) = (self.kinds.clone(), self.session.server_now());
        let (epoch, claimed) = store
            .write(move |tx| {
                let guard = |op: &OpRow| guard(tx, &kinds, op, now);
                Ok((feed::place(tx)?.epoch, outbox::claim(tx, &held, most, guard)?))
            })
            .await?;
        let sent = claimed.ops;
        if sent.is_empty() {
            self.heard(Heard::Pushed { later: Vec::new() });
            self.session.changes.emit(&Change::Outbox);
            return Ok(None);
        }
        self.session.changes.emit(&Change::Outbox);
        let body = body(&epoch, &sent)?;
        let url = self.session.config.url("/v1/ops")?;
        let answer = self.session.authorized(Method::POST, url, Some(body)).await.and_then(|response| api::parse::<wire::Results>(&response));
        match answer {
            Ok(answer) => {
                let settled = store
                    .write(move |tx| {
                        let settled = outbox::settle(tx, &sent, &answer.results)?;
                        if settled.out_of_step {
                            feed::refill(tx)?;
                        }
                        Ok(settled)
                    })
                    .await?;
                log::event(Event::OpsSettled, None, settled.done);
                report.sent += settled.done;
                self.heard(Heard::Pushed { later: settled.later });
                self.session.changes.emit(&Change::Outbox);
                self.session.changes.emit(&Change::Messages { thread: None });
                Ok(None)
            }
            Err(Failure::Gone) => {
                // Nothing of it was done: what had not left before has not left.
                let again = move |tx: &Transaction<'_>| outbox::release(tx, &sent).and_then(|()| feed::refill(tx));
                store.write(again).await?;
                self.heard(Heard::Gone);
                Ok(None)
            }
            Err(Failure::Refused { reason, field }) => {
                let most = sent.len();
                if let (1, Some(op)) = (most, sent.into_iter().next()) {
                    store.write(move |tx| outbox::refuse_unnumbered(tx, &op, &reason, field.as_deref())).await?;
                    self.session.changes.emit(&Change::Outbox);
                }
                self.heard(Heard::PushRefused { most });
                Ok(None)
            }
            Err(failure) => {
                if not_carried_out(&failure) {
                    store.write(move |tx| outbox::release(tx, &sent)).await?;
                    self.session.changes.emit(&Change::Outbox);
                }
                Ok(Some(self.failed(failure)))
            }
        }
    }

    fn failed(&self, failure: Failure) -> Failure {
        let (reason, wait) = match &failure {
            Failure::Later { reason, wait } => (reason.clone(), *wait),
            Failure::Local(error) => (error.reason().clone(), None),
            // The queue stays as it is and waits for a sign-in or an update.
            _ => (Reason::SessionEnded, None),
        };
        self.heard(Heard::Failed { reason, wait });
        failure
    }

    fn heard(&self, heard: Heard) {
        let mut random = [0u8; 8];
        self.session.ports.entropy.fill(&mut random);
        self.engine().heard(heard, self.session.ports.clock.boot(), u64::from_le_bytes(random));
    }

    fn engine(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an op may still leave, and if not, why.
fn guard(tx: &Transaction<'_>, kinds: &[&Kind], op: &OpRow, now: Option<Millis>) -> Result<Result<(), Reason>, PortalError> {
    let late = op.guard.deadline.is_some_and(|deadline| now.is_none_or(|now| now >= deadline));
    let changed = match op.guard.base {
        Some(base) => feed::version(tx, kinds, &op.entity, op.id)? != Some(base),
        None => false,
    };
    Ok(match (late, changed) {
        (true, _) => Err(Reason::DeadlinePassed),
        (_, true) => Err(Reason::ChangedMeanwhile),
        _ => Ok(()),
    })
}

/// Whether it is certain that the practice did nothing: no byte left, or the answer was a 401.
fn not_carried_out(failure: &Failure) -> bool {
    match failure {
        Failure::Unauthorized | Failure::UpdateRequired => true,
        Failure::Later { reason, .. } => matches!(
            reason,
            Reason::NoConnection
                | Reason::AddressNotAllowed
                | Reason::CertificateExpired
                | Reason::CertificateUnknownAuthority
                | Reason::CertificateWrongHost
                | Reason::CertificateWrongPin
                | Reason::TlsFailed
        ),
        Failure::Revoked | Failure::Gone | Failure::Refused { .. } | Failure::Local(_) => false,
    }
}

/// The ops that one write queues.
pub(crate) struct Queue {
    ops: Vec<NewOp>,
}

impl Queue {
    pub(crate) fn push(&mut self, op: NewOp) {
        self.ops.push(op);
    }
}

fn body(epoch: &str, sent: &[OpRow]) -> Result<Vec<u8>, PortalError> {
    let damaged = |_| PortalError::storage(Reason::Damaged);
    let mut ops = Vec::with_capacity(sent.len());
    for op in sent {
        ops.push(wire::Op {
            lane: &op.lane,
            n: wire::Decimal(op.n.unwrap_or_default()),
            key: op.key,
            kind: &op.kind,
            entity: &op.entity,
            id: op.id,
            base: op.guard.base.map(wire::Decimal),
            deps: [],
            args: serde_json::from_str::<&RawValue>(&op.args).map_err(damaged)?,
        });
    }
    serde_json::to_vec(&wire::Ops { epoch, ops }).map_err(damaged)
}

#[cfg(test)]
mod guard_tests;
#[cfg(test)]
mod tests;
