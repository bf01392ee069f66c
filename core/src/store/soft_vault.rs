//! A key store in a file, for development: it protects nothing from whoever has the disk.

use crate::error::{PortalError, Reason};
use crate::ports::directory::{self, AppDirectory};
use crate::ports::{FileSystem, KeyPolicy, KeyVault, VaultError};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use std::fs;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Keys as plain files of mode 0600. A phone brings its own [`KeyVault`].
pub struct SoftVault {
    directory: PathBuf,
    random: SystemRandom,
}

impl SoftVault {
    /// The name by which a release build must ask for it.
    pub const NAME: &'static str = "soft-vault-without-hardware";

    /// Opens or makes the key directory. `name` must be [`SoftVault::NAME`] in a release build; a
    /// debug build does not look at it.
    ///
    /// # Errors
    /// `Refused { soft_vault_refused }` in a release build under any other name; `Storage` when the
    /// directory cannot be made.
    #[allow(clippy::disallowed_methods, reason = "a key store has randomness of its own, like hardware")]
    pub fn open(directory: &Path, name: &str) -> Result<Self, PortalError> {
        if !cfg!(debug_assertions) && name != Self::NAME {
            return Err(PortalError::refused(Reason::SoftVaultRefused));
        }
        AppDirectory.make_directory(directory)?;
        Ok(Self { directory: directory.to_owned(), random: SystemRandom::new() })
    }

    fn path(&self, alias: &str) -> Result<PathBuf, VaultError> {
        let plain = !alias.is_empty() && alias.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        plain.then(|| self.directory.join(alias)).ok_or(VaultError::Failed { code: 1 })
    }

    fn key(&self, alias: &str) -> Result<LessSafeKey, VaultError> {
        let bytes = fs::read(self.path(alias)?).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => VaultError::KeyGone { code: 2 },
            _ => VaultError::Failed { code: 3 },
        })?;
        let bytes = Zeroizing::new(bytes);
        let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| VaultError::Failed { code: 4 })?;
        Ok(LessSafeKey::new(key))
    }
}

impl KeyVault for SoftVault {
    fn create(&self, alias: String, _policy: KeyPolicy) -> Result<(), VaultError> {
        let path = self.path(&alias)?;
        if path.exists() {
            return Ok(());
        }
        let mut key = Zeroizing::new([0u8; 32]);
        self.random.fill(key.as_mut()).map_err(|_| VaultError::Failed { code: 5 })?;
        // A link, since it never replaces: of two processes that make the same key, one wins.
        let beside = directory::beside(&path);
        let made =
            directory::write(&beside, key.as_ref()).and_then(|()| match fs::hard_link(&beside, &path) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
                _ => AppDirectory.sync_directory(&path),
            });
        let _ = fs::remove_file(&beside);
        made.map_err(|_| VaultError::Failed { code: 6 })
    }

    fn wrap(&self, alias: String, plaintext: Vec<u8>) -> Result<Vec<u8>, VaultError> {
        let mut nonce = [0u8; 12];
        self.random.fill(&mut nonce).map_err(|_| VaultError::Failed { code: 7 })?;
        let mut sealed = plaintext;
        self.key(&alias)?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(alias.as_bytes()),
                &mut sealed,
            )
            .map_err(|_| VaultError::Failed { code: 8 })?;
        let mut wrapped = nonce.to_vec();
        wrapped.append(&mut sealed);
        Ok(wrapped)
    }

    fn unwrap(&self, alias: String, wrapped: Vec<u8>) -> Result<Vec<u8>, VaultError> {
        let mut opened = wrapped;
        let (nonce, sealed) = opened.split_first_chunk_mut::<12>().ok_or(VaultError::Failed { code: 9 })?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self
            .key(&alias)?
            .open_in_place(nonce, Aad::from(alias.as_bytes()), sealed)
            .map_err(|_| VaultError::Failed { code: 10 })?
            .len();
        // In place: the caller, who erases what is given, gets the only buffer that held it.
        opened.copy_within(12..12 + length, 0);
        opened.truncate(length);
        Ok(opened)
    }

    fn delete(&self, alias: String) -> Result<(), VaultError> {
        AppDirectory.remove(&self.path(&alias)?).map_err(|_| VaultError::Failed { code: 11 })
    }
}
