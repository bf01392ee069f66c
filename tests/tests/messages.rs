//! Conversations as a client has them: drafts that are never lost, order, badge, print and zones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_macros, reason = "a seed or a version is printed for whoever looks at a failure")]

use portal_core::account::SessionState;
use portal_core::messages::{Draft, MessageState, NewThread, Recipient, ThreadFilter};
use portal_core::people::Role;
use portal_core::{PortalError, Reason};
use portal_tests::phone::{PASSWORD, Phone, now, registration};
use portal_tests::practice::{Mishap, Practice};
use portal_tests::story::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use std::time::Duration;

const FEED: &str = "GET /v1/sync";

fn reply_draft(thread: &str, text: &str) -> Draft {
    Draft {
        key: None,
        thread: Some(thread.into()),
        recipient: None,
        subject: String::new(),
        text: text.into(),
    }
}

fn new_draft(recipient: Option<Recipient>, subject: &str, text: &str) -> Draft {
    Draft { key: None, thread: None, recipient, subject: subject.into(), text: text.into() }
}

fn save(phone: &Phone, draft: Draft) -> String {
    now(phone.portal.messages().save_draft(draft)).unwrap()
}

fn drafts(phone: &Phone) -> Vec<Draft> {
    now(phone.portal.messages().drafts()).unwrap().into_iter().map(|view| view.draft).collect()
}

fn killed(phone: Phone) -> Phone {
    let phone = phone.restart();
    now(phone.portal.account().unlock()).unwrap();
    phone
}

// SPEC idea 1, R17.
#[test]
fn every_change_of_a_draft_is_there_after_a_kill() {
    let practice = Practice::demo(60);
    let mut phone = Phone::registered(&practice, 121);
    let thread_id = open_thread(&phone);
    let words = "I could not sleep again 😴, and אני עייפה";
    for end in words.char_indices().map(|(at, c)| at + c.len_utf8()) {
        save(&phone, reply_draft(&thread_id, &words[..end]));
        phone = killed(phone);
        assert_eq!(thread(&phone, &thread_id).draft.as_deref(), Some(&words[..end]));
    }
    assert_eq!(drafts(&phone).len(), 1);
    // Emptied on purpose, it goes.
    save(&phone, reply_draft(&thread_id, ""));
    assert!(drafts(&killed(phone)).is_empty());
}

// R19.
#[test]
fn a_draft_may_have_any_subset_of_its_parts() {
    let practice = Practice::demo(60);
    let mut phone = Phone::registered(&practice, 122);
    let biller = Some(Recipient::Route { route: "biller".into() });
    for (recipient, subject, text) in [
        (None, "Only a subject", ""),
        (None, "", "Only a text"),
        (biller.clone(), "", ""),
        (biller.clone(), "A bill", ""),
        (biller, "A bill", "of last month"),
        (Some(Recipient::Staff { id: staff(&practice, "Priya").to_string() }), "", "Whoever reads this"),
    ] {
        let mut draft = new_draft(recipient, subject, text);
        let key = save(&phone, draft.clone());
        phone = killed(phone);
        draft.key = Some(key.clone());
        assert!(drafts(&phone) == [draft.clone()], "{subject} {text}");
        // The same one goes on under its key.
        draft.text.push_str(" and more");
        assert_eq!(save(&phone, draft.clone()), key);
        assert!(drafts(&phone) == [draft]);
        now(phone.portal.messages().discard_draft(key)).unwrap();
        assert!(drafts(&phone).is_empty());
    }
    let error =
        now(phone.portal.messages().save_draft(Draft { key: Some("x".into()), ..new_draft(None, "a", "") }));
    assert_eq!(
        error.unwrap_err(),
        PortalError::Refused { reason: Reason::Malformed, field: Some("key".into()) }
    );
    let long = new_draft(None, "", &"x".repeat(1024 * 1024 + 1));
    assert_eq!(now(phone.portal.messages().save_draft(long)).unwrap_err().reason(), &Reason::BodyTooLong);
}

