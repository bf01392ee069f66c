//! What a person sees, through the same views as a shell.

use super::number_of;
use crate::practice::locked;
use crate::sim::Sim;
use crate::sim::ledger::Owed;
use futures_util::FutureExt;
use portal_core::Portal;
use portal_core::account::SessionState;
use portal_core::messages::{MessageState, ThreadFilter, ThreadView};
use portal_core::outbox::OutboxEntry;
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// A screen that the checks look at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Screen {
    /// A conversation.
    Thread(String),
    /// The drafts.
    Drafts,
    /// The list of conversations.
    Threads,
}

/// A conversation as it shows now.
pub(crate) struct Shown {
    book: usize,
    thread: String,
    /// `None` where it does not show.
    view: Option<ThreadView>,
}

impl Sim {
    /// The portal of a book whose records are open.
    pub(in crate::sim) fn portal_of(&self, book: usize) -> Option<Arc<Portal>> {
        let book = self.books.get(book).filter(|book| book.open && !book.closed)?;
        let device = self.devices.get(book.device).filter(|device| !device.suspended)?;
        let portal = device.portal.clone()?;
        let open = matches!(portal.account().session().state, SessionState::Active | SessionState::Expired);
        open.then_some(portal)
    }

    /// What its outbox lists; nothing while it is closed.
    pub(in crate::sim) fn outbox_of(&self, book: usize) -> Result<Vec<OutboxEntry>, String> {
        let Some(portal) = self.portal_of(book) else { return Ok(Vec::new()) };
        match portal.outbox().entries().now_or_never() {
            Some(Ok(entries)) => Ok(entries),
            // Closed since: the answer says so, and it is not what it lists.
            Some(Err(_)) if self.portal_of(book).is_none() => Ok(Vec::new()),
            Some(Err(error)) => Err(format!("the outbox answers {error}")),
            None => Err("the outbox does not answer".to_owned()),
        }
    }

    /// Whether the practice has a text in a conversation that it took back since.
    fn taken_back_by_staff(&self, text: &str) -> bool {
        let world = locked(&self.world);
        let mut threads = self.people.iter().flat_map(|person| world.threads_of(person.client));
        threads.any(|thread| thread.withdrawn && thread.messages.iter().any(|message| message.body == text))
    }

    /// Whether a screen is drawn from something else than when the checks last looked at it.
    fn moved_on(&mut self, book: usize, screen: Screen, from: u64) -> bool {
        self.looked_at.insert((book, screen), from) != Some(from)
    }

    /// Reads the conversations that show something else than when the checks last looked, or ought to:
    /// a view is a function of the records, and what is expected of it one of the ledger.
    pub(super) fn read_what_shows(&mut self) {
        self.shows.clear();
        for place in self.moved() {
            let Some(portal) = self.portal_of(place) else { continue };
            for (thread, from) in self.drawn_from(place) {
                if self.moved_on(place, Screen::Thread(thread.clone()), from) {
                    let view = portal.messages().thread(thread.clone(), None, 100).now_or_never();
                    self.shows.push(Shown { book: place, thread, view: view.and_then(Result::ok) });
                }
            }
        }
    }

    /// The conversations of which something is expected, and what each is drawn from, as a number.
    fn drawn_from(&mut self, place: usize) -> Vec<(String, u64)> {
        let Some(book) = self.books.get(place) else { return Vec::new() };
        let Some(base) = self.fresh.get(&place) else {
            // What could not be read is looked at in the next step.
            let device = self.devices.get_mut(book.device);
            device.into_iter().for_each(|device| device.look_again = true);
            return Vec::new();
        };
        let process = self.devices.get(book.device).map(|device| device.process());
        let mut expected: BTreeMap<&str, Vec<(usize, u64)>> = BTreeMap::new();
        for (thread, upto) in &book.marks {
            expected.entry(thread).or_default().push((usize::MAX, *upto));
        }
        for entry in book.entries.iter().filter(|entry| entry.is_looked_for()) {
            expected.entry(entry.conversation()).or_default();
        }
        for (number, entry) in book.entries.iter().enumerate() {
            if let Some(expected) = expected.get_mut(entry.conversation()) {
                expected.push((number, entry.owed as u64));
            }
        }
        let number = |thread: &str, expected: &[(usize, u64)]| match thread.parse::<Uuid>() {
            Ok(id) => number_of(&(process, base.thread(id), expected)),
            // Nobody knows in which conversation it is: the outbox shows it.
            Err(_) => number_of(&(process, &base.outbox, expected)),
        };
        expected.iter().map(|(thread, expected)| ((*thread).to_owned(), number(thread, expected))).collect()
    }
}

pub(super) fn shows_exactly_once(sim: &mut Sim) -> Result<(), String> {
    let shows = std::mem::take(&mut sim.shows);
    let checked = shows.iter().try_for_each(|shown| once_in(sim, shown));
    sim.shows = shows;
    checked
}

