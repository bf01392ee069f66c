//! Whatever the bytes are: no panic, and a well-formed answer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use http::{Method, Request, StatusCode};
use portal_server_mock::Outcome;
use proptest::prelude::*;
use serde_json::{Value, json};
use support::{Phone, Practice, authorize_url, form_request, json_request, redemption};

const PATHS: [&str; 15] = [
    "/",
    "/openapi.json",
    "/enroll/x",
    "/mailbox",
    "/mailbox.json",
    "/v1/practice",
    "/v1/registrations",
    "/v1/sync",
    "/v1/ops",
    "/.well-known/oauth-authorization-server",
    "/oauth/authorize",
    "/oauth/token",
    "/oauth/revoke",
    "/staff/clients",
    "/staff/faults",
];

#[test]
fn unknown_paths_are_404_and_wrong_methods_405() {
    let mut practice = Practice::new();
    for path in ["/v1", "/v1/", "/v2/sync", "//", "/v1/sync/", "/V1/SYNC", "/enroll/", "/enroll/a/b", "/%2e"]
    {
        practice.get(path, None).assert_problem(404, "not_found");
    }
    for (method, path, allow) in [
        ("POST", "/v1/sync", "GET"),
        ("DELETE", "/v1/ops", "POST"),
        ("PUT", "/oauth/authorize", "GET, POST"),
        ("BREW", "/", "GET"),
    ] {
        let request = Request::builder().method(method).uri(path).body(Vec::new()).unwrap();
        let reply = practice.send(&request);
        reply.assert_problem(405, "method_not_allowed");
        assert_eq!(reply.header("allow"), Some(allow));
    }
}

#[test]
fn every_answer_carries_the_clock_and_is_not_stored() {
    let mut practice = Practice::new();
    for path in PATHS.into_iter().chain(["/nowhere"]) {
        let reply = practice.get(path, None);
        assert_eq!(reply.header("portal-time"), Some("2026-03-02T09:00:00.000Z"), "{path}");
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{path}");
    }
}

#[test]
fn a_body_must_be_of_the_right_type_size_and_form() {
    let mut practice = Practice::new();
    let phone = practice.register(practice.ana);
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(10_000), close.repeat(10_000));
    for path in ["/v1/registrations", "/v1/ops"] {
        let ask = |kind: &str, body: Vec<u8>| {
            Request::post(path)
                .header("content-type", kind)
                .header("authorization", format!("Bearer {}", phone.access))
                .body(body)
                .unwrap()
        };
        let json = "application/json";
        for kind in ["text/plain", "", "application/x-www-form-urlencoded", "application/jsonp"] {
            practice.send(&ask(kind, b"{}".to_vec())).assert_problem(415, "content_type_unsupported");
        }
        for kind in ["application/json; charset=utf-8", "Application/JSON"] {
            practice.send(&ask(kind, b"{}".to_vec())).assert_problem(400, "malformed");
        }
        for body in [
            b"".to_vec(),
            b"{".to_vec(),
            b"{} {}".to_vec(),
            b"null".to_vec(),
            vec![0xff; 40],
            b"{\"epoch\":\"\xff\xfe\"}".to_vec(),
            deep("[", "]").into_bytes(),
            deep("{\"a\":", "}").into_bytes(),
            format!("{{\"epoch\":{}}}", deep("[", "]")).into_bytes(),
            "[".repeat(1_000_000).into_bytes(),
            vec![b' '; 1024 * 1024],
        ] {
            practice.send(&ask(json, body)).assert_problem(400, "malformed");
        }
        practice.send(&ask(json, vec![b' '; 1024 * 1024 + 1])).assert_problem(413, "body_too_large");
    }
    let mut request = form_request("/oauth/token", &[]);
    *request.body_mut() = vec![b'a', b'=', 0xff];
    practice.send(&request).assert_problem(400, "malformed");
    request.headers_mut().clear();
    practice.send(&request).assert_problem(415, "content_type_unsupported");
}

