//! After the sign-in: access and refresh tokens, signing out, revocation, the login history.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use chrono::TimeDelta;
use http::StatusCode;
use portal_server_mock::world::{LoginResult, MailKind};
use serde_json::json;
use support::{PASSWORD, PHONE_APP, Practice, Reply, authorize_url};

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
fn an_access_token_lives_five_minutes() {
    let mut practice = Practice::new();
    let phone = practice.register(practice.ana);
    practice.advance(TimeDelta::milliseconds(299_999));
    assert_eq!(practice.sync_raw(&phone, "").status, StatusCode::OK);
    practice.advance(TimeDelta::milliseconds(1));
    let reply = practice.sync_raw(&phone, "");
    reply.assert_problem(401, "token_expired");
    assert_eq!(reply.header("www-authenticate"), Some("Bearer error=\"invalid_token\""));
    practice.get("/v1/sync", Some("made-up")).assert_problem(401, "token_unknown");
    practice.get("/v1/sync", None).assert_problem(401, "token_unknown");
    // a refresh token is no access token
    practice.get("/v1/sync", Some(&phone.refresh)).assert_problem(401, "token_unknown");
}

#[test]
fn a_refresh_token_rotates() {
    let mut practice = Practice::new();
    let first = practice.register(practice.ana);
    practice.advance(TimeDelta::hours(1));
    let second = practice.refresh(&first.refresh);
    assert_ne!(first.refresh, second.refresh);
    assert_eq!(second.account, first.account);
    assert_eq!(practice.sync_raw(&second, "").status, StatusCode::OK);
    let third = practice.refresh(&second.refresh);
    assert_ne!(second.refresh, third.refresh);
}

#[test]
fn a_lost_answer_can_be_asked_for_again_within_a_minute() {
    let mut practice = Practice::new();
    let first = practice.register(practice.ana);
    let lost = practice.refresh(&first.refresh);
    practice.advance(TimeDelta::milliseconds(59_999));
    let second = practice.refresh(&first.refresh);
    assert_ne!(lost.refresh, second.refresh);
    // the unused successor died; showing it now is reuse
    let mut other = practice.clone_world();
    assert_grant_refused(&other.refresh_raw(&lost.refresh), "refresh_reused");
    assert_grant_refused(&other.refresh_raw(&second.refresh), "refresh_reused");
    practice.refresh(&second.refresh);
}

#[test]
fn reuse_ends_the_family() {
    // after the minute
    let mut practice = Practice::new();
    let first = practice.register(practice.ana);
    let second = practice.refresh(&first.refresh);
    practice.advance(TimeDelta::seconds(60));
    assert_grant_refused(&practice.refresh_raw(&first.refresh), "refresh_reused");
    assert_grant_refused(&practice.refresh_raw(&second.refresh), "refresh_reused");
    practice.sync_raw(&second, "").assert_problem(401, "token_unknown");
    // within the minute, once the successor was used
    let mut practice = Practice::new();
    let first = practice.register(practice.ana);
    let second = practice.refresh(&first.refresh);
    let third = practice.refresh(&second.refresh);
    assert_grant_refused(&practice.refresh_raw(&first.refresh), "refresh_reused");
    practice.sync_raw(&third, "").assert_problem(401, "token_unknown");
    // another sign-in lives on
    let install = practice.id();
    let phone = practice.sign_in("ana@example.org", install);
    assert_grant_refused(&practice.refresh_raw(&third.refresh), "refresh_reused");
    assert_eq!(practice.sync_raw(&phone, "").status, StatusCode::OK);
}

#[test]
fn a_family_ends_after_thirty_days() {
    let mut practice = Practice::new();
    let mut phone = practice.register(practice.ana);
    for _ in 0..29 {
        practice.advance(TimeDelta::days(1));
        phone = practice.refresh(&phone.refresh);
    }
    practice.advance(TimeDelta::days(1) - TimeDelta::milliseconds(1));
    phone = practice.refresh(&phone.refresh);
    practice.advance(TimeDelta::milliseconds(1));
    assert_grant_refused(&practice.refresh_raw(&phone.refresh), "refresh_expired");
}

