//! A practice on a free port, and a small client that shows what is on the wire.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use portal_server_mock::serve::{self, Options, Running};
use portal_server_mock::world::{Policy, PracticeRecord, Route, RouteLabel};
use portal_server_mock::{Setup, World};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// The staff key of every test practice.
pub(crate) const STAFF_KEY: &str = "test-staff-key";

/// The instant that data are made for.
pub(crate) fn now() -> DateTime<Utc> {
    "2026-04-15T15:00:00Z".parse().unwrap()
}

/// A setup whose passwords are quick to check.
pub(crate) fn setup(issuer: &str) -> Setup {
    Setup { seed: 7, issuer: issuer.to_owned(), password_iterations: 10, staff_key: STAFF_KEY.to_owned() }
}

/// An empty practice.
pub(crate) fn world(issuer: &str) -> World {
    let practice = PracticeRecord {
        id: uuid::Uuid::from_u128(1),
        name: "Test practice".into(),
        zone: "America/New_York".into(),
        phones: Vec::new(),
        crisis: Vec::new(),
        banner: None,
        policy: Policy {
            idle_lock_s: 300,
            background_lock_s: 60,
            reply_hours: 48,
            message_max_chars: 5_000,
            start_threads: true,
        },
        sites: Vec::new(),
        routes: vec![RouteLabel { route: Route::Scheduler, label: "Appointments".into() }],
    };
    World::new(setup(issuer), practice)
}

/// An empty practice on a free port.
pub(crate) fn practice() -> Running {
    practice_with(Options::default())
}

/// An empty practice with other options.
pub(crate) fn practice_with(options: Options) -> Running {
    serve::start(options, world).unwrap()
}

/// A TLS client's settings that trust this practice's authority alone.
pub(crate) fn config(practice: &Running, alpn: &[&[u8]]) -> Arc<ClientConfig> {
    trusting(practice.ca_pem().unwrap(), alpn)
}

fn trusting(ca_pem: &str, alpn: &[&[u8]]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

/// HTTP/1.1 over TLS, byte by byte.
pub(crate) struct TlsClient {
    stream: StreamOwned<ClientConnection, TcpStream>,
    unread: Vec<u8>,
}

impl TlsClient {
    pub(crate) fn connect(practice: &Running) -> Self {
        Self::connect_as(practice, "localhost").unwrap()
    }

    /// Connects to the practice's address and asks for a certificate of this host.
    pub(crate) fn connect_as(practice: &Running, host: &str) -> io::Result<Self> {
        Self::trusting(practice.ca_pem().unwrap(), practice, host)
    }

    pub(crate) fn trusting(ca_pem: &str, practice: &Running, host: &str) -> io::Result<Self> {
        let config = trusting(ca_pem, &[b"http/1.1"]);
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
        let tcp = TcpStream::connect(practice.address())?;
        tcp.set_read_timeout(Some(Duration::from_secs(20)))?;
        let mut stream = StreamOwned::new(tls, tcp);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self { stream, unread: Vec::new() })
    }

    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.try_get(path).unwrap()
    }

    pub(crate) fn try_get(&mut self, path: &str) -> io::Result<Answer> {
        self.try_send(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n"))?;
        self.receive()
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.try_send(text).unwrap();
    }

    pub(crate) fn try_send(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(text.as_bytes())?;
        self.stream.flush()
    }

    /// One whole answer.
    pub(crate) fn receive(&mut self) -> io::Result<Answer> {
        let end = loop {
            let found = self.unread.windows(4).position(|four| four == b"\r\n\r\n");
            match found {
                Some(at) => break at,
                None => self.more()?,
            }
        };
        let head = String::from_utf8(self.unread.drain(..end + 4).collect()).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect::<Vec<_>>();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = length.map_or(0, |(_, value)| value.parse().unwrap());
        while self.unread.len() < length {
            self.more()?;
        }
        let body = self.unread.drain(..length).collect();
        Ok(Answer { status, headers, body })
    }

    /// Everything until the connection ends, however it ends.
    pub(crate) fn rest(&mut self) -> String {
        while self.more().is_ok() {}
        String::from_utf8_lossy(&self.unread).into_owned()
    }

    fn more(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            many => {
                self.unread.extend_from_slice(&buffer[..many]);
                Ok(())
            }
        }
    }

    /// Base64 of the SHA-256 of the served certificate's SubjectPublicKeyInfo.
    pub(crate) fn spki_pin(&self) -> String {
        let leaf = &self.stream.conn.peer_certificates().unwrap()[0];
        // The SubjectPublicKeyInfo of a P-256 key: a fixed head of 26 bytes and 65 of the point.
        let head = [
            0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
            0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
        ];
        let at = leaf.windows(head.len()).position(|part| part == head).unwrap();
        let spki = &leaf[at..at + head.len() + 65];
        STANDARD.encode(ring::digest::digest(&ring::digest::SHA256, spki))
    }
}

/// An answer as it came.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}
