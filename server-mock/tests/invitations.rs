//! Invitations and registration: A7, A8, I1, I2.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use chrono::TimeDelta;
use http::StatusCode;
use portal_server_mock::world::{Access, InvitationState, MailKind, StaffError};
use serde_json::{Value, json};
use support::{PASSWORD, Practice, new_client};

#[test]
fn a_client_registers_from_the_link_and_is_signed_in() {
    let mut practice = Practice::new();
    let ana = practice.ana;
    let phone = practice.register(ana);
    assert_eq!(phone.login_id, "ana@example.org");
    assert_eq!(practice.world.access(ana), Some(Access::Active));
    assert_eq!(practice.sync_raw(&phone, "").status, StatusCode::OK);
    let mails = practice.mails(MailKind::Invitation);
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].to, "ana@example.org");
    assert!(!mails[0].text.contains("Ana") && !mails[0].text.contains("O'Neil"));
}

#[test]
fn a_link_works_strictly_before_seven_days() {
    let life = TimeDelta::hours(7 * 24);
    for (age, works) in [(life - TimeDelta::milliseconds(1), true), (life, false)] {
        let mut practice = Practice::new();
        let token = practice.invite(practice.ana);
        practice.advance(age);
        let body = practice.registration(&token);
        let reply = practice.register_raw(&body);
        if works {
            assert_eq!(reply.status, StatusCode::CREATED);
        } else {
            reply.assert_problem(410, "invitation_expired");
        }
    }
}

#[test]
fn only_the_newest_link_works() {
    let mut practice = Practice::new();
    let ana = practice.ana;
    let first = practice.invite(ana);
    assert_eq!(practice.world.invite(ana, practice.now), Err(StaffError::InvitationLive));
    practice.advance(TimeDelta::days(3));
    let second = practice.resend(ana);
    let body = practice.registration(&first);
    practice.register_raw(&body).assert_problem(410, "invitation_replaced");
    // the new link has its own seven days
    practice.advance(TimeDelta::days(7) - TimeDelta::milliseconds(1));
    let body = practice.registration(&second);
    assert_eq!(practice.register_raw(&body).status, StatusCode::CREATED);
}

#[test]
fn a_link_works_once() {
    let mut practice = Practice::new();
    let token = practice.invite(practice.ana);
    let body = practice.registration(&token);
    assert_eq!(practice.register_raw(&body).status, StatusCode::CREATED);
    practice.register_raw(&body).assert_problem(410, "invitation_used");
    assert_eq!(practice.world.resend(practice.ana, practice.now), Err(StaffError::AlreadyRegistered));
}

#[test]
fn a_withdrawn_link_works_no_more() {
    let mut practice = Practice::new();
    let ana = practice.ana;
    let token = practice.invite(ana);
    practice.world.withdraw_invitation(ana, practice.now).unwrap();
    let body = practice.registration(&token);
    practice.register_raw(&body).assert_problem(410, "invitation_withdrawn");
    assert_eq!(practice.world.invitation_state(ana, practice.now), Ok(Some(InvitationState::Withdrawn)));
    // revoking withdraws as well (I3)
    let token = practice.invite(ana);
    practice.world.revoke_access(ana, practice.now).unwrap();
    let body = practice.registration(&token);
    practice.register_raw(&body).assert_problem(410, "invitation_withdrawn");
    assert_eq!(practice.world.resend(ana, practice.now), Err(StaffError::AccessRevoked));
    practice.world.reactivate(ana).unwrap();
    assert_eq!(practice.world.access(ana), Some(Access::None));
}

#[test]
fn looking_at_a_link_consumes_nothing() {
    let mut practice = Practice::new();
    let token = practice.invite(practice.ana);
    let path = format!("/enroll/{token}");
    for _ in 0..10 {
        let page = practice.get(&path, None);
        assert_eq!(page.status, StatusCode::OK);
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        assert!(page.header("content-security-policy").unwrap().contains("default-src 'none'"));
    }
    let body = practice.registration(&token);
    assert_eq!(practice.register_raw(&body).status, StatusCode::CREATED);
    assert_eq!(practice.get(&path, None).status, StatusCode::GONE);
    assert_eq!(practice.get("/enroll/unknown", None).status, StatusCode::NOT_FOUND);
}

#[test]
fn last_names_are_equal_up_to_form_and_nothing_fuzzier() {
    // chart, typed, same
    let table = [
        ("O'Neil", "o\u{2019}neil", true),
        ("O'Neil", "O\u{02BC}NEIL", true),
        ("O'Neil", "O`Neil", true),
        ("O'Neil", "O\u{2032}Neil", true),
        ("O'Neil", "ONeil", false),
        ("O'Neil", "O Neil", false),
        ("Müller", "Mu\u{0308}ller", true),
        ("Müller", "MÜLLER", true),
        ("Müller", "Muller", false),
        ("Müller", "Mueller", false),
        ("Straße", "STRASSE", true),
        ("Ångström", "\u{212B}ngström", true),
        ("García-López", "garcía\u{2010}lópez", true),
        ("García-López", "GARCÍA\u{2013}LÓPEZ", true),
        ("García-López", "García\u{2212}López", true),
        ("García-López", "García López", false),
        ("García-López", "GarcíaLópez", false),
        ("García-López", "Garcia-Lopez", false),
        ("Nguyễn", "Nguye\u{0302}\u{0303}n", true),
        ("Nguyễn", "Nguyen", false),
        ("Smith", "  smith\t", true),
        ("Smith", "Smyth", false),
        ("Smith", "Smith Jr", false),
        ("Smith", "", false),
        ("Σοφός", "ΣΟΦΌΣ", true),
        ("de la Cruz", "De La Cruz", true),
        ("de la Cruz", "de  la Cruz", false),
        ("Li", "Lı", false),
    ];
    for (chart, typed, same) in table {
        let mut practice = Practice::new();
        let client = practice.world.add_client(new_client(chart, "b@example.org"), practice.now).unwrap();
        let token = practice.invite(client);
        let mut body = practice.registration(&token);
        body["last_name"] = json!(typed);
        let reply = practice.register_raw(&body);
        let expected = if same { StatusCode::CREATED } else { StatusCode::FORBIDDEN };
        assert_eq!(reply.status, expected, "{chart} and {typed}");
    }
}

