//! Comparing, hashing and forming secrets.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::{digest, pbkdf2};
use std::num::NonZeroU32;

/// A SHA-256 digest: how tokens are stored.
pub(crate) type Digest = [u8; 32];

/// The SHA-256 digest of some bytes.
pub(crate) fn sha256(bytes: &[u8]) -> Digest {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

/// Whether two secrets are equal, in a time that depends on their lengths alone.
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    let difference = a.iter().zip(b).fold(0, |all, (x, y)| all | (x ^ y));
    a.len() == b.len() && std::hint::black_box(difference) == 0
}

/// Base64url without padding.
pub(crate) fn base64url(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// The bytes of base64url without padding, in its one canonical form.
pub(crate) fn from_base64url(text: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(text).ok()
}

/// RFC 7636: whether the verifier belongs to the S256 challenge.
pub(crate) fn pkce_matches(verifier: &str, challenge: &str) -> bool {
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    let well_formed = (43..=128).contains(&verifier.len()) && verifier.bytes().all(unreserved);
    well_formed && same(base64url(&sha256(verifier.as_bytes())).as_bytes(), challenge.as_bytes())
}

/// Whether a text has the form of an S256 challenge.
pub(crate) fn is_challenge(text: &str) -> bool {
    text.len() == 43 && from_base64url(text).is_some()
}

/// A password as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct PasswordHash {
    salt: [u8; 16],
    iterations: NonZeroU32,
    hash: Digest,
}

impl PasswordHash {
    /// Hashes a password; this is the slow step.
    pub(crate) fn new(password: &str, salt: [u8; 16], iterations: NonZeroU32) -> Self {
        let mut hash = [0; 32];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &salt, password.as_bytes(), &mut hash);
        Self { salt, iterations, hash }
    }

    /// Whether the password is this one; as slow as [`PasswordHash::new`], right or wrong.
    pub(crate) fn verify(&self, password: &str) -> bool {
        let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
        pbkdf2::verify(algorithm, self.iterations, &self.salt, password.as_bytes(), &self.hash).is_ok()
    }
}
