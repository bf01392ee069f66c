//! What is written arrives once, in order, and shows once at every moment: whatever the network does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use portal_core::Reason;
use portal_core::account::SessionState;
use portal_core::messages::{MessageState, NewThread, Recipient};
use portal_core::outbox::{OutboxKind, OutboxState};
use portal_tests::phone::{PASSWORD, Phone, now};
use portal_tests::practice::{Mishap, Practice, locked};
use portal_tests::story::*;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const OPS: &str = "POST /v1/ops";

/// Every view that can show a message shows this one once.
fn shows_once_everywhere(phone: &Phone, thread_id: &str, text: &str) -> MessageState {
    let message = shown_once(phone, thread_id, text);
    let hits = now(phone.portal.messages().search(text.to_owned(), 100)).unwrap();
    assert_eq!(hits.iter().filter(|hit| hit.message.text == text).count(), 1, "search");
    assert_eq!(hits[0].message.id, message.id);
    let listed = threads(phone).into_iter().find(|thread| thread.id == thread_id).unwrap();
    assert_eq!(listed.last_text, text, "list");
    assert_eq!(listed.pending, u32::from(message.n.is_none()));
    let entries = outbox(phone).iter().filter(|entry| entry.text == text).count();
    assert!(entries <= 1);
    assert!(message.n.is_some() || entries == 1, "in the base or in the outbox");
    let printed = now(phone.portal.messages().print(thread_id.to_owned())).unwrap();
    assert_eq!(printed.text.matches(text).count(), 1, "print");
    message.state
}

#[test]
fn i2_i10_a_message_whose_answer_is_lost_is_sent_once_and_shown_once_at_every_moment() {
    let practice = Practice::demo(60);
    let phone = Phone::registered(&practice, 11);
    let (thread, text) = (open_thread(&phone), "Lantern festival on Sunday");
    send(&phone, &thread, text);
    assert_eq!(shows_once_everywhere(&phone, &thread, text), MessageState::Waiting);

    // While the request is under way.
    let portal = phone.portal.clone();
    let (asked, during) = (thread.clone(), Arc::new(Mutex::new(Vec::new())));
    let seen = during.clone();
    practice.next(
        OPS,
        Mishap::First(Box::new(move |_| {
            *locked(&seen) = now(portal.messages().thread(asked, None, 100)).unwrap().messages;
        })),
    );
    practice.next(OPS, Mishap::LoseAnswer);
    // The first mishap lets this one through to the second by answering "later".
    practice.set_rule(Some(Box::new(|request| (request.uri().path() == "/v1/ops").then(|| busy(503, 1)))));
    assert_eq!(offline(sync_fails(&phone)), Reason::Busy);
    let shown: Vec<_> = locked(&during).iter().filter(|m| m.text == text).map(|m| m.state.clone()).collect();
    assert_eq!(shown, [MessageState::Sending]);
    practice.set_rule(None);
    practice.clock.advance(Duration::from_secs(2));

    assert_eq!(offline(sync_fails(&phone)), Reason::ConnectionLost);
    assert_eq!(arrived(&practice, text), 1, "the practice has it, the phone cannot know");
    assert_eq!(shows_once_everywhere(&phone, &thread, text), MessageState::Sending);

    // The base gets it while the op is still unanswered: "retry" lets the pull go first.
    practice.next(
        OPS,
        Mishap::Change(Box::new(|response| {
            edited(response, |body| {
                body["results"][0]["status"] = "retry".into();
            })
        })),
    );
    assert!(!sync(&phone).unwrap().complete);
    assert_eq!(shows_once_everywhere(&phone, &thread, text), MessageState::Sent);
    assert_eq!(entry(&phone).state, OutboxState::Sending);

    let report = settle(&phone);
    assert_eq!((report.waiting, report.refused), (0, 0));
    assert_eq!(shows_once_everywhere(&phone, &thread, text), MessageState::Sent);
    assert_eq!((outbox(&phone).len(), arrived(&practice, text)), (0, 1));
}

