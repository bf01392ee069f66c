//! What stands in for a device's hardware: a disk that may be full or whose process is killed at any
//! commit, and a key store.

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

/// Where the process is killed, relative to a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    /// Nothing of the transaction is there.
    Before,
    /// The transaction is there, and nobody was told.
    After,
}

/// One process's disk.
#[derive(Default)]
pub(crate) struct SimDisk {
    files: SimFiles,
    shelf: Arc<Shelf>,
    /// Commits so far.
    commits: AtomicU64,
    /// Commits left until the process dies, and how.
    death: Mutex<Option<(u64, Death)>>,
    dead: AtomicBool,
    /// Nothing can be written.
    pub(crate) full: AtomicBool,
}

impl SimDisk {
    /// The disk of a device's next process.
    pub(crate) fn with(files: &SimFiles, shelf: &Arc<Shelf>) -> Self {
        Self { files: files.clone(), shelf: shelf.clone(), ..Self::default() }
    }

    /// How often something became durable.
    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Whether the process was killed at a commit.
    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    /// The process dies at its `n`th commit from now, 0 being the next one.
    pub(crate) fn die(&self, n: u64, death: Death) {
        *locked(&self.death) = Some((n, death));
    }

    /// It does not die of what was arranged.
    pub(crate) fn spare(&self) {
        *locked(&self.death) = None;
    }

    /// Dead at once: whatever is still dropped writes nothing.
    pub(crate) fn kill(&self) {
        self.dead.store(true, Ordering::Relaxed);
    }

    fn dies(&self, at: Death) -> bool {
        let dies = matches!(*locked(&self.death), Some((0, how)) if how == at);
        if dies {
            self.kill();
        }
        dies
    }
}

impl Disk for SimDisk {
    fn files(&self) -> &dyn FileSystem {
        &self.files
    }

    fn commit(&self) -> Result<()> {
        if self.is_dead() || self.dies(Death::Before) {
            return Err(Error::other("dead"));
        }
        if self.full.load(Ordering::Relaxed) {
            return Err(Error::from(ErrorKind::StorageFull));
        }
        Ok(())
    }

    fn committed(&self) -> Result<()> {
        self.commits.fetch_add(1, Ordering::Relaxed);
        if self.dies(Death::After) {
            return Err(Error::other("dead"));
        }
        if let Some((left, _)) = locked(&self.death).as_mut() {
            *left -= 1;
        }
        Ok(())
    }

    fn open(&self, path: &Path, make: Make<'_>) -> std::result::Result<Connection, PortalError> {
        self.shelf.open(&self.files, path, make)
    }

    fn close(&self, connection: Connection) {
        self.shelf.close(connection);
    }
}

/// A device's key store; it outlives every process.
#[derive(Default)]
pub(crate) struct SimVault {
    keys: Mutex<BTreeMap<String, u8>>,
    next: AtomicU64,
}

impl SimVault {
    fn with_key(&self, alias: &str, bytes: Vec<u8>) -> std::result::Result<Vec<u8>, VaultError> {
        let key = locked(&self.keys).get(alias).copied().ok_or(VaultError::KeyGone { code: 1 })?;
        Ok(bytes.into_iter().map(|byte| byte ^ key).collect())
    }
}

impl KeyVault for SimVault {
    fn create(&self, alias: String, _: KeyPolicy) -> std::result::Result<(), VaultError> {
        let fresh = u8::try_from(self.next.fetch_add(1, Ordering::Relaxed) % 251 + 1).unwrap_or(1);
        locked(&self.keys).entry(alias).or_insert(fresh);
        Ok(())
    }

    fn wrap(&self, alias: String, plaintext: Vec<u8>) -> std::result::Result<Vec<u8>, VaultError> {
        self.with_key(&alias, plaintext)
    }

    fn unwrap(&self, alias: String, wrapped: Vec<u8>) -> std::result::Result<Vec<u8>, VaultError> {
        self.with_key(&alias, wrapped)
    }

    fn delete(&self, alias: String) -> std::result::Result<(), VaultError> {
        locked(&self.keys).remove(&alias);
        Ok(())
    }
}
