//! A place that the practice does not know any more, and an epoch that begins anew: everything is
//! fetched again behind the scenes, and nothing that the client wrote is lost or doubled.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use portal_core::Reason;
use portal_core::change::Change;
use portal_core::messages::{Draft, MessageState};
use portal_core::outbox::OutboxState;
use portal_server_mock::World;
use portal_tests::phone::{Phone, now};
use portal_tests::practice::{Mishap, Practice, locked};
use portal_tests::story::*;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const OPS: &str = "POST /v1/ops";
const FEED: &str = "GET /v1/sync";

fn save_draft(phone: &Phone, thread: &str, text: &str) {
    let draft = Draft {
        key: None,
        thread: Some(thread.into()),
        recipient: None,
        subject: String::new(),
        text: text.into(),
    };
    now(phone.portal.messages().save_draft(draft)).unwrap();
}

/// An entry counts how often it was tried, which is no change of it.
fn tries_aside(shown: &Value) -> Value {
    let mut shown = shown.clone();
    let entries = if shown.is_array() { Some(&mut shown) } else { shown.get_mut("outbox") };
    for entry in entries.and_then(Value::as_array_mut).into_iter().flatten() {
        drop(entry.as_object_mut().and_then(|entry| entry.remove("attempts")));
    }
    shown
}

#[test]
fn i15_a_resync_touches_neither_outbox_nor_drafts_and_never_flickers() {
    let practice = Practice::demo(1_100);
    let phone = Phone::registered(&practice, 81);
    let listed = open_threads(&phone);
    let (kept, gone, closed) = (listed[0].clone(), listed[1].clone(), listed[2].clone());
    // One refused, one unanswered, one waiting, two drafts.
    practice.act(|world, _| world.close_thread(id(&closed)).unwrap());
    send(&phone, &closed, "Refused one");
    sync(&phone).unwrap();
    send(&phone, &kept, "Unanswered one");
    practice.next(OPS, Mishap::LoseAnswer);
    sync_fails(&phone);
    send(&phone, &kept, "Waiting one");
    save_draft(&phone, &kept, "A draft of a reply");
    save_draft(&phone, &gone, "A draft for a thread that goes");
    let before = shows(&phone);
    let all = before.clone();

    practice.act(|world, at| {
        world.withdraw_thread(id(&gone), at).unwrap();
        world.expire_cursors();
    });
    // The pull is refused with 410, then refills; no op leaves before it is complete. In the middle of
    // it everything is as before.
    practice.set_rule(Some(Box::new(|request| {
        (request.uri().path() == "/v1/ops").then(|| problem(410, "epoch_changed"))
    })));
    let during = Arc::new(Mutex::new(None));
    let (portal, seen, asked) = (phone.portal.clone(), during.clone(), kept.clone());
    practice.next(FEED, Mishap::Change(Box::new(|response| response)));
    practice.next(FEED, Mishap::First(Box::new(move |_: &mut World| {
        let home = now(portal.home().view()).unwrap();
        let listed = now(portal.messages().threads(portal_core::messages::ThreadFilter::All, 0, 100)).unwrap();
        let read = now(portal.messages().thread(asked, None, 100)).unwrap();
        *locked(&seen) = Some(json!({"home": home, "threads": listed, "read": read,
            "outbox": now(portal.outbox().entries()).unwrap(), "drafts": now(portal.messages().drafts()).unwrap()}));
    })));
    practice.next(FEED, Mishap::LoseRequest);
    assert_eq!(offline(sync_fails(&phone)), Reason::ConnectionLost);
    let mut during = locked(&during).take().expect("a second page");
    during["read"] = json!([during["read"]]);
    let mut before = before;
    before["read"].as_array_mut().unwrap().retain(|read| read["thread"]["id"] == kept.as_str());
    for part in ["home", "threads", "read", "outbox", "drafts"] {
        assert_eq!(tries_aside(&during[part]), tries_aside(&before[part]), "{part}");
    }
    assert_eq!(tries_aside(&shows(&phone)), tries_aside(&all));

    // The resync goes on after a kill, and at its end the withdrawn thread is gone.
    let phone = phone.restart();
    now(phone.portal.account().unlock()).unwrap();
    practice.set_rule(None);
    let report = settle(&phone);
    assert_eq!((report.waiting, report.refused, report.quarantined), (0, 1, 0));
    assert!(!threads(&phone).iter().any(|thread| thread.id == gone));
    let refused = entry(&phone);
    assert_eq!(refused.text, "Refused one");
    assert!(matches!(refused.state, OutboxState::Refused { reason: Reason::ThreadClosed, .. }));
    let mut drafts: Vec<String> =
        now(phone.portal.messages().drafts()).unwrap().into_iter().map(|d| d.draft.text).collect();
    drafts.sort();
    assert_eq!(drafts, ["A draft for a thread that goes", "A draft of a reply"]);
    let got = practice_has(&practice, &kept);
    assert_eq!(got[got.len() - 2..], ["Unanswered one", "Waiting one"]);
    assert_eq!((arrived(&practice, "Unanswered one"), arrived(&practice, "Waiting one")), (1, 1));
    assert_eq!(state(&phone, &kept, "Unanswered one"), MessageState::Sent);
    assert!(now(phone.portal.messages().search("Unanswered".into(), 10)).unwrap().len() == 1);
}

