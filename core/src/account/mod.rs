//! The account: registration, sign-in and sign-out, locking and unlocking.

mod invitation;
mod redirect;

use crate::change::Change;
use crate::error::{PortalError, Reason};
use crate::net::pins_expired;
use crate::people::apply_policy;
use crate::people::rows::PracticeRecord;
use crate::proof::{planted, point};
use crate::session::Session;
use crate::session::api::{self, Call, Failure};
use crate::session::install::PendingSignIn;
use crate::session::oauth;
use crate::session::state::State;
use crate::sync::{Driver, outbox};
use crate::values::{Secret, private_debug};
use http::Method;
use rusqlite::Connection;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Signing up, in and out.
#[derive(uniffi::Object)]
pub struct Account {
    session: Arc<Session>,
    driver: Arc<Driver>,
}

/// Where the session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, uniffi::Enum)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// Nobody is signed in: offer sign-in and registration.
    SignedOut,
    /// Somebody's records are here: offer unlock.
    Locked,
    /// Open.
    Active,
    /// Open, but the practice wants a new sign-in before anything is sent or fetched. Reading and
    /// writing go on; drafts and outbox are kept.
    Expired,
}

/// What a shell needs to choose its first screen.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, uniffi::Record)]
pub struct SessionView {
    /// The state.
    pub state: SessionState,
    /// Why it is not `Active`.
    pub reason: Option<Reason>,
    /// Milliseconds until the records lock by themselves; absent while they are not open. Warn
    /// before it is over.
    pub lock_in_ms: Option<u64>,
    /// A sign-in was begun and the browser has not come back yet.
    pub sign_in_pending: bool,
    /// Every pinned key of this app version has expired: ask the client to update the app.
    pub update_advised: bool,
}

/// What a client types to register (SPEC 1A, rows 1 to 5).
#[derive(Clone, uniffi::Record)]
#[uniffi::export(Debug)]
pub struct Registration {
    /// The whole link from the invitation mail.
    pub invitation_link: String,
    /// The last name as the practice has it.
    pub last_name: String,
    /// `YYYY-MM-DD`.
    pub date_of_birth: String,
    /// The new password. Erased here once it was sent.
    pub password: String,
}

private_debug!(Registration);

/// What to do with what has not been sent when signing out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Unsent {
    /// Refuse to sign out while anything is unsent, so that the client can be asked.
    Keep,
    /// The client chose to lose it.
    Discard,
}

#[uniffi::export]
impl Account {
    /// Where the session stands, from memory.
    pub fn session(&self) -> SessionView {
        let (state, reason) = match self.session.state() {
            State::SignedOut(reason) => (SessionState::SignedOut, Some(reason)),
            State::Locked(reason) => (SessionState::Locked, Some(reason)),
            State::Active => (SessionState::Active, None),
            State::Expired(reason) => (SessionState::Expired, Some(reason)),
        };
        let sign_in_pending = self.session.install().content().pending.is_some();
        let update_advised =
            pins_expired(&self.session.config.pins, self.session.ports.clock.wall().system_time());
        SessionView { state, reason, lock_in_ms: self.session.lock_in(), sign_in_pending, update_advised }
    }

    /// Registers with an invitation and signs in at once (rules A7, A8, I1, I2).
    ///
    /// # Errors
    /// `Refused` with `invitation_malformed`, `invitation_expired`, `invitation_used`,
    /// `invitation_withdrawn`, `invitation_replaced`, `registration_refused` (link, name and date do
    /// not belong together; it is never said which), `registration_locked`, `password_*` or
    /// `malformed`; `Offline`. After `Offline` the same call may be made again; if it then says
    /// `invitation_used`, the first one had arrived: sign in.
    pub async fn register(&self, registration: Registration) -> Result<(), PortalError> {
        self.enter(|session| async move { register(&session, registration).await }).await
    }

    /// Begins a sign-in and gives the URL for the system browser. One sign-in is pending at a time:
    /// a new one replaces it. It survives the app being killed.
    ///
    /// # Errors
    /// `Offline`; `Refused { issuer_mismatch }` when the server is not the configured one.
    pub async fn sign_in_begin(&self) -> Result<String, PortalError> {
        let session = self.session.clone();
        self.session.mode.run(async move { begin(&session).await }).await
    }

    /// Finishes the pending sign-in with the address that the browser came back with.
    ///
    /// # Errors
    /// `Refused` with `no_pending_sign_in`, one of `redirect_*`, `state_mismatch`, `issuer_mismatch`
    /// (these leave the pending sign-in as it is), `sign_in_denied` or `code_refused` (these end it);
    /// `Offline`; `Locked` when the device's key store refuses; `SignedOut { access_revoked }`;
    /// `Storage { suspended }` before `resume` was called, which leaves it pending too.
    pub async fn sign_in_finish(&self, redirect: String) -> Result<(), PortalError> {
        self.enter(|session| async move { finish(&session, &redirect).await }).await
    }

