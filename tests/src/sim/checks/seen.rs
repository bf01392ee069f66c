//! What a person sees, through the same views as a shell.

use crate::practice::locked;
use crate::sim::Sim;
use crate::sim::ledger::Owed;
use futures_util::FutureExt;
use portal_core::Portal;
use portal_core::account::SessionState;
use portal_core::messages::MessageState;
use portal_core::outbox::OutboxEntry;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Sim {
    /// The portal of a book whose records are open.
    pub(super) fn portal_of(&self, book: usize) -> Option<Arc<Portal>> {
        let book = self.books.get(book).filter(|book| book.open && !book.closed)?;
        let device = self.devices.get(book.device).filter(|device| !device.suspended)?;
        let portal = device.portal.clone()?;
        let open = matches!(portal.account().session().state, SessionState::Active | SessionState::Expired);
        open.then_some(portal)
    }

    /// What its outbox lists.
    pub(in crate::sim) fn outbox_of(&self, book: usize) -> Vec<OutboxEntry> {
        let portal = self.portal_of(book);
        portal.and_then(|portal| portal.outbox().entries().now_or_never()?.ok()).unwrap_or_default()
    }

    /// Whether the practice has a text in a conversation that it took back since.
    fn taken_back_by_staff(&self, text: &str) -> bool {
        let world = locked(&self.world);
        let mut threads = self.people.iter().flat_map(|person| world.threads_of(person.client));
        threads.any(|thread| thread.withdrawn && thread.messages.iter().any(|message| message.body == text))
    }
}

pub(super) fn shows_exactly_once(sim: &mut Sim) -> Result<(), String> {
    for book in sim.shows.clone() {
        let Some(portal) = sim.portal_of(book) else { continue };
        let mut threads: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for entry in sim.books.get(book).into_iter().flat_map(|book| book.waiting()) {
            threads.entry(entry.thread.clone().unwrap_or_default()).or_default().push(entry.text.clone());
        }
        for (thread, texts) in threads {
            let view = portal.messages().thread(thread, None, 100).now_or_never();
            let shown: Vec<(String, bool)> = match view {
                Some(Ok(view)) => {
                    let in_base =
                        |state: &MessageState, n: Option<u64>| *state == MessageState::Sent && n.is_some();
                    view.messages.into_iter().map(|m| (m.text, in_base(&m.state, m.n))).collect()
                }
                // Its conversation is not there, or not any more: the outbox shows it.
                _ => sim.outbox_of(book).into_iter().map(|entry| (entry.text, false)).collect(),
            };
            for text in texts {
                let found: Vec<&(String, bool)> = shown.iter().filter(|(shown, _)| *shown == text).collect();
                let in_base = found.iter().any(|(_, in_base)| *in_base);
                let done = match found.len() {
                    1 => in_base,
                    0 if sim.taken_back_by_staff(&text) => true,
                    times => return Err(format!("\"{text}\" shows {times} times")),
                };
                let entries = sim.books.get_mut(book).map(|book| &mut book.entries);
                let entry = entries.and_then(|entries| entries.iter_mut().find(|entry| entry.text == text));
                entry.into_iter().for_each(|entry| entry.in_base = done);
            }
            let book = sim.books.get(book);
            let never =
                book.into_iter().flat_map(|book| &book.entries).filter(|entry| entry.owed == Owed::Never);
            for entry in never {
                if shown.iter().any(|(shown, _)| *shown == entry.text) {
                    return Err(format!("\"{}\" shows although it was taken back", entry.text));
                }
            }
        }
    }
    Ok(())
}

pub(super) fn drafts_stay(sim: &mut Sim) -> Result<(), String> {
    for book in sim.shows.clone() {
        let Some(portal) = sim.portal_of(book) else { continue };
        let Some(book) = sim.books.get(book).filter(|book| !book.drafts.is_empty()) else { continue };
        let Some(Ok(drafts)) = portal.messages().drafts().now_or_never() else { continue };
        for (key, may_be) in &book.drafts {
            let shown = drafts.iter().find(|draft| draft.draft.key.as_ref() == Some(key));
            let shown = shown.map(|draft| draft.draft.text.clone());
            if !may_be.contains(&shown) {
                return Err(format!("a draft is {shown:?} and not {may_be:?}"));
            }
        }
    }
    Ok(())
}

pub(super) fn read_stays_read(sim: &mut Sim) -> Result<(), String> {
    for book in sim.moved() {
        let Some(portal) = sim.portal_of(book) else { continue };
        // One of them a step is enough: none is forgotten in between.
        let marks = sim.books.get(book).map(|book| &book.marks).filter(|marks| !marks.is_empty());
        let Some(marks) = marks else { continue };
        let place = usize::try_from(sim.time.now()).unwrap_or(0) % marks.len();
        let Some((thread, upto)) = marks.iter().nth(place) else { continue };
        // A mark in a conversation that the practice took back is refused, and soon has nothing to mark.
        let id = thread.parse().unwrap_or_default();
        if locked(&sim.world).thread(id).is_none_or(|thread| thread.withdrawn) {
            continue;
        }
        let Some(Ok(view)) = portal.messages().thread(thread.clone(), None, 100).now_or_never() else {
            continue;
        };
        for message in view.messages.iter().filter(|message| message.n.is_some_and(|n| n <= *upto)) {
            if message.state == (MessageState::Received { read: false }) {
                return Err(format!("a message below {upto} is unread again"));
            }
        }
    }
    Ok(())
}

pub(super) fn only_ones_own(sim: &mut Sim) -> Result<(), String> {
    for book in sim.shows.clone() {
        let Some(portal) = sim.portal_of(book) else { continue };
        let person = sim.books.get(book).map_or(0, |book| book.person);
        let others: Vec<&str> = sim
            .people
            .iter()
            .enumerate()
            .filter(|(place, _)| *place != person)
            .map(|(_, p)| p.marker)
            .collect();
        let filter = portal_core::messages::ThreadFilter::All;
        let Some(Ok(list)) = portal.messages().threads(filter, 0, 100).now_or_never() else {
            // A view that did not answer was not looked at.
            sim.looked_at.remove(&book);
            continue;
        };
        let texts = list.threads.iter().flat_map(|thread| [&thread.subject, &thread.last_text]);
        let outbox = sim.outbox_of(book);
        for text in texts.chain(outbox.iter().map(|entry| &entry.text)) {
            if others.iter().any(|other| text.contains(other)) {
                return Err(format!("\"{text}\" is somebody else's"));
            }
        }
    }
    Ok(())
}

pub(super) fn no_screen_is_old(sim: &mut Sim) -> Result<(), String> {
    for device in &mut sim.devices {
        if let Some(part) = device.shell.is_old() {
            return Err(format!("device {}'s {part} moved and nobody was told", device.index));
        }
    }
    Ok(())
}
