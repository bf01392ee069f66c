//! Writing to the practice: what is written arrives once, whatever happens.

use crate::lab::child::{CHILD, Remote, serve_parent};
use crate::support::*;
use portal_core::messages::{MessageState, NewThread, Recipient};
use portal_core::outbox::{OutboxKind, OutboxState};
use portal_core::{PortalError, Reason};
use portal_server_mock::world::{AuthorKind, Faults};
use std::future::Future;
use std::task::{Context, Waker};

/// What is not sent yet: saved, or just on its way.
fn unsent(state: &MessageState) -> bool {
    matches!(state, MessageState::Waiting | MessageState::Sending)
}

#[tokio::test]
async fn send() {
    let practice = practice(60);
    let phone = Phone::registered(&practice).await;
    let thread = phone.open_thread().await;
    let busy = Busy::with(&practice);
    let id = phone.send(&thread, "See you on Thursday").await;
    let shown = phone.shown_once(&thread, "See you on Thursday").await;
    assert!(shown.id == id && shown.mine && shown.n.is_none() && unsent(&shown.state), "{:?}", shown.state);
    assert_eq!(phone.threads().await[0].last_text, "See you on Thursday");
    assert_eq!(phone.portal.home().view().await.unwrap().waiting, 1);
    drop(busy);
    // It shows once at every look, and leaves by itself.
    let shown = phone.sent(&thread, "See you on Thursday").await;
    assert_eq!(shown.id, id);
    phone.settle().await;
    assert_eq!((effects(&practice, &id), arrived(&practice, "See you on Thursday")), (1, 1));
    assert_eq!(phone.outbox().await, Vec::new());
}

#[tokio::test]
async fn send_offline() {
    let practice = practice(60);
    let phone = Phone::registered(&practice).await;
    let thread = phone.open_thread().await;
    phone.outage(&practice).await;
    let id = phone.send(&thread, "From the tunnel").await;
    assert_eq!(phone.sync_fails().await, offline(Reason::NoConnection));
    let shown = phone.shown_once(&thread, "From the tunnel").await;
    assert!(shown.id == id && unsent(&shown.state), "{:?}", shown.state);
    assert_eq!((phone.outbox().await.len(), arrived(&practice, "From the tunnel")), (1, 0));
    practice.resume().unwrap();
    phone.sent(&thread, "From the tunnel").await;
    phone.settle().await;
    assert_eq!((effects(&practice, &id), arrived(&practice, "From the tunnel")), (1, 1));
    assert_eq!(phone.outbox().await, Vec::new());
}

#[tokio::test]
async fn send_offline_and_be_killed() {
    if std::env::var_os(CHILD).is_some() {
        // This process is the one that writes and is killed. It has a runtime of its own.
        return std::thread::spawn(serve_parent).join().unwrap();
    }
    let practice = practice(60);
    let mut remote = Remote::start("writing::send_offline_and_be_killed", &practice);
    let typed = registration(&practice);
    let words = [&typed.invitation_link, &typed.last_name, &typed.date_of_birth, &typed.password];
    let words: Vec<&str> = std::iter::once("register").chain(words.map(String::as_str)).collect();
    remote.ask(&words).unwrap();
    assert_eq!(remote.ask(&["sync"]).unwrap(), true);
    practice.pause().unwrap();
    remote.ask(&["sync"]).unwrap_err();
    let thread = kept(&practice).into_iter().find(|thread| !thread.closed).unwrap().id.to_string();
    let id = remote.ask(&["send_to", &thread, "Written by the dead"]).unwrap();
    let (id, process) = (id.as_str().unwrap().to_owned(), remote.id());
    let place = std::mem::take(&mut remote.place);
    // SIGKILL, and waits until it is gone.
    drop(remote);
    assert!(!std::path::Path::new(&format!("/proc/{process}")).exists());

    let phone = Phone::at(place, &practice).await;
    phone.portal.account().unlock().await.unwrap();
    let shown = phone.shown_once(&thread, "Written by the dead").await;
    assert!(shown.id == id && unsent(&shown.state), "{:?}", shown.state);
    practice.resume().unwrap();
    phone.settle().await;
    phone.sent(&thread, "Written by the dead").await;
    assert_eq!((effects(&practice, &id), arrived(&practice, "Written by the dead")), (1, 1));
    assert_eq!(phone.outbox().await, Vec::new());
}

