//! A session over time: tokens that end, answers that get lost, a practice that takes the access
//! back, and an app that is too old. What the client wrote is still there every time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod lab;

use futures_util::FutureExt;
use lab::{Fault, Tap, effects, first_thread, users};
use portal_core::account::SessionState;
use portal_core::messages::Draft;
use portal_core::runtime::Mode;
use portal_core::{Portal, PortalError, Reason};
use portal_server_mock::demo;
use portal_tests::phone::{PASSWORD, Phone, Scratch, browse, now, registration};
use portal_tests::practice::{Mishap, Practice, TestVault};
use std::sync::Arc;
use std::time::Duration;

const LOGIN: &str = "renee@example.org";

/// Lets the access token end (5 minutes) while the client keeps touching the app.
fn let_the_token_end(practice: &Practice, portal: &Portal) {
    for _ in 0..4 {
        practice.clock.advance(Duration::from_secs(100));
        portal.account().touch();
    }
}

fn draft(portal: &Portal, text: &str) {
    let draft =
        Draft { key: None, thread: None, recipient: None, subject: "Later".into(), text: text.into() };
    now(portal.messages().save_draft(draft)).unwrap();
}

fn refreshes(practice: &Practice) -> usize {
    practice.seen().iter().filter(|seen| seen.body.contains("grant_type=refresh_token")).count()
}

fn client(practice: &Practice) -> uuid::Uuid {
    practice.act(|world, _| world.clients().find(|client| client.email == demo::INVITED_EMAIL).unwrap().id)
}

fn state(portal: &Portal) -> (SessionState, Option<Reason>) {
    let view = portal.account().session();
    (view.state, view.reason)
}

#[test]
fn a_token_that_ended_is_refreshed_without_anybody_noticing() {
    let practice = Practice::demo(10);
    let phone = Phone::registered(&practice, 1);
    for round in 1..=5 {
        let_the_token_end(&practice, &phone.portal);
        assert!(now(phone.portal.sync(None)).unwrap().complete);
        assert_eq!(refreshes(&practice), round);
    }
    assert_eq!(state(&phone.portal), (SessionState::Active, None));
}

#[test]
fn a_practice_that_says_401_to_a_fresh_token_ends_nothing() {
    let practice = Practice::demo(10);
    let phone = Phone::registered(&practice, 2);
    let unknown = serde_json::json!({"status": 401, "code": "token_unknown", "retryable": false});
    for _ in 0..2 {
        practice.next("GET /v1/sync", Mishap::Instead(lab::json(401, &unknown)));
    }
    let error = now(phone.portal.sync(None)).unwrap_err();
    assert!(matches!(error, PortalError::Offline { .. }), "{error:?}");
    assert_eq!((refreshes(&practice), state(&phone.portal).0), (1, SessionState::Active));
    assert!(now(phone.portal.sync(None)).unwrap().complete);
}

#[test]
fn a_hotel_page_in_place_of_any_answer_signs_nobody_out() {
    let practice = Practice::demo(10);
    let phone = Phone::registered(&practice, 3);
    for status in [200, 302, 401, 403, 410, 426, 511] {
        for path in ["GET /v1/sync", "POST /oauth/token"] {
            let_the_token_end(&practice, &phone.portal);
            practice.next(path, Mishap::Instead(lab::page(status)));
            practice.next(path, Mishap::Instead(lab::page(status)));
            let error = now(phone.portal.sync(None)).unwrap_err();
            assert!(matches!(error, PortalError::Offline { .. }), "{status} {path} {error:?}");
            assert_eq!(state(&phone.portal).0, SessionState::Active, "{status} {path}");
            let mut calm = now(phone.portal.sync(None));
            while calm.is_err() {
                calm = now(phone.portal.sync(None));
            }
        }
    }
}

#[test]
fn a3_a_hundred_concurrent_syncs_make_one_refresh_per_expiry() {
    let practice = Practice::demo(10);
    let (vault, scratch) = (Arc::new(TestVault::default()), Scratch::new());
    let portal =
        lab::open(practice.clone(), practice.clock.clone(), vault, scratch.path(), 4, Mode::Threads).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        portal.account().register(registration(&practice)).await.unwrap();
        portal.sync(None).await.unwrap();
        for expiry in 1..=3 {
            let_the_token_end(&practice, &portal);
            let syncs: Vec<_> = (0..100)
                .map(|_| {
                    let portal = portal.clone();
                    tokio::spawn(async move { portal.sync(None).await })
                })
                .collect();
            for sync in syncs {
                sync.await.unwrap().unwrap();
            }
            assert_eq!(refreshes(&practice), expiry);
        }
    });
    assert_eq!(portal.account().session().state, SessionState::Active);
}

