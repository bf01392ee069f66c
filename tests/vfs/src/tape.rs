//! What one thread's SQLite did to the disk, in order, and what is to fail.
#![forbid(unsafe_code)]

use rusqlite::ffi;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::c_int;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Files that do not go through SQLite, by their name under the watched directory.
pub type SmallFiles = Arc<BTreeMap<String, Arc<[u8]>>>;

/// One thing that happened. Files are numbered: a name may get another file.
#[derive(Clone, Debug)]
pub enum Event {
    /// A file was made, or found when it was opened first.
    Made {
        /// Its number.
        file: usize,
        /// Its name under the watched directory.
        name: String,
    },
    /// A name was removed.
    Removed {
        /// Which.
        name: String,
    },
    /// Bytes were written.
    Wrote {
        /// Where.
        file: usize,
        /// From which byte on.
        at: usize,
        /// What.
        bytes: Arc<[u8]>,
    },
    /// A file was cut.
    Cut {
        /// Which.
        file: usize,
        /// To how many bytes.
        length: usize,
    },
    /// What was written to a file is safe.
    Synced {
        /// Which.
        file: usize,
    },
    /// The core changed its own files.
    Small(SmallFiles),
}

/// Everything that happened under a directory.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// In order.
    pub events: Vec<Event>,
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The device fails once, with the error code of the call.
    Once,
    /// The device fails from then on.
    Broken,
    /// The disk is full from then on: what writes or makes a file fails.
    Full,
}

/// What SQLite asks of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Open,
    Read,
    Write,
    Truncate,
    Sync,
    Size,
    Lock,
    Delete,
    Access,
    MapShared,
    LockShared,
}

impl Call {
    fn code(self) -> c_int {
        match self {
            Self::Open => ffi::SQLITE_CANTOPEN,
            Self::Read => ffi::SQLITE_IOERR_READ,
            Self::Write => ffi::SQLITE_IOERR_WRITE,
            Self::Truncate => ffi::SQLITE_IOERR_TRUNCATE,
            Self::Sync => ffi::SQLITE_IOERR_FSYNC,
            Self::Size => ffi::SQLITE_IOERR_FSTAT,
            Self::Lock => ffi::SQLITE_IOERR_LOCK,
            Self::Delete => ffi::SQLITE_IOERR_DELETE,
            Self::Access => ffi::SQLITE_IOERR_ACCESS,
            Self::MapShared => ffi::SQLITE_IOERR_SHMMAP,
            Self::LockShared => ffi::SQLITE_IOERR_SHMLOCK,
        }
    }
}

#[derive(Default)]
struct Bench {
    tape: Option<Tape>,
    calls: u64,
    plan: Option<(u64, Fault)>,
    met: bool,
    swallow: bool,
}

#[derive(Default)]
struct Tape {
    root: PathBuf,
    names: BTreeMap<String, usize>,
    files: usize,
    small: SmallFiles,
    recording: Recording,
}

thread_local! {
    static BENCH: RefCell<Bench> = RefCell::default();
}

/// Begins to record what this thread's SQLite does under a directory that is empty or not there yet.
pub fn record(root: &Path) {
    let tape = Tape { root: root.to_owned(), ..Tape::default() };
    BENCH.with_borrow_mut(|bench| bench.tape = Some(tape));
}

/// How many events there are so far, with what the core did to its own files until now.
pub fn mark() -> usize {
    on_tape(Tape::look);
    events()
}

/// How many events there are so far.
pub fn events() -> usize {
    BENCH.with_borrow(|bench| bench.tape.as_ref().map_or(0, |tape| tape.recording.events.len()))
}

/// Ends it.
pub fn stop() -> Recording {
    mark();
    BENCH.with_borrow_mut(|bench| bench.tape.take()).map(|tape| tape.recording).unwrap_or_default()
}

/// Lets the `nth` call of this thread from now on fail, counted from 1.
pub fn fail(nth: u64, fault: Fault) {
    BENCH.with_borrow_mut(|bench| {
        (bench.calls, bench.plan, bench.met) = (0, Some((nth, fault)), false);
    });
}

/// Lets none fail any more; whether one did.
pub fn disarm() -> bool {
    BENCH.with_borrow_mut(|bench| {
        bench.plan = None;
        bench.met
    })
}

