//! A phone as a shell has it, acts of the practice's staff, and reading what the phone shows.

pub(crate) use crate::lab::child::{act, browse, practice};

use portal_core::account::{Registration, SessionState};
use portal_core::messages::{Draft, MessageState, MessageView, ThreadFilter, ThreadSummary};
use portal_core::outbox::OutboxEntry;
use portal_core::ports::{KeyPolicy, KeyVault, VaultError};
use portal_core::store::SoftVault;
use portal_core::sync::SyncReport;
use portal_core::{Portal, PortalConfig, PortalError, Reason};
use portal_server_mock::demo;
use portal_server_mock::serve::Running;
use portal_server_mock::world::{AuthorKind, Faults, Thread};
use portal_tests::phone::{Scratch, registration_in};
use portal_tests::practice::locked;
pub(crate) use portal_tests::served::config;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;
use uuid::Uuid;

/// What the key store answers in the place of handing out a person's key.
pub(crate) type Whim = Result<Vec<u8>, VaultError>;

/// A key store in files whose answers a story can override.
pub(crate) struct Vault {
    inner: SoftVault,
    whim: Mutex<Option<Whim>>,
}

impl Vault {
    fn open(place: &Path) -> Arc<Self> {
        let inner = SoftVault::open(&place.join("keys"), SoftVault::NAME).unwrap();
        Arc::new(Self { inner, whim: Mutex::default() })
    }

    /// What it does from now on; `None` hands the keys out again.
    pub(crate) fn set(&self, whim: Option<Whim>) {
        *locked(&self.whim) = whim;
    }
}

impl KeyVault for Vault {
    fn create(&self, alias: String, policy: KeyPolicy) -> Result<(), VaultError> {
        self.inner.create(alias, policy)
    }

    fn wrap(&self, alias: String, plaintext: Vec<u8>) -> Result<Vec<u8>, VaultError> {
        self.inner.wrap(alias, plaintext)
    }

    fn unwrap(&self, alias: String, wrapped: Vec<u8>) -> Result<Vec<u8>, VaultError> {
        // The install's own key needs no person.
        match locked(&self.whim).clone().filter(|_| alias != "portal-install") {
            Some(answer) => answer,
            None => self.inner.unwrap(alias, wrapped),
        }
    }

    fn delete(&self, alias: String) -> Result<(), VaultError> {
        self.inner.delete(alias)
    }
}

/// One phone with files of its own.
pub(crate) struct Phone {
    pub(crate) portal: Arc<Portal>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) place: Scratch,
}

impl Phone {
    /// One that has never been used.
    pub(crate) async fn new(practice: &Running) -> Self {
        Self::at(Scratch::new(), practice).await
    }

    /// One over the files of this place.
    pub(crate) async fn at(place: Scratch, practice: &Running) -> Self {
        let vault = Vault::open(place.path());
        let portal = Portal::open(config(practice, &place), vault.clone()).await.unwrap();
        Self { portal, vault, place }
    }

    /// One on which the invited client has registered, with everything fetched.
    pub(crate) async fn registered(practice: &Running) -> Self {
        let phone = Self::new(practice).await;
        phone.portal.account().register(registration(practice)).await.unwrap();
        assert!(phone.sync().await.complete);
        phone
    }

    /// The app ends and is opened again over the same files.
    pub(crate) async fn restart(self, practice: &Running) -> Self {
        let Self { portal, place, .. } = self;
        drop(portal);
        Self::at(place, practice).await
    }

    /// Signs in with a browser.
    pub(crate) async fn sign_in(&self, practice: &Running, login_id: &str, password: &str) {
        let url = self.portal.account().sign_in_begin().await.unwrap();
        let back = browse(practice, &url, login_id, password);
        self.portal.account().sign_in_finish(back).await.unwrap();
    }

    pub(crate) async fn sync(&self) -> SyncReport {
        self.portal.sync(None).await.unwrap()
    }

    /// Syncs until nothing is left to do, however often the practice has to be asked.
    pub(crate) async fn settle(&self) -> SyncReport {
        within("everything is fetched and sent", async || match self.portal.sync(None).await {
            Ok(report) if report.complete => Some(report),
            Ok(_) | Err(PortalError::Offline { .. } | PortalError::Storage { .. }) => None,
            Err(error) => panic!("{error}"),
        })
        .await
    }

