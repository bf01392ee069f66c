//! The driver's acts: each is one request, or one transaction, or both, and leaves nothing half done.

use super::engine::Heard;
use super::fate::{self, Alone, Fate};
use super::feed::{self, Kind, Place};
use super::outbox::{self, OpRow};
use super::{Driver, SyncReport, wire};
use crate::change::Change;
use crate::error::{PortalError, Reason};
use crate::log::{self, LogEvent};
use crate::proof::{planted, point};
use crate::session::api::{self, Failure};
use crate::store::{Store, Transaction};
use crate::values::{Id, Millis};
use http::{Method, StatusCode};
use serde_json::value::RawValue;
use std::sync::Arc;

/// Rows of one page.
const PAGE: usize = 500;

impl Driver {
    pub(super) async fn adopt_install(&self, store: &Store) -> Result<(), PortalError> {
        let Some(account) = self.session.account() else { return Ok(()) };
        let install = store.read(|c| Ok(feed::place(c)?.install)).await?;
        if install == account.install_id {
            return Ok(());
        }
        store.write(move |tx| feed::adopt_install(tx, &account.install_id)).await
    }

    /// Fetches and takes the next page after `place`.
    pub(super) async fn pull(
        &self,
        store: &Arc<Store>,
        place: Place,
        report: &mut SyncReport,
    ) -> Result<(), Failure> {
        let from = place.from;
        let mut url = self.session.config.url("/v1/sync")?;
        url.query_pairs_mut().append_pair("limit", &PAGE.to_string());
        if !from.is_empty() {
            url.query_pairs_mut().append_pair("cursor", &from);
        }
        point!("pull.asked");
        let answer = self.session.authorized(store, Method::GET, url, None).await;
        point!("pull.answered");
        let response = match self.if_ours(answer)?.map_err(fate::of_pull) {
            Ok(response) => response,
            Err(Failure::Gone) if !planted!(GoneIgnored) => {
                store.write(feed::refill).await?;
                point!("pull.gone");
                self.heard(Heard::Gone);
                return Ok(());
            }
            Err(failure) => return Err(failure),
        };
        let as_of = api::server_time(&response);
        if response.status() == StatusCode::NOT_MODIFIED {
            // To a pull that has only begun "nothing is newer" is no answer: it would ask for ever.
            if place.begun || place.refill {
                return Err(api::bad_answer());
            }
            if store.write(move |tx| feed::unchanged(tx, as_of)).await? {
                self.session.changes.emit(&Change::Outbox);
            }
            return self.pulled(store, Heard::Pulled { ended: true }).await;
        }
        let (kinds, ports) = (self.kinds.clone(), self.session.ports.clone());
        let now_open = self.session.store().ok().filter(|_| planted!(PageForWhoeverWasHere));
        let taken = now_open
            .as_ref()
            .unwrap_or(store)
            .write(move |tx| {
                let page = serde_json::from_slice(response.body())
                    .map_err(|_| PortalError::offline(Reason::BadAnswer))?;
                let mut key = || Id::new(ports.clock.as_ref(), ports.entropy.as_ref());
                feed::take(tx, &kinds, &from, &page, as_of, &mut key)
            })
            .await;
        let taken = match taken {
            Ok(taken) => taken,
            Err(PortalError::Offline { .. }) => return Err(api::bad_answer()),
            Err(error) => return Err(error.into()),
        };
        point!("pull.taken");
        report.received += taken.received;
        let (done, total) = taken.progress;
        self.session.changes.emit(&Change::Syncing { done, total });
        if taken.published {
            if !planted!(ChangesNotTold) {
                taken.changes.iter().for_each(|change| self.session.changes.emit(change));
            }
            (self.after_publish)(self.session.clone()).await;
            point!("pull.published");
        }
        // A pull that the server cut short starts over, without losing the trigger that it answered.
        self.pulled(
            store,
            if taken.abandoned { Heard::Gone } else { Heard::Pulled { ended: taken.published } },
        )
        .await
    }

    /// The answer, if this run may still do something with it. If not, only the practice's wish to be
    /// left alone for a while is kept: it holds whatever happened to the files meanwhile (I28).
    fn if_ours<T>(&self, answer: Result<T, Failure>) -> Result<Result<T, Failure>, Failure> {
        match (self.still_ours(), answer) {
            (Ok(()), answer) => Ok(answer),
            (Err(_), Ok(answer)) if planted!(PageForWhoeverWasHere) => Ok(Ok(answer)),
            (Err(_), Err(later @ Failure::Later { wait: Some(_), .. }))
                if !planted!(WaitForgottenWhenClosed) =>
            {
                Err(later)
            }
            (Err(error), _) => Err(error.into()),
        }
    }

    /// A whole pull that did not bring the server's clock, which a deadline waits for, counts as a
    /// failed one: it would be asked for again at once, for ever.
    async fn pulled(&self, store: &Store, heard: Heard) -> Result<(), Failure> {
        let blind = heard == Heard::Pulled { ended: true } && self.session.server_now().is_none();
        if blind && store.read(outbox::needs_clock).await? {
            return Err(api::bad_answer());
        }
        self.heard(heard);
        Ok(())
    }