/// A good request of each kind that takes something.
fn good_requests(practice: &mut Practice, phone: &Phone) -> Vec<Request<Vec<u8>>> {
    let token = "t".repeat(43);
    let install = practice.id();
    let thread = practice.new_thread(json!({ "staff": practice.clinician }));
    let id = thread["id"].as_str().unwrap().to_owned();
    let message = practice.new_message(&id, 2, "Hello");
    let read = practice.read(&id, 1, 1);
    let ops = json!({ "epoch": practice.world.epoch(), "ops": [thread, message, read] });
    let page = practice.get(&authorize_url(&[]), None).transaction();
    let sign_in = [("transaction", page.as_str()), ("login_id", "ana@example.org"), ("password", "guess")];
    let cursor = practice.sync_raw(phone, "?limit=2").json()["next"].as_str().unwrap().to_owned();
    let get = |path: &str| {
        let request = Request::get(path).header("authorization", format!("Bearer {}", phone.access));
        request.header("accept-encoding", "zstd").body(Vec::new()).unwrap()
    };
    let new_client = json!({
        "given_name": "Bo", "family_name": "Bell", "date_of_birth": "1985-07-01",
        "email": "bo@example.org", "zone": "America/Chicago",
    });
    let key = Some(support::STAFF_KEY);
    vec![
        json_request("POST", "/v1/registrations", &support::registration(&token, install), None),
        json_request("POST", "/v1/ops", &ops, Some(&phone.access)),
        json_request("POST", "/staff/clients", &new_client, key),
        json_request("PUT", "/staff/faults", &json!({ "seed": 1, "delay": 0.0 }), key),
        json_request("PUT", "/staff/banner", &json!({ "text": "x", "until": "2026-03-03T00:00:00Z" }), key),
        form_request("/oauth/authorize", &sign_in),
        form_request("/oauth/token", &redemption("made-up", &install.to_string())),
        form_request("/oauth/revoke", &[("token", "made-up"), ("client_id", support::PHONE_APP)]),
        get(&authorize_url(&[])),
        get(&format!("/v1/sync?limit=3&cursor={cursor}")),
        get("/mailbox.json?to=ana@example.org"),
        get(&format!("/enroll/{token}")),
    ]
}

