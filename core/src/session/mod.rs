//! Whose records are open, with which tokens: the layer between storage and network on one side and
//! sync and the areas on the other. Areas ask [`Session::store`] before every read and write, which
//! is also where the automatic lock is enforced.

pub(crate) mod api;
pub(crate) mod install;
pub(crate) mod oauth;
mod records;
mod repair;
pub(crate) mod state;
mod tokens;

use crate::change::{Change, ChangeHub};
use crate::error::{PortalError, Reason};
use crate::log;
use crate::net::PinSet;
use crate::ports::Ports;
use crate::proof::{planted, point};
use crate::runtime::Mode;
use crate::store::{self, Store};
use crate::values::{Millis, Secret};
use futures_util::future::select;
use install::{Account, Card, Install, PendingSignIn};
use oauth::Tokens;
use state::{Activity, Event, LockRule, State};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use url::Url;

/// The checked configuration.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The practice's origin, with a trailing slash.
    pub(crate) practice: Url,
    /// The same without it: what `iss` must say.
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    pub(crate) redirect_uri: String,
    pub(crate) pins: Vec<PinSet>,
}

impl Config {
    pub(crate) fn url(&self, path: &str) -> Result<Url, PortalError> {
        self.practice.join(path).map_err(|_| PortalError::bug(Reason::Impossible))
    }
}

/// One portal's session, shared by all of its objects.
pub(crate) struct Session {
    pub(crate) config: Config,
    pub(crate) ports: Ports,
    pub(crate) mode: Mode,
    pub(crate) changes: ChangeHub,
    /// The practice's public card, whatever the rest can or cannot do.
    pub(crate) card: Card,
    /// A fresh file took the place of a damaged one: what the practice has must come again.
    pub(crate) on_repair: OnceLock<Box<dyn Fn() + Send + Sync>>,
    install: Mutex<Install>,
    now: Mutex<Now>,
    /// The server's clock at an answer, and the boot time then.
    server_clock: Mutex<Option<(Millis, u64)>>,
    /// One refresh for any number of 401s.
    flight: tokio::sync::Mutex<()>,
    /// Rotated tokens that the file could not take because it was closed meanwhile.
    unsaved: Mutex<Option<tokens::Rotated>>,
    /// The time of the automatic lock moved.
    due_moved: Arc<tokio::sync::Notify>,
    watching: AtomicBool,
    /// One sign-in, unlock, lock or sign-out at a time.
    door: tokio::sync::Mutex<()>,
    /// Whether files may be opened. Whoever opens one holds it until the file is the open one or closed
    /// again, so that a suspension waits for it.
    awake: tokio::sync::RwLock<bool>,
    /// Files that are closing for good on threads of their own.
    closing: Arc<Mutex<Vec<Arc<Store>>>>,
}

/// The part that is in memory only.
struct Now {
    state: State,
    user: Option<User>,
    activity: Activity,
    rule: LockRule,
}

/// Open records.
#[derive(Clone)]
struct User {
    account: Account,
    store: Arc<Store>,
    access: Secret<String>,
}

impl Session {
    pub(crate) fn open(config: Config, ports: Ports, mode: Mode) -> Result<Self, PortalError> {
        let install = Install::open(ports.files.clone(), ports.vault.clone())?;
        let card = Card::open(ports.files.clone(), install.content().practice.as_deref());
        let state = install.state();
        let activity = Activity::unlocked(ports.clock.boot());
        Ok(Self {
            config,
            ports,
            mode,
            changes: ChangeHub::default(),
            card,
            on_repair: OnceLock::new(),
            install: Mutex::new(install),
            now: Mutex::new(Now { state, user: None, activity, rule: LockRule::default() }),
            server_clock: Mutex::new(None),
            flight: tokio::sync::Mutex::new(()),
            unsaved: Mutex::new(None),
            due_moved: Arc::default(),
            watching: AtomicBool::new(false),
            door: tokio::sync::Mutex::new(()),
            awake: tokio::sync::RwLock::new(true),
            closing: Arc::default(),
        })
    }

    /// The open store, or why there is none. Locks first when the time has come.
    pub(crate) fn store(&self) -> Result<Arc<Store>, PortalError> {
        self.lock_if_due();
        let now = self.now();
        match (&now.state, &now.user) {
            (State::Active | State::Expired(_), Some(user)) => Ok(user.store.clone()),
            (State::SignedOut(reason), _) => Err(PortalError::signed_out(reason.clone())),
            (State::Locked(reason), _) => Err(PortalError::locked(reason.clone())),
            (_, None) => Err(PortalError::bug(Reason::Impossible)),
        }
    }

    pub(crate) fn state(&self) -> State {
        self.lock_if_due();
        self.now().state.clone()
    }

    /// The person is there: the idle time starts again.
    pub(crate) fn touch(&self) {
        self.lock_if_due();
        self.now().activity.touch(self.ports.clock.boot());
    }

    pub(crate) fn background(&self) {
        self.now().activity.background(self.ports.clock.boot());
        self.due_moved.notify_one();
    }

