//! The feed: pages, one checkpoint, kills and broken answers. Nothing half is ever shown.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use portal_core::Reason;
use portal_core::change::Change;
use portal_tests::phone::{PASSWORD, Phone, now, registration};
use portal_tests::practice::{Mishap, Practice, locked};
use portal_tests::story::*;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const FEED: &str = "GET /v1/sync";

fn unsynced(practice: &Arc<Practice>, seed: u64) -> Phone {
    let phone = Phone::new(practice, seed);
    now(phone.portal.account().register(registration(practice))).unwrap();
    phone
}

/// More changes than one page holds.
fn many_replies(practice: &Practice, thread: &str) {
    for n in 0..700 {
        reply(practice, thread, &format!("many {n}"));
    }
}

fn pass() -> Mishap {
    Mishap::Change(Box::new(|response| response))
}

fn requests(practice: &Practice) -> Vec<String> {
    practice.seen().into_iter().filter(|seen| seen.what == FEED).map(|seen| seen.query).collect()
}

#[test]
fn i11_until_the_last_page_every_read_is_the_state_of_before() {
    let practice = Practice::demo(200);
    let phone = Phone::registered(&practice, 51);
    let threads = open_threads(&phone);
    let (busy, other) = (threads[0].clone(), threads[1].clone());
    many_replies(&practice, &busy);
    practice.act(|world, _| world.close_thread(id(&other)).unwrap());
    practice.act(|world, _| world.set_banner(None));
    let before = shows(&phone);
    let portal = phone.portal.clone();
    let during = Arc::new(Mutex::new(None));
    let (seen, asked) = (during.clone(), busy.clone());
    practice.next(FEED, pass());
    practice.next(
        FEED,
        Mishap::First(Box::new(move |world| {
            // Rows go on changing between the pages, also such as a page has already brought.
            world.set_banner(Some(portal_server_mock::world::Banner {
                text: "Later".into(),
                until: chrono::Utc::now(),
            }));
            let home = now(portal.home().view()).unwrap();
            let thread = now(portal.messages().thread(asked, None, 100)).unwrap();
            *locked(&seen) = Some(json!({"home": home, "thread": thread}));
        })),
    );
    let report = sync(&phone).unwrap();
    assert!(report.complete && report.received >= 702, "{report:?}");
    let during = locked(&during).take().expect("a second page");
    assert_eq!(during["home"], before["home"]);
    let place =
        before["read"].as_array().unwrap().iter().position(|read| read["thread"]["id"] == busy.as_str());
    assert_eq!(during["thread"], before["read"][place.unwrap()]);

    // What was committed after the pull began is not in it, but in the next one.
    assert!(now(phone.portal.home().view()).unwrap().banner.is_none());
    assert!(thread(&phone, &other).thread.closed);
    assert_eq!(thread(&phone, &busy).messages.last().unwrap().text, "many 699");
    sync(&phone).unwrap();
    assert_eq!(now(phone.portal.home().view()).unwrap().banner.unwrap().text, "Later");
}

#[test]
fn i11_a_row_that_is_withdrawn_between_two_pages_goes_with_the_next_pull() {
    let practice = Practice::demo(1_100);
    let phone = unsynced(&practice, 52);
    let client = client(&practice);
    let gone = practice.act(|world, _| world.threads_of(client).next().unwrap().id);
    practice.next(FEED, pass());
    let at = practice.clock.server_now();
    practice.next(FEED, Mishap::First(Box::new(move |world| world.withdraw_thread(gone, at).unwrap())));
    sync(&phone).unwrap();
    assert!(threads(&phone).iter().any(|thread| thread.id == gone.to_string()), "as of the checkpoint");
    sync(&phone).unwrap();
    assert!(!threads(&phone).iter().any(|thread| thread.id == gone.to_string()));
    let rows = practice.act(|world, _| world.feed_rows(world.client(client).unwrap().account));
    let messages = rows.iter().filter(|row| row.entity == "message").count();
    let shown: usize = threads(&phone).iter().map(|thread| all_of(&phone, &thread.id)).sum();
    assert_eq!(shown, messages);
}

fn all_of(phone: &Phone, thread: &str) -> usize {
    let (mut count, mut before) = (0, None);
    loop {
        let view = now(phone.portal.messages().thread(thread.to_owned(), before, 100)).unwrap();
        count += view.messages.len();
        before = view.earlier;
        if before.is_none() {
            return count;
        }
    }
}

#[test]
fn the_first_pull_goes_on_at_the_page_where_it_was_killed() {
    let practice = Practice::demo(2_000);
    let phone = unsynced(&practice, 53);
    practice.next(FEED, pass());
    practice.next(FEED, pass());
    practice.next(FEED, Mishap::LoseRequest);
    assert_eq!(offline(sync_fails(&phone)), Reason::ConnectionLost);
    assert_eq!(requests(&practice).len(), 2);
    assert!(threads(&phone).is_empty() && now(phone.portal.home().view()).unwrap().as_of.is_none());

    let phone = phone.restart();
    now(phone.portal.account().unlock()).unwrap();
    assert!(threads(&phone).is_empty());
    let report = sync(&phone).unwrap();
    assert!(report.complete && report.received < 1_200, "not from the start: {report:?}");
    let asked = requests(&practice);
    assert_eq!(asked.iter().filter(|query| !query.contains("cursor=")).count(), 1, "{asked:?}");
    assert!(
        (1..asked.len()).all(|place| !asked[..place].contains(&asked[place])),
        "no page twice: {asked:?}"
    );
    assert_eq!(threads(&phone).iter().map(|thread| all_of(&phone, &thread.id)).sum::<usize>(), 2_000);
}

