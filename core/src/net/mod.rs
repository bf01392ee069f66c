//! The one HTTP client. It speaks to the practice's origin and to nobody else: https with the
//! given roots and pins, no redirects, no proxy, no cookies, no retries, and a bound on time and
//! size for every exchange. It never formats an address, a header or a body.

pub(crate) mod bound;
mod failure;
pub(crate) mod problem;
mod tls;

pub use tls::{PinSet, pins_expired};

use crate::error::{PortalError, Reason};
use crate::ports::{Exchange, Transport, TransportError};
use async_trait::async_trait;
use http::StatusCode;
use http::header::{CONTENT_ENCODING, LOCATION};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use url::{Host, Origin, Url};

/// A TCP connection and its TLS handshake together; an exchange's own bound also holds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Long enough for the pages of one sync. The pool's timer ends with its last connection, so that
/// an idle client is silent after at most twice this.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// Names and values of all headers of one answer.
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// The same for HTTP/2, which tells the server.
const MAX_HEADER_LIST: u32 = 64 * 1024;
/// Room reserved before the first byte of a body arrives, whatever the server announces.
const FIRST_RESERVE: usize = 64 * 1024;

/// Whom to talk to, and what proves that it is them.
#[derive(Clone, Debug)]
pub struct TransportConfig {
    /// The practice. Only its scheme, host and port count.
    pub practice_url: Url,
    /// The authorities that may vouch for the practice, as PEM; no others are trusted.
    pub roots_pem: String,
    /// Keys to insist on, on top of the roots. Empty means no pinning.
    pub pins: Vec<PinSet>,
    /// Plain http to this machine (127.0.0.0/8, `::1`, `localhost`), for development.
    pub allow_loopback_http: bool,
}

/// The network of a phone.
pub struct HttpTransport {
    client: reqwest::Client,
    origin: Origin,
}

impl HttpTransport {
    /// Prepares the client; nothing is sent yet.
    ///
    /// # Errors
    /// [`PortalError::Refused`] with `bad_configuration` and the field that is to blame.
    pub fn new(config: &TransportConfig) -> Result<Self, PortalError> {
        let secure = check_address(&config.practice_url, config.allow_loopback_http)?;
        let pins = tls::Pins::new(&config.pins)?;
        // A configuration is handed over in every case: without one, the client would look for a
        // process-wide TLS provider and panic.
        let tls = if secure { tls::client_config(&config.roots_pem, pins)? } else { tls::trust_nobody()? };
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(secure)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .http2_max_header_list_size(MAX_HEADER_LIST);
        if config.practice_url.domain() == Some("localhost") {
            // A name server must not be able to send `localhost` elsewhere.
            let here = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
            builder = builder.resolve_to_addrs("localhost", &here.map(|ip| SocketAddr::new(ip, 0)));
        }
        let client = builder.build().map_err(|_| bad("practice_url"))?;
        Ok(Self { client, origin: config.practice_url.origin() })
    }

    /// The address as it will be used, so that what is compared is what is contacted.
    fn allowed(&self, uri: &http::Uri) -> Result<Url, TransportError> {
        let url = Url::parse(&uri.to_string()).map_err(|_| TransportError::AddressNotAllowed)?;
        let plain = url.username().is_empty() && url.password().is_none();
        if plain && url.origin() == self.origin { Ok(url) } else { Err(TransportError::AddressNotAllowed) }
    }

    async fn exchange(
        &self,
        url: Url,
        request: http::Request<Vec<u8>>,
        max_body: usize,
    ) -> Result<http::Response<Vec<u8>>, TransportError> {
        let (parts, body) = request.into_parts();
        let mut outgoing = reqwest::Request::new(parts.method, url);
        *outgoing.headers_mut() = parts.headers;
        if !body.is_empty() {
            *outgoing.body_mut() = Some(body.into());
        }
        let mut incoming = self.client.execute(outgoing).await.map_err(|e| failure::of(&e))?;

        let status = incoming.status();
        if status.is_redirection()
            && status != StatusCode::NOT_MODIFIED
            && incoming.headers().contains_key(LOCATION)
        {
            return Err(TransportError::Redirected);
        }
        let header_bytes: usize =
            incoming.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if header_bytes > MAX_HEADER_BYTES {
            return Err(TransportError::TooLarge);
        }
        // Nothing is announced for a coded body: its decoded bytes are counted below.
        let announced = incoming.content_length().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
        if announced > max_body {
            return Err(TransportError::TooLarge);
        }
        let mut whole = Vec::with_capacity(announced.min(max_body).min(FIRST_RESERVE));
        while let Some(bytes) = incoming.chunk().await.map_err(|e| failure::of(&e))? {
            if bytes.len() > max_body.saturating_sub(whole.len()) {
                return Err(TransportError::TooLarge);
            }
            whole.extend_from_slice(&bytes);
        }
        // The client removes the header of every coding that it undid.
        if !whole.is_empty() && incoming.headers().contains_key(CONTENT_ENCODING) {
            return Err(TransportError::BadAnswer);
        }
        let mut answer = http::Response::new(whole);
        *answer.status_mut() = incoming.status();
        *answer.version_mut() = incoming.version();
        *answer.headers_mut() = std::mem::take(incoming.headers_mut());
        Ok(answer)
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn send(&self, exchange: Exchange) -> Result<http::Response<Vec<u8>>, TransportError> {
        let Exchange { request, max_body, timeout } = exchange;
        let url = self.allowed(request.uri())?;
        // Dropping the inner future closes the connection (or resets the stream): so does a caller
        // who no longer waits.
        tokio::time::timeout(timeout, self.exchange(url, request, max_body))
            .await
            .unwrap_or(Err(TransportError::TimedOut))
    }
}

/// Whether the practice is spoken to over TLS.
fn check_address(url: &Url, allow_loopback_http: bool) -> Result<bool, PortalError> {
    let plain = url.username().is_empty() && url.password().is_none();
    match (url.scheme(), url.host()) {
        ("https", Some(_)) if plain => Ok(true),
        ("http", Some(host)) if plain && allow_loopback_http && is_loopback(&host) => Ok(false),
        _ => Err(bad("practice_url")),
    }
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(ip) => ip.is_loopback(),
        Host::Ipv6(ip) => ip.is_loopback(),
    }
}

fn bad(field: &str) -> PortalError {
    PortalError::refused_field(Reason::BadConfiguration, field)
}