#[test]
fn a_refresh_token_belongs_to_its_app() {
    let mut practice = Practice::new();
    let phone = practice.register(practice.ana);
    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", phone.refresh.as_str()),
        ("client_id", "org.portal.cli"),
    ];
    assert_grant_refused(&practice.form("/oauth/token", &fields), "refresh_unknown");
    assert_grant_refused(&practice.refresh_raw("made-up"), "refresh_unknown");
    practice.refresh(&phone.refresh);
}

#[test]
fn without_offline_access_there_is_no_refresh_token() {
    let mut practice = registered();
    let transaction = practice.get(&authorize_url(&[("scope", "portal")]), None).transaction();
    let reply = practice.post_sign_in(&transaction, "ana@example.org", PASSWORD);
    let install = practice.id();
    let tokens = practice.redeem_raw(&reply.redirect_param("code").unwrap(), install).json();
    assert_eq!(tokens["scope"], "portal");
    assert_eq!(tokens.get("refresh_token"), None);
}

#[test]
fn either_token_signs_out_and_the_answer_is_always_200() {
    for refresh in [true, false] {
        let mut practice = Practice::new();
        let phone = practice.register(practice.ana);
        let token = if refresh { &phone.refresh } else { &phone.access };
        for fields in [
            vec![("token", "made-up"), ("client_id", PHONE_APP)],
            vec![("token", token.as_str()), ("client_id", "org.portal.cli")],
            vec![("token", token.as_str())],
            vec![],
        ] {
            assert_eq!(practice.form("/oauth/revoke", &fields).status, StatusCode::OK);
            assert_eq!(practice.sync_raw(&phone, "").status, StatusCode::OK);
        }
        let fields = [("token", token.as_str()), ("client_id", PHONE_APP)];
        for _ in 0..2 {
            assert_eq!(practice.form("/oauth/revoke", &fields).status, StatusCode::OK);
            practice.sync_raw(&phone, "").assert_problem(401, "token_unknown");
            assert_grant_refused(&practice.refresh_raw(&phone.refresh), "refresh_unknown");
        }
    }
}

#[test]
fn revoking_the_access_ends_everything_and_reactivating_brings_the_login_back() {
    let mut practice = Practice::new();
    let ana = practice.ana;
    let phone = practice.register(ana);
    let code = code(&mut practice);
    practice.world.revoke_access(ana, practice.now).unwrap();
    practice.sync_raw(&phone, "").assert_problem(403, "access_revoked");
    practice.ops_raw(&phone, &[]).assert_problem(403, "access_revoked");
    let install = practice.id();
    assert_grant_refused(&practice.redeem_raw(&code, install), "access_revoked");
    assert_grant_refused(&practice.refresh_raw(&phone.refresh), "access_revoked");
    let reply = practice.sign_in_form("ana@example.org", PASSWORD);
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    practice.world.reactivate(ana).unwrap();
    // the old sessions stay ended, the credentials are the same
    practice.sync_raw(&phone, "").assert_problem(401, "token_unknown");
    assert_grant_refused(&practice.refresh_raw(&phone.refresh), "refresh_unknown");
    assert_grant_refused(&practice.redeem_raw(&code, install), "code_expired");
    let again = practice.sign_in("ana@example.org", phone.install);
    assert_eq!(again.account, phone.account);
    assert_eq!(practice.sync_raw(&again, "").status, StatusCode::OK);
}

#[test]
fn a_new_install_is_mailed_and_the_history_shows_it() {
    let mut practice = Practice::new();
    let ana = practice.ana;
    let phone = practice.register(ana);
    practice.sign_in("ana@example.org", phone.install);
    assert!(practice.mails(MailKind::NewDevice).is_empty());
    practice.sign_in_form("ana@example.org", "not the password");
    let install = practice.id();
    practice.sign_in("ana@example.org", install);
    practice.sign_in("ana@example.org", install);
    let mails = practice.mails(MailKind::NewDevice);
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].to, "ana@example.org");
    let history: Vec<_> =
        practice.world.logins(ana).unwrap().iter().map(|login| (login.result, login.new_device)).collect();
    use LoginResult::{Refused, Registered, SignedIn};
    assert_eq!(
        history,
        [
            (Registered, false),
            (SignedIn, false),
            (SignedIn, false),
            (Refused, false),
            (SignedIn, true),
            (SignedIn, false)
        ]
    );
}
