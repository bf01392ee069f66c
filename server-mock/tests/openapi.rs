//! The published contract against the running practice: every path, method and status that the
//! document names is asked for over the socket, and every answer has to be as it says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
mod contract;

use std::collections::BTreeSet;

use common::STAFF_KEY;
use contract::{Ask, CHALLENGE, Contract, uuid_of};
use portal_server_mock::openapi;
use serde_json::{Value, json};

#[test]
fn every_documented_answer_is_given_and_is_as_documented() {
    let mut practice = Contract::start();
    public_pages(&mut practice);
    let staff = the_staff(&mut practice);
    let client = the_charts(&mut practice, &staff);
    let token = practice.mailed_token(&client.email);
    registering(&mut practice, &client, &token);
    signing_in(&mut practice, &client);
    tokens(&mut practice, &client);
    syncing_and_ops(&mut practice, &client, &staff);
    threads(&mut practice, &client, &staff);
    switches(&mut practice);
    ends(&mut practice, &client);
    for (path, method, operation) in practice.operations() {
        practice.generic_refusals(&path, &method, &operation);
    }
    let missing = practice.not_yet_seen();
    assert!(missing.is_empty(), "documented, and never answered: {missing:#?}");
}

struct Client {
    id: String,
    email: String,
}

struct Staff {
    clinician: String,
    scheduler: String,
    gone: String,
}

fn public_pages(practice: &mut Contract) {
    practice.ask(Ask::get("/")).is(200);
    let published = practice.ask(Ask::get("/openapi.json")).is(200).json();
    assert_eq!(published, openapi::document());
    practice.ask(Ask::get("/v1/practice")).is(200);
    practice.ask(Ask::get("/.well-known/oauth-authorization-server")).is(200);
    practice.ask(Ask::get("/mailbox")).is(200);
    practice.ask(Ask::get("/enroll/no-such-token")).is(404);
}

fn the_staff(practice: &mut Contract) -> Staff {
    let mut add = |name: &str, role: &str| {
        let new = json!({ "name": name, "role": role, "title": "x", "accepts_messages": true });
        let made = practice.ask(Ask::post("/staff/staff").staff().json(&new)).is(201).json();
        made["id"].as_str().unwrap().to_owned()
    };
    let staff = Staff {
        clinician: add("Dr. Amara Okafor", "clinician"),
        scheduler: add("Grace Kim", "scheduler"),
        gone: add("Helen Brandt", "admin"),
    };
    let blank = json!({ "name": " ", "role": "biller", "title": "", "accepts_messages": true });
    practice.ask(Ask::post("/staff/staff").staff().json(&blank)).is(422);
    practice.ask(Ask::post(&format!("/staff/staff/{}/deactivate", staff.gone)).staff()).is(204);
    practice.ask(Ask::get("/staff/staff").staff()).is(200);
    let desk = json!({ "staff": [staff.scheduler] });
    practice.ask(Ask::put("/staff/routes/scheduler").staff().json(&desk)).is(204);
    practice.ask(Ask::put("/staff/routes/gardener").staff().json(&desk)).is(404);
    practice.ask(Ask::get("/staff/routes").staff()).is(200);
    staff
}

fn the_charts(practice: &mut Contract, staff: &Staff) -> Client {
    let email = "renee@example.org".to_owned();
    let chart = json!({
        "given_name": "Renée", "family_name": "O'Connor-Núñez", "date_of_birth": "1990-02-28",
        "email": email, "zone": "America/New_York", "clinician": staff.clinician,
    });
    let made = practice.ask(Ask::post("/staff/clients").staff().json(&chart)).is(201).json();
    let id = made["id"].as_str().unwrap().to_owned();
    practice.ask(Ask::post("/staff/clients").staff().json(&chart)).is(409);
    let mut wrong = chart.clone();
    wrong["email"] = json!("nowhere");
    practice.ask(Ask::post("/staff/clients").staff().json(&wrong)).is(422);
    let mut nobodys = chart;
    nobodys["email"] = json!("other@example.org");
    nobodys["clinician"] = json!(uuid_of(99));
    practice.ask(Ask::post("/staff/clients").staff().json(&nobodys)).is(404);

    let invitation = format!("/staff/clients/{id}/invitation");
    practice.ask(Ask::post(&format!("{invitation}/resend")).staff()).is(409);
    practice.ask(Ask::post(&format!("{invitation}/withdraw")).staff()).is(409);
    practice.ask(Ask::post(&invitation).staff()).is(201);
    practice.ask(Ask::post(&invitation).staff()).is(409);
    let first = practice.mailed_token(&email);
    practice.ask(Ask::get(&format!("/enroll/{first}"))).is(200);
    practice.ask(Ask::post(&format!("{invitation}/withdraw")).staff()).is(204);
    practice.ask(Ask::get(&format!("/enroll/{first}"))).is(410);
    practice.ask(Ask::post(&format!("{invitation}/resend")).staff()).is(201);
    practice.ask(Ask::get("/mailbox.json?kind=invitation")).is(200);
    practice.ask(Ask::get("/staff/clients").staff()).is(200);
    practice.ask(Ask::post(&format!("/staff/clients/{id}/reactivate")).staff()).is(409);
    Client { id, email }
}

