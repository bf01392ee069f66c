//! What has been promised: the acts whose verb returned, as a person would remember them. The checks
//! hold phones and practice to it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// What is owed of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owed {
    /// The verb returned: it arrives once, or is shown as refused with the text intact.
    Once,
    /// The process was killed in the verb, or the records were given up: at most once.
    AtMostOnce,
    /// Taken back, replaced, or never taken: never.
    Never,
}

/// A message that somebody wrote.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Its conversation, where that is known.
    pub(crate) thread: Option<String>,
    /// Its text, which no other entry has.
    pub(crate) text: String,
    /// What is owed.
    pub(crate) owed: Owed,
    /// Its place in its conversation's queue.
    pub(crate) order: u64,
    /// Nobody knows where it stands in its queue: counters began anew before its answer, say.
    pub(crate) renumbered: bool,
    /// The base has it: from now on the feed's checks look after it.
    pub(crate) in_base: bool,
}

impl Entry {
    /// Its conversation; empty where nobody knows it.
    pub(crate) fn conversation(&self) -> &str {
        self.thread.as_deref().unwrap_or_default()
    }

    /// Whether a screen has to show it, or must not.
    pub(crate) fn is_looked_for(&self) -> bool {
        self.owed == Owed::Once && !self.in_base || self.owed == Owed::Never
    }
}

/// The records of one person on one device, as long as their directory is there.
#[derive(Clone, Debug)]
pub(crate) struct Book {
    /// The device.
    pub(crate) device: usize,
    /// The person.
    pub(crate) person: usize,
    /// Where the records are.
    pub(crate) directory: PathBuf,
    /// Somebody asked for these records to go.
    pub(crate) leaving: bool,
    /// They are what the device has open, or would open.
    pub(crate) open: bool,
    /// They are gone, and nothing is owed any more.
    pub(crate) closed: bool,
    /// Their file was gone when the checks last looked.
    pub(crate) gone: bool,
    /// Everything written here.
    pub(crate) entries: Vec<Entry>,
    /// By key, each text that may be there; `None` is no draft.
    pub(crate) drafts: BTreeMap<String, BTreeSet<Option<String>>>,
    /// By conversation, how far it is read.
    pub(crate) marks: BTreeMap<String, u64>,
}

impl Book {
    /// A book for fresh records.
    pub(crate) fn new(device: usize, person: usize, directory: PathBuf) -> Self {
        Self {
            device,
            person,
            directory,
            leaving: false,
            open: true,
            closed: false,
            gone: false,
            entries: Vec::new(),
            drafts: BTreeMap::new(),
            marks: BTreeMap::new(),
        }
    }

    /// Writes down that a draft is this now, or may be.
    pub(crate) fn draft(&mut self, key: String, text: Option<String>, certain: bool) {
        let texts = self.drafts.entry(key).or_insert_with(|| BTreeSet::from([None]));
        if certain {
            texts.clear();
        }
        texts.insert(text);
    }

    /// The records are gone with the client's or the practice's will: nothing more is owed.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        for entry in &mut self.entries {
            if entry.owed == Owed::Once {
                entry.owed = Owed::AtMostOnce;
            }
        }
    }
}
