//! What this install knows before anybody unlocks it, in one file sealed by a key of its own that
//! needs no prompt: whose records are here, a sign-in under way and revocations still to be delivered.
//! No health data. Beside it, unsealed, the practice's public card.
//!
//! Several processes may have it open: every change is made to what the file says under a lock, and
//! whoever is about to decide something looks first whether the file is still the one that was read.

use super::state::State;
use crate::error::{PortalError, Reason};
use crate::ports::{Files, KeyPolicy, KeyVault, Lock, Stamp, VaultError};
use crate::proof::{planted, point};
use crate::store::vault_error;
use crate::values::private_debug;
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use zeroize::Zeroizing;

const FILE: &str = "install";
/// Where a file goes that cannot be read.
const DAMAGED: &str = "install.damaged";
const CARD: &str = "practice.json";
const ALIAS: &str = "portal-install";
/// Most bytes that a key store wraps; reserved at once, since a buffer that grows leaves copies.
const MAX_CONTENT: usize = 64 * 1024;
/// A refresh token waits at most this long to be revoked; the server ends it by itself later.
const TOMBSTONE_MS: i64 = 24 * 3_600_000;

/// The file's content. A missing field is an older version's.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Content {
    /// The directory of whoever is signed in, or was last.
    pub(crate) current: Option<String>,
    pub(crate) accounts: Vec<Account>,
    pub(crate) pending: Option<PendingSignIn>,
    pub(crate) revocations: Vec<Tombstone>,
    /// The code of why only a sign-in helps, although records may be here.
    pub(crate) out: Option<String>,
    /// Where version 1 kept the public card; read once.
    #[serde(skip_serializing)]
    pub(crate) practice: Option<String>,
}

/// One person's records on this install.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) issuer: String,
    pub(crate) subject: String,
    /// Random; also the vault's alias and part of the key's context.
    pub(crate) directory: String,
    /// Random; says nothing about the device, and a sign-out ends it.
    pub(crate) install_id: String,
    pub(crate) endpoints: Endpoints,
}

/// The authorization server's endpoints, all of the practice's origin.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Endpoints {
    pub(crate) authorization: String,
    pub(crate) token: String,
    pub(crate) revocation: String,
}

/// The one sign-in that may be under way; it survives a kill while the browser is in front.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct PendingSignIn {
    pub(crate) state: Zeroizing<String>,
    pub(crate) verifier: Zeroizing<String>,
    pub(crate) install_id: String,
    pub(crate) endpoints: Endpoints,
}

/// A refresh token that a sign-out without network still has to revoke.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Tombstone {
    pub(crate) endpoint: String,
    pub(crate) refresh_token: Zeroizing<String>,
    pub(crate) at: i64,
}

private_debug!(Content, Account, PendingSignIn, Tombstone);

/// The file and its content.
pub(crate) struct Install {
    files: Files,
    vault: Arc<dyn KeyVault>,
    content: Content,
    /// The file when `content` was read from it or written to it.
    stamp: Option<Stamp>,
    /// Why the file cannot be read now. `content` is empty then, and is not written over it.
    unread: Option<PortalError>,
}

/// What reading the file gave.
enum Found {
    Known(Box<Content>),
    Nothing,
    /// These files are a copy on another device, say.
    KeyGone,
    /// The key store works, and these bytes are not what it sealed.
    Damaged,
}

impl Install {
    /// Opens the file, or starts a new install when there is none, its key is gone or it is damaged.
    /// Succeeds whenever the directory can be used: what cannot be read now is asked for again later.
    pub(crate) fn open(files: Files, vault: Arc<dyn KeyVault>) -> Result<Self, PortalError> {
        files.system().make_directory(files.root())?;
        if planted!(WritesAtEveryStart) {
            files.system().replace(&files.root().join("started"), &[])?;
        }
        let mut install = Self { files, vault, content: Content::default(), stamp: None, unread: None };
        // The marks of what cannot be destroyed now stay for the next start.
        if !planted!(WipesNotFinished) {
            let _ = install.finish_wipes();
        }
        install.unread = install.begin().err();
        Ok(install)
    }