fn registering(practice: &mut Contract, client: &Client, token: &str) {
    let form = |token: &str, password: &str| {
        json!({
            "token": token, "last_name": "o’connor‑núñez", "date_of_birth": "1990-02-28",
            "password": password, "client_id": "org.portal.cli",
            "redirect_uri": "http://127.0.0.1:4711/signed-in", "code_challenge": CHALLENGE,
            "code_challenge_method": "S256", "install_id": uuid_of(1),
        })
    };
    let register = |form: &Value| Ask::post("/v1/registrations").json(form);
    practice.ask(register(&json!({}))).is(400);
    practice.ask(register(&form(token, "short"))).is(422);
    practice.ask(register(&form(token, &client.email))).is(422);
    for _ in 0..5 {
        practice.ask(register(&form("unknown", "four quiet herons"))).is(403);
    }
    let locked = practice.ask(register(&form("unknown", "four quiet herons"))).is(429);
    assert!(locked.header("retry-after").is_some());
    let min = json!({ "min": "2.0.0" });
    practice.ask(Ask::put("/staff/core-version").staff().json(&min)).is(204);
    let old = register(&form(token, "four quiet herons")).header("portal-core-version", "1.9.9");
    practice.ask(old).is(426);
    let none = json!({ "min": null });
    practice.ask(Ask::put("/staff/core-version").staff().json(&none)).is(204);
    practice.ask(register(&form(token, "four quiet herons"))).is(201);
    practice.ask(register(&form(token, "four quiet herons"))).is(410);
    practice.ask(Ask::get(&format!("/staff/clients/{}/logins", client.id)).staff()).is(200);
}

fn signing_in(practice: &mut Contract, client: &Client) {
    let authorize = practice.authorize_path("portal offline_access");
    practice.ask(Ask::get(&practice.authorize_path("everything"))).is(303);
    practice.ask(Ask::get("/oauth/authorize?client_id=somebody")).is(400);
    let stale = [("transaction", "gone"), ("login_id", "x"), ("password", "y")];
    practice.ask(Ask::post("/oauth/authorize").form(&stale)).is(400);
    let mut page = practice.ask(Ask::get(&authorize)).is(200);
    for _ in 0..5 {
        let form = page.sign_in_form("nobody@example.org", "wrong");
        page = practice.ask(Ask::post("/oauth/authorize").form(&form)).is(401);
    }
    let form = page.sign_in_form("nobody@example.org", "wrong");
    let locked = practice.ask(Ask::post("/oauth/authorize").form(&form)).is(429);
    assert!(locked.header("retry-after").is_some());
    let form = locked.sign_in_form(&client.email, "four quiet herons");
    practice.ask(Ask::post("/oauth/authorize").form(&form)).is(303);
}

fn tokens(practice: &mut Contract, client: &Client) {
    let wrong = [("grant_type", "password"), ("client_id", "org.portal.cli")];
    practice.ask(Ask::post("/oauth/token").form(&wrong)).is(400);
    let unknown = [("grant_type", "refresh_token"), ("client_id", "org.portal.cli"), ("refresh_token", "x")];
    practice.ask(Ask::post("/oauth/token").form(&unknown)).is(400);
    let first = practice.sign_in(&client.email, "four quiet herons");
    let refresh = first["refresh_token"].as_str().unwrap().to_owned();
    let again = [
        ("grant_type", "refresh_token"),
        ("client_id", "org.portal.cli"),
        ("refresh_token", refresh.as_str()),
    ];
    practice.ask(Ask::post("/oauth/token").form(&again)).is(200);
    let end = [("token", refresh.as_str()), ("client_id", "org.portal.cli")];
    practice.ask(Ask::post("/oauth/revoke").form(&end)).is(200);
}

