//! A phone whose disk, allocator, network and key store can be made to fail, for the proofs of storage.
#![allow(dead_code, unreachable_pub, reason = "each proof uses a part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod check;
pub mod cuts;
pub mod script;
pub mod verbs;

use async_trait::async_trait;
use portal_core::account::Registration;
use portal_core::ports::{
    AppDirectory, Exchange, FileSystem, Files, KeyPolicy, KeyVault, Lock, Ports, Stamp, Transport,
    TransportError, VaultError,
};
use portal_core::runtime::Mode;
use portal_core::{Portal, PortalError};
use portal_server_mock::World;
use portal_tests::phone::{PASSWORD, browse, config, now, registration};
use portal_tests::practice::{Practice, SeededEntropy, locked};
use std::collections::BTreeMap;
use std::io::Result;
use std::path::{Path, PathBuf};
use std::result::Result as Outcome;
use std::sync::{Arc, Mutex};

/// The login that the main client gets.
pub const LOGIN: &str = "renee@example.org";

/// What is counted, and whose Nth fails.
#[derive(Default)]
struct Count {
    made: usize,
    fails: Option<usize>,
    met: bool,
}

impl Count {
    fn fails(&mut self) -> bool {
        self.made += 1;
        let fails = self.fails == Some(self.made);
        self.met |= fails;
        fails
    }

    fn arm(&mut self, nth: usize) {
        *self = Self { made: 0, fails: Some(nth), met: false };
    }

    fn disarm(&mut self) -> bool {
        self.fails = None;
        self.met
    }
}

/// The keys of a vault, by their alias.
pub type Keys = BTreeMap<String, u8>;

/// Called with all keys after one was made.
pub type AfterCreate = Box<dyn Fn(&Keys) + Send>;

/// A key store that survives whatever happens to the disk.
#[derive(Default)]
pub struct Vault {
    keys: Mutex<Keys>,
    count: Mutex<Count>,
    after_create: Mutex<Option<AfterCreate>>,
}

impl Vault {
    pub fn of(keys: Keys) -> Arc<Self> {
        Arc::new(Self { keys: Mutex::new(keys), ..Self::default() })
    }

    /// What is called with all keys after one was made.
    pub fn after_create(&self, act: AfterCreate) {
        *locked(&self.after_create) = Some(act);
    }

    /// Lets the `nth` call from now on fail, counted from 1.
    pub fn arm(&self, nth: usize) {
        locked(&self.count).arm(nth);
    }

    /// Lets none fail any more; whether one did.
    pub fn disarm(&self) -> bool {
        locked(&self.count).disarm()
    }

    /// Whose keys are in it.
    pub fn aliases(&self) -> Vec<String> {
        locked(&self.keys).keys().cloned().collect()
    }

    fn works(&self) -> Outcome<(), VaultError> {
        match locked(&self.count).fails() {
            true => Err(VaultError::Failed { code: 77 }),
            false => Ok(()),
        }
    }
}

impl KeyVault for Vault {
    fn create(&self, alias: String, _: KeyPolicy) -> Outcome<(), VaultError> {
        self.works()?;
        let mut keys = locked(&self.keys);
        let fresh = u8::try_from(keys.len() % 200 + 17).unwrap();
        keys.entry(alias).or_insert(fresh);
        if let Some(after) = &*locked(&self.after_create) {
            after(&keys);
        }
        Ok(())
    }

    fn wrap(&self, alias: String, plaintext: Vec<u8>) -> Outcome<Vec<u8>, VaultError> {
        self.works()?;
        let key = *locked(&self.keys).get(&alias).ok_or(VaultError::KeyGone { code: 1 })?;
        Ok(plaintext.into_iter().map(|byte| byte ^ key).collect())
    }

    fn unwrap(&self, alias: String, wrapped: Vec<u8>) -> Outcome<Vec<u8>, VaultError> {
        self.wrap(alias, wrapped)
    }

    fn delete(&self, alias: String) -> Outcome<(), VaultError> {
        self.works()?;
        locked(&self.keys).remove(&alias);
        Ok(())
    }
}

/// The app's directory, of whose small files the Nth call fails and does nothing.
#[derive(Default)]
pub struct SmallFiles(Mutex<Count>);

impl SmallFiles {
    /// Lets the `nth` call from now on fail, counted from 1.
    pub fn arm(&self, nth: usize) {
        locked(&self.0).arm(nth);
    }

    /// Lets none fail any more; whether one did.
    pub fn disarm(&self) -> bool {
        locked(&self.0).disarm()
    }

    fn works(&self) -> Result<&AppDirectory> {
        match locked(&self.0).fails() {
            true => Err(std::io::Error::other("a bad block")),
            false => Ok(&AppDirectory),
        }
    }
}

impl FileSystem for SmallFiles {
    fn make_directory(&self, path: &Path) -> Result<()> {
        self.works()?.make_directory(path)
    }

