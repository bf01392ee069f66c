//! Reading what was fetched: everything from the device.

use crate::support::*;
use portal_core::messages::{MessageState, ThreadFilter};
use portal_core::{PortalError, Reason};
use portal_server_mock::demo;
use portal_tests::phone::PASSWORD;

/// Emoji of several code points, Arabic and Hebrew with marks, and marks that combine.
const ODD_TEXTS: [&str; 4] = [
    "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 1️⃣ 🙇‍♀️",
    "كانت لطيفة جدًّا (very kind) — مُوعِدُكَ 10:30",
    "שָׁלוֹם to you, and back: \u{202b}abc\u{202c}",
    "e\u{301} is not é, and Z\u{351}\u{36b}a\u{343}l\u{34f}go",
];

#[tokio::test]
async fn read_pages() {
    let practice = practice(200);
    let phone = Phone::registered(&practice).await;
    let longest = kept(&practice).into_iter().max_by_key(|thread| thread.messages.len()).unwrap();
    assert!(longest.messages.len() > 14, "three pages at least");
    let (mut read, mut before, mut pages) = (Vec::new(), None, 0);
    loop {
        let view = phone.portal.messages().thread(longest.id.to_string(), before, 7).await.unwrap();
        let page: Vec<_> =
            view.messages.into_iter().map(|message| (message.n.unwrap(), message.text)).collect();
        assert!(page.len() <= 7 && !page.is_empty());
        if let Some(before) = before {
            assert_eq!(page.last().unwrap().0 + 1, before, "no gap between two pages");
        }
        read.splice(0..0, page);
        pages += 1;
        before = view.earlier;
        if before.is_none() {
            break;
        }
    }
    let all: Vec<_> = longest.messages.iter().map(|message| (message.n, message.body.clone())).collect();
    assert_eq!(read, all);
    assert_eq!(pages, all.len().div_ceil(7));
}

#[tokio::test]
async fn unread_conversations() {
    let practice = practice(200);
    let phone = Phone::registered(&practice).await;
    let page = phone.portal.messages().threads(ThreadFilter::Unread, 0, 100).await.unwrap();
    let mut listed: Vec<_> = page.threads.iter().map(|thread| (thread.id.clone(), thread.unread)).collect();
    let mut unread: Vec<_> =
        kept(&practice).iter().map(|it| (it.id.to_string(), unread(it))).filter(|(_, n)| *n > 0).collect();
    listed.sort();
    unread.sort();
    assert!(!unread.is_empty() && unread.len() < phone.threads().await.len());
    assert_eq!(listed, unread);
    let sum: u64 = unread.iter().map(|(_, unread)| unread).sum();
    assert_eq!((phone.badge().await, page.unread, page.total as usize), (sum, sum, unread.len()));
}

#[tokio::test]
async fn staff_reply() {
    let practice = practice(200);
    let phone = Phone::registered(&practice).await;
    let last = phone.threads().await.into_iter().rfind(|thread| !thread.closed).unwrap();
    assert_ne!(phone.threads().await[0].id, last.id);
    let badge = phone.badge().await;
    let id = reply(&practice, &last.id, "Your form has arrived.");
    assert!(phone.messages(&last.id).await.iter().all(|message| message.id != id), "not before a sync");
    phone.sync().await;
    let message = phone.shown_once(&last.id, "Your form has arrived.").await;
    assert_eq!((message.id, message.state), (id, MessageState::Received { read: false }));
    assert!(!message.mine);
    let first = phone.threads().await.remove(0);
    assert_eq!((first.id, first.unread), (last.id, last.unread + 1));
    assert_eq!(first.last_text, "Your form has arrived.");
    assert_eq!(phone.badge().await, badge + 1);
}

#[tokio::test]
async fn mark_read() {
    let practice = practice(200);
    let phone = Phone::registered(&practice).await;
    let (badge, unread) = (phone.badge().await, first_unread(&phone).await);
    let newest = phone.messages(&unread.id).await.last().unwrap().n.unwrap();
    // At once: no practice is needed for that.
    phone.outage(&practice).await;
    phone.portal.messages().mark_read(unread.id.clone(), newest).await.unwrap();
    assert_eq!(phone.badge().await, badge - unread.unread);
    practice.resume().unwrap();
    phone.settle().await;
    let mark =
        kept(&practice).into_iter().find(|thread| thread.id.to_string() == unread.id).unwrap().read_upto;
    assert_eq!(mark, newest);
    assert_eq!(phone.badge().await, badge - unread.unread);
}

async fn first_unread(phone: &Phone) -> portal_core::messages::ThreadSummary {
    let page = phone.portal.messages().threads(ThreadFilter::Unread, 0, 1).await.unwrap();
    page.threads.into_iter().next().expect("something is unread")
}

#[tokio::test]
async fn read_marks_across_two_installs() {
    let practice = practice(200);
    let (one, other) = (Phone::registered(&practice).await, Phone::new(&practice).await);
    other.sign_in(&practice, demo::INVITED_EMAIL, PASSWORD).await;
    other.sync().await;
    let (badge, unread) = (other.badge().await, first_unread(&other).await);
    let newest = one.messages(&unread.id).await.last().unwrap().n.unwrap();
    one.portal.messages().mark_read(unread.id.clone(), newest).await.unwrap();
    one.settle().await;
    assert_eq!(other.badge().await, badge, "not before a sync");
    other.sync().await;
    assert_eq!(other.badge().await, badge - unread.unread);
    let thread = other.threads().await.into_iter().find(|thread| thread.id == unread.id).unwrap();
    assert_eq!(thread.unread, 0);
    let unread_there = |message: &portal_core::messages::MessageView| {
        message.state == MessageState::Received { read: false }
    };
    assert!(!other.messages(&unread.id).await.iter().any(unread_there));
}