fn syncing_and_ops(practice: &mut Contract, client: &Client, staff: &Staff) {
    let tokens = practice.sign_in(&client.email, "four quiet herons");
    let bearer = tokens["access_token"].as_str().unwrap().to_owned();
    practice.access_token = bearer;
    let page = practice.ask(Ask::get("/v1/sync").token()).is(200).json();
    let epoch = page["epoch"].as_str().unwrap().to_owned();
    let cursor = page["next"].as_str().unwrap().to_owned();
    practice.ask(Ask::get(&format!("/v1/sync?cursor={cursor}")).token()).is(304);
    practice.ask(Ask::get("/v1/sync?limit=0").token()).is(400);

    let thread = uuid_of(10);
    let lane = format!("thread:{thread}");
    let create = json!({
        "lane": lane, "n": "1", "key": uuid_of(11), "type": "thread.create@1", "entity": "thread",
        "id": thread, "base": null, "deps": [],
        "args": { "subject": "Times in May", "to": { "route": "scheduler" },
            "message": { "id": uuid_of(12), "body": "Is Tuesday possible? 🙏🏽" } },
    });
    let message = |n: &str, key: u128, body: &str| {
        json!({
            "lane": lane, "n": n, "key": uuid_of(key), "type": "message.create@1", "entity": "message",
            "id": uuid_of(key + 100), "base": null, "deps": [],
            "args": { "thread": thread, "body": body },
        })
    };
    let read = json!({
        "lane": format!("read:{thread}"), "n": "1", "key": uuid_of(14), "type": "thread.read@1",
        "entity": "read_mark", "id": thread, "base": null,
        "deps": [{ "lane": lane, "n": "1" }], "args": { "thread": thread, "upto": "1" },
    });
    let ops = |ops: &[&Value]| Ask::post("/v1/ops").token().json(&json!({ "epoch": epoch, "ops": ops }));
    let gap = message("9", 16, "too early");
    let long = message("3", 17, &"x".repeat(6_000));
    let all = [&create, &message("2", 15, "Or Wednesday."), &read, &gap, &long];
    let first = practice.ask(ops(&all)).is(200).json();
    assert_eq!(statuses(&first), ["applied", "applied", "applied", "blocked", "rejected"], "{first}");
    let second = practice.ask(ops(&[&create, &long])).is(200).json();
    assert_eq!(statuses(&second), ["replayed", "replayed"]);
    practice.ask(ops(&[&message("1", 18, "another")])).is(422);
    practice.ask(Ask::put("/staff/faults").staff().json(&json!({ "op_retry": 1.0 }))).is(204);
    let later = practice.ask(ops(&[&message("4", 19, "later")])).is(200).json();
    assert_eq!(statuses(&later), ["retry"]);
    practice.ask(Ask::put("/staff/faults").staff().json(&json!({}))).is(204);
    practice.ask(Ask::post("/v1/ops").token().json(&json!({ "ops": 3 }))).is(400);

    let letter = json!({ "staff": staff.clinician, "subject": "Welcome", "body": "Good to have you here." });
    let write = format!("/staff/clients/{}/threads", client.id);
    let written = practice.ask(Ask::post(&write).staff().json(&letter)).is(201).json();
    let written = written["id"].as_str().unwrap();
    practice.ask(Ask::post(&format!("/staff/threads/{written}/withdraw")).staff()).is(204);
    let mut next = cursor.clone();
    let mut shown = Vec::new();
    loop {
        let path = format!("/v1/sync?limit=1&cursor={next}");
        let page = practice.ask(Ask::get(&path).token()).is(200).json();
        shown.extend(page["changes"].as_array().unwrap().iter().map(|change| change["op"].clone()));
        next = page["next"].as_str().unwrap().to_owned();
        if page["has_more"] == false {
            break;
        }
    }
    assert!(shown.contains(&json!("put")) && shown.contains(&json!("del")), "{shown:?}");

    practice.ask(Ask::put("/staff/core-version").staff().json(&json!({ "min": "2.0.0" }))).is(204);
    practice.ask(Ask::get("/v1/sync").token().header("portal-core-version", "1.0.0")).is(426);
    practice.ask(ops(&[]).header("portal-core-version", "1.0.0")).is(426);
    practice.ask(Ask::put("/staff/core-version").staff().json(&json!({ "min": null }))).is(204);
    let restored = json!({ "lanes_back_to": null });
    practice.ask(Ask::post("/staff/epoch").staff().json(&restored)).is(200);
    practice.ask(Ask::get(&format!("/v1/sync?cursor={cursor}")).token()).is(410);
    practice.ask(ops(&[&create])).is(410);
}

fn statuses(answer: &Value) -> Vec<&str> {
    let results = answer["results"].as_array().unwrap();
    results.iter().map(|result| result["status"].as_str().unwrap()).collect()
}

