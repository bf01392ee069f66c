//! A first sync end to end over real TLS on loopback, of 10,000 and of 1,000,000 messages: the time,
//! and the most memory that the phone ever had (`VmHWM`, above what it had before the sync). The
//! practice and the phone are processes of their own.
//!
//! `cargo bench -p portal-tests --bench initial` (`-- --short` for 10,000 and 100,000)
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_macros,
    clippy::print_stdout,
    clippy::indexing_slicing
)]

mod figure;
mod live;

use portal_core::messages::ThreadFilter;
use portal_tests::phone::Scratch;
use portal_tests::served;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

const MIB: f64 = 1024.0;

fn main() {
    match figure::role() {
        Some(role) if role[0] == "practice" => practice(role[1].parse().unwrap()),
        Some(role) => phone(&role[1..]),
        None => measure(),
    }
}

/// The practice, until it is killed.
fn practice(messages: usize) {
    let running = served::practice(11, messages).unwrap();
    println!("{}\nready", live::told(&running).join("\n"));
    loop {
        std::thread::park();
    }
}

/// In KiB, of this process.
fn memory(what: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The phone: seconds, and MiB before, above that at the most, and at the most.
fn phone(arguments: &[String]) {
    let [url, link, roots, expected] = arguments else { panic!("{arguments:?}") };
    let scratch = Scratch::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let portal = live::phone(scratch.path(), url, roots).await;
        let before = memory("VmRSS:");
        let start = Instant::now();
        live::register(&portal, link).await;
        assert!(portal.sync(None).await.unwrap().complete);
        let took = start.elapsed().as_secs_f64();
        let found = portal.messages().threads(ThreadFilter::All, 0, 100).await.unwrap();
        let mut newest = 0;
        for thread in found.threads {
            let view = portal.messages().thread(thread.id, None, 1).await.unwrap();
            newest += view.messages.last().and_then(|message| message.n).unwrap_or(0);
        }
        assert_eq!(newest.to_string(), *expected, "every message arrived");
        let most = memory("VmHWM:");
        println!("{took}\n{}\n{}\n{}", before / MIB, (most - before) / MIB, most / MIB);
    });
}

/// A practice with so many messages, and what one needs to know to register there.
struct Remote(Child, Vec<String>);

impl Remote {
    fn start(messages: usize) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--role", "practice", &messages.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (url, link) = (lines.next().unwrap().unwrap(), lines.next().unwrap().unwrap());
        let roots: Vec<String> = lines.map(Result::unwrap).take_while(|line| line != "ready").collect();
        Self(child, vec![url, link, roots.join("\n"), messages.to_string()])
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn one(messages: usize) -> Vec<f64> {
    let practice = Remote::start(messages);
    let mut role = vec!["phone"];
    role.extend(practice.1.iter().map(String::as_str));
    figure::child(&role)
}

fn measure() {
    let many = if std::env::args().any(|argument| argument == "--short") { 100_000 } else { 1_000_000 };
    let (mut small, mut large): (Vec<_>, Vec<_>) = (Vec::new(), Vec::new());
    for _ in 0..figure::PAIRS {
        small.push(one(10_000));
        large.push(one(many));
    }
    let column = |runs: &[Vec<f64>], at: usize| -> Vec<f64> { runs.iter().map(|run| run[at]).collect() };
    figure::print("initial/peak", "MiB", &column(&large, 3), &column(&small, 3));
    figure::print("initial/growth", "MiB", &column(&large, 2), &[48.0]);
    let per_message = |runs: &[Vec<f64>], messages: usize| -> Vec<f64> {
        column(runs, 0).iter().map(|seconds| seconds * 1e6 / messages as f64).collect()
    };
    figure::print("initial/time-per-message", "us", &per_message(&large, many), &per_message(&small, 10_000));
}
