//! Requests to the practice and what their answers mean.

use crate::error::{PortalError, Reason};
use crate::log::{self, LogEvent};
use crate::net::bound;
use crate::net::problem::{Class, classify};
use crate::ports::{Exchange, Ports};
use crate::values::{Millis, Secret, parse_rfc3339};
use http::{Method, Request, Response, header};
use serde::de::DeserializeOwned;
use std::time::Duration;
use url::Url;

/// Most bytes of one answer, after decoding. A feed page of 1,000 rows of the longest message is
/// below it.
const MAX_BODY: usize = 64 * 1024 * 1024;
const TIMEOUT: Duration = Duration::from_secs(30);

/// Why a request brought nothing that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No answer, or one that says "later"; not before `wait` has passed, when given.
    Later { reason: Reason, wait: Option<Duration> },
    /// 401: the access token is not accepted.
    Unauthorized,
    /// 403 `access_revoked`.
    Revoked,
    /// 410: the cursor or epoch is not the server's (any more).
    Gone,
    /// 426.
    UpdateRequired,
    /// Any other 4xx: the same request will not work later.
    Refused { status: u16, reason: Reason, field: Option<String> },
    /// Nothing was sent, or what came could not be kept: this device's storage failed, or it locked.
    Local(PortalError),
}

impl From<PortalError> for Failure {
    fn from(error: PortalError) -> Self {
        Self::Local(error)
    }
}

impl From<Failure> for PortalError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Later { reason, .. } => Self::offline(reason),
            Failure::Unauthorized => Self::signed_out(Reason::SessionEnded),
            Failure::Revoked => Self::signed_out(Reason::AccessRevoked),
            Failure::Gone => Self::offline(Reason::BadAnswer),
            Failure::UpdateRequired => Self::refused(Reason::UpdateRequired),
            Failure::Refused { reason, field, .. } => Self::Refused { reason, field },
            Failure::Local(error) => error,
        }
    }
}

/// One request of the portal API.
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) token: Option<&'a Secret<String>>,
    pub(crate) json: Option<Vec<u8>>,
}

/// Sends it and sorts the answer: 2xx and 304 are Ok.
pub(crate) async fn send(ports: &Ports, call: Call<'_>) -> Result<Response<Vec<u8>>, Failure> {
    let mut request = Request::builder()
        .method(call.method)
        .uri(call.url.as_str())
        .header(header::ACCEPT, "application/json")
        .header("portal-core-version", env!("CARGO_PKG_VERSION"));
    if let Some(token) = call.token {
        let mut value = header::HeaderValue::from_str(&format!("Bearer {}", token.expose()))
            .map_err(|_| Failure::Unauthorized)?;
        value.set_sensitive(true);
        request = request.header(header::AUTHORIZATION, value);
    }
    if call.json.is_some() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    let request = request.body(call.json.unwrap_or_default()).map_err(|_| bad_answer())?;
    let answer = ports
        .transport
        .send(Exchange { request, max_body: MAX_BODY, timeout: bound::within(TIMEOUT, ports.clock.as_ref()) })
        .await;
    let response = answer.map_err(|error| {
        log::event(LogEvent::RequestFailed, Some(&error.into()), 0u64);
        Failure::Later { reason: error.into(), wait: None }
    })?;
    sort(response)
}

/// What the answer means, before anybody looks at the body.
fn sort(response: Response<Vec<u8>>) -> Result<Response<Vec<u8>>, Failure> {
    let (class, status) = (classify(&response), response.status().as_u16());
    if matches!(class, Class::Ok | Class::NotModified) {
        return Ok(response);
    }
    log::event(LogEvent::RequestFailed, None, status);
    Err(match class {
        Class::Unauthorized(_) => Failure::Unauthorized,
        Class::Forbidden(problem) if problem.code == Reason::AccessRevoked.code() => Failure::Revoked,
        Class::Gone(problem) if matches!(problem.code.as_str(), "cursor_expired" | "epoch_changed") => {
            Failure::Gone
        }
        Class::UpdateRequired => Failure::UpdateRequired,
        Class::Busy { retry_after, problem } => {
            let locked = problem.is_some_and(|problem| problem.code == Reason::RegistrationLocked.code());
            let reason = if locked { Reason::RegistrationLocked } else { Reason::Busy };
            Failure::Later { reason, wait: retry_after }
        }
        Class::ServerError => Failure::Later { reason: Reason::ServerError, wait: None },
        Class::Forbidden(problem)
        | Class::NotFound(problem)
        | Class::Conflict(problem)
        | Class::Gone(problem)
        | Class::Unprocessable(problem) => {
            Failure::Refused { status, reason: Reason::from_code(&problem.code), field: problem.field }
        }
        Class::Ok | Class::NotModified | Class::Bad => bad_answer(),
    })
}

/// Parses a body; anything else than what is expected is a bad answer.
pub(crate) fn parse<T: DeserializeOwned>(response: &Response<Vec<u8>>) -> Result<T, Failure> {
    serde_json::from_slice(response.body()).map_err(|_| bad_answer())
}

/// The server's clock at this answer.
pub(crate) fn server_time(response: &Response<Vec<u8>>) -> Option<Millis> {
    parse_rfc3339(response.headers().get("portal-time")?.to_str().ok()?)
}

pub(crate) fn bad_answer() -> Failure {
    Failure::Later { reason: Reason::BadAnswer, wait: None }
}
