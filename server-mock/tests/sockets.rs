//! The practice on a real socket: TLS, both HTTP versions, limits, and an outage.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use common::{TlsClient, config, practice, practice_with};
use http::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use portal_server_mock::serve::{self, Options, ServeError, Tls};
use portal_server_mock::{Faults, demo};

#[test]
fn answers_over_tls_with_http_1_and_its_own_url_as_issuer() {
    let practice = practice();
    let answer = TlsClient::connect(&practice).get("/.well-known/oauth-authorization-server");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["issuer"], practice.base_url());
    assert_eq!(practice.base_url(), format!("https://localhost:{}", practice.address().port()));
    assert!(answer.header("portal-time").is_some());
}

#[test]
fn one_connection_serves_many_requests() {
    let practice = practice();
    let mut client = TlsClient::connect(&practice);
    for _ in 0..5 {
        assert_eq!(client.get("/v1/practice").status, 200);
    }
}

#[test]
fn answers_with_http_2_if_the_client_offers_it() {
    let practice = practice();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let connector = tokio_rustls::TlsConnector::from(config(&practice, &[b"h2"]));
        let tcp = tokio::net::TcpStream::connect(practice.address()).await.unwrap();
        let tls = connector.connect("localhost".try_into().unwrap(), tcp).await.unwrap();
        assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tls)).await.unwrap();
        tokio::spawn(connection);
        for _ in 0..3 {
            let request =
                Request::get(format!("{}/v1/practice", practice.base_url())).body(Body::empty()).unwrap();
            let response = sender.send_request(request).await.unwrap();
            assert_eq!(response.status(), 200);
            let body = axum::body::to_bytes(Body::new(response.into_body()), 1 << 20).await.unwrap();
            serde_json::from_slice::<serde_json::Value>(&body).unwrap();
        }
    });
}

#[test]
fn the_certificate_is_for_this_machine_only() {
    let practice = practice();
    for host in ["localhost", "127.0.0.1", "::1"] {
        TlsClient::connect_as(&practice, host).unwrap();
    }
    for host in ["example.org", "10.0.0.1"] {
        assert!(TlsClient::connect_as(&practice, host).is_err(), "{host}");
    }
}

#[test]
fn the_pin_is_of_the_key_that_is_served() {
    let practice = practice();
    let client = TlsClient::connect(&practice);
    assert_eq!(client.spki_pin(), practice.leaf_spki_sha256().unwrap());
    assert_ne!(practice.backup_spki_sha256(), practice.leaf_spki_sha256());
    assert_eq!(practice.backup_spki_sha256().unwrap().len(), 44);
}

#[test]
fn kept_keys_are_used_again_and_private() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("tls");
    let options = || Options { tls: Tls::Directory(kept.clone()), ..Options::default() };
    let first = practice_with(options());
    let (pin, backup) = pins(&first);
    let old_ca = first.ca_pem().unwrap().to_owned();
    drop(first);
    let second = practice_with(options());
    assert_eq!(pins(&second), (pin, backup));
    // A phone that trusted the authority at the first start still does.
    TlsClient::trusting(&old_ca, &second, "localhost").unwrap();
    assert_eq!(std::fs::read_to_string(second.ca_file().unwrap()).unwrap(), second.ca_pem().unwrap());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&kept) & 0o777, 0o700);
        for file in std::fs::read_dir(&kept).unwrap() {
            let path = file.unwrap().path();
            assert_eq!(mode(&path) & 0o777, 0o600, "{}", path.display());
        }
    }
}

fn pins(practice: &serve::Running) -> (String, String) {
    (practice.leaf_spki_sha256().unwrap().to_owned(), practice.backup_spki_sha256().unwrap().to_owned())
}

#[test]
fn a_broken_key_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("leaf-key.pem"), "no key").unwrap();
    let options = Options { tls: Tls::Directory(folder.path().into()), ..Options::default() };
    let why = serve::start(options, common::world).err().unwrap();
    assert!(why.to_string().contains("leaf-key.pem"), "{why}");
}