fn threads(practice: &mut Contract, client: &Client, staff: &Staff) {
    let write = format!("/staff/clients/{}/threads", client.id);
    let letter = |staff: &str, body: &str| json!({ "staff": staff, "subject": "Forms", "body": body });
    let made = practice
        .ask(Ask::post(&write).staff().json(&letter(&staff.clinician, "Two are open.")))
        .is(201)
        .json();
    practice.ask(Ask::post(&write).staff().json(&letter(&staff.clinician, " "))).is(422);
    practice.ask(Ask::post(&write).staff().json(&letter(&staff.gone, "Hello"))).is(409);
    practice.ask(Ask::get(&write).staff()).is(200);
    let thread = format!("/staff/threads/{}", made["id"].as_str().unwrap());
    let reply = |body: &str| json!({ "staff": staff.scheduler, "body": body });
    let messages = format!("{thread}/messages");
    practice.ask(Ask::post(&messages).staff().json(&reply("One is done."))).is(201);
    practice.ask(Ask::post(&messages).staff().json(&reply(""))).is(422);
    let reader = json!({ "staff": staff.clinician });
    practice.ask(Ask::post(&format!("{thread}/read")).staff().json(&reader)).is(204);
    practice.ask(Ask::get(&thread).staff()).is(200);
    practice.ask(Ask::post(&format!("{thread}/close")).staff()).is(204);
    practice.ask(Ask::post(&messages).staff().json(&reply("Too late."))).is(409);
    practice.ask(Ask::get("/staff/effects").staff()).is(200);
}

fn switches(practice: &mut Contract) {
    let banner = json!({ "text": "Closed on Monday", "until": "2027-01-01T00:00:00.000Z" });
    practice.ask(Ask::put("/staff/banner").staff().json(&banner)).is(204);
    practice.ask(Ask::get("/v1/practice")).is(200);
    practice.ask(Ask::put("/staff/banner").staff().json(&Value::Null)).is(204);
    let policy = json!({
        "idle_lock_s": 60, "background_lock_s": 30, "reply_hours": 24, "message_max_chars": 100,
        "start_threads": false,
    });
    practice.ask(Ask::put("/staff/policy").staff().json(&policy)).is(204);
    practice.ask(Ask::put("/staff/core-version").staff().json(&json!({ "min": "new" }))).is(422);
    practice.ask(Ask::put("/staff/faults").staff().json(&json!({ "delay": 2.0 }))).is(422);
    for (fault, status) in [("error_500", 500), ("error_503", 503), ("error_429", 429)] {
        practice.ask(Ask::put("/staff/faults").staff().json(&json!({ fault: 1.0 }))).is(204);
        let answer = practice.ask(Ask::get("/v1/practice").outside()).is(status);
        assert_eq!(answer.header("retry-after").is_some(), status != 500);
    }
    practice.ask(Ask::put("/staff/faults").staff().json(&json!({}))).is(204);
}

fn ends(practice: &mut Contract, client: &Client) {
    practice.ask(Ask::post(&format!("/staff/clients/{}/revoke", client.id)).staff()).is(204);
    practice.ask(Ask::get("/v1/sync").token()).is(403);
    let nothing = json!({ "epoch": uuid_of(1), "ops": [] });
    practice.ask(Ask::post("/v1/ops").token().json(&nothing)).is(403);
    let invitation = format!("/staff/clients/{}/invitation", client.id);
    practice.ask(Ask::post(&invitation).staff()).is(409);
    practice.ask(Ask::post(&format!("/staff/clients/{}/reactivate", client.id)).staff()).is(204);
    practice.access_token =
        practice.sign_in(&client.email, "four quiet herons")["access_token"].as_str().unwrap().to_owned();
}

/// The router's own table, read from its source.
fn routes() -> BTreeSet<(String, String)> {
    let source = include_str!("../src/api/routes.rs");
    let table = source.split_once("ROUTES: [").unwrap().1.split_once("];").unwrap().0;
    let entries = table.split("(\"").skip(1);
    entries
        .map(|entry| {
            let (path, rest) = entry.split_once('"').unwrap();
            let method = rest.split_once("Method::").unwrap().1.split(',').next().unwrap();
            (path.to_owned(), method.to_ascii_lowercase())
        })
        .collect()
}

#[test]
fn the_router_and_the_document_know_the_same_routes() {
    let documented = Contract::documented()
        .into_iter()
        .map(|(path, method, _)| {
            let parts = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
            (parts.collect::<Vec<_>>().join("/"), method)
        })
        .collect::<BTreeSet<_>>();
    let routes = routes();
    assert!(routes.len() >= 40, "the table was not read: {}", routes.len());
    assert_eq!(documented, routes);
}