#[test]
fn every_wrong_reason_looks_the_same() {
    let mut practice = Practice::new();
    let token = practice.invite(practice.ana);
    let usual = practice.registration(&token);
    let with = |field: &str, value: Value| {
        let mut body = usual.clone();
        body[field] = value;
        body
    };
    let bodies = [
        with("last_name", json!("Smith")),
        with("date_of_birth", json!("1990-02-27")),
        with("token", json!("x".repeat(43))),
        with("token", json!("")),
    ];
    let replies: Vec<_> = bodies.iter().map(|body| practice.register_raw(body)).collect();
    for reply in &replies {
        reply.assert_problem(403, "registration_refused");
        assert_eq!(reply.body, replies[0].body);
        assert_eq!(reply.headers, replies[0].headers);
    }
}

#[test]
fn the_password_is_judged_only_after_the_identity() {
    let mut practice = Practice::new();
    let token = practice.invite(practice.ana);
    let mut body = practice.registration(&token);
    body["password"] = json!("short");
    body["last_name"] = json!("Smith");
    practice.register_raw(&body).assert_problem(403, "registration_refused");
    body["last_name"] = json!("O'Neil");
    let table = [
        ("11 letters.", "password_too_short"),
        ("", "password_too_short"),
        (&"x ".repeat(64)[..], "password_too_common"),
        (&format!("{}!", "a b".repeat(43))[..], "password_too_long"),
        ("Password1234", "password_too_common"),
        ("aaaaaaaaaaaa", "password_too_common"),
        ("abcabcabcabc", "password_too_common"),
        ("098765432109", "password_too_common"),
        ("QwertyuiopAsdf", "password_too_common"),
        ("my ana@example.org!", "password_contains_login"),
    ];
    for (password, code) in table {
        body["password"] = json!(password);
        let reply = practice.register_raw(&body);
        reply.assert_problem(422, code);
        assert_eq!(reply.json()["field"], "password");
        assert!(!reply.text().contains(password) || password.is_empty());
    }
    // none of these counted as a refusal or used the link up
    for length in [12, 128] {
        let password: String = PASSWORD.chars().cycle().take(length - 1).chain(['~']).collect();
        let mut fresh = practice.clone_world();
        body["password"] = json!(password);
        assert_eq!(fresh.register_raw(&body).status, StatusCode::CREATED, "{length}");
    }
}

#[test]
fn five_refusals_lock_a_token_for_half_an_hour_known_or_not() {
    for known in [true, false] {
        let mut practice = Practice::new();
        let sent = practice.invite(practice.ana);
        let token = if known { sent } else { "y".repeat(43) };
        let mut wrong = practice.registration(&token);
        wrong["last_name"] = json!("Smith");
        for _ in 0..5 {
            practice.register_raw(&wrong).assert_problem(403, "registration_refused");
        }
        let right = practice.registration(&token);
        let locked = practice.register_raw(&right);
        locked.assert_problem(429, "registration_locked");
        assert_eq!(locked.header("retry-after"), Some("1800"));
        assert_eq!(locked.json()["retryable"], true);
        practice.advance(TimeDelta::minutes(30) - TimeDelta::milliseconds(1));
        let locked = practice.register_raw(&right);
        locked.assert_problem(429, "registration_locked");
        assert_eq!(locked.header("retry-after"), Some("1"));
        practice.advance(TimeDelta::milliseconds(1));
        let after = practice.register_raw(&right).status;
        assert_eq!(after, if known { StatusCode::CREATED } else { StatusCode::FORBIDDEN });
    }
}

#[test]
fn one_locked_token_locks_no_other() {
    let mut practice = Practice::new();
    let token = practice.invite(practice.ana);
    let mut wrong = practice.registration(&"z".repeat(43));
    for _ in 0..9 {
        practice.register_raw(&wrong);
    }
    wrong["token"] = json!(token);
    assert_eq!(practice.register_raw(&wrong).status, StatusCode::CREATED);
}

#[test]
fn a_registration_that_is_not_as_the_contract_says_is_malformed() {
    let mut practice = Practice::new();
    let token = practice.invite(practice.ana);
    let usual = practice.registration(&token);
    let wrong = [
        ("client_id", json!("org.portal.other")),
        ("redirect_uri", json!("https://evil.example/")),
        ("code_challenge", json!("short")),
        ("code_challenge_method", json!("plain")),
        ("date_of_birth", json!("1990-2-28")),
        ("date_of_birth", json!("1990-02-30")),
        ("install_id", json!("018F0000-0000-7000-8000-000000000001")),
        ("password", json!(123_456_789_012_u64)),
        ("last_name", Value::Null),
    ];
    for (field, value) in wrong {
        let mut body = usual.clone();
        body[field] = value;
        let reply = practice.register_raw(&body);
        reply.assert_problem(400, "malformed");
        assert_eq!(reply.json()["field"], field);
    }
    for field in ["token", "last_name", "date_of_birth", "password", "code_challenge", "install_id"] {
        let mut body = usual.clone();
        body.as_object_mut().unwrap().remove(field);
        practice.register_raw(&body).assert_problem(400, "malformed");
    }
    assert_eq!(practice.register_raw(&usual).status, StatusCode::CREATED);
}
