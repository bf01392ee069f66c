//! The key hierarchy of SECURITY 7.2: a random master key, wrapped by a hardware key; every other
//! key is derived from it.

use crate::error::{PortalError, Reason};
use crate::ports::{Files, KeyPolicy, Ports, VaultError};
use crate::proof::point;
use crate::values::Secret;
use ring::{digest, hkdf};
use std::fmt::Write as _;
use std::path::Path;
use zeroize::Zeroizing;

/// The file in a user's directory that holds the wrapped master key.
const FILE: &str = "master.key";
/// Version of the wrapped form: `version | seal (32) | master key (32)`, where the seal is SHA-256 of
/// context and master key: wrong bytes are known before they come near the database.
const VERSION: u8 = 1;

/// 32 bytes that stay in one place until they are erased: an array would leave a copy on the stack
/// of every function that it is handed through.
type Key = Secret<Box<[u8]>>;

/// 32 random bytes from which all keys of one user on one install are derived.
pub(crate) struct MasterKey(Key);

/// The raw key of the database file.
#[derive(Clone)]
pub(crate) struct DatabaseKey(Key);

/// What the key belongs to: SHA-256 of issuer, subject and install. A wrapped key that was copied
/// from another account or install is refused.
pub(crate) fn context(issuer: &str, subject: &str, install: &str) -> [u8; 32] {
    let mut hash = digest::Context::new(&digest::SHA256);
    for part in [issuer, subject, install] {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let mut out = [0; 32];
    out.copy_from_slice(hash.finish().as_ref());
    out
}

/// Binds a key to what it belongs to.
fn seal(context: &[u8; 32], key: &[u8]) -> [u8; 32] {
    let seal = hash(context, key);
    erase_stack::<DERIVED>();
    seal
}

// A call of its own: the hash keeps its last block, which holds the key, until it is written over.
#[inline(never)]
fn hash(context: &[u8; 32], key: &[u8]) -> [u8; 32] {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(context);
    hash.update(key);
    let mut out = [0; 32];
    out.copy_from_slice(hash.finish().as_ref());
    out
}

impl MasterKey {
    /// Makes the hardware key and a new master key, and writes the wrapped form durably.
    pub(crate) fn create(
        directory: &Path,
        alias: &str,
        context: &[u8; 32],
        ports: &Ports,
    ) -> Result<Self, PortalError> {
        let vault = ports.vault.as_ref();
        vault.create(alias.to_owned(), KeyPolicy::PersonPresent).map_err(vault_error)?;
        point!("key.made");
        let mut key = vec![0u8; 32].into_boxed_slice();
        ports.entropy.fill(&mut key);
        let key = Secret::new(key);
        let mut plain = Zeroizing::new(Vec::with_capacity(65));
        plain.push(VERSION);
        plain.extend_from_slice(&seal(context, key.expose()));
        plain.extend_from_slice(key.expose());
        let wrapped = vault.wrap(alias.to_owned(), std::mem::take(&mut *plain)).map_err(vault_error)?;
        point!("key.wrapped");
        ports.files.system().replace(&directory.join(FILE), &wrapped)?;
        point!("key.written");
        Ok(Self(key))
    }

    /// Asks the hardware for the key. Only key material opens anything: there is no boolean.
    pub(crate) fn open(
        directory: &Path,
        alias: &str,
        context: &[u8; 32],
        ports: &Ports,
    ) -> Result<Self, PortalError> {
        let wrapped =
            ports.files.system().read(&directory.join(FILE)).map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => PortalError::locked(Reason::VaultKeyGone),
                _ => PortalError::from(error),
            })?;
        let plain = Zeroizing::new(ports.vault.unwrap(alias.to_owned(), wrapped).map_err(vault_error)?);
        let wrong = || PortalError::locked(Reason::WrongKey);
        let (version, rest) = plain.split_first().ok_or_else(wrong)?;
        let (found, key) = rest.split_at_checked(32).ok_or_else(wrong)?;
        if *version != VERSION || key.len() != 32 || found != seal(context, key) {
            return Err(wrong());
        }
        Ok(Self(Secret::new(key.into())))
    }

    /// Whether this directory has a wrapped key at all. An error is no "no": what follows that cannot be undone.
    pub(crate) fn exists(directory: &Path, files: &Files) -> Result<bool, PortalError> {
        Ok(files.system().stamp(&directory.join(FILE))?.is_some())
    }

    pub(crate) fn database_key(&self) -> DatabaseKey {
        DatabaseKey(self.derive(b"db/v1"))
    }

    fn derive(&self, purpose: &'static [u8]) -> Key {
        let key = self.expand(purpose);
        erase_stack::<DERIVED>();
        key
    }

    // A call of its own, so that what HKDF leaves on the stack lies below this one's caller.
    #[inline(never)]
    fn expand(&self, purpose: &'static [u8]) -> Key {
        let mut out = vec![0u8; 32].into_boxed_slice();
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(self.0.expose());
        // 32 bytes are far below HKDF's bound, so neither step can fail.
        if let Ok(okm) = prk.expand(&[purpose], hkdf::HKDF_SHA256) {
            let _ = okm.fill(&mut out);
        }
        Secret::new(out)
    }
}

/// What SQLite leaves on the stack, with room: up to six pages of 16 KiB when it balances a tree (ADR 16).
pub(crate) const BALANCED: usize = 192 * 1024;

/// What deriving a key leaves on the stack, with room: HKDF returns its blocks by value.
const DERIVED: usize = 16 * 1024;

/// Writes over what finished calls left on the stack: a thread that then waits for work would keep it.
#[inline(never)]
pub(crate) fn erase_stack<const BYTES: usize>() {
    std::hint::black_box(&mut [0u8; BYTES]);
}

impl DatabaseKey {
    /// No encryption: simulations are not about secrets, and AES would take most of their time.
    #[cfg(feature = "simulation")]
    pub(crate) fn none() -> Self {
        Self(Secret::new(Box::default()))
    }

    pub(crate) fn is_none(&self) -> bool {
        self.0.expose().is_empty()
    }

    /// `PRAGMA key` with the raw key: no password function on the start path.
    pub(crate) fn pragma(&self) -> Zeroizing<String> {
        let mut sql = Zeroizing::new(String::with_capacity(96));
        sql.push_str("PRAGMA key = \"x'");
        for byte in self.0.expose().iter() {
            let _ = write!(sql, "{byte:02x}");
        }
        sql.push_str("'\";");
        sql
    }
}

/// The one place that turns a key store's answer into ours.
pub(crate) fn vault_error(error: VaultError) -> PortalError {
    PortalError::locked(match error {
        VaultError::Refused { .. } => Reason::VaultRefused,
        VaultError::KeyGone { .. } => Reason::VaultKeyGone,
        VaultError::Failed { .. } => Reason::VaultFailed,
    })
}
