//! The home screen, and the crisis card that opens whatever else does not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use portal_core::account::{SessionState, Unsent};
use portal_core::home::CrisisCard;
use portal_core::{PortalError, Reason};
use portal_server_mock::world::Banner;
use portal_tests::phone::{Phone, now, registration};
use portal_tests::practice::{Mishap, Practice};
use portal_tests::story::*;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3_600);

fn numbers(card: &CrisisCard) -> Vec<&str> {
    card.lines.iter().map(|line| line.number.as_str()).collect()
}

// SPEC 16, 19, 21.
#[test]
fn home_says_who_is_who_and_what_waits() {
    let practice = Practice::demo(60);
    let phone = Phone::registered(&practice, 141);
    let home = now(phone.portal.home().view()).unwrap();
    assert_eq!(home.me.name, "Renée O'Connor-Núñez");
    assert_eq!(home.me.id, client(&practice).to_string());
    assert_eq!(home.clinician.unwrap().name, "Dr. Amara Okafor");
    let shown = home.practice.unwrap();
    assert_eq!((shown.name.as_str(), shown.sites.len()), ("Juniper Ridge Behavioral Health", 2));
    assert_ne!(shown.sites[0].zone, shown.sites[1].zone);
    assert_eq!((home.waiting, home.refused), (0, 0));

    practice.set_online(false);
    let thread = open_thread(&phone);
    send(&phone, &thread, "One");
    send(&phone, &thread, "Two");
    // A read mark is nothing that a person waits for.
    now(phone.portal.messages().mark_read(thread.clone(), u64::MAX)).unwrap();
    assert_eq!(now(phone.portal.home().view()).unwrap().waiting, 2);
    practice.set_online(true);
    practice.act(|world, _| world.close_thread(id(&thread)).unwrap());
    sync(&phone).unwrap();
    let home = now(phone.portal.home().view()).unwrap();
    assert_eq!((home.waiting, home.refused), (0, 2));
}

#[test]
fn the_banner_comes_changes_and_goes_with_its_end_in_the_clients_zone() {
    let practice = Practice::demo(20);
    let phone = Phone::registered(&practice, 142);
    let banner = || now(phone.portal.home().view()).unwrap().banner;
    assert!(banner().unwrap().text.contains("Alder Street"));
    let until = practice.clock.server_now() + chrono::Duration::days(2);
    practice.act(|world, _| world.set_banner(Some(Banner { text: "Closed on Friday ❄️".into(), until })));
    assert!(banner().unwrap().text.contains("Alder Street"), "what the feed has brought, not more");
    sync(&phone).unwrap();
    let shown = banner().unwrap();
    let end = shown.until.unwrap();
    assert_eq!((shown.text.as_str(), end.zone.as_str()), ("Closed on Friday ❄️", "America/New_York"));
    assert_eq!(
        end.at,
        std::time::UNIX_EPOCH + Duration::from_millis(until.timestamp_millis().unsigned_abs())
    );
    practice.act(|world, _| world.set_banner(None));
    sync(&phone).unwrap();
    assert!(banner().is_none());
}

#[test]
fn every_view_says_how_old_it_is_by_the_practices_clock() {
    let practice = Practice::demo(20);
    let phone = Phone::new(&practice, 143);
    now(phone.portal.account().register(registration(&practice))).unwrap();
    assert_eq!(now(phone.portal.home().view()).unwrap().as_of, None, "nothing was fetched yet");
    sync(&phone).unwrap();
    let first = now(phone.portal.home().view()).unwrap().as_of.unwrap();
    // The phone's own clock has no say in it.
    practice.clock.set_wall(10 * 365 * 24 * 3_600_000);
    practice.clock.advance(Duration::from_secs(30));
    assert_eq!(now(phone.portal.home().view()).unwrap().as_of, Some(first));
    practice.next("GET /v1/sync", Mishap::LoseAnswer);
    sync_fails(&phone);
    assert_eq!(now(phone.portal.home().view()).unwrap().as_of, Some(first), "a lost answer is no news");
    sync(&phone).unwrap();
    let second = first + Duration::from_secs(30);
    let thread_id = open_thread(&phone);
    assert_eq!(now(phone.portal.home().view()).unwrap().as_of, Some(second));
    assert_eq!(thread(&phone, &thread_id).as_of, Some(second));
    assert_eq!(now(phone.portal.messages().recipients()).unwrap().as_of, Some(second));
}

