//! What befalls a device, and what its owner does with it.

use super::device::sign_in;
use super::dice::Dice;
use super::disk::Death;
use super::ledger::{Entry, Owed};
use super::outcomes::Done;
use super::practice_side::threads_in_order;
use super::{Sim, locked};
use futures_util::FutureExt;
use portal_core::account::Unsent;
use portal_core::messages::{Draft, NewThread, Recipient};
use portal_core::outbox::{OutboxEntry, OutboxState};
use portal_core::{Portal, PortalError};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use uuid::Uuid;

impl Sim {
    /// What goes wrong of itself.
    pub(super) fn trouble(&mut self, dice: &mut Dice) {
        let faults = self.faults.clone();
        let index = usize::try_from(dice.below(self.devices.len() as u64)).unwrap_or(0);
        let Some(device) = self.devices.get_mut(index) else { return };
        let mut said = None;
        if dice.chance(faults.kill) {
            let writes = if dice.chance(0.7) { dice.below(3) } else { dice.below(12) };
            let (writes, death) = (writes, if dice.chance(0.5) { Death::Before } else { Death::After });
            if dice.chance(0.4) {
                device.disk.kill();
                if dice.chance(0.2) {
                    device.switch_off(&self.time);
                }
                said = Some(format!("device {index}'s process dies now"));
            } else {
                device.disk.die(writes, death);
                said =
                    Some(format!("device {index}'s process will die {death:?} its write {writes} from here"));
            }
        } else if dice.chance(faults.full_disk) || device.full.load(Ordering::Relaxed) && dice.chance(0.2) {
            let full = !device.full.fetch_xor(true, Ordering::Relaxed);
            locked(&self.wire).told.disturbed(device.process());
            said = Some(format!("device {index}'s disk is {}", if full { "full" } else { "free again" }));
        } else if dice.chance(faults.clock_jump) {
            let most = 10 * 365 * 86_400_000;
            let jump = i64::try_from(dice.magnitude(1_000, most)).unwrap_or(0);
            let jump = if dice.chance(0.5) { jump } else { -jump };
            // With another clock at the start of a run, too, a jump goes to the same place.
            device.clock.ahead.store(jump + self.plan.wall, Ordering::Relaxed);
            said = Some(format!("device {index}'s clock is set {jump} ms wrong"));
        } else if dice.chance(faults.epoch) {
            let back = dice.chance(0.5).then(|| self.time.server() - chrono::TimeDelta::minutes(5));
            locked(&self.world).bump_epoch(back);
            locked(&self.wire).forget_every_page();
            // An answer that nobody heard is lost with them; what was refused may be done later.
            let unanswered = self.books.iter_mut().flat_map(|book| &mut book.entries);
            unanswered.filter(|entry| !entry.in_base).for_each(|entry| entry.renumbered = true);
            said =
                Some(format!("the practice is restored; counters forget five minutes: {}", back.is_some()));
        } else if dice.chance(faults.expire) {
            locked(&self.world).expire_cursors();
            said = Some("the practice forgets its tombstones".to_owned());
        }
        if let Some(said) = said {
            self.say(|| said);
        }
    }

    /// The owner does something.
    pub(super) fn act(&mut self, index: usize, dice: &mut Dice) {
        let Some(device) = self.devices.get(index) else { return };
        let Some(portal) = device.portal.clone() else { return };
        let state = portal.account().session().state;
        use portal_core::account::SessionState as State;
        if device.suspended && dice.chance(0.5) {
            return self.resume(index, &portal);
        }
        match state {
            _ if device.at_the_door => {}
            State::SignedOut | State::Expired if dice.chance(0.5) => {
                let person = self.owner_or_any(index, dice);
                return self.sign_in(index, person);
            }
            State::Locked if dice.chance(0.7) => return self.unlock(index, &portal),
            _ => {}
        }
        match dice.below(100) {
            0..=25 => self.send(index, &portal, dice),
            26..=29 => self.start_thread(index, &portal, dice),
            30..=37 => self.type_draft(index, &portal, dice),
            38..=45 => self.mark_read(index, &portal, dice),
            46..=58 => self.change_outbox(index, &portal, dice),
            59..=70 => self.sync(index, &portal, None),
            71..=73 => self.sync(index, &portal, Some(dice.magnitude(1, 20_000))),
            74..=75 => self.door(index, "locks", None, {
                let portal = portal.clone();
                async move { portal.account().lock().await }
            }),
            76..=79 => portal.account().touch(),
            80 => portal.account().entered_background(),
            81 => portal.account().entered_foreground(),
            82..=84 => self.suspend(index, &portal),
            85 => {
                self.sign_out(index, &portal, if dice.chance(0.6) { Unsent::Keep } else { Unsent::Discard })
            }
            86 => {
                let person = self.owner_or_any(index, dice);
                self.sign_in(index, person);
            }
            87 if dice.chance(0.4) => self.wipe(index, &portal),
            88 if dice.chance(0.2) => self.revoke(dice),
            _ => {
                let mut wire = locked(&self.wire);
                let gone = !wire.offline.remove(&index) && dice.chance(0.5);
                if gone {
                    wire.offline.insert(index);
                }
                drop(wire);
                self.say(|| format!("device {index} has {} network", if gone { "no" } else { "a" }));
            }
        }
    }

