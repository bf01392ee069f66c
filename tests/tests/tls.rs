//! Bad servers get no byte of a request, and each fails with its own kind (SECURITY N1, N2).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use portal_core::error::{PortalError, Reason};
use portal_core::net::{HttpTransport, PinSet, TransportConfig, pins_expired};
use portal_core::ports::TransportError;
use portal_tests::tls_lab::*;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, date_time_ymd};
use rustls::version::{TLS12, TLS13};
use std::time::{Duration, Instant, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const VERSIONS: [&rustls::SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// Base64 of 32 bytes that are nobody's key.
const NOBODY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const NOBODY_ELSE: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

/// Offers this identity in both versions of TLS: both must fail so, with nothing sent.
async fn refused(root: &Authority, pins: Vec<PinSet>, kind: TransportError, identity: impl Fn() -> Identity) {
    for version in VERSIONS {
        let mut server = Server::tls(identity().config(version), GOOD).await;
        let answer = Client::new(&server.https(), root, pins.clone()).post().await;
        assert_eq!(answer.map(|_| ()), Err(kind), "{version:?}");
        let seen = server.seen().await;
        assert!(!seen.handshake && seen.bytes.is_empty(), "{version:?} {seen:?}");
        assert!(server.is_lonely().await, "tried again");
    }
}

/// The control: the same machinery lets the request through.
async fn welcome(root: &Authority, pins: Vec<PinSet>, identity: impl Fn() -> Identity) {
    for version in VERSIONS {
        let mut server = Server::tls(identity().config(version), GOOD).await;
        let answer = Client::new(&server.https(), root, pins.clone()).post().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.body().as_slice()), (200, b"{}".as_slice()));
        let seen = server.seen().await;
        assert!(seen.handshake && has_canary(&seen.bytes), "{version:?} {seen:?}");
    }
}

/// A server without TLS, or with a broken one: nothing but handshake and alert records may come.
async fn refused_raw(mut server: Server, root: &Authority, kind: TransportError) {
    let answer =
        Client::new(&server.https(), root, vec![]).post_within(1 << 20, Duration::from_secs(2)).await;
    assert_eq!(answer.map(|_| ()), Err(kind));
    let seen = server.seen().await;
    assert!(!has_canary(&seen.bytes));
    let mut rest = seen.bytes.as_slice();
    while let [kind, _, _, high, low, after @ ..] = rest {
        assert!([0x15, 0x16].contains(kind), "record of type {kind}");
        let length = usize::from(*high) << 8 | usize::from(*low);
        rest = after.get(length..).unwrap_or_default();
    }
}

fn params(change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = server_params();
    change(&mut params);
    params
}

// The good ones.

#[tokio::test]
async fn a_good_server_without_pins() {
    let root = Authority::new("root");
    welcome(&root, vec![], || root.leaf(&server_params())).await;
    let between = root.intermediate("between", true);
    welcome(&root, vec![], || between.leaf(&server_params()).and(&between)).await;
}

#[tokio::test]
async fn a_good_server_with_the_pin_of_its_leaf_first_or_as_backup() {
    let root = Authority::new("root");
    for version in VERSIONS {
        let leaf = root.leaf(&server_params());
        let orders = [pins(&[&leaf.pin, NOBODY]), pins(&[NOBODY, &leaf.pin])];
        let server = Server::tls(leaf.config(version), GOOD).await;
        for pins in orders {
            assert!(Client::new(&server.https(), &root, pins).post().await.is_ok());
        }
    }
}

#[tokio::test]
async fn a_good_server_with_the_pin_of_an_intermediate() {
    let root = Authority::new("root");
    let (upper, lower) = (root.intermediate("upper", true), Authority::new("stranger"));
    welcome(&root, pins(&[&upper.pin, NOBODY]), || upper.leaf(&server_params()).and(&upper)).await;
    // Other certificates sent along, in any order, do no harm.
    welcome(&root, pins(&[&upper.pin, NOBODY]), || upper.leaf(&server_params()).and(&lower).and(&upper))
        .await;
}

#[tokio::test]
async fn http_2_is_spoken_where_the_server_can() {
    let root = Authority::new("root");
    let mut config = root.leaf(&server_params()).config(&TLS13);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let server = Server::raw(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let stream = hyper_util::rt::TokioIo::new(acceptor.accept(stream).await.unwrap());
            let service = hyper::service::service_fn(|_| async {
                Ok::<_, std::convert::Infallible>(http::Response::new(String::from("{}")))
            });
            let executor = hyper_util::rt::TokioExecutor::new();
            hyper::server::conn::http2::Builder::new(executor).serve_connection(stream, service).await.ok();
            Seen::default()
        }
    })
    .await;
    let answer = Client::new(&server.https(), &root, vec![]).post().await.unwrap();
    assert_eq!((answer.version(), answer.body().as_slice()), (http::Version::HTTP_2, b"{}".as_slice()));
}

