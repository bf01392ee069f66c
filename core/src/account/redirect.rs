//! The address with which the browser comes back. It may have been made by anybody, so every part
//! is checked before anything is done with it (RFC 6749 §4.1.2, RFC 9207, RFC 9700 §4).

use crate::error::{PortalError, Reason};
use crate::values::Secret;
use ring::digest::{SHA256, digest};
use std::borrow::Cow;

/// What the pending sign-in expects.
pub(crate) struct Expected<'a> {
    pub(crate) redirect_uri: &'a str,
    pub(crate) state: &'a str,
    pub(crate) issuer: &'a str,
}

/// A redirect that belongs to the pending sign-in.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The code to redeem.
    Code(Secret<String>),
    /// The person or the server said no.
    Denied,
}

const LONGEST: usize = 4096;

/// Parses it, or says why it is not ours. An address that fails here leaves the pending sign-in
/// alone: a stranger's app must not be able to cancel it.
pub(crate) fn parse(text: &str, expected: &Expected<'_>) -> Result<Answer, PortalError> {
    let refuse = |reason| Err(PortalError::refused(reason));
    if text.len() > LONGEST || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return refuse(Reason::RedirectMalformed);
    }
    if text.contains('#') {
        return refuse(Reason::RedirectFragment);
    }
    let (address, query) = text.split_once('?').unwrap_or((text, ""));
    if address != expected.redirect_uri {
        return refuse(Reason::RedirectWrongAddress);
    }
    let (mut code, mut error, mut state, mut issuer) = (None, None, None, None);
    for pair in query.split('&').filter(|_| !query.is_empty()) {
        let Some((name, value)) = pair.split_once('=') else {
            return refuse(Reason::RedirectMalformed);
        };
        let (Some(name), Some(value)) = (decode(name), decode(value)) else {
            return refuse(Reason::RedirectMalformed);
        };
        let slot = match name.as_ref() {
            "code" => &mut code,
            "error" => &mut error,
            "state" => &mut state,
            "iss" => &mut issuer,
            // RFC 6749 §4.1.2: unknown parameters are ignored.
            _ => continue,
        };
        if slot.replace(value).is_some() {
            return refuse(Reason::RedirectDuplicate);
        }
    }
    let (Some(state), Some(issuer)) = (state, issuer) else {
        return refuse(Reason::RedirectIncomplete);
    };
    // Digests are compared, so that time tells nothing about how much of a guess was right.
    if digest(&SHA256, state.as_bytes()).as_ref() != digest(&SHA256, expected.state.as_bytes()).as_ref() {
        return refuse(Reason::StateMismatch);
    }
    if issuer != expected.issuer {
        return refuse(Reason::IssuerMismatch);
    }
    match (code, error) {
        (Some(_), Some(_)) => refuse(Reason::RedirectAmbiguous),
        (Some(code), None) if !code.is_empty() && code.len() <= 512 => {
            Ok(Answer::Code(Secret::new(code.into_owned())))
        }
        (None, Some(_)) => Ok(Answer::Denied),
        _ => refuse(Reason::RedirectIncomplete),
    }
}

