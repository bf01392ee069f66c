//! What must hold (DESIGN 5), one small function each. A new area adds its functions to [`CHECKS`].
//!
//! A check of [`When::Step`] runs after every step and looks only at what moved in it; one of
//! [`When::Rest`] runs once, when the faults have stopped and everybody has come to rest.

mod effects;
mod feed;
pub(super) mod manners;
mod seen;

pub(super) use feed::Base;
pub(super) use seen::{Screen, Shown};

use super::ledger::Owed;
use super::{Sim, Violation, locked};
use rustc_hash::FxHasher;
use std::hash::{Hash, Hasher};

/// What may be large, as a number.
pub(super) fn number_of(what: &impl Hash) -> u64 {
    let mut hash = FxHasher::default();
    what.hash(&mut hash);
    hash.finish()
}

/// When a check looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// After every step.
    Step,
    /// At rest.
    Rest,
}

/// One thing that must hold.
pub struct Check {
    /// Its number in DESIGN 5.
    pub id: &'static str,
    /// What it says.
    pub says: &'static str,
    /// When it is looked at.
    pub when: When,
    look: fn(&mut Sim) -> Result<(), String>,
}

const fn step(id: &'static str, says: &'static str, look: fn(&mut Sim) -> Result<(), String>) -> Check {
    Check { id, says, when: When::Step, look }
}

const fn rest(id: &'static str, says: &'static str, look: fn(&mut Sim) -> Result<(), String>) -> Check {
    Check { id, says, when: When::Rest, look }
}

/// What belongs to one moment, or to a whole run, and is looked at there.
pub const ELSEWHERE: &[(&str, &str)] = &[
    ("I24", "an app starts, and opens the records that are there, whatever it was killed at"),
    ("I26", "no verb answers that it is our mistake, or that a file is damaged"),
    ("I27", "with every wall clock eleven years ahead the same run has the same trace"),
    ("I30", "a sync that says it is complete has fetched what was there when it was asked for"),
    ("I37", "the same seed gives the same trace"),
    ("S6", "after a start no key, directory or mark is left of whoever is gone"),
    ("panic", "nothing panics, or goes round in circles"),
];

/// All of them but [`ELSEWHERE`].
pub const CHECKS: &[Check] = &[
    step("I2", "no text takes effect twice", effects::at_most_once),
    step("I3", "nothing takes effect after it was taken back", effects::never_after_a_cancel),
    step("I5", "what one device writes arrives in the order of its lane", effects::in_lane_order),
    step("I1a", "records go only with somebody's will", effects::records_stay),
    step("I8", "the place in the feed never goes back", feed::place_never_goes_back),
    step("I9", "no row's version goes back", feed::versions_never_go_back),
    step("I11", "the base is the practice at one checkpoint, byte for byte", feed::base_is_one_checkpoint),
    step("I12", "all references resolve", feed::references_resolve),
    step("I13", "a deleted row returns only with a higher sequence", feed::deleted_stays_deleted),
    step("I14", "nothing but the end of a pull moves the base", feed::only_a_pull_moves_the_base),
    step("I10", "what was written shows exactly once until it is answered", seen::shows_exactly_once),
    step("I15", "drafts are what was last typed, whatever the feed does", seen::drafts_stay),
    step("R13", "what was read stays read", seen::read_stays_read),
    step("I34", "nobody sees a byte of somebody else's", seen::only_ones_own),
    step("I28", "no request before its Retry-After", manners::retry_after),
    step("I28b", "no op of a lane before the wait that it was given", manners::lane_waits),
    step("I28c", "nothing leaves again whose answer is kept", manners::never_again),
    step("I39", "what has to wait holds up its own lane only", manners::only_its_lane_waits),
    step("I29", "one sync at a time", manners::single_flight),
    step("I33", "one refresh for one refusal of the token", manners::one_refresh),
    step("I33b", "no refresh token comes back once its successor was used", manners::durable_tokens),
    step("I32", "while suspended no database is open", manners::suspended_is_closed),
    step("I40", "no screen is old that nobody told to read again", seen::no_screen_is_old),
    rest("I40b", "at rest every screen shows what is there", seen::no_screen_was_forgotten),
    rest("I1", "whatever a verb promised has arrived, or is shown as refused", effects::nothing_lost),
    rest(
        "I4",
        "an op is shown as refused only if the practice did not do it",
        effects::refused_means_not_done,
    ),
    rest("I6", "the counters of both sides agree, without a gap", effects::counters_agree),
    rest("I7", "the base is the practice's present state, byte for byte", feed::base_is_the_present),
    rest("I38", "nothing waits any more", manners::nothing_waits),
    rest("I39b", "what was refused says why, and what can be done", manners::refused_says_why),
];

impl Sim {
    /// Looks.
    pub(super) fn check(&mut self, when: When) -> Result<(), Violation> {
        self.take_in();
        for check in CHECKS.iter().filter(|check| check.when == when) {
            match (check.look)(self) {
                Err(_) if self.plan.goes_on => drop(self.fired.insert(check.id)),
                looked => looked.map_err(|what| Violation { invariant: check.id, what })?,
            }
        }
        locked(&self.wire).told.sent.clear();
        self.remember_bases();
        Ok(())
    }

    /// Finds out what moved.
    fn take_in(&mut self) {
        self.look_at.clear();
        for device in &mut self.devices {
            let commits = device.disk.commits();
            if commits != device.seen_commits || device.look_again {
                (device.seen_commits, device.look_again) = (commits, false);
                self.look_at.push(device.index);
            }
        }
        let arrived = &self.arrived;
        for book in self.books.iter_mut().filter(|book| !book.closed && self.look_at.contains(&book.device)) {
            let device = self.devices.get(book.device);
            book.gone = device.is_none_or(|device| !device.has_records(&book.directory));
            if book.gone {
                book.open = false;
                // With somebody's will, or after a sign-out that found nothing unsent, nothing is owed.
                let sent = book.entries.iter().all(|e| e.owed != Owed::Once || arrived.contains_key(&e.text));
                if book.leaving || sent && book.drafts.values().all(|texts| texts.contains(&None)) {
                    book.close();
                }
            }
        }
        self.read_bases();
        self.read_what_shows();
    }

    /// The open books of devices that moved.
    fn moved(&self) -> Vec<usize> {
        let open = self.books.iter().enumerate();
        let open = open.filter(|(_, book)| book.open && !book.closed && self.look_at.contains(&book.device));
        open.map(|(place, _)| place).collect()
    }

    /// All open books.
    fn open_books(&self) -> Vec<usize> {
        let open = self.books.iter().enumerate().filter(|(_, book)| book.open && !book.closed);
        open.map(|(place, _)| place).collect()
    }
}
