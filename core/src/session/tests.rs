use super::*;
use crate::ports::directory::AppDirectory;
use crate::ports::{Exchange, Transport, TransportError, system};
use crate::ports::{FileSystem, Files};
use crate::session::install::Endpoints;
use crate::store::SoftVault;
use async_trait::async_trait;
use http::{Method, Response, StatusCode, header};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A practice that takes one access token, and gives the next one for the newest refresh token.
#[derive(Default)]
struct Server {
    newest: AtomicUsize,
    refreshes: AtomicUsize,
    unauthorized: AtomicUsize,
    /// What happens while a refresh is under way, after the server has rotated.
    during_refresh: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

#[async_trait]
impl Transport for Server {
    async fn send(&self, exchange: Exchange) -> Result<Response<Vec<u8>>, TransportError> {
        // Everybody who asks at once is under way at once.
        tokio::task::yield_now().await;
        let newest = self.newest.load(Ordering::SeqCst);
        let json = |status, body: String| {
            Response::builder()
                .status(status)
                .header("content-type", "application/json")
                .body(body.into_bytes())
                .unwrap()
        };
        if exchange.request.uri().path() == "/oauth/token" {
            self.refreshes.fetch_add(1, Ordering::SeqCst);
            let form = String::from_utf8_lossy(exchange.request.body()).into_owned();
            assert!(
                form.contains(&format!("refresh_token=refresh-{newest}")),
                "an old one would end the session"
            );
            let next = self.newest.fetch_add(1, Ordering::SeqCst) + 1;
            if let Some(act) = self.during_refresh.lock().unwrap().take() {
                act();
            }
            return Ok(json(
                StatusCode::OK,
                format!(
                    r#"{{"access_token":"access-{next}","refresh_token":"refresh-{next}","token_type":"Bearer","sub":"s","login_id":"l"}}"#
                ),
            ));
        }
        let shown = exchange.request.headers()[header::AUTHORIZATION].to_str().unwrap();
        if shown == format!("Bearer access-{newest}") && newest > 0 {
            return Ok(json(StatusCode::OK, "{}".to_owned()));
        }
        self.unauthorized.fetch_add(1, Ordering::SeqCst);
        Ok(json(StatusCode::UNAUTHORIZED, r#"{"status":401,"code":"token_expired"}"#.to_owned()))
    }
}

/// A session over that practice, and a runtime to poll it with.
struct Lab {
    session: Arc<Session>,
    server: Arc<Server>,
    practice: Url,
    runtime: tokio::runtime::Runtime,
    root: PathBuf,
}

impl Lab {
    fn new() -> Self {
        let entropy = Arc::new(system::SystemEntropy::new());
        let server = Arc::new(Server::default());
        let mut name = [0u8; 8];
        crate::ports::Entropy::fill(entropy.as_ref(), &mut name);
        let root = std::env::temp_dir().join(format!("portal-session-{:x}", u64::from_le_bytes(name)));
        AppDirectory.make_directory(&root).unwrap();
        let ports = Ports {
            transport: server.clone(),
            clock: Arc::new(system::SystemClock::new()),
            entropy,
            vault: Arc::new(SoftVault::open(&root.join("keys"), SoftVault::NAME).unwrap()),
            files: Files::directory(root.join("data")),
        };
        let practice: Url = "https://portal.example/".parse().unwrap();
        let config = Config {
            issuer: "https://portal.example".to_owned(),
            practice: practice.clone(),
            client_id: "c".to_owned(),
            redirect_uri: "org.portal.phone:/signed-in".to_owned(),
            pins: Vec::new(),
        };
        let session = Arc::new(Session::open(config, ports, Mode::Threads).unwrap());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
        Self { session, server, practice, runtime, root }
    }

    fn admit(&self, subject: &str) -> Arc<Store> {
        self.try_admit(subject).unwrap();
        self.session.store().unwrap()
    }

    fn try_admit(&self, subject: &str) -> Result<(), PortalError> {
        let secret = |text: &str| Secret::new(text.to_owned());
        let tokens = Tokens {
            subject: subject.to_owned(),
            login_id: "l".to_owned(),
            access: secret("access-0"),
            refresh: secret("refresh-0"),
        };
        let endpoint = |name: &str| self.practice.join(name).unwrap().to_string();
        let endpoints = Endpoints {
            authorization: endpoint("/oauth/authorize"),
            token: endpoint("/oauth/token"),
            revocation: endpoint("/oauth/revoke"),
        };
        let (state, verifier) = Default::default();
        let pending = PendingSignIn { state, verifier, install_id: "i".to_owned(), endpoints };
        self.runtime.block_on(self.session.admit(tokens, pending))
    }

    fn url(&self) -> Url {
        self.practice.join("/v1/sync").unwrap()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

// SECURITY A3.
#[test]
fn a3_a_hundred_concurrent_401s_make_one_refresh() {
    let lab = Lab::new();
    let store = lab.admit("s");
    lab.runtime.block_on(async {
        let calls: Vec<_> = (0..100)
            .map(|_| {
                let (session, store, url) = (lab.session.clone(), store.clone(), lab.url());
                tokio::spawn(async move { session.authorized(&store, Method::GET, url, None).await })
            })
            .collect();
        for call in calls {
            assert_eq!(call.await.unwrap().unwrap().status(), StatusCode::OK);
        }
    });
    assert_eq!(lab.server.refreshes.load(Ordering::SeqCst), 1);
    assert!(lab.server.unauthorized.load(Ordering::SeqCst) > 1, "the control: several were refused at once");
}

// SECURITY S9: what A asked for is never asked with B's token, and never ends B's session.
#[test]
fn s9_a_request_that_outlives_its_person_is_not_made_for_the_next() {
    let lab = Lab::new();
    let of_a = lab.admit("a");
    let of_b = lab.admit("b");
    let asked = lab.runtime.block_on(lab.session.authorized(&of_a, Method::GET, lab.url(), None));
    assert!(matches!(asked, Err(api::Failure::Local(_))), "{asked:?}");
    assert_eq!(lab.server.unauthorized.load(Ordering::SeqCst), 0, "nothing was sent");
    let control = lab.runtime.block_on(lab.session.authorized(&of_b, Method::GET, lab.url(), None));
    assert!(control.is_ok());
}

#[test]
fn a_failed_sign_in_of_another_person_changes_nothing_for_whoever_is_signed_in() {
    let lab = Lab::new();
    let of_a = lab.admit("a");
    std::fs::remove_dir_all(lab.root.join("keys")).unwrap();
    assert_eq!(lab.try_admit("b"), Err(PortalError::locked(Reason::VaultFailed)));
    assert_eq!(lab.session.state(), State::Active);
    assert!(Arc::ptr_eq(&lab.session.store().unwrap(), &of_a));
    assert_eq!(lab.runtime.block_on(of_a.read(|_| Ok(()))), Ok(()), "A's file is still open");
}

// SECURITY A4: an automatic lock or a suspension may come while the server rotates.
#[test]
fn a4_a_rotation_that_meets_a_closed_file_is_kept_until_the_next_opening() {
    let lab = Lab::new();
    let store = lab.admit("s");
    let (closing, session) = (store.clone(), lab.session.clone());
    *lab.server.during_refresh.lock().unwrap() = Some(Box::new(move || closing.close()));
    let failed = lab.runtime.block_on(session.authorized(&store, Method::GET, lab.url(), None));
    assert!(matches!(failed, Err(api::Failure::Local(_))), "{failed:?}");
    drop(store);
    lab.runtime.block_on(session.lock(Reason::LockedNow)).unwrap();
    lab.runtime.block_on(session.unlock()).unwrap();
    let store = session.store().unwrap();
    let answer = lab.runtime.block_on(session.authorized(&store, Method::GET, lab.url(), None));
    assert_eq!(answer.unwrap().status(), StatusCode::OK);
    assert_eq!(lab.server.refreshes.load(Ordering::SeqCst), 1, "the rotated token was not lost");
}