#[test]
fn i15_an_entry_keeps_its_name_through_a_resync() {
    let practice = Practice::demo(60);
    let phone = Phone::registered(&practice, 82);
    let thread = open_thread(&phone);
    send(&phone, &thread, "Named");
    practice.next(OPS, Mishap::LoseRequest);
    sync_fails(&phone);
    let name = entry(&phone).id;
    practice.act(|world, _| world.expire_cursors());
    // The op goes first and gets no answer; so the pull comes, and is a resync.
    practice.next(OPS, Mishap::Instead(json(200, &json!({"results": []}))));
    assert!(!sync(&phone).unwrap().complete);
    assert_eq!(entry(&phone).id, name);
    now(phone.portal.outbox().retry(name)).unwrap();
    settle(&phone);
    assert_eq!((outbox(&phone).len(), arrived(&practice, "Named")), (0, 1));
}

/// What the phone has in its outbox when the epoch changes.
fn half_sent(practice: &Arc<Practice>, seed: u64) -> (Phone, String) {
    let phone = Phone::registered(practice, seed);
    let thread = open_thread(&phone);
    practice.clock.advance(Duration::from_secs(10));
    send(&phone, &thread, "answered long ago");
    sync(&phone).unwrap();
    practice.clock.advance(Duration::from_secs(10));
    send(&phone, &thread, "done, not in the base");
    now(phone.portal.messages().mark_read(thread.clone(), u64::MAX)).unwrap();
    practice.next(FEED, Mishap::LoseRequest);
    sync_fails(&phone);
    send(&phone, &thread, "executed, answer lost");
    practice.next(OPS, Mishap::LoseAnswer);
    sync_fails(&phone);
    send(&phone, &thread, "never arrived");
    practice.next(OPS, Mishap::LoseRequest);
    sync_fails(&phone);
    send(&phone, &thread, "only waiting");
    (phone, thread)
}

const WRITTEN: [&str; 5] =
    ["answered long ago", "done, not in the base", "executed, answer lost", "never arrived", "only waiting"];

#[test]
fn i2_a_new_epoch_loses_nothing_and_doubles_nothing() {
    let since = [None, Some(0), Some(5), Some(15), Some(100)];
    for (n, back_to) in since.into_iter().enumerate() {
        let practice = Practice::demo(60);
        let started = practice.clock.server_now();
        let (phone, thread) = half_sent(&practice, 90 + n as u64);
        // Restored from a backup of then: the counters forget what came later, the messages are there.
        let back_to = back_to.map(|seconds| started + chrono::Duration::seconds(seconds));
        practice.act(|world, _| world.bump_epoch(back_to));
        for text in WRITTEN {
            shown_once(&phone, &thread, text);
        }
        let report = settle(&phone);
        assert_eq!((report.waiting, report.refused), (0, 0), "{back_to:?}");
        for text in WRITTEN {
            assert_eq!(arrived(&practice, text), 1, "{text} {back_to:?}");
            assert_eq!(shown_once(&phone, &thread, text).state, MessageState::Sent);
        }
        let got = practice_has(&practice, &thread);
        assert_eq!(got[got.len() - 5..], WRITTEN, "{back_to:?}");
        assert!(outbox(&phone).is_empty());
        // The lane goes on from where it is.
        send(&phone, &thread, "after it all");
        assert!(settle(&phone).complete);
        assert_eq!((arrived(&practice, "after it all"), outbox(&phone).len()), (1, 0));
    }
}

