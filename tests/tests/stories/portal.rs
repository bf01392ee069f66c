//! The portal as a whole: what it tells, and how it is opened.

use crate::support::*;
use portal_core::change::{Change, Changes};
use portal_core::messages::{NewThread, Recipient};
use portal_core::net::PinSet;
use portal_core::{PortalConfig, PortalError, Reason};
use portal_server_mock::demo;
use portal_tests::phone::Scratch;
use std::time::Duration;

/// Waits for a change that fits.
async fn told(changes: &Changes, fits: impl Fn(&Change) -> bool) -> Change {
    let wait = async {
        loop {
            let change = changes.next().await.expect("nobody stopped it");
            if fits(&change) {
                return change;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect("told in time")
}

#[tokio::test]
async fn changes() {
    let practice = practice(60);
    let phone = Phone::registered(&practice).await;
    let (thread, changes) = (phone.open_thread().await, phone.portal.changes());
    reply(&practice, &thread, "Told of");
    phone.sync().await;
    let first = told(&changes, |change| matches!(change, Change::Messages { .. })).await;
    assert_eq!(first, Change::Messages { thread: Some(thread.clone()) });
    // Whoever is told finds it.
    phone.shown_once(&thread, "Told of").await;
    phone.portal.account().lock().await.unwrap();
    told(&changes, |change| *change == Change::Session).await;
    told(&changes, |change| *change == Change::Everything).await;
    phone.portal.account().unlock().await.unwrap();
    told(&changes, |change| *change == Change::Session).await;
}

#[tokio::test]
async fn changes_after_a_lag() {
    let practice = practice(60);
    let phone = Phone::registered(&practice).await;
    phone.outage(&practice).await;
    let (slow, quick) = (phone.portal.changes(), phone.portal.changes());
    let start = async |subject: String| {
        let recipient = Recipient::Route { route: "scheduler".into() };
        let new = NewThread { recipient, subject, text: "A question".into(), draft: None };
        phone.portal.messages().start(new).await.unwrap().thread
    };
    // Whoever keeps up is told of each of them, and of nothing but that.
    for number in 0..100 {
        let thread = start(format!("Question {number}")).await;
        told(&quick, |change| {
            assert_ne!(*change, Change::Everything);
            *change == Change::Messages { thread: Some(thread.clone()) }
        })
        .await;
    }
    // For the other one it was more than wait for anybody: it is one.
    let first = tokio::time::timeout(Duration::from_secs(60), slow.next()).await.unwrap();
    assert_eq!(first, Some(Change::Everything));
    // And it goes on from there.
    phone.portal.account().lock().await.unwrap();
    told(&slow, |change| *change == Change::Session).await;
}

#[tokio::test]
async fn changes_stop() {
    let practice = practice(60);
    let phone = Phone::registered(&practice).await;
    let (stopped, other) = (phone.portal.changes(), phone.portal.changes());
    let waiting = stopped.clone();
    let waiting = tokio::spawn(async move { while waiting.next().await.is_some() {} });
    tokio::task::yield_now().await;
    stopped.stop();
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("the wait ends").unwrap();
    phone.portal.account().lock().await.unwrap();
    // Others go on, and it stays ended whatever happens.
    told(&other, |change| *change == Change::Session).await;
    let after = async { while stopped.next().await.is_some() {} };
    tokio::time::timeout(Duration::from_secs(60), after).await.expect("it stays ended");
}

#[tokio::test]
async fn two_portals_in_one_process() {
    let practice = practice(60);
    let renee = Phone::registered(&practice).await;
    let jordan = Phone::new(&practice).await;
    jordan.sign_in(&practice, demo::REGISTERED_LOGIN, demo::REGISTERED_PASSWORD).await;
    jordan.sync().await;
    for (phone, email) in [(&renee, demo::INVITED_EMAIL), (&jordan, demo::REGISTERED_LOGIN)] {
        let client = client(&practice, email);
        let mut own: Vec<String> =
            act(&practice, |world, _| world.threads_of(client).map(|thread| thread.id.to_string()).collect());
        let mut listed: Vec<String> = phone.threads().await.into_iter().map(|thread| thread.id).collect();
        own.sort();
        listed.sort();
        assert!(!own.is_empty());
        assert_eq!(listed, own);
        assert_eq!(phone.portal.home().view().await.unwrap().me.id, client.to_string());
    }
    // What one writes and locks is nothing to the other.
    let (before, thread) = (jordan.shown().await, renee.open_thread().await);
    renee.send(&thread, "Mine alone").await;
    renee.sent(&thread, "Mine alone").await;
    renee.portal.account().lock().await.unwrap();
    assert!(jordan.sync().await.complete);
    assert_eq!(jordan.shown().await, before);
    assert_eq!(jordan.portal.messages().search("Mine alone".into(), 10).await.unwrap(), Vec::new());
}

#[tokio::test]
async fn bad_configuration() {
    let practice = practice(1);
    type Wrong = (&'static str, fn(&mut PortalConfig));
    let wrong: [Wrong; 20] = [
        ("practice_url", |config| config.practice_url = String::new()),
        ("practice_url", |config| config.practice_url = "no address".into()),
        ("practice_url", |config| config.practice_url += "/portal"),
        ("practice_url", |config| config.practice_url += "?a=b"),
        ("practice_url", |config| config.practice_url = "https://me:secret@portal.example".into()),
        ("practice_url", |config| config.practice_url = "http://portal.example".into()),
        ("practice_url", |config| config.practice_url = config.practice_url.replace("https:", "http:")),
        ("practice_url", |config| config.practice_url = "ftp://portal.example".into()),
        ("client_id", |config| config.client_id = String::new()),
        ("redirect_uri", |config| config.redirect_uri = String::new()),
        ("redirect_uri", |config| config.redirect_uri = "phone:/signed-in".into()),
        ("redirect_uri", |config| config.redirect_uri = "http://portal.example/signed-in".into()),
        ("redirect_uri", |config| config.redirect_uri += "#here"),
        ("roots_pem", |config| config.roots_pem = String::new()),
        ("roots_pem", |config| config.roots_pem = "no certificate".into()),
        ("pins", |config| config.pins[0].spki_sha256 = vec!["no pin".into(), "no pin either".into()]),
        ("pins", |config| drop(config.pins[0].spki_sha256.pop())),
        ("pins", |config| config.pins.push(PinSet { spki_sha256: Vec::new(), expires_at: None })),
        ("pins", |config| config.pins[0].spki_sha256[1] = config.pins[0].spki_sha256[0].clone()),
        ("data_dir", |config| config.data_dir = String::new()),
    ];
    let place = Scratch::new();
    for (row, (field, change)) in wrong.into_iter().enumerate() {
        let mut config = config(&practice, &place);
        change(&mut config);
        let error = match open(config, &place).await {
            Err(error) => error,
            Ok(_) => panic!("row {row}, {field}: opened"),
        };
        let expected = PortalError::Refused { reason: Reason::BadConfiguration, field: Some(field.into()) };
        assert_eq!(error, expected, "row {row}");
    }
    // The control: nothing else was wrong with it.
    assert!(open(config(&practice, &place), &place).await.is_ok());
}
