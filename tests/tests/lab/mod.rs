//! What the session and security stories share: a tap on the network, a key store that is listened
//! to, canaries with their disguises, and the database opened beside the core.
#![allow(dead_code, unreachable_pub, reason = "each story uses a part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, clippy::disallowed_macros, reason = "a test prints its seed")]

pub mod child;
pub mod used;

use aho_corasick::AhoCorasick;
use async_trait::async_trait;
use base64::Engine as _;
use portal_core::messages::{MessageView, ThreadFilter};
use portal_core::ports::{
    Clock, Exchange, Files, KeyPolicy, KeyVault, Ports, Transport, TransportError, VaultError,
};
use portal_core::runtime::Mode;
use portal_core::{Portal, PortalError};
use portal_tests::phone::{config, now};
use portal_tests::practice::{Practice, SeededEntropy, TestVault, locked};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Opens a portal over any parts.
pub fn open(
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    vault: Arc<dyn KeyVault>,
    directory: &Path,
    seed: u64,
    mode: Mode,
) -> Result<Arc<Portal>, PortalError> {
    let files = Files::directory(directory);
    let ports = Ports { transport, clock, entropy: Arc::new(SeededEntropy::new(seed)), vault, files };
    Portal::open_with(&config(directory), ports, mode)
}

/// What happens to one request on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It never arrives, and the phone is told that the connection broke.
    LoseRequest,
    /// It is carried out; the connection broke before the answer.
    LoseAnswer,
    /// It is carried out; a gateway answers 502.
    Gateway,
    /// It never arrives, and nothing is heard: the app is killed while it waits.
    HangBefore,
    /// It is carried out, and nothing is heard: the app is killed while it waits.
    HangAfter,
}

/// One request and its answer, whole.
#[derive(Clone)]
pub struct Carried {
    /// Method.
    pub method: String,
    /// Absolute address.
    pub uri: String,
    /// Headers of the request.
    pub headers: http::HeaderMap,
    /// Body of the request.
    pub body: Vec<u8>,
    /// Status of the answer.
    pub status: u16,
    /// Body of the answer.
    pub answer: Vec<u8>,
}

/// The network to an in-process practice, listened to, with one fault at a chosen place.
pub struct Tap {
    practice: Arc<Practice>,
    log: Mutex<Vec<Carried>>,
    fault: Mutex<Option<(usize, Fault)>>,
    at: AtomicUsize,
}

impl Tap {
    pub fn new(practice: &Arc<Practice>) -> Arc<Self> {
        let (log, fault) = (Mutex::default(), Mutex::default());
        Arc::new(Self { practice: practice.clone(), log, fault, at: AtomicUsize::new(0) })
    }

    /// The request with this number from now on, from 0, meets the fault.
    pub fn arm(&self, number: usize, fault: Fault) {
        self.at.store(0, Ordering::SeqCst);
        *locked(&self.fault) = Some((number, fault));
    }

    /// Whether the fault is still to come.
    pub fn disarm(&self) -> bool {
        locked(&self.fault).take().is_some()
    }

    /// Everything that was carried so far.
    pub fn carried(&self) -> Vec<Carried> {
        locked(&self.log).clone()
    }

    async fn carry(&self, exchange: Exchange) -> Result<http::Response<Vec<u8>>, TransportError> {
        let request = &exchange.request;
        let (method, uri) = (request.method().to_string(), request.uri().to_string());
        let (headers, body) = (request.headers().clone(), request.body().clone());
        let answer = self.practice.send(exchange).await;
        let (status, text) = match &answer {
            Ok(response) => (response.status().as_u16(), response.body().clone()),
            Err(_) => (0, Vec::new()),
        };
        locked(&self.log).push(Carried { method, uri, headers, body, status, answer: text });
        answer
    }
}

#[async_trait]
impl Transport for Tap {
    async fn send(&self, exchange: Exchange) -> Result<http::Response<Vec<u8>>, TransportError> {
        let number = self.at.fetch_add(1, Ordering::SeqCst);
        let fault = locked(&self.fault).take_if(|(at, _)| *at == number).map(|(_, fault)| fault);
        match fault {
            None => self.carry(exchange).await,
            Some(Fault::LoseRequest) => Err(TransportError::ConnectionLost),
            Some(Fault::LoseAnswer) => {
                let _ = self.carry(exchange).await;
                Err(TransportError::ConnectionLost)
            }
            Some(Fault::Gateway) => {
                let _ = self.carry(exchange).await;
                Ok(page(502))
            }
            Some(Fault::HangBefore) => std::future::pending().await,
            Some(Fault::HangAfter) => {
                let _ = self.carry(exchange).await;
                std::future::pending().await
            }
        }
    }
}

