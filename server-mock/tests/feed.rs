//! The feed: paging, checkpoints, tombstones, acknowledgements, and who sees what.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use chrono::TimeDelta;
use http::{Request, StatusCode};
use portal_server_mock::world::{Author, Banner, NewAppointment, PastMessage, PastThread};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
};
use support::{Phone, Practice, new_client};
use uuid::Uuid;

/// What a phone holds after applying changes to what it held.
#[derive(Clone, Default)]
struct Held(BTreeMap<(String, String), (u64, u64, Value)>);

impl Held {
    fn apply(&mut self, changes: &[Value]) {
        for change in changes {
            let text = |field: &str| change[field].as_str().unwrap().to_owned();
            let key = (text("entity"), text("id"));
            if change["op"] == "put" {
                assert!(change.get("why").is_none());
                let (seq, ver) = (text("seq").parse().unwrap(), text("ver").parse().unwrap());
                let before = self.0.insert(key, (seq, ver, change["data"].clone()));
                assert!(before.is_none_or(|(old_seq, old_ver, _)| old_seq < seq && old_ver < ver));
            } else {
                assert!(["withdrawn", "revoked", "expired"].contains(&change["why"].as_str().unwrap()));
                assert!(change.get("data").is_none());
                assert!(self.0.remove(&key).is_some(), "a tombstone for nothing");
            }
        }
    }

    fn of(&self, entity: &str) -> Vec<&Value> {
        let rows = self.0.iter().filter(|((kind, _), _)| kind == entity);
        rows.map(|(_, (_, _, data))| data).collect()
    }
}

fn live(practice: &Practice, phone: &Phone) -> Held {
    let rows = practice.world.feed_rows(phone.account).into_iter();
    Held(
        rows.map(|row| {
            let data = serde_json::from_str(&row.data).unwrap();
            ((row.entity.to_owned(), row.id.to_string()), (row.seq, row.ver, data))
        })
        .collect(),
    )
}

/// A registered phone with `count` messages of the clinician in one thread.
fn with_messages(count: u64) -> (Practice, Phone, Uuid) {
    let mut practice = Practice::new();
    let ana = practice.ana;
    let phone = practice.register(ana);
    let staff = practice.clinician;
    let thread = practice.world.write_to_client(staff, ana, "Sleep", "1", practice.now).unwrap();
    for n in 2..=count {
        practice.world.reply(staff, thread, &n.to_string(), practice.now).unwrap();
    }
    (practice, phone, thread)
}

#[test]
fn a_new_phone_gets_everything_that_is_hers() {
    let (mut practice, phone, thread) = with_messages(3);
    let pulled = practice.pull(&phone, None, 500);
    let mut held = Held::default();
    held.apply(&pulled.changes);
    assert_eq!(held.0, live(&practice, &phone).0);
    assert_eq!(held.of("practice")[0]["policy"]["message_max_chars"], 1000);
    assert_eq!(held.of("staff").len(), 3);
    let client = held.of("client")[0];
    assert_eq!(client["login_id"], "ana@example.org");
    assert_eq!(client["preferred_name"], Value::Null);
    let row = held.of("thread")[0];
    assert_eq!(row["id"], json!(thread));
    assert_eq!(row["route"], Value::Null);
    assert_eq!(row["participants"], json!([practice.clinician]));
    assert_eq!(row["created_by"], json!({ "kind": "staff", "id": practice.clinician }));
    assert_eq!(row["closed"], false);
    assert_eq!(row["created_at"], "2026-03-02T09:00:00.000Z");
    let numbers: BTreeSet<&str> =
        held.of("message").iter().map(|message| message["n"].as_str().unwrap()).collect();
    assert_eq!(numbers, BTreeSet::from(["1", "2", "3"]));
}

#[test]
fn pages_are_in_commit_order_and_add_up() {
    let (mut practice, phone, _) = with_messages(40);
    let whole = practice.pull(&phone, None, 1000);
    assert_eq!(whole.pages.len(), 1);
    for limit in [1, 2, 7, 40, 45, 46, 47] {
        let pulled = practice.pull(&phone, None, limit);
        assert_eq!(pulled.changes, whole.changes, "{limit}");
        assert_eq!(pulled.next, whole.next);
        assert_eq!(pulled.pages.len(), whole.changes.len().div_ceil(limit));
    }
    let seqs: Vec<u64> =
        whole.changes.iter().map(|change| change["seq"].as_str().unwrap().parse().unwrap()).collect();
    assert!(seqs.is_sorted_by(|a, b| a < b));
}

