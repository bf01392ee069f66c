//! Idle: system calls of an app that has synced over a real socket and has nothing pending, over 60
//! seconds (5 with `--short`), counted by `strace`, against a process whose one thread sleeps. It is
//! counted from 35 seconds after the last answer: until then the connection is kept for another one.
//!
//! `cargo bench -p portal-tests --bench idle`
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_macros,
    clippy::print_stdout,
    clippy::indexing_slicing
)]

mod figure;
mod live;

use portal_tests::phone::Scratch;
use portal_tests::served;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

/// An idle connection is closed after at most twice a quarter of a minute.
const REST: Duration = Duration::from_secs(35);

fn main() {
    if let Some(role) = figure::role() {
        return wait(&role);
    }
    let seconds = if std::env::args().any(|argument| argument == "--short") { 5 } else { 60 };
    let practice = served::practice(11, 1_000).unwrap();
    let [url, link, roots] = live::told(&practice);
    let ours = calls(&["ours", &url, &link, &roots], seconds);
    let floor = calls(&["floor"], seconds);
    figure::print(&format!("idle/{seconds}s"), "calls", &[ours], &[floor]);
}

/// The child: brings itself to rest, says so, and waits to be killed.
fn wait(role: &[String]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let scratch = Scratch::new();
    let _portal = (role[0] == "ours").then(|| {
        runtime.block_on(async {
            let phone = live::phone(scratch.path(), &role[1], &role[3]).await;
            live::register(&phone, &role[2]).await;
            assert!(phone.sync(None).await.unwrap().complete);
            assert!(phone.home().view().await.unwrap().practice.is_some());
            phone
        })
    });
    println!("at rest");
    loop {
        std::thread::park();
    }
}

/// What a process of this role asks of the system, over so many seconds.
fn calls(role: &[&str], seconds: u64) -> f64 {
    let log = Scratch::new();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg("--role")
        .args(role)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "at rest\n");
    std::thread::sleep(REST);
    let file = log.path().join("calls");
    let mut strace = Command::new("strace")
        .args(["-f", "-qq", "-p", &child.id().to_string(), "-o", file.to_str().unwrap()])
        .spawn()
        .expect("strace is needed (Debian: apt-get install strace)");
    std::thread::sleep(Duration::from_secs(seconds + 1));
    assert!(strace.try_wait().unwrap().is_none(), "strace may not look into the process");
    let calls = std::fs::read_to_string(&file).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    strace.wait().unwrap();
    // A call in which a thread already waited when strace came, and waits still, has no result.
    let began = calls.lines().filter(|line| line.contains(" = ") && !line.contains("resuming interrupted"));
    for line in began.clone() {
        println!("# {}: {line}", role[0]);
    }
    began.count() as f64
}
