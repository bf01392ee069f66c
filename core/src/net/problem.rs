//! What an answer means: its class, and the problem document (RFC 9457) that says why not.
//!
//! Whatever stands between phone and practice (a hotel's sign-in page, a filter, a proxy) also
//! answers 200 or 403, in HTML. Only JSON with a stable `code` is taken for the practice's word, so
//! that no such page can sign anybody out or empty a store.

use chrono::{DateTime, NaiveDateTime};
use http::header::{CONTENT_TYPE, DATE, HeaderMap, RETRY_AFTER};
use http::{HeaderName, Response};
use std::time::Duration;

/// The longest wait that a server can ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);
/// The wait for a date that cannot be compared, because the answer does not say when it was sent.
const UNKNOWN_RETRY_AFTER: Duration = Duration::from_secs(60);
/// A problem document is a few hundred bytes.
const MAX_PROBLEM_BYTES: usize = 64 * 1024;
const PORTAL_TIME: HeaderName = HeaderName::from_static("portal-time");

/// Why the practice did not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// 1 to 64 lower-case letters, digits and `_`: fit for `Reason::from_code`.
    pub(crate) code: String,
    /// The input that is to blame; letters, digits, `_`, `.`, `-`, `[` and `]` only.
    pub(crate) field: Option<String>,
}

/// What to do with an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// 2xx with JSON, or without a body.
    Ok,
    /// 304.
    NotModified,
    /// 401.
    Unauthorized(Problem),
    /// 403.
    Forbidden(Problem),
    /// 404.
    NotFound(Problem),
    /// 409 and 412.
    Conflict(Problem),
    /// 410.
    Gone(Problem),
    /// 400, 422 and every other 4xx: this request will never do.
    Unprocessable(Problem),
    /// 426.
    UpdateRequired,
    /// 429 and 503: wait. `problem` when the practice itself gave a reason.
    Busy {
        /// How long, if it says so.
        retry_after: Option<Duration>,
        /// Why.
        problem: Option<Problem>,
    },
    /// Every other 5xx.
    ServerError,
    /// Not an answer of the practice.
    Bad,
}

/// The class of an answer.
pub(crate) fn classify(answer: &Response<Vec<u8>>) -> Class {
    let (status, headers, body) = (answer.status().as_u16(), answer.headers(), answer.body());
    let because = |class: fn(Problem) -> Class| problem(headers, body).map_or(Class::Bad, class);
    match status {
        200..=299 if body.is_empty() || is_json(headers) => Class::Ok,
        304 => Class::NotModified,
        401 => because(Class::Unauthorized),
        403 => because(Class::Forbidden),
        404 => because(Class::NotFound),
        409 | 412 => because(Class::Conflict),
        410 => because(Class::Gone),
        426 => because(|_| Class::UpdateRequired),
        429 | 503 => Class::Busy { retry_after: retry_after(headers), problem: problem(headers, body) },
        400..=499 => because(Class::Unprocessable),
        500..=599 => Class::ServerError,
        _ => Class::Bad,
    }
}

/// The problem that an answer carries: `application/problem+json`, or the token endpoint's JSON,
/// which has `error` where a `code` may be missing (RFC 6749 5.2).
pub(crate) fn problem(headers: &HeaderMap, body: &[u8]) -> Option<Problem> {
    if !is_json(headers) || body.len() > MAX_PROBLEM_BYTES {
        return None;
    }
    // As a whole value: its parser refuses more than 128 levels, wherever they are.
    let document: serde_json::Value = serde_json::from_slice(body).ok()?;
    let code =
        document.get("code").or_else(|| document.get("error"))?.as_str().filter(|code| is_code(code))?;
    let field = document.get("field").and_then(|field| field.as_str()).filter(|field| is_field(field));
    Some(Problem { code: code.to_owned(), field: field.map(str::to_owned) })
}

/// The wait that `Retry-After` asks for, at most an hour. A date is compared with the server's own
/// clock (`Portal-Time`, else `Date`), never with the phone's.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // Digits that do not fit are merely very many seconds.
        return Some(text.parse().map_or(MAX_RETRY_AFTER, Duration::from_secs).min(MAX_RETRY_AFTER));
    }
    let then = http_date(text)?;
    let Some(now) = server_time(headers) else { return Some(UNKNOWN_RETRY_AFTER) };
    let seconds = u64::try_from(then.saturating_sub(now)).unwrap_or(0);
    Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
}

fn server_time(headers: &HeaderMap) -> Option<i64> {
    let text = |name: &HeaderName| headers.get(name)?.to_str().ok();
    let portal = text(&PORTAL_TIME).and_then(|t| DateTime::parse_from_rfc3339(t).ok());
    portal.map(|t| t.timestamp()).or_else(|| http_date(text(&DATE)?))
}

/// Seconds since 1970 of the three forms of RFC 9110 5.6.7.
fn http_date(text: &str) -> Option<i64> {
    const FORMS: [&str; 3] =
        ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];
    FORMS
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
        .map(|t| t.and_utc().timestamp())
}

/// `application/json`, `application/problem+json` and their like.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(text) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

