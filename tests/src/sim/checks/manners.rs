//! How a phone behaves towards the practice, and whether everything comes to rest.

use crate::practice::locked;
use crate::sim::told::{Sent, What};
use crate::sim::{Sim, Violation};
use portal_core::account::SessionState;
use portal_core::outbox::OutboxState;
use portal_core::{Portal, Reason};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use uuid::Uuid;

fn sent(sim: &Sim) -> Vec<Sent> {
    locked(&sim.wire).told.sent.clone()
}

pub(super) fn retry_after(sim: &mut Sim) -> Result<(), String> {
    match sent(sim).into_iter().find(|sent| sent.at < sent.floor) {
        Some(sent) => Err(format!(
            "device {} asked {} ms too early",
            sent.process.0,
            sent.floor.saturating_sub(sent.at)
        )),
        None => Ok(()),
    }
}

pub(super) fn lane_waits(sim: &mut Sim) -> Result<(), String> {
    match sent(sim).into_iter().find(|sent| !sent.early_lanes.is_empty()) {
        Some(sent) => Err(format!("device {} sent from {:?} too early", sent.process.0, sent.early_lanes)),
        None => Ok(()),
    }
}

/// After a good answer, whoever asks for nothing more has nothing to send but what the practice put off.
pub(super) fn only_its_lane_waits(sim: &mut Sim) -> Result<(), String> {
    for place in sim.moved() {
        let active = |portal: Arc<Portal>| portal.account().session().state == SessionState::Active;
        let Some(book) = sim.books.get(place).filter(|_| sim.portal_of(place).is_some_and(active)) else {
            continue;
        };
        let Some(device) = sim.devices.get_mut(book.device) else { continue };
        if device.at_the_door || device.full.load(Ordering::Relaxed) {
            continue;
        }
        let process = device.process();
        let wire = locked(&sim.wire);
        let Some(held) = wire.told.may_wait(process).filter(|_| !wire.asks(process)).cloned() else {
            continue;
        };
        drop(wire);
        let Some(raw) = device.raw(&book.directory) else { continue };
        let waiting = || -> rusqlite::Result<Vec<String>> {
            let mut lanes = raw.prepare_cached("SELECT DISTINCT lane FROM outbox WHERE state < 2")?;
            lanes.query_map([], |row| row.get(0))?.collect()
        };
        let waiting = waiting().map_err(|error| error.to_string())?;
        if let Some(lane) = waiting.iter().find(|lane| !held.contains(*lane)) {
            return Err(format!("device {} leaves {lane} alone, and only {held:?} has to wait", process.0));
        }
    }
    Ok(())
}

/// What the practice did or refused for good, and what is kept as such, does not leave again.
pub(super) fn never_again(sim: &mut Sim) -> Result<(), String> {
    for sent in sent(sim).iter().filter(|sent| !sent.keys.is_empty()) {
        let Some(base) = sim.book_of(sent.process.0).and_then(|book| sim.bases.get(&book)) else { continue };
        let key = base.settled.iter().map(Uuid::to_string).find(|key| sent.keys.contains(key));
        if let Some(key) = key {
            return Err(format!("device {} sends {key} again, whose answer it has", sent.process.0));
        }
    }
    Ok(())
}

pub(super) fn single_flight(sim: &mut Sim) -> Result<(), String> {
    let twice = sent(sim).into_iter().find(|sent| sent.what != What::Refresh && sent.beside > 0);
    twice.map_or(Ok(()), |sent| Err(format!("device {} has two syncs under way", sent.process.0)))
}

pub(super) fn one_refresh(sim: &mut Sim) -> Result<(), String> {
    for sent in sent(sim).iter().filter(|sent| sent.what == What::Refresh) {
        if sent.beside > 0 {
            return Err(format!("device {} has two refreshes under way", sent.process.0));
        }
        if !sent.rejected {
            return Err(format!("device {} refreshes a token that nobody refused", sent.process.0));
        }
    }
    Ok(())
}

