//! Signing up, in and out.

use crate::support::*;
use portal_core::account::{SessionState, Unsent};
use portal_core::change::Change;
use portal_core::{PortalError, Reason};
use portal_server_mock::world::Access;
use portal_server_mock::{Outcome, Setup, demo, serve};
use portal_tests::phone::PASSWORD;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

const ACTIVE: (SessionState, Option<Reason>) = (SessionState::Active, None);
const NOBODY: (SessionState, Option<Reason>) = (SessionState::SignedOut, Some(Reason::NotSignedIn));

#[tokio::test]
async fn register() {
    let practice = practice(20);
    let phone = Phone::new(&practice).await;
    assert_eq!(phone.state(), NOBODY);
    phone.portal.account().register(registration(&practice)).await.unwrap();
    assert_eq!(phone.state(), ACTIVE);
    let renee = client(&practice, demo::INVITED_EMAIL);
    assert_eq!(act(&practice, |world, _| world.access(renee)), Some(Access::Active));
}

#[tokio::test]
async fn register_with_a_wrong_birth_date() {
    let practice = practice(20);
    let phone = Phone::new(&practice).await;
    let mut typed = registration(&practice);
    typed.date_of_birth = "1990-02-27".into();
    let error = phone.portal.account().register(typed).await.unwrap_err();
    assert_eq!(error, refused(Reason::RegistrationRefused, None));
    assert_eq!(phone.state(), NOBODY);
    assert_eq!(phone.reads_fail().await, signed_out(Reason::NotSignedIn));
    phone.portal.account().register(registration(&practice)).await.unwrap();
    assert_eq!(phone.state(), ACTIVE);
}

#[tokio::test]
async fn register_with_a_bad_password() {
    let practice = practice(20);
    let phone = Phone::new(&practice).await;
    let mut typed = registration(&practice);
    typed.password = "elevenchars".into();
    match phone.portal.account().register(typed).await.unwrap_err() {
        PortalError::Refused { reason, .. } => assert_eq!(reason, Reason::PasswordTooShort),
        other => panic!("{other}"),
    }
    assert_eq!(phone.state(), NOBODY);
    phone.portal.account().register(registration(&practice)).await.unwrap();
    assert_eq!(phone.state(), ACTIVE);
}

#[tokio::test]
async fn sign_in() {
    let practice = practice(20);
    let phone = Phone::new(&practice).await;
    let url = phone.portal.account().sign_in_begin().await.unwrap();
    assert!(url.starts_with(&format!("{}/", practice.base_url())));
    assert!(phone.portal.account().session().sign_in_pending);
    let back = browse(&practice, &url, demo::REGISTERED_LOGIN, demo::REGISTERED_PASSWORD);
    phone.portal.account().sign_in_finish(back).await.unwrap();
    assert_eq!(phone.state(), ACTIVE);
    assert!(!phone.portal.account().session().sign_in_pending);
    assert!(phone.sync().await.complete);
    assert!(!phone.threads().await.is_empty());
}

#[tokio::test]
async fn sign_in_with_a_stray_redirect() {
    let practice = practice(20);
    let (phone, other) = (Phone::new(&practice).await, Phone::new(&practice).await);
    let (login, password) = (demo::REGISTERED_LOGIN, demo::REGISTERED_PASSWORD);
    let (account, others) = (phone.portal.account(), other.portal.account());
    // One of this phone that was begun before, and one of somebody else's phone.
    let before = browse(&practice, &account.sign_in_begin().await.unwrap(), login, password);
    let elsewhere = browse(&practice, &others.sign_in_begin().await.unwrap(), login, password);
    let pending = account.sign_in_begin().await.unwrap();
    for stray in [before, elsewhere] {
        let error = account.sign_in_finish(stray).await.unwrap_err();
        assert_eq!(error, refused(Reason::StateMismatch, None));
        assert!(account.session().sign_in_pending);
        assert_eq!(phone.state(), NOBODY);
    }
    account.sign_in_finish(browse(&practice, &pending, login, password)).await.unwrap();
    assert_eq!(phone.state(), ACTIVE);
}

#[tokio::test]
async fn sign_in_denied() {
    let practice = practice(20);
    let phone = Phone::new(&practice).await;
    let account = phone.portal.account();
    let mut url = url::Url::parse(&account.sign_in_begin().await.unwrap()).unwrap();
    // The page denies at once what it does not know.
    let asked: Vec<_> = url.query_pairs().filter(|(name, _)| name != "scope").map(pair).collect();
    url.query_pairs_mut().clear().extend_pairs(asked).append_pair("scope", "everything");
    let request = http::Request::get(url.as_str()).body(Vec::new()).unwrap();
    let back = act(&practice, |world, now| match portal_server_mock::handle(&request, world, now).outcome {
        Outcome::Reply(response) => response.headers()["location"].to_str().unwrap().to_owned(),
        other => panic!("{other:?}"),
    });
    assert!(back.contains("error="));
    assert_eq!(account.sign_in_finish(back.clone()).await.unwrap_err(), refused(Reason::SignInDenied, None));
    assert!(!account.session().sign_in_pending);
    assert_eq!(phone.state(), NOBODY);
    let error = account.sign_in_finish(back).await.unwrap_err();
    assert_eq!(error, refused(Reason::NoPendingSignIn, None));
}

fn pair((name, value): (std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)) -> (String, String) {
    (name.into_owned(), value.into_owned())
}

