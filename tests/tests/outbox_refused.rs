//! What the practice refuses comes back with its text, a reason and a way on, and holds nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use portal_core::messages::{MessageState, NewThread, Recipient, Started};
use portal_core::outbox::{OutboxEntry, OutboxState};
use portal_core::{PortalError, Reason};
use portal_server_mock::world::{Policy, Route};
use portal_tests::phone::{Phone, now};
use portal_tests::practice::{Mishap, Practice};
use portal_tests::story::*;

const OPS: &str = "POST /v1/ops";

fn start(phone: &Phone, recipient: Recipient, text: &str) -> Started {
    let new = NewThread { recipient, subject: "A question".into(), text: text.into(), draft: None };
    now(phone.portal.messages().start(new)).unwrap()
}

fn refused(entry: &OutboxEntry) -> (Reason, Option<&str>) {
    match &entry.state {
        OutboxState::Refused { reason, field } => (reason.clone(), field.as_deref()),
        other => panic!("{other:?}"),
    }
}

fn longest_message(practice: &Practice, message_max_chars: u32) {
    practice.act(|world, _| {
        let policy = Policy { message_max_chars, ..world.practice().policy.clone() };
        world.set_policy(policy);
    });
}

fn entry_with(phone: &Phone, text: &str) -> OutboxEntry {
    outbox(phone).into_iter().find(|entry| entry.text == text).unwrap()
}

#[test]
fn i39_a_thread_that_was_closed_in_between_keeps_the_text_and_the_others_go_on() {
    let practice = Practice::demo(200);
    let phone = Phone::registered(&practice, 31);
    let threads = open_threads(&phone);
    let (closed, open) = (threads[0].clone(), threads[1].clone());
    practice.set_online(false);
    send(&phone, &closed, "Too late for this one");
    send(&phone, &open, "In time for that one");
    practice.act(|world, _| world.close_thread(id(&closed)).unwrap());
    practice.set_online(true);

    let report = sync(&phone).unwrap();
    assert_eq!((report.complete, report.sent, report.waiting, report.refused), (true, 1, 0, 1));
    assert_eq!(
        (arrived(&practice, "In time for that one"), arrived(&practice, "Too late for this one")),
        (1, 0)
    );
    let back = entry(&phone);
    assert_eq!((back.text.as_str(), back.thread.as_str()), ("Too late for this one", closed.as_str()));
    assert_eq!(refused(&back), (Reason::ThreadClosed, Some("thread")));
    assert!(back.change.possible);
    let shown = state(&phone, &closed, "Too late for this one");
    assert_eq!(shown, MessageState::Refused { reason: Reason::ThreadClosed, field: Some("thread".into()) });
    let view = thread(&phone, &closed);
    assert_eq!((view.thread.pending, view.thread.refused), (0, 1));
    assert_eq!(view.reply.reason, Some(Reason::ThreadClosed));
    assert_eq!(now(phone.portal.home().view()).unwrap().refused, 1);

    // I28: what cannot succeed is not tried again by itself; a person may.
    let tries = practice.count(OPS);
    sync(&phone).unwrap();
    assert_eq!(practice.count(OPS), tries);
    now(phone.portal.outbox().retry(back.id.clone())).unwrap();
    assert_eq!(entry(&phone).state, OutboxState::Waiting);
    sync(&phone).unwrap();
    assert_eq!(practice.count(OPS), tries + 1);
    let phone = phone.restart();
    now(phone.portal.account().unlock()).unwrap();
    assert_eq!(refused(&entry(&phone)).0, Reason::ThreadClosed);

    now(phone.portal.outbox().discard(entry(&phone).id)).unwrap();
    assert!(outbox(&phone).is_empty());
    assert!(!thread(&phone, &closed).messages.iter().any(|m| m.text == "Too late for this one"));
    sync(&phone).unwrap();
    assert_eq!(arrived(&practice, "Too late for this one"), 0, "I3");
}