#[tokio::test]
async fn lost_answer() {
    let practice = practice(60);
    let phone = Phone::registered(&practice).await;
    let thread = phone.open_thread().await;
    faults(&practice, Faults { drop_after: 1.0, ..Faults::default() });
    let id = phone.send(&thread, "Did it arrive?").await;
    within("the practice does it", async || (effects(&practice, &id) == 1).then_some(())).await;
    within("the answer is lost", async || {
        assert!(unsent(&phone.shown_once(&thread, "Did it arrive?").await.state), "nobody can know");
        let entry = phone.outbox().await.remove(0);
        (entry.attempts > 1 && entry.state == OutboxState::Sending).then_some(())
    })
    .await;
    faults(&practice, Faults::default());
    phone.sent(&thread, "Did it arrive?").await;
    phone.settle().await;
    assert_eq!((effects(&practice, &id), arrived(&practice, "Did it arrive?")), (1, 1));
    phone.shown_once(&thread, "Did it arrive?").await;
    assert_eq!(phone.outbox().await, Vec::new());
}

#[tokio::test]
async fn caller_goes_away() {
    let practice = practice(60);
    let phone = Phone::registered(&practice).await;
    let (thread, messages) = (phone.open_thread().await, phone.portal.messages());
    phone.outage(&practice).await;
    // Cancelled after so many looks at it; before the first one nothing has begun.
    for looks in 0..4 {
        let mut send = Box::pin(messages.send(thread.clone(), format!("After {looks} looks")));
        for _ in 0..looks {
            if send.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                break;
            }
        }
        drop(send);
    }
    // A task, cancelled once it runs.
    let (to, sender) = (thread.clone(), messages.clone());
    let task = tokio::spawn(async move { sender.send(to, "From a task".into()).await });
    tokio::task::yield_now().await;
    task.abort();
    let _ = task.await;
    let begun = ["After 1 looks", "After 2 looks", "After 3 looks", "From a task"];
    within("all that were begun are kept", async || {
        let entries = phone.outbox().await;
        begun.iter().all(|text| entries.iter().any(|entry| entry.text == *text)).then_some(())
    })
    .await;
    for text in begun {
        phone.shown_once(&thread, text).await;
    }
    practice.resume().unwrap();
    phone.settle().await;
    for text in begun {
        phone.sent(&thread, text).await;
        assert_eq!(arrived(&practice, text), 1, "{text}");
    }
    assert!(phone.messages(&thread).await.iter().all(|message| message.text != "After 0 looks"));
    assert_eq!(arrived(&practice, "After 0 looks"), 0);
}

#[tokio::test]
async fn start_a_conversation() {
    let practice = practice(60);
    let phone = Phone::registered(&practice).await;
    let recipients = phone.portal.messages().recipients().await.unwrap();
    assert!(recipients.start.possible);
    let route = Recipient::Route { route: "scheduler".into() };
    let choice = recipients.choices.iter().find(|choice| choice.recipient == route).unwrap();
    assert!(choice.writable.possible);
    let (subject, text) = ("A later hour".to_owned(), "Could we meet at five?".to_owned());
    let new = NewThread { recipient: route, subject, text, draft: None };
    let started = phone.portal.messages().start(new).await.unwrap();
    assert_eq!(phone.shown_once(&started.thread, "Could we meet at five?").await.id, started.message);
    assert_eq!(phone.threads().await[0].id, started.thread);
    phone.settle().await;
    let there = kept(&practice).into_iter().find(|thread| thread.id.to_string() == started.thread).unwrap();
    assert_eq!((there.subject.as_str(), there.messages.len()), ("A later hour", 1));
    assert_eq!(there.created_by.kind, AuthorKind::Client);
    let grace = staff(&practice, "Grace Kim");
    assert_eq!(there.participants, [grace], "whoever keeps the calendar");
    act(&practice, |world, now| world.reply(grace, there.id, "Yes, at five.", now).unwrap());
    phone.sync().await;
    let texts: Vec<_> =
        phone.messages(&started.thread).await.into_iter().map(|message| message.text).collect();
    assert_eq!(texts, ["Could we meet at five?", "Yes, at five."]);
}

