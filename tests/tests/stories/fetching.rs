//! Fetching what the practice has, and what can stand between.

use crate::support::*;
use portal_core::account::SessionState;
use portal_core::net::PinSet;
use portal_core::{PortalError, Reason};
use portal_server_mock::serve::Running;
use portal_server_mock::world::{Banner, Faults};
use portal_tests::phone::Scratch;
use std::collections::BTreeSet;

/// Id, place and text of all that a phone shows.
async fn on_the_phone(phone: &Phone) -> BTreeSet<(String, String, u64, String)> {
    let mut all = BTreeSet::new();
    for thread in phone.threads().await {
        for message in phone.messages(&thread.id).await {
            all.insert((thread.id.clone(), message.id, message.n.unwrap_or(0), message.text));
        }
    }
    all
}

/// The same of what the practice has.
fn at_the_practice(practice: &Running) -> BTreeSet<(String, String, u64, String)> {
    let threads = kept(practice);
    let each = threads.iter().flat_map(|thread| thread.messages.iter().map(move |message| (thread, message)));
    each.map(|(thread, m)| (thread.id.to_string(), m.id.to_string(), m.n, m.body.clone())).collect()
}

#[tokio::test]
async fn first_sync() {
    let practice = practice(120);
    let phone = Phone::registered(&practice).await;
    let all = on_the_phone(&phone).await;
    assert_eq!((all.len(), &all), (120, &at_the_practice(&practice)));
    let home = phone.portal.home().view().await.unwrap();
    assert_eq!(home.me.name, "Renée O'Connor-Núñez");
    assert_eq!(home.practice.unwrap().name, "Juniper Ridge Behavioral Health");
    assert_eq!(home.clinician.unwrap().name, "Dr. Amara Okafor");
    let unread: u64 = kept(&practice).iter().map(unread).sum();
    assert!(unread > 0);
    assert_eq!(home.badge, unread);
}

#[tokio::test]
async fn ten_thousand_messages() {
    let practice = practice(10_000);
    let phone = Phone::registered(&practice).await;
    let all = on_the_phone(&phone).await;
    assert_eq!(all.len(), 10_000);
    assert!(all == at_the_practice(&practice), "each of them, whole and in its place");
}

#[tokio::test]
async fn resync_after_a_restore() {
    let practice = practice(120);
    let phone = Phone::registered(&practice).await;
    let thread = phone.open_thread().await;
    phone.draft(&thread, "A draft that stays").await;
    let before = phone.shown().await;
    act(&practice, |world, _| world.bump_epoch(None));
    let report = phone.sync().await;
    assert!(report.complete && report.received >= 120, "fetched again: {report:?}");
    assert_eq!(phone.shown().await, before);

    // Once more, with something that waits.
    phone.outage(&practice).await;
    let message = phone.send(&phone.threads().await[1].id, "What waits").await;
    let listed = phone.threads().await;
    act(&practice, |world, _| world.bump_epoch(None));
    practice.resume().unwrap();
    phone.settle().await;
    assert_eq!((effects(&practice, &message), arrived(&practice, "What waits")), (1, 1));
    assert_eq!(on_the_phone(&phone).await, at_the_practice(&practice));
    let ids = |threads: &[portal_core::messages::ThreadSummary]| -> Vec<String> {
        threads.iter().map(|thread| thread.id.clone()).collect()
    };
    assert_eq!(ids(&phone.threads().await), ids(&listed));
    let drafts = phone.portal.messages().drafts().await.unwrap();
    assert_eq!(
        drafts.iter().map(|draft| draft.draft.text.as_str()).collect::<Vec<_>>(),
        ["A draft that stays"]
    );
    assert_eq!(phone.outbox().await, Vec::new());
}

#[tokio::test]
async fn cursor_expired() {
    let practice = practice(120);
    let phone = Phone::registered(&practice).await;
    let thread = phone.open_thread().await;
    phone.draft(&thread, "A draft that stays").await;
    act(&practice, |world, _| world.expire_cursors());
    reply(&practice, &thread, "Written meanwhile");
    let report = phone.sync().await;
    assert!(report.complete && report.received >= 121, "fetched again: {report:?}");
    let all = on_the_phone(&phone).await;
    assert_eq!((all.len(), &all), (121, &at_the_practice(&practice)));
    let drafts = phone.portal.messages().drafts().await.unwrap();
    assert_eq!(drafts[0].draft.text, "A draft that stays");
}

