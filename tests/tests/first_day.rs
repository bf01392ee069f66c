//! A client registers, reads, writes on and off the network, and comes back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use portal_core::Reason;
use portal_core::account::SessionState;
use portal_core::messages::{MessageState, NewThread, Recipient, ThreadFilter};
use portal_tests::phone::{PASSWORD, Phone, now, registration};
use portal_tests::practice::Practice;

#[test]
fn a_client_registers_and_sees_everything_that_the_practice_has() {
    let practice = Practice::demo(300);
    let phone = Phone::new(&practice, 1);
    assert_eq!(phone.portal.account().session().state, SessionState::SignedOut);
    now(phone.portal.account().register(registration(&practice))).unwrap();
    assert_eq!(phone.portal.account().session().state, SessionState::Active);

    let report = now(phone.portal.sync(None)).unwrap();
    assert!(report.complete && report.received > 300, "{report:?}");
    let home = now(phone.portal.home().view()).unwrap();
    assert_eq!(home.me.name, "Renée O'Connor-Núñez");
    assert!(home.practice.is_some() && home.clinician.is_some() && home.as_of.is_some());

    let page = now(phone.portal.messages().threads(ThreadFilter::All, 0, 100)).unwrap();
    let mut total = 0;
    for thread in &page.threads {
        let mut before = None;
        loop {
            let view = now(phone.portal.messages().thread(thread.id.clone(), before, 100)).unwrap();
            assert!(view.messages.windows(2).all(|pair| pair[0].n < pair[1].n));
            assert!(view.not_for_emergencies);
            total += view.messages.len();
            before = view.earlier;
            if before.is_none() {
                break;
            }
        }
    }
    assert_eq!(total, 300);
    assert_eq!(home.badge, page.unread);
}

#[test]
fn what_is_written_offline_survives_a_kill_and_arrives_once() {
    let practice = Practice::demo(50);
    let phone = Phone::registered(&practice, 2);
    let thread = now(phone.portal.messages().threads(ThreadFilter::All, 0, 1)).unwrap().threads[0].id.clone();

    practice.set_online(false);
    let id = now(phone.portal.messages().send(thread.clone(), "Sent on a mountain".into())).unwrap();
    assert_eq!(now(phone.portal.sync(None)).unwrap_err().reason(), &Reason::NoConnection);

    let phone = phone.restart();
    assert_eq!(phone.portal.account().session().state, SessionState::Locked);
    now(phone.portal.account().unlock()).unwrap();
    let view = now(phone.portal.messages().thread(thread.clone(), None, 10)).unwrap();
    let mine = view.messages.last().unwrap();
    assert_eq!((mine.id.as_str(), &mine.state), (id.as_str(), &MessageState::Waiting));

    practice.set_online(true);
    let report = now(phone.portal.sync(None)).unwrap();
    assert!(report.complete && report.sent == 1 && report.waiting == 0, "{report:?}");
    let view = now(phone.portal.messages().thread(thread, None, 10)).unwrap();
    let copies: Vec<_> = view.messages.iter().filter(|message| message.id == id).collect();
    assert_eq!(copies.len(), 1);
    assert_eq!(copies[0].state, MessageState::Sent);
    let effects =
        practice.act(|world, _| world.effects().iter().filter(|effect| effect.id.to_string() == id).count());
    assert_eq!(effects, 1);
}

#[test]
fn a_question_to_the_scheduler_starts_a_conversation_that_the_scheduler_answers() {
    let practice = Practice::demo(10);
    let phone = Phone::registered(&practice, 3);
    let recipients = now(phone.portal.messages().recipients()).unwrap();
    let route = Recipient::Route { route: "scheduler".into() };
    assert!(recipients.choices.iter().any(|choice| choice.recipient == route));
    let started = now(phone.portal.messages().start(NewThread {
        recipient: route,
        subject: "A later hour".into(),
        text: "Could we meet at five?".into(),
        draft: None,
    }))
    .unwrap();
    let before = now(phone.portal.messages().thread(started.thread.clone(), None, 10)).unwrap();
    assert_eq!(before.messages.len(), 1);
    now(phone.portal.sync(None)).unwrap();
    let after = now(phone.portal.messages().thread(started.thread.clone(), None, 10)).unwrap();
    assert_eq!(after.messages.len(), 1);
    assert_eq!(after.messages[0].state, MessageState::Sent);
    let scheduler = after.thread.with[0].clone();

    practice.act(|world, at| {
        world
            .reply(scheduler.id.parse().unwrap(), started.thread.parse().unwrap(), "Five is fine.", at)
            .unwrap();
    });
    now(phone.portal.sync(None)).unwrap();
    let view = now(phone.portal.messages().thread(started.thread.clone(), None, 10)).unwrap();
    assert_eq!(view.messages[1].text, "Five is fine.");
    assert_eq!(view.messages[1].author, scheduler);
    assert_eq!(view.thread.unread, 1);
    let unread = now(phone.portal.messages().threads(ThreadFilter::Unread, 0, 100)).unwrap();
    assert!(unread.threads.iter().any(|thread| thread.id == started.thread));
    now(phone.portal.messages().mark_read(started.thread.clone(), 2)).unwrap();
    assert_eq!(now(phone.portal.messages().thread(started.thread, None, 10)).unwrap().thread.unread, 0);
}

#[test]
fn signing_out_and_in_again_through_the_pages_brings_everything_back() {
    let practice = Practice::demo(20);
    let phone = Phone::registered(&practice, 4);
    let before = now(phone.portal.messages().threads(ThreadFilter::All, 0, 100)).unwrap();
    now(phone.portal.account().sign_out(portal_core::account::Unsent::Keep)).unwrap();
    assert_eq!(phone.portal.account().session().state, SessionState::SignedOut);
    assert_eq!(practice.count("POST /oauth/revoke"), 1);
    phone.sign_in("renee@example.org", PASSWORD).unwrap();
    now(phone.portal.sync(None)).unwrap();
    let after = now(phone.portal.messages().threads(ThreadFilter::All, 0, 100)).unwrap();
    assert_eq!(before.threads.len(), after.threads.len());
}
