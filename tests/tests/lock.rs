//! The records lock by themselves, by a clock that nobody can set back (SECURITY A8).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod lab;

use futures_util::future::BoxFuture;
use portal_core::account::SessionState;
use portal_core::change::Change;
use portal_core::ports::Clock;
use portal_core::runtime::Mode;
use portal_core::values::Millis;
use portal_core::{PortalError, Reason};
use portal_server_mock::world::Policy;
use portal_tests::phone::{Phone, Scratch, now, registration};
use portal_tests::practice::{Practice, TestVault, VirtualClock};
use std::sync::Arc;
use std::time::Duration;

const YEAR_MS: i64 = 365 * 24 * 3_600_000;

/// The demo's policy: idle 300 s, background 60 s.
fn phone(seed: u64) -> Phone {
    Phone::registered(&Practice::demo(5), seed)
}

fn pass(phone: &Phone, seconds: u64) {
    phone.practice.clock.advance(Duration::from_secs(seconds));
}

fn state(phone: &Phone) -> (SessionState, Option<Reason>) {
    let view = phone.portal.account().session();
    (view.state, view.reason)
}

fn active(phone: &Phone) -> bool {
    state(phone) == (SessionState::Active, None)
}

fn locked(reason: Reason) -> (SessionState, Option<Reason>) {
    (SessionState::Locked, Some(reason))
}

#[test]
fn a8_the_records_lock_after_the_idle_time_and_not_before() {
    let phone = phone(1);
    assert_eq!(phone.portal.account().session().lock_in_ms, Some(300_000));
    pass(&phone, 299);
    assert_eq!(phone.portal.account().session().lock_in_ms, Some(1_000));
    assert!(active(&phone));
    pass(&phone, 1);
    // The first to ask is a read: it finds the records locked.
    let error = now(phone.portal.home().view()).unwrap_err();
    assert_eq!(error, PortalError::Locked { reason: Reason::LockedIdle });
    assert_eq!(state(&phone), locked(Reason::LockedIdle));
    assert_eq!(phone.portal.account().session().lock_in_ms, None);
    now(phone.portal.account().unlock()).unwrap();
    assert!(active(&phone));
    assert_eq!(phone.portal.account().session().lock_in_ms, Some(300_000));
}

#[test]
fn a8_a_touch_extends_and_a_touch_that_comes_too_late_does_not() {
    let phone = phone(2);
    for _ in 0..10 {
        pass(&phone, 299);
        phone.portal.account().touch();
    }
    assert!(active(&phone));
    pass(&phone, 300);
    phone.portal.account().touch();
    assert_eq!(state(&phone), locked(Reason::LockedIdle));
}

#[test]
fn a8_reading_and_syncing_are_no_touch() {
    let phone = phone(3);
    for _ in 0..2 {
        pass(&phone, 149);
        now(phone.portal.home().view()).unwrap();
        now(phone.portal.sync(None)).unwrap();
    }
    pass(&phone, 2);
    assert_eq!(state(&phone), locked(Reason::LockedIdle));
}

#[test]
fn a8_however_busy_the_records_lock_after_twelve_hours() {
    let phone = phone(4);
    for _ in 0..(12 * 3600 / 240 - 1) {
        pass(&phone, 240);
        phone.portal.account().touch();
    }
    assert!(active(&phone));
    assert_eq!(phone.portal.account().session().lock_in_ms, Some(240_000));
    pass(&phone, 240);
    phone.portal.account().touch();
    assert_eq!(state(&phone), locked(Reason::LockedIdle));
}

#[test]
fn a8_in_the_background_they_lock_after_the_grace() {
    let phone = phone(5);
    phone.portal.account().entered_background();
    pass(&phone, 59);
    phone.portal.account().entered_foreground();
    assert!(active(&phone));
    // The time in front does not count, and a second notice does not start the grace again.
    pass(&phone, 100);
    phone.portal.account().touch();
    phone.portal.account().entered_background();
    pass(&phone, 40);
    phone.portal.account().entered_background();
    pass(&phone, 20);
    phone.portal.account().entered_foreground();
    assert_eq!(state(&phone), locked(Reason::LockedNow));
}

#[test]
fn a8_a_touch_in_the_background_does_not_extend_the_grace() {
    let phone = phone(6);
    phone.portal.account().entered_background();
    pass(&phone, 59);
    phone.portal.account().touch();
    pass(&phone, 1);
    assert_eq!(state(&phone), locked(Reason::LockedNow));
}

#[test]
fn a8_the_wall_clock_neither_extends_nor_locks() {
    for by in [-10 * YEAR_MS, -600_000, 600_000, 10 * YEAR_MS] {
        let phone = phone(7);
        pass(&phone, 200);
        phone.practice.clock.set_wall(by);
        assert!(active(&phone), "a jump by {by} ms locked");
        assert_eq!(phone.portal.account().session().lock_in_ms, Some(100_000));
        pass(&phone, 99);
        assert!(active(&phone));
        // Set back again and again, as somebody would to keep it open.
        phone.practice.clock.set_wall(-by);
        pass(&phone, 1);
        assert_eq!(state(&phone), locked(Reason::LockedIdle), "a jump by {by} ms kept it open");
    }
}

