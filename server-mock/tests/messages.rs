//! The rules of threads and messages: whom they reach, what is refused, what is mailed (M4, M5).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use portal_server_mock::world::{MailKind, Route};
use serde_json::{Value, json};
use std::slice;
use support::{Phone, Practice, new_client};
use uuid::Uuid;

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
fn an_id_of_another_client_is_unknown_or_taken() {
    let (mut practice, phone, thread) = with_thread();
    let bob = practice.world.add_client(new_client("Bell", "bob@example.org"), practice.now).unwrap();
    let other = practice.register(bob);
    let message = practice.new_message(&thread, 1, "Not mine");
    let read = practice.read(&thread, 1, 1);
    let results = practice.ops(&other, &[message, read]);
    assert_rejected(&results[0], "thread_unknown", "thread");
    assert_rejected(&results[1], "thread_unknown", "thread");
    let never = practice.id().to_string();
    let unknown = practice.new_message(&never, 1, "Nobody's");
    assert_rejected(&practice.ops(&other, &[unknown])[0], "thread_unknown", "thread");
    let mut stolen = practice.new_thread(json!({ "staff": practice.clinician }));
    stolen["id"] = json!(thread);
    stolen["lane"] = json!(format!("thread:{thread}"));
    stolen["n"] = json!("2");
    assert_rejected(&practice.ops(&other, &[stolen])[0], "id_taken", "id");
    assert_eq!(practice.world.effects().len(), 1);
    assert_eq!(practice.sync_raw(&phone, "").status, 200);
}