    fn make_file(&self, path: &Path) -> Result<()> {
        self.works()?.make_file(path)
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>> {
        self.works()?.read(path)
    }

    fn stamp(&self, path: &Path) -> Result<Option<Stamp>> {
        self.works()?.stamp(path)
    }

    fn names(&self, directory: &Path) -> Result<Vec<String>> {
        self.works()?.names(directory)
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        self.works()?.replace(path, bytes)
    }

    fn remove_unfinished(&self, path: &Path) {
        AppDirectory.remove_unfinished(path);
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.works()?.rename(from, to)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        self.works()?.remove(path)
    }

    fn sync_directory(&self, path: &Path) -> Result<()> {
        self.works()?.sync_directory(path)
    }

    fn lock(&self, path: &Path) -> Result<Lock> {
        self.works()?.lock(path)
    }

    fn try_lock(&self, path: &Path) -> Result<Option<Lock>> {
        self.works()?.try_lock(path)
    }
}

/// Called after every request that arrived at the practice.
pub type AfterRequest = Box<dyn Fn(&Practice) + Send>;

/// The network to the practice.
pub struct Net {
    practice: Arc<Practice>,
    count: Mutex<Count>,
    after_arrival: Mutex<bool>,
    after: Mutex<Option<AfterRequest>>,
}

impl Net {
    pub fn new(practice: &Arc<Practice>) -> Arc<Self> {
        let (count, after) = (Mutex::default(), Mutex::default());
        Arc::new(Self { practice: practice.clone(), count, after_arrival: Mutex::new(false), after })
    }

    /// Lets the `nth` request from now on be lost, counted from 1: before it arrives, or after.
    pub fn arm(&self, nth: usize, after_arrival: bool) {
        *locked(&self.after_arrival) = after_arrival;
        locked(&self.count).arm(nth);
    }

    /// Lets none be lost any more; whether one was.
    pub fn disarm(&self) -> bool {
        locked(&self.count).disarm()
    }

    pub fn after(&self, act: AfterRequest) {
        *locked(&self.after) = Some(act);
    }
}

#[async_trait]
impl Transport for Net {
    async fn send(&self, exchange: Exchange) -> Outcome<http::Response<Vec<u8>>, TransportError> {
        let fails = locked(&self.count).fails();
        if fails && !*locked(&self.after_arrival) {
            return Err(TransportError::ConnectionLost);
        }
        let answer = self.practice.send(exchange).await;
        if let Some(after) = &*locked(&self.after) {
            after(&self.practice);
        }
        if fails { Err(TransportError::ConnectionLost) } else { answer }
    }
}

/// One phone over these.
pub struct Rig {
    pub practice: Arc<Practice>,
    pub net: Arc<Net>,
    pub vault: Arc<Vault>,
    pub small: Arc<SmallFiles>,
    pub root: PathBuf,
    portal: Option<Arc<Portal>>,
    seed: u64,
    /// The client's open conversations, as the practice has them.
    pub threads: Vec<String>,
    /// What the script will have anybody write.
    pub texts: Vec<String>,
    /// The keys of the drafts of new conversations.
    slots: BTreeMap<String, String>,
}

impl Rig {
    /// A phone over what a directory holds, not opened yet.
    pub fn new(practice: &Arc<Practice>, vault: &Arc<Vault>, root: &Path, seed: u64) -> Self {
        let threads = practice.act(|world, _| {
            let client = main_client(world);
            let open = world.threads_of(client).filter(|thread| !thread.closed);
            open.map(|thread| thread.id.to_string()).collect()
        });
        Self {
            practice: practice.clone(),
            net: Net::new(practice),
            vault: vault.clone(),
            small: Arc::default(),
            root: root.to_owned(),
            portal: None,
            seed,
            threads,
            texts: Vec::new(),
            slots: BTreeMap::new(),
        }
    }

    /// Opens the portal, or opens it again.
    pub fn open(&mut self) -> Outcome<(), PortalError> {
        self.portal = None;
        self.seed += 1_000;
        let ports = Ports {
            transport: Arc::<Net>::clone(&self.net) as Arc<dyn Transport>,
            clock: self.practice.clock.clone(),
            entropy: Arc::new(SeededEntropy::new(self.seed)),
            vault: Arc::<Vault>::clone(&self.vault) as Arc<dyn KeyVault>,
            files: Files::Directory(self.root.clone(), self.small.clone()),
        };
        self.portal = Some(Portal::open_with(&config(&self.root), ports, Mode::Inline)?);
        Ok(())
    }

    pub fn portal(&self) -> &Portal {
        self.portal.as_ref().expect("opened")
    }

    /// What the main client types to register; the last link still says so after it was used.
    pub fn registration(&self) -> Registration {
        registration(&self.practice)
    }

    /// Signs in through the practice's pages.
    pub fn sign_in(&self) -> Outcome<(), PortalError> {
        let url = now(self.portal().account().sign_in_begin())?;
        let redirect = browse(&self.practice, &url, LOGIN, PASSWORD).expect("a browser that comes back");
        now(self.portal().account().sign_in_finish(redirect))
    }
}

/// The chart of the demo's main client.
pub fn main_client(world: &World) -> uuid::Uuid {
    let email = portal_server_mock::demo::INVITED_EMAIL;
    world.clients().find(|client| client.email == email).expect("the main client").id
}

/// The demo's practice, in which the main client has two open conversations.
pub fn practice(messages: usize) -> Arc<Practice> {
    let practice = Practice::demo(messages);
    practice.act(|world, at| {
        let (client, author) = (main_client(world), world.all_staff().next().unwrap().id);
        world.write_to_client(author, client, "The form", "Please bring the form.", at).unwrap();
    });
    practice
}