/// Tokens are durable before they are used: a kill cannot bring an earlier one back.
pub(super) fn durable_tokens(sim: &mut Sim) -> Result<(), String> {
    let used_up = sent(sim).into_iter().find(|sent| sent.what == What::Refresh && sent.used_up);
    used_up.map_or(Ok(()), |sent| {
        Err(format!("device {} shows a token whose successor was used", sent.process.0))
    })
}

pub(super) fn nothing_waits(sim: &mut Sim) -> Result<(), String> {
    nothing_is(sim, sim.open_books(), |state| !matches!(state, OutboxState::Refused { .. }))
}

/// What was written leaves without anybody asking; whether the feed has shown it yet is another matter.
pub(in crate::sim) fn nothing_is_unsent(sim: &mut Sim) -> Result<(), String> {
    let unsent = |state: &OutboxState| matches!(state, OutboxState::Waiting | OutboxState::Sending);
    let active = |book: &usize| {
        let portal = sim.portal_of(*book);
        portal.is_some_and(|portal| portal.account().session().state == SessionState::Active)
    };
    nothing_is(sim, sim.open_books().into_iter().filter(active).collect(), unsent)
}

fn nothing_is(sim: &Sim, books: Vec<usize>, so: impl Fn(&OutboxState) -> bool) -> Result<(), String> {
    for book in books {
        if let Some(waits) = sim.outbox_of(book)?.into_iter().find(|shown| so(&shown.state)) {
            return Err(format!("\"{}\" still waits", waits.text));
        }
    }
    Ok(())
}

pub(super) fn refused_says_why(sim: &mut Sim) -> Result<(), String> {
    for book in sim.open_books() {
        for shown in sim.outbox_of(book)? {
            if let OutboxState::Refused { reason, .. } = &shown.state
                && (*reason == Reason::Impossible || !shown.change.possible)
            {
                return Err(format!("\"{}\" was refused without a reason or a way out", shown.text));
            }
        }
    }
    Ok(())
}

impl Sim {
    /// I30: a sync that says that it is complete has fetched what was there when it was asked for, be
    /// it that another one was under way then.
    pub(in crate::sim) fn check_nothing_lost(
        &mut self,
        index: usize,
        book: usize,
        epoch: Uuid,
        head: u64,
    ) -> Result<(), Violation> {
        let book = self.books.get(book).filter(|book| book.open);
        let directory = book.map(|book| book.directory.clone());
        let device = self.devices.get_mut(index);
        let raw = directory.and_then(|directory| {
            let device = device.filter(|device| device.has_records(&directory));
            device?.raw(&directory)
        });
        let Some(Ok((ours, checkpoint))) = raw.map(super::feed::place) else { return Ok(()) };
        if ours == epoch.to_string() && checkpoint.unsigned_abs() < head {
            let what = format!("a complete sync of device {index} ends at {checkpoint}, asked for at {head}");
            return Err(Violation { invariant: "I30", what });
        }
        Ok(())
    }

    /// I32: after a suspension our own lock is not held.
    pub(in crate::sim) fn check_suspended(&mut self, index: usize) -> Result<(), Violation> {
        let Some(device) = self.devices.get(index) else { return Ok(()) };
        let Some(directory) = device.current() else { return Ok(()) };
        if device.files.is_locked(&directory.join("sync.lock")) {
            let what = format!("device {index} is suspended with our lock held");
            return Err(Violation { invariant: "I32", what });
        }
        Ok(())
    }
}

/// As long as a phone is suspended, whatever else it is asked to do.
pub(super) fn suspended_is_closed(sim: &mut Sim) -> Result<(), String> {
    let open = sim.devices.iter().position(|device| device.suspended && device.shelf.has_open());
    open.map_or(Ok(()), |index| Err(format!("device {index} is suspended with a database open")))
}