#[test]
fn i10_what_is_done_and_not_yet_in_the_feed_is_shown_as_sent() {
    let practice = Practice::demo(60);
    let phone = Phone::registered(&practice, 12);
    let (thread, text) = (open_thread(&phone), "Copper kettle");
    send(&phone, &thread, text);
    practice.next("GET /v1/sync", Mishap::LoseRequest);
    assert_eq!(offline(sync_fails(&phone)), Reason::ConnectionLost);
    assert_eq!(entry(&phone).state, OutboxState::Sent);
    assert_eq!(shows_once_everywhere(&phone, &thread, text), MessageState::Sent);
    assert_eq!(now(phone.portal.home().view()).unwrap().waiting, 0);
    let phone = phone.restart();
    now(phone.portal.account().unlock()).unwrap();
    assert_eq!(shows_once_everywhere(&phone, &thread, text), MessageState::Sent);
    sync(&phone).unwrap();
    assert_eq!(shows_once_everywhere(&phone, &thread, text), MessageState::Sent);
    assert_eq!((outbox(&phone).len(), arrived(&practice, text)), (0, 1));
}

#[test]
fn i5_a_thread_keeps_the_order_of_writing_whatever_is_lost() {
    let practice = Practice::demo(60);
    let phone = Phone::registered(&practice, 13);
    let threads: Vec<String> = open_threads(&phone).into_iter().take(2).collect();
    let before: Vec<usize> = threads.iter().map(|thread| practice_has(&practice, thread).len()).collect();
    practice.set_online(false);
    let mut written = vec![Vec::new(); threads.len()];
    for n in 0..40 {
        let (place, text) = (n % threads.len(), format!("line {n}"));
        send(&phone, &threads[place], &text);
        written[place].push(text);
    }
    practice.set_online(true);
    for n in 0..6 {
        practice.next(OPS, if n % 2 == 0 { Mishap::LoseAnswer } else { Mishap::LoseRequest });
        practice.next("GET /v1/sync", Mishap::LoseAnswer);
    }
    settle(&phone);
    for ((thread, written), before) in threads.iter().zip(written).zip(before) {
        assert_eq!(practice_has(&practice, thread)[before..], written[..]);
        let shown = self::thread(&phone, thread).messages;
        let shown: Vec<_> =
            shown.into_iter().map(|m| m.text).filter(|text| text.starts_with("line ")).collect();
        assert_eq!(shown, written);
    }
}

#[test]
fn i24_a_retransmission_after_a_kill_keeps_key_and_number() {
    let practice = Practice::demo(60);
    let phone = Phone::registered(&practice, 14);
    let thread = open_thread(&phone);
    send(&phone, &thread, "first");
    send(&phone, &thread, "second");
    practice.next(OPS, Mishap::LoseAnswer);
    sync_fails(&phone);
    let phone = phone.restart();
    now(phone.portal.account().unlock()).unwrap();
    assert_eq!(state(&phone, &thread, "first"), MessageState::Sending);
    settle(&phone);
    let bodies: Vec<Value> = practice
        .seen()
        .iter()
        .filter(|seen| seen.what == OPS)
        .map(|seen| serde_json::from_str(&seen.body).unwrap())
        .collect();
    assert_eq!(bodies.len(), 2);
    assert_eq!(bodies[0], bodies[1]);
    assert_eq!((arrived(&practice, "first"), arrived(&practice, "second")), (1, 1));
}

#[test]
fn r22_a_thousand_timeouts_make_a_thousand_messages() {
    let practice = Practice::demo(60);
    let phone = Phone::registered(&practice, 15);
    let thread = open_thread(&phone);
    let before = practice_has(&practice, &thread).len();
    for n in 0..1_000 {
        send(&phone, &thread, &format!("message {n}"));
        practice.next(OPS, if n % 3 == 0 { Mishap::LoseRequest } else { Mishap::LoseAnswer });
        assert_eq!(offline(sync_fails(&phone)), Reason::ConnectionLost);
        // Every other time the next one is written before the answer is known.
        if n % 2 == 1 {
            sync(&phone).unwrap();
        }
    }
    settle(&phone);
    let written: Vec<String> = (0..1_000).map(|n| format!("message {n}")).collect();
    assert_eq!(practice_has(&practice, &thread)[before..], written[..]);
    assert!(outbox(&phone).is_empty());
}

