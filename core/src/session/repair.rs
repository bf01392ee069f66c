//! A file that cannot be read: a fresh one takes its place, with everything that only this device
//! has (what waits to be sent, drafts, the session) as far as it can still be read. The rest comes
//! from the practice. The damaged file stays beside it under the same key.
//!
//! Every step is durable before the next: the fresh file is made whole under a name of its own, then
//! renamed; from then on [`finish`] brings the exchange to its end, now or at the next opening.

use super::Session;
use super::install::{Account, Install};
use super::state::{Event, State};
use super::tokens::{self, Row};
use crate::change::Change;
use crate::error::{PortalError, Reason};
use crate::ports::FileSystem;
use crate::ports::directory::private_file;
use crate::proof::point;
use crate::store::{BALANCED, DATABASE, DatabaseKey, InUse, Opener, Store, Transaction, erase_stack};
use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, params_from_iter};
use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard, PoisonError};

/// The fresh file while it is made, and when it is whole.
const BEGUN: &str = "repair.db";
const WHOLE: &str = "repaired.db";
const SUFFIXES: [&str; 3] = ["-wal", "-shm", ""];

impl Session {
    /// What the install knows, read again if it could not be before or if another process changed it.
    pub(crate) fn known(&self) -> Result<MutexGuard<'_, Install>, PortalError> {
        let mut install = self.install();
        let was_unread = install.is_unread();
        install.refresh()?;
        if was_unread {
            self.now().state = install.state();
            if let (None, Some(card)) = (self.card.text(), &install.content().practice) {
                self.card.keep(card);
            }
            self.changes.emit(&Change::Session);
        }
        Ok(install)
    }

    /// Whose records an unlock opens.
    pub(super) fn locked_account(&self) -> Result<Account, PortalError> {
        let account = self.known()?.current();
        match (self.state(), account) {
            (State::SignedOut(reason), _) => Err(PortalError::signed_out(reason)),
            (_, Some(account)) => Ok(account),
            (_, None) => {
                // Another process signed out.
                self.apply(Event::Destroyed(Reason::NotSignedIn));
                Err(PortalError::signed_out(Reason::NotSignedIn))
            }
        }
    }

    /// A wipe that finds nobody: what remains of an earlier one goes; while it cannot be read whose
    /// the records are, all of them.
    pub(super) fn wipe_remains(&self) -> Result<(), PortalError> {
        let install = self.install();
        let wiped = if install.is_unread() { install.wipe_everybody() } else { install.finish_wipes() };
        match wiped? {
            0 => Err(PortalError::signed_out(Reason::NotSignedIn)),
            _ => Ok(()),
        }
    }

    /// Has the open file replaced when a verb finds damage in it. The verb answers `damaged`; the next
    /// one works on the fresh file, or hears that a sign-in is needed.
    pub(super) fn watch_over(self: &Arc<Self>, store: &Arc<Store>) {
        let (session, weak) = (Arc::downgrade(self), Arc::downgrade(store));
        store.on_damage(Box::new(move || {
            let (session, store) = (session.clone(), weak.clone());
            Box::pin(async move {
                if let (Some(session), Some(store)) = (session.upgrade(), store.upgrade()) {
                    // To its end, whoever found the damage.
                    let mode = session.mode.clone();
                    let mended = mode.run(async move {
                        session.mend(&store).await;
                        Ok(())
                    });
                    let _ = mended.await;
                }
            })
        }));
    }

    async fn mend(self: &Arc<Self>, store: &Arc<Store>) {
        // Whoever opens or closes the file just now finds the damage too.
        let Ok(_door) = self.door.try_lock() else { return };
        let user = self.now().user.clone().filter(|user| Arc::ptr_eq(&user.store, store));
        let Some(user) = user else { return };
        let (Some(key), Ok(_awake)) = (store.key(), self.awake().await) else { return };
        let directory = self.directory(&user.account);
        let files = self.ports.files.clone();
        let damaged = move || damage_is_in_the_file(&directory, key, files.system());
        let worth_it = self.mode.blocking(damaged).await;
        if !worth_it.unwrap_or(true) {
            return;
        }
        match self.replaced(&user.account, store).await {
            Ok((fresh, Some(row))) => {
                let mut now = self.now();
                // Locked meanwhile: then the fresh file closes again.
                match now.user.as_mut().filter(|user| Arc::ptr_eq(&user.store, store)) {
                    Some(user) => (user.store, user.access) = (fresh.clone(), row.access),
                    None => return,
                }
                drop(now);
                point!("repair.adopted");
                self.watch_over(&fresh);
                self.changes.emit(&Change::Everything);
                if let Some(act) = self.on_repair.get() {
                    act();
                }
            }
            Ok((_, None)) => self.leave_records(self.now(), Event::Destroyed(Reason::Damaged)),
            // A full disk, say: the file is closed, and the next unlock tries again.
            Err(_) => self.leave_records(self.now(), Event::Locked(Reason::LockedNow)),
        }
    }

    /// Closes a damaged file and opens a fresh one in its place.
    pub(super) async fn replaced(
        &self,
        account: &Account,
        store: &Arc<Store>,
    ) -> Result<(Arc<Store>, Option<Row>), PortalError> {
        let key = store.key().ok_or_else(|| PortalError::storage(Reason::Suspended))?;
        let _ = store.end_if(|_| Ok(())).await;
        self.rebuild(account, key.clone()).await?;
        let fresh = Store::open(&self.directory(account), key, &self.ports.files, &self.mode).await?;
        self.save_unsaved(&fresh, &account.directory).await?;
        let session = fresh.read(tokens::load).await?;
        Ok((Arc::new(fresh), session))
    }

    /// Puts a fresh file in the place of a damaged one that nobody has open here.
    pub(super) async fn rebuild(&self, account: &Account, key: DatabaseKey) -> Result<(), PortalError> {
        let directory = self.directory(account);
        let (from, files) = (directory.clone(), self.ports.files.clone());
        let build = move || {
            let _in_use = InUse::begin();
            let session = build(&from, &key, files.system());
            erase_stack::<BALANCED>();
            session
        };
        let session = self.mode.blocking(build).await?;
        let unsaved = self
            .unsaved
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .map(|rotated| rotated.directory.clone());
        if !session && unsaved.as_ref() != Some(&account.directory) {
            // Before the exchange: a start after a kill must not show an empty list as if it were all.
            self.say_damaged();
        }
        let files = self.ports.files.clone();
        self.mode
            .blocking(move || {
                let files = files.system();
                point!("repair.synced");
                files.rename(&directory.join(BEGUN), &directory.join(WHOLE))?;
                point!("repair.whole");
                files.sync_directory(&directory.join(WHOLE))?;
                finish(&directory, files)
            })
            .await
    }

    /// Durably: only a sign-in helps, and the records have to come again.
    pub(super) fn say_damaged(&self) {
        // Best effort: without it the next unlock finds no session and comes here again.
        let _ = self.install().update(|content| content.out = Some(Reason::Damaged.code().to_owned()));
    }
}