    fn owner_or_any(&mut self, index: usize, dice: &mut Dice) -> usize {
        match self.book_of(index).and_then(|book| self.books.get(book)) {
            Some(book) if dice.chance(0.7) => book.person,
            _ => usize::try_from(dice.below(self.people.len() as u64)).unwrap_or(0),
        }
    }

    /// Does what needs no network, and so is done when this returns.
    fn now<T>(
        &mut self,
        index: usize,
        what: &str,
        verb: impl Future<Output = Result<T, PortalError>>,
    ) -> Option<Result<T, PortalError>> {
        let result = verb.now_or_never()?;
        let words = result.as_ref().map_or_else(ToString::to_string, |_| "ok".to_owned());
        self.say(|| format!("device {index} {what}: {words}"));
        self.hear(index, result.as_ref().err());
        Some(result)
    }

    /// What a verb that answered so leaves owed.
    fn owed<T>(&self, index: usize, result: &Result<T, PortalError>) -> Owed {
        let dead = self.devices.get(index).is_some_and(|device| device.disk.is_dead());
        match result {
            Ok(_) => Owed::Once,
            Err(_) if dead => Owed::AtMostOnce,
            Err(_) => Owed::Never,
        }
    }

    fn text(&mut self, index: usize, dice: &mut Dice) -> String {
        self.written += 1;
        let marker = self.book_of(index).and_then(|book| self.books.get(book)).map(|book| book.person);
        let marker =
            marker.and_then(|person| self.people.get(person)).map_or("NOBODY", |person| person.marker);
        let more = ["", " ", " Ünïcode ✓", " and some more words"];
        format!("{marker} says {}{}", self.written, dice.pick(&more).copied().unwrap_or_default())
    }

    /// A conversation of the owner, or one that is somebody else's or nobody's.
    fn thread(&mut self, index: usize, dice: &mut Dice) -> Option<String> {
        let book = self.book_of(index).and_then(|book| self.books.get(book));
        let own: Vec<String> = match book {
            Some(book) => {
                let client = self.people.get(book.person)?.client;
                let started = book.entries.iter().filter_map(|entry| entry.thread.clone());
                let world = locked(&self.world);
                let known = threads_in_order(&world, client).into_iter();
                known.map(|thread| thread.id.to_string()).chain(started).collect()
            }
            None => Vec::new(),
        };
        if own.is_empty() || dice.chance(0.03) {
            let world = locked(&self.world);
            let any: Vec<String> = self
                .people
                .iter()
                .flat_map(|person| threads_in_order(&world, person.client))
                .map(|thread| thread.id.to_string())
                .collect();
            return dice.pick(&any).cloned();
        }
        // Most of the time the newest few: queues get longer than one.
        let recent = own.get(own.len().saturating_sub(3)..).unwrap_or_default();
        if dice.chance(0.7) { dice.pick(recent).cloned() } else { dice.pick(&own).cloned() }
    }

    fn note(&mut self, index: usize, thread: Option<String>, text: String, owed: Owed) {
        self.written += 1;
        let order = self.written;
        let book = self.book_of(index).and_then(|book| self.books.get_mut(book));
        if let Some(book) = book {
            book.entries.push(Entry { thread, text, owed, order, renumbered: false, in_base: false });
        }
    }

