//! A phone that was last opened with an older version opens with this one: everything is found, and
//! what waited is sent (I36).
//!
//! `tests/data/<version>` is the directory of such a phone, frozen on the day of the release, with
//! what it showed and what its practice would say next (`facts.json`). It is never written again; a
//! new release adds a directory:
//!
//! `PORTAL_FREEZE=v2 cargo test -p portal-tests --test upgrade -- --ignored`
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_macros, reason = "a seed or a version is printed for whoever looks at a failure")]

use async_trait::async_trait;
use portal_core::Portal;
use portal_core::messages::{Draft, MessageState, NewThread, Recipient, ThreadFilter};
use portal_core::outbox::OutboxState;
use portal_core::ports::{
    Exchange, Files, KeyPolicy, KeyVault, Ports, Transport, TransportError, VaultError,
};
use portal_core::runtime::Mode;
use portal_tests::phone::{Scratch, config, now, registration};
use portal_tests::practice::{Mishap, Practice, SeededEntropy, VirtualClock, locked};
use portal_tests::story::{answer, json};
use rusqlite::Connection;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// A key store that is the same on every machine and in every run.
struct FixedVault;

impl KeyVault for FixedVault {
    fn create(&self, _: String, _: KeyPolicy) -> Result<(), VaultError> {
        Ok(())
    }

    fn wrap(&self, alias: String, plaintext: Vec<u8>) -> Result<Vec<u8>, VaultError> {
        let pad = ring::digest::digest(&ring::digest::SHA256, alias.as_bytes());
        Ok(plaintext.iter().zip(pad.as_ref().iter().cycle()).map(|(byte, pad)| byte ^ pad).collect())
    }

    fn unwrap(&self, alias: String, wrapped: Vec<u8>) -> Result<Vec<u8>, VaultError> {
        self.wrap(alias, wrapped)
    }

    fn delete(&self, _: String) -> Result<(), VaultError> {
        Ok(())
    }
}

fn open(directory: &Path, transport: Arc<dyn Transport>, seed: u64) -> Arc<Portal> {
    let ports = Ports {
        transport,
        clock: Arc::new(VirtualClock::default()),
        entropy: Arc::new(SeededEntropy::new(seed)),
        vault: Arc::new(FixedVault),
        files: Files::directory(directory),
    };
    Portal::open_with(&config(directory), ports, Mode::Inline).unwrap()
}

fn data(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(version)
}

/// What must be found again.
fn facts(portal: &Portal) -> Value {
    let mut messages = Vec::new();
    for thread in now(portal.messages().threads(ThreadFilter::All, 0, 100)).unwrap().threads {
        let page = now(portal.messages().thread(thread.id, None, 100)).unwrap();
        messages.extend(page.messages.iter().map(|m| json!([m.id, m.n, m.text])));
    }
    let outbox: Vec<Value> = now(portal.outbox().entries())
        .unwrap()
        .iter()
        .map(|entry| json!([entry.id, entry.subject, entry.text, entry.state, entry.attempts]))
        .collect();
    let drafts = now(portal.messages().drafts()).unwrap();
    let drafts: Vec<Value> =
        drafts.iter().map(|view| json!([view.draft.key, view.draft.recipient, view.draft.text])).collect();
    let home = now(portal.home().view()).unwrap();
    json!({"messages": messages, "outbox": outbox, "drafts": drafts, "me": home.me.name, "badge": home.badge})
}

#[test]
#[ignore = "freezes the present version; see the top of this file"]
fn freeze() {
    let Ok(version) = std::env::var("PORTAL_FREEZE") else { return };
    let to = data(&version);
    assert!(!to.exists(), "a frozen version is never written again");
    let (practice, scratch) = (Practice::demo(40), Scratch::new());
    let portal = open(scratch.path(), practice.clone(), 1);
    now(portal.account().register(registration(&practice))).unwrap();
    now(portal.sync(None)).unwrap();
    let threads = now(portal.messages().threads(ThreadFilter::All, 0, 100)).unwrap().threads;
    let thread = threads.iter().find(|thread| !thread.closed).unwrap().id.clone();
    let send = |text: &str| now(portal.messages().send(thread.clone(), text.into())).unwrap();
    practice.act(|world, _| {
        let policy =
            portal_server_mock::world::Policy { message_max_chars: 30, ..world.practice().policy.clone() };
        world.set_policy(policy);
    });
    send("This was refused, for it is too long.");
    now(portal.sync(None)).unwrap();
    send("Sent, unanswered 🌻");
    practice.next("POST /v1/ops", Mishap::LoseRequest);
    now(portal.sync(None)).unwrap_err();
    send("Only waiting");
    let recipient = Recipient::Route { route: "scheduler".into() };
    let text = "A new one, waiting".to_owned();
    let new = NewThread { recipient: recipient.clone(), subject: "Größe".into(), text, draft: None };
    now(portal.messages().start(new)).unwrap();
    now(portal.messages().mark_read(thread.clone(), u64::MAX)).unwrap();
    for (thread, recipient) in [(Some(thread.clone()), None), (None, Some(recipient))] {
        let draft =
            Draft { key: None, thread, recipient, subject: String::new(), text: "Half a thought".into() };
        now(portal.messages().save_draft(draft)).unwrap();
    }
    let mut facts = facts(&portal);
    // Where the phone stands, and who it is: what its practice has to know.
    let feed = practice.seen().into_iter().rev().find(|seen| seen.what == "GET /v1/sync").unwrap().query;
    let ops = practice.seen().into_iter().rev().find(|seen| seen.what == "POST /v1/ops").unwrap().body;
    facts["epoch"] = serde_json::from_str::<Value>(&ops).unwrap()["epoch"].clone();
    facts["last_pull"] = feed.into();
    facts["client"] = now(portal.home().view()).unwrap().me.id.into();
    now(portal.account().lock()).unwrap();
    drop(portal);
    copy(scratch.path(), &to);
    fs::write(to.join("facts.json"), serde_json::to_string_pretty(&facts).unwrap()).unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        match entry.file_type().unwrap().is_dir() {
            true => copy(&source, &target),
            false if entry.file_name() == "sync.lock" || entry.file_name() == "facts.json" => {}
            false => drop(fs::copy(&source, &target).unwrap()),
        }
    }
}