#[tokio::test]
async fn no_session_is_resumed() {
    let root = Authority::new("root");
    for version in VERSIONS {
        let mut config = root.leaf(&server_params()).config(version);
        config.ticketer = rustls::crypto::ring::Ticketer::new().unwrap();
        let mut server = Server::tls(config, GOOD).await;
        let client = Client::new(&server.https(), &root, vec![]);
        for _ in 0..3 {
            client.post().await.unwrap();
            let seen = server.seen().await;
            assert!(seen.handshake && !seen.resumed);
        }
    }
}

// The matrix of bad ones.

#[tokio::test]
async fn expired() {
    let root = Authority::new("root");
    let old = params(|p| p.not_after = date_time_ymd(2020, 1, 1));
    refused(&root, vec![], TransportError::CertificateExpired, || root.leaf(&old)).await;
}

#[tokio::test]
async fn not_yet_valid() {
    let root = Authority::new("root");
    let early = params(|p| p.not_before = date_time_ymd(3000, 1, 1));
    refused(&root, vec![], TransportError::CertificateExpired, || root.leaf(&early)).await;
}

#[tokio::test]
async fn expired_intermediate() {
    let root = Authority::new("root");
    let mut old = authority_params("between", true);
    old.not_after = date_time_ymd(2020, 1, 1);
    let between = root.intermediate_with(old);
    refused(&root, vec![], TransportError::CertificateExpired, || {
        between.leaf(&server_params()).and(&between)
    })
    .await;
}

#[tokio::test]
async fn self_signed() {
    let root = Authority::new("root");
    let kind = TransportError::CertificateUnknownAuthority;
    refused(&root, vec![], kind, || Identity::self_signed(&server_params())).await;
}

#[tokio::test]
async fn unknown_authority() {
    let (root, stranger) = (Authority::new("root"), Authority::new("stranger"));
    let kind = TransportError::CertificateUnknownAuthority;
    refused(&root, vec![], kind, || stranger.leaf(&server_params())).await;
    // It sends its own root along, too.
    refused(&root, vec![], kind, || stranger.leaf(&server_params()).and(&stranger)).await;
}

#[tokio::test]
async fn unknown_authority_with_the_name_of_ours() {
    let (root, namesake) = (Authority::new("root"), Authority::new("root"));
    let kind = TransportError::CertificateUnknownAuthority;
    refused(&root, vec![], kind, || namesake.leaf(&server_params())).await;
    refused(&root, vec![], kind, || namesake.leaf(&server_params()).and(&root)).await;
}

#[tokio::test]
async fn missing_intermediate() {
    let root = Authority::new("root");
    let between = root.intermediate("between", true);
    let kind = TransportError::CertificateUnknownAuthority;
    refused(&root, vec![], kind, || between.leaf(&server_params())).await;
}

#[tokio::test]
async fn wrong_host() {
    let root = Authority::new("root");
    for name in ["portal.example", "*.localhost", "localhost.example", "127.0.0.1"] {
        let other = CertificateParams::new(vec![name.to_owned()]).unwrap();
        refused(&root, vec![], TransportError::CertificateWrongHost, || root.leaf(&other)).await;
    }
}

#[tokio::test]
async fn wrong_pin_of_a_trusted_authority() {
    let root = Authority::new("root");
    let kind = TransportError::CertificateWrongPin;
    refused(&root, pins(&[NOBODY, NOBODY_ELSE]), kind, || root.leaf(&server_params())).await;
    // Another set that has expired does not weaken the one in force.
    let leaf = || root.leaf(&server_params());
    let expired =
        PinSet { expires_at: Some(SystemTime::UNIX_EPOCH), ..pins(&[NOBODY, NOBODY_ELSE]).remove(0) };
    let both = [pins(&[NOBODY, NOBODY_ELSE]), vec![expired]].concat();
    refused(&root, both, kind, leaf).await;
}

#[tokio::test]
async fn pinned_certificates_that_are_only_sent_along_prove_nothing() {
    let root = Authority::new("root");
    let (practice, other) = (root.intermediate("practice", true), root.intermediate("other", true));
    let kind = TransportError::CertificateWrongPin;
    let insist = pins(&[&practice.pin, NOBODY]);
    refused(&root, insist.clone(), kind, || root.leaf(&server_params()).and(&practice)).await;
    refused(&root, insist, kind, || other.leaf(&server_params()).and(&practice).and(&other)).await;
}