    fn send(&mut self, index: usize, portal: &Arc<Portal>, dice: &mut Dice) {
        let Some(thread) = self.thread(index, dice) else { return };
        let text = self.text(index, dice);
        let what = format!("sends \"{text}\" to {}", short(&thread));
        let verb = portal.messages();
        let Some(result) = self.now(index, &what, verb.send(thread.clone(), text.clone())) else { return };
        let owed = self.owed(index, &result);
        let draft = format!("thread:{thread}");
        self.draft_gone(index, draft, owed);
        self.note(index, Some(thread), text, owed);
    }

    /// A sent draft is no draft any more.
    fn draft_gone(&mut self, index: usize, key: String, owed: Owed) {
        let book = self.book_of(index).and_then(|book| self.books.get_mut(book));
        if let Some(book) = book.filter(|book| owed != Owed::Never && book.drafts.contains_key(&key)) {
            book.draft(key, None, owed == Owed::Once);
        }
    }

    fn start_thread(&mut self, index: usize, portal: &Arc<Portal>, dice: &mut Dice) {
        let text = self.text(index, dice);
        let staff = dice.pick(&self.staff).copied().unwrap_or(Uuid::nil()).to_string();
        let recipient = match dice.below(3) {
            0 => Recipient::Route { route: "scheduler".to_owned() },
            _ => Recipient::Staff { id: staff },
        };
        let drafts = self.book_of(index).and_then(|book| self.books.get(book));
        let drafts: Vec<String> = drafts.map(|b| b.drafts.keys().cloned().collect()).unwrap_or_default();
        let draft = drafts.into_iter().find(|key| key.starts_with("new:")).filter(|_| dice.chance(0.5));
        let new =
            NewThread { recipient, subject: format!("{text}?"), text: text.clone(), draft: draft.clone() };
        let verb = portal.messages();
        let Some(result) = self.now(index, &format!("begins \"{text}\""), verb.start(new)) else { return };
        let owed = self.owed(index, &result);
        if let Some(draft) = draft {
            self.draft_gone(index, draft, owed);
        }
        self.note(index, result.ok().map(|started| started.thread), text, owed);
    }

    fn type_draft(&mut self, index: usize, portal: &Arc<Portal>, dice: &mut Dice) {
        let text = self.text(index, dice);
        let drafts = self.book_of(index).and_then(|book| self.books.get(book));
        let known: Vec<String> = drafts.map(|b| b.drafts.keys().cloned().collect()).unwrap_or_default();
        if let Some(key) = dice.pick(&known).cloned().filter(|_| dice.chance(0.2)) {
            let verb = portal.messages();
            let result = self.now(index, "throws a draft away", verb.discard_draft(key.clone()));
            return self.draft_is(
                index,
                Some(key),
                None,
                result.map(|result| result.map(|()| String::new())),
            );
        }
        let thread = self.thread(index, dice).filter(|_| dice.chance(0.6));
        let key = dice.pick(&known).cloned().filter(|key| thread.is_none() && key.starts_with("new:"));
        // A kill in the first save of a new draft leaves one whose key nobody knows.
        let certain = thread.as_ref().map(|thread| format!("thread:{thread}")).or(key.clone());
        let draft = Draft { key, thread, recipient: None, subject: String::new(), text: text.clone() };
        let verb = portal.messages();
        let result = self.now(index, &format!("types \"{text}\""), verb.save_draft(draft));
        self.draft_is(index, certain, Some(text), result);
    }

    fn draft_is(
        &mut self,
        index: usize,
        key: Option<String>,
        text: Option<String>,
        result: Option<Result<String, PortalError>>,
    ) {
        let Some(result) = result else { return };
        let owed = self.owed(index, &result);
        let key = result.ok().filter(|key| !key.is_empty()).or(key);
        let book = self.book_of(index).and_then(|book| self.books.get_mut(book));
        if let (Some(book), Some(key)) = (book, key)
            && owed != Owed::Never
        {
            book.draft(key, text, owed == Owed::Once);
        }
    }