#[test]
fn a_message_to_a_desk_reaches_whoever_is_designated_and_never_nobody() {
    let (mut practice, phone) = registered();
    let (scheduler, biller, clinician) = (practice.scheduler, practice.biller, practice.clinician);
    practice.world.change_routes(Route::Scheduler, vec![scheduler, clinician]).unwrap();
    let op = practice.new_thread(json!({ "route": "scheduler" }));
    assert_eq!(practice.ops(&phone, slice::from_ref(&op))[0]["status"], "applied");
    let thread: Uuid = op["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(practice.world.thread(thread).unwrap().participants, [scheduler, clinician]);
    // whoever takes the desk over reads on
    practice.world.change_routes(Route::Scheduler, vec![biller]).unwrap();
    let message = practice.new_message(&thread.to_string(), 2, "Any news?");
    practice.ops(&phone, &[message]);
    assert_eq!(practice.world.thread(thread).unwrap().participants, [scheduler, clinician, biller]);
    // empty, and empty because nobody designated works here any more
    practice.world.change_routes(Route::Scheduler, vec![]).unwrap();
    let op = practice.new_thread(json!({ "route": "scheduler" }));
    assert_rejected(&practice.ops(&phone, &[op])[0], "route_empty", "to");
    practice.world.deactivate_staff(biller).unwrap();
    let op = practice.new_thread(json!({ "route": "biller" }));
    assert_rejected(&practice.ops(&phone, &[op])[0], "route_empty", "to");
    let op = practice.new_thread(json!({ "route": "nurse" }));
    assert_rejected(&practice.ops(&phone, &[op])[0], "recipient_unknown", "to");
    assert_eq!(practice.world.effects().len(), 2);
}

#[test]
fn a_new_thread_is_rejected_with_its_reason() {
    let (mut practice, phone) = registered();
    let gone = practice.biller;
    practice.world.deactivate_staff(gone).unwrap();
    let clinician = json!({ "staff": practice.clinician });
    let message = |body: &str, id: Uuid| json!({ "id": id, "body": body });
    let table = [
        ("to", json!({ "staff": practice.id() }), "recipient_unknown", "to"),
        ("to", json!({ "staff": gone }), "recipient_inactive", "to"),
        ("to", json!({}), "malformed", "to"),
        ("to", json!({ "staff": practice.clinician, "route": "biller" }), "malformed", "to"),
        ("to", json!("biller"), "malformed", "to"),
        ("subject", json!(" \n"), "subject_empty", "subject"),
        ("subject", json!("é".repeat(201)), "subject_too_long", "subject"),
        ("subject", json!(7), "malformed", "subject"),
        ("message", message("", practice.id()), "body_empty", "body"),
        ("message", message(&"é".repeat(1001), practice.id()), "body_too_long", "body"),
        (
            "message",
            message("v4", "936da01f-9abd-4d9d-80c7-02af85c822a8".parse().unwrap()),
            "malformed",
            "message",
        ),
        ("message", json!(null), "malformed", "message"),
        ("cc", json!([]), "malformed", "args"),
    ];
    for (field, value, code, blamed) in table {
        let mut op = practice.new_thread(clinician.clone());
        op["args"][field] = value;
        assert_rejected(&practice.ops(&phone, &[op])[0], code, blamed);
    }
    let mut longest = practice.new_thread(clinician.clone());
    longest["args"]["subject"] = json!("é".repeat(200));
    longest["args"]["message"]["body"] = json!("é".repeat(1000));
    assert_eq!(practice.ops(&phone, &[longest])[0]["status"], "applied");
    let mut policy = practice.world.practice().policy.clone();
    policy.start_threads = false;
    practice.world.set_policy(policy);
    let op = practice.new_thread(clinician);
    assert_rejected(&practice.ops(&phone, &[op])[0], "threads_disabled", "to");
    assert_eq!(practice.world.effects().len(), 1);
}

#[test]
fn a_closed_thread_takes_no_more() {
    let (mut practice, phone, thread) = with_thread();
    practice.world.close_thread(thread.parse().unwrap()).unwrap();
    let op = practice.new_message(&thread, 2, "Hello?");
    assert_rejected(&practice.ops(&phone, &[op])[0], "thread_closed", "thread");
    practice.world.withdraw_thread(thread.parse().unwrap(), practice.now).unwrap();
    let op = practice.new_message(&thread, 3, "Hello?");
    assert_rejected(&practice.ops(&phone, &[op])[0], "thread_unknown", "thread");
}

#[test]
fn a_read_mark_only_rises() {
    let (mut practice, phone, thread) = with_thread();
    for body in ["two", "three", "four"] {
        practice.world.reply(practice.clinician, thread.parse().unwrap(), body, practice.now).unwrap();
    }
    let mut seqs = Vec::new();
    for (n, upto, expected) in [(1, 2, "2"), (2, 1, "2"), (3, 2, "2"), (4, 99, "4"), (5, 3, "4")] {
        let op = practice.read(&thread, n, upto);
        let result = practice.ops(&phone, &[op])[0].clone();
        assert_eq!(result["status"], "applied");
        seqs.push(result["seq"].as_str().unwrap().to_owned());
        let rows = practice.world.feed_rows(phone.account);
        let mark = rows.iter().find(|row| row.entity == "read_mark").unwrap();
        let data: Value = serde_json::from_str(&mark.data).unwrap();
        assert_eq!(data, json!({ "id": thread, "thread": thread, "upto": expected }));
        assert_eq!(seqs.last(), Some(&mark.seq.to_string()));
    }
    assert_eq!(seqs[0], seqs[1]);
    assert_eq!(seqs[1], seqs[2]);
    assert_eq!(seqs[3], seqs[4]);
    for upto in [json!("0"), json!(3), json!("all")] {
        let mut op = practice.read(&thread, 6, 1);
        op["args"]["upto"] = upto;
        let mut world = practice.clone_world();
        assert_rejected(&world.ops(&phone, &[op])[0], "malformed", "upto");
    }
}

#[test]
fn each_staff_message_is_mailed_and_the_mail_says_nothing() {
    let (mut practice, phone, thread) = with_thread();
    assert!(practice.mails(MailKind::NewMessage).is_empty(), "her own message is no news to her");
    let (staff, id) = (practice.clinician, thread.parse().unwrap());
    practice.world.reply(staff, id, "The secret answer", practice.now).unwrap();
    practice.world.write_to_client(staff, practice.ana, "A secret subject", "More", practice.now).unwrap();
    let mails = practice.mails(MailKind::NewMessage);
    assert_eq!(mails.len(), 2);
    for mail in mails {
        assert_eq!(mail.to, "ana@example.org");
        assert!(mail.text.contains("Harbor Behavioral Health"));
        let all = format!("{} {}", mail.subject, mail.text);
        for said in ["secret", "More", "Sleep", "Berg", "Ana", "O'Neil"] {
            assert!(!all.contains(said), "{all}");
        }
    }
    practice.world.revoke_access(practice.ana, practice.now).unwrap();
    practice.world.reply(staff, id, "After the end", practice.now).unwrap();
    assert_eq!(practice.mails(MailKind::NewMessage).len(), 2);
    practice.ops_raw(&phone, &[]).assert_problem(403, "access_revoked");
}
