//! TLS with the practice's roots and, on top of them, its pinned keys.

use super::bad;
use crate::error::PortalError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Keys of which at least one must be in the practice's certificate chain: the leaf's, or that of an
/// intermediate which leads from the leaf to a root. Pin keys that the practice holds, and always
/// one more than is in use, or a lost key locks every client out.
///
/// Several sets may be in force at once; a key of any of them will do. When every set has expired,
/// the roots alone decide (an old app must still reach its practice) and the app should be updated.
/// A set without an end is in force for ever.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct PinSet {
    /// Base64 of the SHA-256 of the `SubjectPublicKeyInfo`; two different ones at least.
    pub spki_sha256: Vec<String>,
    /// From when on the set no longer counts.
    #[uniffi(default = None)]
    pub expires_at: Option<SystemTime>,
}

/// Whether there were pins and all have expired by `now`. The roots alone decide then, and the app is
/// too old: ask for an update.
pub fn pins_expired(sets: &[PinSet], now: SystemTime) -> bool {
    !sets.is_empty() && sets.iter().all(|set| set.expires_at.is_some_and(|end| now >= end))
}

/// One set of pins, checked and decoded.
#[derive(Clone, Debug)]
struct Pinned {
    keys: BTreeSet<[u8; 32]>,
    /// Seconds since 1970.
    until: Option<u64>,
}

impl Pinned {
    fn counts(&self, now: u64) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// All sets of pins of the practice.
#[derive(Clone, Debug)]
pub(super) struct Pins(Arc<[Pinned]>);

impl Pins {
    pub(super) fn new(sets: &[PinSet]) -> Result<Self, PortalError> {
        sets.iter()
            .map(pinned)
            .collect::<Option<Vec<_>>>()
            .map(|sets| Self(sets.into()))
            .ok_or_else(|| bad("pins"))
    }

    fn in_force(&self, now: u64) -> bool {
        self.0.iter().any(|set| set.counts(now))
    }

    fn hold(&self, key: &[u8], now: u64) -> bool {
        let hash = digest(&SHA256, key);
        let mut sets = self.0.iter().filter(|set| set.counts(now));
        sets.any(|set| set.keys.iter().any(|pin| pin.as_slice() == hash.as_ref()))
    }
}

fn pinned(set: &PinSet) -> Option<Pinned> {
    let decode = |pin: &String| <[u8; 32]>::try_from(STANDARD.decode(pin).ok()?).ok();
    let keys = set.spki_sha256.iter().map(decode).collect::<Option<BTreeSet<_>>>()?;
    (keys.len() >= 2).then(|| Pinned { keys, until: set.expires_at.map(unix_seconds) })
}

fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The configuration for the practice's host.
pub(super) fn client_config(roots_pem: &str, pins: Pins) -> Result<ClientConfig, PortalError> {
    let roots = Arc::new(roots(roots_pem)?);
    let provider = provider();
    let verifier = Verifier {
        algorithms: provider.signature_verification_algorithms,
        webpki: WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
            .build()
            .map_err(|_| bad("roots_pem"))?,
        roots,
        pins,
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|_| bad("roots_pem"))?
        .dangerous() // the library's word for one's own verifier; ours only adds to the library's
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // A resumed session would tie one person's connections to the next one's on the same phone,
    // and would not show the certificate again.
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// The configuration for plain http on this machine: no certificate is good enough.
pub(super) fn trust_nobody() -> Result<ClientConfig, PortalError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|_| bad("practice_url"))?;
    Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn roots(pem: &str) -> Result<RootCertStore, PortalError> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|_| bad("roots_pem"))?;
        store.add(certificate).map_err(|_| bad("roots_pem"))?;
    }
    Ok(store)
}

/// Chain, time, purpose and name first, by the library; then the pins, in the same handshake, so
/// that no byte of a request meets a server without a pinned key.
#[derive(Debug)]
struct Verifier {
    webpki: Arc<WebPkiServerVerifier>,
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
    pins: Pins,
}

impl Verifier {
    /// Looks for a pinned key on a *verified* path. Certificates that the server only sent along
    /// prove nothing: anybody can append the practice's public intermediate to a chain of his own.
    fn check_pins(
        &self,
        leaf: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let seconds = now.as_secs();
        if !self.pins.in_force(seconds) {
            return Ok(());
        }
        let wrong_pin = CertificateError::ApplicationVerificationFailure;
        let leaf = webpki::EndEntityCert::try_from(leaf).map_err(|_| CertificateError::BadEncoding)?;
        let has_pin = |path: &webpki::VerifiedPath<'_>| {
            let keys = path.intermediate_certificates().map(|c| c.subject_public_key_info());
            let mut keys = std::iter::once(path.end_entity().subject_public_key_info()).chain(keys);
            let found = keys.any(|key| self.pins.hold(&key, seconds));
            if found { Ok(()) } else { Err(webpki::Error::UnknownIssuer) }
        };
        let path = leaf.verify_for_usage(
            self.algorithms.all,
            &self.roots.roots,
            sent,
            now,
            webpki::KeyUsage::server_auth(),
            None,
            Some(&has_pin),
        );
        path.map(drop).map_err(|_| wrong_pin.into())
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self
            .webpki
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            .map_err(same_name_other_key)?;
        self.check_pins(end_entity, intermediates, now)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

/// A chain that ends in a root's name but not in its key is of an unknown authority.
fn same_name_other_key(error: rustls::Error) -> rustls::Error {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::BadSignature) => {
            CertificateError::UnknownIssuer.into()
        }
        other => other,
    }
}