    fn mark_read(&mut self, index: usize, portal: &Arc<Portal>, dice: &mut Dice) {
        let Some(thread) = self.thread(index, dice) else { return };
        let upto = 1 + dice.below(12);
        let verb = portal.messages();
        let what = format!("has read {} up to {upto}", short(&thread));
        let Some(Ok(())) = self.now(index, &what, verb.mark_read(thread.clone(), upto)) else { return };
        let view = verb.thread(thread.clone(), None, 100).now_or_never();
        let Some(Ok(view)) = view else { return };
        let read =
            view.messages.iter().filter_map(|message| message.n).filter(|n| *n <= upto).max().unwrap_or(0);
        if let Some(book) = self.book_of(index).and_then(|book| self.books.get_mut(book)) {
            let mark = book.marks.entry(thread).or_default();
            *mark = (*mark).max(read);
        }
    }

    fn change_outbox(&mut self, index: usize, portal: &Arc<Portal>, dice: &mut Dice) {
        let outbox = portal.outbox();
        let Some(Ok(entries)) = outbox.entries().now_or_never() else { return };
        let Some(entry) = dice.pick(&entries).cloned() else { return };
        let refused = matches!(entry.state, OutboxState::Refused { .. });
        let Some(book) = self.book_of(index) else { return };
        let place = |sim: &Self| {
            sim.books
                .get(book)
                .and_then(|book| book.entries.iter().position(|known| known.text == entry.text))
        };
        match dice.below(3) {
            0 => {
                let result = self.now(index, &said("discards", &entry), outbox.discard(entry.id.clone()));
                let owed = result.map(|result| self.owed(index, &result));
                if let (Some(place), Some(owed)) = (place(self), owed) {
                    let becomes = [(Owed::Once, Owed::Never), (Owed::AtMostOnce, Owed::AtMostOnce)];
                    self.settle(book, place, becomes.iter().find(|(how, _)| *how == owed).map(|(_, to)| *to));
                }
            }
            1 => {
                let text = self.text(index, dice);
                let what = format!("{} as \"{text}\"", said("edits", &entry));
                let Some(result) = self.now(index, &what, outbox.edit(entry.id.clone(), text.clone())) else {
                    return;
                };
                let owed = self.owed(index, &result);
                if owed == Owed::Never {
                    return;
                }
                let before = place(self);
                let order = before.and_then(|place| Some(self.books.get(book)?.entries.get(place)?.order));
                let gone = if owed == Owed::Once { Owed::Never } else { Owed::AtMostOnce };
                before.into_iter().for_each(|place| self.settle(book, place, Some(gone)));
                self.note(index, Some(entry.thread.clone()), text, owed);
                // One that waited keeps its place; one that was refused goes to the end.
                if let (Some(order), Some(book), false) = (order, self.books.get_mut(book), refused) {
                    book.entries.iter_mut().next_back().into_iter().for_each(|last| last.order = order);
                }
            }
            _ => {
                let result = self.now(index, &said("retries", &entry), outbox.retry(entry.id.clone()));
                let owed = result.map(|result| self.owed(index, &result));
                self.written += 1;
                let order = self.written;
                let known = place(self).and_then(|place| self.books.get_mut(book)?.entries.get_mut(place));
                match (known, owed) {
                    (Some(known), Some(Owed::Once)) if refused => known.order = order,
                    // Killed at the commit: at the end, or where it was.
                    (Some(known), Some(Owed::AtMostOnce)) if refused => known.renumbered = true,
                    _ => {}
                }
            }
        }
    }

    fn settle(&mut self, book: usize, place: usize, owed: Option<Owed>) {
        let entry = self.books.get_mut(book).and_then(|book| book.entries.get_mut(place));
        if let (Some(entry), Some(owed)) = (entry, owed) {
            entry.owed = owed;
        }
    }

    /// Begins what may take time; what came of it is heard later.
    fn begin_work(&mut self, index: usize, work: impl Future<Output = Done> + Send + 'static) {
        let Some(device) = self.devices.get(index) else { return };
        let (process, done) = (device.process(), self.done.clone());
        self.tasks.begin(
            process,
            Box::pin(async move {
                let what = work.await;
                locked(&done).push((process, what));
            }),
        );
    }

