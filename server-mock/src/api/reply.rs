//! The forms that answers take.

use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{
        ALLOW, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, LOCATION, REFERRER_POLICY, RETRY_AFTER,
        WWW_AUTHENTICATE, X_FRAME_OPTIONS,
    },
};
use serde::Serialize;

/// An answer with its whole body.
pub(super) type Response = http::Response<Vec<u8>>;

/// What a handler says: an answer, or why not.
pub(super) type Reply = Result<Response, Problem>;

/// Pages run no script and load nothing. Their form posts to the practice, whose answer may lead
/// back into an app, and browsers hold `form-action` against that redirect too.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; \
    form-action 'self' org.portal.phone: http://127.0.0.1:*; base-uri 'none'; frame-ancestors 'none'";

/// An error after RFC 9457.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    retryable: bool,
    field: Option<&'static str>,
    header: Option<(HeaderName, HeaderValue)>,
}

#[derive(Serialize)]
struct ProblemBody<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    title: &'a str,
    status: u16,
    code: &'a str,
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str) -> Self {
        Self { status, code, retryable: false, field: None, header: None }
    }

    /// 400: not as the contract says.
    pub(super) fn malformed() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed")
    }

    /// 401 at the resource server.
    pub(super) fn unauthorized(code: &'static str) -> Self {
        let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
        let header = Some((WWW_AUTHENTICATE, challenge));
        Self { header, ..Self::new(StatusCode::UNAUTHORIZED, code) }
    }

    /// 405, with the methods that there are.
    pub(super) fn wrong_method(allowed: &str) -> Self {
        let header = HeaderValue::try_from(allowed).ok().map(|value| (ALLOW, value));
        Self { header, ..Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed") }
    }

    /// The input that is to blame.
    pub(super) fn field(self, field: &'static str) -> Self {
        Self { field: Some(field), ..self }
    }

    /// The same request may succeed later.
    pub(super) fn retryable(self) -> Self {
        Self { retryable: true, ..self }
    }

    /// The same request may succeed after so many seconds.
    pub(super) fn retry_after(self, seconds: u64) -> Self {
        let header = Some((RETRY_AFTER, HeaderValue::from(seconds)));
        Self { header, ..self.retryable() }
    }

    pub(super) fn into_response(self) -> Response {
        let body = ProblemBody {
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            code: self.code,
            retryable: self.retryable,
            field: self.field,
        };
        let mut response = json(self.status, &body);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.extend(self.header);
        response
    }
}

/// JSON. All bodies are structs and maps with string keys, which always serialise.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let bytes = serde_json::to_vec(body).unwrap_or_default();
    with_type(status, "application/json", bytes)
}

/// An HTML page.
pub(super) fn page(status: StatusCode, html: String) -> Response {
    let mut response = with_type(status, "text/html; charset=utf-8", html.into_bytes());
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// No body.
pub(super) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Vec::new());
    *response.status_mut() = status;
    response
}

/// 303 to another place.
pub(super) fn see_other(location: &str) -> Reply {
    let location = HeaderValue::try_from(location).map_err(|_| Problem::malformed())?;
    let mut response = empty(StatusCode::SEE_OTHER);
    response.headers_mut().insert(LOCATION, location);
    Ok(response)
}

/// What a hotel's network answers in place of the practice.
pub(super) fn captive_portal() -> Response {
    let html = "<!doctype html><title>Welcome</title><p>Accept the terms to use this network.</p>";
    with_type(StatusCode::OK, "text/html", html.as_bytes().to_vec())
}

fn with_type(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
