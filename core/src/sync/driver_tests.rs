//! The driver where no story of a phone reaches: a guarded op, which no area queues yet, and rows that
//! moved under a run.

use super::outbox::{Guard, OpState};
use super::*;
use crate::net::PinSet;
use crate::ports::directory::AppDirectory;
use crate::ports::{Exchange, FileSystem, Files, Ports, Transport, TransportError, system};
use crate::runtime::{Background, Mode};
use crate::session::Config;
use crate::session::install::{Endpoints, PendingSignIn};
use crate::session::oauth::Tokens;
use crate::store::SoftVault;
use crate::values::Secret;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rusqlite::Connection;
use std::sync::atomic::AtomicUsize;

/// A practice with an empty feed that never says what time it is.
#[derive(Default)]
struct Timeless(AtomicUsize);

#[async_trait::async_trait]
impl Transport for Timeless {
    async fn send(&self, _: Exchange) -> Result<http::Response<Vec<u8>>, TransportError> {
        let asked = self.0.fetch_add(1, Ordering::SeqCst);
        let from = if asked == 0 { "" } else { "a" };
        let page = format!(
            r#"{{"epoch":"e","from":"{from}","next":"a","checkpoint":"1","has_more":false,"changes":[]}}"#
        );
        let answer = http::Response::builder().header("content-type", "application/json");
        Ok(answer.body(page.into_bytes()).unwrap())
    }
}

fn driver(transport: Arc<dyn Transport>, mode: Mode) -> Arc<Driver> {
    let entropy = Arc::new(system::SystemEntropy::new());
    let mut name = [0u8; 8];
    crate::ports::Entropy::fill(entropy.as_ref(), &mut name);
    let root = std::env::temp_dir().join(format!("portal-driver-{:x}", u64::from_le_bytes(name)));
    AppDirectory.make_directory(&root).unwrap();
    let ports = Ports {
        transport,
        clock: Arc::new(system::SystemClock::new()),
        entropy,
        vault: Arc::new(SoftVault::open(&root.join("keys"), SoftVault::NAME).unwrap()),
        files: Files::directory(root.join("data")),
    };
    let issuer = "https://portal.example";
    let config = Config {
        issuer: issuer.to_owned(),
        practice: issuer.parse().unwrap(),
        client_id: "c".to_owned(),
        redirect_uri: "org.portal.phone:/signed-in".to_owned(),
        pins: Vec::<PinSet>::new(),
    };
    let session = Arc::new(Session::open(config, ports, mode).unwrap());
    let secret = |text: &str| Secret::new(text.to_owned());
    let tokens =
        Tokens { subject: "s".into(), login_id: "l".into(), access: secret("a"), refresh: secret("r") };
    let endpoint = |name: &str| format!("{issuer}{name}");
    let endpoints = Endpoints {
        authorization: endpoint("/oauth/authorize"),
        token: endpoint("/oauth/token"),
        revocation: endpoint("/oauth/revoke"),
    };
    let (state, verifier) = Default::default();
    let pending = PendingSignIn { state, verifier, install_id: "i".to_owned(), endpoints };
    session.admit(tokens, pending).now_or_never().unwrap().unwrap();
    Arc::new(Driver::new(session, Vec::new(), |_| Box::pin(std::future::ready(()))))
}

fn op(lane: &str, guard: Guard) -> NewOp {
    NewOp { lane: lane.into(), kind: "thing.accept@1", entity: "thing", id: id(1), args: "{}".into(), guard }
}

fn id(n: u8) -> Id {
    Id::from_bytes([n; 16])
}

#[test]
fn a_deadline_that_waits_for_a_clock_that_never_comes_asks_once_and_then_later() {
    let practice = Arc::new(Timeless::default());
    let driver = driver(practice.clone(), Mode::Inline);
    let guard = Guard { deadline: Some(Millis(i64::MAX)), base: None };
    let queued = driver.write(move |_, queue| {
        queue.push(op("thing:1", guard));
        Ok(())
    });
    queued.now_or_never().unwrap().unwrap();
    let result = driver.sync(None).now_or_never().unwrap();
    assert_eq!(result, Err(PortalError::offline(Reason::BadAnswer)));
    assert_eq!(practice.0.load(Ordering::SeqCst), 1);
}

