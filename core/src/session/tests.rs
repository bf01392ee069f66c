use super::*;
use crate::ports::{Exchange, Transport, TransportError, system};
use crate::session::install::Endpoints;
use crate::store::{SoftVault, files};
use async_trait::async_trait;
use http::{Method, Response, StatusCode, header};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A practice that takes one access token, and gives the next one for the newest refresh token.
#[derive(Default)]
struct Server {
    newest: AtomicUsize,
    refreshes: AtomicUsize,
    unauthorized: AtomicUsize,
}

#[async_trait]
impl Transport for Server {
    async fn send(&self, exchange: Exchange) -> Result<Response<Vec<u8>>, TransportError> {
        // Everybody who asks at once is under way at once.
        tokio::task::yield_now().await;
        let newest = self.newest.load(Ordering::SeqCst);
        let json = |status, body: String| {
            Response::builder().status(status).header("content-type", "application/json").body(body.into_bytes()).unwrap()
        };
        if exchange.request.uri().path() == "/oauth/token" {
            self.refreshes.fetch_add(1, Ordering::SeqCst);
            let form = String::from_utf8_lossy(exchange.request.body()).into_owned();
            assert!(form.contains(&format!("refresh_token=refresh-{newest}")), "an old one would end the session");
            let next = self.newest.fetch_add(1, Ordering::SeqCst) + 1;
            return Ok(json(StatusCode::OK, format!(
                r#"{{"access_token":"access-{next}","refresh_token":"refresh-{next}","token_type":"Bearer","sub":"s","login_id":"l"}}"#
            )));
        }
        let shown = exchange.request.headers()[header::AUTHORIZATION].to_str().unwrap();
        if shown == format!("Bearer access-{newest}") && newest > 0 {
            return Ok(json(StatusCode::OK, "{}".to_owned()));
        }
        self.unauthorized.fetch_add(1, Ordering::SeqCst);
        Ok(json(StatusCode::UNAUTHORIZED, r#"{"status":401,"code":"token_expired"}"#.to_owned()))
    }
}

// SECURITY A3.
#[test]
fn a3_a_hundred_concurrent_401s_make_one_refresh() {
    let entropy = Arc::new(system::SystemEntropy::new());
    let server = Arc::new(Server::default());
    let mut name = [0u8; 8];
    crate::ports::Entropy::fill(entropy.as_ref(), &mut name);
    let root = std::env::temp_dir().join(format!("portal-session-{:x}", u64::from_le_bytes(name)));
    files::private_directory(&root).unwrap();
    let ports = Ports {
        transport: server.clone(),
        clock: Arc::new(system::SystemClock::new()),
        entropy,
        vault: Arc::new(SoftVault::open(&root.join("keys"), SoftVault::NAME).unwrap()),
        files: Files::Directory(root.join("data")),
    };
    let practice: Url = "https://portal.example/".parse().unwrap();
    let endpoint = |name: &str| practice.join(name).unwrap().to_string();
    let config = Config {
        issuer: "https://portal.example".to_owned(),
        practice: practice.clone(),
        client_id: "c".to_owned(),
        redirect_uri: "org.portal.phone:/signed-in".to_owned(),
        pins: Vec::new(),
    };
    let session = Arc::new(Session::open(config, ports, Mode::Threads).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    runtime.block_on(async {
        let secret = |text: &str| Secret::new(text.to_owned());
        let tokens = Tokens {
            subject: "s".to_owned(),
            login_id: "l".to_owned(),
            access: secret("access-0"),
            refresh: secret("refresh-0"),
        };
        let endpoints = Endpoints {
            authorization: endpoint("/oauth/authorize"),
            token: endpoint("/oauth/token"),
            revocation: endpoint("/oauth/revoke"),
        };
        let pending = PendingSignIn { state: String::new(), verifier: String::new(), install_id: "i".to_owned(), endpoints };
        session.admit(tokens, pending).await.unwrap();
        let calls: Vec<_> = (0..100)
            .map(|_| {
                let (session, url) = (session.clone(), practice.join("/v1/sync").unwrap());
                tokio::spawn(async move { session.authorized(Method::GET, url, None).await })
            })
            .collect();
        for call in calls {
            assert_eq!(call.await.unwrap().unwrap().status(), StatusCode::OK);
        }
    });
    assert_eq!(server.refreshes.load(Ordering::SeqCst), 1);
    assert!(server.unauthorized.load(Ordering::SeqCst) > 1, "the control: several were refused at once");
    let _ = std::fs::remove_dir_all(root);
}
