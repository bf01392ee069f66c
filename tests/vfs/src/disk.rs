//! What a power cut leaves of a recorded disk: see the crate's documentation for the model.
#![forbid(unsafe_code)]

use crate::tape::{Event, SmallFiles};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// What a disk loses or keeps at once.
const SECTOR: usize = 512;

/// A disk at one event of a recording.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    /// What is safe.
    names: BTreeMap<String, usize>,
    files: Vec<Vec<u8>>,
    /// What is not, in order.
    waiting: Vec<Waiting>,
    small: SmallFiles,
}

#[derive(Clone, Debug)]
enum Waiting {
    Write { file: usize, at: usize, bytes: Arc<[u8]> },
    Cut { file: usize, length: usize },
    Make { file: usize, name: String },
    Remove { name: String },
}

/// Files as a cut left them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// Those of SQLite.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The core's own.
    pub small: SmallFiles,
}

impl Disk {
    /// Takes in the next event.
    pub fn play(&mut self, event: &Event) {
        let waiting = match event {
            Event::Made { file, name } => Waiting::Make { file: *file, name: name.clone() },
            Event::Removed { name } => Waiting::Remove { name: name.clone() },
            Event::Wrote { file, at, bytes } => Waiting::Write { file: *file, at: *at, bytes: bytes.clone() },
            Event::Cut { file, length } => Waiting::Cut { file: *file, length: *length },
            Event::Synced { file } => return self.sync(*file),
            Event::Small(small) => {
                self.small = small.clone();
                return;
            }
        };
        self.waiting.push(waiting);
    }

    fn sync(&mut self, synced: usize) {
        for waiting in std::mem::take(&mut self.waiting) {
            match waiting.file() {
                Some(file) if file != synced => self.waiting.push(waiting),
                _ => apply(&waiting, u64::MAX, &mut self.names, &mut self.files),
            }
        }
    }

    /// How much is not safe: the number of fates that [`Disk::image`] asks for.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The fates of a cut that keeps the first so many of what is not safe.
    pub fn first(&self, kept: usize) -> Vec<u64> {
        (0..self.waiting.len()).map(|at| if at < kept { u64::MAX } else { 0 }).collect()
    }

    /// The fates of cuts in the middle of the write that came last, everything before it kept: its
    /// first sector, its first two, and so on. None when the last event was no write.
    pub fn torn(&self) -> Vec<Vec<u64>> {
        let Some(Waiting::Write { at, bytes, .. }) = self.waiting.last() else { return Vec::new() };
        let before = self.first(self.waiting.len() - 1);
        (1..sectors(*at, bytes.len()).min(64))
            .map(|kept| {
                let mut fates = before.clone();
                if let Some(last) = fates.last_mut() {
                    *last = (1 << kept) - 1;
                }
                fates
            })
            .collect()
    }

    /// The fates of a cut after which some of it is there and some is not: of a half of the writes all,
    /// of a quarter none, of a quarter some sectors. The journal is kept up to a place.
    pub fn random(&self, mut number: impl FnMut() -> u64) -> Vec<u64> {
        let journal = self.waiting.iter().filter(|waiting| waiting.is_journal()).count() as u64;
        let kept = number() % (journal + 1);
        let mut seen = 0;
        let mut fate = |waiting: &Waiting| {
            if waiting.is_journal() {
                seen += 1;
                return if seen <= kept { u64::MAX } else { 0 };
            }
            match (number() % 4, waiting) {
                (0, _) => 0,
                (1, Waiting::Write { at, bytes, .. }) if sectors(*at, bytes.len()) > 1 => number(),
                _ => u64::MAX,
            }
        };
        self.waiting.iter().map(&mut fate).collect()
    }

    /// What a cut leaves when what is not safe meets these fates, one each: 0 lost, otherwise kept; of
    /// a write, the lowest bit stands for its first sector, and the highest for all from the 64th on.
    pub fn image(&self, fates: &[u64]) -> Image {
        let (mut names, mut files) = (self.names.clone(), self.files.clone());
        for (waiting, fate) in self.waiting.iter().zip(fates) {
            apply(waiting, *fate, &mut names, &mut files);
        }
        let content = |file: usize| files.get(file).cloned().unwrap_or_default();
        let files = names.into_iter().map(|(name, file)| (name, content(file))).collect();
        Image { files, small: self.small.clone() }
    }
}

impl Waiting {
    /// The file whose sync it waits for; none for what goes through the journal.
    fn file(&self) -> Option<usize> {
        match self {
            Self::Write { file, .. } | Self::Cut { file, .. } => Some(*file),
            Self::Make { .. } | Self::Remove { .. } => None,
        }
    }

    fn is_journal(&self) -> bool {
        self.file().is_none()
    }
}

/// How many sectors a write touches.
fn sectors(at: usize, length: usize) -> usize {
    (at + length).div_ceil(SECTOR) - at / SECTOR
}

fn apply(waiting: &Waiting, fate: u64, names: &mut BTreeMap<String, usize>, files: &mut Vec<Vec<u8>>) {
    if fate == 0 {
        return;
    }
    if let Some(file) = waiting.file()
        && files.len() <= file
    {
        files.resize(file + 1, Vec::new());
    }
    match waiting {
        Waiting::Make { file, name } => drop(names.insert(name.clone(), *file)),
        Waiting::Remove { name } => drop(names.remove(name)),
        Waiting::Cut { file, length } => {
            if let Some(content) = files.get_mut(*file) {
                content.resize(*length, 0);
            }
        }
        Waiting::Write { file, at, bytes } => {
            let Some(content) = files.get_mut(*file) else { return };
            let mut from = 0;
            for sector in 0..sectors(*at, bytes.len()) {
                let to = ((at / SECTOR + sector + 1) * SECTOR - at).min(bytes.len());
                if fate >> sector.min(63) & 1 == 1 {
                    put(content, at + from, bytes.get(from..to).unwrap_or_default());
                }
                from = to;
            }
        }
    }
}

fn put(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    if let Some(place) = content.get_mut(at..end) {
        place.copy_from_slice(bytes);
    }
}

impl Image {
    /// Lays the files out in a directory, in place of what is there.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn lay_out(&self, root: &Path) -> std::io::Result<()> {
        match std::fs::remove_dir_all(root) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => std::fs::create_dir_all(root)?,
        }
        let own = self.small.iter().map(|(name, bytes)| (name, &**bytes));
        for (name, bytes) in self.files.iter().map(|(name, bytes)| (name, &**bytes)).chain(own) {
            let path = root.join(name);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::write(path, bytes)?;
        }
        Ok(())
    }
}