    /// Back in front; locks at once when the time away was too long.
    pub(crate) fn foreground(&self) {
        self.lock_if_due();
        self.now().activity.foreground(self.ports.clock.boot());
    }

    /// Milliseconds of boot time until the records lock by themselves.
    pub(crate) fn lock_in(&self) -> Option<u64> {
        let now = self.now();
        now.user.as_ref()?;
        Some(now.activity.due(now.rule).0.saturating_sub(self.ports.clock.boot()))
    }

    /// The server's clock now, by the boot time since its last answer: whatever the wall clock says.
    /// `None` before the first answer since the start.
    pub(crate) fn server_now(&self) -> Option<Millis> {
        let (server, boot) = (*self.server_clock.lock().unwrap_or_else(PoisonError::into_inner))?;
        let since = i64::try_from(self.ports.clock.boot().saturating_sub(boot)).unwrap_or(i64::MAX);
        Some(Millis(server.0.saturating_add(since)))
    }

    pub(crate) fn set_server_clock(&self, server: Millis) {
        let boot = self.ports.clock.boot();
        *self.server_clock.lock().unwrap_or_else(PoisonError::into_inner) = Some((server, boot));
    }

    pub(crate) fn set_lock_rule(&self, rule: LockRule) {
        self.now().rule = rule;
        self.due_moved.notify_one();
    }

    fn lock_if_due(&self) {
        let now = self.now();
        let (due, reason) = now.activity.due(now.rule);
        if now.user.is_some() && self.ports.clock.boot() >= due {
            self.leave_records(now, Event::Locked(reason));
            log::event(log::LogEvent::Locked, None, 0u64);
        }
    }

    /// Forgets the tokens and closes the file for good. The file's thread is waited for elsewhere, so
    /// that a caller on a screen's thread is not held up.
    fn leave_records(&self, mut now: MutexGuard<'_, Now>, event: Event) {
        let user = now.user.take();
        now.state = now.state.clone().after(event);
        drop(now);
        if let Some(user) = user {
            self.close(user.store);
        }
        self.changes.emit(&Change::Session);
        self.changes.emit(&Change::Everything);
    }

    /// Locks now; returns when the key has left memory and no file is open any more.
    pub(crate) async fn lock(&self, reason: Reason) -> Result<(), PortalError> {
        let _door = self.door.lock().await;
        let store = self.now().user.as_ref().map(|user| user.store.clone());
        if let Some(store) = store {
            // A suspended store has nothing open; the key goes all the same.
            match store.end_if(|_| Ok(())).await {
                Ok(()) | Err(PortalError::Storage { reason: Reason::Suspended }) => {}
                Err(error) => return Err(error),
            }
            self.leave_records(self.now(), Event::Locked(reason));
            point!("lock.left");
            log::event(log::LogEvent::Locked, None, 0u64);
        }
        Ok(())
    }

    /// Opens the records with the key that the vault hands out. Nothing else opens them.
    pub(crate) async fn unlock(self: &Arc<Self>) -> Result<(), PortalError> {
        let _door = self.door.lock().await;
        let State::Locked(_) = self.state() else {
            return self.store().map(|_| ());
        };
        let mut account = self.locked_account()?;
        let Some(key) = self.key(&account).await? else {
            self.destroy(&account, Reason::VaultKeyGone)?;
            return Err(PortalError::signed_out(Reason::VaultKeyGone));
        };
        let _awake = self.awake().await?;
        let (store, session) = self.open_records(&account, &key).await?;
        // A file that was in use has one: this one is lost, or replaced without it.
        let Some(tokens::Row { access, ended, install, .. }) = session else {
            self.say_damaged();
            self.apply(Event::Destroyed(Reason::Damaged));
            return Err(PortalError::storage(Reason::Damaged));
        };
        point!("unlock.opened");
        // A sign-in that was killed before the install file knew of it.
        account.install_id = install.unwrap_or(account.install_id);
        self.enter(User { account, store: Arc::new(store), access }, Event::Unlocked { ended });
        point!("unlock.entered");
        log::event(log::LogEvent::Unlocked, None, 0u64);
        Ok(())
    }

    /// Makes fresh tokens durable and the records of their owner the open ones.
    pub(crate) async fn admit(
        self: &Arc<Self>,
        tokens: Tokens,
        pending: PendingSignIn,
    ) -> Result<(), PortalError> {
        let _door = self.door.lock().await;
        drop(self.known()?);
        let account = self.account_of(&tokens.subject, pending);
        point!("admit.begun");
        let open = self.now().user.clone().filter(|user| user.account.directory == account.directory);
        // Before the rest: it may wait for the person.
        let key = if open.is_none() { self.key(&account).await? } else { None };
        let _awake = self.awake().await?;
        let _admission = install::admission(&self.ports.files)?;
        let store = match open {
            Some(user) => user.store,
            None => Arc::new(self.open_or_make_records(&account, key).await?),
        };
        point!("admit.opened");
        let access = tokens.access.clone();
        let (kept, install) = (tokens.clone(), account.install_id.clone());
        let again = install.clone();
        let store = match store.write(move |tx| tokens::save(tx, &tokens, Some(&install))).await {
            Err(PortalError::Storage { reason: Reason::Damaged }) => {
                let (fresh, _) = self.replaced(&account, &store).await?;
                fresh.write(move |tx| tokens::save(tx, &kept, Some(&again))).await?;
                fresh
            }
            written => written.map(|()| store)?,
        };
        point!("admit.saved");
        self.install().update(|content| {
            content.accounts.retain(|known| known.directory != account.directory);
            content.accounts.push(account.clone());
            content.current = Some(account.directory.clone());
            content.pending = None;
            content.out = None;
        })?;
        point!("admit.named");
        self.enter(User { account, store, access }, Event::SignedIn);
        point!("admit.entered");
        log::event(log::LogEvent::SignedIn, None, 0u64);
        Ok(())
    }