#[tokio::test]
async fn sign_out() {
    let practice = practice(60);
    let phone = Phone::registered(&practice).await;
    assert_eq!(phone.records().len(), 1);
    phone.portal.account().sign_out(Unsent::Keep).await.unwrap();
    assert_eq!(phone.state(), NOBODY);
    assert_eq!(phone.reads_fail().await, signed_out(Reason::NotSignedIn));
    assert_eq!(phone.records(), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn sign_out_with_unsent_work() {
    let practice = practice(60);
    let phone = Phone::registered(&practice).await;
    let (thread, account) = (phone.open_thread().await, phone.portal.account());
    phone.outage(&practice).await;
    phone.send(&thread, "Not sent yet").await;
    let error = account.sign_out(Unsent::Keep).await.unwrap_err();
    assert_eq!(error, refused(Reason::UnsentWork, None));
    assert_eq!(phone.state(), ACTIVE);
    phone.shown_once(&thread, "Not sent yet").await;
    account.sign_out(Unsent::Discard).await.unwrap();
    assert_eq!(phone.state(), NOBODY);
    assert_eq!(phone.records(), Vec::<std::path::PathBuf>::new());
    practice.resume().unwrap();
    phone.sign_in(&practice, demo::INVITED_EMAIL, PASSWORD).await;
    phone.settle().await;
    assert_eq!(phone.outbox().await, Vec::new());
    assert_eq!(arrived(&practice, "Not sent yet"), 0);
}

#[tokio::test]
async fn sign_out_offline() {
    let practice = practice(60);
    let phone = Phone::registered(&practice).await;
    let before = phone.threads().await;
    phone.outage(&practice).await;
    let begun = Instant::now();
    phone.portal.account().sign_out(Unsent::Keep).await.unwrap();
    // No waiting for a network that is not there.
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(phone.state(), NOBODY);
    assert_eq!(phone.records(), Vec::<std::path::PathBuf>::new());
    practice.resume().unwrap();
    phone.sign_in(&practice, demo::INVITED_EMAIL, PASSWORD).await;
    assert_eq!(phone.state(), ACTIVE);
    assert!(phone.settle().await.complete);
    assert_eq!(phone.threads().await, before);
}

#[tokio::test]
async fn two_people_on_one_phone() {
    let practice = practice(60);
    let phone = Phone::registered(&practice).await;
    let first = phone.threads().await;
    phone.outage(&practice).await;
    phone.send(&phone.open_thread().await, "Zanzibar waits").await;
    phone.draft(&first[0].id, "Zanzibar is typed").await;
    assert!(!phone.portal.messages().search("Zanzibar".into(), 10).await.unwrap().is_empty());
    phone.portal.account().sign_out(Unsent::Discard).await.unwrap();
    practice.resume().unwrap();

    phone.sign_in(&practice, demo::REGISTERED_LOGIN, demo::REGISTERED_PASSWORD).await;
    assert!(phone.settle().await.complete);
    let messages = phone.portal.messages();
    for thread in &first {
        let error = messages.thread(thread.id.clone(), None, 10).await.unwrap_err();
        assert_eq!(error, PortalError::NotFound { reason: Reason::ThreadUnknown });
    }
    let jordan = client(&practice, demo::REGISTERED_LOGIN);
    let own: Vec<String> =
        act(&practice, |world, _| world.threads_of(jordan).map(|thread| thread.id.to_string()).collect());
    let listed: Vec<String> = phone.threads().await.into_iter().map(|thread| thread.id).collect();
    assert!(!own.is_empty());
    assert_eq!(listed, own);
    assert_eq!(messages.search("Zanzibar".into(), 10).await.unwrap(), Vec::new());
    assert_eq!(messages.drafts().await.unwrap(), Vec::new());
    assert_eq!(phone.outbox().await, Vec::new());
    let home = phone.portal.home().view().await.unwrap();
    assert_eq!(home.me.id, jordan.to_string());
    assert_eq!(phone.records().len(), 1);
}

#[tokio::test]
async fn access_revoked() {
    let practice = practice(60);
    let phone = Phone::registered(&practice).await;
    let renee = client(&practice, demo::INVITED_EMAIL);
    act(&practice, |world, now| world.revoke_access(renee, now).unwrap());
    assert_eq!(phone.sync_fails().await, signed_out(Reason::AccessRevoked));
    assert_eq!(phone.state(), (SessionState::SignedOut, Some(Reason::AccessRevoked)));
    assert_eq!(phone.reads_fail().await, signed_out(Reason::AccessRevoked));
    assert_eq!(phone.records(), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn token_refused_once() {
    // The practice's clock goes ahead by more than a token lives, and the phone's does not.
    let ahead = Arc::new(AtomicI64::new(0));
    let moved = ahead.clone();
    let clock = move || chrono::Utc::now() + chrono::TimeDelta::seconds(moved.load(Ordering::SeqCst));
    let options = serve::Options { clock: Arc::new(clock), ..serve::Options::default() };
    let practice = serve::start(options, |issuer| {
        let (issuer, staff_key) = (issuer.to_owned(), "staff".to_owned());
        demo::build(Setup { seed: 11, issuer, password_iterations: 10, staff_key }, 60, chrono::Utc::now())
    })
    .unwrap();
    let phone = Phone::registered(&practice).await;
    let thread = phone.open_thread().await;
    let changes = phone.portal.changes();
    ahead.store(301, Ordering::SeqCst);
    reply(&practice, &thread, "Written meanwhile");
    assert!(phone.sync().await.complete);
    phone.shown_once(&thread, "Written meanwhile").await;
    assert_eq!(phone.state(), ACTIVE);
    changes.stop();
    while let Some(change) = changes.next().await {
        assert!(!matches!(change, Change::Session | Change::Everything), "not silent");
    }
}
