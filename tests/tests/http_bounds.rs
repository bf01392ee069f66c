//! What an answer may cost, and whom the client talks to (SECURITY N3, N4).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use portal_core::ports::TransportError;
use portal_tests::tls_lab::*;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const MIB: usize = 1 << 20;
const LONG: Duration = Duration::from_secs(20);

fn answer(headers: &str, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\n").as_bytes(), body].concat()
}

fn sized(headers: &str, body: &[u8]) -> Vec<u8> {
    answer(&format!("{headers}content-length: {}", body.len()), body)
}

/// How the client fails on these bytes, and that it asked once.
async fn failure(bytes: impl Into<Vec<u8>>, max_body: usize) -> TransportError {
    let mut server = Server::plain(bytes).await;
    let failure = Client::plain(&server).post_within(max_body, LONG).await.expect_err("an answer");
    assert!(has_canary(&server.seen().await.bytes));
    assert!(server.is_lonely().await, "asked again after {failure:?}");
    failure
}

async fn body(bytes: impl Into<Vec<u8>>, max_body: usize) -> Vec<u8> {
    let server = Server::plain(bytes).await;
    Client::plain(&server).post_within(max_body, LONG).await.unwrap().into_body()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(vec![], flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

// Size.

#[tokio::test]
async fn the_bound_is_exact() {
    assert_eq!(body(sized("", &[7; 1000]), 1000).await.len(), 1000);
    assert_eq!(failure(sized("", &[7; 1001]), 1000).await, TransportError::TooLarge);
    let chunked =
        |n| answer("transfer-encoding: chunked", &[b"3e8\r\n", &[7; 1000][..], b"\r\n", n].concat());
    assert_eq!(body(chunked(b"0\r\n\r\n"), 1000).await.len(), 1000);
    assert_eq!(failure(chunked(b"1\r\n7\r\n0\r\n\r\n"), 1000).await, TransportError::TooLarge);
    assert_eq!(body(sized("", b""), 0).await.len(), 0);
    let coded = |n| sized("content-encoding: gzip\r\n", &gzip(&vec![7; n]));
    assert_eq!(body(coded(1000), 1000).await.len(), 1000);
    assert_eq!(failure(coded(1001), 1000).await, TransportError::TooLarge);
}

/// Sends the head, then one piece again and again, at most 100 MiB; counts what it got rid of.
async fn flood(head: &'static str, piece: &'static [u8]) -> (TransportError, usize) {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let mut server = Server::raw(move |mut stream| {
        let count = Arc::clone(&count);
        async move {
            let bytes = read_request(&mut stream).await;
            stream.write_all(head.as_bytes()).await.ok();
            while count.load(Ordering::SeqCst) < 100 * MIB && stream.write_all(piece).await.is_ok() {
                count.fetch_add(piece.len(), Ordering::SeqCst);
            }
            Seen { bytes, ..Seen::default() }
        }
    })
    .await;
    let failure = Client::plain(&server).post_within(MIB, LONG).await.expect_err("an answer");
    server.seen().await;
    (failure, sent.load(Ordering::SeqCst))
}

#[tokio::test]
async fn a_hundred_megabytes_are_cut_off() {
    static PIECE: [u8; 64 * 1024] = [b' '; 64 * 1024];
    let declared = "HTTP/1.1 200 OK\r\ncontent-length: 104857600\r\n\r\n";
    let endless = "HTTP/1.1 200 OK\r\n\r\n";
    for head in [declared, endless] {
        let (failure, sent) = flood(head, &PIECE).await;
        assert_eq!(failure, TransportError::TooLarge);
        assert!(sent < 30 * MIB, "{sent} bytes went out"); // the socket's buffers take some
    }
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let (failure, sent) = flood(chunked, b"10\r\n0123456789abcdef\r\n").await;
    assert_eq!(failure, TransportError::TooLarge);
    assert!(sent < 30 * MIB, "{sent} bytes went out");
}

#[tokio::test]
async fn a_server_that_only_announces_reserves_nothing() {
    let huge = answer("content-length: 9223372036854775807", b"x");
    assert_eq!(failure(huge, usize::MAX).await, TransportError::ConnectionLost);
    let huge = answer("content-length: 9223372036854775807", b"x");
    assert_eq!(failure(huge, MIB).await, TransportError::TooLarge);
    let overflow = answer("content-length: 18446744073709551616", b"x");
    assert_eq!(failure(overflow, MIB).await, TransportError::BadAnswer);
}

#[tokio::test]
async fn bombs_count_as_what_they_become() {
    let zeros = vec![0; 100 * MIB];
    let bomb = sized("content-encoding: gzip\r\n", &gzip(&zeros));
    assert!(bomb.len() < MIB / 4);
    assert_eq!(failure(bomb, MIB).await, TransportError::TooLarge);
    // The control: the same coding, of a size that is allowed.
    let text = vec![b'a'; MIB];
    assert_eq!(body(sized("content-encoding: gzip\r\n", &gzip(&text)), MIB).await, text);
    // A coding that was not asked for is not undone: its library leaves what it decoded in memory.
    let coded = zstd::encode_all(text.as_slice(), 3).unwrap();
    assert_eq!(failure(sized("content-encoding: zstd\r\n", &coded), MIB).await, TransportError::BadAnswer);
}

#[tokio::test]
async fn headers_are_bounded() {
    let long = format!("x-long: {}\r\n", "y".repeat(100 * 1024));
    assert_eq!(failure(sized(&long, b"{}"), MIB).await, TransportError::TooLarge);
    let many: String = (0..1000).map(|n| format!("x-{n}: y\r\n")).collect();
    assert_eq!(failure(sized(&many, b"{}"), MIB).await, TransportError::BadAnswer);
    let (failure, sent) = flood("HTTP/1.1 200 OK\r\n", b"x-endless: 0123456789abcdef\r\n").await;
    assert_eq!(failure, TransportError::BadAnswer);
    assert!(sent < 30 * MIB, "{sent} bytes went out");
}

// Time.

#[tokio::test]
async fn a_dripping_or_silent_server_runs_into_the_bound() {
    for head in ["", "HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n", "HTTP/1.1 200 OK\r\nx: "] {
        let server = Server::raw(move |mut stream| async move {
            let bytes = read_request(&mut stream).await;
            stream.write_all(head.as_bytes()).await.ok();
            while !head.is_empty() && stream.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            stream.read_to_end(&mut Vec::new()).await.ok();
            Seen { bytes, ..Seen::default() }
        })
        .await;
        let start = Instant::now();
        let answer = Client::plain(&server).post_within(MIB, Duration::from_millis(700)).await;
        assert_eq!(answer.map(|_| ()), Err(TransportError::TimedOut), "{head:?}");
        assert!((Duration::from_millis(600)..Duration::from_secs(10)).contains(&start.elapsed()));
    }
}

#[tokio::test]
async fn whoever_stops_waiting_ends_the_connection() {
    let mut server = Server::raw(|mut stream| async move {
        let mut bytes = read_request(&mut stream).await;
        // Returns only when the client is gone.
        stream.read_to_end(&mut bytes).await.ok();
        Seen { bytes, ..Seen::default() }
    })
    .await;
    let client = Client::plain(&server);
    let waiting = tokio::time::timeout(Duration::from_millis(300), client.post());
    assert!(waiting.await.is_err());
    assert!(has_canary(&server.seen().await.bytes));
}

// Broken answers.

#[tokio::test]
async fn an_answer_that_ends_too_early_is_a_lost_connection() {
    for cut in [
        answer("content-length: 100", b"0123456789"),
        answer("transfer-encoding: chunked", b"64\r\n0123456789"),
        answer("transfer-encoding: chunked", b"5\r\n01234\r\n"),
        b"HTTP/1.1 200 OK\r\ncontent-le".to_vec(),
        b"".to_vec(),
    ] {
        let text = String::from_utf8_lossy(&cut).into_owned();
        assert_eq!(failure(cut, MIB).await, TransportError::ConnectionLost, "{text}");
    }
}

#[tokio::test]
async fn an_answer_cut_inside_tls_is_a_lost_connection() {
    let root = Authority::new("root");
    let config = root.leaf(&server_params()).config(&rustls::version::TLS13);
    let server = Server::tls(config, b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n0123456789").await;
    let answer = Client::new(&server.https(), &root, vec![]).post().await;
    assert_eq!(answer.map(|_| ()), Err(TransportError::ConnectionLost));
}

#[tokio::test]
async fn an_answer_without_a_length_needs_the_end_of_tls() {
    // Somebody on the way can cut a TCP connection, but cannot end TLS in the server's name.
    let root = Authority::new("root");
    for clean in [true, false] {
        let config = Arc::new(root.leaf(&server_params()).config(&rustls::version::TLS13));
        let server = Server::raw(move |stream| {
            let acceptor = tokio_rustls::TlsAcceptor::from(Arc::clone(&config));
            async move {
                let mut stream = acceptor.accept(stream).await.unwrap();
                read_request(&mut stream).await;
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n{\"whole\":").await.unwrap();
                stream.flush().await.unwrap();
                if clean {
                    stream.shutdown().await.unwrap();
                } else {
                    stream.get_mut().0.shutdown().await.unwrap();
                }
                Seen::default()
            }
        })
        .await;
        let answer = Client::new(&server.https(), &root, vec![]).post().await.map(|_| ());
        assert_eq!(answer, if clean { Ok(()) } else { Err(TransportError::ConnectionLost) });
    }
}

#[tokio::test]
async fn what_is_not_http_or_cannot_be_decoded_is_a_bad_answer() {
    for bad in [
        b"SSH-2.0-OpenSSH_9.9\r\n\r\n".to_vec(),
        b"\x15\x03\x03\x00\x02\x02\x28".to_vec(),
        b"<html>hello</html>\r\n\r\n".to_vec(),
        b"HTTP/9.9 200 OK\r\n\r\n".to_vec(),
        b"HTTP/1.1 20 OK\r\n\r\n".to_vec(),
        answer("bad header\r\ncontent-length: 0", b""),
        answer("content-length: 2\r\ncontent-length: 3", b"{} "),
        answer("content-length: -1", b""),
        answer("transfer-encoding: chunked", b"xyz\r\nhello\r\n0\r\n\r\n"),
        answer("transfer-encoding: chunked", b"5\r\nhello, too long\r\n0\r\n\r\n"),
        answer("transfer-encoding: chunked", b"fffffffffffffffff\r\nx"),
        sized("content-encoding: gzip\r\n", b"{}"),
        sized("content-encoding: zstd\r\n", b"{}"),
        sized("content-encoding: gzip\r\n", gzip(&[7; 5000]).split_at(20).0),
        sized("content-encoding: br\r\n", b"{}"),
        sized("content-encoding: gzip, gzip\r\n", &gzip(&gzip(b"{}"))),
    ] {
        let text = String::from_utf8_lossy(&bad).into_owned();
        assert_eq!(failure(bad, MIB).await, TransportError::BadAnswer, "{text}");
    }
}

#[tokio::test]
async fn answers_without_a_body_are_fine_whatever_they_announce() {
    for head in [
        "HTTP/1.1 304 Not Modified\r\ncontent-encoding: gzip\r\ncontent-length: 99999999\r\n",
        "HTTP/1.1 304 Not Modified\r\nlocation: https://elsewhere.example/\r\n",
        "HTTP/1.1 204 No Content\r\ncontent-encoding: zstd\r\n",
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 0\r\n",
    ] {
        let server = Server::plain(format!("{head}\r\n")).await;
        let answer = Client::plain(&server).post_within(MIB, LONG).await;
        assert_eq!(answer.map(|a| a.body().len()), Ok(0), "{head}");
    }
}

// Once, and to nobody else.

#[tokio::test]
async fn a_request_is_sent_once_even_on_a_kept_connection() {
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    let server = Server::raw(move |mut stream| {
        let count = Arc::clone(&count);
        async move {
            // Answers the first request, takes the second one and hangs up.
            for reply in [GOOD, b""] {
                if has_canary(&read_request(&mut stream).await) {
                    count.fetch_add(1, Ordering::SeqCst);
                }
                stream.write_all(reply).await.ok();
            }
            Seen::default()
        }
    })
    .await;
    let client = Client::plain(&server);
    assert!(client.post().await.is_ok());
    assert_eq!(client.post().await.map(|_| ()), Err(TransportError::ConnectionLost));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(requests.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let mut other = Server::plain(GOOD).await;
    for status in [300, 301, 302, 303, 307, 308] {
        for location in [format!("{}/{CANARY}", other.http()), "/elsewhere".to_owned(), String::new()] {
            let head =
                format!("HTTP/1.1 {status} Moved\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
            assert_eq!(failure(head, MIB).await, TransportError::Redirected, "{status}");
        }
    }
    assert!(other.is_lonely().await);
}

#[tokio::test]
async fn only_the_practice_is_contacted() {
    let root = Authority::new("root");
    let config = root.leaf(&server_params()).config(&rustls::version::TLS13);
    let (mut practice, mut other) = (Server::tls(config, GOOD).await, Server::plain(GOOD).await);
    let client = Client::new(&practice.https(), &root, vec![]);
    let (here, there) = (practice.address.port(), other.address.port());
    for url in [
        format!("https://localhost:{there}/"),
        format!("http://localhost:{there}/"),
        format!("http://localhost:{here}/"),
        format!("https://127.0.0.1:{here}/"),
        format!("https://localhost.:{here}/"),
        format!("https://me@localhost:{here}/"),
        format!("https://me:pw@localhost:{here}/"),
        format!("https://localhost:{here}@127.0.0.1:{there}/"),
        "https://localhost/".to_owned(),
        "https://portal.example/".to_owned(),
        "ftp://localhost/".to_owned(),
        "/v1/sync".to_owned(),
        "*".to_owned(),
    ] {
        let answer = client.send(&url, MIB, LONG).await;
        assert_eq!(answer.map(|_| ()), Err(TransportError::AddressNotAllowed), "{url}");
    }
    assert!(practice.is_lonely().await && other.is_lonely().await);
    // The control: the practice itself, spelled in another way.
    client.send(&format!("HTTPS://LOCALHOST:{here}/{CANARY}"), MIB, LONG).await.unwrap();
    assert!(has_canary(&practice.seen().await.bytes));
}

#[tokio::test]
async fn nothing_is_added_that_tells_the_phone_apart() {
    let cookie = sized("set-cookie: id=7; Path=/\r\nconnection: close\r\n", b"{}");
    let mut server = Server::plain(cookie).await;
    let client = Client::plain(&server);
    for _ in 0..2 {
        let answer = client.post().await.unwrap();
        assert!(answer.headers().contains_key("set-cookie"));
        let text = String::from_utf8(server.seen().await.bytes).unwrap().to_lowercase();
        let names: Vec<_> =
            text.lines().skip(1).filter_map(|line| line.split_once(": ")).map(|(k, _)| k).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, ["accept", "accept-encoding", "authorization", "content-length", "host"]);
    }
}

#[tokio::test]
async fn a_practice_reached_without_a_proxy() {
    let mut server = Server::plain(GOOD).await;
    Client::plain(&server).post().await.unwrap();
    assert!(has_canary(&server.seen().await.bytes));
    let root = Authority::new("root");
    let mut server = Server::tls(root.leaf(&server_params()).config(&rustls::version::TLS13), GOOD).await;
    Client::new(&server.https(), &root, vec![]).post().await.unwrap();
    assert!(server.seen().await.handshake);
}

/// Runs the test above again, in a process whose environment names a proxy for everything.
#[tokio::test]
async fn the_proxy_of_the_environment_is_not_used() {
    let mut proxy = Server::raw(|stream: TcpStream| async move {
        drop(stream);
        Seen::default()
    })
    .await;
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "a_practice_reached_without_a_proxy", "--test-threads=1"]);
    for name in ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        child.env(name, proxy.http());
    }
    child.env_remove("no_proxy").env_remove("NO_PROXY").env_remove("REQUEST_METHOD");
    let output = child.output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    assert!(proxy.is_lonely().await);
}
