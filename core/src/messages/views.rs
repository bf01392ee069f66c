//! What a screen of messages draws: one question, one answer with everything in it.

use super::ops::{Overlay, PendingMessage, To};
use super::rows::{self, MessageRow, ThreadRow};
use super::state;
use super::{
    Draft, DraftView, MessageHit, MessageState, MessageView, Printable, Recipient, RecipientChoice,
    Recipients, ThreadFilter, ThreadPage, ThreadSummary, ThreadView,
};
use crate::error::{PortalError, Reason};
use crate::people::rows::{People, policy, practice, staff, zone};
use crate::people::{Availability, Person};
use crate::proof::planted;
use crate::sync::feed;
use crate::values::{Id, Millis, When, Zone};
use chrono::{DateTime, Utc};
use rusqlite::Connection;
use std::time::SystemTime;

/// The part of a text that a list shows, in characters.
const SNIPPET: usize = 120;

pub(crate) fn as_of(c: &Connection) -> Result<Option<SystemTime>, PortalError> {
    Ok(feed::as_of(c)?.map(Millis::system_time))
}

/// Unread messages, as a function of the base and the marks asked for (R13).
pub(crate) fn badge(c: &Connection) -> Result<u64, PortalError> {
    let overlay = Overlay::read(c)?;
    rows::threads(c)?.iter().map(|thread| unread(c, thread, &overlay)).sum()
}

fn unread(c: &Connection, thread: &ThreadRow, overlay: &Overlay) -> Result<u64, PortalError> {
    match overlay.marks.get(&thread.id) {
        Some(mark) if *mark > thread.upto => rows::unread(c, thread.id, *mark),
        _ => Ok(thread.unread),
    }
}

/// The client's own messages that the base lacks, of one conversation.
fn pending<'a>(
    c: &Connection,
    overlay: &'a Overlay,
    thread: Id,
) -> Result<Vec<&'a PendingMessage>, PortalError> {
    let mut pending = Vec::new();
    for message in overlay.messages.iter().filter(|message| message.thread == thread) {
        if planted!(OwnWriteTwice) || !rows::has_message(c, message.id)? {
            pending.push(message);
        }
    }
    Ok(pending)
}

struct Listed {
    at: i64,
    summary: ThreadSummary,
}

pub(super) fn threads(
    c: &Connection,
    filter: ThreadFilter,
    offset: u32,
    limit: u32,
) -> Result<ThreadPage, PortalError> {
    let (people, overlay) = (People::read(c)?, Overlay::read(c)?);
    let mut listed = Vec::new();
    let mut unread_total = 0;
    let base = rows::threads(c)?;
    for thread in &base {
        let unread = unread(c, thread, &overlay)?;
        unread_total += unread;
        if filter == ThreadFilter::All || unread > 0 {
            listed.push(summary(c, thread, unread, &people, &overlay)?);
        }
    }
    if filter == ThreadFilter::All {
        for thread in overlay.threads.iter().filter(|thread| !base.iter().any(|known| known.id == thread.id))
        {
            listed.push(pending_summary(c, thread.id, &thread.subject, &thread.to, &people, &overlay)?);
        }
    }
    listed.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| b.summary.id.cmp(&a.summary.id)));
    let total = u32::try_from(listed.len()).unwrap_or(u32::MAX);
    let threads =
        listed.into_iter().skip(offset as usize).take(limit as usize).map(|listed| listed.summary).collect();
    let start = Availability::of(state::start(&people.policy));
    Ok(ThreadPage { threads, total, unread: unread_total, start, as_of: as_of(c)? })
}

fn summary(
    c: &Connection,
    thread: &ThreadRow,
    unread: u64,
    people: &People<'_>,
    overlay: &Overlay,
) -> Result<Listed, PortalError> {
    let pending = pending(c, overlay, thread.id)?;
    let newest = pending.last();
    let base = thread.last.as_ref();
    let at =
        newest.map(|m| m.at).into_iter().chain(base.map(|m| m.sent_at)).max().unwrap_or(thread.created_at);
    let text = newest
        .map(|m| m.body.expose().as_str())
        .or(base.map(|m| m.text.expose().as_str()))
        .unwrap_or_default();
    Ok(Listed {
        at: at.0,
        summary: ThreadSummary {
            id: thread.id.to_string(),
            subject: thread.record.subject.clone(),
            with: thread.record.participants.iter().map(|id| people.get(id)).collect::<Result<_, _>>()?,
            last_at: When::new(at, &people.zone),
            last_text: snippet(text),
            last_mine: newest.is_some() || base.is_some_and(|message| message.mine),
            unread,
            pending: count(&pending, |state| !matches!(state, MessageState::Refused { .. })),
            refused: count(&pending, |state| matches!(state, MessageState::Refused { .. })),
            closed: thread.record.closed,
        },
    })
}

