//! The five things that come from outside (DESIGN rule 6): `Transport`, `Clock`, `Entropy`,
//! `KeyVault` and the `Files` root. Production and simulator each bring their own.

pub(crate) mod directory;
mod files;
pub(crate) mod system;

pub use directory::AppDirectory;
#[cfg(feature = "simulation")]
pub use files::{Disk, Make};
pub use files::{FileSystem, Files, Lock, Stamp};

use crate::error::Reason;
use crate::values::Millis;
use async_trait::async_trait;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

/// Everything from outside that one portal uses.
#[derive(Clone)]
pub struct Ports {
    /// The network.
    pub transport: Arc<dyn Transport>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Keys that never leave the hardware.
    pub vault: Arc<dyn KeyVault>,
    /// Where files may be.
    pub files: Files,
}

/// One request with its bounds.
pub struct Exchange {
    /// Method, absolute URL, headers and body.
    pub request: http::Request<Vec<u8>>,
    /// Most bytes of the decoded answer; a longer one is [`TransportError::TooLarge`].
    pub max_body: usize,
    /// From the first connection attempt to the last byte.
    pub timeout: Duration,
}

/// Carries one request to the practice and brings the answer, or says that there was none.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Sends the request once: no redirects, no retries, no cookies. An answer of any status is Ok.
    ///
    /// # Errors
    /// [`TransportError`] when no whole answer arrived; the request may still have taken effect.
    async fn send(&self, exchange: Exchange) -> Result<http::Response<Vec<u8>>, TransportError>;
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// No connection (no network, no route, refused, name unknown).
    #[error("no connection")]
    NoConnection,
    /// The bound on time was reached.
    #[error("timed out")]
    TimedOut,
    /// The connection ended in the middle.
    #[error("connection lost")]
    ConnectionLost,
    /// More bytes than allowed, counted after decoding.
    #[error("answer too large")]
    TooLarge,
    /// An answer that is not HTTP, or not decodable.
    #[error("bad answer")]
    BadAnswer,
    /// A 3xx with a location.
    #[error("redirected")]
    Redirected,
    /// Not https to the practice's host (nor loopback where allowed); nothing was sent.
    #[error("address not allowed")]
    AddressNotAllowed,
    /// The certificate is expired or not yet valid; no request byte was sent.
    #[error("certificate expired")]
    CertificateExpired,
    /// Not signed by one of the given roots; no request byte was sent.
    #[error("certificate of an unknown authority")]
    CertificateUnknownAuthority,
    /// A certificate for another host; no request byte was sent.
    #[error("certificate of another host")]
    CertificateWrongHost,
    /// No pinned key in the chain; no request byte was sent.
    #[error("certificate with a key that is not pinned")]
    CertificateWrongPin,
    /// TLS failed otherwise; no request byte was sent.
    #[error("tls failed")]
    TlsFailed,
}

impl From<TransportError> for Reason {
    fn from(error: TransportError) -> Self {
        match error {
            TransportError::NoConnection => Self::NoConnection,
            TransportError::TimedOut => Self::TimedOut,
            TransportError::ConnectionLost => Self::ConnectionLost,
            TransportError::TooLarge => Self::AnswerTooLarge,
            TransportError::BadAnswer => Self::BadAnswer,
            TransportError::Redirected => Self::Redirected,
            TransportError::AddressNotAllowed => Self::AddressNotAllowed,
            TransportError::CertificateExpired => Self::CertificateExpired,
            TransportError::CertificateUnknownAuthority => Self::CertificateUnknownAuthority,
            TransportError::CertificateWrongHost => Self::CertificateWrongHost,
            TransportError::CertificateWrongPin => Self::CertificateWrongPin,
            TransportError::TlsFailed => Self::TlsFailed,
        }
    }
}

/// Time. Rules use boot time; the wall clock only stamps what is shown or sent as claimed.
pub trait Clock: Send + Sync {
    /// The wall clock, which the user may set to anything.
    fn wall(&self) -> Millis;
    /// Milliseconds since boot, never going back, counting on while the device sleeps
    /// (`CLOCK_BOOTTIME`, `mach_continuous_time`).
    fn boot(&self) -> u64;
    /// Completes after that much boot time.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// Cryptographic randomness.
pub trait Entropy: Send + Sync {
    /// Fills the whole buffer.
    fn fill(&self, buffer: &mut [u8]);
}

/// Whether a key may be used without the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum KeyPolicy {
    /// Usable whenever the device is unlocked.
    DeviceUnlocked,
    /// Usable only after the person proved presence (biometry or device credential) for this use.
    PersonPresent,
}

/// Keys in the device's hardware (Secure Enclave, Android Keystore). The core hands over what is to
/// be wrapped and keeps only the wrapped form; there is no unlock by a boolean. Calls may block on a
/// prompt and are never made on the caller's thread.
#[uniffi::export(with_foreign)]
pub trait KeyVault: Send + Sync {
    /// Makes a key that cannot be exported, on this device only. An existing one stays as it is.
    fn create(&self, alias: String, policy: KeyPolicy) -> Result<(), VaultError>;
    /// Encrypts and authenticates up to 64 KiB under the key.
    fn wrap(&self, alias: String, plaintext: Vec<u8>) -> Result<Vec<u8>, VaultError>;
    /// Reverses `wrap`, asking the person when the key's policy says so.
    fn unwrap(&self, alias: String, wrapped: Vec<u8>) -> Result<Vec<u8>, VaultError>;
    /// Destroys the key; what it wrapped can never be read again. Ok when there is none.
    fn delete(&self, alias: String) -> Result<(), VaultError>;
}

/// Why the key store did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, uniffi::Error)]
pub enum VaultError {
    /// The person cancelled, or was not recognised. Asking again may work.
    #[error("refused")]
    Refused {
        /// A platform code for the log, without personal text.
        code: i32,
    },
    /// The key no longer exists (deleted, or invalidated by a new enrolment).
    #[error("key gone")]
    KeyGone {
        /// A platform code for the log.
        code: i32,
    },
    /// Anything else.
    #[error("failed")]
    Failed {
        /// A platform code for the log.
        code: i32,
    },
}

impl From<uniffi::UnexpectedUniFFICallbackError> for VaultError {
    fn from(_: uniffi::UnexpectedUniFFICallbackError) -> Self {
        Self::Failed { code: -1 }
    }
}
