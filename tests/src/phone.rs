//! A phone: a portal over test ports with a directory of its own. Everything runs in place, so a
//! test decides when anything happens.

use crate::practice::{ISSUER, Practice, SeededEntropy, TestVault, locked};
use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use portal_core::account::Registration;
use portal_core::ports::{Files, KeyVault, Ports, Transport};
use portal_core::runtime::Mode;
use portal_core::{Portal, PortalConfig, PortalError};
use portal_server_mock::{Outcome, World, demo, handle};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The password that the main client chooses.
pub const PASSWORD: &str = "seven green umbrellas";

/// Runs what must not wait for anything: in place, every future is ready.
///
/// # Panics
/// When it is not, which is a bug in the test or in the core.
#[allow(clippy::expect_used, reason = "a test's helper")]
pub fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("in place nothing waits")
}

/// A directory that goes away with its owner.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes one.
    pub fn new() -> Self {
        Self::under(&std::env::temp_dir())
    }

    /// Makes one whose files are in memory, where the system has such a place.
    pub fn in_memory() -> Self {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() { Self::under(memory) } else { Self::new() }
    }

    #[allow(clippy::expect_used, reason = "a test's helper")]
    fn under(place: &Path) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("portal-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::SeqCst));
        let path = place.join(name);
        std::fs::create_dir_all(&path).expect("a temporary directory");
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// One phone.
pub struct Phone {
    /// The portal, as a shell has it.
    pub portal: Arc<Portal>,
    /// The practice it talks to.
    pub practice: Arc<Practice>,
    /// Its key store.
    pub vault: Arc<TestVault>,
    scratch: Arc<Scratch>,
    seed: u64,
    starts: u64,
}

impl Phone {
    /// A phone that has never been used.
    pub fn new(practice: &Arc<Practice>, seed: u64) -> Self {
        let (vault, scratch) = (Arc::new(TestVault::default()), Arc::new(Scratch::new()));
        let portal = open(practice, &vault, &scratch, seed);
        Self { portal, practice: practice.clone(), vault, scratch, seed, starts: 0 }
    }

    /// A phone on which the demo's main client has registered and synced.
    #[allow(clippy::expect_used, reason = "a test's helper")]
    pub fn registered(practice: &Arc<Practice>, seed: u64) -> Self {
        let phone = Self::new(practice, seed);
        now(phone.portal.account().register(registration(practice))).expect("registers");
        now(phone.portal.sync(None)).expect("syncs");
        phone
    }

    /// Kills the app: nothing of its memory survives. Opens it again, locked.
    pub fn restart(self) -> Self {
        let Self { portal, practice, vault, scratch, seed, starts } = self;
        drop(portal);
        let portal = open(&practice, &vault, &scratch, seed + 1_000 * (starts + 1));
        Self { portal, practice, vault, scratch, seed, starts: starts + 1 }
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        self.scratch.path()
    }

    /// Signs in through the pages, as somebody with a browser.
    ///
    /// # Errors
    /// What the core answers.
    pub fn sign_in(&self, login_id: &str, password: &str) -> Result<(), PortalError> {
        let url = now(self.portal.account().sign_in_begin())?;
        let redirect = browse(&self.practice, &url, login_id, password);
        now(self.portal.account().sign_in_finish(redirect.unwrap_or_default()))
    }
}

#[allow(clippy::expect_used, reason = "a test's helper")]
fn open(practice: &Arc<Practice>, vault: &Arc<TestVault>, scratch: &Scratch, seed: u64) -> Arc<Portal> {
    let ports = Ports {
        transport: Arc::<Practice>::clone(practice) as Arc<dyn Transport>,
        clock: practice.clock.clone(),
        entropy: Arc::new(SeededEntropy::new(seed)),
        vault: Arc::<TestVault>::clone(vault) as Arc<dyn KeyVault>,
        files: Files::directory(scratch.path()),
    };
    Portal::open_with(&config(scratch.path()), ports, Mode::Inline).expect("opens")
}

/// The configuration of a phone of the in-process practice.
pub fn config(directory: &Path) -> PortalConfig {
    PortalConfig {
        practice_url: ISSUER.to_owned(),
        client_id: "org.portal.phone".to_owned(),
        redirect_uri: "org.portal.phone:/signed-in".to_owned(),
        roots_pem: String::new(),
        pins: Vec::new(),
        data_dir: directory.to_string_lossy().into_owned(),
        allow_loopback_http: false,
    }
}

/// What the main client types to register, with the newest link in their mailbox.
pub fn registration(practice: &Practice) -> Registration {
    registration_in(&locked(&practice.world))
}

/// The same, at a practice that is reached otherwise.
#[allow(clippy::expect_used, reason = "a test's helper")]
pub fn registration_in(world: &World) -> Registration {
    let link = world
        .mails()
        .iter()
        .rev()
        .find(|mail| mail.to == demo::INVITED_EMAIL && mail.link.is_some())
        .and_then(|mail| mail.link.clone())
        .expect("an invitation");
    Registration {
        invitation_link: link,
        last_name: demo::INVITED_FAMILY_NAME.to_owned(),
        date_of_birth: demo::INVITED_BIRTH_DATE.to_owned(),
        password: PASSWORD.to_owned(),
    }
}

/// What a browser does with the sign-in pages: opens the URL, fills the form, sends it, and gives
/// where it is sent then.
pub fn browse(practice: &Practice, url: &str, login_id: &str, password: &str) -> Option<String> {
    let ask = |request| practice.act(|world, now| page(&request, world, now));
    browse_with(ask, url, login_id, password)
}

/// The same with whatever answers its requests.
pub fn browse_with(
    mut ask: impl FnMut(http::Request<Vec<u8>>) -> Option<http::Response<Vec<u8>>>,
    url: &str,
    login_id: &str,
    password: &str,
) -> Option<String> {
    let page = ask(http::Request::get(url).body(Vec::new()).ok()?)?;
    let html = String::from_utf8(page.into_body()).ok()?;
    let transaction = html.split("name=\"transaction\" value=\"").nth(1)?.split('"').next()?.to_owned();
    let form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("transaction", &transaction)
        .append_pair("login_id", login_id)
        .append_pair("password", password)
        .finish();
    let request = http::Request::post(format!("{ISSUER}/oauth/authorize"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form.into_bytes())
        .ok()?;
    page_location(&ask(request)?)
}

/// One page of the practice.
pub fn page(
    request: &http::Request<Vec<u8>>,
    world: &mut World,
    now: DateTime<Utc>,
) -> Option<http::Response<Vec<u8>>> {
    match handle(request, world, now).outcome {
        Outcome::Reply(response) => Some(response),
        _ => None,
    }
}

fn page_location(response: &http::Response<Vec<u8>>) -> Option<String> {
    Some(response.headers().get("location")?.to_str().ok()?.to_owned())
}
