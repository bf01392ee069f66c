//! Waits on this machine for the browser to come back from the practice's sign-in page (RFC 8252
//! §7.3): one socket on the loopback address, one path, nothing kept.

use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How long somebody may take to sign in.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long a browser may take to send its request.
const REQUEST_TIME: Duration = Duration::from_secs(5);
/// More than any redirect has.
const MOST_BYTES: usize = 16 * 1024;

const PATH: &str = "/signed-in";
const PAGE: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Client portal</title>\
    <p>You can close this page: the rest happens in your terminal.</p></html>";

/// The address that the practice's page returns to, and the socket behind it.
pub(crate) struct Doorstep {
    listener: TcpListener,
    port: u16,
}

impl Doorstep {
    /// Takes a free port.
    pub(crate) async fn new() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        Ok(Self { listener, port })
    }

    /// What the portal is to be told.
    pub(crate) fn redirect_uri(&self) -> String {
        redirect_uri(self.port)
    }

    /// Waits for the browser; returns the whole address that it was sent to.
    pub(crate) async fn wait(self) -> io::Result<String> {
        tokio::time::timeout(PATIENCE, self.first())
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn first(self) -> io::Result<String> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            // One visitor after the other: a browser asks for the icon only after the page.
            let target = tokio::time::timeout(REQUEST_TIME, answer(stream)).await;
            if let Ok(Ok(Some(target))) = target {
                return Ok(format!("http://127.0.0.1:{}{target}", self.port));
            }
        }
    }
}

/// The redirect for a port of this machine.
pub(crate) fn redirect_uri(port: u16) -> String {
    format!("http://127.0.0.1:{port}{PATH}")
}

/// Reads one request; the target if it is the redirect.
async fn answer(mut stream: TcpStream) -> io::Result<Option<String>> {
    let mut head = Vec::new();
    let mut piece = [0u8; 2048];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let count = stream.read(&mut piece).await?;
        if count == 0 || head.len() + count > MOST_BYTES {
            return Ok(None);
        }
        head.extend(piece.iter().take(count));
    }
    let target = target(&head);
    let (status, page) = if target.is_some() { ("200 OK", PAGE) } else { ("404 Not Found", "") };
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {}\r\n\
         cache-control: no-store\r\nreferrer-policy: no-referrer\r\nconnection: close\r\n\r\n{page}",
        page.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    Ok(target)
}

/// `/signed-in?...` of `GET /signed-in?... HTTP/1.1`. What the query says is for the core to judge.
fn target(head: &[u8]) -> Option<String> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let query = target.strip_prefix(PATH)?;
    (method == "GET" && query.starts_with('?')).then(|| target.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_browser_comes_back_after_asking_for_other_things() {
        let doorstep = Doorstep::new().await.unwrap();
        let port = doorstep.port;
        assert_eq!(doorstep.redirect_uri(), format!("http://127.0.0.1:{port}/signed-in"));
        let browser = async {
            let mut answers = Vec::new();
            for ask in [
                "GET /favicon.ico",
                "POST /signed-in?code=a",
                "GET /signed-in",
                "GET /signed-in?code=a&state=b",
            ] {
                let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                stream.write_all(format!("{ask} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
                let mut answer = String::new();
                stream.read_to_string(&mut answer).await.unwrap();
                answers.push(answer.chars().skip(9).take(3).collect::<String>());
            }
            answers
        };
        let (back, answers) = tokio::join!(doorstep.wait(), browser);
        assert_eq!(back.unwrap(), format!("http://127.0.0.1:{port}/signed-in?code=a&state=b"));
        assert_eq!(answers, ["404", "404", "404", "200"]);
    }
}
