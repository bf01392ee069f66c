//! The listening socket and the connections behind it, as one task that takes orders: shut the
//! door, open it again, leave.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// The longest that a client may take to shake hands or to send its request's head.
const PATIENCE: Duration = Duration::from_secs(10);
/// Beyond this many open connections, new ones are closed at once.
const MOST_CONNECTIONS: usize = 1024;
/// Connections that the system keeps waiting while the task is busy.
const BACKLOG: u32 = 1024;

/// What the handle asks of the listening task; each is answered once it is done.
pub(super) enum Order {
    Pause(Done),
    Resume(Done),
    Stop(Done),
}

/// Tells the asking thread how it went.
pub(super) type Done = std::sync::mpsc::Sender<std::io::Result<()>>;

/// Hangs up on the client of one connection; every request carries it as an extension.
#[derive(Clone)]
pub(super) struct HangUp(pub(super) Arc<Notify>);

enum Door {
    Open(TcpListener),
    /// Bound but not listening: clients are refused, and nobody else gets the port meanwhile.
    Shut(Option<TcpSocket>),
}

/// Binds the address. A port of 0 is chosen by the system.
pub(super) fn bind(addr: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // Old connections in TIME_WAIT must not keep the practice from coming back.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    Ok(socket)
}

/// Starts listening on what `bind` returned.
pub(super) fn listen(socket: TcpSocket) -> std::io::Result<TcpListener> {
    socket.listen(BACKLOG)
}

/// Accepts and serves until told to stop.
pub(super) async fn run(
    listener: TcpListener,
    addr: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    mut orders: mpsc::UnboundedReceiver<Order>,
) {
    let front = Front { tls: tls.map(TlsAcceptor::from), router: TowerToHyperService::new(router) };
    let mut door = Door::Open(listener);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                Some(Order::Pause(done)) => {
                    if matches!(door, Door::Open(_)) {
                        // The listening socket has to go before its port can be held by another.
                        drop(std::mem::replace(&mut door, Door::Shut(None)));
                        door = Door::Shut(bind(addr).ok());
                    }
                    connections.shutdown().await;
                    let _ = done.send(Ok(()));
                }
                Some(Order::Resume(done)) => {
                    let _ = done.send(reopen(&mut door, addr));
                }
                Some(Order::Stop(done)) => {
                    drop(door);
                    connections.shutdown().await;
                    let _ = done.send(Ok(()));
                    return;
                }
                None => return,
            },
            stream = next_client(&door) => {
                if let Some(stream) = stream && connections.len() < MOST_CONNECTIONS {
                    connections.spawn(front.clone().serve(stream));
                }
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

fn reopen(door: &mut Door, addr: SocketAddr) -> std::io::Result<()> {
    if let Door::Shut(held) = door {
        let socket = match held.take() {
            Some(socket) => socket,
            None => bind(addr)?,
        };
        *door = Door::Open(listen(socket)?);
    }
    Ok(())
}

async fn next_client(door: &Door) -> Option<TcpStream> {
    let Door::Open(listener) = door else {
        return std::future::pending().await;
    };
    match listener.accept().await {
        Ok((stream, _)) => Some(stream),
        Err(why) => {
            // Out of file descriptors, as a rule: give the open connections time to end.
            tracing::debug!(%why, "a connection was not accepted");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

/// What stands between a socket and the router.
#[derive(Clone)]
struct Front {
    tls: Option<TlsAcceptor>,
    router: TowerToHyperService<Router>,
}

impl Front {
    async fn serve(self, stream: TcpStream) {
        // Answers are small and awaited: sending them at once beats filling packets.
        let _ = stream.set_nodelay(true);
        let Some(acceptor) = &self.tls else {
            return self.speak(stream, false).await;
        };
        match tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => {
                let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                self.speak(stream, h2).await;
            }
            Ok(Err(why)) => tracing::debug!(%why, "no TLS connection"),
            Err(_) => tracing::debug!("no TLS handshake in time"),
        }
    }

    /// HTTP on one connection, until either side ends it.
    async fn speak<S>(&self, stream: S, h2: bool)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let hang_up = HangUp(Arc::default());
        let told = hang_up.0.clone();
        let router = self.router.clone();
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(hang_up.clone());
            router.call(request)
        });
        let http = protocol(h2);
        tokio::select! {
            ended = http.serve_connection(TokioIo::new(stream), service) => {
                if let Err(why) = ended {
                    tracing::debug!(%why, "a connection broke off");
                }
            }
            () = told.notified() => {}
        }
    }
}

/// The version is known from the handshake: waiting for a preface would have no time limit.
fn protocol(h2: bool) -> auto::Builder<TokioExecutor> {
    let http = auto::Builder::new(TokioExecutor::new());
    let mut http = if h2 { http.http2_only() } else { http.http1_only() };
    http.http1().timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(PATIENCE)
        .max_concurrent_streams(100);
    http
}
