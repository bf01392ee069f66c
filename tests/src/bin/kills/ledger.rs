//! What one person's phone has promised, told act by act, and what has to be true of it later.

use crate::words::{Act, Made, Rest, Seen};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What is wrong when a promise does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// What was promised is not there, or not as it was promised.
    Lost,
    /// It is there more than once, or although it was taken back or never was.
    Doubled,
    /// The phone does not open, or does not do what it must do unattended.
    Unopenable,
}

/// One fault in words.
pub(crate) type Fault = (Wrong, String);

/// Where the practice has each text of the client: conversation and place, once for each message.
pub(crate) type Arrived = HashMap<String, Vec<(String, u64)>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    /// Its verb has not returned: it may be there, once.
    May,
    /// Promised, or seen on the disk: it is there once.
    Must,
    /// Taken back, or gone with a kill before it was durable: it never arrives.
    Never,
    /// Given up with the records when the person left: at most once.
    GivenUp,
}

/// A message that the person wrote.
struct Letter {
    /// Which texts it may have now; two while an edit has not returned.
    texts: Vec<String>,
    presence: Presence,
    /// What is true if the act under way did not happen.
    before: Option<(Vec<String>, Presence)>,
    thread: Option<String>,
    /// Its place among the letters of its conversation; none for one that was queued anew.
    order: Option<u64>,
}

#[derive(Default)]
struct Draft {
    now: Option<String>,
    /// What it may be as well, while an act has not returned.
    maybe: Option<Option<String>>,
}

/// The promises of one person on one phone.
#[derive(Default)]
pub(crate) struct Ledger {
    letters: Vec<Letter>,
    /// Text to letter, for every text that ever was one.
    by_text: HashMap<String, usize>,
    drafts: BTreeMap<String, Draft>,
    loose: BTreeSet<String>,
    marks: BTreeMap<String, u64>,
    order: u64,
    begun: Option<Act>,
    /// The person's records are here.
    pub(crate) entered: bool,
    /// They began to leave.
    pub(crate) leaving: bool,
}

impl Ledger {
    /// An act begins: until it returns, both may be true.
    pub(crate) fn begin(&mut self, act: Act) {
        self.order += 1;
        match &act {
            Act::Enter => {}
            Act::Leave => self.leaving = true,
            Act::Send { thread, text } => {
                self.write(text, Some(thread.clone()));
                self.doubt(&format!("thread:{thread}"), None);
            }
            Act::Start { text, draft } => {
                self.write(text, None);
                if let Some(key) = draft {
                    self.doubt(key, None);
                }
            }
            Act::Edit { old, new, refused } => self.change(old, |letter| {
                letter.texts.push(new.clone());
                if *refused {
                    letter.order = None;
                }
            }),
            Act::Discard { text } => self.change(text, |letter| letter.presence = Presence::May),
            Act::Retry { text, refused } => self.change(text, |letter| {
                if *refused {
                    letter.order = None;
                }
            }),
            Act::Mark { .. } => {}
            Act::Draft { key: Some(key), text } => self.doubt(key, Some(text.clone())),
            Act::Draft { key: None, text } => drop(self.loose.insert(text.clone())),
            Act::DropDraft { key } => self.doubt(key, None),
        }
        if let Act::Edit { old, new, .. } = &act
            && let Some(place) = self.by_text.get(old).copied()
        {
            self.by_text.insert(new.clone(), place);
        }
        self.begun = Some(act);
    }

    /// It returned: from now on it is promised.
    pub(crate) fn done(&mut self, made: Made) {
        match self.begun.take() {
            None => {}
            Some(Act::Enter) => self.entered = true,
            Some(Act::Leave) => self.left(),
            Some(Act::Send { thread, text }) => {
                self.settle(&text, &text, Presence::Must);
                self.sure(&format!("thread:{thread}"));
            }
            Some(Act::Start { text, draft }) => {
                self.settle(&text, &text, Presence::Must);
                if let Some(letter) = self.letter(&text) {
                    letter.thread = made.thread;
                }
                if let Some(key) = draft {
                    self.sure(&key);
                }
            }
            Some(Act::Edit { old, new, .. }) => self.settle(&old, &new, Presence::Must),
            Some(Act::Discard { text }) => self.settle(&text, &text, Presence::Never),
            Some(Act::Retry { text, .. }) => self.settle(&text, &text, Presence::Must),
            Some(Act::Mark { thread, upto }) => {
                let mark = self.marks.entry(thread).or_default();
                *mark = upto.max(*mark);
            }
            Some(Act::Draft { key: Some(key), .. } | Act::DropDraft { key }) => self.sure(&key),
            Some(Act::Draft { key: None, text }) => {
                if let Some(key) = made.id {
                    self.loose.remove(&text);
                    self.drafts.insert(key, Draft { now: Some(text), maybe: None });
                }
            }
        }
    }

