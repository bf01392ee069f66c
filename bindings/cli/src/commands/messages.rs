//! Conversations: list, read, write, search.

use crate::args::{SearchArgs, SendArgs, ThreadArgs, ThreadsArgs};
use crate::commands::home::{as_of, name};
use crate::commands::{Desk, find, short, standard_input};
use crate::failure::Failure;
use crate::when::shown;
use crate::words;
use portal_core::Portal;
use portal_core::messages::{
    MessageHit, MessageState, MessageView, NewThread, Recipient, RecipientChoice, Recipients, ThreadFilter,
    ThreadPage, ThreadSummary, ThreadView,
};
use portal_core::people::Availability;
use std::fmt::Write;

/// The most that the core gives at once.
const PAGE: u32 = 100;

pub(crate) async fn threads(args: &ThreadsArgs, desk: &Desk) -> Result<(), Failure> {
    let portal = desk.ready().await?;
    let filter = if args.unread { ThreadFilter::Unread } else { ThreadFilter::All };
    let page = portal.messages().threads(filter, args.offset, args.limit).await?;
    desk.out.answer(&page, || page_text(&page, args));
    Ok(())
}

pub(crate) async fn thread(args: &ThreadArgs, desk: &Desk) -> Result<(), Failure> {
    let portal = desk.ready().await?;
    let messages = portal.messages();
    let id = thread_id(&portal, &args.id).await?;
    if args.print {
        let printable = messages.print(id).await?;
        desk.out.answer(&printable, || printable.text.clone());
        return Ok(());
    }
    let view = messages.thread(id.clone(), args.before, args.limit).await?;
    desk.out.answer(&view, || thread_text(&view));
    let unread = |message: &&MessageView| message.state == MessageState::Received { read: false };
    let seen = view.messages.iter().filter(unread).filter_map(|message| message.n).max();
    if let Some(upto) = seen.filter(|_| !args.keep_unread) {
        messages.mark_read(id, upto).await?;
        desk.deliver(&portal).await;
    }
    Ok(())
}

pub(crate) async fn recipients(desk: &Desk) -> Result<(), Failure> {
    let recipients = desk.ready().await?.messages().recipients().await?;
    desk.out.answer(&recipients, || recipients_text(&recipients));
    Ok(())
}

pub(crate) async fn send(args: SendArgs, desk: &Desk) -> Result<(), Failure> {
    let portal = desk.ready().await?;
    let messages = portal.messages();
    let mut given = args.words.into_iter();
    let (thread, message) = match args.to {
        Some(to) => {
            let recipient = recipient(&messages.recipients().await?, &to)?;
            let text = given.next().map_or_else(standard_input, Ok)?;
            let subject = args.subject.unwrap_or_default();
            let started = messages.start(NewThread { recipient, subject, text, draft: None }).await?;
            (started.thread, started.message)
        }
        None => {
            let end = given.next().ok_or(Failure::Id("say in which conversation"))?;
            let thread = thread_id(&portal, &end).await?;
            let text = given.next().map_or_else(standard_input, Ok)?;
            let message = messages.send(thread.clone(), text).await?;
            (thread, message)
        }
    };
    desk.deliver(&portal).await;
    let view = messages.thread(thread, None, PAGE).await?;
    if let Some(message) = view.messages.iter().find(|view| view.id == message) {
        desk.out.answer(message, || message_text(message));
    }
    Ok(())
}

pub(crate) async fn search(args: SearchArgs, desk: &Desk) -> Result<(), Failure> {
    let hits = desk.ready().await?.messages().search(args.query, args.limit).await?;
    desk.out.answer(&hits, || hits_text(&hits));
    Ok(())
}

/// The conversation whose id ends in these letters.
async fn thread_id(portal: &Portal, end: &str) -> Result<String, Failure> {
    let mut ids = Vec::new();
    loop {
        let offset = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        let page = portal.messages().threads(ThreadFilter::All, offset, PAGE).await?;
        let last = page.threads.is_empty();
        ids.extend(page.threads.into_iter().map(|thread| thread.id));
        if last {
            return find(ids, end);
        }
    }
}

/// The desk of that name, the person with that id, or the one whose name has these letters.
fn recipient(recipients: &Recipients, to: &str) -> Result<Recipient, Failure> {
    let wanted = to.to_lowercase();
    let fits = |choice: &&RecipientChoice| match &choice.recipient {
        Recipient::Route { route } => *route == wanted,
        Recipient::Staff { id } => *id == wanted || choice.label.to_lowercase().contains(&wanted),
    };
    let mut fitting = recipients.choices.iter().filter(fits);
    match (fitting.next(), fitting.next()) {
        (Some(choice), None) => Ok(choice.recipient.clone()),
        (Some(_), Some(_)) => Err(Failure::Recipient("more than one person fits --to")),
        (None, _) => Err(Failure::Recipient("nobody fits --to")),
    }
}