#[test]
fn a_pull_shows_its_checkpoint_whatever_is_committed_meanwhile() {
    let (mut practice, phone, thread) = with_messages(10);
    let before = live(&practice, &phone);
    let mut held = Held::default();
    let mut cursor: Option<String> = None;
    let mut checkpoints = BTreeSet::new();
    loop {
        let query = cursor.as_ref().map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let page = practice.sync_raw(&phone, &format!("?limit=3{query}")).json();
        held.apply(page["changes"].as_array().unwrap());
        checkpoints.insert(page["checkpoint"].as_str().unwrap().to_owned());
        cursor = Some(page["next"].as_str().unwrap().to_owned());
        // every row that is yet to come changes, one goes, one comes
        let world = &mut practice.world;
        let until = practice.now;
        world.set_banner(Some(Banner { text: "Snow".into(), until }));
        world.reply(practice.clinician, thread, "later", practice.now).unwrap();
        let last = world.thread(thread).unwrap().messages.iter().rfind(|m| m.n <= 10 && !m.withdrawn);
        let last = last.unwrap().id;
        world.withdraw_message(last, practice.now).unwrap();
        if page["has_more"] == false {
            break;
        }
    }
    assert_eq!(held.0, before.0);
    assert_eq!(checkpoints.len(), 1);
    let rest = practice.pull(&phone, cursor.as_deref(), 2);
    held.apply(&rest.changes);
    assert_eq!(held.0, live(&practice, &phone).0);
    assert!(rest.changes.iter().any(|change| change["op"] == "del"));
}

#[test]
fn a_page_can_be_asked_for_again() {
    let (mut practice, phone, thread) = with_messages(10);
    let first = practice.sync_raw(&phone, "?limit=4").json();
    let path = format!("?limit=4&cursor={}", first["next"].as_str().unwrap());
    let second = practice.sync_raw(&phone, &path).json();
    practice.world.reply(practice.clinician, thread, "later", practice.now).unwrap();
    assert_eq!(practice.sync_raw(&phone, &path).json(), second);
}

#[test]
fn nothing_newer_is_304() {
    let (mut practice, phone, thread) = with_messages(2);
    let pulled = practice.pull(&phone, None, 500);
    let query = format!("?cursor={}", pulled.next);
    let reply = practice.sync_raw(&phone, &query);
    assert_eq!(reply.status, StatusCode::NOT_MODIFIED);
    assert!(reply.body.is_empty());
    assert_eq!(reply.header("portal-time"), Some("2026-03-02T09:00:00.000Z"));
    practice.world.close_thread(thread).unwrap();
    let more = practice.pull(&phone, Some(&pulled.next), 500);
    assert_eq!(more.changes.len(), 1);
    assert_eq!(more.changes[0]["data"]["closed"], true);
    assert_eq!(more.changes[0]["ver"], "2");
    // closing twice is no change
    practice.world.close_thread(thread).unwrap();
    let query = format!("?cursor={}", more.next);
    assert_eq!(practice.sync_raw(&phone, &query).status, StatusCode::NOT_MODIFIED);
}

#[test]
fn shared_rows_reach_every_account() {
    let (mut practice, phone, _) = with_messages(1);
    let bob = practice.world.add_client(new_client("Bell", "bob@example.org"), practice.now).unwrap();
    let other = practice.register(bob);
    let cursors = [practice.pull(&phone, None, 500).next, practice.pull(&other, None, 500).next];
    practice.world.deactivate_staff(practice.clinician).unwrap();
    let until = "2026-03-09T00:00:00Z".parse().unwrap();
    practice.world.set_banner(Some(Banner { text: "Closed for snow".into(), until }));
    for (phone, cursor) in [&phone, &other].into_iter().zip(cursors) {
        let changes = practice.pull(phone, Some(&cursor), 500).changes;
        assert_eq!(changes.len(), 2);
        assert_eq!(changes[0]["data"]["active"], false);
        let banner = json!({ "text": "Closed for snow", "until": "2026-03-09T00:00:00.000Z" });
        assert_eq!(changes[1]["data"]["banner"], banner);
    }
}

