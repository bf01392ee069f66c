//! Ops: once each, in order, with the result stored for ever.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use chrono::TimeDelta;
use portal_server_mock::Faults;
use portal_server_mock::world::Author;
use serde_json::{Value, json};
use std::slice;
use support::{Phone, Practice};

fn registered() -> (Practice, Phone) {
    let mut practice = Practice::new();
    let phone = practice.register(practice.ana);
    (practice, phone)
}

/// A registered phone and a thread that its client began, with `n` at 1.
fn with_thread() -> (Practice, Phone, String) {
    let (mut practice, phone) = registered();
    let op = practice.new_thread(json!({ "staff": practice.clinician }));
    let results = practice.ops(&phone, slice::from_ref(&op));
    assert_eq!(results[0]["status"], "applied", "{}", results[0]);
    (practice, phone, op["id"].as_str().unwrap().to_owned())
}

#[track_caller]
fn assert_rejected(result: &Value, code: &str, field: &str) {
    assert_eq!(result["status"], "rejected", "{result}");
    assert_eq!(result["problem"], json!({ "code": code, "retryable": false, "field": field }));
    assert_eq!(result["seq"], Value::Null);
    assert_eq!(result["ver"], Value::Null);
}

#[test]
fn a_new_thread_is_applied_and_its_seq_shows_it() {
    let (mut practice, phone) = registered();
    let cursor = practice.pull(&phone, None, 500).next;
    let op = practice.new_thread(json!({ "staff": practice.clinician }));
    let result = practice.ops(&phone, slice::from_ref(&op))[0].clone();
    assert_eq!(result["status"], "applied");
    assert_eq!(result["ver"], "1");
    assert_eq!(result["current"], Value::Null);
    assert_eq!(result["problem"], Value::Null);
    assert_eq!((&result["lane"], &result["n"], &result["key"]), (&op["lane"], &op["n"], &op["key"]));
    assert_eq!(result.get("was"), None);
    let changes = practice.pull(&phone, Some(&cursor), 500).changes;
    assert_eq!(changes.last().unwrap()["seq"], result["seq"]);
    let author = json!({ "kind": "client", "id": practice.ana });
    assert_eq!(changes[0]["data"]["created_by"], author);
    assert_eq!(changes[0]["data"]["participants"], json!([practice.clinician]));
    assert_eq!(changes[1]["data"]["n"], "1");
    assert_eq!(changes[1]["data"]["author"], author);
    let effects = practice.world.effects();
    assert_eq!(effects.len(), 1);
    assert_eq!(effects[0].author, Author::client(practice.ana));
    assert_eq!(json!(effects[0].seq.to_string()), result["seq"]);
}

#[test]
fn an_op_that_was_executed_is_answered_as_then_and_not_done_again() {
    let (mut practice, phone, thread) = with_thread();
    let good = practice.new_message(&thread, 2, "Hello");
    let bad = practice.new_message(&thread, 3, "  ");
    let first = practice.ops(&phone, &[good.clone(), bad.clone()]);
    practice.world.close_thread(thread.parse().unwrap()).unwrap();
    practice.advance(TimeDelta::days(4000));
    let phone = practice.sign_in("ana@example.org", phone.install);
    for _ in 0..3 {
        let again = practice.ops(&phone, &[good.clone(), bad.clone()]);
        for (first, again) in first.iter().zip(&again) {
            let mut expected = first.clone();
            expected["was"] = first["status"].clone();
            expected["status"] = json!("replayed");
            assert_eq!(*again, expected);
        }
    }
    assert_eq!(practice.world.effects().len(), 2);
    assert_eq!(practice.world.lane_counter(phone.account, phone.install, &format!("thread:{thread}")), 3);
}

#[test]
fn key_order_and_spacing_are_not_content() {
    let (mut practice, phone, thread) = with_thread();
    let op = practice.new_message(&thread, 2, "Hello");
    let mut fields: Vec<String> =
        op.as_object().unwrap().iter().map(|(name, value)| format!("\"{name}\" :  {value}")).collect();
    fields.reverse();
    practice.ops(&phone, &[op]);
    let body = format!("{{\"ops\":[{{{}}}],\"epoch\":\"{}\"}}", fields.join(", "), practice.world.epoch());
    let mut request =
        support::json_request("POST", "/v1/ops", &Value::Null, Some(&phone.access)).map(|_| Vec::new());
    *request.body_mut() = body.into_bytes();
    assert_eq!(practice.send(&request).json()["results"][0]["status"], "replayed");
}

