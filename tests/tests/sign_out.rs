//! Leaving a device: keys at once, the practice told now or later, and nothing lost by surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod lab;

use lab::{SpyVault, first_thread, users};
use portal_core::account::{SessionState, Unsent};
use portal_core::messages::{Draft, ThreadFilter};
use portal_core::runtime::Mode;
use portal_core::{Portal, PortalError, Reason};
use portal_tests::phone::{PASSWORD, Phone, Scratch, browse, now, registration};
use portal_tests::practice::{ISSUER, Practice, TestVault, locked};
use std::sync::Arc;
use std::time::Duration;

const REVOKE: &str = "POST /oauth/revoke";
const OUT: Option<Reason> = Some(Reason::NotSignedIn);

fn state(portal: &Portal) -> (SessionState, Option<Reason>) {
    let view = portal.account().session();
    (view.state, view.reason)
}

/// The refresh token that the practice was asked to revoke still works there.
fn refresh_works(practice: &Practice, token: &str) -> bool {
    let form = format!("grant_type=refresh_token&refresh_token={token}&client_id=org.portal.phone");
    let request = http::Request::post(format!("{ISSUER}/oauth/token"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form.into_bytes())
        .unwrap();
    match practice.act(|world, at| portal_server_mock::handle(&request, world, at)).outcome {
        portal_server_mock::Outcome::Reply(response) => response.status() == 200,
        _ => false,
    }
}

fn revoked_token(practice: &Practice) -> String {
    let body = practice.seen().into_iter().rev().find(|seen| seen.what == REVOKE).unwrap().body;
    let token = url::form_urlencoded::parse(body.as_bytes()).find(|(name, _)| name == "token").unwrap().1;
    token.into_owned()
}

#[test]
fn a7_online_the_practice_is_told_and_keys_and_files_are_gone() {
    let practice = Practice::demo(5);
    let phone = Phone::registered(&practice, 1);
    now(phone.portal.account().sign_out(Unsent::Keep)).unwrap();
    assert_eq!(state(&phone.portal), (SessionState::SignedOut, OUT));
    assert_eq!(practice.count(REVOKE), 1);
    assert!(!refresh_works(&practice, &revoked_token(&practice)));
    assert!(users(phone.directory()).is_empty());
    assert_eq!(phone.vault.aliases(), ["portal-install"]);
    let error = now(phone.portal.messages().threads(ThreadFilter::All, 0, 1)).unwrap_err();
    assert_eq!(error, PortalError::SignedOut { reason: Reason::NotSignedIn });
    let again = now(phone.portal.account().sign_out(Unsent::Keep)).unwrap_err();
    assert_eq!(again, PortalError::SignedOut { reason: Reason::NotSignedIn });
    let phone = phone.restart();
    assert_eq!(state(&phone.portal), (SessionState::SignedOut, OUT));
    assert_eq!(practice.count(REVOKE), 1, "told once");
}

#[test]
fn a7_offline_keys_go_at_once_and_the_practice_is_told_later_without_health_data() {
    let practice = Practice::demo(5);
    let (vault, scratch) = (Arc::new(SpyVault::<TestVault>::default()), Scratch::new());
    let open = |seed| {
        let clock = practice.clock.clone();
        lab::open(practice.clone(), clock, vault.clone(), scratch.path(), seed, Mode::Inline).unwrap()
    };
    let portal = open(2);
    now(portal.account().register(registration(&practice))).unwrap();
    now(portal.sync(None)).unwrap();
    let mut personal: Vec<String> = Vec::new();
    for thread in now(portal.messages().threads(ThreadFilter::All, 0, 100)).unwrap().threads {
        personal.extend(lab::messages(&portal, &thread.id).unwrap().into_iter().map(|message| message.text));
        personal.push(thread.subject);
    }
    personal.extend([now(portal.home().view()).unwrap().me.name, PASSWORD.to_owned(), "renee@".to_owned()]);

    practice.set_online(false);
    let before = locked(&vault.wrapped).len();
    now(portal.account().sign_out(Unsent::Keep)).unwrap();
    assert_eq!(state(&portal), (SessionState::SignedOut, OUT));
    assert!(users(scratch.path()).is_empty());
    assert_eq!(vault.inner.aliases(), ["portal-install"]);
    assert_eq!(practice.count(REVOKE), 0);

    // What stays is sealed by the install's key, and tells of nobody.
    let kept: Vec<_> = locked(&vault.wrapped)[before..].to_vec();
    assert!(!kept.is_empty() && kept.iter().all(|(alias, _)| alias == "portal-install"), "{}", kept.len());
    for (_, plain) in &kept {
        let text = String::from_utf8_lossy(plain);
        for one in &personal {
            assert!(!text.contains(one.as_str()));
        }
    }
    assert!(kept.iter().any(|(_, plain)| String::from_utf8_lossy(plain).contains("refresh_token")));

    // It survives a kill, and the next time that the practice is reached it is delivered, once.
    drop(portal);
    let portal = open(3);
    assert_eq!(state(&portal), (SessionState::SignedOut, OUT));
    assert!(now(portal.sync(None)).is_err());
    practice.set_online(true);
    assert!(now(portal.sync(None)).is_err(), "nobody is signed in");
    assert_eq!(practice.count(REVOKE), 1);
    let token = revoked_token(&practice);
    assert!(!refresh_works(&practice, &token));
    assert!(now(portal.sync(None)).is_err());
    assert_eq!(practice.count(REVOKE), 1);
    let last = locked(&vault.wrapped).last().unwrap().1.clone();
    assert!(!String::from_utf8_lossy(&last).contains(&token), "a delivered tombstone is gone");
}

#[test]
fn a7_a_revocation_that_could_not_be_delivered_is_forgotten_after_a_day() {
    let practice = Practice::demo(5);
    let (vault, scratch) = (Arc::new(SpyVault::<TestVault>::default()), Scratch::new());
    let clock = practice.clock.clone();
    let portal = lab::open(practice.clone(), clock, vault.clone(), scratch.path(), 4, Mode::Inline).unwrap();
    now(portal.account().register(registration(&practice))).unwrap();
    practice.set_online(false);
    now(portal.account().sign_out(Unsent::Keep)).unwrap();
    let held = |vault: &SpyVault| {
        String::from_utf8_lossy(&locked(&vault.wrapped).last().unwrap().1).contains("refresh_token")
    };
    assert!(held(&vault), "the control");
    practice.clock.advance(Duration::from_secs(24 * 3600));
    practice.set_online(true);
    assert!(now(portal.sync(None)).is_err());
    assert_eq!(practice.count(REVOKE), 0);
    assert!(!held(&vault), "a sealed token stays for a day at most");
}

#[test]
fn a7_a_lost_answer_to_the_revocation_is_asked_again() {
    let practice = Practice::demo(5);
    let phone = Phone::registered(&practice, 5);
    practice.next(REVOKE, portal_tests::practice::Mishap::LoseAnswer);
    now(phone.portal.account().sign_out(Unsent::Keep)).unwrap();
    assert_eq!((practice.count(REVOKE), state(&phone.portal)), (1, (SessionState::SignedOut, OUT)));
    let _ = now(phone.portal.sync(None));
    assert_eq!(practice.count(REVOKE), 2);
}

#[test]
fn a7_unsent_work_is_not_lost_without_a_word() {
    let practice = Practice::demo(5);
    let phone = Phone::registered(&practice, 6);
    let account = phone.portal.account();
    let refused = PortalError::Refused { reason: Reason::UnsentWork, field: None };

    let draft = Draft {
        key: None,
        thread: Some(first_thread(&phone.portal)),
        recipient: None,
        subject: String::new(),
        text: "Half".into(),
    };
    let key = now(phone.portal.messages().save_draft(draft)).unwrap();
    assert_eq!(now(account.sign_out(Unsent::Keep)).unwrap_err(), refused);
    now(phone.portal.messages().discard_draft(key)).unwrap();

    practice.set_online(false);
    now(phone.portal.messages().send(first_thread(&phone.portal), "Unsent".into())).unwrap();
    assert_eq!(now(account.sign_out(Unsent::Keep)).unwrap_err(), refused);
    assert_eq!(state(&phone.portal).0, SessionState::Active);
    assert_eq!(now(phone.portal.outbox().entries()).unwrap().len(), 1);
    now(account.sign_out(Unsent::Discard)).unwrap();
    assert_eq!(state(&phone.portal), (SessionState::SignedOut, OUT));
    assert!(users(phone.directory()).is_empty());

    // A read mark that waits is not work that anybody would miss.
    practice.set_online(true);
    phone.sign_in("renee@example.org", PASSWORD).unwrap();
    now(phone.portal.sync(None)).unwrap();
    practice.set_online(false);
    let unread = now(phone.portal.messages().threads(ThreadFilter::Unread, 0, 1)).unwrap();
    let thread = unread.threads.first().map_or_else(|| first_thread(&phone.portal), |one| one.id.clone());
    now(phone.portal.messages().mark_read(thread, 1_000)).unwrap();
    now(account.sign_out(Unsent::Keep)).unwrap();
}

#[test]
fn a7_while_locked_only_a_decided_client_signs_out() {
    let practice = Practice::demo(5);
    let phone = Phone::registered(&practice, 7);
    now(phone.portal.account().lock()).unwrap();
    let error = now(phone.portal.account().sign_out(Unsent::Keep)).unwrap_err();
    assert_eq!(error, PortalError::Locked { reason: Reason::LockedNow });
    assert_eq!(users(phone.directory()).len(), 1);
    now(phone.portal.account().sign_out(Unsent::Discard)).unwrap();
    assert_eq!(state(&phone.portal), (SessionState::SignedOut, OUT));
    assert!(users(phone.directory()).is_empty());
    assert_eq!(phone.vault.aliases(), ["portal-install"]);
}

#[test]
fn a7_an_ended_session_signs_out_too() {
    let practice = Practice::demo(5);
    let phone = Phone::registered(&practice, 8);
    let ended = serde_json::json!({"error": "invalid_grant", "code": "refresh_expired"});
    practice.next("POST /oauth/token", portal_tests::practice::Mishap::Instead(lab::json(400, &ended)));
    for _ in 0..3 {
        practice.clock.advance(Duration::from_secs(120));
        phone.portal.account().touch();
    }
    assert_eq!(now(phone.portal.sync(None)).unwrap_err().reason(), &Reason::SessionEnded);
    now(phone.portal.account().sign_out(Unsent::Keep)).unwrap();
    assert_eq!(state(&phone.portal), (SessionState::SignedOut, OUT));
}

#[test]
fn a7_a_sign_out_ends_the_install_id() {
    let practice = Practice::demo(5);
    let phone = Phone::registered(&practice, 9);
    let installs = || -> Vec<String> {
        let seen = practice.seen();
        let forms = seen.iter().filter(|seen| seen.what == "POST /oauth/token");
        let pairs = forms.flat_map(|seen| url::form_urlencoded::parse(seen.body.as_bytes()).into_owned());
        pairs.filter(|(name, _)| name == "install_id").map(|(_, value)| value).collect()
    };
    now(phone.portal.account().sign_out(Unsent::Keep)).unwrap();
    let url = now(phone.portal.account().sign_in_begin()).unwrap();
    let back = browse(&practice, &url, "renee@example.org", PASSWORD).unwrap();
    now(phone.portal.account().sign_in_finish(back)).unwrap();
    let installs = installs();
    assert_eq!(installs.len(), 2);
    assert_ne!(installs[0], installs[1], "a new install after each sign-out");
}