#[tokio::test]
async fn banner() {
    let practice = practice(60);
    let phone = Phone::registered(&practice).await;
    let shown = async || phone.portal.home().view().await.unwrap().banner.map(|banner| banner.text);
    assert_ne!(shown().await.as_deref(), Some("We are closed on Friday."));
    act(&practice, |world, now| {
        let until = now + chrono::TimeDelta::days(1);
        world.set_banner(Some(Banner { text: "We are closed on Friday.".into(), until }));
    });
    phone.sync().await;
    assert_eq!(shown().await.as_deref(), Some("We are closed on Friday."));
}

#[tokio::test]
async fn update_required() {
    let practice = practice(60);
    let phone = Phone::registered(&practice).await;
    let before = phone.shown().await;
    act(&practice, |world, _| world.set_min_core_version(Some("99.0.0")).unwrap());
    assert_eq!(phone.sync_fails().await, refused(Reason::UpdateRequired, None));
    assert_eq!(phone.shown().await, before);
    phone.portal.account().lock().await.unwrap();
    phone.portal.account().unlock().await.unwrap();
    assert_eq!(phone.shown().await, before);
}

#[tokio::test]
async fn captive_portal() {
    let practice = practice(60);
    let phone = Phone::registered(&practice).await;
    let thread = phone.open_thread().await;
    let before = phone.shown().await;
    let in_step = phone.portal.home().view().await.unwrap().as_of;
    reply(&practice, &thread, "Behind the captive portal");
    faults(&practice, Faults { html: 1.0, ..Faults::default() });
    assert_eq!(phone.sync_fails().await, offline(Reason::BadAnswer));
    assert_eq!(phone.shown().await, before);
    assert_eq!(phone.portal.home().view().await.unwrap().as_of, in_step);
    assert_eq!(phone.state(), (SessionState::Active, None));
    faults(&practice, Faults::default());
    phone.settle().await;
    phone.shown_once(&thread, "Behind the captive portal").await;
}

#[tokio::test]
async fn busy_practice() {
    let practice = practice(60);
    let phone = Phone::registered(&practice).await;
    let thread = phone.open_thread().await;
    reply(&practice, &thread, "Written on a busy day");
    faults(&practice, Faults { error_503: 1.0, ..Faults::default() });
    assert_eq!(phone.sync_fails().await, offline(Reason::Busy));
    faults(&practice, Faults::default());
    // The practice asked for a second at least, and is not asked before.
    assert_eq!(phone.sync_fails().await, offline(Reason::Busy));
    assert!(phone.settle().await.complete);
    phone.shown_once(&thread, "Written on a busy day").await;
}

/// What a registration answers that must not get anywhere, and that nothing reached the practice.
async fn gets_nowhere(
    practice: &Running,
    change: impl FnOnce(&mut portal_core::PortalConfig),
) -> PortalError {
    let place = Scratch::new();
    let mut config = config(practice, &place);
    change(&mut config);
    let portal = open(config, &place).await.unwrap();
    let error = portal.account().register(registration(practice)).await.unwrap_err();
    assert_eq!(portal.account().sign_in_begin().await.unwrap_err(), error);
    assert_eq!(portal.account().session().state, SessionState::SignedOut);
    error
}

#[tokio::test]
async fn untrusted_certificate() {
    let (practice, another) = (practice(1), practice(1));
    let roots = another.ca_pem().unwrap().to_owned();
    // Without pins, so that the root alone decides.
    let error = gets_nowhere(&practice, |config| (config.roots_pem, config.pins) = (roots, Vec::new())).await;
    assert_eq!(error, offline(Reason::CertificateUnknownAuthority));
    // The control: with its own root it works.
    let (place, renee) = (Scratch::new(), registration(&practice));
    let config = portal_core::PortalConfig { pins: Vec::new(), ..config(&practice, &place) };
    open(config, &place).await.unwrap().account().register(renee).await.unwrap();
}

#[tokio::test]
async fn wrong_pin() {
    let practice = practice(1);
    let others = vec!["A".repeat(43) + "=", "B".repeat(42) + "A="];
    let pins = vec![PinSet { spki_sha256: others, expires_at: None }];
    let error = gets_nowhere(&practice, |config| config.pins = pins).await;
    assert_eq!(error, offline(Reason::CertificateWrongPin));
    // The control: with its own pins it works.
    Phone::registered(&practice).await;
}

#[tokio::test]
async fn nobody_listens() {
    let practice = practice(1);
    practice.pause().unwrap();
    assert_eq!(gets_nowhere(&practice, |_| ()).await, offline(Reason::NoConnection));
    practice.resume().unwrap();
    Phone::registered(&practice).await;
}
