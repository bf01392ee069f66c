//! One request in, one answer out: between axum's bodies and the pure `handle`, with the size and
//! time limits of a real server and the faults that a practice may be told to show.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::State;
use chrono::{DateTime, SecondsFormat, Utc};
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Frame;
use tokio::time::{Sleep, timeout};

use super::Clock;
use super::listener::HangUp;
use crate::api::{Outcome, handle};
use crate::world::World;

/// The largest body that is read.
const MOST_BYTES: usize = 2 * 1024 * 1024;
/// The longest that a body may take to arrive, and its pieces one from another.
const BODY_TIME: Duration = Duration::from_secs(30);
const PIECE_TIME: Duration = Duration::from_secs(10);
/// Lets what was written leave the machine before the connection is broken.
const FLUSH_TIME: Duration = Duration::from_millis(20);

/// What every request is answered from.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) world: Arc<Mutex<World>>,
    pub(super) clock: Clock,
}

/// Every path goes to the one pure `handle`, which knows the routes.
pub(super) fn router(desk: Desk) -> Router {
    Router::new().fallback(answer).with_state(desk)
}

async fn answer(State(desk): State<Desk>, request: Request<Body>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let hang_up = head.extensions.get::<HangUp>().cloned();
    let version = head.version;
    let body = match read(body).await {
        Ok(body) => body,
        Err(fault) => return fault.response(version, (desk.clock)()),
    };
    let request = Request::from_parts(head, body);

    // Checking a password takes the processor for a while: not on the threads that carry sockets.
    let now = (desk.clock)();
    let handled = tokio::task::spawn_blocking(move || {
        let mut world = desk.world.lock().unwrap_or_else(PoisonError::into_inner);
        handle(&request, &mut world, now)
    });
    let Ok(answer) = handled.await else {
        return Fault::Broken.response(version, now);
    };
    if answer.delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(answer.delay_ms)).await;
    }
    match answer.outcome {
        Outcome::Reply(response) => response.map(Body::from),
        Outcome::Cut { response, after } => cut(response, after),
        Outcome::Closed => {
            if let Some(HangUp(told)) = hang_up {
                told.notify_one();
            }
            std::future::pending().await
        }
    }
}

/// Why a request never reached the practice's rules.
enum Fault {
    TooLarge,
    TooSlow,
    Unreadable,
    Broken,
}

impl Fault {
    fn response(self, version: Version, now: DateTime<Utc>) -> Response<Body> {
        let (status, code, title, retryable) = match self {
            Self::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
                "The request is larger than this practice accepts",
                false,
            ),
            Self::TooSlow => {
                (StatusCode::REQUEST_TIMEOUT, "body_too_slow", "The request did not arrive in time", true)
            }
            Self::Unreadable => {
                (StatusCode::BAD_REQUEST, "malformed", "The request could not be read", false)
            }
            Self::Broken => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "The practice's system failed on this request",
                true,
            ),
        };
        let problem = serde_json::json!({
            "type": "about:blank", "title": title, "status": status.as_u16(),
            "code": code, "retryable": retryable,
        });
        let mut response = Response::new(Body::from(problem.to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let time = now.to_rfc3339_opts(SecondsFormat::Millis, true);
        if let Ok(time) = HeaderValue::from_str(&time) {
            headers.insert("portal-time", time);
        }
        if version < Version::HTTP_2 {
            // The rest of the body is still on its way: this connection cannot be used again.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

async fn read(body: Body) -> Result<Vec<u8>, Fault> {
    timeout(BODY_TIME, read_pieces(body)).await.unwrap_or(Err(Fault::TooSlow))
}

async fn read_pieces(mut body: Body) -> Result<Vec<u8>, Fault> {
    let announced = body.size_hint().lower();
    if announced > MOST_BYTES as u64 {
        return Err(Fault::TooLarge);
    }
    let mut bytes = Vec::new();
    loop {
        let piece = std::future::poll_fn(|task| Pin::new(&mut body).poll_frame(task));
        let Ok(piece) = timeout(PIECE_TIME, piece).await else {
            return Err(Fault::TooSlow);
        };
        match piece {
            None => return Ok(bytes),
            Some(Err(_)) => return Err(Fault::Unreadable),
            Some(Ok(frame)) => {
                let data = frame.into_data().unwrap_or_default();
                if bytes.len() + data.len() > MOST_BYTES {
                    return Err(Fault::TooLarge);
                }
                bytes.extend_from_slice(&data);
            }
        }
    }
}

/// Declares the whole length and then stops short, as a connection lost on the way does.
fn cut(response: Response<Vec<u8>>, after: usize) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    head.headers.insert(CONTENT_LENGTH, body.len().into());
    let sent = body.into_iter().take(after).collect::<Vec<u8>>();
    let body = CutBody {
        rest: (!sent.is_empty()).then(|| sent.into()),
        flush: Box::pin(tokio::time::sleep(FLUSH_TIME)),
    };
    Response::from_parts(head, Body::new(body))
}

struct CutBody {
    rest: Option<Bytes>,
    flush: Pin<Box<Sleep>>,
}

impl HttpBody for CutBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(sent) = self.rest.take() {
            return Poll::Ready(Some(Ok(Frame::data(sent))));
        }
        self.flush.as_mut().poll(task).map(|()| Some(Err(std::io::ErrorKind::ConnectionAborted.into())))
    }
}