#[tokio::test]
async fn a_pinned_key_without_a_trusted_chain_or_name_is_not_enough() {
    let (root, stranger) = (Authority::new("root"), Authority::new("stranger"));
    for version in VERSIONS {
        let leaf = stranger.leaf(&server_params());
        let insist = pins(&[&leaf.pin, NOBODY]);
        let mut server = Server::tls(leaf.config(version), GOOD).await;
        let answer = Client::new(&server.https(), &root, insist).post().await;
        assert_eq!(answer.map(|_| ()), Err(TransportError::CertificateUnknownAuthority));
        assert!(!server.seen().await.handshake);
    }
    let between = root.intermediate("between", true);
    let other = CertificateParams::new(vec!["portal.example".to_owned()]).unwrap();
    let insist = pins(&[&between.pin, NOBODY]);
    refused(&root, insist, TransportError::CertificateWrongHost, || between.leaf(&other).and(&between)).await;
}

#[tokio::test]
async fn for_clients_only() {
    let root = Authority::new("root");
    let client = params(|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
    refused(&root, vec![], TransportError::TlsFailed, || root.leaf(&client)).await;
}

#[tokio::test]
async fn an_intermediate_that_may_not_sign() {
    let root = Authority::new("root");
    let plain = root.intermediate("plain", false);
    refused(&root, vec![], TransportError::TlsFailed, || plain.leaf(&server_params()).and(&plain)).await;
}

#[tokio::test]
async fn an_authority_in_the_place_of_a_server() {
    let root = Authority::new("root");
    let both = params(|p| p.is_ca = authority_params("", true).is_ca);
    refused(&root, vec![], TransportError::TlsFailed, || root.leaf(&both)).await;
}

#[tokio::test]
async fn plain_http_behind_an_https_address() {
    let server = Server::raw(|mut stream| async move {
        let mut bytes = vec![0; 4096];
        let n = stream.read(&mut bytes).await.unwrap();
        bytes.truncate(n);
        stream.write_all(GOOD).await.unwrap();
        stream.read_to_end(&mut bytes).await.ok();
        Seen { bytes, ..Seen::default() }
    })
    .await;
    refused_raw(server, &Authority::new("root"), TransportError::TlsFailed).await;
}

#[tokio::test]
async fn tls_1_1_only() {
    let server = Server::raw(|mut stream| async move {
        let mut bytes = vec![0; 4096];
        let n = stream.read(&mut bytes).await.unwrap();
        bytes.truncate(n);
        // ServerHello of TLS 1.1 with ECDHE_RSA_WITH_AES_128_CBC_SHA and no extensions.
        let hello = [&[0x16, 3, 2, 0, 42, 2, 0, 0, 38, 3, 2][..], &[7; 32], &[0, 0xc0, 0x13, 0]].concat();
        stream.write_all(&hello).await.unwrap();
        stream.read_to_end(&mut bytes).await.ok();
        Seen { bytes, ..Seen::default() }
    })
    .await;
    refused_raw(server, &Authority::new("root"), TransportError::TlsFailed).await;
}

#[tokio::test]
async fn hanging_in_the_handshake() {
    let server = Server::raw(|mut stream| async move {
        let mut bytes = vec![];
        stream.read_to_end(&mut bytes).await.ok();
        Seen { bytes, ..Seen::default() }
    })
    .await;
    let start = Instant::now();
    refused_raw(server, &Authority::new("root"), TransportError::TimedOut).await;
    assert!(start.elapsed() < Duration::from_secs(15));
}

// Not one byte of the request left, so what waits can still be edited and taken back.
#[tokio::test]
async fn a_handshake_that_never_ends_is_no_connection() {
    let server = Server::raw(|mut stream| async move {
        let mut bytes = vec![];
        stream.read_to_end(&mut bytes).await.ok();
        Seen { bytes, ..Seen::default() }
    })
    .await;
    let client = Client::new(&server.https(), &Authority::new("root"), vec![]);
    let answer = client.post_within(1 << 20, Duration::from_secs(30)).await;
    assert_eq!(answer.map(|_| ()), Err(TransportError::NoConnection));
}

#[tokio::test]
async fn closing_at_once_or_after_the_client_hello() {
    let root = Authority::new("root");
    let at_once = Server::raw(|stream| async move {
        drop(stream);
        Seen::default()
    });
    refused_raw(at_once.await, &root, TransportError::ConnectionLost).await;
    let after_hello = Server::raw(|mut stream| async move {
        let mut bytes = vec![0; 4096];
        let n = stream.read(&mut bytes).await.unwrap();
        bytes.truncate(n);
        stream.shutdown().await.ok();
        Seen { bytes, ..Seen::default() }
    });
    refused_raw(after_hello.await, &root, TransportError::ConnectionLost).await;
}

#[tokio::test]
async fn nobody_listening() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    drop(listener);
    let answer = Client::new(&url, &Authority::new("root"), vec![]).post().await;
    assert_eq!(answer.map(|_| ()), Err(TransportError::NoConnection));
}