    /// A rule said no: nothing happened.
    pub(crate) fn failed(&mut self) {
        match self.begun.take() {
            Some(Act::Send { thread, text }) => {
                self.settle(&text, &text, Presence::Never);
                self.undo(&format!("thread:{thread}"));
            }
            Some(Act::Start { text, draft }) => {
                self.settle(&text, &text, Presence::Never);
                if let Some(key) = draft {
                    self.undo(&key);
                }
            }
            Some(Act::Edit { old: text, .. } | Act::Discard { text } | Act::Retry { text, .. }) => {
                if let Some(letter) = self.letter(&text)
                    && let Some((texts, presence)) = letter.before.take()
                {
                    (letter.texts, letter.presence) = (texts, presence);
                }
            }
            Some(Act::Draft { key: Some(key), .. } | Act::DropDraft { key }) => self.undo(&key),
            Some(Act::Draft { key: None, text }) => drop(self.loose.remove(&text)),
            Some(Act::Mark { .. } | Act::Enter | Act::Leave) | None => {}
        }
    }

    /// Nobody's records are here any more: what had not arrived was given up.
    pub(crate) fn left(&mut self) {
        for letter in self.letters.iter_mut().filter(|letter| letter.presence != Presence::Never) {
            letter.presence = Presence::GivenUp;
        }
        (self.drafts, self.loose, self.marks) = Default::default();
        (self.entered, self.leaving, self.begun) = (false, false, None);
    }

    /// Conversations with a promised mark, the last ones.
    pub(crate) fn marked(&self) -> Vec<String> {
        self.marks.keys().rev().take(3).cloned().collect()
    }

    /// A conversation with a message that the practice does not have.
    pub(crate) fn waits_in(&self, arrived: &Arrived) -> Option<String> {
        let waits = |letter: &&Letter| {
            letter.presence == Presence::Must && !letter.texts.iter().any(|text| arrived.contains_key(text))
        };
        self.letters.iter().filter(waits).find_map(|letter| letter.thread.clone())
    }

    /// A phone opened: what is on it says how the acts ended that a kill cut short, and everything
    /// promised is on it or at the practice.
    pub(crate) fn reopened(&mut self, seen: &Seen, arrived: &Arrived) -> Vec<Fault> {
        let mut faults = Vec::new();
        self.begun = None;
        let mut waiting = BTreeMap::<&str, u32>::new();
        for text in &seen.outbox {
            *waiting.entry(text).or_default() += 1;
        }
        for letter in &mut self.letters {
            let here: u32 = letter.texts.iter().filter_map(|text| waiting.get(text.as_str())).sum();
            let found = letter
                .texts
                .iter()
                .find(|text| waiting.contains_key(text.as_str()) || arrived.contains_key(*text))
                .cloned();
            if here > 1 {
                faults.push((Wrong::Doubled, format!("the outbox has {:?} {here} times", letter.texts)));
            }
            letter.before = None;
            match (letter.presence, found) {
                (Presence::Must | Presence::May, Some(text)) => {
                    (letter.texts, letter.presence) = (vec![text], Presence::Must);
                }
                (Presence::Must, None) => {
                    faults.push((Wrong::Lost, format!("message {:?} is nowhere", letter.texts)));
                }
                (Presence::May, None) => letter.presence = Presence::Never,
                (Presence::Never, Some(text)) => {
                    faults.push((Wrong::Doubled, format!("message {text} came back")));
                }
                (Presence::Never | Presence::GivenUp, _) => {}
            }
        }
        for text in seen.outbox.iter().filter(|text| !self.by_text.contains_key(*text)) {
            faults.push((Wrong::Doubled, format!("nobody wrote {text}")));
        }
        faults.extend(seen.twice.iter().map(|text| (Wrong::Doubled, format!("{text} shows twice"))));
        for (thread, n) in &seen.unread {
            if self.marks.get(thread).is_some_and(|upto| n <= upto) {
                faults.push((Wrong::Lost, format!("place {n} of {thread} was marked as read")));
            }
        }
        self.drafts_are(&seen.drafts, &mut faults);
        faults
    }

    fn drafts_are(&mut self, seen: &[(String, String)], faults: &mut Vec<Fault>) {
        let mut found: BTreeMap<&str, &str> = seen.iter().map(|(k, t)| (k.as_str(), t.as_str())).collect();
        for (key, draft) in &mut self.drafts {
            let text = found.remove(key.as_str()).map(ToOwned::to_owned);
            if text != draft.now && draft.maybe.as_ref() != Some(&text) {
                let (now, maybe) = (&draft.now, &draft.maybe);
                faults.push((Wrong::Lost, format!("draft {key} is {text:?}, not {now:?} or {maybe:?}")));
            }
            (draft.now, draft.maybe) = (text, None);
        }
        for (key, text) in found {
            if !self.loose.contains(text) {
                faults.push((Wrong::Doubled, format!("nobody saved draft {key} {text}")));
            }
            self.drafts.insert(key.to_owned(), Draft { now: Some(text.to_owned()), maybe: None });
        }
        self.loose.clear();
        self.drafts.retain(|_, draft| draft.now.is_some());
    }