/// Strict percent-decoding: a stray `%` is malformed, not literal.
fn decode(text: &str) -> Option<Cow<'_, str>> {
    let escapes_whole = text.split('%').skip(1).all(|after| {
        after.as_bytes().first_chunk::<2>().is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
    });
    if !escapes_whole {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => hex(rest.next()?)? << 4 | hex(rest.next()?)?,
            b'+' => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: &str = "s3cr3t-state";
    const ISSUER: &str = "https://portal.example";

    fn check(text: &str) -> Result<Answer, &'static str> {
        let expected = Expected { redirect_uri: "org.portal.phone:/signed-in", state: STATE, issuer: ISSUER };
        parse(text, &expected).map_err(|error| {
            let code = error.reason().code().to_owned();
            &*Box::leak(code.into_boxed_str())
        })
    }

    // SECURITY A1: the attack table. Every row is refused, each kind with its own code.
    #[test]
    fn a1_attack_table() {
        let iss = "iss=https%3A%2F%2Fportal.example";
        let good = format!("org.portal.phone:/signed-in?code=abc&state={STATE}&{iss}");
        assert!(matches!(check(&good), Ok(Answer::Code(code)) if code.expose() == "abc"));
        let ours = |query: &str| format!("org.portal.phone:/signed-in?{query}");
        let rows = [
            // Somewhere else.
            (
                format!("https://evil.example/signed-in?code=abc&state={STATE}&{iss}"),
                "redirect_wrong_address",
            ),
            (format!("org.portal.phone:/signed-in/?code=abc&state={STATE}&{iss}"), "redirect_wrong_address"),
            (
                format!("org.portal.phone:/signed-in/../x?code=abc&state={STATE}&{iss}"),
                "redirect_wrong_address",
            ),
            (format!("ORG.PORTAL.PHONE:/signed-in?code=abc&state={STATE}&{iss}"), "redirect_wrong_address"),
            (format!("org.portal.phone://signed-in?code=abc&state={STATE}&{iss}"), "redirect_wrong_address"),
            (
                format!("org.portal.phone.evil:/signed-in?code=abc&state={STATE}&{iss}"),
                "redirect_wrong_address",
            ),
            (String::new(), "redirect_wrong_address"),
            // Not well-formed.
            (ours(&format!("code=abc&state={STATE}&{iss}&x")), "redirect_malformed"),
            (ours(&format!("code=a%&state={STATE}&{iss}")), "redirect_malformed"),
            (ours(&format!("code=a%zz&state={STATE}&{iss}")), "redirect_malformed"),
            (ours(&format!("code=%ff&state={STATE}&{iss}")), "redirect_malformed"),
            (ours(&format!("code=a b&state={STATE}&{iss}")), "redirect_malformed"),
            (ours(&format!("code=a\nb&state={STATE}&{iss}")), "redirect_malformed"),
            (ours(&format!("code=ä&state={STATE}&{iss}")), "redirect_malformed"),
            (ours(&format!("code={}&state={STATE}&{iss}", "a".repeat(5000))), "redirect_malformed"),
            // A fragment carries an implicit token.
            (format!("{good}#access_token=x"), "redirect_fragment"),
            (format!("{good}#"), "redirect_fragment"),
            // Twice, none, or both.
            (ours(&format!("code=abc&code=def&state={STATE}&{iss}")), "redirect_duplicate"),
            (ours(&format!("code=abc&state={STATE}&state=x&{iss}")), "redirect_duplicate"),
            (ours(&format!("code=abc&%63ode=def&state={STATE}&{iss}")), "redirect_duplicate"),
            (ours(&format!("code=abc&{iss}")), "redirect_incomplete"),
            (ours(&format!("code=abc&state={STATE}")), "redirect_incomplete"),
            (ours(&format!("state={STATE}&{iss}")), "redirect_incomplete"),
            (ours(&format!("code=&state={STATE}&{iss}")), "redirect_incomplete"),
            (ours(""), "redirect_incomplete"),
            (ours(&format!("code=abc&error=access_denied&state={STATE}&{iss}")), "redirect_ambiguous"),
            // Another sign-in, another server.
            (ours(&format!("code=abc&state=other&{iss}")), "state_mismatch"),
            (ours(&format!("code=abc&state=&{iss}")), "state_mismatch"),
            (ours(&format!("error=access_denied&state=other&{iss}")), "state_mismatch"),
            (ours(&format!("code=abc&state={STATE}&iss=https%3A%2F%2Fevil.example")), "issuer_mismatch"),
            (ours(&format!("code=abc&state={STATE}&iss=https%3A%2F%2Fportal.example%2F")), "issuer_mismatch"),
        ];
        assert!(rows.len() >= 20);
        for (text, code) in rows {
            assert_eq!(check(&text).err(), Some(code), "{text}");
        }
        assert!(matches!(
            check(&ours(&format!("error=access_denied&state={STATE}&{iss}"))),
            Ok(Answer::Denied)
        ));
    }
}