#[test]
fn other_methods_are_refused_with_the_documented_ones() {
    let mut practice = Contract::start();
    let paths = Contract::documented().into_iter().map(|(path, ..)| path).collect::<BTreeSet<_>>();
    for path in paths {
        let expected = Contract::documented()
            .into_iter()
            .filter(|(other, ..)| *other == path)
            .map(|(_, method, _)| method.to_ascii_uppercase())
            .collect::<BTreeSet<_>>();
        let real = practice.example_path(&path);
        let answer = practice.ask(Ask::of("DELETE", &real).staff().outside()).is(405);
        let allowed = answer.header("allow").unwrap().split(", ").map(str::to_owned);
        assert_eq!(allowed.collect::<BTreeSet<_>>(), expected, "{path}");
    }
    practice.ask(Ask::get("/nowhere").outside()).is(404);
}

#[test]
fn the_document_is_whole() {
    let document = openapi::document();
    assert_eq!(document["openapi"], "3.1.0");
    let mut names = BTreeSet::new();
    for (path, method, operation) in Contract::documented() {
        let at = format!("{method} {path}");
        assert!(names.insert(operation["operationId"].as_str().unwrap().to_owned()), "{at}");
        assert!(!operation["summary"].as_str().unwrap().is_empty(), "{at}");
        assert_eq!(operation["tags"].as_array().unwrap().len(), 1, "{at}");
        assert!(operation["responses"]["default"].is_object(), "{at}");
        let secured = if path.starts_with("/staff/") {
            json!([{ "staffKey": [] }])
        } else if ["/v1/sync", "/v1/ops"].contains(&path.as_str()) {
            json!([{ "accessToken": [] }])
        } else {
            Value::Null
        };
        assert_eq!(operation["security"], secured, "{at}");
    }
    let mut references = Vec::new();
    collect(&document, &mut references);
    for reference in &references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        let reference = format!("#/components/schemas/{name}");
        assert!(references.contains(&reference), "{name} is never used");
    }
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                references.push(reference.clone());
            }
            fields.values().for_each(|inner| collect(inner, references));
        }
        Value::Array(items) => items.iter().for_each(|inner| collect(inner, references)),
        _ => {}
    }
}

/// Every code that the source gives to a problem is in the document, and the other way round.
#[test]
fn every_code_is_documented() {
    let document = openapi::document();
    let of = |name: &str| {
        let all = document["components"]["schemas"][name]["oneOf"].as_array().unwrap().clone();
        all.iter().map(|one| one["const"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    let source = [
        include_str!("../src/api/mod.rs"),
        include_str!("../src/api/input.rs"),
        include_str!("../src/api/oauth.rs"),
        include_str!("../src/api/ops.rs"),
        include_str!("../src/api/public.rs"),
        include_str!("../src/api/reply.rs"),
        include_str!("../src/api/routes.rs"),
        include_str!("../src/api/staff.rs"),
        include_str!("../src/api/sync.rs"),
        include_str!("../src/serve/exchange.rs"),
        include_str!("../src/world/records.rs"),
        include_str!("../src/world/execute.rs"),
        include_str!("../src/world/tokens.rs"),
        include_str!("../src/rules/passwords.rs"),
    ]
    .concat();
    let documented = [of("ProblemCode"), of("OpCode"), of("GrantCode")];
    for code in documented.iter().flatten() {
        assert!(source.contains(&format!("\"{code}\"")), "{code} is documented and never given");
    }
    for marker in ["unauthorized(\"", "gone(\"", "Rejection(\""] {
        for rest in source.split(marker).skip(1) {
            let code = rest.split('"').next().unwrap();
            assert!(documented.iter().any(|codes| codes.contains(code)), "{code} is not documented");
        }
    }
    let dense = source.split_whitespace().collect::<String>();
    for rest in dense.split("Problem::new(StatusCode::").skip(1) {
        // What is not a literal comes from a `code()` that has its words elsewhere in the source.
        if let Some((_, literal)) = rest.split_once(',').filter(|(_, next)| next.starts_with('"')) {
            let code = literal.split('"').nth(1).unwrap();
            assert!(documented[0].contains(code), "{code} is not documented");
        }
    }
}

#[test]
fn the_staff_key_of_another_practice_opens_nothing() {
    let mut practice = Contract::start();
    practice.ask(Ask::get("/staff/clients").header("authorization", "Bearer wrong")).is(401);
    let shortened = format!("Bearer {}", &STAFF_KEY[1..]);
    practice.ask(Ask::get("/staff/clients").header("authorization", &shortened)).is(401);
}