/// A phone that has an unsent message, a draft and an ended token, over a network that can be cut
/// at any request.
struct Cut {
    practice: Arc<Practice>,
    tap: Arc<Tap>,
    vault: Arc<TestVault>,
    scratch: Scratch,
    portal: Arc<Portal>,
    message: String,
}

impl Cut {
    fn new() -> Self {
        let practice = Practice::demo(3);
        let (tap, vault, scratch) = (Tap::new(&practice), Arc::new(TestVault::default()), Scratch::new());
        let portal = Self::open(&practice, &tap, &vault, &scratch, 5);
        now(portal.account().register(registration(&practice))).unwrap();
        now(portal.sync(None)).unwrap();
        let message = now(portal.messages().send(first_thread(&portal), "Once, please".into())).unwrap();
        draft(&portal, "Not yet");
        let_the_token_end(&practice, &portal);
        Self { practice, tap, vault, scratch, portal, message }
    }

    fn open(
        practice: &Arc<Practice>,
        tap: &Arc<Tap>,
        vault: &Arc<TestVault>,
        scratch: &Scratch,
        seed: u64,
    ) -> Arc<Portal> {
        let clock = practice.clock.clone();
        lab::open(tap.clone(), clock, vault.clone(), scratch.path(), seed, Mode::Inline).unwrap()
    }

    /// Syncs into the fault; tells whether it was met at all.
    fn strike(&mut self, number: usize, fault: Fault, kill: bool) -> bool {
        self.tap.arm(number, fault);
        // Dropped where it waits: a killed app does not go on either.
        let _ = self.portal.sync(None).now_or_never();
        let met = !self.tap.disarm();
        if kill || matches!(fault, Fault::HangBefore | Fault::HangAfter) {
            self.portal = Self::open(&self.practice, &self.tap, &self.vault, &self.scratch, 6);
            now(self.portal.account().unlock()).unwrap();
        }
        met
    }

    fn check_nothing_is_lost(&self) {
        assert_eq!(effects(&self.practice, &self.message), 1);
        assert_eq!(now(self.portal.messages().drafts()).unwrap()[0].draft.text, "Not yet");
        assert!(now(self.portal.outbox().entries()).unwrap().is_empty());
        let mine = lab::messages(&self.portal, &first_thread(&self.portal)).unwrap();
        assert_eq!(mine.iter().filter(|message| message.id == self.message).count(), 1);
    }
}

const FAULTS: [Fault; 5] =
    [Fault::LoseRequest, Fault::LoseAnswer, Fault::Gateway, Fault::HangBefore, Fault::HangAfter];

#[test]
fn a4_no_fault_at_any_request_loses_the_session_while_the_server_has_grace() {
    let mut most = 0;
    for fault in FAULTS {
        for kill in [false, true] {
            for number in 0.. {
                let mut cut = Cut::new();
                if !cut.strike(number, fault, kill) {
                    most = most.max(number);
                    break;
                }
                let mut tries = 0;
                while !now(cut.portal.sync(None)).is_ok_and(|report| report.complete) {
                    tries += 1;
                    assert!(tries < 5, "{fault:?} at {number}, kill {kill}");
                }
                assert_eq!(
                    state(&cut.portal),
                    (SessionState::Active, None),
                    "{fault:?} at {number}, kill {kill}"
                );
                cut.check_nothing_is_lost();
            }
        }
    }
    assert!(most >= 4, "the loop met only {most} requests");
}

#[test]
fn a4_without_grace_the_session_ends_cleanly_or_not_at_all_and_a_new_sign_in_goes_on() {
    let mut ended = 0;
    for fault in FAULTS {
        for number in 0.. {
            let mut cut = Cut::new();
            if !cut.strike(number, fault, false) {
                break;
            }
            cut.practice.clock.advance(Duration::from_secs(61));
            let _ = now(cut.portal.sync(None));
            let _ = now(cut.portal.sync(None));
            match state(&cut.portal) {
                (SessionState::Active, None) => {}
                (SessionState::Expired, Some(Reason::SessionEnded)) => {
                    ended += 1;
                    assert_eq!(now(cut.portal.messages().drafts()).unwrap().len(), 1);
                    let url = now(cut.portal.account().sign_in_begin()).unwrap();
                    let back = browse(&cut.practice, &url, LOGIN, PASSWORD).unwrap();
                    now(cut.portal.account().sign_in_finish(back)).unwrap();
                    assert_eq!(state(&cut.portal), (SessionState::Active, None));
                }
                other => panic!("{fault:?} at {number}: {other:?}"),
            }
            assert!(now(cut.portal.sync(None)).unwrap().complete, "{fault:?} at {number}");
            cut.check_nothing_is_lost();
        }
    }
    // The control: an app that was killed while the rotated token was on its way cannot know it.
    assert!(ended >= 1);
}

