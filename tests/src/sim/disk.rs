//! What stands in for a device's hardware: a disk that may be full or whose process is killed at anything
//! that it writes, and a key store.

use super::files::SimFiles;
use super::shelf::Shelf;
use crate::practice::locked;
use portal_core::PortalError;
use portal_core::ports::{Disk, FileSystem, KeyPolicy, KeyVault, Make, VaultError};
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Result};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Where the process is killed, relative to what it writes: a transaction, a file or a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    /// Nothing of it is there.
    Before,
    /// It is there, and nobody was told.
    After,
}

/// What befalls one process at what it writes.
#[derive(Default)]
pub(crate) struct Fate {
    /// Writes left until it dies, and how.
    death: Mutex<Option<(u64, Death)>>,
    dead: AtomicBool,
    /// Nothing new has room; the device's, whatever process runs.
    full: Arc<AtomicBool>,
}

impl Fate {
    /// Writes, unless the process is dead or dies of it. `grows`: a full disk has no room for it.
    ///
    /// # Errors
    /// What the disk would answer; whoever is dead gets any, and must not make anything of it.
    pub(super) fn write<T>(&self, grows: bool, write: impl FnOnce() -> Result<T>) -> Result<T> {
        self.before(grows)?;
        let written = write()?;
        self.after()?;
        Ok(written)
    }

    fn before(&self, grows: bool) -> Result<()> {
        if self.is_dead() || self.dies(Death::Before) {
            return Err(Error::other("dead"));
        }
        if grows && self.full.load(Ordering::Relaxed) {
            return Err(Error::from(ErrorKind::StorageFull));
        }
        Ok(())
    }

    fn after(&self) -> Result<()> {
        if self.dies(Death::After) {
            return Err(Error::other("dead"));
        }
        if let Some((left, _)) = locked(&self.death).as_mut() {
            *left -= 1;
        }
        Ok(())
    }

    fn dies(&self, at: Death) -> bool {
        let dies = matches!(*locked(&self.death), Some((0, how)) if how == at);
        if dies {
            self.dead.store(true, Ordering::Relaxed);
        }
        dies
    }

    fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }
}

/// One process's disk.
#[derive(Default)]
pub(crate) struct SimDisk {
    files: SimFiles,
    shelf: Arc<Shelf>,
    fate: Arc<Fate>,
    /// Transactions so far.
    commits: AtomicU64,
}

impl SimDisk {
    /// The disk of a device's next process; `full`: see [`Fate`].
    pub(crate) fn with(files: &SimFiles, shelf: &Arc<Shelf>, full: &Arc<AtomicBool>) -> Self {
        let fate = Arc::new(Fate { full: full.clone(), ..Fate::default() });
        Self { files: files.of(&fate), shelf: shelf.clone(), fate, commits: AtomicU64::new(0) }
    }

    /// What befalls its process.
    pub(crate) fn fate(&self) -> &Arc<Fate> {
        &self.fate
    }

    /// How many transactions became durable.
    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Whether the process was killed at something that it wrote.
    pub(crate) fn is_dead(&self) -> bool {
        self.fate.is_dead()
    }

    /// The process dies at the `n`th thing that it writes from now, 0 being the next one.
    pub(crate) fn die(&self, n: u64, death: Death) {
        *locked(&self.fate.death) = Some((n, death));
    }

    /// It does not die of what was arranged.
    pub(crate) fn spare(&self) {
        *locked(&self.fate.death) = None;
    }

    /// Dead at once: whatever is still dropped writes nothing.
    pub(crate) fn kill(&self) {
        self.fate.dead.store(true, Ordering::Relaxed);
    }
}

impl Disk for SimDisk {
    fn files(&self) -> &dyn FileSystem {
        &self.files
    }

    fn commit(&self) -> Result<()> {
        self.fate.before(true)
    }

    fn committed(&self) -> Result<()> {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.fate.after()
    }

    fn open(&self, path: &Path, make: Make<'_>) -> std::result::Result<Connection, PortalError> {
        self.shelf.open(&self.files, path, make)
    }

    fn close(&self, connection: Connection) {
        self.shelf.close(connection);
    }
}

/// What a key store holds; it outlives every process.
#[derive(Default)]
pub(crate) struct Keys {
    keys: Mutex<BTreeMap<String, u8>>,
    next: AtomicU64,
}

impl Keys {
    /// The names of all of them.
    pub(crate) fn names(&self) -> Vec<String> {
        locked(&self.keys).keys().cloned().collect()
    }
}

/// The key store, as one process sees it.
pub(crate) struct SimVault {
    keys: Arc<Keys>,
    fate: Arc<Fate>,
}

impl SimVault {
    pub(crate) fn of(keys: &Arc<Keys>, fate: &Arc<Fate>) -> Self {
        Self { keys: keys.clone(), fate: fate.clone() }
    }

    fn with_key(&self, alias: &str, bytes: Vec<u8>) -> std::result::Result<Vec<u8>, VaultError> {
        let key = locked(&self.keys.keys).get(alias).copied().ok_or(VaultError::KeyGone { code: 1 })?;
        Ok(bytes.into_iter().map(|byte| byte ^ key).collect())
    }

    /// A full disk is not the key store's.
    fn change(&self, change: impl FnOnce(&Keys)) -> std::result::Result<(), VaultError> {
        let changed = self.fate.write(false, || {
            change(&self.keys);
            Ok(())
        });
        changed.map_err(|_| VaultError::Failed { code: 2 })
    }
}

impl KeyVault for SimVault {
    fn create(&self, alias: String, _: KeyPolicy) -> std::result::Result<(), VaultError> {
        if locked(&self.keys.keys).contains_key(&alias) {
            return Ok(());
        }
        self.change(|keys| {
            let fresh = u8::try_from(keys.next.fetch_add(1, Ordering::Relaxed) % 251 + 1).unwrap_or(1);
            locked(&keys.keys).insert(alias, fresh);
        })
    }

    fn wrap(&self, alias: String, plaintext: Vec<u8>) -> std::result::Result<Vec<u8>, VaultError> {
        self.with_key(&alias, plaintext)
    }

    fn unwrap(&self, alias: String, wrapped: Vec<u8>) -> std::result::Result<Vec<u8>, VaultError> {
        self.with_key(&alias, wrapped)
    }

    fn delete(&self, alias: String) -> std::result::Result<(), VaultError> {
        self.change(|keys| {
            locked(&keys.keys).remove(&alias);
        })
    }
}