    pub(super) fn sync(&mut self, index: usize, portal: &Arc<Portal>, deadline: Option<u64>) {
        self.say(|| {
            format!("device {index} syncs{}", deadline.map_or(String::new(), |ms| format!(" for {ms} ms")))
        });
        let book = self.book_of(index);
        let account = book.and_then(|book| self.people.get(self.books.get(book)?.person)).map(|p| p.account);
        let world = locked(&self.world);
        let (epoch, head) = (world.epoch(), account.map_or(0, |account| world.feed_head(account)));
        drop(world);
        let asked = self.time.now();
        let portal = portal.clone();
        self.begin_work(index, async move {
            Done::Synced { asked, book, epoch, head, result: portal.sync(deadline).await }
        });
    }

    fn door(
        &mut self,
        index: usize,
        what: &'static str,
        person: Option<usize>,
        verb: impl Future<Output = Result<(), PortalError>> + Send + 'static,
    ) {
        self.say(|| format!("device {index} {what}"));
        if let Some(device) = self.devices.get_mut(index) {
            device.at_the_door = true;
        }
        self.begin_work(index, async move { Done::Door { what, person, result: verb.await } });
    }

    pub(super) fn sign_in(&mut self, index: usize, person: usize) {
        let portal = self.devices.get(index).and_then(|device| device.portal.clone());
        let Some(portal) = portal else { return };
        let before = self.book_of(index).and_then(|book| self.books.get(book)).map(|book| book.person);
        if before != Some(person) {
            // Back from behind somebody else, be they wiped, under another install: as after a restore
            // (ADR 8), what was refused and not heard of may be done later.
            let theirs = self.books.iter_mut().filter(|book| (book.device, book.person) == (index, person));
            let unanswered = theirs.flat_map(|book| &mut book.entries).filter(|entry| !entry.in_base);
            unanswered.for_each(|entry| entry.renumbered = true);
        }
        let Some(who) = self.people.get(person) else { return };
        let verb = sign_in(portal, self.world.clone(), self.time.clone(), who.login.clone());
        self.door(index, "signs in", Some(person), verb);
    }

    pub(super) fn unlock(&mut self, index: usize, portal: &Arc<Portal>) {
        let portal = portal.clone();
        self.door(index, "unlocks", None, async move { portal.account().unlock().await });
    }

    fn sign_out(&mut self, index: usize, portal: &Arc<Portal>, unsent: Unsent) {
        if unsent == Unsent::Discard {
            self.let_go(index);
        }
        let portal = portal.clone();
        self.door(index, "signs out", None, async move { portal.account().sign_out(unsent).await });
    }

    fn wipe(&mut self, index: usize, portal: &Arc<Portal>) {
        self.let_go(index);
        let portal = portal.clone();
        self.door(index, "wipes", None, async move { portal.account().wipe().await });
    }

    fn revoke(&mut self, dice: &mut Dice) {
        let person = usize::try_from(dice.below(self.people.len() as u64)).unwrap_or(0);
        let Some(who) = self.people.get(person) else { return };
        let (client, now) = (who.client, self.time.server());
        let revoked = locked(&self.world).revoke_access(client, now).is_ok();
        let back = dice.chance(0.7) && locked(&self.world).reactivate(client).is_ok();
        self.say(|| {
            format!("the practice revokes person {person}'s access: {revoked}; lets them in again: {back}")
        });
        self.books.iter_mut().filter(|book| book.person == person).for_each(|book| book.leaving = true);
    }

    /// Whoever's records these are wants them gone.
    fn let_go(&mut self, index: usize) {
        if let Some(book) = self.book_of(index).and_then(|book| self.books.get_mut(book)) {
            book.leaving = true;
        }
    }

    fn suspend(&mut self, index: usize, portal: &Arc<Portal>) {
        self.say(|| format!("device {index} is suspended"));
        let portal = portal.clone();
        self.begin_work(index, async move { Done::Suspended(portal.suspend().await) });
    }

    pub(super) fn resume(&mut self, index: usize, portal: &Arc<Portal>) {
        self.say(|| format!("device {index} goes on"));
        if let Some(device) = self.devices.get_mut(index) {
            device.suspended = false;
        }
        let portal = portal.clone();
        self.begin_work(index, async move { Done::Resumed(portal.resume().await) });
    }
}

fn said(what: &str, entry: &OutboxEntry) -> String {
    format!("{what} \"{}\"", entry.text)
}

/// The end of an id, which differs where the beginning is a time.
fn short(id: &str) -> &str {
    id.get(id.len().saturating_sub(6)..).unwrap_or(id)
}
