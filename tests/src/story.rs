//! What the stories of `tests/` say again and again: reading what a phone shows, acting as staff,
//! and answers that a practice would not give.

#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use crate::phone::{Phone, now};
use crate::practice::Practice;
use portal_core::messages::{MessageState, MessageView, ThreadFilter, ThreadSummary, ThreadView};
use portal_core::outbox::OutboxEntry;
use portal_core::sync::SyncReport;
use portal_core::{PortalError, Reason};
use portal_server_mock::demo;
use serde_json::Value;
use uuid::Uuid;

/// All conversations that the phone lists.
pub fn threads(phone: &Phone) -> Vec<ThreadSummary> {
    let page = now(phone.portal.messages().threads(ThreadFilter::All, 0, 100)).expect("a list");
    page.threads
}

/// The ids of the conversations that take replies.
pub fn open_threads(phone: &Phone) -> Vec<String> {
    threads(phone).into_iter().filter(|thread| !thread.closed).map(|thread| thread.id).collect()
}

/// The newest conversation that takes replies.
pub fn open_thread(phone: &Phone) -> String {
    open_threads(phone).into_iter().next().expect("an open conversation")
}

/// The newest page of one conversation.
pub fn thread(phone: &Phone, id: &str) -> ThreadView {
    now(phone.portal.messages().thread(id.to_owned(), None, 100)).expect("a conversation")
}

/// The message that the conversation shows with this text.
///
/// # Panics
/// When it shows none, or more than one (I10).
pub fn shown_once(phone: &Phone, thread: &str, text: &str) -> MessageView {
    let mut found = self::thread(phone, thread).messages;
    found.retain(|message| message.text == text);
    assert_eq!(found.len(), 1, "shown once: {text}");
    found.pop().expect("one")
}

/// Where the message with this text stands.
pub fn state(phone: &Phone, thread: &str, text: &str) -> MessageState {
    shown_once(phone, thread, text).state
}

/// Writes a reply.
pub fn send(phone: &Phone, thread: &str, text: &str) -> String {
    now(phone.portal.messages().send(thread.to_owned(), text.to_owned())).expect("queued")
}

/// Syncs.
pub fn sync(phone: &Phone) -> Result<SyncReport, PortalError> {
    now(phone.portal.sync(None))
}

/// Syncs, and gives why that did not work.
pub fn sync_fails(phone: &Phone) -> PortalError {
    sync(phone).expect_err("does not sync")
}

/// Syncs until nothing is left, however often it takes; time passes in between.
///
/// # Panics
/// When it does not come to rest.
pub fn settle(phone: &Phone) -> SyncReport {
    for _ in 0..50 {
        phone.portal.account().touch();
        match sync(phone) {
            Ok(report) if report.complete => return report,
            Ok(_) | Err(PortalError::Offline { .. }) => {
                phone.practice.clock.advance(std::time::Duration::from_secs(61));
            }
            Err(error) => panic!("{error}"),
        }
    }
    panic!("it does not come to rest");
}

/// Everything that the phone shows, for comparing one moment with another.
pub fn shows(phone: &Phone) -> Value {
    let home = now(phone.portal.home().view()).expect("home");
    let listed = now(phone.portal.messages().threads(ThreadFilter::All, 0, 100)).expect("a list");
    let read: Vec<ThreadView> = listed.threads.iter().map(|listed| thread(phone, &listed.id)).collect();
    let drafts = now(phone.portal.messages().drafts()).expect("drafts");
    serde_json::json!({"home": home, "threads": listed, "read": read, "outbox": outbox(phone), "drafts": drafts})
}

/// What the outbox lists.
pub fn outbox(phone: &Phone) -> Vec<OutboxEntry> {
    now(phone.portal.outbox().entries()).expect("a list")
}

/// The one entry of the outbox.
///
/// # Panics
/// When there is none or more than one.
pub fn entry(phone: &Phone) -> OutboxEntry {
    let mut entries = outbox(phone);
    assert_eq!(entries.len(), 1);
    entries.pop().expect("one")
}

/// The chart of the demo's main client.
pub fn client(practice: &Practice) -> Uuid {
    practice.act(|world, _| {
        let found = world.clients().find(|client| client.email == demo::INVITED_EMAIL);
        found.expect("the main client").id
    })
}

/// A member of staff, by the beginning of the name.
pub fn staff(practice: &Practice, name: &str) -> Uuid {
    practice.act(|world, _| {
        let found = world.all_staff().find(|staff| staff.name.starts_with(name));
        found.expect("a member of staff").id
    })
}

/// Staff write a reply.
pub fn reply(practice: &Practice, thread: &str, text: &str) -> Uuid {
    let author = staff(practice, "Dr. Amara");
    practice.act(|world, at| world.reply(author, id(thread), text, at).expect("a reply"))
}

/// The texts of a conversation as the practice has them, in its order.
pub fn practice_has(practice: &Practice, thread: &str) -> Vec<String> {
    practice.act(|world, _| {
        let found = world.thread(id(thread));
        found.map(|found| found.messages.iter().map(|m| m.body.clone()).collect()).unwrap_or_default()
    })
}

/// How often the practice got this text, anywhere.
pub fn arrived(practice: &Practice, text: &str) -> usize {
    let client = client(practice);
    practice.act(|world, _| {
        world.threads_of(client).flat_map(|thread| &thread.messages).filter(|m| m.body == text).count()
    })
}

/// An id of the wire.
pub fn id(text: &str) -> Uuid {
    text.parse().expect("an id")
}

/// An answer in JSON.
pub fn json(status: u16, body: &Value) -> http::Response<Vec<u8>> {
    answer(status, "application/json", body.to_string().into_bytes())
}

/// A problem document of the practice.
pub fn problem(status: u16, code: &str) -> http::Response<Vec<u8>> {
    let body =
        serde_json::json!({"type":"about:blank","title":"","status":status,"code":code,"retryable":false});
    answer(status, "application/problem+json", body.to_string().into_bytes())
}

/// The same, which asks to wait.
pub fn busy(status: u16, seconds: u64) -> http::Response<Vec<u8>> {
    let mut response = problem(status, "unavailable");
    response.headers_mut().insert("retry-after", http::HeaderValue::from(seconds));
    response
}

/// Any answer.
pub fn answer(status: u16, kind: &str, body: Vec<u8>) -> http::Response<Vec<u8>> {
    http::Response::builder().status(status).header("content-type", kind).body(body).expect("an answer")
}

/// The answer with its JSON changed.
pub fn edited(
    mut response: http::Response<Vec<u8>>,
    edit: impl FnOnce(&mut Value),
) -> http::Response<Vec<u8>> {
    let mut body: Value = serde_json::from_slice(response.body()).expect("JSON");
    edit(&mut body);
    *response.body_mut() = body.to_string().into_bytes();
    response
}

/// The reason of an error, which must be of the kind that tells that nothing was lost.
///
/// # Panics
/// When it is of another kind.
pub fn offline(error: PortalError) -> Reason {
    match error {
        PortalError::Offline { reason } => reason,
        other => panic!("{other}"),
    }
}