/// The practice of then: it accepts the tokens, takes every op, and shows what it took.
struct Then {
    epoch: Value,
    client: Value,
    ops: Mutex<Vec<Value>>,
    shown: Mutex<usize>,
}

#[async_trait]
impl Transport for Then {
    async fn send(&self, exchange: Exchange) -> Result<http::Response<Vec<u8>>, TransportError> {
        let request = exchange.request;
        let mut ops = locked(&self.ops);
        Ok(match request.uri().path() {
            "/v1/ops" => {
                let body: Value = serde_json::from_slice(request.body()).unwrap();
                assert_eq!(body["epoch"], self.epoch);
                let taken = body["ops"].as_array().unwrap();
                let result = |(place, op): (usize, &Value)| {
                    let seq = (1_000_000 + ops.len() + place).to_string();
                    json!({"lane":op["lane"],"n":op["n"],"key":op["key"],"status":"applied","ver":"1","seq":seq})
                };
                let results: Vec<Value> = taken.iter().enumerate().map(result).collect();
                ops.extend(taken.iter().cloned());
                json(200, &json!({"epoch": self.epoch, "results": results}))
            }
            "/v1/sync" => {
                let from: String =
                    url::form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes())
                        .find(|(name, _)| name == "cursor")
                        .map(|(_, value)| value.into_owned())
                        .expect("it knows where it stood");
                let mut shown = locked(&self.shown);
                if *shown == ops.len() {
                    return Ok(answer(304, "", Vec::new()));
                }
                let changes: Vec<Value> =
                    (*shown..ops.len()).flat_map(|place| self.rows(&ops[place], place)).collect();
                *shown = ops.len();
                let checkpoint = (1_000_000 + ops.len()).to_string();
                json(
                    200,
                    &json!({"epoch":self.epoch,"from":from,"next":format!("after {checkpoint}"),
                    "checkpoint":checkpoint,"has_more":false,"acked":{},"changes":changes}),
                )
            }
            _ => answer(404, "text/plain", Vec::new()),
        })
    }
}

impl Then {
    fn rows(&self, op: &Value, place: usize) -> Vec<Value> {
        let (seq, args) = ((1_000_000 + place).to_string(), &op["args"]);
        let row = |entity: &str, id: &Value, data: Value| json!({"seq":seq,"entity":entity,"id":id,"ver":"1","op":"put","data":data});
        let message = |id: &Value, thread: &Value, n: &str, body: &Value| {
            row(
                "message",
                id,
                json!({"id":id,"thread":thread,"n":n,"author":{"kind":"client","id":self.client},
                "body":body,"sent_at":"2026-04-15T15:10:00.000Z"}),
            )
        };
        match op["type"].as_str().unwrap() {
            "message.create@1" => {
                vec![message(&op["id"], &args["thread"], &(900 + place).to_string(), &args["body"])]
            }
            "thread.create@1" => vec![
                row(
                    "thread",
                    &op["id"],
                    json!({"id":op["id"],"subject":args["subject"],"route":"scheduler","participants":[],
                    "created_at":"2026-04-15T15:10:00.000Z","created_by":{"kind":"client","id":self.client},"closed":false}),
                ),
                message(&args["message"]["id"], &op["id"], "1", &args["message"]["body"]),
            ],
            "thread.read@1" => vec![row(
                "read_mark",
                &op["id"],
                json!({"id":op["id"],"thread":op["id"],"upto":args["upto"]}),
            )],
            other => panic!("{other}"),
        }
    }
}

