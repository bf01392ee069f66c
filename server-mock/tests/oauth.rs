//! Signing in: the authorization code with PKCE, its pages, and lockouts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use chrono::TimeDelta;
use http::StatusCode;
use serde_json::json;
use support::{
    CHALLENGE, ISSUER, PASSWORD, PHONE_APP, PHONE_REDIRECT, Practice, Reply, VERIFIER, authorize_url,
    form_request, redemption,
};

/// A practice whose client is registered from one install.
fn registered() -> Practice {
    let mut practice = Practice::new();
    practice.register(practice.ana);
    practice
}

/// A fresh code from the sign-in page.
fn code(practice: &mut Practice) -> String {
    practice.sign_in_form("ana@example.org", PASSWORD).redirect_param("code").unwrap()
}

#[track_caller]
fn assert_grant_refused(reply: &Reply, code: &str) {
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_eq!(reply.json(), json!({ "error": "invalid_grant", "code": code }));
}

#[test]
fn metadata_names_the_issuer_and_s256_alone() {
    let reply = Practice::new().get("/.well-known/oauth-authorization-server", None);
    let metadata = reply.json();
    assert_eq!(metadata["issuer"], ISSUER);
    assert_eq!(metadata["authorization_endpoint"], format!("{ISSUER}/oauth/authorize"));
    assert_eq!(metadata["token_endpoint"], format!("{ISSUER}/oauth/token"));
    assert_eq!(metadata["revocation_endpoint"], format!("{ISSUER}/oauth/revoke"));
    assert_eq!(metadata["code_challenge_methods_supported"], json!(["S256"]));
    assert_eq!(metadata["response_types_supported"], json!(["code"]));
    assert_eq!(metadata["grant_types_supported"], json!(["authorization_code", "refresh_token"]));
    assert_eq!(metadata["token_endpoint_auth_methods_supported"], json!(["none"]));
    assert_eq!(metadata["authorization_response_iss_parameter_supported"], true);
}

#[test]
fn a_sign_in_comes_back_with_code_state_and_issuer() {
    let mut practice = registered();
    let reply = practice.sign_in_form("ana@example.org", PASSWORD);
    let (to, parameters) = reply.redirect();
    assert_eq!(to, PHONE_REDIRECT);
    let names: Vec<&str> = parameters.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["code", "state", "iss"]);
    assert_eq!(reply.redirect_param("state").unwrap(), "a state & more");
    assert_eq!(reply.redirect_param("iss").unwrap(), ISSUER);
    let install = practice.id();
    let tokens = practice.redeem_raw(&reply.redirect_param("code").unwrap(), install).json();
    assert_eq!(tokens["token_type"], "Bearer");
    assert_eq!(tokens["expires_in"], 300);
    assert_eq!(tokens["scope"], "portal offline_access");
    assert_eq!(tokens["login_id"], "ana@example.org");
    assert_eq!(tokens["sub"], json!(practice.world.client(practice.ana).unwrap().account));
}

#[test]
fn the_login_id_may_be_typed_in_any_case() {
    let mut practice = registered();
    let reply = practice.sign_in_form("  ANA@Example.org ", PASSWORD);
    assert!(reply.redirect_param("code").is_some());
}

#[test]
fn nobody_is_redirected_before_app_and_redirect_are_known() {
    let mut practice = registered();
    let wrong = [
        ("client_id", "org.portal.other"),
        ("client_id", ""),
        ("redirect_uri", ""),
        ("redirect_uri", "https://evil.example/signed-in"),
        ("redirect_uri", "org.portal.phone:/signed-in/"),
        ("redirect_uri", "org.portal.phone:/signed-in?next=https://evil.example"),
        ("redirect_uri", "org.portal.phone:/signed-in#"),
        ("redirect_uri", "ORG.PORTAL.PHONE:/signed-in"),
        // of the other app
        ("redirect_uri", "http://127.0.0.1:5000/signed-in"),
    ];
    for change in wrong {
        let reply = practice.get(&authorize_url(&[change]), None);
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{change:?}");
        assert_eq!(reply.header("location"), None);
        assert!(!reply.text().contains("evil.example"));
    }
    let twice = format!("{}&redirect_uri=https://evil.example", authorize_url(&[]));
    assert_eq!(practice.get(&twice, None).status, StatusCode::BAD_REQUEST);
}