#[test]
fn i28_i39_an_answer_to_try_later_holds_its_own_conversation_and_no_other() {
    let practice = Practice::demo(200);
    let phone = Phone::registered(&practice, 16);
    let threads = open_threads(&phone);
    let (slow, quick) = (threads[0].clone(), threads[1].clone());
    // The practice is not ready for one of the conversations, and says for how long.
    let (held, sent) = (format!("thread:{slow}"), Arc::new(Mutex::new(0)));
    let count = sent.clone();
    practice.set_rule(Some(Box::new(move |request| {
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let ops = body["ops"].as_array()?;
        if !ops.iter().any(|op| op["lane"] == held.as_str()) {
            return None;
        }
        *locked(&count) += 1;
        let results: Vec<Value> = ops.iter().enumerate().map(|(place, op)| match op["lane"] == held.as_str() {
            true if place == 0 || ops[place - 1]["lane"] != op["lane"] => json!({"lane":op["lane"],"n":op["n"],
                "key":op["key"],"status":"retry","problem":{"code":"busy","retryable":true,"retry_after_s":30}}),
            true => json!({"lane":op["lane"],"n":op["n"],"key":op["key"],"status":"blocked","problem":null}),
            false => json!({"lane":op["lane"],"n":op["n"],"key":op["key"],"status":"retry","problem":{"code":"busy"}}),
        }).collect();
        Some(json(200, &json!({"epoch":body["epoch"],"results":results})))
    })));
    for n in 0..5 {
        send(&phone, &slow, &format!("slow {n}"));
    }
    sync(&phone).unwrap();
    assert_eq!(*locked(&sent), 1);

    // Nobody, not even a person who asks, gets it sent before its time; the other one goes.
    send(&phone, &quick, "quick");
    for _ in 0..3 {
        let report = sync(&phone).unwrap();
        assert!(!report.complete && report.waiting == 5, "{report:?}");
        practice.clock.advance(Duration::from_secs(9));
    }
    assert_eq!((*locked(&sent), arrived(&practice, "quick"), arrived(&practice, "slow 0")), (1, 1, 0));
    practice.clock.advance(Duration::from_secs(4));
    sync(&phone).unwrap();
    assert_eq!(*locked(&sent), 2, "after its time it is tried");
    practice.set_rule(None);
    practice.clock.advance(Duration::from_secs(31));
    assert!(sync(&phone).unwrap().complete);
    assert_eq!((arrived(&practice, "slow 0"), arrived(&practice, "slow 4")), (1, 1));
}

#[test]
fn r32_an_ended_session_keeps_everything_that_waits() {
    let practice = Practice::demo(60);
    let phone = Phone::registered(&practice, 17);
    let thread = open_thread(&phone);
    send(&phone, &thread, "Kept through it all");
    practice.next(OPS, Mishap::Instead(problem(401, "token_expired")));
    practice.next(
        "POST /oauth/token",
        Mishap::Instead(json(400, &json!({"error":"invalid_grant","code":"refresh_expired"}))),
    );
    let error = sync_fails(&phone);
    assert!(matches!(error, portal_core::PortalError::SignedOut { reason: Reason::SessionEnded }), "{error}");
    assert_eq!(phone.portal.account().session().state, SessionState::Expired);
    // Reading, writing and editing go on.
    assert_eq!(state(&phone, &thread, "Kept through it all"), MessageState::Waiting);
    now(phone.portal.outbox().edit(entry(&phone).id, "Kept and edited".into())).unwrap();
    send(&phone, &thread, "Written while signed out");
    let phone = phone.restart();
    now(phone.portal.account().unlock()).unwrap();
    assert_eq!(phone.portal.account().session().state, SessionState::Expired);
    assert_eq!(outbox(&phone).len(), 2);
    phone.sign_in("renee@example.org", PASSWORD).unwrap();
    settle(&phone);
    assert_eq!(arrived(&practice, "Kept through it all"), 0);
    assert_eq!(
        (arrived(&practice, "Kept and edited"), arrived(&practice, "Written while signed out")),
        (1, 1)
    );
}