    /// Sends what waits, and stores what became of it.
    pub(super) async fn push(
        &self,
        store: &Arc<Store>,
        held: Vec<String>,
        most: usize,
        report: &mut SyncReport,
    ) -> Result<(), Failure> {
        let (kinds, now) = (self.kinds.clone(), self.session.server_now());
        let (epoch, claimed) = store
            .write(move |tx| {
                let guard = |op: &OpRow| guard(tx, &kinds, op, now);
                Ok((feed::place(tx)?.epoch, outbox::claim(tx, &held, most, guard)?))
            })
            .await?;
        point!("push.claimed");
        let mut sent = claimed.ops;
        if planted!(AnotherIdAfterADay) {
            let now = self.session.ports.clock.wall().0;
            let old = sent.iter_mut().filter(|op| !op.fresh && now - op.created_at.0 > 24 * 3_600_000);
            old.for_each(|op| op.id = op.id.next());
        }
        self.session.changes.emit(&Change::Outbox);
        if sent.is_empty() {
            self.heard(Heard::Pushed { later: Vec::new() });
            return Ok(());
        }
        if planted!(AckOnSend) {
            let sent: Vec<i64> = sent.iter().map(|op| op.pk).collect();
            store.write(move |tx| sent.into_iter().try_for_each(|pk| outbox::remove(tx, pk))).await?;
        }
        let body = body(&epoch, &sent)?;
        let url = self.session.config.url("/v1/ops")?;
        point!("push.sent");
        let answer = self.session.authorized(store, Method::POST, url, Some(body)).await;
        point!("push.answered");
        let answer = answer.and_then(|response| api::parse::<wire::Results>(&response));
        // Before anything that may fail: the wish holds also when the answer cannot be stored (I28).
        for result in answer.iter().flat_map(|answer| &answer.results) {
            if let Fate::Later { wait: Some(wait) } = fate::fate(Some(result), 0) {
                self.engine().hold(&result.lane, wait, self.session.ports.clock.boot());
            }
        }
        match self.if_ours(answer)?.map_err(fate::of_push) {
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
                point!("push.settled");
                log::event(LogEvent::OpsSettled, None, settled.done);
                report.sent += settled.done;
                self.heard(Heard::Pushed { later: settled.later });
                self.session.changes.emit(&Change::Outbox);
                self.session.changes.emit(&Change::Messages { thread: None });
                Ok(())
            }
            Err(Failure::Gone) => {
                // Nothing of it was done: what had not left before has not left.
                store.write(move |tx| outbox::release(tx, &sent).and_then(|()| feed::refill(tx))).await?;
                point!("push.gone");
                self.session.changes.emit(&Change::Outbox);
                self.heard(Heard::PushGone);
                Ok(())
            }
            Err(Failure::Refused { reason, field, .. }) => self.refused(store, sent, reason, field).await,
            Err(failure) => {
                if planted!(UnauthorizedDiscardsTheQueue) && failure == Failure::Unauthorized {
                    store.write(move |tx| sent.iter().try_for_each(|op| outbox::remove(tx, op.pk))).await?;
                    return Err(failure);
                }
                if not_carried_out(&failure) {
                    store.write(move |tx| outbox::release(tx, &sent)).await?;
                    self.session.changes.emit(&Change::Outbox);
                }
                Err(failure)
            }
        }
    }

    /// The whole request was refused, and nothing of it done.
    async fn refused(
        &self,
        store: &Store,
        sent: Vec<OpRow>,
        reason: Reason,
        field: Option<String>,
    ) -> Result<(), Failure> {
        let most = sent.len();
        let (fresh, lane) = sent.first().map(|op| (op.fresh, op.lane.clone())).unwrap_or_default();
        let alone = fate::alone(most, fresh, &reason);
        let key = Id::new(self.session.ports.clock.as_ref(), self.session.ports.entropy.as_ref());
        store
            .write(move |tx| match alone {
                Alone::Cut => outbox::release(tx, &sent),
                Alone::Refused => {
                    sent.iter().try_for_each(|op| outbox::refuse_fresh(tx, op, &reason, field.as_deref()))
                }
                Alone::Renumber => {
                    outbox::release(tx, &sent)?;
                    sent.iter().try_for_each(|op| outbox::rekey(tx, op, key))?;
                    feed::refill(tx)
                }
                Alone::Unknown => sent.iter().try_for_each(|op| match outbox::doubt(tx, op, &reason)? {
                    true => feed::refill(tx),
                    false => Ok(()),
                }),
            })
            .await?;
        self.session.changes.emit(&Change::Outbox);
        self.heard(match alone {
            Alone::Cut | Alone::Refused => Heard::PushRefused { most },
            Alone::Renumber => Heard::PushGone,
            Alone::Unknown => Heard::Pushed { later: vec![(lane, None)] },
        });
        Ok(())
    }
}

/// Whether an op may still leave, and if not, why.
pub(super) fn guard(
    tx: &Transaction<'_>,
    kinds: &[&Kind],
    op: &OpRow,
    now: Option<Millis>,
) -> Result<Result<(), Reason>, PortalError> {
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
        Failure::Later { reason: Reason::TimedOut | Reason::ConnectionLost, .. } => planted!(LostIsNotSent),
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
            id: if planted!(AnotherIdEachTry) && op.attempts > 0 { op.id.next() } else { op.id },
            base: op.guard.base.map(wire::Decimal),
            deps: [],
            args: serde_json::from_str::<&RawValue>(&op.args).map_err(damaged)?,
        });
    }
    serde_json::to_vec(&wire::Ops { epoch, ops }).map_err(damaged)
}