    /// Signs out: keys and records go at once, with or without network. Without network the
    /// revocation is kept, sealed and without health data, and delivered later, for a day at most;
    /// while locked the tokens cannot be read, and the practice's server ends them by itself.
    ///
    /// # Errors
    /// `Refused { unsent_work }` with [`Unsent::Keep`] while something is unsent; `Locked` with
    /// [`Unsent::Keep`] while locked, since nobody can look; `SignedOut` when nobody is signed in.
    pub async fn sign_out(&self, unsent: Unsent) -> Result<(), PortalError> {
        let session = self.session.clone();
        self.session.mode.run(async move { sign_out(&session, unsent).await }).await
    }

    /// Locks now. Returns when the key has left memory and no file is open.
    ///
    /// # Errors
    /// `Storage` when the file cannot be closed.
    pub async fn lock(&self) -> Result<(), PortalError> {
        let (session, driver) = (self.session.clone(), self.driver.clone());
        self.session
            .mode
            .run(async move {
                let _quiet = driver.quiet().await;
                session.lock(Reason::LockedNow).await
            })
            .await
    }

    /// Asks the device's key store for the key and opens the records. Works without network.
    ///
    /// # Errors
    /// `Locked` with `vault_refused`, `vault_failed` or `wrong_key`: the records are untouched, try
    /// again. `SignedOut { vault_key_gone }`: the key was invalidated, so the records are gone; sign
    /// in again. A damaged file is replaced, and outbox, drafts and session are saved from it;
    /// `Storage { damaged }` when the session could not be: sign in again.
    pub async fn unlock(&self) -> Result<(), PortalError> {
        self.enter(|session| async move { session.unlock().await }).await
    }

    /// Tells that the person touched the app: the idle time starts again.
    pub fn touch(&self) {
        self.session.touch();
    }

    /// Tells that the app left the front: the records lock after the practice's grace.
    pub fn entered_background(&self) {
        self.session.background();
    }

    /// Tells that the app is in front again; locks at once when it was away for too long.
    pub fn entered_foreground(&self) {
        self.session.foreground();
    }

    /// Destroys everything of the person signed in here: keys first, then files. For a lent, lost
    /// or stolen phone; asks nothing and works locked and without network.
    ///
    /// # Errors
    /// `Locked { vault_failed }` when the device could not destroy the key: it is tried again at the
    /// next start. `SignedOut` when nobody's records are here.
    pub async fn wipe(&self) -> Result<(), PortalError> {
        let session = self.session.clone();
        self.session.mode.run(async move { session.leave(true, |_| Ok(())).await }).await
    }
}

impl Account {
    pub(crate) fn new(session: Arc<Session>, driver: Arc<Driver>) -> Self {
        Self { session, driver }
    }

    /// Runs what opens records, to its end; then what waited leaves, and what is new comes.
    async fn enter<F>(&self, work: impl FnOnce(Arc<Session>) -> F) -> Result<(), PortalError>
    where
        F: Future<Output = Result<(), PortalError>> + Send + 'static,
    {
        let (session, driver) = (self.session.clone(), self.driver.clone());
        let work = work(session.clone());
        self.session
            .mode
            .run(async move {
                work.await?;
                apply_policy(session).await;
                // Somebody is there: no backoff of a run before, be it one that a lock cut short.
                if planted!(UnlockKeepsTheBackoff) {
                    driver.nudge();
                } else if !planted!(NothingGoesOnAfterUnlock) {
                    driver.hurry();
                }
                Ok(())
            })
            .await
    }
}

async fn register(session: &Arc<Session>, registration: Registration) -> Result<(), PortalError> {
    let Registration { invitation_link, last_name, date_of_birth, password } = registration;
    let (password, link) = (Zeroizing::new(password), Zeroizing::new(invitation_link));
    let token = invitation::token(&link, &session.config.practice)?;
    if last_name.trim().is_empty() || last_name.chars().count() > 200 {
        return Err(PortalError::refused_field(Reason::Malformed, "last_name"));
    }
    // Written back, since the parser also takes signs, spaces and missing zeros.
    let date = date_of_birth.parse::<chrono::NaiveDate>();
    let date_is_whole = date_of_birth.len() == 10 && date.is_ok_and(|date| date.to_string() == date_of_birth);
    if !date_is_whole {
        return Err(PortalError::refused_field(Reason::Malformed, "date_of_birth"));
    }
    drop(session.known()?);
    // Before the invitation is spent: nothing could be kept of what it brings.
    drop(session.awake().await?);
    let pending = pending(session, None).await?;
    #[derive(serde::Serialize)]
    struct Request<'a> {
        token: &'a str,
        last_name: &'a str,
        date_of_birth: &'a str,
        password: &'a str,
        client_id: &'a str,
        redirect_uri: &'a str,
        code_challenge: String,
        code_challenge_method: &'a str,
        install_id: &'a str,
    }
    let body = serde_json::to_vec(&Request {
        token: token.expose(),
        last_name: &last_name,
        date_of_birth: &date_of_birth,
        password: &password,
        client_id: &session.config.client_id,
        redirect_uri: &session.config.redirect_uri,
        code_challenge: oauth::challenge(&pending.verifier),
        code_challenge_method: "S256",
        install_id: &pending.install_id,
    });
    let body = body.map_err(|_| PortalError::bug(Reason::Impossible))?;
    drop(password);
    let url = session.config.url("/v1/registrations")?;
    point!("register.asked");
    let response =
        api::send(&session.ports, Call { method: Method::POST, url, token: None, json: Some(body) }).await;
    let response = response.map_err(|failure| match failure {
        Failure::Later { reason: Reason::RegistrationLocked, .. } => {
            PortalError::refused(Reason::RegistrationLocked)
        }
        other => other.into(),
    })?;
    #[derive(serde::Deserialize)]
    struct Registered {
        code: String,
        iss: String,
    }
    point!("register.answered");
    let registered: Registered = api::parse(&response)?;
    if registered.iss != session.config.issuer {
        return Err(PortalError::refused(Reason::IssuerMismatch));
    }
    let code = Secret::new(registered.code);
    let tokens = oauth::redeem(&session.ports, &session.config, pending.clone(), code.expose()).await?;
    point!("register.redeemed");
    session.admit(tokens, pending).await
}