#[test]
fn an_epoch_that_changes_between_two_pages_starts_over() {
    let practice = Practice::demo(1_100);
    let phone = Phone::registered(&practice, 85);
    let thread_id = open_thread(&phone);
    for n in 0..600 {
        reply(&practice, &thread_id, &format!("many {n}"));
    }
    let before = shows(&phone);
    practice.next(FEED, Mishap::Change(Box::new(|response| response)));
    let (portal, seen) = (phone.portal.clone(), Arc::new(Mutex::new(None)));
    let during = seen.clone();
    practice.next(FEED, Mishap::First(Box::new(move |world| world.bump_epoch(None))));
    practice.next(
        FEED,
        Mishap::First(Box::new(move |_| {
            *locked(&during) = Some(serde_json::to_value(now(portal.home().view()).unwrap()).unwrap());
        })),
    );
    assert!(sync(&phone).unwrap().complete);
    assert_eq!(locked(&seen).take().expect("a page of the new epoch"), before["home"]);
    assert_eq!(thread(&phone, &thread_id).messages.last().unwrap().text, "many 599");
}

#[test]
fn i13_what_the_practice_takes_back_is_gone_everywhere() {
    let practice = Practice::demo(60);
    let phone = Phone::registered(&practice, 86);
    let thread_id = open_thread(&phone);
    let unread = thread(&phone, &thread_id).thread.unread;
    let message = reply(&practice, &thread_id, "Zeppelin to the wrong client");
    sync(&phone).unwrap();
    assert_eq!(thread(&phone, &thread_id).thread.unread, unread + 1);
    practice.act(|world, at| world.withdraw_message(message, at).unwrap());
    reply(&practice, &thread_id, "Please ignore it");
    sync(&phone).unwrap();
    let view = thread(&phone, &thread_id);
    assert!(!view.messages.iter().any(|message| message.text.contains("Zeppelin")));
    assert_eq!(
        (view.messages.last().unwrap().text.as_str(), view.thread.unread),
        ("Please ignore it", unread + 1)
    );
    assert!(now(phone.portal.messages().search("Zeppelin".into(), 10)).unwrap().is_empty());
    assert!(!now(phone.portal.messages().print(thread_id.clone())).unwrap().text.contains("Zeppelin"));

    practice.act(|world, at| world.withdraw_thread(id(&thread_id), at).unwrap());
    sync(&phone).unwrap();
    assert!(!threads(&phone).iter().any(|thread| thread.id == thread_id));
    assert!(now(phone.portal.messages().search("ignore".into(), 10)).unwrap().is_empty());
    let badge = now(phone.portal.home().view()).unwrap().badge;
    assert_eq!(badge, threads(&phone).iter().map(|thread| thread.unread).sum::<u64>());
    // Ninety days later the tombstones are gone, and the cursor of before them with them.
    practice.clock.advance(Duration::from_secs(91 * 24 * 3_600));
    assert_eq!(now(phone.portal.account().unlock()), Ok(()));
    let _ = sync(&phone);
    assert!(!threads(&phone).iter().any(|thread| thread.id == thread_id));
}

#[test]
fn i40_whoever_shows_what_is_on_its_way_hears_that_it_waits_again() {
    let practice = Practice::demo(60);
    let phone = Phone::registered(&practice, 87);
    let thread = open_thread(&phone);
    sync(&phone).unwrap();
    send(&phone, &thread, "Shown as on its way");
    // A shell that reads its outbox whenever it is told to, the last time while the request is under way.
    let shown = Arc::new(Mutex::new(Vec::new()));
    let (portal, changes, screen) = (phone.portal.clone(), phone.portal.changes(), shown.clone());
    let draw = Arc::new(move || {
        let mut told = false;
        while let Some(Some(change)) = futures_util::FutureExt::now_or_never(changes.next()) {
            told |= change == Change::Outbox;
        }
        if told {
            *locked(&screen) = now(portal.outbox().entries()).unwrap();
        }
    });
    let during = draw.clone();
    practice.set_rule(Some(Box::new(move |request| {
        let ops = request.uri().path() == "/v1/ops";
        ops.then(|| {
            during();
            problem(410, "epoch_changed")
        })
    })));
    practice.next(FEED, Mishap::LoseRequest);
    sync_fails(&phone);
    draw();
    assert_eq!(*locked(&shown), outbox(&phone));
    assert_eq!(entry(&phone).state, OutboxState::Waiting);
}