#[test]
fn a4_an_answer_that_a_gateway_swallowed_is_asked_for_again_within_the_grace() {
    let mut cut = Cut::new();
    // Request 0 is the 401, request 1 the refresh that the practice carries out.
    assert!(cut.strike(1, Fault::Gateway, false));
    cut.practice.clock.advance(Duration::from_secs(120));
    cut.portal.account().touch();
    assert!(now(cut.portal.sync(None)).unwrap().complete);
    assert_eq!(state(&cut.portal), (SessionState::Active, None));
}

#[test]
fn a4_answers_lost_again_and_again_cost_nothing_within_the_grace() {
    let practice = Practice::demo(3);
    let phone = Phone::registered(&practice, 20);
    let_the_token_end(&practice, &phone.portal);
    for _ in 0..7 {
        practice.next("POST /oauth/token", Mishap::LoseAnswer);
    }
    let failed = (0..3).filter(|_| now(phone.portal.sync(None)).is_err()).count();
    assert_eq!(failed, 3, "each asks twice");
    assert!(now(phone.portal.sync(None)).unwrap().complete);
    assert_eq!((refreshes(&practice), state(&phone.portal).0), (8, SessionState::Active));
}

// The simulator's seed 12597: the background took it for a sign-out and stopped.
#[test]
fn a_refused_token_that_meets_a_lock_and_an_unlock_signs_nobody_out() {
    let practice = Practice::demo(3);
    let phone = Phone::registered(&practice, 20);
    now(phone.portal.sync(None)).unwrap();
    let_the_token_end(&practice, &phone.portal);
    let (portal, clock) = (phone.portal.clone(), practice.clock.clone());
    practice.next(
        "GET /v1/sync",
        Mishap::First(Box::new(move |_| {
            clock.advance(Duration::from_secs(301));
            assert_eq!(portal.account().session().state, SessionState::Locked);
            now(portal.account().unlock()).unwrap();
        })),
    );
    assert_eq!(now(phone.portal.sync(None)), Err(PortalError::Storage { reason: Reason::Suspended }));
    assert_eq!((refreshes(&practice), state(&phone.portal).0), (0, SessionState::Active));
    assert!(now(phone.portal.sync(None)).unwrap().complete);
}

#[test]
fn a4_a_caller_who_goes_away_does_not_stop_a_refresh_half_way() {
    let practice = Practice::demo(3);
    let (vault, scratch) = (Arc::new(TestVault::default()), Scratch::new());
    let open = |seed, mode| {
        let clock = practice.clock.clone();
        lab::open(practice.clone(), clock, vault.clone(), scratch.path(), seed, mode).unwrap()
    };
    let portal = open(21, Mode::Threads);
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        portal.account().register(registration(&practice)).await.unwrap();
        portal.sync(None).await.unwrap();
        for expiry in 1..=20 {
            let_the_token_end(&practice, &portal);
            // Asked for, and nobody waits: what a shell does when the person leaves the screen.
            assert!(portal.sync(None).now_or_never().is_none());
            portal.sync(None).await.unwrap();
            assert_eq!(refreshes(&practice), expiry);
        }
    });
    drop(portal);
    // The last token is the one on the disk: it still works after a restart, without a refresh.
    let portal = open(22, Mode::Inline);
    let unlocked = (0..1_000).any(|_| now(portal.account().unlock()).is_ok());
    assert!(unlocked && now(portal.sync(None)).unwrap().complete);
    assert_eq!(refreshes(&practice), 20);
}