fn pending_summary(
    c: &Connection,
    id: Id,
    subject: &str,
    to: &To,
    people: &People<'_>,
    overlay: &Overlay,
) -> Result<Listed, PortalError> {
    let pending = pending(c, overlay, id)?;
    let newest = pending.last();
    let at = newest.map(|message| message.at).unwrap_or_default();
    Ok(Listed {
        at: at.0,
        summary: ThreadSummary {
            id: id.to_string(),
            subject: subject.to_owned(),
            with: with(to, people)?,
            last_at: When::new(at, &people.zone),
            last_text: snippet(newest.map(|message| message.body.expose().as_str()).unwrap_or_default()),
            last_mine: true,
            unread: 0,
            pending: count(&pending, |state| !matches!(state, MessageState::Refused { .. })),
            refused: count(&pending, |state| matches!(state, MessageState::Refused { .. })),
            closed: false,
        },
    })
}

fn with(to: &To, people: &People<'_>) -> Result<Vec<Person>, PortalError> {
    match to {
        To::Staff(id) => Ok(vec![people.get(id)?]),
        // Who is behind a route is the server's to say.
        To::Route(_) => Ok(Vec::new()),
    }
}

fn count(pending: &[&PendingMessage], which: fn(&MessageState) -> bool) -> u32 {
    u32::try_from(pending.iter().filter(|message| which(&message.state)).count()).unwrap_or(u32::MAX)
}

fn snippet(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SNIPPET + 1).collect();
    match line.char_indices().nth(SNIPPET) {
        Some((end, _)) => line.get(..end).map(|start| format!("{start}…")).unwrap_or_default(),
        None => line,
    }
}

/// Whether a conversation takes no more messages. One that only the outbox has is open.
pub(super) fn closed(c: &Connection, id: Id) -> Result<bool, PortalError> {
    match rows::thread(c, id)? {
        Some(thread) => Ok(thread.record.closed),
        None if Overlay::of_thread(c, id)?.threads.iter().any(|thread| thread.id == id) => Ok(false),
        None => Err(PortalError::not_found(Reason::ThreadUnknown)),
    }
}

pub(super) fn thread(
    c: &Connection,
    id: Id,
    before: Option<u64>,
    limit: u32,
) -> Result<ThreadView, PortalError> {
    let (people, overlay) = (People::read(c)?, Overlay::of_thread(c, id)?);
    let base = rows::thread(c, id)?;
    let listed = match (&base, overlay.threads.iter().find(|thread| thread.id == id)) {
        (Some(thread), _) => summary(c, thread, unread(c, thread, &overlay)?, &people, &overlay)?,
        (None, Some(thread)) => pending_summary(c, id, &thread.subject, &thread.to, &people, &overlay)?,
        (None, None) => return Err(PortalError::not_found(Reason::ThreadUnknown)),
    };
    let mark =
        base.as_ref().map_or(0, |thread| thread.upto).max(overlay.marks.get(&id).copied().unwrap_or(0));
    let below = before.and_then(|n| i64::try_from(n).ok()).unwrap_or(i64::MAX);
    // One more than asked for tells whether there is a page before: places have gaps.
    let mut found = rows::messages(c, id, below, limit.saturating_add(1))?;
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let earlier = found.last().filter(|_| more).map(|oldest| oldest.n.unsigned_abs());
    let mut messages: Vec<MessageView> =
        found.into_iter().rev().map(|row| received(row, mark, &people)).collect::<Result<_, _>>()?;
    if before.is_none() {
        messages.extend(pending(c, &overlay, id)?.into_iter().map(|message| waiting(message, &people)));
    }
    Ok(ThreadView {
        reply: Availability::of(state::reply(listed.summary.closed)),
        thread: listed.summary,
        messages,
        earlier,
        draft: rows::draft_body(c, &super::reply_draft(id))?,
        message_max_chars: u32::try_from(people.policy.message_max_chars).unwrap_or(u32::MAX),
        not_for_emergencies: true,
        as_of: as_of(c)?,
    })
}

fn received(row: MessageRow, mark: i64, people: &People<'_>) -> Result<MessageView, PortalError> {
    Ok(MessageView {
        id: row.id.to_string(),
        n: Some(row.n.unsigned_abs()),
        author: if row.mine { people.me.clone() } else { people.get(&row.author)? },
        mine: row.mine,
        text: row.text.into_inner(),
        at: When::new(row.sent_at, &people.zone),
        state: if row.mine { MessageState::Sent } else { MessageState::Received { read: row.n <= mark } },
        entry: None,
    })
}

fn waiting(message: &PendingMessage, people: &People<'_>) -> MessageView {
    MessageView {
        id: message.id.to_string(),
        n: None,
        author: people.me.clone(),
        mine: true,
        text: message.body.expose().clone(),
        at: When::new(message.at, &people.zone),
        state: message.state.clone(),
        entry: Some(message.entry.to_string()),
    }
}