#[test]
fn a_reused_key_or_place_refuses_the_whole_request() {
    let (mut practice, phone, thread) = with_thread();
    let op = practice.new_message(&thread, 2, "Hello");
    practice.ops(&phone, slice::from_ref(&op));
    let other_key = practice.id();
    let changed = |field: &str, value: Value| {
        let mut changed = op.clone();
        changed[field] = value;
        changed
    };
    let innocent = practice.new_message(&thread, 3, "Innocent");
    for reuse in [
        changed("key", json!(other_key)),
        changed("args", json!({ "thread": thread, "body": "Other" })),
        changed("n", json!("3")),
        changed("lane", json!("thread:other")),
        changed("deps", json!([{ "lane": "x", "n": "1" }])),
        changed("base", json!("1")),
        changed("extra", json!(1)),
    ] {
        let reply = practice.ops_raw(&phone, &[innocent.clone(), reuse]);
        reply.assert_problem(422, "key_reused");
        assert_eq!(practice.world.effects().len(), 2, "nothing of it is done");
    }
    // within one request as well
    let mut twin = practice.new_message(&thread, 4, "Twin");
    twin["key"] = innocent["key"].clone();
    practice.ops_raw(&phone, &[innocent.clone(), twin]).assert_problem(422, "key_reused");
    let mut same_place = innocent.clone();
    same_place["key"] = json!(other_key);
    practice.ops_raw(&phone, &[innocent.clone(), same_place]).assert_problem(422, "key_reused");
    let results = practice.ops(&phone, &[innocent.clone(), innocent]);
    assert_eq!(results[0]["status"], "applied");
    assert_eq!(results[1]["status"], "replayed");
}

#[test]
fn keys_and_counters_are_of_an_install() {
    let (mut practice, phone, thread) = with_thread();
    let op = practice.new_message(&thread, 2, "Hello");
    practice.ops(&phone, slice::from_ref(&op));
    let install = practice.id();
    let other = practice.sign_in("ana@example.org", install);
    let mut own = practice.new_message(&thread, 1, "From the tablet");
    own["key"] = op["key"].clone();
    assert_eq!(practice.ops(&other, &[own])[0]["status"], "applied");
}

