//! The program as a person or a script meets it: arguments in, answer and exit code out, against a
//! practice on a real socket.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use portal_server_mock::serve::{self, Options, Running};
use portal_server_mock::{Setup, demo};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::PoisonError;
use tempfile::TempDir;

const PASSWORD: &str = "four angry geese at dusk";

/// A practice, and a folder for one person's records.
struct Scene {
    practice: Running,
    folder: TempDir,
}

impl Scene {
    fn new() -> Self {
        let options = Options::default();
        let now = (options.clock)();
        let practice = serve::start(options, |issuer| {
            let setup = Setup {
                seed: 11,
                issuer: issuer.to_owned(),
                password_iterations: 1,
                staff_key: "key".to_owned(),
            };
            demo::build(setup, 200, now)
        });
        let scene = Self { practice: practice.unwrap(), folder: tempfile::tempdir().unwrap() };
        let file = json!({
            "url": scene.practice.base_url(),
            "roots_pem": scene.practice.ca_pem(),
            "pins": [scene.practice.leaf_spki_sha256(), scene.practice.backup_spki_sha256()],
        });
        std::fs::write(scene.folder.path().join("practice.json"), file.to_string()).unwrap();
        scene
    }

    fn link(&self) -> String {
        let world = self.practice.world().lock().unwrap_or_else(PoisonError::into_inner);
        let mail =
            world.mails().iter().rev().find(|mail| mail.to == demo::INVITED_EMAIL && mail.link.is_some());
        mail.and_then(|mail| mail.link.clone()).unwrap()
    }

    fn registered() -> Self {
        let scene = Self::new();
        let done = scene.register(demo::INVITED_BIRTH_DATE);
        assert_eq!(code(&done), 0, "{}", stderr(&done));
        scene
    }

    fn register(&self, birth_date: &str) -> Output {
        let (link, name) = (self.link(), demo::INVITED_FAMILY_NAME);
        let register = ["register", "--link", &link, "--last-name", name, "--birth-date", birth_date];
        self.run_with(&[&register[..], &["--password-stdin"]].concat(), &format!("{PASSWORD}\n"))
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.run_with(arguments, "")
    }