/// A page of somebody else's.
pub fn page(status: u16) -> http::Response<Vec<u8>> {
    http::Response::builder()
        .status(status)
        .header("content-type", "text/html")
        .body(b"<html>Welcome to the hotel</html>".to_vec())
        .unwrap()
}

/// A JSON answer.
pub fn json(status: u16, value: &serde_json::Value) -> http::Response<Vec<u8>> {
    http::Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(value.to_string().into_bytes())
        .unwrap()
}

/// A key store that remembers what it was asked to protect.
#[derive(Default)]
pub struct SpyVault<V = TestVault> {
    /// The keys.
    pub inner: V,
    /// Alias and plaintext of every `wrap`.
    pub wrapped: Mutex<Vec<(String, Vec<u8>)>>,
}

impl<V: KeyVault> KeyVault for SpyVault<V> {
    fn create(&self, alias: String, policy: KeyPolicy) -> Result<(), VaultError> {
        self.inner.create(alias, policy)
    }

    fn wrap(&self, alias: String, plaintext: Vec<u8>) -> Result<Vec<u8>, VaultError> {
        locked(&self.wrapped).push((alias.clone(), plaintext.clone()));
        self.inner.wrap(alias, plaintext)
    }

    fn unwrap(&self, alias: String, wrapped: Vec<u8>) -> Result<Vec<u8>, VaultError> {
        self.inner.unwrap(alias, wrapped)
    }

    fn delete(&self, alias: String) -> Result<(), VaultError> {
        self.inner.delete(alias)
    }
}

/// Everything that a client sees of their conversations, as one text that can be compared.
pub fn seen(portal: &Portal) -> Result<String, PortalError> {
    let mut out = String::new();
    let threads = now(portal.messages().threads(ThreadFilter::All, 0, 100))?;
    for thread in &threads.threads {
        out += &serde_json::to_string(thread).unwrap();
        for message in messages(portal, &thread.id)? {
            out += &serde_json::to_string(&message).unwrap();
        }
    }
    out += &serde_json::to_string(&now(portal.messages().drafts())?).unwrap();
    out += &serde_json::to_string(&now(portal.outbox().entries())?).unwrap();
    out += &serde_json::to_string(&now(portal.home().view())?).unwrap();
    Ok(out)
}

/// All messages of a conversation, oldest page last.
pub fn messages(portal: &Portal, thread: &str) -> Result<Vec<MessageView>, PortalError> {
    let (mut all, mut before) = (Vec::new(), None);
    loop {
        let view = now(portal.messages().thread(thread.to_owned(), before, 100))?;
        all.extend(view.messages);
        before = view.earlier;
        if before.is_none() {
            return Ok(all);
        }
    }
}

/// The id of the newest conversation.
pub fn first_thread(portal: &Portal) -> String {
    now(portal.messages().threads(ThreadFilter::All, 0, 1)).unwrap().threads[0].id.clone()
}

/// How often the practice carried out the making of this message.
pub fn effects(practice: &Practice, id: &str) -> usize {
    practice.act(|world, _| world.effects().iter().filter(|effect| effect.id.to_string() == id).count())
}

/// Every file under a directory.
pub fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// The directories of people on this phone.
pub fn users(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory.join("users")).into_iter().flatten().flatten();
    let mut users: Vec<_> = entries.map(|entry| entry.path()).collect();
    users.sort();
    users
}

/// The last part of a path.
pub fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// Copies a directory with everything in it.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// The master key that a user's directory holds in wrapped form.
pub fn master_key(user: &Path, vault: &dyn KeyVault) -> [u8; 32] {
    let wrapped = std::fs::read(user.join("master.key")).unwrap();
    let plain = vault.unwrap(name(user), wrapped).unwrap();
    plain[33..].try_into().unwrap()
}

/// The key of the database file that follows from it (SECURITY 7.2).
pub fn database_key(master: &[u8; 32]) -> [u8; 32] {
    let mut out = [0; 32];
    let prk = ring::hkdf::Salt::new(ring::hkdf::HKDF_SHA256, &[]).extract(master);
    prk.expand(&[b"db/v1"], ring::hkdf::HKDF_SHA256).unwrap().fill(&mut out).unwrap();
    out
}

