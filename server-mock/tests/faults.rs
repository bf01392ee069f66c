//! Faults: each does what it says, and the same seed brings the same ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use http::{Request, StatusCode};
use portal_server_mock::{Answer, Faults, Outcome};
use serde_json::json;
use support::{Phone, Practice, json_request};

fn with_phone(faults: Faults) -> (Practice, Phone) {
    let mut practice = Practice::new();
    let phone = practice.register(practice.ana);
    practice.world.set_faults(faults);
    (practice, phone)
}

fn sync(phone: &Phone) -> Request<Vec<u8>> {
    Request::get("/v1/sync")
        .header("authorization", format!("Bearer {}", phone.access))
        .body(Vec::new())
        .unwrap()
}

/// The request for a new thread.
fn op(practice: &mut Practice, phone: &Phone) -> Request<Vec<u8>> {
    let op = practice.new_thread(json!({ "staff": practice.clinician }));
    let body = json!({ "epoch": practice.world.epoch(), "ops": [op] });
    json_request("POST", "/v1/ops", &body, Some(&phone.access))
}

fn shown(answer: &Answer) -> String {
    let outcome = match &answer.outcome {
        Outcome::Reply(response) => {
            format!("{} {}", response.status(), String::from_utf8_lossy(response.body()))
        }
        Outcome::Cut { response, after } => format!("{} of {}", after, response.body().len()),
        Outcome::Closed => "closed".to_owned(),
    };
    format!("{} {outcome}", answer.delay_ms)
}

#[test]
fn nothing_goes_wrong_unless_asked() {
    let (mut practice, phone) = with_phone(Faults::default());
    for _ in 0..100 {
        let answer = practice.answer(&sync(&phone));
        assert_eq!(answer.delay_ms, 0);
        assert!(matches!(answer.outcome, Outcome::Reply(response) if response.status() == 200));
    }
}

#[test]
fn a_drop_before_does_nothing_and_a_drop_after_everything() {
    let (mut practice, phone) = with_phone(Faults { drop_before: 1.0, ..Faults::default() });
    let request = op(&mut practice, &phone);
    assert!(matches!(practice.answer(&request).outcome, Outcome::Closed));
    assert!(practice.world.effects().is_empty());
    practice.world.set_faults(Faults { drop_after: 1.0, ..Faults::default() });
    assert!(matches!(practice.answer(&request).outcome, Outcome::Closed));
    assert_eq!(practice.world.effects().len(), 1);
}

#[test]
fn an_error_does_nothing_unless_it_comes_after_the_commit() {
    for (faults, status, code) in [
        (Faults { error_500: 1.0, ..Faults::default() }, 500, "internal"),
        (Faults { error_503: 1.0, ..Faults::default() }, 503, "unavailable"),
        (Faults { error_429: 1.0, ..Faults::default() }, 429, "too_many_requests"),
        (Faults { error_401: 1.0, ..Faults::default() }, 401, "token_expired"),
    ] {
        let (mut practice, phone) = with_phone(faults);
        let request = op(&mut practice, &phone);
        let reply = practice.send(&request);
        reply.assert_problem(status, code);
        assert_eq!(reply.header("portal-time"), Some("2026-03-02T09:00:00.000Z"));
        assert_eq!(reply.header("retry-after").is_some(), matches!(status, 429 | 503));
        assert_eq!(reply.json()["retryable"], status != 401);
        assert!(practice.world.effects().is_empty());
    }
    let (mut practice, phone) = with_phone(Faults { commit_then_500: 1.0, ..Faults::default() });
    let request = op(&mut practice, &phone);
    practice.send(&request).assert_problem(500, "internal");
    assert_eq!(practice.world.effects().len(), 1);
}

#[test]
fn a_duplicate_is_handled_twice_and_the_second_answer_comes_back() {
    let (mut practice, phone) = with_phone(Faults { duplicate: 1.0, ..Faults::default() });
    let request = op(&mut practice, &phone);
    let result = practice.send(&request).json()["results"][0].clone();
    assert_eq!(result["status"], "replayed");
    assert_eq!(practice.world.effects().len(), 1);
    // a doubled refresh gives a good pair by the grace
    let second = practice.refresh(&phone.refresh);
    assert_eq!(practice.sync_raw(&second, "").status, StatusCode::OK);
    practice.refresh(&second.refresh);
}

