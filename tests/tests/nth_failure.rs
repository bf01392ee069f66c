//! The Nth call of the disk, of the small files, of the allocator, of the network and of the key store fails, for
//! every N of every verb: a typed error, what was there before is still there, and it works again afterwards (I26).
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, clippy::disallowed_macros, reason = "a test prints what it found")]

mod lab;
mod storage;

use portal_core::account::{SessionState, Unsent};
use portal_core::{PortalError, Reason};
use portal_test_vfs::{self as vfs, Fault};
use portal_tests::phone::{Scratch, now};
use rand::Rng;
use std::collections::BTreeMap;
use std::time::Duration;
use storage::check::{self, Wrong};
use storage::script::Ledger;
use storage::verbs::{Case, cases, sync};
use storage::{Keys, Rig, Vault};

/// What fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Disk(Fault),
    SmallFile,
    Allocator,
    Request,
    Answer,
    Vault,
}

impl Part {
    fn arm(self, rig: &Rig, nth: usize) {
        match self {
            Self::Disk(fault) => vfs::fail(nth as u64, fault),
            Self::SmallFile => rig.small.arm(nth),
            Self::Allocator => vfs::fail_allocation(nth as u64),
            Self::Request => rig.net.arm(nth, false),
            Self::Answer => rig.net.arm(nth, true),
            Self::Vault => rig.vault.arm(nth),
        }
    }

    /// Whether it was met.
    fn disarm(self, rig: &Rig) -> bool {
        match self {
            Self::Disk(_) => vfs::disarm(),
            Self::SmallFile => rig.small.disarm(),
            Self::Allocator => vfs::disarm_allocator(),
            Self::Request | Self::Answer => rig.net.disarm(),
            Self::Vault => rig.vault.disarm(),
        }
    }

    /// Whether this error fits.
    fn explains(self, error: &PortalError) -> bool {
        match (self, error) {
            (Self::Disk(_) | Self::SmallFile | Self::Allocator, PortalError::Storage { reason }) => {
                ["file_unavailable", "disk_full", "in_use"].contains(&reason.code())
            }
            (Self::Request | Self::Answer, PortalError::Offline { .. }) => true,
            (Self::Vault, PortalError::Locked { reason }) => reason.code() == "vault_failed",
            _ => false,
        }
    }
}

/// Rounds after which a fresh phone goes on, so that its lists stay short.
const ROUNDS: usize = 60;

/// A phone on which somebody has registered and synced, and what it has promised.
struct Used {
    rig: Rig,
    ledger: Ledger,
    _scratch: Scratch,
}

impl Used {
    fn new(seed: u64) -> Self {
        let (practice, vault, scratch) = (storage::practice(6), Vault::of(Keys::new()), Scratch::new());
        let mut rig = Rig::new(&practice, &vault, scratch.path(), seed);
        rig.open().unwrap();
        now(rig.portal().account().register(rig.registration())).unwrap();
        sync(&mut rig, 0).unwrap();
        Self { rig, ledger: Ledger { registered: true, ..Ledger::default() }, _scratch: scratch }
    }

    /// Whatever the verb left, the client can go on, and sees what was promised.
    fn goes_on(&self, place: &str) {
        now(self.rig.portal().resume()).unwrap_or_else(|error| panic!("{place}: resume: {error}"));
        now(self.rig.portal().account().unlock()).unwrap_or_else(|error| panic!("{place}: unlock: {error}"));
        self.rig.portal().account().touch();
        let shows = check::shows(&self.rig, &self.ledger);
        assert_eq!(shows, Ok(()), "{place}");
    }

    fn comes_to_rest(&mut self, place: &str) {
        self.goes_on(place);
        let settled = check::settles(&self.rig).and_then(|_| check::agrees(&self.rig, &self.ledger));
        assert_eq!(settled, Ok::<(), Wrong>(()), "{place}");
        let aside = lab::users(&self.rig.root).remove(0).join("damaged-1.db");
        assert!(!aside.exists(), "{place}: a failure was taken for damage");
    }
}

/// Fails the Nth, for every N that this case has; how many there were, and how many the verb survived.
fn every_nth(part: Part, case: &Case) -> (usize, usize) {
    let (mut used, mut survived) = (Used::new(1), 0);
    for nth in 1.. {
        let place = format!("{}, {part:?}, {nth}", case.name);
        if nth % ROUNDS == 0 {
            used.comes_to_rest(&place);
            used = Used::new(nth as u64);
        }
        (case.before)(&mut used.rig, nth).unwrap_or_else(|error| panic!("{place}: before: {error}"));
        used.rig.texts.extend((case.texts)(nth));
        (case.prepared)(&mut used.ledger, nth);
        part.arm(&used.rig, nth);
        let result = (case.verb)(&mut used.rig, nth);
        let met = part.disarm(&used.rig);
        match result {
            Ok(()) => survived += usize::from(met),
            Err(error) => {
                assert!(met && part.explains(&error), "{place}: {error}");
                let off = ["lock", "unlock", "suspend", "resume", "start of the app"].contains(&case.name);
                if !off {
                    used.goes_on(&place);
                }
                used.rig.practice.clock.advance(Duration::from_secs(61));
                (case.verb)(&mut used.rig, nth).unwrap_or_else(|error| panic!("{place}: again: {error}"));
            }
        }
        (case.promise)(&mut used.ledger, nth);
        used.goes_on(&place);
        if !met {
            used.comes_to_rest(&place);
            return (nth - 1, survived);
        }
    }
    unreachable!()
}