async fn begin(session: &Arc<Session>) -> Result<String, PortalError> {
    let known = session.known()?.current().map(|account| account.install_id);
    let pending = pending(session, known).await?;
    let url = oauth::authorize_url(&session.config, &pending)?;
    session.install().update(|content| content.pending = Some(pending))?;
    point!("sign-in.pending");
    session.changes.emit(&Change::Session);
    Ok(url)
}

async fn finish(session: &Arc<Session>, redirect: &str) -> Result<(), PortalError> {
    let none = || PortalError::refused(Reason::NoPendingSignIn);
    // Before the code is spent: nothing could be kept of what it brings.
    drop(session.awake().await?);
    let pending = session.known()?.content().pending.clone().ok_or_else(none)?;
    let answer = redirect::parse(
        redirect,
        &redirect::Expected {
            redirect_uri: &session.config.redirect_uri,
            state: &pending.state,
            issuer: &session.config.issuer,
        },
    )?;
    // It was ours: whatever comes now, this state works once, also when the address comes twice.
    let mut taken = None;
    session
        .install()
        .update(|content| taken = content.pending.take_if(|waiting| waiting.state == pending.state))?;
    let pending = taken.ok_or_else(none)?;
    point!("sign-in.taken");
    session.changes.emit(&Change::Session);
    match answer {
        redirect::Answer::Denied => Err(PortalError::refused(Reason::SignInDenied)),
        redirect::Answer::Code(code) => {
            let tokens =
                oauth::redeem(&session.ports, &session.config, pending.clone(), code.expose()).await?;
            point!("sign-in.redeemed");
            session.admit(tokens, pending).await
        }
    }
}

/// What one sign-in needs. The install id of whoever was signed in here last is kept while they may
/// sign in again, so that their counters go on; whoever registers is somebody else.
async fn pending(session: &Arc<Session>, known: Option<String>) -> Result<PendingSignIn, PortalError> {
    session.deliver_revocations().await;
    let endpoints = oauth::discover(&session.ports, &session.config).await?;
    keep_card(session).await;
    let entropy = session.ports.entropy.as_ref();
    Ok(PendingSignIn {
        state: oauth::random_token(entropy),
        verifier: oauth::random_token(entropy),
        install_id: known
            .unwrap_or_else(|| crate::values::Id::new(session.ports.clock.as_ref(), entropy).to_string()),
        endpoints,
    })
}

/// Fetches the practice's public card, for the crisis numbers. Best effort.
async fn keep_card(session: &Arc<Session>) {
    let Ok(url) = session.config.url("/v1/practice") else { return };
    let Ok(response) =
        api::send(&session.ports, Call { method: Method::GET, url, token: None, json: None }).await
    else {
        return;
    };
    if let (Ok(text), Ok(_)) = (std::str::from_utf8(response.body()), api::parse::<PracticeRecord>(&response))
    {
        session.card.keep(text);
    }
}

async fn sign_out(session: &Arc<Session>, unsent: Unsent) -> Result<(), PortalError> {
    match unsent {
        Unsent::Discard => session.leave(true, |_| Ok(())).await,
        Unsent::Keep => {
            // While locked nobody can look, so nobody can say that nothing is lost.
            session.store()?.read(nothing_unsent).await?;
            session.leave(false, nothing_unsent).await
        }
    }
}

fn nothing_unsent(c: &Connection) -> Result<(), PortalError> {
    let drafts: i64 = c.query_row("SELECT count(*) FROM draft", [], |row| row.get(0))?;
    match (outbox::counts(c)?, drafts) {
        ((0, 0), 0) => Ok(()),
        _ => Err(PortalError::refused(Reason::UnsentWork)),
    }
}
