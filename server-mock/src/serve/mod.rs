//! The practice on a socket: HTTPS on a port of this machine, with HTTP/1.1 and HTTP/2, around the
//! same `handle` that tests call without one.
//!
//! The server brings its own threads, so that it can be started, paused and stopped from ordinary
//! and from asynchronous code alike.

mod exchange;
mod listener;
mod tls;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};

use chrono::{DateTime, Utc};
use tokio::sync::mpsc as orders;

pub use tls::{Tls, TlsError};

use self::exchange::Desk;
use self::listener::{Done, Order};
use crate::world::World;

/// Says what time it is at the practice.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// Where and how the practice listens.
#[derive(Clone)]
pub struct Options {
    /// The address; a port of 0 lets the system choose a free one.
    pub addr: SocketAddr,
    /// Where the keys live, or that there are none.
    pub tls: Tls,
    /// The practice's clock.
    pub clock: Clock,
}

impl Default for Options {
    /// A free port of the loopback address, new keys in memory, the system's clock.
    fn default() -> Self {
        Self {
            addr: (Ipv4Addr::LOCALHOST, 0).into(),
            tls: Tls::Memory,
            clock: Arc::new(|| std::time::SystemTime::now().into()),
        }
    }
}

/// Why the practice does not listen.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Another program listens there.
    #[error("port {0} is taken: choose another with --addr")]
    PortTaken(u16),
    /// The system does not give this address to anybody, or not to this user.
    #[error("cannot listen on {addr}: {source}")]
    Address {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Without TLS, what clients write could be read on the way.
    #[error("plain HTTP is for this machine alone: {0} is not a loopback address")]
    PlainNeedsLoopback(SocketAddr),
    /// The certificates could not be made or kept.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The system refuses more threads.
    #[error("the server's threads could not be started: {0}")]
    Threads(io::Error),
    /// The server has ended; only a new start helps.
    #[error("the practice has been stopped")]
    Stopped,
}

/// A practice that listens. Dropping it stops it.
pub struct Running {
    address: SocketAddr,
    base_url: String,
    trust: Option<Trust>,
    world: Arc<Mutex<World>>,
    orders: orders::UnboundedSender<Order>,
    threads: Option<tokio::runtime::Runtime>,
}

/// What a client needs to know of the certificates.
struct Trust {
    ca_pem: String,
    ca_file: Option<PathBuf>,
    leaf_pin: String,
    backup_pin: String,
}

/// Binds the address, builds the world for the URL that came of it, and starts to answer.
pub fn start(options: Options, build: impl FnOnce(&str) -> World) -> Result<Running, ServeError> {
    let Options { addr, tls, clock } = options;
    let identity = match &tls {
        Tls::Off if !addr.ip().is_loopback() => return Err(ServeError::PlainNeedsLoopback(addr)),
        Tls::Off => None,
        Tls::Memory => Some(tls::Identity::new(None, clock())?),
        Tls::Directory(folder) => Some(tls::Identity::new(Some(folder), clock())?),
    };
    let threads = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("practice")
        .enable_all()
        .build()
        .map_err(ServeError::Threads)?;
    let entered = threads.enter();
    let bound = listener::bind(addr).and_then(listener::listen);
    let bound = bound.and_then(|listener| listener.local_addr().map(|address| (listener, address)));
    drop(entered);
    let (listener, address) = match bound {
        Ok(bound) => bound,
        Err(source) => {
            // dropped in an async context, the threads would panic
            threads.shutdown_background();
            return Err(not_bound(addr, source));
        }
    };
    let scheme = if identity.is_some() { "https" } else { "http" };
    let base_url = format!("{scheme}://localhost:{}", address.port());

    let world = Arc::new(Mutex::new(build(&base_url)));
    let router = exchange::router(Desk { world: Arc::clone(&world), clock });
    let (orders, received) = orders::unbounded_channel();
    let config = identity.as_ref().map(|of| Arc::clone(&of.config));
    threads.spawn(listener::run(listener, address, config, router, received));

    Ok(Running {
        address,
        base_url,
        trust: identity.map(|of| Trust {
            ca_pem: of.ca_pem,
            ca_file: of.ca_file,
            leaf_pin: of.leaf_pin,
            backup_pin: of.backup_pin,
        }),
        world,
        orders,
        threads: Some(threads),
    })
}

fn not_bound(addr: SocketAddr, source: io::Error) -> ServeError {
    if source.kind() == io::ErrorKind::AddrInUse {
        ServeError::PortTaken(addr.port())
    } else {
        ServeError::Address { addr, source }
    }
}

impl Running {
    /// The address it listens on, with the real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `https://localhost:<port>`, which is also the issuer of its tokens.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The development authority to trust, in PEM; nothing over plain HTTP.
    pub fn ca_pem(&self) -> Option<&str> {
        self.trust.as_ref().map(|of| of.ca_pem.as_str())
    }

    /// The file that holds the authority, if the keys are kept.
    pub fn ca_file(&self) -> Option<&Path> {
        self.trust.as_ref().and_then(|of| of.ca_file.as_deref())
    }

    /// Base64 of the SHA-256 of the served key's SubjectPublicKeyInfo.
    pub fn leaf_spki_sha256(&self) -> Option<&str> {
        self.trust.as_ref().map(|of| of.leaf_pin.as_str())
    }

    /// The same of the key that the practice would change to.
    pub fn backup_spki_sha256(&self) -> Option<&str> {
        self.trust.as_ref().map(|of| of.backup_pin.as_str())
    }

    /// The practice's state, for acts of its staff and for looking. Release it before the next
    /// request: nothing is answered while it is held.
    pub fn world(&self) -> &Arc<Mutex<World>> {
        &self.world
    }

    /// Stops answering: new connections are refused and the open ones dropped, at once.
    pub fn pause(&self) -> Result<(), ServeError> {
        self.order(Order::Pause)
    }

    /// Answers again, at the same port.
    pub fn resume(&self) -> Result<(), ServeError> {
        self.order(Order::Resume)
    }

    /// Ends it; when this returns, the port is free.
    pub fn stop(self) {
        drop(self);
    }

    fn order(&self, order: impl FnOnce(Done) -> Order) -> Result<(), ServeError> {
        let (done, answer) = mpsc::channel();
        self.orders.send(order(done)).map_err(|_| ServeError::Stopped)?;
        answer.recv().map_err(|_| ServeError::Stopped)?.map_err(|source| not_bound(self.address, source))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.order(Order::Stop);
        if let Some(threads) = self.threads.take() {
            // Waiting for the threads is forbidden inside somebody else's runtime.
            threads.shutdown_background();
        }
    }
}
