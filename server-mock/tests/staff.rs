//! The staff API: a whole day of the practice over HTTP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use http::StatusCode;
use portal_server_mock::world::MailKind;
use serde_json::{Value, json};
use support::{ISSUER, Practice, STAFF_KEY};

#[test]
fn only_the_key_lets_staff_in() {
    let mut practice = Practice::new();
    for key in [None, Some(""), Some("the-key-of-the-staf"), Some("the-key-of-the-staff!")] {
        for path in ["/staff/clients", "/staff/effects", "/staff/no-such-thing"] {
            practice.get(path, key).assert_problem(401, "staff_key_unknown");
        }
    }
    let phone = practice.register(practice.ana);
    practice.get("/staff/clients", Some(&phone.access)).assert_problem(401, "staff_key_unknown");
    assert_eq!(practice.get("/staff/clients", Some(STAFF_KEY)).status, StatusCode::OK);
    practice.get("/v1/sync", Some(STAFF_KEY)).assert_problem(401, "token_unknown");
}

#[test]
fn staff_take_a_client_in_and_talk() {
    let mut practice = Practice::new();
    let new = json!({
        "given_name": "Bo", "family_name": "Bell", "date_of_birth": "1985-07-01",
        "email": "bo@example.org", "phone": null, "zone": "America/Chicago", "clinician": practice.clinician,
    });
    let reply = practice.staff("POST", "/staff/clients", &new);
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.text());
    let id = reply.json()["id"].as_str().unwrap().to_owned();
    practice.staff("POST", "/staff/clients", &new).assert_problem(409, "email_taken");
    let client = |rest: &str| format!("/staff/clients/{id}{rest}");

    practice
        .staff("POST", &client("/invitation/resend"), &Value::Null)
        .assert_problem(409, "invitation_none");
    let sent = practice.staff("POST", &client("/invitation"), &Value::Null);
    assert_eq!(sent.status, StatusCode::CREATED);
    assert!(!sent.text().contains("/enroll/"), "the link is in the mail alone");
    practice.staff("POST", &client("/invitation"), &Value::Null).assert_problem(409, "invitation_live");
    let again = practice.staff("POST", &client("/invitation/resend"), &Value::Null);
    assert_eq!(again.status, StatusCode::CREATED);
    let mails = practice.get("/mailbox.json?to=bo@example.org&kind=invitation", None).json();
    assert_eq!(mails["mails"].as_array().unwrap().len(), 2);
    let link = mails["mails"][1]["link"].as_str().unwrap();
    let token = link.strip_prefix(&format!("{ISSUER}/enroll/")).unwrap().to_owned();
    assert_eq!(token.len(), 43);
    let mut body = practice.registration(&token);
    body["last_name"] = json!("bell");
    body["date_of_birth"] = json!("1985-07-01");
    let registered = practice.register_raw(&body).json();
    let install = body["install_id"].as_str().unwrap().parse().unwrap();
    let phone = practice.redeem(registered["code"].as_str().unwrap(), install);

    let charts = practice.get("/staff/clients", Some(STAFF_KEY)).json();
    let chart = charts["clients"].as_array().unwrap().iter().find(|chart| chart["id"] == id).unwrap().clone();
    assert_eq!((&chart["access"], &chart["invitation"]), (&json!("active"), &json!("registered")));
    assert_eq!(chart["login_id"], "bo@example.org");

    let letter = json!({ "staff": practice.clinician, "subject": "Welcome", "body": "Hello Bo" });
    let reply = practice.staff("POST", &client("/threads"), &letter);
    assert_eq!(reply.status, StatusCode::CREATED);
    let thread = reply.json()["id"].as_str().unwrap().to_owned();
    let path = |rest: &str| format!("/staff/threads/{thread}{rest}");
    let op = practice.new_message(&thread, 1, "Thank you");
    practice.ops(&phone, &[op]);
    let more = json!({ "staff": practice.scheduler, "body": "See you soon" });
    assert_eq!(practice.staff("POST", &path("/messages"), &more).status, StatusCode::CREATED);
    let reader = json!({ "staff": practice.clinician });
    assert_eq!(practice.staff("POST", &path("/read"), &reader).status, StatusCode::NO_CONTENT);
    let whole = practice.get(&path(""), Some(STAFF_KEY)).json();
    assert_eq!(whole["participants"], json!([practice.clinician, practice.scheduler]));
    assert_eq!(whole["messages"][1]["body"], "Thank you");
    assert_eq!(whole["messages"][2]["n"], "3");
    assert_eq!(whole["staff_read"], json!({ practice.clinician.to_string(): "3" }));
    assert_eq!(practice.staff("POST", &path("/close"), &json!({})).status, StatusCode::NO_CONTENT);
    practice.staff("POST", &path("/messages"), &more).assert_problem(409, "thread_closed");
    let threads = practice.get(&client("/threads"), Some(STAFF_KEY)).json();
    assert_eq!(threads["threads"][0]["newest"], "3");
    assert_eq!(threads["threads"][0]["closed"], true);

    let effects = practice.get("/staff/effects", Some(STAFF_KEY)).json();
    let authors: Vec<&str> = effects["effects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|effect| effect["author"]["kind"].as_str().unwrap())
        .collect();
    assert_eq!(authors, ["staff", "client", "staff"]);
    let logins = practice.get(&client("/logins"), Some(STAFF_KEY)).json();
    assert_eq!(logins["logins"][0]["result"], "registered");

    assert_eq!(practice.staff("POST", &client("/revoke"), &Value::Null).status, StatusCode::NO_CONTENT);
    practice.sync_raw(&phone, "").assert_problem(403, "access_revoked");
    assert_eq!(practice.staff("POST", &client("/reactivate"), &Value::Null).status, StatusCode::NO_CONTENT);
    practice.staff("POST", &client("/reactivate"), &Value::Null).assert_problem(409, "access_not_revoked");
    assert_eq!(practice.mails(MailKind::NewMessage).len(), 2);
}

