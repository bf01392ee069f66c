//! From an HTTP request to an answer: the routes, the faults, and what every answer carries.

mod coding;
mod input;
mod oauth;
mod ops;
mod public;
mod reply;
mod routes;
mod staff;
mod sync;

use crate::{
    World,
    rules::times,
    world::{After, Instead},
};
use chrono::{DateTime, Utc};
use http::{
    HeaderValue, Request, StatusCode,
    header::{CACHE_CONTROL, HeaderName, X_CONTENT_TYPE_OPTIONS},
};
use reply::{Problem, Response};

/// The server's clock, on every answer.
const PORTAL_TIME: HeaderName = HeaderName::from_static("portal-time");

/// What goes back for a request.
#[derive(Clone, Debug)]
pub struct Answer {
    /// How long to wait before sending it.
    pub delay_ms: u64,
    /// What to send.
    pub outcome: Outcome,
}

/// What to send.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// This response.
    Reply(http::Response<Vec<u8>>),
    /// This response with its length as it is, of which only so many body bytes come.
    Cut {
        /// The whole response.
        response: http::Response<Vec<u8>>,
        /// How many bytes of its body are sent before the connection drops.
        after: usize,
    },
    /// Nothing: the connection drops.
    Closed,
}

/// Handles one request at one instant. It never panics, whatever the bytes are.
pub fn handle(request: &Request<Vec<u8>>, world: &mut World, now: DateTime<Utc>) -> Answer {
    let path = request.uri().path();
    if !path.starts_with("/v1/") && path != "/oauth/token" {
        let response = dressed(request, routes::respond(request, world, now), now);
        return Answer { delay_ms: 0, outcome: Outcome::Reply(response) };
    }
    let needs_token = matches!(path, "/v1/sync" | "/v1/ops");
    let mishap = world.faults().draw(needs_token, path == "/v1/sync");
    let delay_ms = mishap.delay_ms;
    if let Some(instead) = mishap.instead {
        return Answer { delay_ms, outcome: struck(request, instead, now) };
    }
    let mut response = routes::respond(request, world, now);
    if mishap.duplicate {
        response = routes::respond(request, world, now);
    }
    let outcome = match mishap.after {
        Some(After::Drop) => Outcome::Closed,
        Some(After::Internal) => Outcome::Reply(dressed(request, internal(), now)),
        Some(After::Truncate(share)) => cut(dressed(request, response, now), share),
        None => Outcome::Reply(dressed(request, response, now)),
    };
    Answer { delay_ms, outcome }
}

/// What every answer of the practice carries, and its content coding.
fn dressed(request: &Request<Vec<u8>>, response: Response, now: DateTime<Utc>) -> Response {
    let mut response = coding::encode(request, response);
    let headers = response.headers_mut();
    if let Ok(time) = HeaderValue::try_from(times::text(now)) {
        headers.insert(PORTAL_TIME, time);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// A fault in place of an answer.
fn struck(request: &Request<Vec<u8>>, instead: Instead, now: DateTime<Utc>) -> Outcome {
    let problem = match instead {
        Instead::Drop => return Outcome::Closed,
        // it comes from somebody else, so it carries nothing of the practice
        Instead::Html => return Outcome::Reply(reply::captive_portal()),
        Instead::Internal => return Outcome::Reply(dressed(request, internal(), now)),
        Instead::Unavailable { retry_after } => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable").retry_after(retry_after)
        }
        Instead::TooMany { retry_after } => {
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests").retry_after(retry_after)
        }
        Instead::TokenExpired => Problem::unauthorized("token_expired"),
        Instead::CursorExpired => Problem::new(StatusCode::GONE, "cursor_expired"),
    };
    Outcome::Reply(dressed(request, problem.into_response(), now))
}

fn internal() -> Response {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal").retryable().into_response()
}

fn cut(response: Response, share: f64) -> Outcome {
    let length = response.body().len();
    if length == 0 {
        return Outcome::Reply(response);
    }
    let after = ((length as f64 * share) as usize).min(length - 1);
    Outcome::Cut { response, after }
}