    /// Syncs, and gives why that did not work.
    pub(crate) async fn sync_fails(&self) -> PortalError {
        self.portal.sync(None).await.unwrap_err()
    }

    pub(crate) fn state(&self) -> (SessionState, Option<Reason>) {
        let view = self.portal.account().session();
        (view.state, view.reason)
    }

    /// What every read of a person's records answers; it must be the same for all of them.
    pub(crate) async fn reads_fail(&self) -> PortalError {
        let error = self.portal.home().view().await.unwrap_err();
        let messages = self.portal.messages();
        assert_eq!(messages.threads(ThreadFilter::All, 0, 10).await.unwrap_err(), error);
        let nobodys = Uuid::nil().to_string();
        assert_eq!(messages.thread(nobodys.clone(), None, 10).await.unwrap_err(), error);
        assert_eq!(messages.print(nobodys).await.unwrap_err(), error);
        assert_eq!(messages.search("the".into(), 10).await.unwrap_err(), error);
        assert_eq!(messages.drafts().await.unwrap_err(), error);
        assert_eq!(messages.recipients().await.unwrap_err(), error);
        assert_eq!(self.portal.outbox().entries().await.unwrap_err(), error);
        error
    }

    /// What it keeps of people; nothing when nobody's records are here.
    pub(crate) fn records(&self) -> Vec<PathBuf> {
        crate::lab::users(&self.place.path().join("data"))
    }

    pub(crate) async fn threads(&self) -> Vec<ThreadSummary> {
        self.portal.messages().threads(ThreadFilter::All, 0, 100).await.unwrap().threads
    }

    /// The newest conversation that takes replies.
    pub(crate) async fn open_thread(&self) -> String {
        self.threads().await.into_iter().find(|thread| !thread.closed).unwrap().id
    }

    /// A conversation from its beginning, over all pages.
    pub(crate) async fn messages(&self, thread: &str) -> Vec<MessageView> {
        let (mut all, mut before) = (Vec::new(), None);
        loop {
            let view = self.portal.messages().thread(thread.to_owned(), before, 100).await.unwrap();
            all.splice(0..0, view.messages);
            before = view.earlier;
            if before.is_none() {
                return all;
            }
        }
    }

    /// The one message of the conversation with this text.
    pub(crate) async fn shown_once(&self, thread: &str, text: &str) -> MessageView {
        let mut found = self.messages(thread).await;
        found.retain(|message| message.text == text);
        assert_eq!(found.len(), 1, "shown once: {text}");
        found.remove(0)
    }

    /// Waits until the message with this text is sent; it shows exactly once at every look.
    pub(crate) async fn sent(&self, thread: &str, text: &str) -> MessageView {
        within("it is sent", async || {
            let message = self.shown_once(thread, text).await;
            (message.state == MessageState::Sent && message.n.is_some()).then_some(message)
        })
        .await
    }

    pub(crate) async fn send(&self, thread: &str, text: &str) -> String {
        self.portal.messages().send(thread.to_owned(), text.to_owned()).await.unwrap()
    }

    pub(crate) async fn outbox(&self) -> Vec<OutboxEntry> {
        self.portal.outbox().entries().await.unwrap()
    }

    /// Types the beginning of a reply.
    pub(crate) async fn draft(&self, thread: &str, text: &str) {
        let (thread, text) = (Some(thread.to_owned()), text.to_owned());
        let draft = Draft { key: None, thread, recipient: None, subject: String::new(), text };
        self.portal.messages().save_draft(draft).await.unwrap();
    }

    pub(crate) async fn badge(&self) -> u64 {
        self.portal.home().view().await.unwrap().badge
    }

    /// All that its screens show, but for the age and for how often a write was tried.
    pub(crate) async fn shown(&self) -> Value {
        let mut read = Vec::new();
        for thread in self.threads().await {
            read.push(json!({"listed": thread, "messages": self.messages(&thread.id).await}));
        }
        let mut shown = json!({
            "home": self.portal.home().view().await.unwrap(),
            "read": read,
            "drafts": self.portal.messages().drafts().await.unwrap(),
            "outbox": self.outbox().await,
        });
        set_aside(&mut shown, &["as_of", "attempts"]);
        shown
    }

    /// Waits until a reply that was just written waits to be sent and can be changed.
    pub(crate) async fn changeable(&self, text: &str) -> String {
        within("it can be changed", async || {
            let entries = self.outbox().await;
            entries
                .into_iter()
                .find(|entry| entry.text == text && entry.change.possible)
                .map(|entry| entry.id)
        })
        .await
    }

