//! What shells and the practice see, word for word: the wire as the core writes it, codes, views and
//! the printed page. A change here is a change of a contract: review it as one.
//!
//! `INSTA_UPDATE=always cargo test -p portal-tests --test snapshots` writes them anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use insta::{assert_json_snapshot, assert_snapshot};
use portal_core::messages::{Draft, NewThread, Recipient, ThreadFilter};
use portal_core::{PortalError, Reason};
use portal_server_mock::world::Policy;
use portal_tests::phone::{Phone, now};
use portal_tests::practice::Practice;
use portal_tests::story::*;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

fn bodies(practice: &Practice, what: &str) -> Vec<Value> {
    let seen = practice.seen().into_iter().filter(|seen| seen.what == what);
    seen.map(|seen| serde_json::from_str(&seen.body).unwrap()).collect()
}

/// A phone with something of every kind in it.
fn small(seed: u64) -> (Arc<Practice>, Phone, String) {
    let practice = Practice::demo(12);
    let phone = Phone::registered(&practice, seed);
    let thread = open_thread(&phone);
    (practice, phone, thread)
}

#[test]
fn the_ops_as_they_leave() {
    let (practice, phone, thread) = small(1);
    reply(&practice, &thread, "Unread");
    sync(&phone).unwrap();
    let start = |recipient, text: &str| {
        let new =
            NewThread { recipient, subject: "Größe & \"Maß\"".into(), text: text.into(), draft: None };
        now(phone.portal.messages().start(new)).unwrap()
    };
    start(Recipient::Route { route: "biller".into() }, "Is this right?");
    start(Recipient::Staff { id: staff(&practice, "Priya").to_string() }, "שלום 🌻\nline two");
    send(&phone, &thread, "A reply");
    send(&phone, &thread, "Another");
    now(phone.portal.messages().mark_read(thread, u64::MAX)).unwrap();
    sync(&phone).unwrap();
    assert_json_snapshot!("ops", bodies(&practice, "POST /v1/ops"));
}

#[test]
fn the_registration_as_it_leaves() {
    let (practice, _phone, _) = small(2);
    let mut body = bodies(&practice, "POST /v1/registrations").pop().unwrap();
    for secret in ["token", "password", "code_challenge"] {
        let length = body[secret].as_str().unwrap().len();
        body[secret] = format!("[{length} characters]").into();
    }
    assert_json_snapshot!("registration", body);
}

#[test]
fn the_requests_of_a_first_hour_in_order() {
    let practice = Practice::demo(600);
    let phone = Phone::registered(&practice, 3);
    sync(&phone).unwrap();
    send(&phone, &open_thread(&phone), "One");
    sync(&phone).unwrap();
    practice.clock.advance(Duration::from_secs(200));
    phone.portal.account().touch();
    practice.clock.advance(Duration::from_secs(200));
    sync(&phone).unwrap();
    now(phone.portal.account().sign_out(portal_core::account::Unsent::Keep)).unwrap();
    let line = |seen: portal_tests::practice::Seen| {
        let query: Vec<String> = url::form_urlencoded::parse(seen.query.as_bytes())
            .map(
                |(name, value)| {
                    if name == "cursor" { "cursor=[opaque]".to_owned() } else { format!("{name}={value}") }
                },
            )
            .collect();
        format!("{} {}", seen.what, query.join("&")).trim_end().to_owned() + "\n"
    };
    assert_snapshot!("requests", practice.seen().into_iter().map(line).collect::<String>());
}

#[test]
fn every_reason_and_every_kind() {
    assert_snapshot!(
        "reasons",
        Reason::all().iter().map(|reason| format!("{}\n", reason.code())).collect::<String>()
    );
    let reason = || Reason::Impossible;
    let kinds = [
        PortalError::Offline { reason: reason() },
        PortalError::SignedOut { reason: reason() },
        PortalError::Locked { reason: reason() },
        PortalError::Refused { reason: reason(), field: Some("text".into()) },
        PortalError::Conflict { reason: reason() },
        PortalError::NotFound { reason: reason() },
        PortalError::Storage { reason: reason() },
        PortalError::Bug { reason: reason() },
    ];
    assert_snapshot!("kinds", kinds.iter().map(|kind| format!("{kind} | {kind:?}\n")).collect::<String>());
}

#[test]
fn the_views_of_a_small_practice() {
    let (practice, phone, thread_id) = small(4);
    reply(&practice, &thread_id, "How did the week go?");
    practice.act(|world, _| {
        let policy = Policy { message_max_chars: 40, ..world.practice().policy.clone() };
        world.set_policy(policy);
    });
    send(&phone, &thread_id, "This one is longer than the practice takes by now.");
    sync(&phone).unwrap();
    practice.clock.advance(Duration::from_secs(90));
    send(&phone, &thread_id, "Well, thank you.");
    let recipient = Recipient::Route { route: "scheduler".into() };
    let new = NewThread {
        recipient: recipient.clone(),
        subject: "Hours".into(),
        text: "At five?".into(),
        draft: None,
    };
    now(phone.portal.messages().start(new)).unwrap();
    let draft = |thread: Option<String>, recipient| Draft {
        key: None,
        thread,
        recipient,
        subject: String::new(),
        text: "Still typing".into(),
    };
    now(phone.portal.messages().save_draft(draft(Some(thread_id.clone()), None))).unwrap();
    now(phone.portal.messages().save_draft(draft(None, Some(recipient)))).unwrap();

    assert_json_snapshot!("home", now(phone.portal.home().view()).unwrap());
    assert_json_snapshot!("crisis_card", phone.portal.home().crisis_card());
    assert_json_snapshot!(
        "threads",
        now(phone.portal.messages().threads(ThreadFilter::All, 0, 100)).unwrap()
    );
    assert_json_snapshot!("thread", now(phone.portal.messages().thread(thread_id.clone(), None, 4)).unwrap());
    assert_json_snapshot!("recipients", now(phone.portal.messages().recipients()).unwrap());
    assert_json_snapshot!("outbox", outbox(&phone));
    assert_json_snapshot!("drafts", now(phone.portal.messages().drafts()).unwrap());
    assert_json_snapshot!("search", now(phone.portal.messages().search("thank".into(), 10)).unwrap());
    assert_json_snapshot!("session", phone.portal.account().session());
    assert_snapshot!("printed", now(phone.portal.messages().print(thread_id)).unwrap().text);
}

// I37: nothing in the above depends on the run.
#[test]
fn i37_the_same_seed_writes_the_same_bytes() {
    let run = || {
        let (practice, phone, thread) = small(5);
        send(&phone, &thread, "Once");
        sync(&phone).unwrap();
        (shows(&phone), practice.seen())
    };
    let (one, two) = (run(), run());
    assert!(one == two);
}