    fn begin(&mut self) -> Result<(), PortalError> {
        let _lock = self.lock()?;
        let (files, file) = (self.files.clone(), self.path(FILE));
        files.system().remove_unfinished(&file);
        let found = self.read()?;
        point!("install.read");
        if matches!(found, Found::Damaged) {
            self.set_aside()?;
        }
        let gone = matches!(found, Found::KeyGone);
        let content = match found {
            Found::Known(content) => *content,
            Found::KeyGone => Content::default(),
            // Said until somebody signs in, also when it is a start after the one that found it.
            Found::Damaged | Found::Nothing => {
                let damaged = files.system().stamp(&self.path(DAMAGED))?;
                let out = damaged.map(|_| Reason::Damaged.code().to_owned());
                Content { out, ..Content::default() }
            }
        };
        self.wipe_unnamed(if planted!(RecordsGoAtAStart) { &[] } else { &content.accounts });
        if gone {
            files.system().remove(&file)?;
        }
        // Not before: a key made now would hide that the old one is gone.
        self.vault.create(ALIAS.to_owned(), KeyPolicy::DeviceUnlocked).map_err(vault_error)?;
        point!("install.keyed");
        (self.content, self.stamp) = (content, files.system().stamp(&file)?);
        Ok(())
    }

    /// Reads the file again if it could not be read before, or if another process changed it.
    pub(crate) fn refresh(&mut self) -> Result<(), PortalError> {
        if self.unread.is_some() {
            self.unread = self.begin().err();
            return self.unread.clone().map_or(Ok(()), Err);
        }
        let now = self.files.system().stamp(&self.path(FILE))?;
        if now != self.stamp
            && let Found::Known(content) = self.read()?
        {
            (self.content, self.stamp) = (*content, now);
        }
        Ok(())
    }

    fn read(&self) -> Result<Found, PortalError> {
        let wrapped = match self.files.system().read(&self.path(FILE)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
            wrapped => wrapped?,
        };
        let plain = match self.unwrap(&wrapped) {
            Ok(Some(plain)) => Zeroizing::new(plain),
            Ok(None) => return Ok(Found::Damaged),
            Err(VaultError::KeyGone { .. }) => return Ok(Found::KeyGone),
            Err(error) => return Err(vault_error(error)),
        };
        let Ok(mut content) = serde_json::from_slice::<Content>(&plain) else { return Ok(Found::Damaged) };
        // Whose records a wipe has begun to take, though it was cut short before it could say so.
        let mut there = Vec::new();
        for account in content.accounts {
            let found = |path: &Path| Ok::<_, PortalError>(self.files.system().stamp(path)?.is_some());
            if found(&directory(self.files.root(), &account.directory))?
                && !found(&mark(self.files.root(), &account.directory))?
            {
                there.push(account);
            }
        }
        content.accounts = there;
        Ok(Found::Known(content.into()))
    }

    /// `None` when the key store works and will not open these bytes. Asked several times: what
    /// follows cannot be undone, and a device that is just being unlocked fails now and works then.
    fn unwrap(&self, wrapped: &[u8]) -> Result<Option<Vec<u8>>, VaultError> {
        const PROBE: &[u8] = b"is anybody there";
        for _ in 0..3 {
            match self.vault.unwrap(ALIAS.to_owned(), wrapped.to_vec()) {
                Err(VaultError::Failed { .. }) => {}
                answer => return answer.map(Some),
            }
            let sealed = self.vault.wrap(ALIAS.to_owned(), PROBE.to_vec())?;
            if self.vault.unwrap(ALIAS.to_owned(), sealed)? != PROBE {
                return Err(VaultError::Failed { code: 0 });
            }
        }
        Ok(None)
    }

    fn set_aside(&self) -> Result<(), PortalError> {
        let file = self.path(FILE);
        self.files.system().rename(&file, &self.path(DAMAGED))?;
        Ok(self.files.system().sync_directory(&file)?)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.root().join(name)
    }