#[test]
fn a_truncated_body_is_shorter_than_declared() {
    let (mut practice, phone) = with_phone(Faults { truncate: 1.0, ..Faults::default() });
    for _ in 0..50 {
        match practice.answer(&sync(&phone)).outcome {
            Outcome::Cut { response, after } => assert!(after < response.body().len()),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_captive_portal_is_somebody_else() {
    let (mut practice, phone) = with_phone(Faults { html: 1.0, ..Faults::default() });
    let request = op(&mut practice, &phone);
    let reply = practice.send(&request);
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.header("content-type"), Some("text/html"));
    assert_eq!(reply.header("portal-time"), None);
    assert!(practice.world.effects().is_empty());
}

#[test]
fn faults_strike_where_they_can() {
    let (mut practice, phone) = with_phone(Faults { error_401: 1.0, cursor_410: 1.0, ..Faults::default() });
    assert_eq!(practice.get("/v1/practice", None).status, StatusCode::OK);
    let second = practice.refresh(&phone.refresh);
    practice.world.set_faults(Faults { cursor_410: 1.0, ..Faults::default() });
    practice.sync_raw(&second, "").assert_problem(410, "cursor_expired");
    assert!(practice.ops(&second, &[]).is_empty());
    practice.world.set_faults(Faults { drop_before: 1.0, ..Faults::default() });
    for path in ["/", "/mailbox", "/.well-known/oauth-authorization-server", "/staff/effects"] {
        let key = Some(support::STAFF_KEY);
        assert_eq!(practice.get(path, key).status, StatusCode::OK, "{path}");
    }
    let request = support::form_request("/oauth/token", &[]);
    assert!(matches!(practice.answer(&request).outcome, Outcome::Closed));
}

fn everything(seed: u64) -> Faults {
    Faults {
        seed,
        delay: 0.3,
        max_delay_ms: 2000,
        drop_before: 0.05,
        drop_after: 0.05,
        duplicate: 0.1,
        truncate: 0.05,
        error_500: 0.05,
        commit_then_500: 0.05,
        error_503: 0.05,
        error_429: 0.05,
        error_401: 0.05,
        cursor_410: 0.05,
        html: 0.05,
        op_retry: 0.1,
    }
}

/// What a phone meets that sends an op and a sync a hundred times.
fn trace(world_seed: u64, fault_seed: u64) -> Vec<String> {
    let mut practice = Practice::with_seed(world_seed);
    let phone = practice.register(practice.ana);
    practice.world.set_faults(everything(fault_seed));
    let mut trace = Vec::new();
    for _ in 0..100 {
        let request = op(&mut practice, &phone);
        trace.push(shown(&practice.answer(&request)));
        trace.push(shown(&practice.answer(&sync(&phone))));
    }
    trace
}

#[test]
fn the_same_seeds_give_the_same_world_and_the_same_faults() {
    assert_eq!(trace(1, 2), trace(1, 2));
    assert_ne!(trace(1, 2), trace(1, 3));
    assert_ne!(trace(1, 2), trace(2, 2));
    let whole = trace(1, 2).join("\n");
    for sign in
        [" closed", " 500", " 503", " 429", " 401", " 410", "<title>", " of ", "replayed", "\"retry\""]
    {
        assert!(whole.contains(sign), "{sign}");
    }
}

#[test]
fn faults_do_not_disturb_what_the_world_makes() {
    let ids = |faults: Option<Faults>| {
        let mut practice = Practice::new();
        let phone = practice.register(practice.ana);
        if let Some(faults) = faults {
            practice.world.set_faults(faults);
        }
        for _ in 0..20 {
            practice.answer(&sync(&phone));
        }
        practice.world.write_to_client(practice.clinician, practice.ana, "Hi", "Hello", practice.now).unwrap()
    };
    assert_eq!(ids(None), ids(Some(everything(9))));
}

#[test]
fn staff_set_faults_over_the_api() {
    let mut practice = Practice::new();
    let reply = practice.staff("PUT", "/staff/faults", &json!({ "seed": 4, "error_500": 1.0 }));
    assert_eq!(reply.status, StatusCode::NO_CONTENT);
    practice.get("/v1/practice", None).assert_problem(500, "internal");
    for wrong in [json!({ "error_500": 1.5 }), json!({ "html": -0.1 })] {
        practice.staff("PUT", "/staff/faults", &wrong).assert_problem(422, "invalid");
    }
    practice.staff("PUT", "/staff/faults", &json!({ "eror_500": 1.0 })).assert_problem(400, "malformed");
    assert_eq!(practice.staff("PUT", "/staff/faults", &json!({})).status, StatusCode::NO_CONTENT);
    assert_eq!(practice.get("/v1/practice", None).status, StatusCode::OK);
}