fn versions() -> Vec<String> {
    let mut found: Vec<String> = fs::read_dir(data(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with('v'))
        .collect();
    found.sort();
    assert!(found.contains(&"v1".to_owned()));
    found
}

#[test]
fn i36_every_released_version_opens_with_everything_in_it_and_sends_what_waited() {
    for version in versions() {
        println!("{version}");
        let scratch = Scratch::new();
        copy(&data(&version), scratch.path());
        let mut expected: Value =
            serde_json::from_slice(&fs::read(data(&version).join("facts.json")).unwrap()).unwrap();
        let then = Arc::new(Then {
            epoch: expected["epoch"].take(),
            client: expected["client"].take(),
            ops: Mutex::default(),
            shown: Mutex::default(),
        });
        let portal = open(scratch.path(), then.clone(), 2);
        assert!(!portal.home().crisis_card().practice.is_empty(), "the card of before is there, locked");
        now(portal.account().unlock()).unwrap();
        let found = facts(&portal);
        for part in ["messages", "outbox", "drafts", "me", "badge"] {
            assert_eq!(found[part], expected[part], "{version}: {part}");
        }

        let report = now(portal.sync(None)).unwrap();
        assert_eq!(
            (report.complete, report.waiting, report.refused, report.quarantined),
            (true, 0, 1, 0),
            "{version}"
        );
        let sent: Vec<String> = locked(&then.ops)
            .iter()
            .filter_map(|op| op["args"]["body"].as_str().or(op["args"]["message"]["body"].as_str()))
            .map(str::to_owned)
            .collect();
        let sent: BTreeSet<&str> = sent.iter().map(String::as_str).collect();
        assert_eq!(sent, BTreeSet::from(["Sent, unanswered 🌻", "Only waiting", "A new one, waiting"]));
        let keys: Vec<Value> = locked(&then.ops).iter().map(|op| op["key"].clone()).collect();
        for entry in
            expected["outbox"].as_array().unwrap().iter().filter(|entry| entry[3]["state"] != "refused")
        {
            assert!(keys.contains(&entry[0]), "under its key: {entry}");
        }
        let left = now(portal.outbox().entries()).unwrap();
        assert_eq!(left.len(), 1);
        assert!(matches!(left[0].state, OutboxState::Refused { .. }));
        assert_eq!(left[0].text, "This was refused, for it is too long.");
        for text in ["Sent, unanswered 🌻", "Only waiting", "A new one, waiting"] {
            let hits = now(portal.messages().search(text.into(), 10)).unwrap();
            assert_eq!(hits.len(), 1, "{text}");
            assert_eq!(hits[0].message.state, MessageState::Sent);
        }
        assert_eq!(now(portal.messages().drafts()).unwrap().len(), 2);
    }
}

/// Every table, index and trigger of the one file in this directory, as SQLite has it.
fn schema(directory: &Path) -> (i64, Vec<(String, String, String)>) {
    let user = fs::read_dir(directory.join("users")).unwrap().next().unwrap().unwrap();
    let alias = user.file_name().into_string().unwrap();
    let wrapped = fs::read(user.path().join("master.key")).unwrap();
    let plain = FixedVault.unwrap(alias, wrapped).unwrap();
    let master = &plain[plain.len() - 32..];
    let mut key = [0u8; 32];
    let derived = ring::hkdf::Salt::new(ring::hkdf::HKDF_SHA256, &[]).extract(master);
    derived.expand(&[b"db/v1"], ring::hkdf::HKDF_SHA256).unwrap().fill(&mut key).unwrap();
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let file = Connection::open(user.path().join("portal.db")).unwrap();
    file.execute_batch(&format!(
        "PRAGMA key = \"x'{hex}'\"; PRAGMA cipher_page_size = 16384;
         PRAGMA cipher_hmac_algorithm = HMAC_SHA256;"
    ))
    .unwrap();
    let version = file.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    let mut statement =
        file.prepare("SELECT type, name, coalesce(sql, '') FROM sqlite_master ORDER BY type, name").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    (version, rows.map(Result::unwrap).collect())
}

#[test]
fn an_upgraded_file_has_the_schema_of_a_new_one() {
    let (practice, fresh) = (Practice::demo(10), Scratch::new());
    let portal = open(fresh.path(), practice.clone(), 3);
    now(portal.account().register(registration(&practice))).unwrap();
    now(portal.account().lock()).unwrap();
    let expected = schema(fresh.path());
    assert!(expected.1.len() > 15, "{expected:?}");
    for version in versions() {
        let scratch = Scratch::new();
        copy(&data(&version), scratch.path());
        let portal = open(scratch.path(), practice.clone(), 4);
        now(portal.account().unlock()).unwrap();
        now(portal.account().lock()).unwrap();
        assert_eq!(schema(scratch.path()), expected, "{version}");
    }
}

#[test]
fn a_frozen_version_is_small_and_its_records_are_sealed() {
    for version in versions() {
        let (mut size, mut sealed) = (0, 0);
        let mut directories = vec![data(&version)];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_dir() {
                    directories.push(entry.path());
                    continue;
                }
                let bytes = fs::read(entry.path()).unwrap();
                size += bytes.len();
                if entry.file_name() != "facts.json" {
                    sealed += 1;
                    assert!(
                        !bytes.windows(12).any(|window| window == b"Only waiting"),
                        "{:?}",
                        entry.file_name()
                    );
                }
            }
        }
        assert!(size < 600_000 && sealed == 3, "{version}: {size} bytes, {sealed} files");
    }
}