#[test]
fn a_withdrawn_thread_leaves_tombstones_for_90_days() {
    for (age, gone) in [
        (TimeDelta::days(90) - TimeDelta::milliseconds(1), false),
        (TimeDelta::days(90), true),
        (TimeDelta::days(400), true),
    ] {
        let (mut practice, phone, thread) = with_messages(2);
        let op = practice.read(&thread.to_string(), 1, 2);
        practice.ops(&phone, &[op]);
        let pulled = practice.pull(&phone, None, 500);
        let mut held = Held::default();
        held.apply(&pulled.changes);
        practice.world.withdraw_thread(thread, practice.now).unwrap();
        practice.advance(age);
        practice.world.set_banner(None);
        let phone = practice.sign_in("ana@example.org", phone.install);
        let reply = practice.sync_raw(&phone, &format!("?cursor={}", pulled.next));
        if gone {
            reply.assert_problem(410, "cursor_expired");
        } else {
            let changes = reply.json()["changes"].as_array().unwrap().clone();
            assert_eq!(changes.iter().filter(|change| change["op"] == "del").count(), 4);
            assert!(changes.iter().all(|change| change["op"] == "put" || change["why"] == "withdrawn"));
            held.apply(&changes);
            assert_eq!(held.0, live(&practice, &phone).0);
        }
        // whoever starts anew needs no tombstone
        let fresh = practice.pull(&phone, None, 1);
        assert!(fresh.changes.iter().all(|change| change["op"] == "put"));
        let mut held = Held::default();
        held.apply(&fresh.changes);
        assert_eq!(held.0, live(&practice, &phone).0);
    }
}

#[test]
fn a_cursor_that_missed_nothing_never_expires() {
    let (mut practice, phone, _) = with_messages(2);
    let pulled = practice.pull(&phone, None, 500);
    practice.advance(TimeDelta::days(400));
    let phone = practice.sign_in("ana@example.org", phone.install);
    let query = format!("?cursor={}", pulled.next);
    assert_eq!(practice.sync_raw(&phone, &query).status, StatusCode::NOT_MODIFIED);
}

#[test]
fn a_new_epoch_and_an_expired_log_end_every_cursor() {
    let (mut practice, phone, _) = with_messages(6);
    for bump in [true, false] {
        let done = practice.pull(&phone, None, 500).next;
        let first = practice.sync_raw(&phone, "?limit=2").json();
        let epoch = practice.world.epoch();
        if bump {
            practice.world.bump_epoch(None);
            assert_ne!(epoch, practice.world.epoch());
            let under_way = format!("?cursor={}", first["next"].as_str().unwrap());
            practice.sync_raw(&phone, &under_way).assert_problem(410, "cursor_expired");
        } else {
            practice.world.expire_cursors();
        }
        practice.sync_raw(&phone, &format!("?cursor={done}")).assert_problem(410, "cursor_expired");
        let again = practice.pull(&phone, None, 500);
        assert_eq!(again.pages[0]["epoch"], json!(practice.world.epoch()));
        let mut held = Held::default();
        held.apply(&again.changes);
        assert_eq!(held.0, live(&practice, &phone).0);
    }
}

#[test]
fn a_cursor_is_read_strictly() {
    let (mut practice, phone, _) = with_messages(3);
    let done = practice.pull(&phone, None, 500).next;
    let under_way = practice.sync_raw(&phone, "?limit=2").json()["next"].as_str().unwrap().to_owned();
    let mut garbage: Vec<String> = ["", "0", "417", "%00", "AAAA", "cursor"].map(str::to_owned).into();
    for good in [&done, &under_way] {
        garbage.push(format!("{good}A"));
        garbage.push(format!("{good}="));
        garbage.push(good[..good.len() - 1].to_owned());
        garbage.push(format!("B{}", &good[1..]));
    }
    for cursor in garbage {
        let reply = practice.sync_raw(&phone, &format!("?cursor={cursor}"));
        reply.assert_problem(400, "cursor_malformed");
    }
    for limit in ["0", "1001", "-1", "ten", "", "1e3", "+5", "05"] {
        practice.sync_raw(&phone, &format!("?limit={limit}")).assert_problem(400, "malformed");
    }
    practice.sync_raw(&phone, "?limit=1&limit=2").assert_problem(400, "malformed");
}

#[test]
fn a_cursor_of_another_account_is_of_no_use() {
    let (mut practice, phone, _) = with_messages(3);
    let bob = practice.world.add_client(new_client("Bell", "bob@example.org"), practice.now).unwrap();
    let other = practice.register(bob);
    let cursor = practice.pull(&phone, None, 500).next;
    // his feed goes on beyond her position, so that only whose it is can tell
    for _ in 0..10 {
        practice.world.write_to_client(practice.clinician, bob, "Hi", "Hello", practice.now).unwrap();
    }
    practice.sync_raw(&other, &format!("?cursor={cursor}")).assert_problem(410, "cursor_expired");
}