#[test]
fn a_page_whose_answer_is_lost_is_asked_for_again_from_the_same_place() {
    let practice = Practice::demo(1_200);
    let phone = unsynced(&practice, 54);
    practice.next(FEED, pass());
    practice.next(FEED, Mishap::LoseAnswer);
    assert_eq!(offline(sync_fails(&phone)), Reason::ConnectionLost);
    assert!(sync(&phone).unwrap().complete);
    let asked = requests(&practice);
    assert_eq!(asked[1], asked[2]);
    assert!(asked[3] != asked[2] && !asked[1..].iter().any(|query| !query.contains("cursor=")), "{asked:?}");
    assert_eq!(threads(&phone).iter().map(|thread| all_of(&phone, &thread.id)).sum::<usize>(), 1_200);
}

type Breaking = fn(http::Response<Vec<u8>>) -> http::Response<Vec<u8>>;

fn with(field: &'static str, value: Value) -> impl Fn(http::Response<Vec<u8>>) -> http::Response<Vec<u8>> {
    move |response| edited(response, |body| body[field] = value.clone())
}

fn body(response: http::Response<Vec<u8>>, bytes: Vec<u8>) -> http::Response<Vec<u8>> {
    response.map(|_| bytes)
}

/// Answers with status 200 that are not the page that was asked for.
const BROKEN: [(&str, Breaking); 18] = [
    ("a stale page", |r| with("from", "c3RhbGU".into())(r)),
    ("a page from the start", |r| with("from", "".into())(r)),
    ("no way on", |r| with("next", "".into())(r)),
    ("no epoch", |r| with("epoch", "".into())(r)),
    ("another epoch", |r| with("epoch", "018f4c2e-7b1a-7c3d-9e4f-0123456789ab".into())(r)),
    ("an older checkpoint", |r| with("checkpoint", "1".into())(r)),
    ("a number for a decimal", |r| with("checkpoint", 7.into())(r)),
    ("a negative checkpoint", |r| with("checkpoint", "-7".into())(r)),
    ("a text for a truth", |r| with("has_more", "no".into())(r)),
    ("changes that are no list", |r| with("changes", json!({"0": 1}))(r)),
    ("an ack that is no number", |r| with("acked", json!({"a": "many"}))(r)),
    ("half of it", |r| {
        let half = r.body()[..r.body().len() / 2].to_vec();
        body(r, half)
    }),
    ("one byte less", |r| {
        let less = r.body()[..r.body().len() - 1].to_vec();
        body(r, less)
    }),
    ("twice of it", |r| {
        let twice = r.body().repeat(2);
        body(r, twice)
    }),
    ("no UTF-8", |r| {
        let bad = r.body().iter().map(|b| if *b == b':' { 0xff } else { *b }).collect();
        body(r, bad)
    }),
    ("10,000 levels", |r| body(r, "[".repeat(10_000).into_bytes())),
    ("nothing", |r| body(r, Vec::new())),
    ("a hotel's page", |_| answer(200, "text/html", b"<!doctype html><title>Welcome</title>".to_vec())),
];

#[test]
fn i14_an_answer_that_is_not_the_page_asked_for_changes_nothing() {
    let practice = Practice::demo(60);
    let phone = Phone::registered(&practice, 55);
    let thread_id = open_thread(&phone);
    for (n, (name, breaking)) in BROKEN.into_iter().enumerate() {
        reply(&practice, &thread_id, &format!("after {n}"));
        let (before, as_of) = (shows(&phone), now(phone.portal.home().view()).unwrap().as_of);
        practice.next(FEED, Mishap::Change(Box::new(breaking)));
        practice.clock.advance(Duration::from_secs(1));
        phone.portal.account().touch();
        assert_eq!(offline(sync_fails(&phone)), Reason::BadAnswer, "{name}");
        assert_eq!(shows(&phone), before, "{name}");
        assert_eq!(now(phone.portal.home().view()).unwrap().as_of, as_of, "{name}");
        assert!(sync(&phone).unwrap().complete, "{name}");
        assert_eq!(shown_once(&phone, &thread_id, &format!("after {n}")).text, format!("after {n}"));
    }
}