    /// Whatever a phone is doing: the practice has nothing twice, and nothing that never was.
    pub(crate) fn arrived(&self, arrived: &Arrived) -> Vec<Fault> {
        let mut faults = Vec::new();
        for letter in &self.letters {
            let places = |text: &String| arrived.get(text).map_or(0, Vec::len);
            // Any text that it ever had: an edit that returned ended the one before.
            let count: usize = letter.texts.iter().map(places).sum();
            let may = match letter.presence {
                Presence::Never => 0,
                _ => 1,
            };
            if count > may {
                faults.push((Wrong::Doubled, format!("message {:?} arrived {count} times", letter.texts)));
            }
        }
        for (text, place) in &self.by_text {
            let current = self.letters.get(*place).is_some_and(|letter| letter.texts.contains(text));
            if !current && arrived.contains_key(text) {
                faults.push((Wrong::Doubled, format!("message {text} arrived after it was edited")));
            }
        }
        faults
    }

    /// At rest: what was promised is at the practice, in order, and what is on the phone is what the
    /// practice says.
    pub(crate) fn at_rest(&mut self, rest: &Rest, arrived: &Arrived, feed: &Feed) -> Vec<Fault> {
        let mut faults = self.arrived(arrived);
        let mut lanes = BTreeMap::<&str, Vec<(u64, u64)>>::new();
        for letter in self.letters.iter().filter(|letter| letter.presence == Presence::Must) {
            let place = letter.texts.iter().find_map(|text| arrived.get(text)?.first());
            match (place, &letter.thread) {
                (None, _) => {
                    faults.push((Wrong::Lost, format!("message {:?} did not arrive", letter.texts)));
                }
                (Some((thread, _)), Some(asked)) if thread != asked => {
                    faults.push((Wrong::Lost, format!("message {:?} went to {thread}", letter.texts)));
                }
                (Some((thread, n)), _) => {
                    if let Some(order) = letter.order {
                        lanes.entry(thread).or_default().push((order, *n));
                    }
                }
            }
        }
        for (thread, mut lane) in lanes {
            lane.sort_unstable();
            if lane.windows(2).any(|pair| matches!(pair, [(_, first), (_, next)] if first > next)) {
                faults.push((Wrong::Lost, format!("the order of {thread}")));
            }
        }
        for (thread, upto) in &self.marks {
            let mark = feed.marks.get(thread).copied().unwrap_or(0);
            if mark < *upto {
                faults.push((Wrong::Lost, format!("the mark of {thread} is {mark}, not {upto}")));
            }
        }
        let here: BTreeMap<_, _> = rest.rows.iter().map(|row| ((&row.0, &row.1), row)).collect();
        let there: BTreeMap<_, _> = feed.rows.iter().map(|row| ((&row.0, &row.1), row)).collect();
        for ((entity, id), row) in &there {
            if here.get(&(*entity, *id)) != Some(row) {
                faults.push((Wrong::Lost, format!("{entity} {id} is not as the practice has it")));
            }
        }
        for (entity, id) in here.keys().filter(|key| !there.contains_key(*key)) {
            faults.push((Wrong::Doubled, format!("the practice has no {entity} {id}")));
        }
        for (what, count) in
            [("outbox", rest.outbox), ("quarantined", rest.quarantined), ("staged", rest.staged)]
        {
            if count > 0 {
                faults.push((Wrong::Lost, format!("{count} rows in {what} at rest")));
            }
        }
        self.drafts_are(&rest.drafts, &mut faults);
        faults
    }

    fn write(&mut self, text: &str, thread: Option<String>) {
        self.by_text.insert(text.to_owned(), self.letters.len());
        self.letters.push(Letter {
            texts: vec![text.to_owned()],
            presence: Presence::May,
            before: None,
            thread,
            order: Some(self.order),
        });
    }

    fn letter(&mut self, text: &str) -> Option<&mut Letter> {
        self.letters.get_mut(*self.by_text.get(text)?)
    }

    fn change(&mut self, text: &str, change: impl FnOnce(&mut Letter)) {
        if let Some(letter) = self.letter(text) {
            letter.before = Some((letter.texts.clone(), letter.presence));
            change(letter);
        }
    }

    fn settle(&mut self, old: &str, text: &str, presence: Presence) {
        if let Some(letter) = self.letter(old) {
            (letter.texts, letter.presence, letter.before) = (vec![text.to_owned()], presence, None);
        }
    }

    fn doubt(&mut self, key: &str, text: Option<String>) {
        let draft = self.drafts.entry(key.to_owned()).or_default();
        draft.maybe = Some(text);
    }

    fn sure(&mut self, key: &str) {
        if let Some(draft) = self.drafts.get_mut(key)
            && let Some(text) = draft.maybe.take()
        {
            draft.now = text;
        }
    }

    fn undo(&mut self, key: &str) {
        if let Some(draft) = self.drafts.get_mut(key) {
            draft.maybe = None;
        }
    }
}

/// What the practice would have a phone hold.
#[derive(Default)]
pub(crate) struct Feed {
    /// Entity, id, sequence, version, JSON.
    pub(crate) rows: Vec<(String, String, u64, u64, String)>,
    pub(crate) marks: BTreeMap<String, u64>,
}