pub(super) fn recipients(c: &Connection) -> Result<Recipients, PortalError> {
    let policy = policy(c)?;
    let routes = practice(c)?.map(|(practice, _)| practice.routes).unwrap_or_default();
    let routes = routes.into_iter().map(|route| RecipientChoice {
        recipient: Recipient::Route { route: route.route },
        label: route.label,
        person: None,
        writable: Availability::of(Ok(())),
    });
    let staff =
        staff(c)?.into_iter().filter(|(_, record)| record.active).map(|(id, record)| RecipientChoice {
            recipient: Recipient::Staff { id: id.to_string() },
            label: record.name.clone(),
            writable: Availability::of(state::recipient(Some(&record))),
            person: Some(crate::people::rows::person(id.to_string(), &record)),
        });
    Ok(Recipients {
        choices: routes.chain(staff).collect(),
        start: Availability::of(state::start(&policy)),
        as_of: as_of(c)?,
    })
}

pub(super) fn search(c: &Connection, asked: &str, limit: u32) -> Result<Vec<MessageHit>, PortalError> {
    let (people, overlay) = (People::read(c)?, Overlay::read(c)?);
    if asked.trim().is_empty() {
        return Ok(Vec::new());
    }
    let mut hits = Vec::new();
    for message in
        overlay.messages.iter().rev().filter(|message| super::words::matches(message.body.expose(), asked))
    {
        if !rows::has_message(c, message.id)? {
            hits.push(MessageHit {
                thread: message.thread.to_string(),
                subject: subject(c, &overlay, message.thread)?,
                excerpt: super::words::excerpt(message.body.expose(), asked),
                message: waiting(message, &people),
            });
        }
    }
    for (thread, row) in rows::search(c, asked, limit)? {
        hits.push(MessageHit {
            thread: thread.to_string(),
            subject: subject(c, &overlay, thread)?,
            excerpt: super::words::excerpt(row.text.expose(), asked),
            message: received(row, i64::MAX, &people)?,
        });
    }
    hits.truncate(limit as usize);
    Ok(hits)
}

fn subject(c: &Connection, overlay: &Overlay, id: Id) -> Result<String, PortalError> {
    let base = rows::thread(c, id)?.map(|thread| thread.record.subject);
    let pending =
        || overlay.threads.iter().find(|thread| thread.id == id).map(|thread| thread.subject.clone());
    Ok(base.or_else(pending).unwrap_or_default())
}

pub(super) fn drafts(c: &Connection) -> Result<Vec<DraftView>, PortalError> {
    let zone = zone(c)?;
    let view = |row: rows::DraftRow| DraftView {
        draft: Draft {
            thread: row.key.strip_prefix("thread:").map(str::to_owned),
            recipient: row.recipient.as_deref().and_then(recipient),
            subject: row.subject.into_inner(),
            text: row.body.into_inner(),
            key: Some(row.key),
        },
        saved_at: When::new(row.saved_at, &zone),
    };
    Ok(rows::drafts(c)?.into_iter().map(view).collect())
}

/// A draft's recipient as stored: `staff:<id>` or `route:<route>`.
fn recipient(text: &str) -> Option<Recipient> {
    match text.split_once(':')? {
        ("staff", id) => Some(Recipient::Staff { id: id.to_owned() }),
        ("route", route) => Some(Recipient::Route { route: route.to_owned() }),
        _ => None,
    }
}

/// The whole conversation as plain text, oldest first, every time with its zone (SPEC 58).
pub(super) fn print(c: &Connection, id: Id, now: SystemTime) -> Result<Printable, PortalError> {
    const PAGE: u32 = 500;
    let view = thread(c, id, None, PAGE)?;
    let mut messages = view.messages;
    let mut earlier = view.earlier;
    while let Some(before) = earlier {
        let page = thread(c, id, Some(before), PAGE)?;
        messages.splice(0..0, page.messages);
        earlier = page.earlier;
    }
    let zone = zone(c)?;
    let practice = practice(c)?.map(|(practice, _)| practice.name).unwrap_or_default();
    let mut text = format!("{}\n{practice}\n", view.thread.subject);
    if let Some(as_of) = view.as_of {
        text.push_str(&format!("As of {}\n", spoken(as_of, &zone)));
    }
    text.push_str(&format!("Printed {}\n{} messages\n", spoken(now, &zone), messages.len()));
    for message in &messages {
        let name =
            if message.author.name.is_empty() { practice.as_str() } else { message.author.name.as_str() };
        let note = match &message.state {
            MessageState::Waiting | MessageState::Sending => " (not sent yet)",
            MessageState::Refused { .. } => " (not accepted)",
            MessageState::Received { .. } | MessageState::Sent => "",
        };
        text.push_str(&format!("\n{}  {name}{note}\n{}\n", spoken(message.at.at, &zone), message.text));
    }
    Ok(Printable { title: view.thread.subject, text })
}

fn spoken(at: SystemTime, zone: &str) -> String {
    let there = Zone::parse(zone).and_then(|zone| zone.spoken(at));
    there.unwrap_or_else(|| DateTime::<Utc>::from(at).format("%Y-%m-%d %H:%M UTC").to_string())
}