#[test]
fn a5_a_reused_token_ends_the_session_and_a_new_sign_in_continues() {
    let practice = Practice::demo(10);
    let phone = Phone::registered(&practice, 7);
    let thread = first_thread(&phone.portal);
    practice.set_online(false);
    let message = now(phone.portal.messages().send(thread, "Still mine".into())).unwrap();
    draft(&phone.portal, "Half a thought");
    practice.set_online(true);

    // A thief has the refresh token and uses it twice: the second time the practice notices.
    let stolen = {
        let user = &users(phone.directory())[0];
        let key = lab::database_key(&lab::master_key(user, phone.vault.as_ref()));
        let database = lab::database(&user.join("portal.db"), &key).unwrap();
        database.query_row("SELECT refresh_token FROM session", [], |row| row.get::<_, String>(0)).unwrap()
    };
    let refresh = |token: &str| {
        let form = format!("grant_type=refresh_token&refresh_token={token}&client_id=org.portal.phone");
        let request = http::Request::post(format!("{}/oauth/token", portal_tests::practice::ISSUER))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.into_bytes())
            .unwrap();
        match practice.act(|world, at| portal_server_mock::handle(&request, world, at)).outcome {
            portal_server_mock::Outcome::Reply(response) => response,
            _ => panic!("no answer"),
        }
    };
    assert_eq!(refresh(&stolen).status(), 200);
    let_the_token_end(&practice, &phone.portal);
    let error = now(phone.portal.sync(None)).unwrap_err();
    assert_eq!(error.reason(), &Reason::SessionEnded);
    assert_eq!(state(&phone.portal), (SessionState::Expired, Some(Reason::SessionEnded)));

    // It stays so over a lock and a kill, and everything can still be read and written.
    let phone = phone.restart();
    now(phone.portal.account().unlock()).unwrap();
    assert_eq!(state(&phone.portal), (SessionState::Expired, Some(Reason::SessionEnded)));
    assert_eq!(now(phone.portal.outbox().entries()).unwrap().len(), 1);
    assert_eq!(now(phone.portal.messages().drafts()).unwrap().len(), 1);
    let later = now(phone.portal.messages().send(first_thread(&phone.portal), "And this".into())).unwrap();
    let asked = practice.count("POST /oauth/token");
    assert_eq!(now(phone.portal.sync(None)).unwrap_err().reason(), &Reason::SessionEnded);
    assert_eq!(practice.count("POST /oauth/token"), asked, "an ended token is not shown again");

    phone.sign_in(LOGIN, PASSWORD).unwrap();
    assert!(now(phone.portal.sync(None)).unwrap().complete);
    assert_eq!((effects(&practice, &message), effects(&practice, &later)), (1, 1));
    assert_eq!(now(phone.portal.messages().drafts()).unwrap()[0].draft.text, "Half a thought");
    assert_eq!(users(phone.directory()).len(), 1);
}

#[test]
fn access_that_the_practice_revoked_destroys_keys_and_files_however_it_is_heard_of() {
    for by_refresh in [false, true] {
        let practice = Practice::demo(10);
        let phone = Phone::registered(&practice, 8);
        assert_eq!((users(phone.directory()).len(), phone.vault.aliases().len()), (1, 2));
        let client = client(&practice);
        if by_refresh {
            // The feed still says 401; only the token endpoint knows.
            let_the_token_end(&practice, &phone.portal);
            practice.next(
                "POST /oauth/token",
                Mishap::First(Box::new(move |world| {
                    world.revoke_access(client, chrono::Utc::now()).unwrap();
                })),
            );
        } else {
            practice.act(|world, at| world.revoke_access(client, at).unwrap());
        }
        let error = now(phone.portal.sync(None)).unwrap_err();
        assert_eq!(error, PortalError::SignedOut { reason: Reason::AccessRevoked });
        assert_eq!(state(&phone.portal), (SessionState::SignedOut, Some(Reason::AccessRevoked)));
        assert!(users(phone.directory()).is_empty());
        assert_eq!(phone.vault.aliases(), ["portal-install"]);
        let read = now(phone.portal.home().view()).unwrap_err();
        assert_eq!(read, PortalError::SignedOut { reason: Reason::AccessRevoked });
        let unlock = now(phone.portal.account().unlock()).unwrap_err();
        assert!(matches!(unlock, PortalError::SignedOut { .. }), "{unlock:?}");

        // The pages do not let them in, and after a reactivation the old password does.
        assert!(phone.sign_in(LOGIN, PASSWORD).is_err());
        practice.act(|world, _| world.reactivate(client).unwrap());
        practice.clock.advance(Duration::from_secs(31 * 60));
        phone.sign_in(LOGIN, PASSWORD).unwrap();
        assert!(now(phone.portal.sync(None)).unwrap().complete);
    }
}

#[test]
fn an_app_that_is_too_old_keeps_everything_and_says_so() {
    let practice = Practice::demo(10);
    let phone = Phone::registered(&practice, 9);
    let thread = first_thread(&phone.portal);
    let message = now(phone.portal.messages().send(thread, "From an old app".into())).unwrap();
    practice.act(|world, _| world.set_min_core_version(Some("99.0.0")).unwrap());
    let error = now(phone.portal.sync(None)).unwrap_err();
    assert_eq!(error, PortalError::Refused { reason: Reason::UpdateRequired, field: None });
    assert_eq!(state(&phone.portal), (SessionState::Active, None));
    let entries = now(phone.portal.outbox().entries()).unwrap();
    assert_eq!((entries.len(), entries[0].change.possible), (1, true));
    assert!(!lab::messages(&phone.portal, &first_thread(&phone.portal)).unwrap().is_empty());

    practice.act(|world, _| world.set_min_core_version(None).unwrap());
    assert!(now(phone.portal.sync(None)).unwrap().complete);
    assert_eq!(effects(&practice, &message), 1);
}
