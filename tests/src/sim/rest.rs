//! The quiet phase: no more faults, and everybody comes to rest by themselves, within three times the
//! longest backoff (I38).

use super::{Sim, Violation, When, checks, locked, practice_side};
use portal_core::account::SessionState;
use portal_server_mock::Faults as PracticeFaults;
use std::sync::atomic::Ordering;

/// The longest backoff, in milliseconds.
const BACKOFF: u64 = 300_000;

impl Sim {
    /// Ends the trouble, waits, and looks; then whoever else has records on a device signs in there.
    pub(super) fn rest(&mut self) -> Result<(), Violation> {
        self.end_trouble()?;
        self.come_to_rest(None)?;
        for place in 0..self.books.len() {
            let Some(book) = self.books.get(place).filter(|book| !book.open && !book.closed) else {
                continue;
            };
            let (device, person) = (book.device, book.person);
            self.come_to_rest(Some((device, person)))?;
            if self
                .book_of(device)
                .and_then(|book| self.books.get(book))
                .is_none_or(|book| book.person != person)
            {
                let what = format!("records of person {person} on device {device} do not open");
                return Err(Violation { invariant: "I24", what });
            }
        }
        self.leave_nothing()
    }

    /// S6: what a kill or a failure left of whoever is gone goes at the next start.
    fn leave_nothing(&mut self) -> Result<(), Violation> {
        for index in 0..self.devices.len() {
            self.kill(index, "for the last time")?;
            if let Some(remains) = self.devices.get(index).and_then(|device| device.remains()) {
                let what = format!("device {index} still has {remains}");
                return Err(Violation { invariant: "S6", what });
            }
        }
        Ok(())
    }

    fn come_to_rest(&mut self, who: Option<(usize, usize)>) -> Result<(), Violation> {
        let person = |index: usize| who.filter(|(device, _)| *device == index).map(|(_, person)| person);
        // What waits goes by itself.
        for index in 0..self.devices.len() {
            self.come_back(index, person(index))?;
        }
        self.settle_down(self.time.now() + 3 * BACKOFF)?;
        let unsent = checks::manners::nothing_is_unsent(self);
        unsent
            .or_else(|what| if self.plan.goes_on { Ok(()) } else { Err(what) })
            .map_err(|what| Violation { invariant: "I38", what: format!("by itself, {what}") })?;
        // What is new comes when somebody looks at the app: after everybody's writes, and after the
        // last wait that the practice asked for.
        let end = self.time.now() + 3 * BACKOFF;
        let mut heads = self.heads();
        loop {
            let before = std::mem::replace(&mut heads, self.heads());
            for index in 0..self.devices.len() {
                self.come_back(index, person(index))?;
                if let Some(portal) = self.devices.get(index).and_then(|device| device.portal.clone()) {
                    self.sync(index, &portal, None);
                }
            }
            self.settle_down(self.time.now() + BACKOFF)?;
            let in_step = self.devices.iter().all(|device| device.in_step);
            let at_rest = in_step && before == heads && heads == self.heads();
            if !at_rest && self.plan.goes_on {
                return Ok(());
            }
            if at_rest || self.time.now() > end {
                break;
            }
            self.time.pass_to(self.time.now() + 10_000);
        }
        self.look_at_all();
        self.check(When::Step)?;
        self.look_at_all();
        self.check(When::Rest)
    }

    /// Where everybody's feed stands.
    fn heads(&self) -> Vec<u64> {
        let world = locked(&self.world);
        self.people.iter().map(|person| world.feed_head(person.account)).collect()
    }

    fn end_trouble(&mut self) -> Result<(), Violation> {
        self.say(|| "--- the trouble ends".to_owned());
        let mut world = locked(&self.world);
        world.set_faults(PracticeFaults::default());
        world.set_policy(practice_side::policy(5_000));
        for person in &self.people {
            let _ = world.reactivate(person.client);
        }
        drop(world);
        let mut wire = locked(&self.wire);
        wire.faults = super::Faults::default();
        wire.offline.clear();
        drop(wire);
        for index in 0..self.devices.len() {
            let Some(device) = self.devices.get(index) else { continue };
            device.full.store(false, Ordering::Relaxed);
            device.disk.spare();
            if device.disk.is_dead() {
                self.kill(index, "at last")?;
            }
        }
        Ok(())
    }

