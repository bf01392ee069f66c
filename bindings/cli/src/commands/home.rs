//! The home screen, and the crisis card.

use crate::commands::Desk;
use crate::failure::Failure;
use crate::when::{ago, shown};
use portal_core::home::{CrisisCard, HomeView};
use portal_core::people::Person;
use std::time::SystemTime;

pub(crate) async fn home(desk: &Desk) -> Result<(), Failure> {
    let portal = desk.ready().await?;
    let view = portal.home().view().await?;
    let crisis = portal.home().crisis_card();
    desk.out.answer(&view, || format!("{}\n{}", home_text(&view), crisis_text(&crisis)));
    Ok(())
}

pub(crate) async fn crisis(desk: &Desk) -> Result<(), Failure> {
    let card = desk.open().await?.home().crisis_card();
    desk.out.answer(&card, || crisis_text(&card));
    Ok(())
}

/// What is shown of somebody whom the feed has not brought yet, too.
pub(crate) fn name(person: &Person) -> &str {
    if person.name.is_empty() { "the practice" } else { &person.name }
}

/// How old what is shown is. Data are never shown without it.
pub(crate) fn as_of(at: Option<SystemTime>) -> String {
    match at {
        Some(at) => format!("In step with the practice {}", ago(at)),
        None => "Nothing was fetched yet: portal sync".to_owned(),
    }
}

fn home_text(view: &HomeView) -> String {
    let mut text = String::new();
    let mut line = |words: String| text.push_str(&(words + "\n"));
    if let Some(practice) = &view.practice {
        line(practice.name.clone());
    }
    if !view.me.name.is_empty() {
        line(format!("Portal of {}", view.me.name));
    }
    if let Some(clinician) = &view.clinician {
        let title = if clinician.title.is_empty() { String::new() } else { format!(", {}", clinician.title) };
        line(format!("Your clinician: {}{title}", name(clinician)));
    }
    line(as_of(view.as_of));
    if let Some(banner) = &view.banner {
        let until = banner.until.as_ref().map(|until| format!(" (until {})", shown(until)));
        line(format!("\n{}{}", banner.text, until.unwrap_or_default()));
    }
    line(match view.badge {
        0 => "\nNo unread messages.".to_owned(),
        1 => "\n1 unread message: portal threads --unread".to_owned(),
        many => format!("\n{many} unread messages: portal threads --unread"),
    });
    if view.waiting > 0 {
        line(format!("{} not sent yet: portal outbox", view.waiting));
    }
    if view.refused > 0 {
        line(format!("{} refused, and waiting for you: portal outbox", view.refused));
    }
    if let Some(practice) = &view.practice {
        line(format!("Messages are answered within {} hours as a rule.", practice.reply_hours));
    }
    text
}

fn crisis_text(card: &CrisisCard) -> String {
    let mut text = "Messages are not for emergencies. In a crisis:\n".to_owned();
    for line in &card.lines {
        text.push_str(&format!("  {:<16} {}. {}\n", line.number, line.label, line.detail));
    }
    if !card.phones.is_empty() {
        text.push_str(&format!("{}:\n", card.practice));
    }
    for phone in &card.phones {
        text.push_str(&format!("  {:<16} {}\n", phone.number, phone.label));
    }
    text
}