    fn run_with(&self, arguments: &[&str], input: &str) -> Output {
        portal(self.folder.path(), arguments, input)
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[&["--json"], arguments].concat());
        assert_eq!(code(&output), 0, "{arguments:?}: {}", stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

fn portal(data: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_portal"))
        .args(arguments)
        .env("PORTAL_DATA", data)
        .env_remove("PORTAL_PRACTICE")
        // What the library calls itself: these tests also run on a release build.
        .env("PORTAL_SOFT_VAULT", portal_core::store::SoftVault::NAME)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Who does not read closes the pipe: that is no fault of ours.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn without_a_practice_the_next_step_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let output = portal(folder.path(), &["home"], "");
    assert_eq!((code(&output), stdout(&output).as_str()), (1, ""));
    assert!(stderr(&output).contains("portal serve"), "{}", stderr(&output));
    let output = portal(folder.path(), &["threads", "--limit", "1000"], "");
    assert_eq!(code(&output), 2);
}

#[test]
fn a_practice_does_not_start_on_a_taken_port_or_for_other_machines() {
    let scene = Scene::new();
    let taken = scene.practice.address().to_string();
    for (addr, said) in [(taken.as_str(), "is taken"), ("0.0.0.0:0", "other machines")] {
        let output = scene.run(&["serve", "--messages", "100", "--addr", addr]);
        assert_eq!(code(&output), 1);
        assert!(stderr(&output).contains(said), "{}", stderr(&output));
    }
}

#[test]
fn a_wrong_registration_is_refused_with_words_or_json() {
    let scene = Scene::new();
    let output = scene.register("1990-02-27");
    assert_eq!((code(&output), stdout(&output).as_str()), (6, ""));
    assert!(stderr(&output).contains("[refused: registration_refused]"), "{}", stderr(&output));
    let output = scene.run(&["--json", "threads"]);
    assert_eq!((code(&output), stdout(&output).as_str()), (4, ""));
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(error["error"]["reason"], "not_signed_in");
    assert!(error["error"]["next"].as_str().unwrap().contains("portal sign-in"));
}

#[test]
fn a_conversation_is_read_and_answered() {
    let scene = Scene::registered();
    let report = scene.json(&["sync"]);
    assert_eq!((&report["complete"], &report["waiting"]), (&json!(true), &json!(0)));
    let unread = scene.json(&["threads", "--unread"]);
    let badge = unread["unread"].as_u64().unwrap();
    let thread =
        unread["threads"].as_array().unwrap().iter().find(|thread| thread["closed"] == false).unwrap();
    let (id, new) = (thread["id"].as_str().unwrap(), thread["unread"].as_u64().unwrap());
    assert!(new > 0);

    let end: String = id.chars().skip(id.len() - 8).collect();
    scene.json(&["thread", &end, "--keep-unread"]);
    assert_eq!(scene.json(&["home"])["badge"], badge);
    scene.json(&["thread", &end]);
    assert_eq!(scene.json(&["home"])["badge"], badge - new);

    let sent = scene.run_with(&["--json", "send", &end], "Yes, on Thursday.\nשלום 🌿\n");
    let message: Value = serde_json::from_slice(&sent.stdout).unwrap();
    assert_eq!(message["state"]["state"], "sent", "{}", stderr(&sent));
    assert_eq!(message["text"], "Yes, on Thursday.\nשלום 🌿");
    assert_eq!(scene.json(&["search", "שלום"])[0]["thread"], id);
    let printed = scene.run(&["thread", id, "--print"]);
    assert!(stdout(&printed).contains("Yes, on Thursday."));

    let started = scene.json(&["send", "--to", "scheduler", "--subject", "Next week", "An hour later?"]);
    assert_eq!(started["n"], 1);
    for (arguments, exit) in [
        (&["thread", "zzzz"][..], 8),
        (&["thread", "018f4c2e-7b1a-7c3d-9e4f-0123456789ab"], 8),
        (&["send", "--to", "nobody of that name", "--subject", "s", "t"], 8),
        (&["send", "--to", "Brandt", "--subject", "s", "t"], 6),
        (&["send", id, " "], 6),
    ] {
        assert_eq!(code(&scene.run(arguments)), exit, "{arguments:?}");
    }
}

#[test]
fn what_is_written_without_the_practice_waits_and_can_be_changed() {
    let scene = Scene::registered();
    scene.json(&["sync"]);
    let open = scene.json(&["threads"]);
    let open = open["threads"].as_array().unwrap().iter().find(|thread| thread["closed"] == false).unwrap();
    let id = open["id"].as_str().unwrap();
    scene.practice.pause().unwrap();
    assert_eq!(code(&scene.run(&["sync"])), 3);
    let first = scene.run(&["send", id, "first"]);
    assert_eq!(code(&first), 0);
    assert!(stderr(&first).starts_with("Saved, but not sent yet."), "{}", stderr(&first));
    scene.json(&["send", id, "second"]);
    let waiting = scene.json(&["outbox"]);
    let texts: Vec<_> =
        waiting.as_array().unwrap().iter().map(|entry| entry["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["first", "second"]);
    let sign_out = scene.run(&["sign-out"]);
    assert_eq!(code(&sign_out), 6);
    assert!(stderr(&sign_out).contains("unsent_work"));

    assert_eq!(code(&scene.run(&["lock"])), 0);
    assert_eq!(code(&scene.run(&["outbox"])), 5);
    assert_eq!(code(&scene.run(&["crisis"])), 0);
    assert_eq!(code(&scene.run(&["unlock"])), 0);
    assert_eq!(scene.json(&["outbox"]), waiting);

    scene.practice.resume().unwrap();
    scene.json(&["sync"]);
    assert_eq!(scene.json(&["outbox"]), json!([]));
    assert_eq!(code(&scene.run(&["sign-out"])), 0);
    assert_eq!(code(&scene.run(&["home"])), 4);
}

#[test]
fn a_wipe_asks_first_and_needs_no_practice() {
    let scene = Scene::registered();
    scene.json(&["sync"]);
    scene.practice.pause().unwrap();
    assert_eq!(code(&scene.run_with(&["wipe"], "yes\n")), 1, "only a person can be asked");
    assert_eq!(code(&scene.run(&["wipe", "--yes"])), 0);
    assert_eq!(code(&scene.run(&["home"])), 4);
}

#[test]
fn the_demo_ends_well_without_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let output = portal(folder.path(), &["demo", "--messages", "400"], "");
    let story = stdout(&output);
    assert_eq!(code(&output), 0, "{story}\n{}", stderr(&output));
    assert_eq!(stderr(&output), "", "no bar without a terminal");
    assert!(story.chars().all(|c| c == '\n' || !c.is_control()));
    let last = story.lines().last().unwrap();
    assert!(
        last.starts_with("A client's day in ") && last.ends_with("each arrived once, none lost."),
        "{last}"
    );
    let output = portal(folder.path(), &["--json", "demo", "--messages", "400"], "");
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&summary["messages_synced"], &summary["lost"]), (&json!(400), &json!(0)));
    assert_eq!(summary["messages_written"], summary["arrived_once"]);
}
