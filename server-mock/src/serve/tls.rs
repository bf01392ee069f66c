//! The certificates: a development authority that may sign for this machine only, the leaf in use,
//! and a second key pair whose pin a client can hold before the practice moves to it.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Datelike, Duration, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, PublicKeyData, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Where the keys of the certificates live.
#[derive(Debug, Clone, Default)]
pub enum Tls {
    /// New keys at every start, in memory only.
    #[default]
    Memory,
    /// Keys kept in a folder (files of mode 0600), so that a device can trust them once.
    Directory(PathBuf),
    /// No TLS at all. Refused unless the address is a loopback one.
    Off,
}

/// Why the certificates could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A key or certificate was refused by the library that makes or serves it.
    #[error("the development certificate could not be made: {0}")]
    Certificate(String),
    /// A kept key or certificate could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// The file in question.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What a server needs to speak TLS, and what its clients need to trust it.
pub(crate) struct Identity {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) ca_pem: String,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) leaf_pin: String,
    pub(crate) backup_pin: String,
}

impl Identity {
    /// Makes or reads the keys, and issues a leaf that is valid around `now`.
    pub(crate) fn new(directory: Option<&Path>, now: DateTime<Utc>) -> Result<Self, TlsError> {
        let keys = KeyFiles { directory };
        keys.prepare()?;
        let ca_key = keys.key_pair("ca-key.pem")?;
        let leaf_key = keys.key_pair("leaf-key.pem")?;
        let backup_key = keys.key_pair("backup-key.pem")?;

        let ca = authority(now)?;
        let ca_pem = ca.self_signed(&ca_key).map_err(refused)?.pem();
        // Written at every start: trust hangs on the kept name and key, not on these very bytes.
        let ca_file = keys.publish("ca.pem", &ca_pem)?;
        let leaf = leaf(now)?.signed_by(&leaf_key, &Issuer::from_params(&ca, &ca_key)).map_err(refused)?;

        Ok(Self {
            config: server_config(leaf.der().clone(), &leaf_key)?,
            ca_pem,
            ca_file,
            leaf_pin: pin(&leaf_key),
            backup_pin: pin(&backup_key),
        })
    }
}

/// Base64 of the SHA-256 of the key's SubjectPublicKeyInfo, as a pin set writes it.
fn pin(key: &KeyPair) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, &key.subject_public_key_info());
    STANDARD.encode(digest)
}

fn authority(now: DateTime<Utc>) -> Result<CertificateParams, TlsError> {
    let mut ca = CertificateParams::default();
    ca.distinguished_name = named("Reference practice development CA");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // Whoever trusts this authority on a phone trusts it for this machine and for nothing else.
    ca.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![
            GeneralSubtree::DnsName("localhost".into()),
            GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix([127, 0, 0, 0], 8)),
            GeneralSubtree::IpAddress(CidrSubnet::from_v6_prefix(
                std::net::Ipv6Addr::LOCALHOST.octets(),
                128,
            )),
        ],
        excluded_subtrees: Vec::new(),
    });
    valid(&mut ca, now, 3650);
    Ok(ca)
}

fn leaf(now: DateTime<Utc>) -> Result<CertificateParams, TlsError> {
    let hosts = ["localhost", "127.0.0.1", "::1"].map(String::from);
    let mut leaf = CertificateParams::new(hosts).map_err(refused)?;
    leaf.distinguished_name = named("localhost");
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    // 398 days is the longest that phones accept of any server certificate.
    valid(&mut leaf, now, 396);
    Ok(leaf)
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

/// Valid from yesterday, so that a phone whose clock runs late is not turned away.
fn valid(params: &mut CertificateParams, now: DateTime<Utc>, days: i64) {
    let day = |at: DateTime<Utc>| date_time_ymd(at.year(), at.month() as u8, at.day() as u8);
    params.not_before = day(now - Duration::days(1));
    params.not_after = day(now + Duration::days(days));
}

fn server_config(leaf: CertificateDer<'static>, key: &KeyPair) -> Result<Arc<ServerConfig>, TlsError> {
    let key =
        PrivateKeyDer::try_from(key.serialize_der()).map_err(|why| TlsError::Certificate(why.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(refused)?
        .with_no_client_auth()
        .with_single_cert(vec![leaf], key)
        .map_err(refused)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn refused(why: impl std::fmt::Display) -> TlsError {
    TlsError::Certificate(why.to_string())
}

/// The folder of `--tls-dir`; without one everything is made new and forgotten.
struct KeyFiles<'a> {
    directory: Option<&'a Path>,
}

impl KeyFiles<'_> {
    fn prepare(&self) -> Result<(), TlsError> {
        match self.directory {
            Some(folder) => create_private_folder(folder)
                .map_err(|source| TlsError::File { path: folder.to_owned(), source }),
            None => Ok(()),
        }
    }

    /// The key pair kept under this name; made and kept if there is none yet.
    fn key_pair(&self, name: &str) -> Result<KeyPair, TlsError> {
        let Some(folder) = self.directory else {
            return KeyPair::generate().map_err(refused);
        };
        let path = folder.join(name);
        let kept = match fs::read_to_string(&path) {
            Ok(pem) => KeyPair::from_pem(&pem)
                .map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why.to_string())),
            Err(why) if why.kind() == io::ErrorKind::NotFound => {
                let key = KeyPair::generate().map_err(refused)?;
                write_private_file(&path, &key.serialize_pem()).map(|()| key)
            }
            Err(why) => Err(why),
        };
        kept.map_err(|source| TlsError::File { path, source })
    }

    fn publish(&self, name: &str, pem: &str) -> Result<Option<PathBuf>, TlsError> {
        let Some(folder) = self.directory else {
            return Ok(None);
        };
        let path = folder.join(name);
        match write_private_file(&path, pem) {
            Ok(()) => Ok(Some(path)),
            Err(source) => Err(TlsError::File { path, source }),
        }
    }
}

fn create_private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Written beside and renamed, so that a start cut short leaves no half a key.
fn write_private_file(path: &Path, text: &str) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, path)
}
