//! What waits to be sent, and what can be done about it.

use crate::args::{OutboxAct, OutboxArgs};
use crate::commands::{Desk, find, short, standard_input};
use crate::failure::Failure;
use crate::when::shown;
use crate::words;
use portal_core::outbox::{OutboxEntry, OutboxKind, OutboxState};

pub(crate) async fn run(args: OutboxArgs, desk: &Desk) -> Result<(), Failure> {
    let portal = desk.ready().await?;
    // What can leave has left then, and nothing is on its way while it is looked at.
    desk.deliver(&portal).await;
    let outbox = portal.outbox();
    let entries = outbox.entries().await?;
    let entry = |end: &str| find(entries.iter().map(|entry| entry.id.clone()), end);
    match args.act.unwrap_or(OutboxAct::List) {
        OutboxAct::List => {
            desk.out.answer(&entries, || text(&entries));
            return Ok(());
        }
        OutboxAct::Retry { id } => outbox.retry(entry(&id)?).await?,
        OutboxAct::Edit { id, text } => {
            let text = text.map_or_else(standard_input, Ok)?;
            outbox.edit(entry(&id)?, text).await?;
        }
        OutboxAct::Discard { id } => outbox.discard(entry(&id)?).await?,
    }
    desk.deliver(&portal).await;
    let entries = outbox.entries().await?;
    desk.out.answer(&entries, || text(&entries));
    Ok(())
}

fn text(entries: &[OutboxEntry]) -> String {
    if entries.is_empty() {
        return "Nothing waits: the practice has everything that you wrote.".to_owned();
    }
    let entries: Vec<String> = entries.iter().map(entry_text).collect();
    entries.join("\n\n")
}

fn entry_text(entry: &OutboxEntry) -> String {
    let id = short(&entry.id);
    let what = match (entry.kind, &entry.subject) {
        (OutboxKind::NewThread, Some(subject)) => format!("new conversation \"{subject}\""),
        _ => format!("in conversation {}", short(&entry.thread)),
    };
    let state = match &entry.state {
        OutboxState::Waiting => "waits to be sent".to_owned(),
        OutboxState::Sending => "on its way; whether it arrived is not known yet".to_owned(),
        OutboxState::Sent => "has arrived".to_owned(),
        OutboxState::Refused { reason, .. } => {
            let words = words::of(reason.code());
            format!(
                "refused. {} {}\n        portal outbox retry {id}, edit {id} or discard {id}",
                words.said, words.next
            )
        }
    };
    let body = entry.text.replace('\n', "\n        ");
    format!("{id}  {}  {what}\n        {body}\n        {state}", shown(&entry.created_at))
}
