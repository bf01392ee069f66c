//! The portal: one object that a shell opens, and from which it gets everything else.

use crate::account::Account;
use crate::change::Changes;
use crate::error::{PortalError, Reason};
use crate::home::Home;
use crate::messages::Messages;
use crate::net::{HttpTransport, PinSet, TransportConfig};
use crate::outbox::Outbox;
use crate::ports::system::{SystemClock, SystemEntropy};
use crate::ports::{Files, KeyVault, Ports};
use crate::proof::{planted, point};
use crate::runtime::Mode;
use crate::session::{Config, Session};
use crate::sync::{Driver, SyncReport, feed::Kind};
use crate::{log, messages, people};
use std::sync::Arc;
use url::Url;

/// What a shell decides.
#[derive(Clone, Debug, uniffi::Record)]
pub struct PortalConfig {
    /// The practice's origin: `https://portal.example.org` or with a port. No path.
    pub practice_url: String,
    /// This app at the practice's authorization server.
    pub client_id: String,
    /// Where the browser comes back to, as registered with the practice: a claimed https link, a
    /// private scheme of reverse-DNS form, or `http://127.0.0.1:<port>/..` (RFC 8252 §7).
    pub redirect_uri: String,
    /// The authorities that may vouch for the practice, as PEM. No others are trusted.
    pub roots_pem: String,
    /// Keys of the practice to insist on; empty means no pinning.
    pub pins: Vec<PinSet>,
    /// A private directory that is left out of backups. Made if it is not there.
    pub data_dir: String,
    /// Allows `http://` to this machine, for development.
    pub allow_loopback_http: bool,
}

/// The client portal of one practice on one device.
#[derive(uniffi::Object)]
pub struct Portal {
    session: Arc<Session>,
    driver: Arc<Driver>,
    account: Arc<Account>,
    home: Arc<Home>,
    messages: Arc<Messages>,
    outbox: Arc<Outbox>,
}

/// Every kind of record that this version knows.
static KINDS: [&Kind; 6] = [
    &people::rows::PRACTICE,
    &people::rows::CLIENT,
    &people::rows::STAFF,
    &messages::rows::THREAD,
    &messages::rows::MESSAGE,
    &messages::rows::READ_MARK,
];

#[uniffi::export]
impl Portal {
    /// Opens the portal. Nothing is sent, and no record is opened before `account().unlock()`.
    ///
    /// # Errors
    /// `Refused { bad_configuration, field }`; `Storage`. A key store that fails is heard of from the first
    /// verb that needs a key.
    #[uniffi::constructor]
    pub async fn open(config: PortalConfig, vault: Arc<dyn KeyVault>) -> Result<Arc<Self>, PortalError> {
        let checked = check(&config)?;
        let transport = HttpTransport::new(&TransportConfig {
            practice_url: checked.practice.clone(),
            roots_pem: config.roots_pem,
            pins: config.pins,
            allow_loopback_http: config.allow_loopback_http,
        })?;
        let ports = Ports {
            transport: Arc::new(transport),
            clock: Arc::new(SystemClock::new()),
            entropy: Arc::new(SystemEntropy::new()),
            vault,
            files: Files::directory(config.data_dir),
        };
        Mode::Threads.blocking(move || Self::with(checked, ports, Mode::Threads)).await
    }

    /// Signing up, in and out, locking and unlocking.
    pub fn account(&self) -> Arc<Account> {
        self.account.clone()
    }

    /// The home screen and the crisis card.
    pub fn home(&self) -> Arc<Home> {
        self.home.clone()
    }

    /// Conversations.
    pub fn messages(&self) -> Arc<Messages> {
        self.messages.clone()
    }

    /// What waits to be sent.
    pub fn outbox(&self) -> Arc<Outbox> {
        self.outbox.clone()
    }

    /// What moves from now on. Each call gives a listener of its own.
    pub fn changes(&self) -> Arc<Changes> {
        Arc::new(self.session.changes.listen())
    }

    /// Sends what waits and fetches what is new, until both are done or `deadline_ms` have passed:
    /// no step begins after it, and no request but the renewal of a token outlasts it.
    ///
    /// # Errors
    /// `Offline`, `SignedOut`, `Locked`, `Storage`; `Refused { update_required }`. What was done
    /// before stays done, and nothing that waits is lost.
    pub async fn sync(&self, deadline_ms: Option<u64>) -> Result<SyncReport, PortalError> {
        let driver = self.driver.clone();
        self.session.mode.run(async move { driver.sync(deadline_ms).await }).await
    }