#[tokio::test]
async fn search_in_three_scripts() {
    let practice = practice(60);
    let phone = Phone::registered(&practice).await;
    let thread = phone.open_thread().await;
    let written = [
        ("Où est le café à Zürich, Żółć?", ["café", "cafe", "ZURICH", "żołć"]),
        ("Следующая встреча во вторник", ["встреча", "ВСТРЕЧА", "втор", "следующая вторник"]),
        ("次の予約は火曜日です。リラックス", ["予約", "火曜日", "リラ", "です"]),
    ];
    for (text, _) in written {
        reply(&practice, &thread, text);
    }
    phone.sync().await;
    for (text, words) in written {
        for word in words {
            let hits = phone.portal.messages().search(word.into(), 100).await.unwrap();
            let found = hits.iter().filter(|hit| hit.message.text == text && hit.thread == thread).count();
            assert_eq!(found, 1, "{word} in {text}");
        }
    }
    for (word, text) in [("zürcher", written[0].0), ("среда", written[1].0), ("水曜日", written[2].0)]
    {
        let hits = phone.portal.messages().search(word.into(), 100).await.unwrap();
        assert!(!hits.iter().any(|hit| hit.message.text == text), "{word} not in {text}");
    }
}

#[tokio::test]
async fn print() {
    let practice = practice(200);
    let phone = Phone::registered(&practice).await;
    let longest = kept(&practice).into_iter().max_by_key(|thread| thread.messages.len()).unwrap();
    let printed = phone.portal.messages().print(longest.id.to_string()).await.unwrap();
    assert_eq!(printed.title, longest.subject);
    let mut rest = printed.text.as_str();
    for message in &longest.messages {
        let at = rest.find(&message.body).expect("every message, in order");
        let (before, after) = rest.split_at(at);
        // The line before a text has the time, whose zone is named, and who wrote it.
        let head = before.trim_end().lines().last().unwrap();
        assert!(head.contains("(America/New_York)") && head.contains(" E"), "{head}");
        rest = &after[message.body.len()..];
    }
    assert!(!printed.text.contains('<'), "plain text");
}

#[tokio::test]
async fn withdrawn_conversation() {
    let practice = practice(200);
    let phone = Phone::registered(&practice).await;
    let thread = phone.open_thread().await;
    reply(&practice, &thread, "Quetzalcoatl");
    phone.sync().await;
    let found = async || phone.portal.messages().search("Quetzalcoatl".into(), 10).await.unwrap().len();
    let (before, had) = (phone.threads().await.len(), found().await);
    act(&practice, |world, now| world.withdraw_thread(thread.parse().unwrap(), now).unwrap());
    phone.sync().await;
    assert_eq!(phone.threads().await.len(), before - 1);
    assert!(phone.threads().await.iter().all(|listed| listed.id != thread));
    let gone = phone.portal.messages().thread(thread, None, 10).await.unwrap_err();
    assert_eq!(gone, PortalError::NotFound { reason: Reason::ThreadUnknown });
    assert_eq!((had, found().await), (1, 0));
    assert_eq!(phone.badge().await, kept(&practice).iter().map(unread).sum::<u64>());
}

#[tokio::test]
async fn crisis_card() {
    let practice = practice(60);
    practice.pause().unwrap();
    // Never reached the practice: the national line, at least.
    let phone = Phone::new(&practice).await;
    let numbers =
        |phone: &Phone| phone.portal.home().crisis_card().lines.into_iter().map(|line| line.number).collect();
    let card: Vec<String> = numbers(&phone);
    assert!(card.contains(&"988".to_owned()), "{card:?}");
    practice.resume().unwrap();
    phone.portal.account().register(registration(&practice)).await.unwrap();
    phone.sync().await;
    practice.pause().unwrap();
    phone.portal.account().lock().await.unwrap();
    let ours = ["988", "+1-518-555-0199", "911"].map(str::to_owned);
    assert_eq!(numbers(&phone), ours, "locked and offline");
    // After a restart too, and when nobody is signed in any more.
    let phone = phone.restart(&practice).await;
    assert_eq!(numbers(&phone), ours);
    phone.portal.account().wipe().await.unwrap();
    assert_eq!(numbers(&phone), ours, "signed out and offline");
    assert!(!phone.portal.home().crisis_card().phones.is_empty());
}

#[tokio::test]
async fn emoji_and_right_to_left() {
    let practice = practice(60);
    let phone = Phone::registered(&practice).await;
    let thread = phone.open_thread().await;
    for text in ODD_TEXTS {
        phone.send(&thread, text).await;
        phone.sent(&thread, text).await;
        assert_eq!(arrived(&practice, text), 1);
    }
    phone.settle().await;
    // Another phone has it from the practice alone.
    let other = Phone::new(&practice).await;
    other.sign_in(&practice, demo::INVITED_EMAIL, PASSWORD).await;
    other.sync().await;
    for text in ODD_TEXTS {
        assert_eq!(other.shown_once(&thread, text).await.state, MessageState::Sent);
    }
}
