//! One encrypted file a user. One thread owns the writing connection and one the reading one:
//! nothing of SQLite runs on a caller's thread. In `Inline` mode the same closures run in place.

mod connection;
mod exit;
mod keys;
mod migrate;
mod owner;
#[cfg(any(test, feature = "soft-vault"))]
mod soft_vault;
mod transaction;

pub(crate) use connection::Opener;
pub(crate) use exit::InUse;
pub(crate) use keys::{BALANCED, DatabaseKey, MasterKey, context, erase_stack, vault_error};
#[cfg(any(test, feature = "soft-vault"))]
pub use soft_vault::SoftVault;
pub(crate) use transaction::Transaction;

use crate::error::{PortalError, Reason};
use crate::ports::Files;
use crate::proof::point;
use crate::runtime::Mode;
use connection::Source;
use futures_util::future::BoxFuture;
use owner::Owner;
use rusqlite::Connection;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Called when a read or write finds the file damaged.
pub(crate) type OnDamage = Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// The user's file, open.
pub(crate) struct Store {
    /// `None` in place: one connection does both, so that every run is the same.
    reader: Option<Owner>,
    /// What happens when the file turns out to be damaged, before the verb answers.
    on_damage: OnceLock<OnDamage>,
    /// `None` once closed for good.
    key: Mutex<Option<DatabaseKey>>,
    files: Arc<Files>,
    /// Dropped last: who closes the file last also empties its log.
    writer: Owner,
}

/// The name of the file in a user's directory.
pub(crate) const DATABASE: &str = "portal.db";

impl Store {
    /// Opens or makes the file, with the connection recipe and all migrations.
    ///
    /// # Errors
    /// `Storage { damaged | newer_version | disk_full | file_unavailable | in_use }`.
    pub(crate) async fn open(
        directory: &Path,
        key: DatabaseKey,
        files: &Files,
        mode: &Mode,
    ) -> Result<Self, PortalError> {
        let source = |reads| {
            let opener = Opener { path: directory.join(DATABASE), key: key.clone() };
            Source { opener, files: files.clone(), reads }
        };
        let writer = Owner::start(mode, "portal-write", source(false)).await?;
        let reader = match mode {
            Mode::Inline | Mode::Stepped(_) => None,
            Mode::Threads => Some(Owner::start(mode, "portal-read", source(true)).await?),
        };
        let (files, key) = (Arc::new(files.clone()), Mutex::new(Some(key)));
        Ok(Self { reader, on_damage: OnceLock::new(), key, files, writer })
    }

    /// Runs the closure in one transaction; it is durable when this returns Ok, and nothing of it
    /// happened when it returns an error.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, PortalError> + Send + 'static,
    ) -> Result<T, PortalError> {
        let files = self.files.clone();
        let written = self
            .writer
            .run(move |connection| {
                let tx = Transaction::write(connection)?;
                point!("store.begun");
                let value = work(&tx)?;
                point!("store.worked");
                commit(tx, &files)?;
                point!("store.committed");
                Ok(value)
            })
            .await;
        self.tell(written).await
    }

    /// Runs the closure over one snapshot of the file.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, PortalError> + Send + 'static,
    ) -> Result<T, PortalError> {
        let read = self
            .reader
            .as_ref()
            .unwrap_or(&self.writer)
            .run(move |connection| {
                let tx = Transaction::read(connection)?;
                let value = work(&tx)?;
                tx.commit()?;
                Ok(value)
            })
            .await;
        self.tell(read).await
    }

    /// Sets what happens when the file turns out to be damaged; the first to say so decides.
    pub(crate) fn on_damage(&self, act: OnDamage) {
        let _ = self.on_damage.set(act);
    }

    async fn tell<T>(&self, result: Result<T, PortalError>) -> Result<T, PortalError> {
        if let (Err(PortalError::Storage { reason: Reason::Damaged }), Some(act)) =
            (&result, self.on_damage.get())
        {
            act().await;
        }
        result
    }

    /// What opens the file again, until it is closed for good.
    pub(crate) fn key(&self) -> Option<DatabaseKey> {
        self.key.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn forget_key(&self) {
        self.key.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Closes every connection and returns when no file is locked any more. Calls answer
    /// `Storage { suspended }` until [`Store::resume`].
    pub(crate) async fn suspend(&self) -> Result<(), PortalError> {
        if let Some(reader) = &self.reader {
            reader.suspend().await?;
        }
        self.writer.suspend().await
    }

    /// Closes for good, unless `check` has an objection: no write can come in between. When this
    /// returns Ok, no file is open and the key has left memory.
    pub(crate) async fn end_if<T: Send + 'static>(
        &self,
        check: impl FnOnce(&Connection) -> Result<T, PortalError> + Send + 'static,
    ) -> Result<T, PortalError> {
        let value = self.writer.end_if(check).await?;
        if let Some(reader) = &self.reader {
            reader.end_if(|_| Ok(())).await?;
        }
        self.forget_key();
        Ok(value)
    }

    /// Starts closing every connection, for good, without waiting for it.
    pub(crate) fn close(&self) {
        self.forget_key();
        if let Some(reader) = &self.reader {
            reader.close();
        }
        self.writer.close();
    }

    /// Opens the connections again.
    pub(crate) async fn resume(&self) -> Result<(), PortalError> {
        self.writer.resume().await?;
        match &self.reader {
            Some(reader) => reader.resume().await,
            None => Ok(()),
        }
    }
}

fn commit(tx: Transaction<'_>, files: &Files) -> Result<(), PortalError> {
    match files {
        Files::Directory(..) => tx.commit(),
        #[cfg(feature = "simulation")]
        Files::Simulated(_, disk) => {
            disk.commit()?;
            tx.commit()?;
            Ok(disk.committed()?)
        }
    }
}

fn suspended() -> PortalError {
    PortalError::storage(Reason::Suspended)
}

#[cfg(test)]
mod tests;