#[test]
fn acknowledgements_are_of_the_checkpoint() {
    let (mut practice, phone, thread) = with_messages(5);
    let thread = thread.to_string();
    let lane = format!("thread:{thread}");
    let first = practice.new_message(&thread, 1, "one");
    practice.ops(&phone, &[first]);
    let page = practice.sync_raw(&phone, "?limit=3").json();
    assert_eq!(page["acked"], json!({ lane.as_str(): "1" }));
    // executed after the checkpoint: not acknowledged by this pull
    let (second, read) = (practice.new_message(&thread, 2, "two"), practice.read(&thread, 1, 3));
    practice.ops(&phone, &[second, read]);
    let mut cursor = page["next"].as_str().unwrap().to_owned();
    loop {
        let page = practice.sync_raw(&phone, &format!("?limit=3&cursor={cursor}")).json();
        assert_eq!(page["acked"], json!({ lane.as_str(): "1" }));
        cursor = page["next"].as_str().unwrap().to_owned();
        if page["has_more"] == false {
            break;
        }
    }
    let rest = practice.pull(&phone, Some(&cursor), 500);
    let both = json!({ lane.as_str(): "2", format!("read:{thread}"): "1" });
    assert_eq!(rest.pages[0]["acked"], both);
    assert_eq!(rest.changes.len(), 2);
    // another install of the same user has its own counters
    let install = practice.id();
    let other = practice.sign_in("ana@example.org", install);
    assert_eq!(practice.pull(&other, None, 500).pages[0]["acked"], json!({}));
}

#[test]
fn an_op_that_changes_nothing_is_acknowledged_too() {
    let (mut practice, phone, thread) = with_messages(1);
    practice.world.close_thread(thread).unwrap();
    let cursor = practice.pull(&phone, None, 500).next;
    let op = practice.new_message(&thread.to_string(), 1, "too late");
    let results = practice.ops(&phone, &[op]);
    assert_eq!(results[0]["problem"]["code"], "thread_closed");
    let pulled = practice.pull(&phone, Some(&cursor), 500);
    assert!(pulled.changes.is_empty());
    assert_eq!(pulled.pages[0]["acked"], json!({ format!("thread:{thread}"): "1" }));
}

#[test]
fn an_account_sees_its_own_rows_alone() {
    let (mut practice, ana, thread) = with_messages(3);
    let bob = practice.world.add_client(new_client("Bell", "bob@example.org"), practice.now).unwrap();
    let phone = practice.register(bob);
    let staff = practice.clinician;
    practice.world.write_to_client(staff, bob, "Hello Bob", "Welcome", practice.now).unwrap();
    let text = |pulled: &support::Pulled| serde_json::to_string(&pulled.pages).unwrap();
    let of_bob = text(&practice.pull(&phone, None, 500));
    let of_ana = text(&practice.pull(&ana, None, 500));
    assert!(of_bob.contains("Welcome") && !of_ana.contains("Welcome"));
    for hers in [thread.to_string(), practice.ana.to_string(), "ana@example.org".into(), "O'Neil".into()] {
        assert!(of_ana.contains(&hers) && !of_bob.contains(&hers), "{hers}");
    }
}

#[test]
fn a_kind_that_phones_do_not_know_is_in_the_feed() {
    let (mut practice, phone, _) = with_messages(1);
    let appointment = NewAppointment {
        clinician: practice.clinician,
        kind: "Individual therapy".into(),
        mode: "video".into(),
        start: "2026-03-09T15:00:00Z".parse().unwrap(),
        minutes: 50,
    };
    let id = practice.world.add_appointment(practice.ana, appointment, practice.now).unwrap();
    let pulled = practice.pull(&phone, None, 500);
    let change = pulled.changes.last().unwrap();
    assert_eq!(change["entity"], "appointment");
    assert_eq!(change["data"]["start"], "2026-03-09T15:00:00.000Z");
    practice.world.withdraw_appointment(id, practice.now).unwrap();
    let rest = practice.pull(&phone, Some(&pulled.next), 500);
    assert_eq!(rest.changes[0]["op"], "del");
}

#[test]
fn a_psychotherapy_note_is_in_no_answer() {
    let canary = "CANARY-the-client-dreams-of-ravens";
    let (mut practice, phone, thread) = with_messages(3);
    practice.world.add_psychotherapy_note(practice.ana, canary).unwrap();
    assert_eq!(practice.world.psychotherapy_notes(practice.ana), 1);
    let message = practice.new_message(&thread.to_string(), 1, "Hello");
    let mut unknown = practice.new_message(&thread.to_string(), 2, "Hello");
    unknown["type"] = json!("note.read@1");
    let mut answers = vec![
        practice.sync_raw(&phone, "?limit=1000").text(),
        practice.ops_raw(&phone, &[message, unknown]).text(),
        practice.get("/v1/practice", None).text(),
        practice.get("/mailbox.json", None).text(),
    ];
    let client = format!("/staff/clients/{}", practice.ana);
    for path in [
        "/staff/clients",
        "/staff/staff",
        "/staff/effects",
        &format!("{client}/threads"),
        &format!("{client}/logins"),
        &format!("/staff/threads/{thread}"),
    ] {
        answers.push(practice.get(path, Some(support::STAFF_KEY)).text());
    }
    assert!(answers.iter().all(|answer| answer.len() > 10 && !answer.contains("CANARY")));
}