#[test]
fn i14_a_later_page_that_does_not_belong_to_the_pull_publishes_nothing_of_it() {
    for (name, breaking) in BROKEN {
        let practice = Practice::demo(60);
        let phone = Phone::registered(&practice, 56);
        let thread_id = open_thread(&phone);
        many_replies(&practice, &thread_id);
        let before = shows(&phone);
        practice.next(FEED, pass());
        practice.next(FEED, Mishap::Change(Box::new(breaking)));
        match sync(&phone) {
            Err(error) => {
                assert_eq!(offline(error), Reason::BadAnswer, "{name}");
                assert_eq!(shows(&phone), before, "{name}");
            }
            // The server began another pull: so did the phone, from where the base stands.
            Ok(report) => {
                assert!(report.complete && name.contains("epoch") || name.contains("checkpoint"), "{name}")
            }
        }
        assert!(settle(&phone).complete, "{name}");
        assert_eq!(thread(&phone, &thread_id).messages.last().unwrap().text, "many 699", "{name}");
        assert_eq!(now(phone.portal.messages().search("many".into(), 100)).unwrap().len(), 100);
    }
}

#[test]
fn a_server_that_begins_anew_at_every_second_page_is_not_asked_without_end() {
    for (name, synced) in [("a first pull", false), ("a later one", true)] {
        let practice = Practice::demo(1_200);
        let phone = unsynced(&practice, 57);
        if synced {
            sync(&phone).unwrap();
            let thread = open_thread(&phone);
            many_replies(&practice, &thread);
        }
        let asked = requests(&practice).len();
        for _ in 0..100 {
            practice.next(FEED, pass());
            practice.next(FEED, Mishap::Change(Box::new(|r| with("checkpoint", "999999".into())(r))));
        }
        let _ = sync(&phone);
        assert!(requests(&practice).len() - asked <= 20, "{name}: {}", requests(&practice).len() - asked);
    }
}

#[test]
fn unchanged_is_one_request_and_renews_the_age() {
    let practice = Practice::demo(60);
    let phone = Phone::registered(&practice, 58);
    let before = (shows(&phone), now(phone.portal.home().view()).unwrap().as_of.unwrap());
    practice.clock.advance(Duration::from_secs(60));
    let asked = requests(&practice).len();
    let report = sync(&phone).unwrap();
    assert!(report.complete && report.received == 0);
    assert_eq!(requests(&practice).len(), asked + 1);
    assert_eq!(report.as_of.unwrap(), before.1 + Duration::from_secs(60));
    assert_eq!(age_aside(shows(&phone)), age_aside(before.0));
}

fn age_aside(shown: Value) -> Value {
    match shown {
        Value::Object(fields) => fields
            .into_iter()
            .filter(|(name, _)| name != "as_of")
            .map(|(name, value)| (name, age_aside(value)))
            .collect(),
        Value::Array(items) => items.into_iter().map(age_aside).collect(),
        plain => plain,
    }
}

#[test]
fn unchanged_is_no_answer_to_a_pull_that_has_only_begun() {
    let nothing_new = || Mishap::Instead(answer(304, "", Vec::new()));
    let practice = Practice::demo(1_200);
    let phone = unsynced(&practice, 59);
    for _ in 0..20 {
        practice.next(FEED, nothing_new());
    }
    // Not from the start, when there is everything to fetch ..
    for _ in 0..20 {
        assert_eq!(offline(sync_fails(&phone)), Reason::BadAnswer);
    }
    // .. and not between two pages.
    practice.next(FEED, pass());
    practice.next(FEED, nothing_new());
    assert_eq!(offline(sync_fails(&phone)), Reason::BadAnswer);
    assert!(sync(&phone).unwrap().complete);
    assert_eq!(threads(&phone).iter().map(|thread| all_of(&phone, &thread.id)).sum::<usize>(), 1_200);
}

#[test]
fn changes_say_what_moved_and_never_what_it_says() {
    let practice = Practice::demo(60);
    let phone = Phone::registered(&practice, 60);
    let thread = open_thread(&phone);
    let changes = phone.portal.changes();
    let all = || {
        let mut all = Vec::new();
        while let Some(Some(change)) = futures_util::FutureExt::now_or_never(changes.next()) {
            all.push(change);
        }
        all
    };
    send(&phone, &thread, "Canary in a change");
    assert_eq!(all(), [Change::Outbox, Change::Messages { thread: Some(thread.clone()) }]);
    reply(&practice, &thread, "From the practice");
    sync(&phone).unwrap();
    let moved = all();
    assert!(
        moved.contains(&Change::Messages { thread: None }) && moved.contains(&Change::Outbox),
        "{moved:?}"
    );
    assert!(
        moved.iter().any(|change| matches!(change, Change::Syncing { .. }))
            && moved.contains(&Change::Synced)
    );
    // What came moves the badge.
    assert!(!moved.contains(&Change::Everything) && moved.contains(&Change::Home), "{moved:?}");
    sync(&phone).unwrap();
    assert_eq!(all(), [Change::Synced], "nothing moved");
    practice.act(|world, _| world.set_banner(None));
    sync(&phone).unwrap();
    assert!(all().contains(&Change::Home));
    now(phone.portal.account().lock()).unwrap();
    assert!(all().contains(&Change::Session));
    phone.sign_in("renee@example.org", PASSWORD).unwrap();
    assert!(all().contains(&Change::Session));
}
