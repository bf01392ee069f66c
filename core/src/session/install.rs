//! What this install knows before anybody unlocks it, in one file sealed by a key of its own that
//! needs no prompt: whose records are here, a sign-in under way, revocations still to be delivered,
//! and the practice's public card. No health data.

use crate::error::{PortalError, Reason};
use crate::ports::{KeyPolicy, KeyVault, VaultError};
use crate::store::{files, vault_error};
use crate::values::private_debug;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

const FILE: &str = "install";
const ALIAS: &str = "portal-install";
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
    /// `GET /v1/practice` as it came: the crisis card without network, session or server.
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
    pub(crate) state: String,
    pub(crate) verifier: String,
    pub(crate) install_id: String,
    pub(crate) endpoints: Endpoints,
}

/// A refresh token that a sign-out without network still has to revoke.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Tombstone {
    pub(crate) endpoint: String,
    pub(crate) refresh_token: String,
    pub(crate) at: i64,
}

private_debug!(Content, Account, PendingSignIn, Tombstone);

/// The file and its content.
pub(crate) struct Install {
    path: PathBuf,
    vault: Arc<dyn KeyVault>,
    content: Content,
}

impl Install {
    /// Opens the file, or starts a new install when there is none or its key is gone.
    pub(crate) fn open(root: &Path, vault: Arc<dyn KeyVault>) -> Result<Self, PortalError> {
        files::private_directory(root)?;
        finish_wipes(root, vault.as_ref())?;
        let path = root.join(FILE);
        let known: Option<Content> = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
            Ok(wrapped) => match vault.unwrap(ALIAS.to_owned(), wrapped) {
                // Its key is gone (these files are a copy on another device, say): a new install.
                Err(VaultError::KeyGone { .. }) => None,
                Err(error) => return Err(vault_error(error)),
                Ok(plain) => {
                    let plain = Zeroizing::new(plain);
                    Some(serde_json::from_slice(&plain).map_err(|_| PortalError::storage(Reason::Damaged))?)
                }
            },
        };
        let mut content = match known {
            Some(content) => content,
            None => {
                wipe_everybody(root, vault.as_ref())?;
                Content::default()
            }
        };
        // Not before: a key made now would hide that the old one is gone.
        vault.create(ALIAS.to_owned(), KeyPolicy::DeviceUnlocked).map_err(vault_error)?;
        // Whose records a wipe has taken, though it was cut short before it could say so.
        content.accounts.retain(|account| directory(root, &account.directory).is_dir());
        Ok(Self { path, vault, content })
    }

    pub(crate) fn content(&self) -> &Content {
        &self.content
    }

    /// Changes the content durably, or not at all.
    pub(crate) fn update(&mut self, change: impl FnOnce(&mut Content)) -> Result<(), PortalError> {
        let mut content = self.content.clone();
        change(&mut content);
        let plain = serde_json::to_vec(&content).map_err(|_| PortalError::bug(Reason::Impossible))?;
        let wrapped = self.vault.wrap(ALIAS.to_owned(), plain).map_err(vault_error)?;
        files::replace(&self.path, &wrapped)?;
        self.content = content;
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
        if !self.content.revocations.iter().all(fresh) {
            // On a full disk they are only passed over, until there is room.
            let _ = self.update(|content| content.revocations.retain(fresh));
        }
        self.content.revocations.iter().filter(|tombstone| fresh(tombstone)).cloned().collect()
    }
}

/// The directory of one account.
pub(crate) fn directory(root: &Path, name: &str) -> PathBuf {
    root.join("users").join(name)
}

/// Marks a wipe as begun, destroys the key, then the files. Killed anywhere, [`finish_wipes`] goes
/// on at the next start, before anything else is opened.
pub(crate) fn wipe(root: &Path, name: &str, vault: &dyn KeyVault) -> Result<(), PortalError> {
    let directory = directory(root, name);
    // A full disk must not keep the key alive: the mark only matters if we are killed in between.
    let _ = files::private_file(&mark(root, name));
    let _ = files::sync_directory(&mark(root, name));
    vault.delete(name.to_owned()).map_err(vault_error)?;
    files::remove(&directory)?;
    files::remove(&mark(root, name))
}

fn mark(root: &Path, name: &str) -> PathBuf {
    root.join(format!("wiping-{name}"))
}

fn finish_wipes(root: &Path, vault: &dyn KeyVault) -> Result<(), PortalError> {
    for entry in std::fs::read_dir(root)? {
        let file = entry?.file_name();
        if let Some(name) = file.to_str().and_then(|name| name.strip_prefix("wiping-")) {
            wipe(root, name, vault)?;
        }
    }
    Ok(())
}

/// Nobody knows whose the directories are: no one can open them any more.
fn wipe_everybody(root: &Path, vault: &dyn KeyVault) -> Result<(), PortalError> {
    let Ok(entries) = std::fs::read_dir(root.join("users")) else { return Ok(()) };
    for entry in entries {
        if let Some(name) = entry?.file_name().to_str() {
            wipe(root, name, vault)?;
        }
    }
    Ok(())
}
