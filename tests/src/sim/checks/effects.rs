//! What reached the practice, against what was promised.

use crate::practice::locked;
use crate::sim::Sim;
use crate::sim::ledger::Owed;
use portal_core::outbox::OutboxState;
use portal_server_mock::world::AuthorKind;
use uuid::Uuid;

impl Sim {
    /// Texts of clients that arrived since the last look, with their conversation and client.
    fn fresh_effects(&self) -> Vec<(Uuid, Uuid, String)> {
        let world = locked(&self.world);
        let fresh = world.effects().get(self.effects_seen..).unwrap_or_default();
        fresh
            .iter()
            .filter(|effect| effect.author.kind == AuthorKind::Client)
            .filter_map(|effect| {
                let thread = world.thread(effect.thread)?;
                let message = thread.messages.iter().find(|message| message.id == effect.id)?;
                Some((effect.thread, thread.client, message.body.clone()))
            })
            .collect()
    }

    /// Where a text stands in the books.
    fn entry(&self, text: &str) -> Option<(usize, usize)> {
        self.books.iter().enumerate().find_map(|(place, book)| {
            book.entries.iter().position(|entry| entry.text == text).map(|entry| (place, entry))
        })
    }
}

pub(super) fn at_most_once(sim: &mut Sim) -> Result<(), String> {
    for (_, client, text) in sim.fresh_effects() {
        let times = sim.arrived.entry(text.clone()).or_default();
        *times += 1;
        if *times > 1 {
            return Err(format!("\"{text}\" arrived {times} times"));
        }
        let whose = sim.people.iter().find(|person| person.client == client);
        if whose.is_none_or(|person| !text.starts_with(person.marker)) {
            return Err(format!("\"{text}\" arrived in somebody else's chart"));
        }
    }
    Ok(())
}

pub(super) fn never_after_a_cancel(sim: &mut Sim) -> Result<(), String> {
    for (_, _, text) in sim.fresh_effects() {
        let entry = sim.entry(&text).and_then(|(book, entry)| sim.books.get(book)?.entries.get(entry));
        if entry.is_none_or(|entry| entry.owed == Owed::Never) {
            return Err(format!("\"{text}\" arrived although it was taken back or never taken"));
        }
    }
    Ok(())
}

/// The last of the checks of effects: it takes note of them.
pub(super) fn in_lane_order(sim: &mut Sim) -> Result<(), String> {
    for (thread, _, text) in sim.fresh_effects() {
        let Some((book, entry)) = sim.entry(&text) else { continue };
        let found = sim.books.get(book).and_then(|book| book.entries.get(entry));
        let Some((order, renumbered)) = found.map(|entry| (entry.order, entry.renumbered)) else { continue };
        sim.say(|| format!("the practice has \"{text}\""));
        let last = sim.arrived_last.entry((book, thread)).or_default();
        if order < *last && !renumbered {
            return Err(format!("\"{text}\" arrived after what was written later"));
        }
        *last = order.max(*last);
    }
    sim.effects_seen = locked(&sim.world).effects().len();
    Ok(())
}

pub(super) fn nothing_lost(sim: &mut Sim) -> Result<(), String> {
    // Records that another person's stand before are looked at when their owner has signed in again.
    for place in sim.open_books() {
        let shown = sim.outbox_of(place)?;
        let Some(book) = sim.books.get(place) else { continue };
        for entry in book.entries.iter().filter(|entry| entry.owed == Owed::Once) {
            let arrived = sim.arrived.get(&entry.text).copied().unwrap_or(0);
            let refused = shown.iter().filter(|shown| shown.text == entry.text).count();
            if arrived == 0 && refused != 1 {
                let device = book.device;
                return Err(format!(
                    "\"{}\" of device {device} neither arrived nor shows: {refused}",
                    entry.text
                ));
            }
        }
    }
    Ok(())
}

pub(super) fn records_stay(sim: &mut Sim) -> Result<(), String> {
    let mut moved = sim.books.iter().filter(|book| sim.look_at.contains(&book.device));
    let gone = moved.find(|book| book.gone && !book.closed);
    gone.map_or(Ok(()), |book| {
        Err(format!("those of device {} are gone, and nobody wanted that", book.device))
    })
}

pub(super) fn refused_means_not_done(sim: &mut Sim) -> Result<(), String> {
    for book in sim.open_books() {
        for shown in sim.outbox_of(book)? {
            if matches!(shown.state, OutboxState::Refused { .. }) && sim.arrived.contains_key(&shown.text) {
                return Err(format!("\"{}\" arrived and is shown as refused", shown.text));
            }
        }
    }
    Ok(())
}

pub(super) fn counters_agree(sim: &mut Sim) -> Result<(), String> {
    for place in sim.open_books() {
        let Some(book) = sim.books.get(place) else { continue };
        let (device, directory, person) = (book.device, book.directory.clone(), book.person);
        // A refill out of some cache may bring counters of before: the next op of that lane finds out, and
        // takes another number.
        let process = sim.devices.get(device).map(|device| device.process()).unwrap_or_default();
        let behind = locked(&sim.wire).told.gave_stale(process, 0);
        let account = sim.people.get(person).map(|person| person.account).unwrap_or_default();
        let raw = sim.devices.get_mut(device).and_then(|device| device.raw(&directory));
        let Some(raw) = raw else { continue };
        let read = || -> rusqlite::Result<(String, Vec<(String, u64)>)> {
            let install = raw.query_row("SELECT install FROM feed", [], |row| row.get(0))?;
            let mut lanes = raw.prepare_cached("SELECT lane, last_n FROM lane")?;
            let lanes = lanes.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())))?;
            Ok((install, lanes.collect::<Result<_, _>>()?))
        };
        let (install, lanes) = read().map_err(|error| error.to_string())?;
        let Ok(install) = install.parse::<Uuid>() else { continue };
        let world = locked(&sim.world);
        for (lane, ours) in lanes {
            let theirs = world.lane_counter(account, install, &lane);
            if ours > theirs || ours < theirs && !behind {
                return Err(format!(
                    "device {device} counts {ours} in {lane}, the practice {theirs} for {install}"
                ));
            }
        }
    }
    Ok(())
}