    fn account_of(&self, subject: &str, pending: PendingSignIn) -> Account {
        let known = self
            .install()
            .content()
            .accounts
            .iter()
            .find(|a| {
                a.issuer == self.config.issuer && (a.subject == subject || planted!(RecordsOfWhoeverWasHere))
            })
            .cloned();
        Account {
            issuer: self.config.issuer.clone(),
            subject: subject.to_owned(),
            directory: known.map_or_else(|| random_name(&self.ports), |known| known.directory),
            install_id: pending.install_id,
            endpoints: pending.endpoints,
        }
    }

    /// Destroys one person's key, then the records, then what the install knows of them.
    pub(crate) fn destroy(&self, account: &Account, reason: Reason) -> Result<(), PortalError> {
        self.unsaved
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take_if(|rotated| rotated.directory == account.directory);
        let mut now = self.now();
        let user = now.user.take_if(|user| user.account.directory == account.directory);
        now.state = now.state.clone().after(Event::Destroyed(reason));
        drop(now);
        if let Some(user) = user {
            self.close(user.store);
        }
        point!("destroy.closed");
        install::wipe(&self.ports.files, self.ports.vault.as_ref(), &account.directory)?;
        point!("destroy.wiped");
        self.install().update(|content| {
            content.accounts.retain(|known| known.directory != account.directory);
            content.current = content.current.take().filter(|current| *current != account.directory);
            content.out = None;
        })?;
        point!("destroy.forgotten");
        log::event(log::LogEvent::Wiped, None, 0u64);
        self.changes.emit(&Change::Session);
        self.changes.emit(&Change::Everything);
        Ok(())
    }

    fn enter(self: &Arc<Self>, user: User, event: Event) {
        self.watch_over(&user.store);
        let mut now = self.now();
        // Whoever was open before stays open until here, so that a failed sign-in changes nothing.
        let before = now.user.replace(user.clone()).filter(|before| !Arc::ptr_eq(&before.store, &user.store));
        now.activity = Activity::unlocked(self.ports.clock.boot());
        now.state = now.state.clone().after(event);
        drop(now);
        if let Some(before) = before {
            self.close(before.store);
        }
        self.watch_the_clock();
        self.changes.emit(&Change::Session);
        self.changes.emit(&Change::Everything);
    }

    /// Locks on time even if nobody asks; asleep in between, so an idle portal makes no call.
    fn watch_the_clock(self: &Arc<Self>) {
        if self.watching.swap(true, Ordering::SeqCst) {
            return self.due_moved.notify_one();
        }
        let (weak, clock, moved) = (Arc::downgrade(self), self.ports.clock.clone(), self.due_moved.clone());
        self.mode.background(async move {
            while let Some(session) = weak.upgrade() {
                session.lock_if_due();
                let Some(wait) = session.lock_in() else {
                    session.watching.store(false, Ordering::SeqCst);
                    // Somebody who unlocked since the last look found a watcher, and it was this one.
                    if session.lock_in().is_none() || session.watching.swap(true, Ordering::SeqCst) {
                        return;
                    }
                    continue;
                };
                drop(session);
                select(clock.sleep(Duration::from_millis(wait + 1)), pin!(moved.notified())).await;
            }
        });
    }

    pub(crate) fn apply(&self, event: Event) {
        let mut now = self.now();
        let state = now.state.clone().after(event);
        let moved = state != now.state;
        now.state = state;
        drop(now);
        if moved {
            self.changes.emit(&Change::Session);
        }
    }

    /// The account of the open records.
    pub(crate) fn account(&self) -> Option<Account> {
        self.now().user.as_ref().map(|user| user.account.clone())
    }

    pub(crate) fn directory(&self, account: &Account) -> PathBuf {
        install::directory(self.ports.files.root(), &account.directory)
    }

    pub(crate) fn install(&self) -> MutexGuard<'_, Install> {
        self.install.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn context(account: &Account) -> [u8; 32] {
    store::context(&account.issuer, &account.subject, &account.directory)
}

/// 128 random bits in hexadecimal: says nothing about anybody.
pub(crate) fn random_name(ports: &Ports) -> String {
    let mut bytes = [0u8; 16];
    ports.entropy.fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