#[tokio::test]
async fn empty_text() {
    let practice = practice(60);
    let phone = Phone::registered(&practice).await;
    let (thread, messages) = (phone.open_thread().await, phone.portal.messages());
    let before = phone.shown().await;
    for text in ["", " \n\t"] {
        let error = messages.send(thread.clone(), text.into()).await.unwrap_err();
        assert_eq!(error, refused(Reason::BodyEmpty, Some("text")));
    }
    assert_eq!(phone.shown().await, before);
}

#[tokio::test]
async fn too_long_text() {
    let practice = practice(60);
    let phone = Phone::registered(&practice).await;
    let (thread, messages) = (phone.open_thread().await, phone.portal.messages());
    let most = messages.thread(thread.clone(), None, 1).await.unwrap().message_max_chars as usize;
    assert_eq!(most, act(&practice, |world, _| world.practice().policy.message_max_chars) as usize);
    // Characters and not bytes: this one has four.
    let (longest, longer) = ("🙂".repeat(most), "🙂".repeat(most + 1));
    let error = messages.send(thread.clone(), longer).await.unwrap_err();
    assert_eq!(error, refused(Reason::BodyTooLong, Some("text")));
    assert_eq!(phone.outbox().await, Vec::new());
    phone.send(&thread, &longest).await;
    phone.sent(&thread, &longest).await;
    assert_eq!(arrived(&practice, &longest), 1);
}

#[tokio::test]
async fn closed_conversation() {
    let practice = practice(60);
    let phone = Phone::registered(&practice).await;
    let (thread, messages) = (phone.open_thread().await, phone.portal.messages());
    act(&practice, |world, _| world.close_thread(thread.parse().unwrap()).unwrap());
    phone.sync().await;
    let view = messages.thread(thread.clone(), None, 1).await.unwrap();
    assert_eq!((view.reply.possible, view.reply.reason), (false, Some(Reason::ThreadClosed)));
    let error = messages.send(thread.clone(), "Too late".into()).await.unwrap_err();
    assert_eq!(error, refused(Reason::ThreadClosed, None));
    assert!(phone.messages(&thread).await.iter().all(|message| message.text != "Too late"));
    assert_eq!(phone.outbox().await, Vec::new());
}

#[tokio::test]
async fn draft_survives_a_restart() {
    let practice = practice(60);
    let phone = Phone::registered(&practice).await;
    let thread = phone.open_thread().await;
    phone.draft(&thread, "What I wanted to s").await;
    let phone = phone.restart(&practice).await;
    phone.portal.account().unlock().await.unwrap();
    let messages = phone.portal.messages();
    let draft = async || messages.thread(thread.clone(), None, 1).await.unwrap().draft;
    assert_eq!(draft().await.as_deref(), Some("What I wanted to s"));
    let drafts = messages.drafts().await.unwrap();
    assert_eq!((drafts.len(), drafts[0].draft.text.as_str()), (1, "What I wanted to s"));
    phone.send(&thread, "What I wanted to say").await;
    assert_eq!((draft().await, messages.drafts().await.unwrap()), (None, Vec::new()));
    phone.sent(&thread, "What I wanted to say").await;
    assert_eq!((draft().await, messages.drafts().await.unwrap()), (None, Vec::new()));
}

/// A reply to a conversation that was closed meanwhile, once the practice has refused it; its entry.
async fn closed_meanwhile(practice: &portal_server_mock::serve::Running, phone: &Phone) -> (String, String) {
    let thread = phone.open_thread().await;
    phone.outage(practice).await;
    phone.send(&thread, "Just one more thing").await;
    act(practice, |world, _| world.close_thread(thread.parse().unwrap()).unwrap());
    practice.resume().unwrap();
    (thread.clone(), refused_entry(phone, &thread).await)
}