    /// Excludes the other processes.
    fn lock(&self) -> Result<Lock, PortalError> {
        Ok(self.files.system().lock(&self.path("install.lock"))?)
    }

    pub(crate) fn content(&self) -> &Content {
        &self.content
    }

    /// Where a session stands that starts from this.
    pub(crate) fn state(&self) -> State {
        match (&self.unread, &self.content.out) {
            (Some(error), _) => State::Locked(error.reason().clone()),
            (None, Some(code)) => State::SignedOut(Reason::from_code(code)),
            (None, None) if self.current().is_some() => State::Locked(Reason::LockedNow),
            (None, None) => State::SignedOut(Reason::NotSignedIn),
        }
    }

    pub(crate) fn is_unread(&self) -> bool {
        self.unread.is_some()
    }

    /// Changes what the file says now, durably or not at all.
    pub(crate) fn update(&mut self, change: impl FnOnce(&mut Content)) -> Result<(), PortalError> {
        if let Some(error) = &self.unread {
            return Err(error.clone());
        }
        let _lock = self.lock()?;
        let mut content = match self.read()? {
            Found::Known(content) => *content,
            Found::KeyGone => return Err(PortalError::locked(Reason::VaultKeyGone)),
            // What is in memory is all that is known.
            Found::Nothing => self.content.clone(),
            Found::Damaged => {
                self.set_aside()?;
                self.content.clone()
            }
        };
        change(&mut content);
        point!("install.changed");
        let mut plain = Zeroizing::new(Vec::with_capacity(MAX_CONTENT));
        serde_json::to_writer(&mut *plain, &content).map_err(|_| PortalError::bug(Reason::Impossible))?;
        let wrapped = self.vault.wrap(ALIAS.to_owned(), std::mem::take(&mut *plain)).map_err(vault_error)?;
        let (file, system) = (self.path(FILE), self.files.system());
        system.replace(&file, &wrapped)?;
        point!("install.saved");
        // One that cannot be said now is another than any that is read later.
        (self.content, self.stamp) = (content, system.stamp(&file).ok().flatten());
        Ok(())
    }

    /// The account that is signed in here, or was last.
    pub(crate) fn current(&self) -> Option<Account> {
        let directory = self.content.current.as_ref()?;
        self.content.accounts.iter().find(|account| account.directory == *directory).cloned()
    }

    /// Revocations still worth a try. The others are forgotten, and their tokens with them.
    pub(crate) fn tombstones(&mut self, wall: i64) -> Vec<Tombstone> {
        let fresh = |tombstone: &Tombstone| wall.saturating_sub(tombstone.at).saturating_abs() < TOMBSTONE_MS;
        // Another process may have added or delivered some; delivering twice does no harm.
        let _ = self.refresh_known();
        if !self.content.revocations.iter().all(fresh) {
            // On a full disk they are only passed over, until there is room.
            let _ = self.update(|content| content.revocations.retain(fresh));
        }
        self.content.revocations.iter().filter(|tombstone| fresh(tombstone)).cloned().collect()
    }

    fn refresh_known(&mut self) -> Result<(), PortalError> {
        if self.unread.is_none() { self.refresh() } else { Ok(()) }
    }

    /// Goes on with every wipe that was begun; how many there were.
    pub(crate) fn finish_wipes(&self) -> Result<usize, PortalError> {
        let names = self.files.system().names(self.files.root())?;
        let begun = names.iter().filter_map(|name| name.strip_prefix("wiping-").map(ToOwned::to_owned));
        self.wipe_all(&begun.collect::<Vec<_>>())
    }

    /// For somebody who wants everything gone while it cannot be read whose it is.
    pub(crate) fn wipe_everybody(&self) -> Result<usize, PortalError> {
        self.wipe_all(&self.directories()?)
    }