/// The calls of this thread since [`fail`].
pub fn calls() -> u64 {
    BENCH.with_borrow(|bench| bench.calls)
}

/// A disk that says that it synced and did not, as some do: what is recorded has no sync. For
/// controls, which have to notice.
pub fn swallow_syncs(swallow: bool) {
    BENCH.with_borrow_mut(|bench| bench.swallow = swallow);
}

/// Counts a call; the error code if it is to fail.
pub(crate) fn fails(call: Call) -> Option<c_int> {
    BENCH.with_borrow_mut(|bench| {
        bench.calls += 1;
        let (nth, fault) = bench.plan?;
        let code = match fault {
            Fault::Once => (bench.calls == nth).then(|| call.code()),
            Fault::Broken => (bench.calls >= nth).then(|| call.code()),
            Fault::Full if bench.calls < nth => None,
            Fault::Full => match call {
                Call::Write => Some(ffi::SQLITE_FULL),
                Call::MapShared => Some(ffi::SQLITE_IOERR_SHMSIZE),
                _ => None,
            },
        };
        bench.met |= code.is_some();
        code
    })
}

pub(crate) fn opened(path: &str) {
    on_tape(|tape| {
        tape.look();
        tape.file(path);
    });
}

pub(crate) fn wrote(path: &str, at: usize, bytes: &[u8]) {
    on_file(path, |file| Event::Wrote { file, at, bytes: bytes.into() });
}

pub(crate) fn cut(path: &str, length: usize) {
    on_file(path, |file| Event::Cut { file, length });
}

pub(crate) fn synced(path: &str) {
    if !BENCH.with_borrow(|bench| bench.swallow) {
        on_file(path, |file| Event::Synced { file });
    }
}

pub(crate) fn removed(path: &str) {
    on_tape(|tape| {
        if let Some(name) = tape.name(path).filter(|name| tape.names.contains_key(name)) {
            tape.look_except(Some(&name));
            tape.names.remove(&name);
            tape.recording.events.push(Event::Removed { name });
        }
    });
}

fn on_tape(act: impl FnOnce(&mut Tape)) {
    BENCH.with_borrow_mut(|bench| bench.tape.as_mut().map(act));
}

fn on_file(path: &str, event: impl FnOnce(usize) -> Event) {
    on_tape(|tape| {
        tape.look();
        if let Some(file) = tape.file(path) {
            tape.recording.events.push(event(file));
        }
    });
}

impl Tape {
    /// The name under the watched directory, of what is of interest.
    fn name(&self, path: &str) -> Option<String> {
        let name = Path::new(path).strip_prefix(&self.root).ok()?.to_str()?;
        (!name.ends_with("-shm")).then(|| name.to_owned())
    }

    fn file(&mut self, path: &str) -> Option<usize> {
        let name = self.name(path)?;
        if let Some(file) = self.names.get(&name) {
            return Some(*file);
        }
        let file = self.files;
        self.files += 1;
        self.names.insert(name.clone(), file);
        self.recording.events.push(Event::Made { file, name });
        Some(file)
    }

    fn look(&mut self) {
        self.look_except(None);
    }

    /// What changed beside SQLite since the last event.
    fn look_except(&mut self, removed: Option<&str>) {
        let gone: Vec<String> = (self.names.keys())
            .filter(|name| Some(name.as_str()) != removed && !self.root.join(name).exists())
            .cloned()
            .collect();
        for name in gone {
            self.names.remove(&name);
            self.recording.events.push(Event::Removed { name });
        }
        let mut small = BTreeMap::new();
        self.collect(&self.root, &mut small);
        if small != *self.small {
            self.small = Arc::new(small);
            self.recording.events.push(Event::Small(self.small.clone()));
        }
    }

    fn collect(&self, directory: &Path, into: &mut BTreeMap<String, Arc<[u8]>>) {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                self.collect(&path, into);
            } else if let Some(name) = path.to_str().and_then(|path| self.name(path))
                && !self.names.contains_key(&name)
                && let Ok(bytes) = std::fs::read(&path)
            {
                into.insert(name, bytes.into());
            }
        }
    }
}
