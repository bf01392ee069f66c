//! A practice in this process: the reference server's pure `handle` behind the core's `Transport`
//! port, with a clock and a network that a test controls. No socket, no thread, no sleep.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use portal_core::ports::{
    Clock, Entropy, Exchange, KeyPolicy, KeyVault, Transport, TransportError, VaultError,
};
use portal_core::values::Millis;
use portal_server_mock::{Outcome, Setup, World, handle};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Where the in-process practice says that it is.
pub const ISSUER: &str = "https://portal.practice.test";

/// Locks without caring that another test thread panicked.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Time that only a test moves. Boot time and the wall clock can be moved apart.
pub struct VirtualClock {
    boot: AtomicU64,
    wall: AtomicI64,
    server: AtomicI64,
}

impl Default for VirtualClock {
    fn default() -> Self {
        let start =
            "2026-04-15T15:00:00Z".parse::<DateTime<Utc>>().map(|at| at.timestamp_millis()).unwrap_or(0);
        Self { boot: AtomicU64::new(1_000_000), wall: AtomicI64::new(start), server: AtomicI64::new(start) }
    }
}

impl VirtualClock {
    /// Lets time pass, everywhere.
    pub fn advance(&self, time: Duration) {
        let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        self.boot.fetch_add(millis.unsigned_abs(), Ordering::SeqCst);
        self.wall.fetch_add(millis, Ordering::SeqCst);
        self.server.fetch_add(millis, Ordering::SeqCst);
    }

    /// Another clock that stands where this one stands now.
    pub fn fork(&self) -> Self {
        Self {
            boot: AtomicU64::new(self.boot.load(Ordering::SeqCst)),
            wall: AtomicI64::new(self.wall.load(Ordering::SeqCst)),
            server: AtomicI64::new(self.server.load(Ordering::SeqCst)),
        }
    }

    /// Somebody sets the phone's clock.
    pub fn set_wall(&self, by_millis: i64) {
        self.wall.fetch_add(by_millis, Ordering::SeqCst);
    }

    /// The practice's own clock.
    pub fn server_now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.server.load(Ordering::SeqCst)).unwrap_or_default()
    }
}

impl Clock for VirtualClock {
    fn wall(&self) -> Millis {
        Millis(self.wall.load(Ordering::SeqCst))
    }

    fn boot(&self) -> u64 {
        self.boot.load(Ordering::SeqCst)
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        // In place nothing sleeps: whoever would wait is asked again by the test.
        Box::pin(std::future::pending())
    }
}

/// Random bytes from a seed.
pub struct SeededEntropy(Mutex<ChaCha20Rng>);

impl SeededEntropy {
    /// The same seed gives the same bytes.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(ChaCha20Rng::seed_from_u64(seed)))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        locked(&self.0).fill_bytes(buffer);
    }
}

/// A key store whose answers a test chooses.
#[derive(Default)]
pub struct TestVault {
    keys: Mutex<HashMap<String, u8>>,
    next: AtomicU64,
    /// What `unwrap` of a user's key answers instead, while set.
    pub unwrap_answer: Mutex<Option<Result<Vec<u8>, VaultError>>>,
    /// Fails every `delete` while true.
    pub delete_fails: AtomicBool,
}

impl TestVault {
    /// The aliases that have a key.
    pub fn aliases(&self) -> Vec<String> {
        let mut aliases: Vec<String> = locked(&self.keys).keys().cloned().collect();
        aliases.sort();
        aliases
    }

    fn key(&self, alias: &str) -> Result<u8, VaultError> {
        locked(&self.keys).get(alias).copied().ok_or(VaultError::KeyGone { code: 1 })
    }
}

impl KeyVault for TestVault {
    fn create(&self, alias: String, _: KeyPolicy) -> Result<(), VaultError> {
        let fresh = u8::try_from(self.next.fetch_add(1, Ordering::SeqCst) % 251 + 1).unwrap_or(1);
        locked(&self.keys).entry(alias).or_insert(fresh);
        Ok(())
    }

    fn wrap(&self, alias: String, plaintext: Vec<u8>) -> Result<Vec<u8>, VaultError> {
        let key = self.key(&alias)?;
        Ok(plaintext.into_iter().map(|byte| byte ^ key).collect())
    }

    fn unwrap(&self, alias: String, wrapped: Vec<u8>) -> Result<Vec<u8>, VaultError> {
        let answer = locked(&self.unwrap_answer).clone();
        if let Some(answer) = answer.filter(|_| alias != "portal-install") {
            return answer;
        }
        self.wrap(alias, wrapped)
    }

    fn delete(&self, alias: String) -> Result<(), VaultError> {
        if self.delete_fails.load(Ordering::SeqCst) {
            return Err(VaultError::Failed { code: 2 });
        }
        locked(&self.keys).remove(&alias);
        Ok(())
    }
}

/// An answer on its way.
pub type Answer = http::Response<Vec<u8>>;