#[test]
fn a8_time_asleep_counts() {
    let phone = phone(8);
    // Asleep for a night: boot time goes on, and the first thing that is asked finds it locked.
    pass(&phone, 8 * 3600);
    assert!(now(phone.portal.messages().drafts()).is_err());
    assert_eq!(state(&phone), locked(Reason::LockedIdle));
}

#[test]
fn a8_the_practice_chooses_inside_hard_bounds() {
    let policy = |idle_lock_s, background_lock_s| Policy {
        idle_lock_s,
        background_lock_s,
        reply_hours: 48,
        message_max_chars: 5_000,
        start_threads: true,
    };
    for (idle, background, idle_ms, grace) in
        [(120, 10, 120_000, 10), (1, 0, 60_000, 0), (86_400, 86_400, 900_000, 300)]
    {
        let phone = phone(9);
        phone.practice.act(|world, _| world.set_policy(policy(idle, background)));
        now(phone.portal.sync(None)).unwrap();
        assert_eq!(phone.portal.account().session().lock_in_ms, Some(idle_ms), "{idle}");
        // It still holds after a kill, before any network.
        phone.practice.set_online(false);
        let phone = phone.restart();
        now(phone.portal.account().unlock()).unwrap();
        assert_eq!(phone.portal.account().session().lock_in_ms, Some(idle_ms), "{idle}");
        if grace < idle_ms / 1000 {
            phone.portal.account().entered_background();
            if grace > 0 {
                pass(&phone, grace - 1);
                assert!(active(&phone), "{background}");
                pass(&phone, 1);
            }
            assert_eq!(state(&phone), locked(Reason::LockedNow), "{background}");
        }
    }
}

#[test]
fn a_lock_keeps_outbox_drafts_and_session_and_every_verb_says_locked() {
    let phone = phone(10);
    let thread = lab::first_thread(&phone.portal);
    phone.practice.set_online(false);
    now(phone.portal.messages().send(thread.clone(), "Before the lock".into())).unwrap();
    let before = lab::seen(&phone.portal).unwrap();
    now(phone.portal.account().lock()).unwrap();
    assert_eq!(state(&phone), locked(Reason::LockedNow));
    let said = PortalError::Locked { reason: Reason::LockedNow };
    let messages = phone.portal.messages();
    let all = portal_core::messages::ThreadFilter::All;
    assert_eq!(now(messages.threads(all, 0, 10)).err(), Some(said.clone()));
    assert_eq!(now(messages.thread(thread.clone(), None, 10)).err(), Some(said.clone()));
    assert_eq!(now(messages.send(thread.clone(), "x".into())).err(), Some(said.clone()));
    assert_eq!(now(messages.search("x".into(), 10)).err(), Some(said.clone()));
    assert_eq!(now(messages.print(thread)).err(), Some(said.clone()));
    assert_eq!(now(phone.portal.outbox().entries()).err(), Some(said.clone()));
    assert_eq!(now(phone.portal.home().view()).err(), Some(said.clone()));
    assert_eq!(now(phone.portal.sync(None)).err(), Some(said));
    // Whom to call stands there all the same.
    assert!(phone.portal.home().crisis_card().lines.iter().any(|line| line.number == "988"));
    now(phone.portal.account().lock()).unwrap();
    now(phone.portal.account().unlock()).unwrap();
    assert_eq!(lab::seen(&phone.portal).unwrap(), before);
}

/// The practice's clock, with sleepers that wake when a test lets time pass.
struct Waking {
    clock: Arc<VirtualClock>,
    moved: Arc<tokio::sync::Notify>,
}

impl Clock for Waking {
    fn wall(&self) -> Millis {
        self.clock.wall()
    }

    fn boot(&self) -> u64 {
        self.clock.boot()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let (clock, moved) = (self.clock.clone(), self.moved.clone());
        let until = clock.boot() + u64::try_from(duration.as_millis()).unwrap();
        Box::pin(async move {
            loop {
                let moved = moved.notified();
                if clock.boot() >= until {
                    return;
                }
                // A notice that came before the look above is caught by the next look.
                let _ = tokio::time::timeout(Duration::from_millis(50), moved).await;
            }
        })
    }
}

#[test]
fn a8_nobody_has_to_ask_the_records_lock_and_close_on_time() {
    let practice = Practice::demo(5);
    let (vault, scratch) = (Arc::new(TestVault::default()), Scratch::new());
    let clock = Arc::new(Waking { clock: practice.clock.clone(), moved: Arc::default() });
    let portal =
        lab::open(practice.clone(), clock.clone(), vault, scratch.path(), 11, Mode::Threads).unwrap();
    let open = || {
        let links = std::fs::read_dir("/proc/self/fd").unwrap();
        let files = links.filter_map(|link| std::fs::read_link(link.unwrap().path()).ok());
        files.filter(|file| file.starts_with(scratch.path())).count()
    };
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        portal.account().register(registration(&practice)).await.unwrap();
        portal.sync(None).await.unwrap();
        assert!(open() > 0, "the control");
        let changes = portal.changes();
        clock.clock.advance(Duration::from_secs(301));
        clock.moved.notify_waiters();
        let told = async { while changes.next().await.unwrap() != Change::Session {} };
        tokio::time::timeout(Duration::from_secs(60), told).await.expect("told");
        let closed = async {
            while open() > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), closed).await.expect("closed");
    });
    assert_eq!(portal.account().session().reason, Some(Reason::LockedIdle));
}