#[test]
fn a_pause_drops_connections_and_a_resume_takes_the_same_port() {
    let practice = practice();
    let mut open = TlsClient::connect(&practice);
    assert_eq!(open.get("/v1/practice").status, 200);

    practice.pause().unwrap();
    assert!(open.try_get("/v1/practice").is_err(), "an open connection lived on");
    assert!(TcpStream::connect(practice.address()).is_err(), "the door was open");
    practice.pause().unwrap();

    practice.resume().unwrap();
    practice.resume().unwrap();
    assert_eq!(TlsClient::connect(&practice).get("/v1/practice").status, 200);
}

#[test]
fn a_pause_interrupts_a_slow_answer() {
    let practice = practice();
    faults(&practice, Faults { delay: 1.0, max_delay_ms: 600_000, ..Faults::default() });
    let mut client = TlsClient::connect(&practice);
    client.send("GET /v1/practice HTTP/1.1\r\nhost: localhost\r\n\r\n");
    std::thread::sleep(Duration::from_millis(200));
    let begun = Instant::now();
    practice.pause().unwrap();
    assert!(client.receive().is_err());
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn outages_can_be_had_many_times() {
    let practice = practice();
    for _ in 0..20 {
        assert_eq!(TlsClient::connect(&practice).get("/v1/practice").status, 200);
        practice.pause().unwrap();
        practice.resume().unwrap();
    }
}

#[test]
fn works_from_inside_another_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let practice = practice();
        practice.pause().unwrap();
        practice.resume().unwrap();
        assert_eq!(TlsClient::connect(&practice).get("/v1/practice").status, 200);
        practice.stop();
    });
}

#[test]
fn a_body_over_two_mebibytes_is_refused() {
    let practice = practice();
    for announced in [2 * 1024 * 1024 + 1, 3_000_000_000usize] {
        let mut client = TlsClient::connect(&practice);
        client.send(&format!(
            "POST /v1/ops HTTP/1.1\r\nhost: localhost\r\ncontent-length: {announced}\r\n\r\n"
        ));
        let answer = client.receive().unwrap();
        assert_eq!(answer.status, 413);
        assert_eq!(answer.json()["code"], "body_too_large");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert!(answer.header("portal-time").is_some());
    }
}

#[test]
fn a_body_without_announced_length_has_the_same_limit() {
    let practice = practice();
    let mut client = TlsClient::connect(&practice);
    client.send("POST /v1/ops HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n");
    let piece = format!("{:x}\r\n{}\r\n", 65536, "a".repeat(65536));
    // The practice may hang up before all of it is sent.
    for _ in 0..40 {
        if client.try_send(&piece).is_err() {
            break;
        }
    }
    assert_eq!(client.receive().unwrap().status, 413);
}

#[test]
fn a_dropped_answer_is_no_answer() {
    let practice = practice();
    faults(&practice, Faults { drop_before: 1.0, ..Faults::default() });
    assert!(TlsClient::connect(&practice).try_get("/v1/practice").is_err());
    faults(&practice, Faults::default());
    assert_eq!(TlsClient::connect(&practice).get("/v1/practice").status, 200);
}

#[test]
fn a_cut_answer_declares_more_than_it_sends() {
    let practice = practice();
    faults(&practice, Faults { truncate: 1.0, ..Faults::default() });
    let mut client = TlsClient::connect(&practice);
    client.send("GET /v1/practice HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let text = client.rest();
    let (head, body) = text.split_once("\r\n\r\n").expect("the head has to arrive");
    let declared: usize = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok())
        .expect("a declared length");
    assert!(body.len() < declared, "{} of {declared}", body.len());
}

#[test]
fn a_cut_answer_over_http_2_is_an_error_and_not_a_short_body() {
    let practice = practice();
    faults(&practice, Faults { truncate: 1.0, ..Faults::default() });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let connector = tokio_rustls::TlsConnector::from(config(&practice, &[b"h2"]));
        let tcp = tokio::net::TcpStream::connect(practice.address()).await.unwrap();
        let tls = connector.connect("localhost".try_into().unwrap(), tcp).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tls)).await.unwrap();
        tokio::spawn(connection);
        let request =
            Request::get(format!("{}/v1/practice", practice.base_url())).body(Body::empty()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        let body = axum::body::to_bytes(Body::new(response.into_body()), 1 << 20).await;
        assert!(body.is_err());
    });
}