#[test]
fn a_text_over_the_practices_new_limit_comes_back_and_what_follows_it_is_sent() {
    let practice = Practice::demo(60);
    let phone = Phone::registered(&practice, 32);
    let (thread, long) = (open_thread(&phone), "x".repeat(300));
    send(&phone, &thread, &long);
    send(&phone, &thread, "short");
    longest_message(&practice, 100);
    let report = sync(&phone).unwrap();
    assert_eq!((report.sent, report.refused), (1, 1));
    let back = entry(&phone);
    assert_eq!((refused(&back), back.text.len()), ((Reason::BodyTooLong, Some("body")), 300));
    assert_eq!(arrived(&practice, "short"), 1);
    // From now on the phone knows the limit, and says so before anything is queued.
    let error = now(phone.portal.messages().send(thread.clone(), long)).unwrap_err();
    assert_eq!(error, PortalError::Refused { reason: Reason::BodyTooLong, field: Some("text".into()) });
    assert_eq!(
        now(phone.portal.outbox().edit(back.id.clone(), " \n".into())).unwrap_err().reason(),
        &Reason::BodyEmpty
    );
    now(phone.portal.outbox().edit(back.id, "cut down".into())).unwrap();
    assert_eq!(state(&phone, &thread, "cut down"), MessageState::Waiting);
    sync(&phone).unwrap();
    assert_eq!((arrived(&practice, "cut down"), outbox(&phone).len()), (1, 0));
    assert_eq!(practice_has(&practice, &thread).last().unwrap(), "cut down");
}

#[test]
fn a_recipient_who_left_and_a_desk_that_nobody_keeps_send_the_conversation_back_whole() {
    let practice = Practice::demo(60);
    let phone = Phone::registered(&practice, 33);
    let (priya, scheduler) = (staff(&practice, "Priya"), staff(&practice, "Grace"));
    let gone = start(&phone, Recipient::Staff { id: priya.to_string() }, "About the dose");
    let empty = start(&phone, Recipient::Route { route: "scheduler".into() }, "A later hour?");
    send(&phone, &empty.thread, "Or an earlier one?");
    practice.act(|world, _| {
        world.deactivate_staff(priya).unwrap();
        world.change_routes(Route::Scheduler, Vec::new()).unwrap();
    });
    let report = sync(&phone).unwrap();
    assert_eq!((report.sent, report.refused), (0, 3));
    let back = entry_with(&phone, "About the dose");
    assert_eq!(
        (refused(&back), back.subject.as_deref()),
        ((Reason::RecipientInactive, Some("to")), Some("A question"))
    );
    let back = entry_with(&phone, "A later hour?");
    assert_eq!(refused(&back), (Reason::RouteEmpty, Some("to")));
    // Both conversations are still listed, with everything that was typed.
    let listed = threads(&phone);
    assert!(
        [&gone, &empty]
            .iter()
            .all(|started| listed.iter().any(|thread| thread.id == started.thread && thread.refused > 0))
    );
    // The reply went to a conversation that the practice never got.
    assert_eq!(refused(&entry_with(&phone, "Or an earlier one?")).0, Reason::ThreadUnknown);

    practice.act(|world, _| world.change_routes(Route::Scheduler, vec![scheduler]).unwrap());
    now(phone.portal.outbox().retry(back.id)).unwrap();
    now(phone.portal.outbox().retry(entry_with(&phone, "Or an earlier one?").id)).unwrap();
    settle(&phone);
    assert_eq!(practice_has(&practice, &empty.thread), ["A later hour?", "Or an earlier one?"]);
    assert_eq!(thread(&phone, &empty.thread).messages.len(), 2);
    now(phone.portal.outbox().discard(entry(&phone).id)).unwrap();
    let error = now(phone.portal.messages().thread(gone.thread, None, 10)).unwrap_err();
    assert_eq!(error, PortalError::NotFound { reason: Reason::ThreadUnknown });
}

#[test]
fn i3_what_may_have_arrived_can_be_neither_edited_nor_discarded() {
    let practice = Practice::demo(60);
    let phone = Phone::registered(&practice, 34);
    let thread = open_thread(&phone);
    send(&phone, &thread, "As it was");
    practice.next(OPS, Mishap::LoseAnswer);
    sync_fails(&phone);
    let sending = entry(&phone);
    assert_eq!(sending.state, OutboxState::Sending);
    assert_eq!((sending.change.possible, sending.change.reason), (false, Some(Reason::OnItsWay)));
    let on_its_way = PortalError::Refused { reason: Reason::OnItsWay, field: None };
    assert_eq!(now(phone.portal.outbox().edit(sending.id.clone(), "Other".into())).unwrap_err(), on_its_way);
    assert_eq!(now(phone.portal.outbox().discard(sending.id.clone())).unwrap_err(), on_its_way);
    now(phone.portal.outbox().retry(sending.id.clone())).unwrap();
    settle(&phone);
    assert_eq!((arrived(&practice, "As it was"), arrived(&practice, "Other")), (1, 0));
    let unknown = PortalError::NotFound { reason: Reason::EntryUnknown };
    for result in [
        now(phone.portal.outbox().edit(sending.id.clone(), "Other".into())),
        now(phone.portal.outbox().discard(sending.id.clone())),
        now(phone.portal.outbox().retry(sending.id)),
    ] {
        assert_eq!(result.unwrap_err(), unknown);
    }
    let error = now(phone.portal.outbox().discard("no id".into())).unwrap_err();
    assert_eq!(error, PortalError::Refused { reason: Reason::Malformed, field: Some("id".into()) });
}