#[tokio::test]
async fn a_short_rsa_key() {
    let root = Authority::new("root");
    let mut server = Server::tls(rsa::Key::short().config(&root), GOOD).await;
    let answer = Client::new(&server.https(), &root, vec![]).post().await;
    assert_eq!(answer.map(|_| ()), Err(TransportError::TlsFailed));
    let seen = server.seen().await;
    assert!(!seen.handshake && seen.bytes.is_empty());
    // The control: with a key of 2048 bits the same server is a good one.
    let mut server = Server::tls(rsa::Key::long().config(&root), GOOD).await;
    assert!(Client::new(&server.https(), &root, vec![]).post().await.is_ok());
    assert!(server.seen().await.handshake);
}

// Pins and addresses in the configuration.

#[tokio::test]
async fn expired_pins_leave_the_roots_and_say_so() {
    let (root, stranger) = (Authority::new("root"), Authority::new("stranger"));
    let end = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let old = vec![PinSet { expires_at: Some(end), ..pins(&[NOBODY, NOBODY_ELSE]).remove(0) }];
    welcome(&root, old.clone(), || root.leaf(&server_params())).await;
    let kind = TransportError::CertificateUnknownAuthority;
    refused(&root, old.clone(), kind, || stranger.leaf(&server_params())).await;

    let expired = |pins: Vec<PinSet>, now| pins_expired(&pins, now);
    assert!(expired(old.clone(), end));
    assert!(!expired(old.clone(), end - Duration::from_secs(1)));
    assert!(!expired([old, pins(&[NOBODY, NOBODY_ELSE])].concat(), end));
    assert!(!expired(vec![], end));
}

#[test]
fn a_configuration_that_cannot_be_kept_is_refused() {
    let root = Authority::new("root").certificate.pem();
    let try_with = |url: &str, roots: &str, pins: Vec<PinSet>, allow_loopback_http: bool| {
        let (practice_url, roots_pem) = (url.parse().unwrap(), roots.to_owned());
        match HttpTransport::new(&TransportConfig { practice_url, roots_pem, pins, allow_loopback_http }) {
            Ok(_) => None,
            Err(PortalError::Refused { reason: Reason::BadConfiguration, field }) => field,
            Err(other) => panic!("{other:?}"),
        }
    };
    let good = "https://portal.example";
    assert_eq!(try_with(good, &root, vec![], false), None);
    assert_eq!(try_with(good, &root, pins(&[NOBODY, NOBODY_ELSE]), false), None);

    let url = Some("practice_url".to_owned());
    for bad in [
        "http://portal.example",
        "http://10.0.0.1",
        "http://localhost.example",
        "ftp://localhost",
        "http://0.0.0.0",
        "http://[::ffff:127.0.0.1]",
        "file:///etc",
        "data:,x",
        "https://me@portal.example",
        "https://me:pw@portal.example",
    ] {
        assert_eq!(try_with(bad, &root, vec![], true), url, "{bad}");
    }
    for loopback in ["http://localhost:1", "http://127.0.0.1:1", "http://127.9.9.9:1", "http://[::1]:1"] {
        assert_eq!(try_with(loopback, &root, vec![], false), url, "{loopback}");
        assert_eq!(try_with(loopback, &root, vec![], true), None, "{loopback}");
        assert_eq!(try_with(loopback, "", vec![], true), None, "{loopback}");
    }

    let roots = Some("roots_pem".to_owned());
    let cut = root.replace("END CERTIFICATE", "END");
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for bad in ["", "no pem", &cut, broken, &format!("{root}{broken}")] {
        assert_eq!(try_with(good, bad, vec![], false), roots);
    }

    let field = Some("pins".to_owned());
    for bad in
        [&[][..], &[NOBODY], &[NOBODY, NOBODY], &[NOBODY, "AAAA"], &[NOBODY, "?"], &[NOBODY, NOBODY_ELSE, ""]]
    {
        assert_eq!(try_with(good, &root, pins(bad), false), field, "{bad:?}");
        assert_eq!(try_with(good, &root, [pins(&[NOBODY, NOBODY_ELSE]), pins(bad)].concat(), false), field);
    }
}