/// What the network does to the next request that fits.
pub enum Mishap {
    /// It never arrives.
    LoseRequest,
    /// It is carried out; the answer never arrives.
    LoseAnswer,
    /// Something else answers.
    Instead(http::Response<Vec<u8>>),
    /// The answer is changed on its way.
    Change(Box<dyn Fn(Answer) -> Answer + Send>),
    /// Something happens at the practice before the request arrives there.
    First(Box<dyn FnOnce(&mut World) + Send>),
}

/// What answers a request in the practice's place, when it is one that the rule is about.
pub type Rule = Box<dyn Fn(&http::Request<Vec<u8>>) -> Option<http::Response<Vec<u8>>> + Send>;

/// What a request was, without anything personal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// `GET /v1/sync`
    pub what: String,
    /// Its query: where a page begins, say.
    pub query: String,
    /// Its body, for tests that look for canaries.
    pub body: String,
}

/// The practice and the network to it.
pub struct Practice {
    /// The practice itself.
    pub world: Mutex<World>,
    /// Time.
    pub clock: Arc<VirtualClock>,
    online: AtomicBool,
    mishaps: Mutex<VecDeque<(String, Mishap)>>,
    rule: Mutex<Option<Rule>>,
    seen: Mutex<Vec<Seen>>,
}

impl Practice {
    /// A practice with the demo's people and so many messages for its main client.
    pub fn demo(messages: usize) -> Arc<Self> {
        let clock = Arc::new(VirtualClock::default());
        Self::of(portal_server_mock::demo::build(setup(), messages, clock.server_now()), clock)
    }

    /// A practice as it was at some moment.
    pub fn of(world: World, clock: Arc<VirtualClock>) -> Arc<Self> {
        Arc::new(Self {
            world: Mutex::new(world),
            clock,
            online: AtomicBool::new(true),
            mishaps: Mutex::default(),
            rule: Mutex::default(),
            seen: Mutex::default(),
        })
    }

    /// The network goes or comes back.
    pub fn set_online(&self, online: bool) {
        self.online.store(online, Ordering::SeqCst);
    }

    /// Whether there is a network.
    pub fn is_online(&self) -> bool {
        self.online.load(Ordering::SeqCst)
    }

    /// The next request whose `METHOD /path` begins with `what` meets this. Several wait in a row.
    pub fn next(&self, what: &str, mishap: Mishap) {
        locked(&self.mishaps).push_back((what.to_owned(), mishap));
    }

    /// From now on this rule answers first; `None` takes it away.
    pub fn set_rule(&self, rule: Option<Rule>) {
        *locked(&self.rule) = rule;
    }

    /// Every request that arrived, in order.
    pub fn seen(&self) -> Vec<Seen> {
        locked(&self.seen).clone()
    }

    /// How many requests began with `what`.
    pub fn count(&self, what: &str) -> usize {
        locked(&self.seen).iter().filter(|seen| seen.what.starts_with(what)).count()
    }

    /// Something happens at the practice.
    pub fn act<T>(&self, act: impl FnOnce(&mut World, DateTime<Utc>) -> T) -> T {
        act(&mut locked(&self.world), self.clock.server_now())
    }

    fn answer(&self, request: &http::Request<Vec<u8>>) -> Result<http::Response<Vec<u8>>, TransportError> {
        let what = format!("{} {}", request.method(), request.uri().path());
        let query = request.uri().query().unwrap_or_default().to_owned();
        locked(&self.seen).push(Seen {
            what,
            query,
            body: String::from_utf8_lossy(request.body()).into_owned(),
        });
        if let Some(instead) = locked(&self.rule).as_ref().and_then(|rule| rule(request)) {
            return Ok(instead);
        }
        let answer = handle(request, &mut locked(&self.world), self.clock.server_now());
        match answer.outcome {
            Outcome::Reply(response) => Ok(response),
            Outcome::Cut { .. } | Outcome::Closed => Err(TransportError::ConnectionLost),
        }
    }
}

/// How every test practice is set up.
pub fn setup() -> Setup {
    Setup { seed: 7, issuer: ISSUER.to_owned(), password_iterations: 1, staff_key: "staff".to_owned() }
}

#[async_trait]
impl Transport for Practice {
    async fn send(&self, exchange: Exchange) -> Result<http::Response<Vec<u8>>, TransportError> {
        if !self.is_online() {
            return Err(TransportError::NoConnection);
        }
        let what = format!("{} {}", exchange.request.method(), exchange.request.uri().path());
        let mishap = {
            let mut mishaps = locked(&self.mishaps);
            let place = mishaps.iter().position(|(begins, _)| what.starts_with(begins.as_str()));
            place.and_then(|place| mishaps.remove(place)).map(|(_, mishap)| mishap)
        };
        match mishap {
            None => self.answer(&exchange.request),
            Some(Mishap::LoseRequest) => Err(TransportError::ConnectionLost),
            Some(Mishap::LoseAnswer) => {
                let _ = self.answer(&exchange.request);
                Err(TransportError::ConnectionLost)
            }
            Some(Mishap::Instead(response)) => Ok(response),
            Some(Mishap::Change(change)) => self.answer(&exchange.request).map(change),
            Some(Mishap::First(act)) => {
                act(&mut locked(&self.world));
                self.answer(&exchange.request)
            }
        }
    }
}