#[test]
fn staff_arrange_the_practice() {
    let mut practice = Practice::new();
    let new = json!({ "name": "Kim Ray", "role": "admin", "title": "Office", "accepts_messages": false });
    let id = practice.staff("POST", "/staff/staff", &new).json()["id"].as_str().unwrap().to_owned();
    let desk = json!({ "staff": [id] });
    assert_eq!(practice.staff("PUT", "/staff/routes/biller", &desk).status, StatusCode::NO_CONTENT);
    let routes = practice.get("/staff/routes", Some(STAFF_KEY)).json();
    assert_eq!(routes, json!({ "routes": { "biller": [id], "scheduler": [practice.scheduler] } }));
    let nobody = json!({ "staff": [practice.id()] });
    practice.staff("PUT", "/staff/routes/biller", &nobody).assert_problem(404, "staff_unknown");
    practice.staff("PUT", "/staff/routes/nurse", &desk).assert_problem(404, "route_unknown");
    let gone = format!("/staff/staff/{id}/deactivate");
    assert_eq!(practice.staff("POST", &gone, &Value::Null).status, StatusCode::NO_CONTENT);
    let staff = practice.get("/staff/staff", Some(STAFF_KEY)).json();
    assert_eq!(staff["staff"].as_array().unwrap().iter().filter(|one| one["active"] == false).count(), 1);
    let banner = json!({ "text": "Snow", "until": "2026-03-03T00:00:00.000Z" });
    assert_eq!(practice.staff("PUT", "/staff/banner", &banner).status, StatusCode::NO_CONTENT);
    assert_eq!(practice.get("/v1/practice", None).json()["banner"], banner);
    assert_eq!(practice.staff("PUT", "/staff/banner", &Value::Null).status, StatusCode::NO_CONTENT);
    assert_eq!(practice.get("/v1/practice", None).json()["banner"], Value::Null);
    practice.staff("PUT", "/staff/banner", &json!({ "text": "Snow" })).assert_problem(400, "malformed");
    let mut policy = practice.get("/v1/practice", None).json()["policy"].clone();
    policy["start_threads"] = json!(false);
    assert_eq!(practice.staff("PUT", "/staff/policy", &policy).status, StatusCode::NO_CONTENT);
    assert_eq!(practice.get("/v1/practice", None).json()["policy"], policy);
    let epoch = practice.world.epoch();
    let reply = practice.staff("POST", "/staff/epoch", &json!({}));
    assert_eq!(reply.json()["epoch"], json!(practice.world.epoch()));
    assert_ne!(epoch, practice.world.epoch());
}

#[test]
fn what_cannot_be_is_refused_with_its_reason() {
    let mut practice = Practice::new();
    let usual = json!({
        "given_name": "Bo", "family_name": "Bell", "date_of_birth": "1985-07-01",
        "email": "bo@example.org", "zone": "America/Chicago",
    });
    for (field, value) in [
        ("given_name", json!(" ")),
        ("family_name", json!("")),
        ("date_of_birth", json!("2026-03-03")),
        ("email", json!("bo")),
        ("email", json!("bo@a b")),
        ("zone", json!("America/Nowhere")),
    ] {
        let mut body = usual.clone();
        body[field] = value;
        let reply = practice.staff("POST", "/staff/clients", &body);
        reply.assert_problem(422, "invalid");
        assert_eq!(reply.json()["field"], field);
    }
    for (field, value) in [("date_of_birth", json!("1985-13-01")), ("nickname", json!("B"))] {
        let mut body = usual.clone();
        body[field] = value;
        practice.staff("POST", "/staff/clients", &body).assert_problem(400, "malformed");
    }
    let (ana, nobody) = (practice.ana, practice.id());
    let letter = json!({ "staff": practice.clinician, "subject": "Hi", "body": "" });
    let reply = practice.staff("POST", &format!("/staff/clients/{ana}/threads"), &letter);
    reply.assert_problem(422, "invalid");
    for path in ["invitation", "revoke", "reactivate"] {
        let path = format!("/staff/clients/{nobody}/{path}");
        practice.staff("POST", &path, &Value::Null).assert_problem(404, "client_unknown");
    }
    practice.get(&format!("/staff/threads/{nobody}"), Some(STAFF_KEY)).assert_problem(404, "thread_unknown");
    practice.get("/staff/threads/x", Some(STAFF_KEY)).assert_problem(404, "not_found");
    practice.world.deactivate_staff(practice.clinician).unwrap();
    let letter = json!({ "staff": practice.clinician, "subject": "Hi", "body": "Hello" });
    let reply = practice.staff("POST", &format!("/staff/clients/{ana}/threads"), &letter);
    reply.assert_problem(409, "staff_inactive");
}