#[test]
fn drafts_outlive_locks_ended_sessions_and_what_a_rule_refuses() {
    let practice = Practice::demo(60);
    let phone = Phone::registered(&practice, 123);
    let thread_id = open_thread(&phone);
    save(&phone, reply_draft(&thread_id, "Half a thought"));
    practice.clock.advance(Duration::from_secs(3_600));
    assert_eq!(phone.portal.account().session().state, SessionState::Locked);
    let locked = now(phone.portal.messages().drafts()).map(|_| ()).unwrap_err();
    assert_eq!(locked, PortalError::Locked { reason: Reason::LockedIdle });
    now(phone.portal.account().unlock()).unwrap();
    assert_eq!(thread(&phone, &thread_id).draft.as_deref(), Some("Half a thought"));

    practice.next(FEED, Mishap::Instead(problem(401, "token_expired")));
    let ended = serde_json::json!({"error":"invalid_grant","code":"refresh_expired"});
    practice.next("POST /oauth/token", Mishap::Instead(json(400, &ended)));
    assert!(matches!(sync_fails(&phone), PortalError::SignedOut { .. }));
    assert_eq!(thread(&phone, &thread_id).draft.as_deref(), Some("Half a thought"));
    phone.sign_in("renee@example.org", PASSWORD).unwrap();
    practice.act(|world, _| world.expire_cursors());
    sync(&phone).unwrap();
    assert_eq!(thread(&phone, &thread_id).draft.as_deref(), Some("Half a thought"));

    // What is refused leaves the draft where it is.
    for (text, reason) in [(" \n", Reason::BodyEmpty), (&*"x".repeat(5_001), Reason::BodyTooLong)] {
        let error = now(phone.portal.messages().send(thread_id.clone(), text.into())).unwrap_err();
        assert_eq!(error, PortalError::Refused { reason, field: Some("text".into()) });
        assert_eq!(thread(&phone, &thread_id).draft.as_deref(), Some("Half a thought"));
    }
}

// R20.
#[test]
fn sending_takes_the_draft_away_in_the_same_act() {
    let practice = Practice::demo(60);
    let phone = Phone::registered(&practice, 124);
    let thread_id = open_thread(&phone);
    save(&phone, reply_draft(&thread_id, "A whole thought"));
    let recipient = Recipient::Route { route: "scheduler".into() };
    let key = save(&phone, new_draft(Some(recipient.clone()), "", "A question"));
    let new = |subject: &str| NewThread {
        recipient: recipient.clone(),
        subject: subject.into(),
        text: "A question".into(),
        draft: Some(key.clone()),
    };
    assert_eq!(now(phone.portal.messages().start(new(""))).unwrap_err().reason(), &Reason::SubjectEmpty);
    assert_eq!(drafts(&phone).len(), 2);
    let started = now(phone.portal.messages().start(new("Time"))).unwrap();
    send(&phone, &thread_id, "A whole thought");
    let phone = killed(phone);
    assert!(drafts(&phone).is_empty() && thread(&phone, &thread_id).draft.is_none());
    assert_eq!(outbox(&phone).len(), 2);
    shown_once(&phone, &thread_id, "A whole thought");
    shown_once(&phone, &started.thread, "A question");
}

// R13: the badge is a function of what is on the device.
#[test]
fn r13_the_badge_is_what_the_conversations_hold_after_any_sequence_of_events() {
    for seed in 0..12 {
        println!("seed {seed}");
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let practice = Practice::demo(40);
        let mut phone = Phone::registered(&practice, 300 + seed);
        for _ in 0..40 {
            phone.portal.account().touch();
            let listed = threads(&phone);
            let Some(some) = (!listed.is_empty()).then(|| &listed[random.random_range(0..listed.len())])
            else {
                break;
            };
            match random.random_range(0..100) {
                0..30 if !some.closed => drop(practice.act(|world, at| {
                    let author = world.all_staff().next().unwrap().id;
                    world.reply(author, id(&some.id), "Something new", at)
                })),
                30..50 => {
                    let upto = random.random_range(0..60);
                    now(phone.portal.messages().mark_read(some.id.clone(), upto)).unwrap();
                }
                50..60 => {
                    let newest = thread(&phone, &some.id).messages.pop();
                    if let Some(newest) = newest.filter(|message| !message.mine) {
                        let _ = practice.act(|world, at| world.withdraw_message(id(&newest.id), at));
                    }
                }
                60..63 => drop(practice.act(|world, at| world.withdraw_thread(id(&some.id), at))),
                63..70 if !some.closed => drop(send(&phone, &some.id, "Mine")),
                70..75 => phone = killed(phone),
                75..78 => practice.act(|world, _| world.expire_cursors()),
                78..80 => practice.act(|world, _| world.bump_epoch(None)),
                80..85 => practice.next("POST /v1/ops", Mishap::LoseAnswer),
                _ => drop(sync(&phone)),
            }
            let badge = now(phone.portal.home().view()).unwrap().badge;
            let listed = now(phone.portal.messages().threads(ThreadFilter::All, 0, 100)).unwrap();
            let counted: u64 = listed.threads.iter().map(|thread| unread_in(&phone, &thread.id)).sum();
            let summed: u64 = listed.threads.iter().map(|thread| thread.unread).sum();
            assert_eq!((badge, listed.unread, summed), (counted, counted, counted), "seed {seed}");
            let unread = now(phone.portal.messages().threads(ThreadFilter::Unread, 0, 100)).unwrap();
            assert!(unread.threads.iter().all(|thread| thread.unread > 0));
            assert_eq!(
                unread.threads.len(),
                listed.threads.iter().filter(|thread| thread.unread > 0).count()
            );
        }
    }
}