/// Asserts what holds of every answer.
fn assert_well_formed(practice: &mut Practice, request: &Request<Vec<u8>>) {
    let Outcome::Reply(response) = practice.answer(request).outcome else { panic!("no answer") };
    let status = response.status();
    assert!(status.as_u16() < 500, "{status} for {request:?}");
    assert!(response.headers().contains_key("portal-time"));
    let kind = response.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
    match kind.as_deref() {
        Some("application/problem+json") => {
            let problem: Value = serde_json::from_slice(response.body()).unwrap();
            assert!(problem["code"].as_str().unwrap().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
            assert_eq!(problem["status"], status.as_u16());
        }
        Some("application/json") if !response.headers().contains_key("content-encoding") => {
            serde_json::from_slice::<Value>(response.body()).unwrap();
        }
        Some("text/html; charset=utf-8" | "application/json") => {}
        None => assert!(response.body().is_empty()),
        other => panic!("{other:?}"),
    }
    if [StatusCode::UNAUTHORIZED].contains(&status) && request.uri().path().starts_with("/v1/") {
        assert!(response.headers().contains_key("www-authenticate"));
    }
}

/// One change of a request: in its body, its address or a header.
#[derive(Clone, Debug)]
enum Change {
    Flip(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
    Cut(prop::sample::Index),
    Splice(prop::sample::Index, &'static str),
    Address(prop::sample::Index, char),
    Header(prop::sample::Index, Vec<u8>),
}

fn change() -> impl Strategy<Value = Change> {
    let nasty = prop::sample::select(vec![
        "null",
        "[]",
        "{}",
        "\"\"",
        "-1",
        "1e999",
        "9999999999999999999999",
        "\\u0000",
        "\\ud800",
        "%",
        "%zz",
        "&",
        "=",
        "\u{202e}",
        "true",
        "\"18446744073709551616\"",
    ]);
    let at = any::<prop::sample::Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, to)| Change::Flip(at, to)),
        (at(), prop::collection::vec(any::<u8>(), 1..20)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        at().prop_map(Change::Cut),
        (at(), nasty).prop_map(|(at, text)| Change::Splice(at, text)),
        (at(), any::<char>()).prop_map(|(at, to)| Change::Address(at, to)),
        (at(), prop::collection::vec(any::<u8>(), 0..60)).prop_map(|(at, bytes)| Change::Header(at, bytes)),
    ]
}

fn apply(request: &mut Request<Vec<u8>>, change: &Change) {
    match change {
        Change::Flip(at, to) if !request.body().is_empty() => {
            let at = at.index(request.body().len());
            request.body_mut()[at] = *to;
        }
        Change::Insert(at, bytes) => {
            let at = at.index(request.body().len() + 1);
            request.body_mut().splice(at..at, bytes.iter().copied());
        }
        Change::Cut(at) => {
            let at = at.index(request.body().len() + 1);
            request.body_mut().truncate(at);
        }
        Change::Splice(at, text) => {
            let at = at.index(request.body().len() + 1);
            let end = (at + text.len()).min(request.body().len());
            request.body_mut().splice(at..end, text.bytes());
        }
        Change::Address(at, to) => {
            let mut address: Vec<char> = request.uri().to_string().chars().collect();
            let at = at.index(address.len());
            address[at] = *to;
            // only what a server's parser lets through can arrive
            if let Ok(uri) = address.into_iter().collect::<String>().parse() {
                *request.uri_mut() = uri;
            }
        }
        Change::Header(at, bytes) => {
            const NAMES: [&str; 5] =
                ["authorization", "content-type", "accept-encoding", "portal-core-version", "cookie"];
            if let Ok(value) = http::HeaderValue::from_bytes(bytes) {
                request.headers_mut().insert(NAMES[at.index(NAMES.len())], value);
            }
        }
        Change::Flip(..) => {}
    }
}

proptest! {
    // the seed of a failure is printed by the harness, and nothing is written to disk
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_request_is_answered(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec(change(), 1..6),
    ) {
        let mut practice = Practice::new();
        let phone = practice.register(practice.ana);
        let requests = good_requests(&mut practice, &phone);
        let mut request = which.get(&requests).clone();
        for change in &changes {
            apply(&mut request, change);
        }
        assert_well_formed(&mut practice, &request);
        // and it did the practice no harm
        practice.world.set_faults(portal_server_mock::Faults::default());
        prop_assert_eq!(practice.sync_raw(&phone, "").status, StatusCode::OK);
    }

    #[test]
    fn random_bytes_are_answered(
        method in prop::sample::select(vec![Method::GET, Method::POST, Method::PUT]),
        path in prop::sample::select(PATHS.to_vec()),
        kind in prop::sample::select(vec!["application/json", "application/x-www-form-urlencoded"]),
        body in prop::collection::vec(any::<u8>(), 0..200),
        query in "[ -~]{0,40}",
        token in "[ -~]{0,50}",
    ) {
        let mut practice = Practice::new();
        let uri = format!("{path}?{}", query.replace([' ', '"', '<', '>', '`', '{', '}', '\\', '^', '|'], "+"));
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header("content-type", kind)
            .header("authorization", format!("Bearer {token}"))
            .body(body);
        if let Ok(request) = request {
            assert_well_formed(&mut practice, &request);
        }
    }

    #[test]
    fn any_text_is_taken_as_text(text in any::<String>()) {
        let mut practice = Practice::new();
        let phone = practice.register(practice.ana);
        let mut op = practice.new_thread(json!({ "staff": practice.clinician }));
        op["args"]["message"]["body"] = json!(text);
        let result = practice.ops(&phone, &[op])[0].clone();
        if text.trim().is_empty() {
            prop_assert_eq!(&result["problem"]["code"], "body_empty");
        } else {
            prop_assert_eq!(&result["status"], "applied");
            let changes = practice.pull(&phone, None, 500).changes;
            let message = changes.iter().find(|change| change["entity"] == "message").unwrap();
            prop_assert_eq!(&message["data"]["body"], &json!(text));
        }
        practice.sign_in_form(&text, &text);
        let token = practice.id().to_string();
        let mut body = practice.registration(&token);
        body["last_name"] = json!(text);
        body["password"] = json!(text);
        practice.register_raw(&body).assert_problem(403, "registration_refused");
    }
}