/// A practice whose page finds something to send, as the refill after a restore does; then there is no network.
#[derive(Default)]
struct Finding {
    practice: Timeless,
    session: std::sync::OnceLock<std::sync::Weak<Session>>,
}

#[async_trait::async_trait]
impl Transport for Finding {
    async fn send(&self, exchange: Exchange) -> Result<http::Response<Vec<u8>>, TransportError> {
        if exchange.request.method() == http::Method::POST {
            return Err(TransportError::NoConnection);
        }
        let session = self.session.get().and_then(std::sync::Weak::upgrade).unwrap();
        let found =
            |tx: &Transaction<'_>| outbox::enqueue(tx, &op("thing:1", Guard::default()), id(1), Millis(0));
        session.store().unwrap().write(found).await.unwrap();
        self.practice.send(exchange).await
    }
}

#[derive(Default)]
struct Begun(AtomicUsize);

impl Background for Begun {
    fn begin(&self, _: BoxFuture<'static, ()>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Seeds 27530 and 41950.
#[test]
fn what_a_sync_by_hand_found_to_send_and_could_not_is_left_to_the_background() {
    let (practice, begun) = (Arc::new(Finding::default()), Arc::new(Begun::default()));
    let driver = driver(practice.clone(), Mode::Stepped(begun.clone()));
    practice.session.set(Arc::downgrade(&driver.session)).unwrap();
    let before = begun.0.load(Ordering::SeqCst);
    let result = driver.sync(None).now_or_never().unwrap();
    assert_eq!(result, Err(PortalError::offline(Reason::NoConnection)));
    assert_eq!(begun.0.load(Ordering::SeqCst), before + 1);
}

fn file() -> Connection {
    let c = Connection::open_in_memory().unwrap();
    c.execute_batch(include_str!("../store/migrations/001_initial.sql")).unwrap();
    c
}

fn claim(tx: &Transaction<'_>) -> Vec<outbox::OpRow> {
    outbox::claim(tx, &[], 10, |_| Ok(Ok(()))).unwrap().ops
}

#[test]
fn what_moved_since_it_was_claimed_is_not_given_back() {
    let mut c = file();
    let tx = Transaction::write(&mut c).unwrap();
    for key in 1..=3 {
        outbox::enqueue(&tx, &op("thing:1", Guard::default()), id(key), Millis(0)).unwrap();
    }
    let sent = claim(&tx);
    let next = |tx: &Transaction<'_>| {
        tx.query_row("SELECT last_n FROM lane", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    let states =
        |tx: &Transaction<'_>| outbox::all(tx).unwrap().iter().map(|op| (op.n, op.state)).collect::<Vec<_>>();
    // Somebody else heard that the second one was refused, and numbered a fourth one.
    tx.execute("UPDATE outbox SET state = 3 WHERE n = 2", []).unwrap();
    outbox::release(&tx, &sent).unwrap();
    assert_eq!(next(&tx), 2, "only the last one goes back");
    assert_eq!(
        states(&tx),
        [(Some(1), OpState::Unanswered), (Some(2), OpState::NeedsClient), (None, OpState::Waiting)]
    );
    // Again, late: nothing is rewound twice.
    outbox::release(&tx, &sent).unwrap();
    assert_eq!(next(&tx), 2);
    assert_eq!(
        claim(&tx).iter().map(|op| (op.n, op.fresh)).collect::<Vec<_>>(),
        [(Some(1), false), (Some(3), true)]
    );
}

#[test]
fn after_a_refill_what_left_before_is_numbered_anew_and_never_fresh() {
    let mut c = file();
    let tx = Transaction::write(&mut c).unwrap();
    outbox::enqueue(&tx, &op("thing:1", Guard::default()), id(1), Millis(0)).unwrap();
    claim(&tx);
    outbox::recount(&tx, &[("thing:1".to_owned(), 0)].into(), false, || id(9)).unwrap();
    let kept = outbox::all(&tx).unwrap().remove(0);
    assert_eq!((kept.n, kept.state), (None, OpState::Unanswered));
    outbox::set_args(&tx, kept.pk, "[]").unwrap();
    let again = claim(&tx).remove(0);
    assert_eq!((again.n, again.fresh, again.args.as_str()), (Some(1), false, "{}"));
}