fn once_in(sim: &mut Sim, shown: &Shown) -> Result<(), String> {
    let texts: Vec<(String, bool)> = match &shown.view {
        Some(view) => {
            let in_base = |state: &MessageState, n: Option<u64>| *state == MessageState::Sent && n.is_some();
            view.messages.iter().map(|m| (m.text.clone(), in_base(&m.state, m.n))).collect()
        }
        // Its conversation is not there, or not any more: the outbox shows it.
        None => sim.outbox_of(shown.book)?.into_iter().map(|entry| (entry.text, false)).collect(),
    };
    let Some(book) = sim.books.get(shown.book) else { return Ok(()) };
    let mut in_base = Vec::new();
    for (place, entry) in book.entries.iter().enumerate() {
        let of_this = entry.conversation() == shown.thread;
        if !entry.is_looked_for() || entry.owed == Owed::Once && !of_this {
            continue;
        }
        let mut found = texts.iter().filter(|(text, _)| *text == entry.text);
        let (first, more) = (found.next(), found.count());
        match (entry.owed, first) {
            (Owed::Never, Some(_)) => {
                return Err(format!("\"{}\" shows although it was taken back", entry.text));
            }
            (Owed::Once, Some((_, done))) if more == 0 => in_base.extend(done.then_some(place)),
            (Owed::Once, None) if sim.taken_back_by_staff(&entry.text) => in_base.push(place),
            (Owed::Once, _) => {
                return Err(format!(
                    "\"{}\" shows {} times",
                    entry.text,
                    more + usize::from(first.is_some())
                ));
            }
            _ => {}
        }
    }
    let entries = sim.books.get_mut(shown.book).map(|book| &mut book.entries);
    for entry in entries.into_iter().flat_map(|entries| {
        entries.iter_mut().enumerate().filter(|(place, _)| in_base.contains(place)).map(|(_, entry)| entry)
    }) {
        entry.in_base = true;
    }
    Ok(())
}

pub(super) fn drafts_stay(sim: &mut Sim) -> Result<(), String> {
    for place in sim.moved() {
        let Some(portal) = sim.portal_of(place) else { continue };
        let Some(book) = sim.books.get(place).filter(|book| !book.drafts.is_empty()) else { continue };
        let from = number_of(&(&book.drafts, sim.fresh.get(&place).map(|base| &base.drafts)));
        if !sim.moved_on(place, Screen::Drafts, from) {
            continue;
        }
        let Some(book) = sim.books.get(place) else { continue };
        let Some(Ok(drafts)) = portal.messages().drafts().now_or_never() else {
            // A view that did not answer was not looked at.
            sim.looked_at.remove(&(place, Screen::Drafts));
            continue;
        };
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
    for shown in &sim.shows {
        let Some(view) = &shown.view else { continue };
        let upto = sim.books.get(shown.book).and_then(|book| book.marks.get(&shown.thread)).copied();
        let Some(upto) = upto else { continue };
        // A mark in a conversation that the practice took back is refused, and soon has nothing to mark.
        let id = shown.thread.parse().unwrap_or_default();
        if locked(&sim.world).thread(id).is_none_or(|thread| thread.withdrawn) {
            continue;
        }
        let below = view.messages.iter().filter(|message| message.n.is_some_and(|n| n <= upto));
        if below.into_iter().any(|message| message.state == (MessageState::Received { read: false })) {
            return Err(format!("a message below {upto} is unread again"));
        }
    }
    Ok(())
}

/// In every row that is new, and in the list after somebody was at the door.
pub(super) fn only_ones_own(sim: &mut Sim) -> Result<(), String> {
    for place in sim.moved() {
        let Some(book) = sim.books.get(place) else { continue };
        let (device, person) = (book.device, book.person);
        let others: Vec<&'static str> = sim
            .people
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != person)
            .map(|(_, person)| person.marker)
            .collect();
        let own = |text: &str| match others.iter().any(|other| text.contains(other)) {
            true => Err(format!("\"{text}\" is somebody else's")),
            false => Ok(()),
        };
        sim.fresh.get(&place).into_iter().flat_map(|base| base.new_words()).try_for_each(own)?;
        let Some(portal) = sim.portal_of(place) else { continue };
        let doors = sim.devices.get(device).map(|device| (device.process(), device.doors));
        if !sim.moved_on(place, Screen::Threads, number_of(&doors)) {
            continue;
        }
        let Some(Ok(list)) = portal.messages().threads(ThreadFilter::All, 0, 100).now_or_never() else {
            sim.looked_at.remove(&(place, Screen::Threads));
            continue;
        };
        let outbox = sim.outbox_of(place)?;
        let texts = list.threads.iter().flat_map(|thread| [&thread.subject, &thread.last_text]);
        texts.chain(outbox.iter().map(|entry| &entry.text)).try_for_each(|text| own(text))?;
    }
    Ok(())
}

/// Of so many looks at a phone that moved, one is at its screen: what is old stays so until somebody is told.
const SCREENS: u32 = 8;

/// A screen is read again where the phone was told to, and compared where it was not.
pub(super) fn no_screen_is_old(sim: &mut Sim) -> Result<(), String> {
    for device in &mut sim.devices {
        if !sim.look_at.contains(&device.index) {
            continue;
        }
        device.looks += 1;
        if device.looks.is_multiple_of(SCREENS)
            && let Some(part) = device.shell.is_old()
        {
            return Err(format!("device {}'s {part} moved and nobody was told", device.index));
        }
    }
    Ok(())
}

/// All of them, at rest.
pub(super) fn no_screen_was_forgotten(sim: &mut Sim) -> Result<(), String> {
    let mut old = sim.devices.iter_mut().filter_map(|device| Some((device.index, device.shell.is_old()?)));
    old.next().map_or(Ok(()), |(index, part)| Err(format!("device {index}'s {part} is old at rest")))
}