#[test]
fn the_command_line_comes_back_to_any_loopback_port_and_nowhere_else() {
    let mut practice = registered();
    let cli = |uri: &'static str| authorize_url(&[("client_id", "org.portal.cli"), ("redirect_uri", uri)]);
    for good in ["http://127.0.0.1:1024/signed-in", "http://127.0.0.1:65535/signed-in"] {
        assert_eq!(practice.get(&cli(good), None).status, StatusCode::OK, "{good}");
    }
    for bad in [
        "http://localhost:1024/signed-in",
        "http://127.0.0.2:1024/signed-in",
        "http://[::1]:1024/signed-in",
        "http://127.0.0.1/signed-in",
        "http://127.0.0.1:1024/",
        "http://127.0.0.1:1024/signed-in/../x",
        "http://127.0.0.1:1024@evil.example/signed-in",
        "http://127.0.0.1:1024.evil.example/signed-in",
        "http://127.0.0.1:99999/signed-in",
        "https://127.0.0.1:1024/signed-in",
        PHONE_REDIRECT,
    ] {
        let reply = practice.get(&cli(bad), None);
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{bad}");
        assert_eq!(reply.header("location"), None);
    }
}

#[test]
fn other_faults_of_a_request_go_back_to_the_app() {
    let mut practice = registered();
    let table = [
        ("response_type", "token", "unsupported_response_type"),
        ("response_type", "", "invalid_request"),
        ("code_challenge_method", "plain", "invalid_request"),
        ("code_challenge_method", "", "invalid_request"),
        ("code_challenge", "", "invalid_request"),
        ("code_challenge", "too-short", "invalid_request"),
        ("scope", "", "invalid_scope"),
        ("scope", "offline_access", "invalid_scope"),
        ("scope", "portal admin", "invalid_scope"),
    ];
    for (name, value, error) in table {
        let reply = practice.get(&authorize_url(&[(name, value)]), None);
        assert_eq!(reply.redirect().0, PHONE_REDIRECT);
        assert_eq!(reply.redirect_param("error").unwrap(), error, "{name}={value}");
        assert_eq!(reply.redirect_param("state").unwrap(), "a state & more");
        assert_eq!(reply.redirect_param("iss").unwrap(), ISSUER);
    }
    let reply = practice.get(&authorize_url(&[("state", "")]), None);
    assert_eq!(reply.redirect_param("error").unwrap(), "invalid_request");
    assert_eq!(reply.redirect_param("state"), None);
    let twice = format!("{}&scope=portal", authorize_url(&[]));
    assert_eq!(practice.get(&twice, None).redirect_param("error").unwrap(), "invalid_request");
}

#[test]
fn the_sign_in_form_needs_its_own_fresh_page() {
    let mut practice = registered();
    for transaction in ["", "made-up"] {
        let reply = practice.post_sign_in(transaction, "ana@example.org", PASSWORD);
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
        assert_eq!(reply.header("location"), None);
    }
    let transaction = practice.get(&authorize_url(&[]), None).transaction();
    let first = practice.post_sign_in(&transaction, "ana@example.org", PASSWORD);
    assert_eq!(first.status, StatusCode::SEE_OTHER);
    let second = practice.post_sign_in(&transaction, "ana@example.org", PASSWORD);
    assert_eq!(second.status, StatusCode::BAD_REQUEST);
    for (age, status) in
        [(TimeDelta::minutes(10), StatusCode::BAD_REQUEST), (TimeDelta::seconds(599), StatusCode::SEE_OTHER)]
    {
        let transaction = practice.get(&authorize_url(&[]), None).transaction();
        practice.advance(age);
        assert_eq!(practice.post_sign_in(&transaction, "ana@example.org", PASSWORD).status, status);
    }
}

#[test]
fn every_wrong_reason_shows_the_same_page() {
    let mut practice = registered();
    let revoked = support::new_client("Gray", "gray@example.org");
    let gray = practice.world.add_client(revoked, practice.now).unwrap();
    practice.register(gray);
    practice.world.revoke_access(gray, practice.now).unwrap();
    let unregistered = support::new_client("Stone", "stone@example.org");
    practice.world.add_client(unregistered, practice.now).unwrap();
    let mut pages = Vec::new();
    for (login, password) in [
        ("ana@example.org", "not the password"),
        ("nobody@example.org", PASSWORD),
        ("gray@example.org", PASSWORD),
        ("stone@example.org", PASSWORD),
        ("stone@example.org", ""),
    ] {
        let reply = practice.sign_in_form(login, password);
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{login}");
        let transaction = reply.transaction();
        pages.push(reply.text().replace(&transaction, "").replace(login, ""));
    }
    assert!(pages.iter().all(|page| *page == pages[0]));
}

#[test]
fn a_wrong_password_can_be_corrected_on_the_same_page() {
    let mut practice = registered();
    let again = practice.sign_in_form("ana@example.org", "not the password").transaction();
    let reply = practice.post_sign_in(&again, "ana@example.org", PASSWORD);
    assert_eq!(reply.redirect_param("state").unwrap(), "a state & more");
}

