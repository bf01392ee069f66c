//! Where records are kept: the app's directory, or what a simulator puts in its place.

use super::directory::AppDirectory;
#[cfg(feature = "simulation")]
use crate::error::PortalError;
use std::any::Any;
use std::io::Result;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// Where the encrypted files live.
#[derive(Clone)]
pub enum Files {
    /// A private directory of the app, left out of backups by the shell, and what holds its small files.
    Directory(PathBuf, Arc<dyn FileSystem>),
    /// A simulator's: the database is not encrypted, and every commit is told to its disk.
    #[cfg(feature = "simulation")]
    Simulated(PathBuf, Arc<dyn Disk>),
}

impl Files {
    /// A directory on this machine.
    pub fn directory(root: impl Into<PathBuf>) -> Self {
        Self::Directory(root.into(), Arc::new(AppDirectory))
    }

    pub(crate) fn root(&self) -> &Path {
        match self {
            Self::Directory(root, _) => root,
            #[cfg(feature = "simulation")]
            Self::Simulated(root, _) => root,
        }
    }

    /// What is beside the databases.
    pub(crate) fn system(&self) -> &dyn FileSystem {
        match self {
            Self::Directory(_, system) => system.as_ref(),
            #[cfg(feature = "simulation")]
            Self::Simulated(_, disk) => disk.files(),
        }
    }
}

/// Length, time and number of a file: another one was put in its place when they differ.
pub type Stamp = (u64, Option<SystemTime>, u64);

/// Released when it is dropped, also by a killed process.
pub type Lock = Box<dyn Any + Send>;

/// The small files beside the databases: wrapped keys, the install, marks and locks.
///
/// # Errors
/// Those of the disk, all of them of [`std::io::Error`].
pub trait FileSystem: Send + Sync {
    /// Makes a directory, and those above it, that only this user of the machine can enter.
    fn make_directory(&self, path: &Path) -> Result<()>;
    /// Makes an empty file that only this user of the machine can read, if there is none.
    fn make_file(&self, path: &Path) -> Result<()>;
    /// What a file holds.
    fn read(&self, path: &Path) -> Result<Vec<u8>>;
    /// What a file or directory is known by; `None` when there is none, and an error when that cannot be said.
    fn stamp(&self, path: &Path) -> Result<Option<Stamp>>;
    /// The names in a directory.
    fn names(&self, directory: &Path) -> Result<Vec<String>>;
    /// Gives a file new content, durably: a power cut leaves the old or the new one.
    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<()>;
    /// Removes what a kill left of [`FileSystem::replace`]. A living writer whose file this takes gets an error
    /// and the file of before.
    fn remove_unfinished(&self, path: &Path);
    /// Gives a file another name, in place of any other that has it.
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;
    /// Removes a file, or a directory with everything in it; Ok when there is none.
    fn remove(&self, path: &Path) -> Result<()>;
    /// Makes a new name or a removal in the directory of `path` durable.
    fn sync_directory(&self, path: &Path) -> Result<()>;
    /// Excludes the other processes as long as the answer is held, having waited for them.
    fn lock(&self, path: &Path) -> Result<Lock>;
    /// The same without waiting; `None` when another one has it. A file system without locks has no other
    /// process either.
    fn try_lock(&self, path: &Path) -> Result<Option<Lock>>;
}

/// Opens a connection to the file at a place, as on a phone.
#[cfg(feature = "simulation")]
pub type Make<'a> = &'a dyn Fn(&Path) -> std::result::Result<rusqlite::Connection, PortalError>;

/// What a simulator puts in the disk's place.
#[cfg(feature = "simulation")]
pub trait Disk: Send + Sync {
    /// What is beside the databases.
    fn files(&self) -> &dyn FileSystem;
    /// A transaction is about to be made durable. An error undoes it.
    ///
    /// # Errors
    /// What the disk would answer.
    fn commit(&self) -> Result<()>;
    /// It is durable. An error: whoever wrote it was killed before it heard so.
    ///
    /// # Errors
    /// Any.
    fn committed(&self) -> Result<()>;
    /// A connection to the file at `path`: one that is left from before, or what `make` opens at the
    /// place where the file really is.
    ///
    /// # Errors
    /// Those of `make`, and what the disk would answer.
    fn open(&self, path: &Path, make: Make<'_>) -> std::result::Result<rusqlite::Connection, PortalError>;
    /// Nobody needs the connection any more.
    fn close(&self, connection: rusqlite::Connection);
}