fn page_text(page: &ThreadPage, args: &ThreadsArgs) -> String {
    let mut text = as_of(page.as_of);
    if page.threads.is_empty() {
        text.push_str("\nNo conversations here.");
    }
    for thread in &page.threads {
        text.push_str("\n\n");
        text.push_str(&summary_text(thread));
    }
    let shown = args.offset + u32::try_from(page.threads.len()).unwrap_or(u32::MAX);
    if shown < page.total {
        let _ = write!(text, "\n\n{} more: --offset {shown}", page.total - shown);
    }
    if let Some(why) = impossible(&page.start) {
        let _ = write!(text, "\n\nStarting a new one is not possible. {why}");
    }
    text
}

fn summary_text(thread: &ThreadSummary) -> String {
    let mut notes = Vec::new();
    let mut note = |count: u64, what: &str| {
        if count > 0 {
            notes.push(format!("{count} {what}"));
        }
    };
    note(thread.unread, "new");
    note(thread.pending.into(), "not sent yet");
    note(thread.refused.into(), "refused");
    if thread.closed {
        notes.push("closed".to_owned());
    }
    let notes = if notes.is_empty() { String::new() } else { format!(" [{}]", notes.join(", ")) };
    let who = if thread.last_mine { "You: " } else { "" };
    format!(
        "{}  {}{notes}\n        {}, {}\n        {who}{}",
        short(&thread.id),
        thread.subject,
        shown(&thread.last_at),
        with(thread),
        thread.last_text
    )
}

fn with(thread: &ThreadSummary) -> String {
    let names: Vec<&str> = thread.with.iter().map(name).collect();
    if names.is_empty() { "the practice".to_owned() } else { names.join(", ") }
}

fn thread_text(view: &ThreadView) -> String {
    let closed = if view.thread.closed { " [closed]" } else { "" };
    let mut text =
        format!("{}{closed}\nWith {}\n{}", view.thread.subject, with(&view.thread), as_of(view.as_of));
    if view.not_for_emergencies {
        text.push_str("\nNobody reads this at once. In a crisis: portal crisis");
    }
    if let Some(before) = view.earlier {
        let _ =
            write!(text, "\n\nEarlier messages: portal thread {} --before {before}", short(&view.thread.id));
    }
    for message in &view.messages {
        let _ = write!(text, "\n\n{}", message_text(message));
    }
    if let Some(draft) = &view.draft {
        let _ = write!(text, "\n\nNot finished: {draft}");
    }
    if let Some(why) = impossible(&view.reply) {
        let _ = write!(text, "\n\nA reply is not possible. {why}");
    }
    text
}

fn message_text(message: &MessageView) -> String {
    let place = message.n.map(|n| format!("#{n} ")).unwrap_or_default();
    let author = if message.mine { "You" } else { name(&message.author) };
    let entry = message.entry.as_deref().map(short).unwrap_or_default();
    let state = match &message.state {
        MessageState::Received { read: true } | MessageState::Sent => String::new(),
        MessageState::Received { read: false } => " [new]".to_owned(),
        MessageState::Waiting => format!(" [waits in the outbox: {entry}]"),
        MessageState::Sending => format!(" [on its way: {entry}]"),
        MessageState::Refused { reason, .. } => {
            format!(" [refused: {entry}] {}", words::of(reason.code()).said)
        }
    };
    format!("{place}{}  {author}{state}\n  {}", shown(&message.at), message.text.replace('\n', "\n  "))
}

fn recipients_text(recipients: &Recipients) -> String {
    let mut text = as_of(recipients.as_of);
    for choice in &recipients.choices {
        let (to, title) = match (&choice.recipient, &choice.person) {
            (Recipient::Route { route }, _) => (route.clone(), String::new()),
            (Recipient::Staff { .. }, Some(person)) => {
                (format!("\"{}\"", choice.label), person.title.clone())
            }
            (Recipient::Staff { id }, None) => (id.clone(), String::new()),
        };
        let shown = if title.is_empty() { choice.label.as_str() } else { title.as_str() };
        let why = impossible(&choice.writable).map(|why| format!(" [{why}]")).unwrap_or_default();
        let _ = write!(text, "\n  --to {to}  {shown}{why}");
    }
    if let Some(why) = impossible(&recipients.start) {
        let _ = write!(text, "\n\nStarting a conversation is not possible. {why}");
    }
    text
}

fn hits_text(hits: &[MessageHit]) -> String {
    if hits.is_empty() {
        return "Nothing found in what is on this machine.".to_owned();
    }
    let hits = hits.iter().map(|hit| {
        let author = if hit.message.mine { "You" } else { name(&hit.message.author) };
        let (thread, at) = (short(&hit.thread), shown(&hit.message.at));
        format!("{thread}  {}\n        {at}, {author}\n        {}", hit.subject, hit.excerpt)
    });
    hits.collect::<Vec<_>>().join("\n\n")
}

fn impossible(action: &Availability) -> Option<&'static str> {
    let reason = action.reason.as_ref().filter(|_| !action.possible)?;
    Some(words::of(reason.code()).said)
}