    /// Somebody takes the device, unlocks it or signs in again.
    fn come_back(&mut self, index: usize, person: Option<usize>) -> Result<(), Violation> {
        // An earlier unlock or sign-out may be under way.
        self.settle_down(self.time.now() + BACKOFF)?;
        // An unlock that finds the session ended, a sign-in that is locked, and both again; and one look more.
        for _ in 0..8 {
            let Some(device) = self.devices.get(index) else { return Ok(()) };
            let Some(portal) = device.portal.clone() else { return Ok(()) };
            if device.suspended {
                self.resume(index, &portal);
            }
            portal.account().entered_foreground();
            let mut signs_in = false;
            let known = self.book_of(index).and_then(|book| self.books.get(book)).map(|book| book.person);
            match (portal.account().session().state, person) {
                (SessionState::Active, None) => return Ok(()),
                (SessionState::Active, Some(person)) if known == Some(person) => return Ok(()),
                (SessionState::Locked, None) => self.unlock(index, &portal),
                _ => {
                    self.sign_in(index, person.or(known).unwrap_or(0));
                    signs_in = true;
                }
            }
            self.settle_down(self.time.now() + BACKOFF)?;
            let opened = self.book_of(index).and_then(|book| self.books.get(book)).map(|book| book.person);
            let open = portal.account().session().state == SessionState::Active;
            if signs_in && !(open && (person.is_none() || person == opened)) {
                // Too many sign-ins failed while the access was revoked: half an hour's lock.
                self.time.pass_to(self.time.now() + 31 * 60_000);
            }
        }
        let what = format!("device {index} cannot be opened");
        Err(Violation { invariant: "I24", what })
    }

    /// Lets time pass until nothing is under way and nothing waits, but no longer than until then.
    fn settle_down(&mut self, end: u64) -> Result<(), Violation> {
        self.go_on()?;
        let mut touched = self.time.now();
        // What goes on although something did not hold may go on for ever.
        for _ in 0..if self.plan.goes_on { 500 } else { usize::MAX } {
            let arrival = locked(&self.wire).next_arrival();
            let next = [arrival, self.time.next_wake()].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else { return Ok(()) };
            if arrival == Some(next) {
                self.deliver()
            } else {
                self.time.pass_to(next)
            }
            self.go_on()?;
            self.check(When::Step)?;
            if locked(&self.wire).is_idle() && !self.anything_waits() {
                return Ok(());
            }
            if self.time.now() > touched + 60_000 {
                touched = self.time.now();
                self.devices
                    .iter()
                    .filter_map(|device| device.portal.as_ref())
                    .for_each(|p| p.account().touch());
            }
        }
        Ok(())
    }

    /// Whether something in an open outbox has no answer, or somebody is at a door.
    fn anything_waits(&mut self) -> bool {
        self.devices.iter().any(|device| device.at_the_door)
            || (0..self.books.len()).any(|book| self.portal_of(book).is_some() && self.waits(book))
    }

    fn waits(&mut self, book: usize) -> bool {
        let Some(book) = self.books.get(book) else { return false };
        let raw = self.devices.get_mut(book.device).and_then(|device| device.raw(&book.directory));
        raw.is_some_and(|raw| {
            let waits = raw.prepare_cached("SELECT 1 FROM outbox WHERE state <> 3 LIMIT 1");
            waits.and_then(|mut waits| waits.exists([])).unwrap_or(false)
        })
    }

    fn look_at_all(&mut self) {
        self.looked_at.clear();
        self.bases.values_mut().for_each(checks::Base::forget);
        self.devices.iter_mut().for_each(|device| device.look_again = true);
    }
}