#[test]
fn a_gap_blocks_and_consumes_nothing() {
    let (mut practice, phone, thread) = with_thread();
    let third = practice.new_message(&thread, 3, "three");
    let second = practice.new_message(&thread, 2, "two");
    let results = practice.ops(&phone, &[third.clone(), second, third]);
    let statuses: Vec<_> = results.iter().map(|result| result["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["blocked", "applied", "applied"]);
    assert_eq!(results[0]["problem"], Value::Null);
    let bodies: Vec<&str> = practice
        .world
        .thread(thread.parse().unwrap())
        .unwrap()
        .messages
        .iter()
        .map(|m| &m.body[..])
        .collect();
    assert_eq!(bodies, ["Hello", "two", "three"]);
}

#[test]
fn a_lane_waits_for_its_deps_and_others_do_not() {
    let (mut practice, phone, thread) = with_thread();
    let mut waits = practice.read(&thread, 1, 1);
    waits["deps"] = json!([{ "lane": format!("thread:{thread}"), "n": "2" }]);
    let message = practice.new_message(&thread, 2, "two");
    let results = practice.ops(&phone, &[waits.clone(), message, waits]);
    let statuses: Vec<_> = results.iter().map(|result| result["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["blocked", "applied", "applied"]);
}

#[test]
fn retry_consumes_nothing_and_the_lane_waits_behind_it() {
    let (mut practice, phone, thread) = with_thread();
    practice.world.set_faults(Faults { op_retry: 1.0, ..Faults::default() });
    let (second, third) =
        (practice.new_message(&thread, 2, "two"), practice.new_message(&thread, 3, "three"));
    let results = practice.ops(&phone, &[second.clone(), third.clone()]);
    assert_eq!(results[0]["status"], "retry");
    assert_eq!(results[0]["problem"]["retryable"], true);
    assert!(results[0]["problem"]["retry_after_s"].is_u64());
    assert_eq!(results[1]["status"], "blocked");
    practice.world.set_faults(Faults::default());
    let results = practice.ops(&phone, &[second, third]);
    assert!(results.iter().all(|result| result["status"] == "applied"));
}

#[test]
fn a_rejection_consumes_its_n() {
    let (mut practice, phone, thread) = with_thread();
    let ops = [practice.new_message(&thread, 2, ""), practice.new_message(&thread, 3, "three")];
    let results = practice.ops(&phone, &ops);
    assert_rejected(&results[0], "body_empty", "body");
    assert_eq!(results[1]["status"], "applied");
}

#[test]
fn a_base_that_is_not_the_rows_version_is_a_conflict() {
    let (mut practice, phone, thread) = with_thread();
    let staff = practice.clinician;
    practice.world.reply(staff, thread.parse().unwrap(), "Hi", practice.now).unwrap();
    let mut first = practice.read(&thread, 1, 1);
    first["base"] = json!("1");
    let mut plain = practice.read(&thread, 2, 1);
    plain["base"] = Value::Null;
    let mut right = practice.read(&thread, 3, 2);
    right["base"] = json!("1");
    let mut stale = practice.read(&thread, 4, 2);
    stale["base"] = json!("1");
    let results = practice.ops(&phone, &[first, plain, right, stale.clone()]);
    let statuses: Vec<_> = results.iter().map(|result| result["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["conflict", "applied", "applied", "conflict"]);
    assert_eq!(results[0]["current"], Value::Null);
    let current = &results[3]["current"];
    assert_eq!(current["ver"], "2");
    assert_eq!(current["entity"], "read_mark");
    assert_eq!(current["data"], json!({ "id": thread, "thread": thread, "upto": "2" }));
    let again = practice.ops(&phone, &[stale]);
    assert_eq!((&again[0]["status"], &again[0]["was"]), (&json!("replayed"), &json!("conflict")));
    assert_eq!(again[0]["current"], *current);
}

#[test]
fn ids_make_creating_idempotent_after_a_new_epoch() {
    let (mut practice, phone, thread) = with_thread();
    let before = practice.now;
    practice.advance(TimeDelta::minutes(1));
    let message = practice.new_message(&thread, 2, "Hello");
    let other = practice.new_thread(json!({ "route": "biller" }));
    let first = practice.ops(&phone, &[message.clone(), other.clone()]);
    let epoch = practice.world.epoch();
    practice.world.bump_epoch(Some(before + TimeDelta::seconds(1)));
    let old = json!({ "epoch": epoch, "ops": [message.clone()] });
    practice.json("POST", "/v1/ops", &old, Some(&phone.access)).assert_problem(410, "epoch_changed");
    // the counters went back: the thread's first op is still known
    let acked = practice.pull(&phone, None, 500).pages[0]["acked"].clone();
    assert_eq!(acked, json!({ format!("thread:{thread}"): "1" }));
    practice.world.close_thread(thread.parse().unwrap()).unwrap();
    let again = practice.ops(&phone, &[message.clone(), other.clone()]);
    assert_eq!(again, first, "applied with the seq of then");
    assert_eq!(practice.world.effects().len(), 3);
    assert_eq!(practice.world.threads_of(practice.ana).count(), 2);
    // renumbered behind counters that did not go back
    practice.world.bump_epoch(None);
    let mut renumbered = message.clone();
    renumbered["n"] = json!("3");
    let result = practice.ops(&phone, &[renumbered])[0].clone();
    assert_eq!((&result["status"], &result["seq"]), (&json!("applied"), &first[0]["seq"]));
    // and with other content
    practice.world.bump_epoch(None);
    let mut changed = message;
    changed["n"] = json!("4");
    changed["args"]["body"] = json!("Other");
    practice.ops_raw(&phone, &[changed.clone()]).assert_problem(422, "key_reused");
    changed["key"] = json!(practice.id());
    assert_rejected(&practice.ops(&phone, &[changed])[0], "id_taken", "id");
    let mut changed = other;
    changed["n"] = json!("2");
    changed["key"] = json!(practice.id());
    changed["args"]["subject"] = json!("Other");
    assert_rejected(&practice.ops(&phone, &[changed])[0], "id_taken", "id");
    assert_eq!(practice.world.effects().len(), 3);
}

#[test]
fn a_restored_backup_takes_everything_again() {
    let (mut practice, phone, thread) = with_thread();
    let backup = practice.world.clone();
    let message = practice.new_message(&thread, 2, "Hello");
    practice.ops(&phone, slice::from_ref(&message));
    practice.world = backup;
    practice.world.bump_epoch(None);
    let result = practice.ops(&phone, &[message])[0].clone();
    assert_eq!(result["status"], "applied");
    assert_eq!(practice.world.effects().len(), 2);
}

#[test]
fn an_op_that_does_not_fit_its_type_is_malformed() {
    let (mut practice, phone, thread) = with_thread();
    let mut n = 1;
    let mut rejected = |change: &dyn Fn(&mut Value), code: &str, field: &str| {
        n += 1;
        let mut op = practice.new_message(&thread, n, "Hello");
        change(&mut op);
        assert_rejected(&practice.ops(&phone, &[op])[0], code, field);
    };
    rejected(&|op| op["type"] = json!("message.create@2"), "op_unknown", "type");
    rejected(&|op| op["type"] = json!(""), "op_unknown", "type");
    rejected(&|op| op["entity"] = json!("thread"), "malformed", "entity");
    rejected(&|op| op["id"] = json!("936da01f-9abd-4d9d-80c7-02af85c822a8"), "malformed", "id");
    rejected(&|op| op["args"]["thread"] = json!("THREAD"), "malformed", "thread");
    rejected(&|op| op["args"]["body"] = json!(["Hello"]), "malformed", "body");
    rejected(&|op| op["args"] = json!({}), "malformed", "thread");
    let mut elsewhere = practice.new_message(&thread, 1, "Hello");
    elsewhere["lane"] = json!("prefs");
    assert_rejected(&practice.ops(&phone, &[elsewhere])[0], "malformed", "lane");
}

#[test]
fn an_envelope_that_cannot_be_answered_refuses_the_request() {
    let (mut practice, phone, thread) = with_thread();
    let op = practice.new_message(&thread, 2, "Hello");
    for (field, value) in [
        ("lane", json!("")),
        ("lane", json!("a b")),
        ("lane", json!("x".repeat(101))),
        ("lane", json!(7)),
        ("n", json!(2)),
        ("n", json!("0")),
        ("n", json!("02")),
        ("n", json!("-2")),
        ("n", json!("9223372036854775808")),
        ("key", json!("KEY")),
        ("id", json!("936DA01F-9ABD-7D9D-80C7-02AF85C822A8")),
        ("id", json!("936da01f9abd7d9d80c702af85c822a8")),
        ("base", json!(1)),
        ("deps", json!({})),
        ("deps", json!([{ "lane": "x" }])),
        ("args", json!([])),
        ("type", json!(null)),
        ("entity", json!(1)),
    ] {
        let mut changed = op.clone();
        changed[field] = value.clone();
        let reply = practice.ops_raw(&phone, &[changed]);
        reply.assert_problem(400, "malformed");
        assert_eq!(reply.json()["field"], field, "{value}");
    }
    let many = vec![op.clone(); 101];
    practice.ops_raw(&phone, &many).assert_problem(400, "malformed");
    let bodies = [json!([]), json!({ "ops": [] }), json!({ "epoch": practice.world.epoch() }), json!("x")];
    for body in bodies {
        practice.json("POST", "/v1/ops", &body, Some(&phone.access)).assert_problem(400, "malformed");
    }
    assert_eq!(practice.ops(&phone, &many[..100]).len(), 100);
    assert_eq!(practice.world.effects().len(), 2);
    assert!(practice.ops(&phone, &[]).is_empty());
}