/// Waits until the practice has said that the conversation is closed; gives the entry.
async fn refused_entry(phone: &Phone, thread: &str) -> String {
    let entry = within("the practice refuses it", async || {
        let entry = phone.outbox().await.into_iter().next().expect("nothing that was written is lost");
        matches!(entry.state, OutboxState::Refused { .. }).then_some(entry)
    })
    .await;
    assert_eq!((entry.kind, entry.text.as_str()), (OutboxKind::Message, "Just one more thing"));
    // The input that is to blame is the conversation.
    let field = Some("thread".to_owned());
    assert_eq!(entry.state, OutboxState::Refused { reason: Reason::ThreadClosed, field: field.clone() });
    assert!(entry.change.possible);
    let shown = phone.shown_once(thread, "Just one more thing").await;
    assert_eq!(shown.state, MessageState::Refused { reason: Reason::ThreadClosed, field });
    assert_eq!(phone.portal.home().view().await.unwrap().refused, 1);
    entry.id
}

#[tokio::test]
async fn outbox_retry() {
    let practice = practice(60);
    let phone = Phone::registered(&practice).await;
    let (thread, entry) = closed_meanwhile(&practice, &phone).await;
    assert_eq!(phone.settle().await.refused, 1);
    let busy = Busy::with(&practice);
    phone.portal.outbox().retry(entry).await.unwrap();
    assert!(unsent(&phone.shown_once(&thread, "Just one more thing").await.state), "it is tried again");
    drop(busy);
    // The practice is asked again, and still says no.
    refused_entry(&phone, &thread).await;
    assert_eq!(arrived(&practice, "Just one more thing"), 0);
}

#[tokio::test]
async fn outbox_edit() {
    let practice = practice(60);
    let phone = Phone::registered(&practice).await;
    let thread = phone.open_thread().await;
    phone.outage(&practice).await;
    let id = phone.send(&thread, "On Thuesday").await;
    when_it_waits(&phone, "On Thuesday", async |entry| {
        phone.portal.outbox().edit(entry, "On Thursday".into()).await
    })
    .await;
    assert_eq!(phone.shown_once(&thread, "On Thursday").await.id, id);
    assert!(phone.messages(&thread).await.iter().all(|message| message.text != "On Thuesday"));
    practice.resume().unwrap();
    phone.settle().await;
    phone.sent(&thread, "On Thursday").await;
    assert_eq!((arrived(&practice, "On Thursday"), arrived(&practice, "On Thuesday")), (1, 0));
    assert_eq!(effects(&practice, &id), 1);
}

#[tokio::test]
async fn outbox_discard() {
    let practice = practice(60);
    let phone = Phone::registered(&practice).await;
    let thread = phone.open_thread().await;
    phone.outage(&practice).await;
    phone.send(&thread, "Better not").await;
    when_it_waits(&phone, "Better not", async |entry| phone.portal.outbox().discard(entry).await).await;
    assert!(phone.messages(&thread).await.iter().all(|message| message.text != "Better not"));
    assert_eq!(phone.outbox().await, Vec::new());
    practice.resume().unwrap();
    // Whatever was to leave before the next one would have left.
    phone.send(&thread, "The next one").await;
    phone.sent(&thread, "The next one").await;
    phone.settle().await;
    assert_eq!((arrived(&practice, "Better not"), arrived(&practice, "The next one")), (0, 1));
}

/// Changes an entry in a moment in which nobody tries to send it.
async fn when_it_waits(phone: &Phone, text: &str, change: impl AsyncFn(String) -> Result<(), PortalError>) {
    within("it is changed", async || match change(phone.changeable(text).await).await {
        Ok(()) => Some(()),
        // The background tries again and again, and had just begun.
        Err(PortalError::Refused { reason: Reason::OnItsWay, .. }) => None,
        Err(error) => panic!("{error}"),
    })
    .await;
}