    /// The practice stops answering, and the phone has no connection left that could be lost.
    pub(crate) async fn outage(&self, practice: &Running) {
        practice.pause().unwrap();
        let nobody = PortalError::Offline { reason: Reason::NoConnection };
        within("the phone notices", async || (self.sync_fails().await == nobody).then_some(())).await;
    }
}

fn set_aside(value: &mut Value, names: &[&str]) {
    match value {
        Value::Object(map) => {
            map.retain(|name, _| !names.contains(&name.as_str()));
            map.values_mut().for_each(|value| set_aside(value, names));
        }
        Value::Array(list) => list.iter_mut().for_each(|value| set_aside(value, names)),
        _ => {}
    }
}

/// Opens a portal with this configuration and a key store at this place.
pub(crate) async fn open(config: PortalConfig, place: &Scratch) -> Result<Arc<Portal>, PortalError> {
    Portal::open(config, Vault::open(place.path())).await
}

/// What the invited client types.
pub(crate) fn registration(practice: &Running) -> Registration {
    act(practice, |world, _| registration_in(world))
}

/// The chart of the client with this mailbox.
pub(crate) fn client(practice: &Running, email: &str) -> Uuid {
    act(practice, |world, _| world.clients().find(|client| client.email == email).unwrap().id)
}

/// The conversations of the invited client as the practice has them.
pub(crate) fn kept(practice: &Running) -> Vec<Thread> {
    let client = client(practice, demo::INVITED_EMAIL);
    act(practice, |world, _| world.threads_of(client).filter(|thread| !thread.withdrawn).cloned().collect())
}

/// What staff wrote in it and the client has not read.
pub(crate) fn unread(thread: &Thread) -> u64 {
    let new = thread.messages.iter().filter(|message| message.n > thread.read_upto);
    new.filter(|message| message.author.kind == AuthorKind::Staff).count() as u64
}

/// A member of staff, by the beginning of the name.
pub(crate) fn staff(practice: &Running, name: &str) -> Uuid {
    act(practice, |world, _| world.all_staff().find(|staff| staff.name.starts_with(name)).unwrap().id)
}

/// The client's clinician writes a reply.
pub(crate) fn reply(practice: &Running, thread: &str, text: &str) -> String {
    let author = staff(practice, "Dr. Amara");
    let thread = thread.parse().unwrap();
    act(practice, |world, now| world.reply(author, thread, text, now).unwrap().to_string())
}

/// How often the practice has this text of the invited client, anywhere.
pub(crate) fn arrived(practice: &Running, text: &str) -> usize {
    kept(practice).iter().flat_map(|thread| &thread.messages).filter(|message| message.body == text).count()
}

/// How often the practice carried out the making of this message.
pub(crate) fn effects(practice: &Running, id: &str) -> usize {
    act(practice, |world, _| world.effects().iter().filter(|effect| effect.id.to_string() == id).count())
}

/// What goes wrong at the practice from now on.
pub(crate) fn faults(practice: &Running, faults: Faults) {
    act(practice, |world, _| world.set_faults(faults));
}

/// Somebody at the practice keeps everything for themselves: until this is dropped, no request is
/// answered.
pub(crate) struct Busy {
    release: Option<mpsc::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Busy {
    pub(crate) fn with(practice: &Running) -> Self {
        let world = practice.world().clone();
        let (release, released) = mpsc::channel();
        let (taken, begun) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let _world = locked(&world);
            taken.send(()).unwrap();
            let _ = released.recv();
        });
        begun.recv().unwrap();
        Self { release: Some(release), thread: Some(thread) }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        drop(self.release.take());
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

/// Looks again and again until there is something; a story that waits for ever is a failed one.
pub(crate) async fn within<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), looking)
        .await
        .unwrap_or_else(|_| panic!("not in time: {what}"))
}

pub(crate) fn offline(reason: Reason) -> PortalError {
    PortalError::Offline { reason }
}

pub(crate) fn signed_out(reason: Reason) -> PortalError {
    PortalError::SignedOut { reason }
}

pub(crate) fn refused(reason: Reason, field: Option<&str>) -> PortalError {
    PortalError::Refused { reason, field: field.map(str::to_owned) }
}