fn unread_in(phone: &Phone, thread: &str) -> u64 {
    let (mut count, mut before) = (0, None);
    loop {
        let view = now(phone.portal.messages().thread(thread.to_owned(), before, 7)).unwrap();
        count +=
            view.messages.iter().filter(|m| m.state == MessageState::Received { read: false }).count() as u64;
        before = view.earlier;
        if before.is_none() {
            return count;
        }
    }
}

// R27.
#[test]
fn conversations_and_messages_stand_in_the_practices_order_and_whole() {
    let practice = Practice::demo(300);
    let phone = Phone::registered(&practice, 125);
    let listed = threads(&phone);
    assert!(listed.windows(2).all(|pair| pair[0].last_at.at >= pair[1].last_at.at));
    let last = listed.iter().rev().find(|thread| !thread.closed).unwrap().id.clone();
    let long = "A long story. ".repeat(350);
    reply(&practice, &last, long.trim());
    // A phone whose clock is years behind changes no order of what the practice has.
    practice.clock.set_wall(-3 * 365 * 24 * 3_600_000);
    sync(&phone).unwrap();
    let first = &threads(&phone)[0];
    assert_eq!(first.id, last);
    assert!(first.last_text.ends_with('…') && first.last_text.chars().count() == 121);
    let view = thread(&phone, &last);
    assert_eq!(view.messages.last().unwrap().text, long.trim());
    assert!(view.messages.windows(2).all(|pair| pair[0].n < pair[1].n));
    send(&phone, &last, "Answer to it");
    assert_eq!(thread(&phone, &last).messages.last().unwrap().text, "Answer to it");
    sync(&phone).unwrap();
    assert_eq!(thread(&phone, &last).messages.last().unwrap().text, "Answer to it");
    assert_eq!(practice_has(&practice, &last), texts_of(&phone, &last));
}

fn texts_of(phone: &Phone, thread: &str) -> Vec<String> {
    let (mut texts, mut before) = (Vec::new(), None);
    loop {
        let view = now(phone.portal.messages().thread(thread.to_owned(), before, 9)).unwrap();
        texts.splice(0..0, view.messages.into_iter().map(|message| message.text));
        before = view.earlier;
        if before.is_none() {
            return texts;
        }
    }
}

#[test]
fn a_closed_conversation_is_read_and_not_answered() {
    let practice = Practice::demo(60);
    let phone = Phone::registered(&practice, 126);
    let thread_id = open_thread(&phone);
    practice.act(|world, _| world.close_thread(id(&thread_id)).unwrap());
    sync(&phone).unwrap();
    let view = thread(&phone, &thread_id);
    assert!(view.thread.closed && !view.reply.possible && !view.messages.is_empty());
    assert_eq!(view.reply.reason, Some(Reason::ThreadClosed));
    let error = now(phone.portal.messages().send(thread_id, "Too late".into())).unwrap_err();
    assert_eq!(error, PortalError::Refused { reason: Reason::ThreadClosed, field: None });
    assert!(outbox(&phone).is_empty());
    let unknown = "018f4c2e-7b1a-7c3d-9e4f-0123456789ab".to_owned();
    for error in [
        now(phone.portal.messages().send(unknown.clone(), "Hello".into())).map(|_| ()).unwrap_err(),
        now(phone.portal.messages().mark_read(unknown.clone(), 1)).unwrap_err(),
        now(phone.portal.messages().print(unknown)).map(|_| ()).unwrap_err(),
    ] {
        assert_eq!(error, PortalError::NotFound { reason: Reason::ThreadUnknown });
    }
}