/// The database, opened beside the core with a key.
pub fn database(file: &Path, key: &[u8; 32]) -> rusqlite::Result<rusqlite::Connection> {
    let connection = rusqlite::Connection::open(file)?;
    connection.execute_batch(&format!("PRAGMA key = \"x'{}'\";", hex(key)))?;
    connection
        .execute_batch("PRAGMA cipher_page_size = 16384; PRAGMA cipher_hmac_algorithm = HMAC_SHA256;")?;
    connection.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))?;
    Ok(connection)
}

/// Hexadecimal, lower case.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A text that occurs nowhere else, told from a seed so that no file of the test holds it.
pub fn canary(random: &mut ChaCha20Rng, what: &str) -> String {
    let mut bytes = [0; 12];
    random.fill_bytes(&mut bytes);
    format!("{what}{}", hex(&bytes))
}

/// Random numbers of a seed that is printed, so that a failure can be had again.
pub fn random(seed: u64) -> ChaCha20Rng {
    println!("seed {seed}");
    ChaCha20Rng::seed_from_u64(seed)
}

/// The forms in which a text could leak: as it is, UTF-16, hexadecimal, and base64 at each of the
/// three places where it can begin.
pub fn disguises(canary: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![canary.to_vec(), hex(canary).into_bytes(), hex(canary).to_uppercase().into_bytes()];
    if let Ok(text) = std::str::from_utf8(canary) {
        forms.push(text.encode_utf16().flat_map(u16::to_le_bytes).collect());
    }
    for shift in 0..3 {
        let mut shifted = vec![0; shift];
        shifted.extend_from_slice(canary);
        let coded = base64::engine::general_purpose::STANDARD_NO_PAD.encode(&shifted);
        // The first and last characters also hold bits of the neighbours.
        let (from, to) = ((shift * 4).div_ceil(3), coded.len() - 2);
        forms.push(coded.as_bytes()[from..to].to_vec());
        forms.push(coded.replace('+', "-").replace('/', "_").as_bytes()[from..to].to_vec());
    }
    forms
}

/// Looks for many texts at once.
pub struct Scanner {
    /// By number of the form that it found.
    labels: Vec<String>,
    search: AhoCorasick,
}

impl Scanner {
    /// For these canaries in all their disguises.
    pub fn new<'a>(canaries: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let (mut labels, mut forms) = (Vec::new(), Vec::new());
        for (label, canary) in canaries {
            assert!(canary.len() >= 8, "{label} is too short to look for");
            let disguises = disguises(canary);
            labels.resize(labels.len() + disguises.len(), label.to_owned());
            forms.extend(disguises);
        }
        Self { labels, search: AhoCorasick::new(forms).unwrap() }
    }

    /// How many byte strings are looked for.
    pub fn forms(&self) -> usize {
        self.labels.len()
    }

    /// The labels of what is in there, once for each place.
    pub fn hits(&self, hay: &[u8]) -> Vec<String> {
        let found = self.search.find_overlapping_iter(hay);
        found.map(|hit| self.labels[hit.pattern().as_usize()].clone()).collect()
    }

    /// The same for every file of a directory, its name included.
    pub fn hits_in(&self, directory: &Path) -> Vec<String> {
        let mut hits = Vec::new();
        for file in files(directory) {
            hits.extend(self.hits(file.to_string_lossy().as_bytes()));
            hits.extend(self.hits(&std::fs::read(&file).unwrap_or_default()));
        }
        hits
    }
}

/// Every token, code, verifier and state that went over the wire, each with a name.
pub fn wire_secrets(carried: &[Carried]) -> Vec<(String, String)> {
    let mut secrets = std::collections::BTreeSet::new();
    let wanted = ["code", "code_verifier", "refresh_token", "token", "state", "password", "access_token"];
    let mut keep = |name: &str, value: &str| {
        if wanted.contains(&name) && value.len() >= 8 && !value.contains(' ') {
            secrets.insert((name.to_owned(), value.to_owned()));
        }
    };
    for one in carried {
        if let Some(bearer) = one.headers.get("authorization") {
            keep("access_token", bearer.to_str().unwrap().trim_start_matches("Bearer "));
        }
        for (name, value) in url::form_urlencoded::parse(&one.body) {
            keep(&name, &value);
        }
        for body in [&one.body, &one.answer] {
            if let Ok(serde_json::Value::Object(map)) = serde_json::from_slice(body) {
                map.iter().for_each(|(name, value)| keep(name, value.as_str().unwrap_or_default()));
            }
        }
    }
    secrets.into_iter().collect()
}
