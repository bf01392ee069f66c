//! A device's small files, in memory: they outlive its processes, its locks do not.

use super::disk::Fate;
use crate::practice::locked;
use portal_core::ports::{FileSystem, Lock, Stamp};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Error, ErrorKind, Result};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// What a path stands for.
enum Entry {
    Directory,
    /// Its content, and the number of that.
    File(Vec<u8>, u64),
}

#[derive(Default)]
struct State {
    /// By path. What is in a directory comes after it.
    entries: BTreeMap<String, Entry>,
    held: BTreeSet<String>,
    /// Contents so far.
    written: u64,
}

/// All of them, as one process sees them.
#[derive(Clone, Default)]
pub(crate) struct SimFiles {
    state: Arc<Mutex<State>>,
    fate: Arc<Fate>,
}

fn name(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

fn absent() -> Error {
    Error::from(ErrorKind::NotFound)
}

impl SimFiles {
    /// The same files, as a process of that fate sees them.
    pub(super) fn of(&self, fate: &Arc<Fate>) -> Self {
        Self { state: self.state.clone(), fate: fate.clone() }
    }

    /// Whether somebody holds a lock.
    pub(super) fn is_locked(&self, path: &Path) -> bool {
        locked(&self.state).held.contains(name(path))
    }
}

/// What is written in one piece is there or not, whenever the process is killed.
impl FileSystem for SimFiles {
    fn make_directory(&self, path: &Path) -> Result<()> {
        if self.stamp(path)?.is_some() {
            return Ok(());
        }
        self.fate.write(true, || {
            let mut state = locked(&self.state);
            for above in path.ancestors() {
                state.entries.entry(name(above).to_owned()).or_insert(Entry::Directory);
            }
            Ok(())
        })
    }

    fn make_file(&self, path: &Path) -> Result<()> {
        if self.stamp(path)?.is_some() { Ok(()) } else { self.replace(path, &[]) }
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>> {
        match locked(&self.state).entries.get(name(path)) {
            Some(Entry::File(bytes, _)) => Ok(bytes.clone()),
            _ => Err(absent()),
        }
    }

    fn stamp(&self, path: &Path) -> Result<Option<Stamp>> {
        let state = locked(&self.state);
        let stamp = state.entries.get(name(path)).map(|entry| match entry {
            Entry::Directory => (0, None, 0),
            Entry::File(bytes, number) => (bytes.len() as u64, None, *number),
        });
        Ok(stamp)
    }

    fn names(&self, directory: &Path) -> Result<Vec<String>> {
        let state = locked(&self.state);
        let above = format!("{}/", name(directory));
        state.entries.get(name(directory)).ok_or_else(absent)?;
        let below = state.entries.range(above.clone()..).map_while(|(path, _)| path.strip_prefix(&above));
        Ok(below.filter(|rest| !rest.contains('/')).map(ToOwned::to_owned).collect())
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        self.fate.write(true, || {
            let mut state = locked(&self.state);
            let above = path.parent().and_then(|above| state.entries.get(name(above)));
            above.ok_or_else(absent)?;
            state.written += 1;
            let file = Entry::File(bytes.to_owned(), state.written);
            state.entries.insert(name(path).to_owned(), file);
            Ok(())
        })
    }

    fn remove_unfinished(&self, _: &Path) {}

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.fate.write(false, || {
            let mut state = locked(&self.state);
            let entry = state.entries.remove(name(from)).ok_or_else(absent)?;
            state.entries.insert(name(to).to_owned(), entry);
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> Result<()> {
        self.fate.write(false, || {
            let above = format!("{}/", name(path));
            locked(&self.state).entries.retain(|entry, _| entry != name(path) && !entry.starts_with(&above));
            Ok(())
        })
    }

    fn sync_directory(&self, _: &Path) -> Result<()> {
        Ok(())
    }

    /// Nobody waits here: one process at a time is on a device, and each verb lets go before it waits.
    fn lock(&self, path: &Path) -> Result<Lock> {
        self.try_lock(path)?.ok_or_else(|| Error::from(ErrorKind::Deadlock))
    }

    fn try_lock(&self, path: &Path) -> Result<Option<Lock>> {
        self.make_file(path)?;
        let free = locked(&self.state).held.insert(name(path).to_owned());
        Ok(free.then(|| Box::new(Held(self.clone(), name(path).to_owned())) as Lock))
    }
}

struct Held(SimFiles, String);

impl Drop for Held {
    fn drop(&mut self) {
        locked(&self.0.state).held.remove(&self.1);
    }
}