    /// Closes the files before the system suspends the app: when this returns, no file is open. Until
    /// [`Portal::resume`] what needs one answers `Storage { suspended }`, also an unlock or a sign-in.
    ///
    /// # Errors
    /// `Storage` when a file cannot be closed.
    pub async fn suspend(&self) -> Result<(), PortalError> {
        let (session, driver) = (self.session.clone(), self.driver.clone());
        self.session
            .mode
            .run(async move {
                let _quiet = driver.quiet().await;
                if !planted!(SuspendedWithALock) {
                    driver.unlock();
                }
                session.suspend().await?;
                point!("suspend.closed");
                log::event(log::LogEvent::StoreSuspended, None, 0u64);
                Ok(())
            })
            .await
    }

    /// Opens again what was open before [`Portal::suspend`]. Call it before a sign-in is finished with
    /// the address that the browser came back with.
    ///
    /// # Errors
    /// `Storage` when the file cannot be opened.
    pub async fn resume(&self) -> Result<(), PortalError> {
        let (session, driver) = (self.session.clone(), self.driver.clone());
        self.session
            .mode
            .run(async move {
                if session.resume().await? {
                    point!("resume.opened");
                    // The app is in front again: no backoff of a run that the suspension cut short.
                    if !planted!(NothingGoesOnAfterResume) {
                        driver.hurry();
                    }
                }
                Ok(())
            })
            .await
    }
}

impl Portal {
    /// Opens a portal over other ports, for tests and simulation.
    ///
    /// # Errors
    /// As for [`Portal::open`].
    pub fn open_with(config: &PortalConfig, ports: Ports, mode: Mode) -> Result<Arc<Self>, PortalError> {
        Self::with(check(config)?, ports, mode)
    }

    fn with(config: Config, ports: Ports, mode: Mode) -> Result<Arc<Self>, PortalError> {
        let session = Arc::new(Session::open(config, ports, mode)?);
        let driver = Arc::new(Driver::new(session.clone(), KINDS.to_vec(), |session| {
            Box::pin(people::apply_policy(session))
        }));
        let weak = Arc::downgrade(&driver);
        let refill = move || weak.upgrade().iter().for_each(Driver::nudge);
        let _ = session.on_repair.set(Box::new(refill));
        Ok(Arc::new(Self {
            account: Arc::new(Account::new(session.clone(), driver.clone())),
            home: Arc::new(Home::new(session.clone())),
            messages: Arc::new(Messages::new(session.clone(), driver.clone())),
            outbox: Arc::new(Outbox::new(session.clone(), driver.clone())),
            session,
            driver,
        }))
    }
}

impl Drop for Portal {
    /// A sync that is under way ends at its next step, and whoever opens the same records next does
    /// not find them in use.
    fn drop(&mut self) {
        self.driver.unlock();
    }
}

fn check(config: &PortalConfig) -> Result<Config, PortalError> {
    let bad = |field: &str| PortalError::refused_field(Reason::BadConfiguration, field);
    let practice = Url::parse(&config.practice_url).map_err(|_| bad("practice_url"))?;
    let plain = practice.path() == "/" && practice.query().is_none() && practice.fragment().is_none();
    if !plain || !practice.has_host() || !practice.username().is_empty() || practice.password().is_some() {
        return Err(bad("practice_url"));
    }
    if config.client_id.is_empty() {
        return Err(bad("client_id"));
    }
    let redirect = Url::parse(&config.redirect_uri).map_err(|_| bad("redirect_uri"))?;
    let allowed = match redirect.scheme() {
        "https" => true,
        "http" => redirect.host_str() == Some("127.0.0.1") || redirect.host_str() == Some("[::1]"),
        // RFC 8252 §7.1: a private scheme is a name under the app's control, written backwards.
        scheme => scheme.contains('.'),
    };
    if !allowed || redirect.query().is_some() || redirect.fragment().is_some() {
        return Err(bad("redirect_uri"));
    }
    if config.data_dir.is_empty() {
        return Err(bad("data_dir"));
    }
    Ok(Config {
        issuer: practice.as_str().trim_end_matches('/').to_owned(),
        practice,
        client_id: config.client_id.clone(),
        redirect_uri: config.redirect_uri.clone(),
        pins: config.pins.clone(),
    })
}