    /// What no account names: a sign-in that was killed before it was complete, and what nobody can
    /// open any more because the file that said whose it is is lost.
    fn wipe_unnamed(&self, accounts: &[Account]) {
        // Somebody who is signing in just now has a directory that is not named yet.
        if planted!(UnnamedRecordsStay) {
            return;
        }
        let Ok(Some(_alone)) = self.files.system().try_lock(&self.path(ADMISSION)) else { return };
        let mut unnamed = self.directories().unwrap_or_default();
        unnamed.retain(|name| !accounts.iter().any(|account| account.directory == *name));
        // What cannot be destroyed now is marked for the next start.
        let _ = self.wipe_all(&unnamed);
    }

    /// Everybody's, named or not.
    fn directories(&self) -> Result<Vec<String>, PortalError> {
        match self.files.system().names(&self.path(USERS)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            names => Ok(names?),
        }
    }

    /// One that fails does not save the others.
    fn wipe_all(&self, names: &[String]) -> Result<usize, PortalError> {
        let wiped: Vec<_> = names.iter().map(|name| wipe(&self.files, self.vault.as_ref(), name)).collect();
        wiped.into_iter().collect::<Result<Vec<()>, _>>().map(|wiped| wiped.len())
    }
}

const ADMISSION: &str = "admit.lock";

/// Held while a person's directory is made, until the file names it.
pub(crate) fn admission(files: &Files) -> Result<Lock, PortalError> {
    Ok(files.system().lock(&files.root().join(ADMISSION))?)
}

/// What `GET /v1/practice` gives everybody, as it came: the crisis card without network, session,
/// server or key store.
pub(crate) struct Card {
    files: Files,
    text: Mutex<Option<String>>,
}

impl Card {
    /// `before`: the card where version 1 kept it.
    pub(crate) fn open(files: Files, before: Option<&str>) -> Self {
        let file = files.root().join(CARD);
        files.system().remove_unfinished(&file);
        let text = files.system().read(&file).ok().and_then(|text| String::from_utf8(text).ok());
        let card = Self { text: Mutex::new(text), files };
        if let (None, Some(before)) = (card.text(), before) {
            card.keep(before);
        }
        card
    }

    pub(crate) fn text(&self) -> Option<String> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes over a newer one. Best effort on disk: there the one of before stays.
    pub(crate) fn keep(&self, text: &str) {
        let mut kept = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.as_deref() != Some(text) {
            let _ = self.files.system().replace(&self.files.root().join(CARD), text.as_bytes());
            point!("card.kept");
            *kept = Some(text.to_owned());
        }
    }
}

const USERS: &str = "users";

/// The directory of one account.
pub(crate) fn directory(root: &Path, name: &str) -> PathBuf {
    root.join(USERS).join(name)
}

/// Marks a wipe as begun, destroys the key, then the files. Killed anywhere, [`Install::finish_wipes`] goes
/// on at the next start, before anything else is opened.
pub(crate) fn wipe(files: &Files, vault: &dyn KeyVault, name: &str) -> Result<(), PortalError> {
    let destroyed = destroy_key(files, vault, name);
    // Whatever the vault says: without its wrapped form in there the key opens nothing either.
    point!("wipe.key-destroyed");
    files.system().remove(&directory(files.root(), name))?;
    point!("wipe.removed");
    destroyed?;
    point!("wipe.done");
    Ok(files.system().remove(&mark(files.root(), name))?)
}

/// The first half of [`wipe`]: from here on nothing opens the records any more.
pub(crate) fn destroy_key(files: &Files, vault: &dyn KeyVault, name: &str) -> Result<(), PortalError> {
    let mark = mark(files.root(), name);
    // A full disk must not keep the key alive: the mark only matters if we are killed in between.
    let _ = files.system().make_file(&mark);
    let _ = files.system().sync_directory(&mark);
    point!("wipe.marked");
    vault.delete(name.to_owned()).map_err(vault_error)
}

fn mark(root: &Path, name: &str) -> PathBuf {
    root.join(format!("wiping-{name}"))
}
