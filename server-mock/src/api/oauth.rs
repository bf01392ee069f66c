//! The authorization server: sign-in pages, codes and tokens (RFC 6749, 7009, 7636, 8252, 8414, 9207).

use super::{
    input::{Call, Fields},
    reply::{self, Reply, Response},
};
use crate::{
    World, pages,
    rules::{apps::App, ids, secrets},
    world::{Grant, GrantRefusal, Redemption, SignInRefusal, TokenReply, Transaction},
};
use chrono::TimeDelta;
use http::{HeaderValue, StatusCode, header::RETRY_AFTER};
use serde::Serialize;
use url::form_urlencoded;

/// The longest `state` that is handed back.
const STATE_MAX: usize = 2048;

/// One sentence for every wrong reason.
const WRONG: &str = "The login or the password is not right.";
const LOCKED: &str = "There were too many attempts. Try again in half an hour.";

#[derive(Serialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    revocation_endpoint: String,
    scopes_supported: [&'static str; 2],
    response_types_supported: [&'static str; 1],
    response_modes_supported: [&'static str; 1],
    grant_types_supported: [&'static str; 2],
    token_endpoint_auth_methods_supported: [&'static str; 1],
    revocation_endpoint_auth_methods_supported: [&'static str; 1],
    code_challenge_methods_supported: [&'static str; 1],
    authorization_response_iss_parameter_supported: bool,
}

#[derive(Serialize)]
struct Tokens<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires_in: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
    scope: &'static str,
    sub: uuid::Uuid,
    login_id: &'a str,
}

/// An error after RFC 6749 §5.2.
#[derive(Serialize)]
struct TokenError {
    error: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
}

pub(super) fn metadata(_: &Call<'_>, world: &mut World) -> Reply {
    let issuer = world.issuer();
    let metadata = Metadata {
        issuer: issuer.to_owned(),
        authorization_endpoint: format!("{issuer}/oauth/authorize"),
        token_endpoint: format!("{issuer}/oauth/token"),
        revocation_endpoint: format!("{issuer}/oauth/revoke"),
        scopes_supported: ["portal", "offline_access"],
        response_types_supported: ["code"],
        response_modes_supported: ["query"],
        grant_types_supported: ["authorization_code", "refresh_token"],
        token_endpoint_auth_methods_supported: ["none"],
        revocation_endpoint_auth_methods_supported: ["none"],
        code_challenge_methods_supported: ["S256"],
        authorization_response_iss_parameter_supported: true,
    };
    Ok(reply::json(StatusCode::OK, &metadata))
}

/// Shows the sign-in page. Nobody is redirected anywhere before client and redirect are known to
/// belong together.
pub(super) fn show_sign_in(call: &Call<'_>, world: &mut World) -> Reply {
    let query = call.query();
    let app = query.get("client_id").and_then(App::from_id);
    let uri = query.get("redirect_uri");
    let known = app.zip(uri).filter(|(app, uri)| app.accepts_redirect(uri));
    let repeated = query.repeats_any(&["client_id", "redirect_uri"]);
    let Some((app, redirect_uri)) = known.filter(|_| !repeated) else {
        return Ok(problem_page(world, "This app is not known here. Nothing was sent to it."));
    };
    match transaction(app, redirect_uri, &query) {
        Ok(transaction) => {
            let secret = world.begin_sign_in(transaction, call.now);
            let html = pages::sign_in(&world.practice().name, &secret, "", None);
            Ok(reply::page(StatusCode::OK, html))
        }
        Err(error) => {
            let state = query.get("state").filter(|state| state.len() <= STATE_MAX);
            redirect(world, redirect_uri, "error", error, state)
        }
    }
}

/// Checks the rest of an authorization request.
fn transaction(app: App, redirect: &str, query: &Fields) -> Result<Transaction, &'static str> {
    let names = ["response_type", "scope", "state", "code_challenge", "code_challenge_method"];
    if query.repeats_any(&names) {
        return Err("invalid_request");
    }
    match query.get("response_type") {
        Some("code") => {}
        Some(_) => return Err("unsupported_response_type"),
        None => return Err("invalid_request"),
    }
    let state = query.get("state").filter(|state| !state.is_empty() && state.len() <= STATE_MAX);
    let state = state.ok_or("invalid_request")?;
    let challenge = query.get("code_challenge").filter(|text| secrets::is_challenge(text));
    let challenge = challenge.ok_or("invalid_request")?;
    // without a method the standard means `plain`, which is not taken
    if query.get("code_challenge_method") != Some("S256") {
        return Err("invalid_request");
    }
    let scopes: Vec<&str> = query.get("scope").unwrap_or_default().split(' ').collect();
    let known = scopes.iter().all(|scope| ["portal", "offline_access"].contains(scope));
    if !known || !scopes.contains(&"portal") {
        return Err("invalid_scope");
    }
    let grant = Grant {
        app,
        redirect_uri: redirect.to_owned(),
        challenge: challenge.to_owned(),
        offline: scopes.contains(&"offline_access"),
    };
    Ok(Transaction { grant, state: state.to_owned() })
}

/// Takes the sign-in form. Its transaction works once, so no other site can post it (CSRF).
pub(super) fn sign_in(call: &Call<'_>, world: &mut World) -> Reply {
    let form = call.form()?;
    let secret = form.get("transaction").unwrap_or_default();
    let Some(transaction) = world.take_sign_in(secret, call.now) else {
        let text = "This page is too old. Go back to the app and sign in from there again.";
        return Ok(problem_page(world, text));
    };
    let login_id = form.get("login_id").unwrap_or_default();
    let password = form.get("password").unwrap_or_default();
    let grant = transaction.grant.clone();
    match world.sign_in(grant, login_id, password, call.now) {
        Ok(code) => {
            let redirect_uri = &transaction.grant.redirect_uri;
            redirect(world, redirect_uri, "code", &code, Some(&transaction.state))
        }
        Err(refusal) => Ok(sign_in_again(call, world, transaction, login_id, refusal)),
    }
}

fn sign_in_again(
    call: &Call<'_>,
    world: &mut World,
    transaction: Transaction,
    login_id: &str,
    refusal: SignInRefusal,
) -> Response {
    let secret = world.begin_sign_in(transaction, call.now);
    let (status, text) = match refusal {
        SignInRefusal::Wrong => (StatusCode::UNAUTHORIZED, WRONG),
        SignInRefusal::Locked(_) => (StatusCode::TOO_MANY_REQUESTS, LOCKED),
    };
    let html = pages::sign_in(&world.practice().name, &secret, login_id, Some(text));
    let mut response = reply::page(status, html);
    if let SignInRefusal::Locked(remaining) = refusal {
        let seconds = HeaderValue::from(whole_seconds(remaining));
        response.headers_mut().insert(RETRY_AFTER, seconds);
    }
    response
}

pub(super) fn token(call: &Call<'_>, world: &mut World) -> Reply {
    let form = call.form()?;
    let names = ["code", "redirect_uri", "code_verifier", "install_id", "refresh_token"];
    if form.repeats_any(&names) || form.repeats_any(&["grant_type", "client_id"]) {
        return Ok(token_error("invalid_request", None));
    }
    let Some(app) = form.get("client_id").and_then(App::from_id) else {
        return Ok(token_error("invalid_client", None));
    };
    let granted = match form.get("grant_type") {
        Some("authorization_code") => redemption(&form, app).map(|it| world.redeem_code(&it, call.now)),
        Some("refresh_token") => form.get("refresh_token").map(|token| world.refresh(token, app, call.now)),
        Some(_) => return Ok(token_error("unsupported_grant_type", None)),
        None => None,
    };
    Ok(match granted {
        Some(Ok(tokens)) => token_reply(&tokens),
        Some(Err(refusal)) => token_error("invalid_grant", Some(refusal)),
        None => token_error("invalid_request", None),
    })
}

fn redemption(form: &Fields, app: App) -> Option<Redemption<'_>> {
    Some(Redemption {
        code: form.get("code")?,
        redirect_uri: form.get("redirect_uri")?,
        app,
        verifier: form.get("code_verifier")?,
        install: form.get("install_id").and_then(ids::parse)?,
    })
}

/// Always 200: who shows a token here wants it gone, and it is (RFC 7009 §2.2).
pub(super) fn revoke(call: &Call<'_>, world: &mut World) -> Reply {
    let form = call.form()?;
    let app = form.get("client_id").and_then(App::from_id);
    if let Some((token, app)) = form.get("token").zip(app) {
        world.revoke_token(token, app);
    }
    Ok(reply::empty(StatusCode::OK))
}

/// Back to the app with one result, its `state`, and who says so (RFC 9207).
fn redirect(world: &World, to: &str, name: &str, value: &str, state: Option<&str>) -> Reply {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair(name, value);
    if let Some(state) = state {
        query.append_pair("state", state);
    }
    query.append_pair("iss", world.issuer());
    reply::see_other(&format!("{to}?{}", query.finish()))
}

fn problem_page(world: &World, text: &str) -> Response {
    let html = pages::problem(&world.practice().name, "Signing in is not possible", text);
    reply::page(StatusCode::BAD_REQUEST, html)
}

fn token_reply(tokens: &TokenReply) -> Response {
    let body = Tokens {
        access_token: &tokens.access_token,
        token_type: "Bearer",
        expires_in: tokens.expires_in,
        refresh_token: tokens.refresh_token.as_deref(),
        scope: tokens.scope,
        sub: tokens.account,
        login_id: &tokens.login_id,
    };
    reply::json(StatusCode::OK, &body)
}

fn token_error(error: &'static str, refusal: Option<GrantRefusal>) -> Response {
    let code = refusal.map(GrantRefusal::code);
    reply::json(StatusCode::BAD_REQUEST, &TokenError { error, code })
}

/// Rounded up, so that nobody who waits as long comes too early.
pub(super) fn whole_seconds(remaining: TimeDelta) -> u64 {
    let millis = u64::try_from(remaining.num_milliseconds()).unwrap_or(0);
    millis.div_ceil(1000).max(1)
}