#[test]
fn rubbish_and_silence_harm_nobody() {
    let practice = practice();
    let mut silent = Vec::new();
    for rubbish in [&b""[..], b"GET / HTTP/1.1\r\n\r\n", &[0x16, 3, 1, 255, 255], &[0; 4096]] {
        let mut stream = TcpStream::connect(practice.address()).unwrap();
        stream.write_all(rubbish).unwrap();
        silent.push(stream);
    }
    let mut client = TlsClient::connect(&practice);
    client.send("NONSENSE\r\n\r\n");
    assert!(client.receive().is_ok_and(|answer| answer.status == 400));
    assert_eq!(TlsClient::connect(&practice).get("/v1/practice").status, 200);
}

#[test]
fn a_client_without_trust_is_not_served() {
    let (practice, other) = (practice(), practice());
    assert!(TlsClient::trusting(other.ca_pem().unwrap(), &practice, "localhost").is_err());
}

#[test]
fn a_taken_port_is_told_in_words() {
    let practice = practice();
    let options = Options { addr: practice.address(), ..Options::default() };
    let why = serve::start(options, common::world).err().unwrap();
    assert!(matches!(why, ServeError::PortTaken(_)));
    let port = practice.address().port();
    assert_eq!(why.to_string(), format!("port {port} is taken: choose another with --addr"));
}

#[tokio::test]
async fn a_taken_port_is_told_inside_an_async_context_too() {
    let practice = practice();
    let options = Options { addr: practice.address(), ..Options::default() };
    assert!(matches!(serve::start(options, common::world).err(), Some(ServeError::PortTaken(_))));
}

#[test]
fn plain_http_is_for_loopback_addresses_only() {
    let any: SocketAddr = ([0, 0, 0, 0], 0).into();
    let options = Options { addr: any, tls: Tls::Off, ..Options::default() };
    let why = serve::start(options, common::world).err().unwrap();
    assert!(matches!(why, ServeError::PlainNeedsLoopback(_)));

    let practice = practice_with(Options { tls: Tls::Off, ..Options::default() });
    assert!(practice.base_url().starts_with("http://localhost:"));
    assert_eq!(practice.ca_pem(), None);
    let mut stream = TcpStream::connect(practice.address()).unwrap();
    stream.write_all(b"GET /v1/practice HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn a_stopped_practice_leaves_its_port() {
    let practice = practice();
    let addr = practice.address();
    practice.stop();
    assert!(TcpStream::connect(addr).is_err());
    let again = practice_with(Options { addr, ..Options::default() });
    assert_eq!(TlsClient::connect(&again).get("/v1/practice").status, 200);
}

#[test]
fn requests_in_parallel_are_all_answered() {
    let practice = Arc::new(practice());
    let clients = (0..8)
        .map(|_| {
            let practice = Arc::clone(&practice);
            std::thread::spawn(move || {
                let mut client = TlsClient::connect(&practice);
                (0..20).all(|_| client.get("/v1/practice").status == 200)
            })
        })
        .collect::<Vec<_>>();
    assert!(clients.into_iter().all(|client| client.join().unwrap()));
}

#[test]
fn the_demo_practice_is_up_in_a_moment() {
    let begun = Instant::now();
    let practice = serve::start(Options::default(), |issuer| {
        demo::build(common::setup(issuer), demo::MESSAGES, common::now())
    })
    .unwrap();
    assert_eq!(TlsClient::connect(&practice).get("/v1/practice").status, 200);
    // Generous, as machines differ and others may be at work on this one.
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

fn faults(practice: &serve::Running, faults: Faults) {
    practice.world().lock().unwrap().set_faults(faults);
}