#[test]
fn a_conversation_started_offline_and_replied_to_offline_arrives_in_order() {
    let practice = Practice::demo(60);
    let phone = Phone::registered(&practice, 18);
    practice.set_online(false);
    let recipient = Recipient::Staff { id: staff(&practice, "Daniel").to_string() };
    let started = now(phone.portal.messages().start(NewThread {
        recipient,
        subject: "New medicine".into(),
        text: "It makes me sleepy.".into(),
        draft: None,
    }))
    .unwrap();
    send(&phone, &started.thread, "Only in the evening.");
    let phone = phone.restart();
    now(phone.portal.account().unlock()).unwrap();
    let view = thread(&phone, &started.thread);
    assert_eq!(view.thread.subject, "New medicine");
    assert_eq!((view.thread.with[0].name.as_str(), view.thread.pending), ("Daniel Reyes-Ortiz", 2));
    assert_eq!(
        view.messages.iter().map(|m| m.text.as_str()).collect::<Vec<_>>(),
        ["It makes me sleepy.", "Only in the evening."]
    );
    assert_eq!(threads(&phone)[0].id, started.thread);
    let kinds: Vec<OutboxKind> = outbox(&phone).iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, [OutboxKind::NewThread, OutboxKind::Message]);

    practice.set_online(true);
    practice.next(OPS, Mishap::LoseAnswer);
    settle(&phone);
    assert_eq!(practice_has(&practice, &started.thread), ["It makes me sleepy.", "Only in the evening."]);
    let view = thread(&phone, &started.thread);
    assert_eq!((view.messages.len(), view.thread.pending), (2, 0));
    assert_eq!(view.messages.iter().map(|m| m.n).collect::<Vec<_>>(), [Some(1), Some(2)]);
    assert_eq!(threads(&phone).iter().filter(|thread| thread.id == started.thread).count(), 1);
}

#[test]
fn two_phones_of_one_client_see_each_others_messages_once() {
    let practice = Practice::demo(60);
    let one = Phone::registered(&practice, 19);
    let two = Phone::new(&practice, 20);
    two.sign_in("renee@example.org", PASSWORD).unwrap();
    sync(&two).unwrap();
    let thread_id = open_thread(&one);
    for (n, phone) in [&one, &two, &one, &two].into_iter().enumerate() {
        send(phone, &thread_id, &format!("from a phone {n}"));
        if n == 2 {
            practice.next(OPS, Mishap::LoseAnswer);
        }
        let _ = sync(phone);
    }
    for phone in [&one, &two, &one] {
        settle(phone);
    }
    let (left, right) = (thread(&one, &thread_id).messages, thread(&two, &thread_id).messages);
    assert!(left == right, "both show the same");
    assert!(left.windows(2).all(|pair| pair[0].n < pair[1].n));
    for n in 0..4 {
        assert_eq!(shown_once(&one, &thread_id, &format!("from a phone {n}")).state, MessageState::Sent);
    }
}

#[test]
fn read_marks_only_rise_across_two_phones() {
    let practice = Practice::demo(60);
    let one = Phone::registered(&practice, 21);
    let two = Phone::new(&practice, 22);
    two.sign_in("renee@example.org", PASSWORD).unwrap();
    let thread_id = open_thread(&one);
    let first = practice_has(&practice, &thread_id).len() as u64 + 1;
    for n in 0..6 {
        reply(&practice, &thread_id, &format!("reply {n}"));
    }
    sync(&one).unwrap();
    sync(&two).unwrap();
    let unread = |phone: &Phone| thread(phone, &thread_id).thread.unread;
    let all = unread(&one);
    assert!(all >= 6 && unread(&two) == all);

    // One phone reads further than the other, which says so later.
    now(one.portal.messages().mark_read(thread_id.clone(), first + 4)).unwrap();
    now(two.portal.messages().mark_read(thread_id.clone(), first + 1)).unwrap();
    assert_eq!((unread(&one), unread(&two)), (1, 4));
    sync(&one).unwrap();
    sync(&two).unwrap();
    assert_eq!((unread(&one), unread(&two)), (1, 1), "the lower mark changes nothing");
    assert!(outbox(&two).is_empty());
    now(two.portal.messages().mark_read(thread_id.clone(), first)).unwrap();
    assert_eq!(unread(&two), 1, "a mark never falls");
    assert_eq!(practice.act(|world, _| world.thread(id(&thread_id)).unwrap().read_upto), first + 4);
    now(two.portal.messages().mark_read(thread_id.clone(), u64::MAX)).unwrap();
    sync(&two).unwrap();
    sync(&one).unwrap();
    assert_eq!((unread(&one), unread(&two)), (0, 0));
    assert_eq!(practice.act(|world, _| world.thread(id(&thread_id)).unwrap().read_upto), first + 5);
}