#[test]
fn i3_what_waits_offline_is_edited_and_discarded_and_never_sent_as_it_was() {
    let practice = Practice::demo(60);
    let phone = Phone::registered(&practice, 35);
    let thread = open_thread(&phone);
    practice.set_online(false);
    for text in ["one", "two", "three"] {
        send(&phone, &thread, text);
        assert_eq!(offline(sync_fails(&phone)), Reason::NoConnection);
    }
    // No byte left, so everything can still be changed.
    let entries = outbox(&phone);
    assert!(entries.iter().all(|entry| entry.change.possible && entry.state == OutboxState::Waiting));
    now(phone.portal.outbox().edit(entries[0].id.clone(), "one, edited".into())).unwrap();
    now(phone.portal.outbox().discard(entries[1].id.clone())).unwrap();
    let texts: Vec<String> = outbox(&phone).into_iter().map(|entry| entry.text).collect();
    assert_eq!(texts, ["one, edited", "three"]);
    practice.set_online(true);
    settle(&phone);
    let got = practice_has(&practice, &thread);
    assert_eq!(got[got.len() - 2..], ["one, edited", "three"]);
    assert!(!got.iter().any(|text| text == "one" || text == "two"));
}

// SPEC idea 17, R32.
#[test]
fn one_poison_among_a_hundred_ninety_nine_are_delivered_and_one_needs_the_client() {
    let practice = Practice::demo(300);
    let phone = Phone::registered(&practice, 36);
    let threads = open_threads(&phone);
    let poison = "y".repeat(200);
    for n in 0..100 {
        let text = if n == 57 { poison.clone() } else { format!("op {n}") };
        send(&phone, &threads[n % threads.len()], &text);
    }
    longest_message(&practice, 150);
    let report = sync(&phone).unwrap();
    assert_eq!((report.complete, report.sent, report.waiting, report.refused), (true, 99, 0, 1));
    assert_eq!(entry(&phone).text, poison);
    for n in (0..100).filter(|n| *n != 57) {
        assert_eq!(arrived(&practice, &format!("op {n}")), 1, "{n}");
    }
}

#[test]
fn a_request_that_is_refused_as_a_whole_isolates_the_one_op_to_blame() {
    let practice = Practice::demo(300);
    let phone = Phone::registered(&practice, 37);
    let threads = open_threads(&phone);
    // A filter in between, say, that lets no request with one word pass.
    practice.set_rule(Some(Box::new(|request| {
        let bad = String::from_utf8_lossy(request.body()).contains("SELECT");
        (bad && request.uri().path() == "/v1/ops").then(|| problem(422, "words_not_liked"))
    })));
    for n in 0..100 {
        let text = if n == 57 { "SELECT a good book".to_owned() } else { format!("op {n}") };
        send(&phone, &threads[n % threads.len()], &text);
    }
    let report = settle(&phone);
    assert_eq!((report.waiting, report.refused), (0, 1));
    let back = entry(&phone);
    assert_eq!(back.text, "SELECT a good book");
    assert_eq!(refused(&back).0, Reason::Other { code: "words_not_liked".into() });
    for n in (0..100).filter(|n| *n != 57) {
        assert_eq!(arrived(&practice, &format!("op {n}")), 1, "{n}");
    }
    // I38: the search for it takes steps, not a walk through all of them with a failure at each.
    assert!(practice.count(OPS) < 70, "{}", practice.count(OPS));
    now(phone.portal.outbox().edit(back.id, "Pick a good book".into())).unwrap();
    settle(&phone);
    assert_eq!((arrived(&practice, "Pick a good book"), outbox(&phone).len()), (1, 0));
}