/// Brings an exchange to its end that had begun.
pub(super) fn finish(directory: &Path, files: &dyn FileSystem) -> Result<(), PortalError> {
    let (whole, database) = (directory.join(WHOLE), directory.join(DATABASE));
    if files.stamp(&whole)?.is_none() {
        return Ok(());
    }
    let aside = aside(directory, files)?;
    // The log first: beside the fresh file it would be taken for that one's.
    for suffix in SUFFIXES {
        match files.rename(&with(&database, suffix), &with(&aside, suffix)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        point!("repair.one-aside");
    }
    point!("repair.moved-aside");
    files.sync_directory(&database)?;
    point!("repair.aside");
    files.rename(&whole, &database)?;
    point!("repair.renamed");
    Ok(files.sync_directory(&database)?)
}

/// The next free `damaged-<n>.db`: what was set aside earlier is never overwritten.
fn aside(directory: &Path, files: &dyn FileSystem) -> Result<PathBuf, PortalError> {
    let mut n = 1;
    loop {
        let name = directory.join(format!("damaged-{n}.db"));
        if files.stamp(&name)?.is_none() {
            return Ok(name);
        }
        n += 1;
    }
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Makes the fresh file with what can be saved; whether the session is among it.
fn build(directory: &Path, key: &DatabaseKey, files: &dyn FileSystem) -> Result<bool, PortalError> {
    let opener = |name: &str| Opener { path: directory.join(name), key: key.clone() };
    for suffix in SUFFIXES {
        files.remove(&with(&directory.join(BEGUN), suffix))?;
    }
    let mut fresh = opener(BEGUN).writer()?;
    point!("repair.begun");
    let tx = Transaction::write(&mut fresh)?;
    // One of which not even the first page can be read has nothing to give.
    if files.stamp(&directory.join(DATABASE))?.is_some()
        && let Ok(damaged) = opener(DATABASE).reader()
    {
        for table in ["outbox", "draft", "session"] {
            save(&damaged, &tx, table)?;
        }
        // Whose counters the numbers of the outbox are: the refill settles them, as after any resync.
        let place =
            damaged.query_row("SELECT epoch, install FROM feed", [], |row| Ok((row.get(0)?, row.get(1)?)));
        if let Ok(place) = place {
            let (epoch, install): (String, String) = place;
            tx.execute("UPDATE feed SET epoch = ?1, install = ?2", (epoch, install))?;
        }
    }
    point!("repair.copied");
    tx.commit()?;
    point!("repair.saved");
    let session = fresh.query_row("SELECT count(*) FROM session", [], |row| row.get::<_, i64>(0))? > 0;
    fresh.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    // Its log leaves with the last connection.
    fresh.close().map_err(|(_, error)| error)?;
    point!("repair.closed");
    private_file(&directory.join(BEGUN))?.sync_all()?;
    Ok(session)
}

/// Copies the rows that can be read, from both ends: what cannot lies between.
fn save(from: &Connection, to: &Transaction<'_>, table: &str) -> Result<(), PortalError> {
    for order in ["ASC", "DESC"] {
        let Ok(mut select) = from.prepare(&format!("SELECT * FROM {table} ORDER BY 1 {order}")) else {
            return Ok(());
        };
        let columns = select.column_count();
        let names: Vec<&str> = select.column_names().collect();
        let (names, marks) = (names.join(", "), vec!["?"; columns].join(", "));
        let mut insert = to.prepare(&format!("INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})"))?;
        let Ok(mut rows) = select.query([]) else { return Ok(()) };
        loop {
            match rows.next() {
                Ok(None) => return Ok(()),
                Err(_) => break,
                Ok(Some(row)) => {
                    let values = (0..columns).map(|at| row.get_ref(at).map(ToSqlOutput::Borrowed));
                    insert.execute(params_from_iter(values.collect::<Result<Vec<_>, _>>()?))?;
                }
            }
        }
    }
    Ok(())
}

/// Whether a fresh file can help: not when the pages are whole and it was tried before, since then a
/// record is what this version cannot read, and would come again with every refill.
fn damage_is_in_the_file(
    directory: &Path,
    key: DatabaseKey,
    files: &dyn FileSystem,
) -> Result<bool, PortalError> {
    if aside(directory, files)?.ends_with("damaged-1.db") {
        return Ok(true);
    }
    let _in_use = InUse::begin();
    let check = || -> Result<bool, PortalError> {
        let connection = Opener { path: directory.join(DATABASE), key }.reader()?;
        let pages = connection.prepare("PRAGMA cipher_integrity_check")?.exists([])?;
        let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        Ok(pages || found != "ok")
    };
    Ok(check().unwrap_or_else(|error| error == PortalError::storage(Reason::Damaged)))
}