fn is_code(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn is_field(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'[' | b']'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Response<Vec<u8>> {
        let builder = headers.iter().fold(Response::builder().status(status), |b, (k, v)| b.header(*k, *v));
        builder.body(body.into()).unwrap()
    }

    fn json(status: u16, body: impl Into<Vec<u8>>) -> Response<Vec<u8>> {
        answer(status, &[("content-type", "application/problem+json")], body)
    }

    fn code(code: &str) -> Problem {
        Problem { code: code.to_owned(), field: None }
    }

    #[test]
    fn each_status_has_its_class() {
        let body = r#"{"type":"about:blank","status":1,"code":"some_code","retryable":false}"#;
        let of = |status| classify(&json(status, body));
        assert_eq!(of(200), Class::Ok);
        assert_eq!(of(201), Class::Ok);
        assert_eq!(of(401), Class::Unauthorized(code("some_code")));
        assert_eq!(of(403), Class::Forbidden(code("some_code")));
        assert_eq!(of(404), Class::NotFound(code("some_code")));
        assert_eq!(of(409), Class::Conflict(code("some_code")));
        assert_eq!(of(412), Class::Conflict(code("some_code")));
        assert_eq!(of(410), Class::Gone(code("some_code")));
        assert_eq!(of(400), Class::Unprocessable(code("some_code")));
        assert_eq!(of(422), Class::Unprocessable(code("some_code")));
        assert_eq!(of(426), Class::UpdateRequired);
        assert_eq!(of(500), Class::ServerError);
        assert_eq!(of(502), Class::ServerError);
        assert_eq!(of(301), Class::Bad);
        assert_eq!(of(100), Class::Bad);
        assert_eq!(classify(&answer(204, &[], "")), Class::Ok);
        assert_eq!(classify(&answer(200, &[], "")), Class::Ok);
        assert_eq!(classify(&answer(304, &[], "")), Class::NotModified);
    }

    #[test]
    fn a_page_in_between_is_never_taken_for_the_practice() {
        let page = "<html><title>Hotel Wi-Fi</title>Please sign in</html>";
        for status in [200, 201, 400, 401, 403, 404, 409, 410, 422, 426] {
            for kind in ["text/html", "text/html; charset=utf-8", "application/json", "x/json", ""] {
                let expected =
                    if status < 300 && kind == "application/json" { Class::Ok } else { Class::Bad };
                assert_eq!(
                    classify(&answer(status, &[("content-type", kind)], page)),
                    expected,
                    "{status} {kind}"
                );
            }
        }
        let busy = classify(&answer(503, &[("content-type", "text/html"), ("retry-after", "7")], page));
        assert_eq!(busy, Class::Busy { retry_after: Some(Duration::from_secs(7)), problem: None });
    }

    #[test]
    fn a_problem_keeps_only_what_is_well_formed() {
        let of = |body: &str| problem(json(422, "").headers(), body.as_bytes());
        let whole =
            of(r#"{"code":"body_too_long","retryable":true,"field":"message.body","detail":"x"}"#).unwrap();
        assert_eq!(whole.code, "body_too_long");
        assert_eq!(whole.field.as_deref(), Some("message.body"));
        assert_eq!(of(r#"{"error":"invalid_grant","code":"code_used"}"#).unwrap().code, "code_used");
        assert_eq!(of(r#"{"error":"invalid_grant"}"#).unwrap().code, "invalid_grant");
        assert_eq!(of(r#"{"code":"a","field":"Renée said","retryable":"yes"}"#).unwrap(), code("a"));
        for bad in [
            "",
            "{",
            "[]",
            "null",
            "\"a\"",
            "{}",
            r#"{"code":7}"#,
            r#"{"code":""}"#,
            r#"{"code":"Not A Code"}"#,
        ] {
            assert_eq!(of(bad), None, "{bad}");
        }
        assert_eq!(of(&format!(r#"{{"code":"{}"}}"#, "x".repeat(65))), None);
        assert_eq!(of(&format!(r#"{{"code":"a","pad":"{}"}}"#, "x".repeat(MAX_PROBLEM_BYTES))), None);
        assert_eq!(problem(json(422, "").headers(), b"{\"code\":\"\xff\"}"), None);
    }

    #[test]
    fn depth_is_an_error_and_not_a_stack_overflow() {
        let deep = |n: usize| format!(r#"{{"code":"a","x":{}{}}}"#, "[".repeat(n), "]".repeat(n));
        assert_eq!(classify(&json(422, deep(100))), Class::Unprocessable(code("a")));
        assert_eq!(classify(&json(422, deep(10_000))), Class::Bad);
        assert_eq!(classify(&json(422, "[".repeat(10_000))), Class::Bad);
        assert_eq!(classify(&json(422, "{\"a\":".repeat(10_000))), Class::Bad);
    }

    #[test]
    fn retry_after_in_all_its_forms() {
        let of =
            |headers: &[(&str, &str)]| retry_after(answer(429, headers, "").headers()).map(|d| d.as_secs());
        let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        let portal = ("portal-time", "1994-11-06T08:49:07.000Z");
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("retry-after", "0")]), Some(0));
        assert_eq!(of(&[("retry-after", "120")]), Some(120));
        assert_eq!(of(&[("retry-after", "3601")]), Some(3600));
        assert_eq!(of(&[("retry-after", "99999999999999999999999")]), Some(3600));
        for later in
            ["Sun, 06 Nov 1994 08:50:37 GMT", "Sunday, 06-Nov-94 08:50:37 GMT", "Sun Nov  6 08:50:37 1994"]
        {
            assert_eq!(of(&[("retry-after", later), date]), Some(60), "{later}");
            assert_eq!(of(&[("retry-after", later), date, portal]), Some(90), "{later}");
        }
        assert_eq!(of(&[("retry-after", "Fri, 31 Dec 9999 23:59:59 GMT"), date]), Some(3600));
        assert_eq!(of(&[("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT"), date]), Some(0));
        assert_eq!(of(&[("retry-after", "Sun, 06 Nov 1994 08:50:37 GMT")]), Some(60));
        for bad in ["", "-5", "1.5", "soon", "12 s", "\u{0664}"] {
            assert_eq!(of(&[("retry-after", bad)]), None, "{bad}");
        }
    }
}