/// Every record of the client's first pull passes through this.
fn registered_with(practice: &std::sync::Arc<Practice>, seed: u64, edit: fn(&mut Vec<Value>)) -> Phone {
    let phone = Phone::new(practice, seed);
    now(phone.portal.account().register(registration(practice))).unwrap();
    practice.next(
        FEED,
        Mishap::Change(Box::new(move |response| {
            edited(response, |page| {
                edit(page["changes"].as_array_mut().unwrap());
            })
        })),
    );
    sync(&phone).unwrap();
    phone
}

#[test]
fn somebody_whom_the_feed_has_not_brought_has_no_name_and_gets_it_later() {
    let practice = Practice::demo(60);
    let phone = registered_with(&practice, 127, |changes| {
        changes
            .retain(|change| !change["data"]["name"].as_str().unwrap_or_default().starts_with("Dr. Amara"));
    });
    let thread_id = open_thread(&phone);
    reply(&practice, &thread_id, "From nobody yet");
    sync(&phone).unwrap();
    let message = shown_once(&phone, &thread_id, "From nobody yet");
    assert_eq!((message.author.name.as_str(), &message.author.role), ("", &Role::Other));
    assert_eq!(message.author.id, staff(&practice, "Dr. Amara").to_string());
    let printed = now(phone.portal.messages().print(thread_id.clone())).unwrap().text;
    assert!(printed.contains("Juniper Ridge Behavioral Health\nFrom nobody yet"));
    practice.act(|world, _| world.expire_cursors());
    sync(&phone).unwrap();
    assert_eq!(shown_once(&phone, &thread_id, "From nobody yet").author.name, "Dr. Amara Okafor");
}

// R57, R58.
#[test]
fn times_are_in_the_clients_zone_or_the_practices_and_never_silently_in_utc() {
    for (zone, expected, printed) in [
        ("Asia/Kolkata", "Asia/Kolkata", "2026-04-15 20:30 IST (Asia/Kolkata)"),
        ("Mars/Olympus", "America/New_York", "2026-04-15 11:00 EDT (America/New_York)"),
        ("", "America/New_York", "2026-04-15 11:00 EDT (America/New_York)"),
        ("America/Phoenix", "America/Phoenix", "2026-04-15 08:00 MST (America/Phoenix)"),
    ] {
        let practice = Practice::demo(60);
        let phone = Phone::new(&practice, 128);
        now(phone.portal.account().register(registration(&practice))).unwrap();
        practice.next(
            FEED,
            Mishap::Change(Box::new(move |response| {
                edited(response, |page| {
                    let changes = page["changes"].as_array_mut().unwrap();
                    changes.iter_mut().find(|change| change["entity"] == "client").unwrap()["data"]["zone"] =
                        zone.into();
                })
            })),
        );
        sync(&phone).unwrap();
        let thread_id = open_thread(&phone);
        send(&phone, &thread_id, "What time is it?");
        let view = thread(&phone, &thread_id);
        assert!(view.messages.iter().all(|message| message.at.zone == expected), "{zone}");
        assert_eq!(view.thread.last_at.zone, expected);
        let text = now(phone.portal.messages().print(thread_id)).unwrap().text;
        assert!(text.contains(&format!("As of {printed}\nPrinted {printed}\n")), "{text}");
        assert!(
            text.ends_with(&format!("\n{printed}  Renée O'Connor-Núñez (not sent yet)\nWhat time is it?\n")),
            "{text}"
        );
        assert!(!text.contains("UTC"));
    }
}

// SPEC 58.
#[test]
fn a_printed_conversation_has_every_message_once_and_says_how_old_it_is() {
    let practice = Practice::demo(1_400);
    let phone = Phone::registered(&practice, 129);
    let longest =
        threads(&phone).into_iter().max_by_key(|listed| practice_has(&practice, &listed.id).len()).unwrap();
    for n in 0..520 {
        reply(&practice, &longest.id, &format!("printed line {n}."));
    }
    sync(&phone).unwrap();
    practice.clock.advance(Duration::from_secs(180));
    practice.set_online(false);
    let printed = now(phone.portal.messages().print(longest.id.clone())).unwrap();
    let all = practice_has(&practice, &longest.id);
    assert_eq!(printed.title, longest.subject);
    assert!(printed.text.contains(&format!("\n{} messages\n", all.len())));
    assert!(
        printed.text.contains("As of 2026-04-15 11:00 EDT")
            && printed.text.contains("Printed 2026-04-15 11:03 EDT")
    );
    let mut from = 0;
    for text in all {
        from += printed.text[from..].find(&text).expect("in order, whole") + text.len();
    }
    assert_eq!(printed.text.matches("printed line 7.").count(), 1);
}