fn every_case(part: Part) {
    vfs::install();
    let mut counts = BTreeMap::new();
    for case in cases() {
        let started = std::time::Instant::now();
        let (failures, survived) = every_nth(part, &case);
        println!(
            "{part:?}: {}: {failures} failures, {survived} survived; {:?}",
            case.name,
            started.elapsed()
        );
        counts.insert(case.name, failures);
    }
    println!("{part:?}: {} failures", counts.values().sum::<usize>());
}

#[test]
fn i26_the_nth_disk_call_fails() {
    every_case(Part::Disk(Fault::Once));
}

#[test]
fn i26_the_disk_breaks_at_the_nth_call() {
    every_case(Part::Disk(Fault::Broken));
}

#[test]
fn i26_the_disk_is_full_from_the_nth_call_on() {
    every_case(Part::Disk(Fault::Full));
}

#[test]
fn i26_the_nth_call_of_a_small_file_fails() {
    every_case(Part::SmallFile);
}

#[test]
fn i26_the_nth_allocation_fails() {
    every_case(Part::Allocator);
}

#[test]
fn i26_the_nth_request_is_lost() {
    every_case(Part::Request);
}

#[test]
fn i26_the_nth_answer_is_lost() {
    every_case(Part::Answer);
}

#[test]
fn i26_the_nth_call_of_the_key_store_fails() {
    every_case(Part::Vault);
}

/// What can fail at a phone of its own for each N: allocations are too many.
const PARTS: [Part; 6] = [
    Part::Disk(Fault::Once),
    Part::Disk(Fault::Full),
    Part::SmallFile,
    Part::Request,
    Part::Answer,
    Part::Vault,
];

/// Registering and the first sync happen once on a phone: each N has one of its own.
#[test]
fn i26_the_nth_failure_of_a_first_day() {
    vfs::install();
    for part in PARTS {
        let mut failures = 0;
        for nth in 1.. {
            if !first_day(part, nth) {
                break;
            }
            failures += 1;
        }
        println!("{part:?}: a first day: {failures} failures");
        assert!(failures > 2);
    }
}

/// Whoever leaves, by a sign-out or a wipe, is gone in the end, with every key and file; what could not be done
/// is said, and can be asked for again.
#[test]
fn i26_the_nth_failure_of_leaving() {
    vfs::install();
    let sign_out: Leave = |rig| now(rig.portal().account().sign_out(Unsent::Discard));
    let wipe: Leave = |rig| now(rig.portal().account().wipe());
    for (name, leave) in [("sign out", sign_out), ("wipe", wipe)] {
        for part in PARTS {
            let failures = (1..).take_while(|nth| leaves(name, leave, part, *nth)).count();
            println!("{part:?}: {name}: {failures} failures");
        }
    }
}

type Leave = fn(&Rig) -> Result<(), PortalError>;

/// Whether the failure was met.
fn leaves(name: &str, leave: Leave, part: Part, nth: usize) -> bool {
    let place = format!("{name}, {part:?}, {nth}");
    let mut used = Used::new(nth as u64);
    let thread = used.rig.threads[0].clone();
    now(used.rig.portal().messages().send(thread, "Never sent".into())).unwrap();
    part.arm(&used.rig, nth);
    let result = leave(&used.rig);
    let met = part.disarm(&used.rig);
    if let Err(error) = result {
        assert!(met && part.explains(&error), "{place}: {error}");
        match leave(&used.rig) {
            Ok(()) | Err(PortalError::SignedOut { reason: Reason::NotSignedIn }) => {}
            Err(error) => panic!("{place}: again: {error}"),
        }
    }
    // What a failure left goes at the next start.
    used.rig.open().unwrap_or_else(|error| panic!("{place}: {error}"));
    assert_eq!(used.rig.portal().account().session().state, SessionState::SignedOut, "{place}");
    assert_eq!(lab::users(&used.rig.root).len(), 0, "{place}");
    assert_eq!(used.rig.vault.aliases(), ["portal-install"], "{place}");
    used.rig.sign_in().unwrap_or_else(|error| panic!("{place}: sign in: {error}"));
    used.comes_to_rest(&place);
    met
}

/// A first day makes too many allocations for a phone each: some of them, by a seed.
#[test]
fn i26_one_of_the_allocations_of_a_first_day_fails() {
    const PHONES: usize = 150;
    vfs::install();
    let mut random = lab::random(20_260_418);
    vfs::fail_allocation(0);
    assert!(!first_day(Part::Vault, 1_000_000));
    let made = vfs::allocations();
    println!("{made} allocations of a first day, of which {PHONES} fail");
    let mut met = 0;
    for _ in 0..PHONES {
        let nth = 1 + usize::try_from(random.next_u64() % made).unwrap();
        met += usize::from(first_day(Part::Allocator, nth));
    }
    assert!(met > PHONES / 2, "{met}");
}

/// Whether the failure was met.
fn first_day(part: Part, nth: usize) -> bool {
    let place = format!("{part:?}, {nth}");
    let (practice, vault, scratch) = (storage::practice(6), Vault::of(Keys::new()), Scratch::new());
    let mut rig = Rig::new(&practice, &vault, scratch.path(), nth as u64);
    let day = |rig: &mut Rig| -> Result<(), PortalError> {
        rig.open()?;
        now(rig.portal().account().register(rig.registration()))?;
        sync(rig, 0)
    };
    part.arm(&rig, nth);
    let result = day(&mut rig);
    let met = part.disarm(&rig);
    match result {
        Ok(()) => {}
        Err(error) => assert!(met && part.explains(&error), "{place}: {error}"),
    }
    practice.clock.advance(Duration::from_secs(61));
    let none = Ledger::default();
    let passed = check::reopened(&mut rig, &none, &Ledger { registered: true, ..none.clone() });
    assert!(passed.is_ok(), "{place}: {passed:?}");
    met
}