#[test]
fn five_failures_lock_a_login_for_half_an_hour_known_or_not() {
    for login in ["ana@example.org", "nobody@example.org"] {
        let mut practice = registered();
        for _ in 0..5 {
            let reply = practice.sign_in_form(login, "not the password");
            assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
        }
        // written otherwise it is the same login
        let locked = practice.sign_in_form(&login.to_uppercase(), PASSWORD);
        assert_eq!(locked.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(locked.header("retry-after"), Some("1800"));
        practice.advance(TimeDelta::minutes(30) - TimeDelta::milliseconds(1));
        assert_eq!(practice.sign_in_form(login, PASSWORD).status, StatusCode::TOO_MANY_REQUESTS);
        practice.advance(TimeDelta::milliseconds(1));
        let known = login == "ana@example.org";
        let after = if known { StatusCode::SEE_OTHER } else { StatusCode::UNAUTHORIZED };
        assert_eq!(practice.sign_in_form(login, PASSWORD).status, after);
    }
}

#[test]
fn a_success_forgets_the_failures() {
    let mut practice = registered();
    for _ in 0..3 {
        for _ in 0..4 {
            practice.sign_in_form("ana@example.org", "not the password");
        }
        assert_eq!(practice.sign_in_form("ana@example.org", PASSWORD).status, StatusCode::SEE_OTHER);
    }
}

#[test]
fn a_code_needs_its_verifier() {
    let mut practice = registered();
    let code = code(&mut practice);
    let install = practice.id().to_string();
    let wrong = "x".repeat(43);
    for verifier in [wrong.as_str(), "short", CHALLENGE, "", &"y".repeat(200)] {
        let mut fields = redemption(&code, &install);
        fields[4].1 = verifier;
        assert_grant_refused(&practice.form("/oauth/token", &fields), "verifier_wrong");
    }
    // a guess does not take the code from its owner
    assert_eq!(practice.form("/oauth/token", &redemption(&code, &install)).status, StatusCode::OK);
}

#[test]
fn a_code_belongs_to_one_app_and_one_redirect() {
    let mut practice = registered();
    let code = code(&mut practice);
    let install = practice.id().to_string();
    for (place, value) in
        [(2, "http://127.0.0.1:80/signed-in"), (2, "org.portal.phone:/signed-in?"), (3, "org.portal.cli")]
    {
        let mut fields = redemption(&code, &install);
        fields[place].1 = value;
        assert_grant_refused(&practice.form("/oauth/token", &fields), "code_unknown");
    }
    for missing in 0..6 {
        let mut fields = redemption(&code, &install).to_vec();
        fields.remove(missing);
        let reply = practice.form("/oauth/token", &fields);
        let error = if missing == 3 { "invalid_client" } else { "invalid_request" };
        assert_eq!(reply.json(), json!({ "error": error }));
    }
    let reply = practice.form("/oauth/token", &[("grant_type", "password"), ("client_id", PHONE_APP)]);
    assert_eq!(reply.json(), json!({ "error": "unsupported_grant_type" }));
}

#[test]
fn a_code_lives_strictly_less_than_sixty_seconds() {
    let mut practice = registered();
    let install = practice.id();
    let old = code(&mut practice);
    practice.advance(TimeDelta::seconds(60));
    assert_grant_refused(&practice.redeem_raw(&old, install), "code_expired");
    let fresh = code(&mut practice);
    practice.advance(TimeDelta::milliseconds(59_999));
    practice.redeem(&fresh, install);
    assert_grant_refused(&practice.redeem_raw("never-given", install), "code_unknown");
}

#[test]
fn a_code_shown_twice_ends_what_it_gave_out() {
    let mut practice = registered();
    let install = practice.id();
    let code = code(&mut practice);
    let phone = practice.redeem(&code, install);
    let later = practice.refresh(&phone.refresh);
    assert_grant_refused(&practice.redeem_raw(&code, install), "code_used");
    practice.sync_raw(&phone, "").assert_problem(401, "token_unknown");
    practice.sync_raw(&later, "").assert_problem(401, "token_unknown");
    assert_grant_refused(&practice.refresh_raw(&later.refresh), "refresh_unknown");
}

#[test]
fn the_code_of_a_registration_belongs_to_its_install() {
    let mut practice = Practice::new();
    let token = practice.invite(practice.ana);
    let body = practice.registration(&token);
    let reply = practice.register_raw(&body).json();
    assert_eq!(reply["iss"], ISSUER);
    let code = reply["code"].as_str().unwrap().to_owned();
    let other = practice.id();
    assert_grant_refused(&practice.redeem_raw(&code, other), "code_unknown");
    let install = body["install_id"].as_str().unwrap().parse().unwrap();
    practice.redeem(&code, install);
}

#[test]
fn a_repeated_parameter_is_an_invalid_request() {
    let mut practice = registered();
    let code = code(&mut practice);
    let install = practice.id().to_string();
    let mut fields = redemption(&code, &install).to_vec();
    fields.push(("code_verifier", VERIFIER));
    let reply = practice.send(&form_request("/oauth/token", &fields));
    assert_eq!(reply.json(), json!({ "error": "invalid_request" }));
}