#[test]
fn a_core_that_is_too_old_is_told_so() {
    let (mut practice, phone, _) = with_messages(1);
    let mut ask = |min: Option<&str>, version: Option<&str>| {
        practice.world.set_min_core_version(min).unwrap();
        let mut request =
            Request::get("/v1/sync").header("authorization", format!("Bearer {}", phone.access));
        if let Some(version) = version {
            request = request.header("portal-core-version", version);
        }
        practice.send(&request.body(Vec::new()).unwrap())
    };
    for (min, version) in [
        (None, Some("0.0.1")),
        (Some("1.2.3"), Some("1.2.3")),
        (Some("1.2.3"), Some("1.10.0")),
        (Some("1.2.3"), None),
    ] {
        assert_eq!(ask(min, version).status, StatusCode::OK, "{min:?} {version:?}");
    }
    for version in ["1.2.2", "0.9.9", "", "new"] {
        ask(Some("1.2.3"), Some(version)).assert_problem(426, "update_required");
    }
    let request = Request::get("/v1/practice").header("portal-core-version", "0.0.1");
    let reply = practice.send(&request.body(Vec::new()).unwrap());
    assert_eq!(reply.status, StatusCode::OK, "the crisis card is for everybody");
}

#[test]
fn ten_thousand_messages_go_in_and_out_quickly() {
    let mut practice = Practice::new();
    let ana = practice.ana;
    let (staff, start) = (practice.clinician, practice.now - TimeDelta::days(700));
    for thread in 0..100 {
        let messages = (0..100).map(|n| PastMessage {
            author: if n % 2 == 0 { Author::staff(staff) } else { Author::client(ana) },
            body: format!("Message {n} of thread {thread}: {}", "words ".repeat(30)),
            sent_at: start + TimeDelta::minutes(thread * 1000 + n),
        });
        let past = PastThread {
            subject: format!("Thread {thread}"),
            route: None,
            participants: vec![staff],
            messages: messages.collect(),
            read_upto: 90,
            closed: false,
        };
        practice.world.import_thread(ana, past).unwrap();
    }
    assert!(practice.world.mails().is_empty(), "the past is not mailed");
    assert_eq!(practice.world.effects().len(), 10_000);
    let phone = practice.register(ana);
    let pulled = practice.pull(&phone, None, 500);
    assert_eq!(pulled.changes.iter().filter(|change| change["entity"] == "message").count(), 10_000);
    assert_eq!(pulled.changes.iter().filter(|change| change["entity"] == "read_mark").count(), 100);
}

#[test]
fn bodies_are_coded_as_asked_and_not_otherwise() {
    let (mut practice, phone, _) = with_messages(40);
    let mut ask = |accept: Option<&str>| {
        let mut request =
            Request::get("/v1/sync").header("authorization", format!("Bearer {}", phone.access));
        if let Some(accept) = accept {
            request = request.header("accept-encoding", accept);
        }
        practice.send(&request.body(Vec::new()).unwrap())
    };
    let plain = ask(None);
    assert_eq!(plain.header("content-encoding"), None);
    for (accept, coding) in [
        ("gzip", Some("gzip")),
        ("zstd", Some("zstd")),
        ("gzip, zstd", Some("zstd")),
        ("zstd;q=0.5, gzip;q=1.0", Some("gzip")),
        ("ZSTD;q=0, gzip", Some("gzip")),
        ("gzip;q=0", None),
        ("identity", None),
        ("br", None),
        ("gzip;q=nonsense", None),
        ("", None),
    ] {
        let reply = ask(Some(accept));
        assert_eq!(reply.header("content-encoding"), coding, "{accept}");
        let body = match coding {
            Some("gzip") => {
                let mut body = Vec::new();
                flate2::read::GzDecoder::new(&reply.body[..]).read_to_end(&mut body).unwrap();
                body
            }
            Some(_) => zstd::decode_all(&reply.body[..]).unwrap(),
            None => reply.body.clone(),
        };
        assert_eq!(body, plain.body);
        assert!(coding.is_none() || reply.body.len() < plain.body.len() / 2);
    }
}
