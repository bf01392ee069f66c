//! Opening a person's file and closing it: with the key that the vault hands out, and never while the app is
//! suspended.

use super::install::{self, Account};
use super::{Session, context, repair, tokens};
use crate::error::{PortalError, Reason};
use crate::log;
use crate::ports::Files;
use crate::proof::{planted, point};
use crate::store::{DatabaseKey, MasterKey, Store};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::RwLockReadGuard;

impl Session {
    pub(super) async fn open_or_make_records(
        &self,
        account: &Account,
        key: Option<MasterKey>,
    ) -> Result<Store, PortalError> {
        let key = match key {
            Some(key) => Some(key),
            // Another process may have made one meanwhile.
            None => self.key(account).await?,
        };
        match key {
            Some(key) => self.open_records(account, &key).await.map(|(store, _)| store),
            None => {
                // No key (any more): what is there is lost.
                install::wipe(&self.ports.files, self.ports.vault.as_ref(), &account.directory)?;
                self.make_records(account).await
            }
        }
    }

    /// The key to somebody's records, from the vault, which may ask the person; `None` when it is gone.
    pub(super) async fn key(&self, account: &Account) -> Result<Option<MasterKey>, PortalError> {
        let directory = self.directory(account);
        if !MasterKey::exists(&directory, &self.ports.files)? {
            return Ok(None);
        }
        let (ports, alias, context) = (self.ports.clone(), account.directory.clone(), context(account));
        let opened = self.mode.blocking(move || MasterKey::open(&directory, &alias, &context, &ports)).await;
        match opened {
            Err(PortalError::Locked { reason: Reason::VaultKeyGone }) => Ok(None),
            opened => opened.map(Some),
        }
    }

    pub(super) async fn open_records(
        &self,
        account: &Account,
        key: &MasterKey,
    ) -> Result<(Store, Option<tokens::Row>), PortalError> {
        point!("unlock.keyed");
        repair::finish(&self.directory(account), self.ports.files.system())?;
        match self.open_file(account, key).await {
            Err(PortalError::Storage { reason: Reason::Damaged }) => {
                self.rebuild(account, self.database_key(key)).await?;
                self.open_file(account, key).await
            }
            opened => opened,
        }
    }

    async fn open_file(
        &self,
        account: &Account,
        key: &MasterKey,
    ) -> Result<(Store, Option<tokens::Row>), PortalError> {
        let store = self.open_store(&self.directory(account), key).await?;
        self.save_unsaved(&store, &account.directory).await?;
        // Read here, where a file that is found damaged can still be replaced.
        let session = store.read(tokens::load).await?;
        Ok((store, session))
    }

    async fn make_records(&self, account: &Account) -> Result<Store, PortalError> {
        let directory = self.directory(account);
        self.ports.files.system().make_directory(&directory)?;
        point!("records.directory-made");
        let (ports, into) = (self.ports.clone(), directory.clone());
        let (alias, context) = (account.directory.clone(), context(account));
        let key = self.mode.blocking(move || MasterKey::create(&into, &alias, &context, &ports)).await?;
        point!("records.keyed");
        self.open_store(&directory, &key).await
    }

    pub(super) fn database_key(&self, key: &MasterKey) -> DatabaseKey {
        match self.ports.files {
            Files::Directory(..) => key.database_key(),
            #[cfg(feature = "simulation")]
            Files::Simulated(..) => DatabaseKey::none(),
        }
    }

    async fn open_store(&self, directory: &Path, key: &MasterKey) -> Result<Store, PortalError> {
        let store = Store::open(directory, self.database_key(key), &self.ports.files, &self.mode).await?;
        log::event(log::LogEvent::StoreOpened, None, 0u64);
        Ok(store)
    }

    /// Closes a file for good, without waiting for its threads.
    pub(super) fn close(&self, store: Arc<Store>) {
        store.close();
        let closing = self.closing.clone();
        list(&closing).push(store.clone());
        self.mode.background(async move {
            // Behind the closing in its queue.
            let _ = store.suspend().await;
            list(&closing).retain(|closing| !Arc::ptr_eq(closing, &store));
        });
    }

    /// Leave to open files, until it is dropped.
    ///
    /// # Errors
    /// `Storage { suspended }`.
    pub(crate) async fn awake(&self) -> Result<RwLockReadGuard<'_, bool>, PortalError> {
        let awake = self.awake.read().await;
        if *awake { Ok(awake) } else { Err(PortalError::storage(Reason::Suspended)) }
    }

    /// Closes every file and opens none until [`Session::resume`]. When this returns Ok, none is open.
    pub(crate) async fn suspend(&self) -> Result<(), PortalError> {
        *self.awake.write().await = planted!(OpensWhileSuspended);
        let open = self.now().user.as_ref().map(|user| user.store.clone());
        if let Some(store) = open {
            store.suspend().await?;
        }
        let closing = list(&self.closing).clone();
        for store in closing {
            store.suspend().await?;
        }
        Ok(())
    }

    /// Lets files be opened again, and opens the one that was open; whether one was.
    pub(crate) async fn resume(&self) -> Result<bool, PortalError> {
        *self.awake.write().await = true;
        match self.store() {
            Ok(store) => store.resume().await.map(|()| true),
            Err(_) => Ok(false),
        }
    }
}

fn list(closing: &Mutex<Vec<Arc<Store>>>) -> MutexGuard<'_, Vec<Arc<Store>>> {
    closing.lock().unwrap_or_else(PoisonError::into_inner)
}