#[test]
fn home_needs_somebody_signed_in_and_unlocked() {
    let practice = Practice::demo(20);
    let phone = Phone::new(&practice, 144);
    let error = |phone: &Phone| now(phone.portal.home().view()).map(|_| ()).unwrap_err();
    assert_eq!(error(&phone), PortalError::SignedOut { reason: Reason::NotSignedIn });
    now(phone.portal.account().register(registration(&practice))).unwrap();
    sync(&phone).unwrap();
    now(phone.portal.account().lock()).unwrap();
    assert_eq!(error(&phone), PortalError::Locked { reason: Reason::LockedNow });
    let phone = phone.restart();
    assert_eq!(error(&phone), PortalError::Locked { reason: Reason::LockedNow });
}

// SPEC idea 8.
#[test]
fn the_crisis_card_opens_before_the_practice_was_ever_reached() {
    let practice = Practice::demo(20);
    practice.set_online(false);
    let phone = Phone::new(&practice, 145);
    let card = phone.portal.home().crisis_card();
    assert_eq!(numbers(&card), ["988"]);
    assert!(card.practice.is_empty() && card.phones.is_empty());
    assert!(card.lines[0].detail.contains("Call or text"));
}

#[test]
fn the_crisis_card_opens_locked_offline_signed_out_and_wiped_with_the_practices_numbers() {
    let practice = Practice::demo(20);
    let phone = Phone::registered(&practice, 146);
    let full = phone.portal.home().crisis_card();
    assert_eq!(numbers(&full), ["988", "+1-518-555-0199", "911"], "988 once");
    assert_eq!((full.practice.as_str(), full.phones.len()), ("Juniper Ridge Behavioral Health", 3));

    practice.set_online(false);
    let asked = practice.seen().len();
    practice.clock.advance(DAY);
    assert_eq!(phone.portal.account().session().state, SessionState::Locked);
    assert!(phone.portal.home().crisis_card() == full, "locked");
    let phone = phone.restart();
    assert!(phone.portal.home().crisis_card() == full, "after a kill");
    now(phone.portal.account().unlock()).unwrap();
    now(phone.portal.suspend()).unwrap();
    assert!(phone.portal.home().crisis_card() == full, "suspended");
    now(phone.portal.resume()).unwrap();
    now(phone.portal.account().sign_out(Unsent::Discard)).unwrap();
    assert!(phone.portal.home().crisis_card() == full, "signed out");
    assert_eq!(practice.seen().len(), asked, "nobody was asked");

    practice.set_online(true);
    phone.sign_in("renee@example.org", portal_tests::phone::PASSWORD).unwrap();
    practice.set_online(false);
    now(phone.portal.account().wipe()).unwrap();
    assert_eq!(phone.portal.account().session().state, SessionState::SignedOut);
    // It is the practice's public card, of nobody's records: it stays for whoever holds the phone.
    assert!(phone.portal.home().crisis_card() == full, "wiped");
    assert!(phone.restart().portal.home().crisis_card() == full, "wiped and killed");
}

#[test]
fn the_crisis_card_follows_the_practice_and_never_loses_the_national_line() {
    let practice = Practice::demo(20);
    let phone = Phone::registered(&practice, 147);
    practice.act(|world, _| world.set_banner(None));
    practice.next(
        "GET /v1/sync",
        Mishap::Change(Box::new(|response| {
            edited(response, |page| {
                let changes = page["changes"].as_array_mut().unwrap();
                let practice = changes.iter_mut().find(|change| change["entity"] == "practice").unwrap();
                practice["data"]["crisis"] =
                    serde_json::json!([{"label":"Night line","number":"+1-518-555-0188"}]);
            })
        })),
    );
    sync(&phone).unwrap();
    let card = phone.portal.home().crisis_card();
    assert_eq!(numbers(&card), ["+1-518-555-0188", "988"]);
    now(phone.portal.account().lock()).unwrap();
    assert!(phone.restart().portal.home().crisis_card() == card);
}
