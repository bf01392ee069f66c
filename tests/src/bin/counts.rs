//! Instruction counts of what a client waits for, held against `tests/counts.txt`.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::disallowed_macros, reason = "a program that reports")]

use clap::Parser;
use portal_core::Portal;
use portal_core::messages::ThreadFilter;
use portal_core::runtime::Mode;
use portal_tests::phone::{Scratch, now};
use portal_tests::practice::Practice;
use portal_tests::prepared;
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};
use std::sync::Arc;

/// Counts the instructions of a sync's apply, of pages of messages and of a cold start under
/// `valgrind --tool=callgrind`, and compares them with tests/counts.txt. Unlike a time, a count is the
/// same in every run: one that grew by more than 3 % is a change of the code, and fails. Whoever means
/// it changes the file in the same commit. The ciphers choose their code by the processor, so counts of
/// another kind of processor are printed and not compared.
#[derive(Parser)]
#[command(after_help = "Examples:
  counts            counts and compares
  counts --write    counts and writes tests/counts.txt")]
struct Args {
    /// Writes the file instead of comparing with it.
    #[arg(long)]
    write: bool,
    /// Plays one part in this directory, to be counted.
    #[arg(long, hide = true, num_args = 2, value_names = ["PART", "DIRECTORY"])]
    part: Option<Vec<String>>,
}

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What is counted; the directory of one is what the next finds.
const PARTS: [&str; 3] = ["apply", "page", "start"];
/// Messages of the feed.
const MESSAGES: usize = 5_000;
/// By how much a count may grow, in thousandths.
const MAY_GROW: u64 = 30;

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = match args.part.as_deref() {
        Some([part, _]) if part == "processor" => {
            println!("{}", processor());
            Ok(true)
        }
        Some([part, directory]) => play(part, Path::new(directory)).map(|()| true),
        _ => compare(args.write),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("{error}");
            ExitCode::from(2)
        }
    }
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("counts.txt")
}

fn compare(write: bool) -> Outcome<bool> {
    let scratch = Scratch::new();
    let kept = std::fs::read_to_string(file()).unwrap_or_default();
    let (here, mut good) = (valgrinds_processor()?, true);
    let mut lines = format!("processor {here}\n");
    let same = kept.lines().any(|line| line.strip_prefix("processor ").is_some_and(|kept| kept == here));
    for part in PARTS {
        let ours = count(part, scratch.path())?;
        writeln!(lines, "{part} {ours}")?;
        let line = kept.lines().find_map(|line| line.strip_prefix(part)?.trim().parse::<u64>().ok());
        let Some(kept) = line.filter(|kept| *kept > 0) else {
            println!("count {part} ours={ours} kept=none");
            good = false;
            continue;
        };
        if !same {
            println!("count {part} ours={ours} kept={kept} NOT COMPARED: this processor is {here}");
            continue;
        }
        let change = (ours as f64 / kept as f64 - 1.0) * 100.0;
        println!("count {part} ours={ours} kept={kept} change={change:+.2}%");
        if ours > kept + kept * MAY_GROW / 1_000 {
            println!("  it grew by more than 3 %: find out why, or keep the new count with `--write`");
            good = false;
        }
    }
    if write {
        std::fs::write(file(), lines)?;
    }
    Ok(good || write)
}

/// What the ciphers choose their code by.
fn processor() -> String {
    #[allow(unused_mut, reason = "only this one kind has a list")]
    let mut name = std::env::consts::ARCH.to_owned();
    #[cfg(target_arch = "x86_64")]
    for (feature, has) in [
        ("aes", std::is_x86_feature_detected!("aes")),
        ("avx2", std::is_x86_feature_detected!("avx2")),
        ("avx512f", std::is_x86_feature_detected!("avx512f")),
        ("adx", std::is_x86_feature_detected!("adx")),
        ("sha", std::is_x86_feature_detected!("sha")),
    ] {
        if has {
            name = format!("{name}+{feature}");
        }
    }
    name
}

/// What a program sees of the processor under valgrind, which hides the newest of it.
fn valgrinds_processor() -> Outcome<String> {
    let output = valgrind(&["--tool=none"], "processor", Path::new("."))?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn valgrind(tool: &[&str], part: &str, directory: &Path) -> Outcome<Output> {
    let output = Command::new("valgrind")
        .args(tool)
        .arg(std::env::current_exe()?)
        .args(["--part", part])
        .arg(directory)
        .output()
        .map_err(|_| "valgrind is needed (Debian: apt-get install valgrind)")?;
    if output.status.success() {
        return Ok(output);
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!("{part}: {}", String::from_utf8_lossy(&said)).into())
}

/// Runs one part under callgrind, which collects inside of [`measured`] only.
fn count(part: &str, directory: &Path) -> Outcome<u64> {
    let out = directory.join(format!("{part}.callgrind"));
    let to = format!("--callgrind-out-file={}", out.display());
    let tool =
        ["--tool=callgrind", "--collect-atstart=no", "--toggle-collect=*counts*measured*", to.as_str()];
    valgrind(&tool, part, directory)?;
    let text = std::fs::read_to_string(&out)?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ")).ok_or("no total")?;
    match total.trim().parse()? {
        0 => Err(format!("{part}: nothing was counted").into()),
        counted => Ok(counted),
    }
}

/// What is between its beginning and its end is counted.
#[inline(never)]
fn measured<T>(work: impl FnOnce() -> T) -> T {
    std::hint::black_box(work())
}

fn play(part: &str, directory: &Path) -> Outcome<()> {
    match part {
        "apply" => {
            let phone = prepared::registered(directory, prepared::pages(MESSAGES, 1))?;
            let report = measured(|| now(phone.sync(None)))?;
            if !report.complete || report.received <= MESSAGES as u64 {
                return Err(format!("{report:?}").into());
            }
        }
        "page" => {
            let phone = prepared::phone(directory, &offline(), Vec::new(), Mode::Inline)?;
            now(phone.account().unlock())?;
            let threads = now(phone.messages().threads(ThreadFilter::All, 0, 100))?.threads;
            let ids: Vec<String> = threads.into_iter().map(|thread| thread.id).collect();
            let read = measured(|| pages(&phone, &ids))?;
            if read < 1_000 {
                return Err(format!("only {read} messages were read").into());
            }
        }
        _ => {
            let practice = offline();
            let home = measured(|| {
                let phone = prepared::phone(directory, &practice, Vec::new(), Mode::Inline)?;
                now(phone.account().unlock())?;
                now(phone.home().view())
            })?;
            if home.badge == 0 {
                return Err("the home screen is empty".into());
            }
        }
    }
    Ok(())
}

/// What the phone of the part before reaches in a new process: nothing.
fn offline() -> Arc<Practice> {
    let practice = Practice::demo(0);
    practice.set_online(false);
    practice
}

/// Reads the newest page of 50 of every conversation; how many messages that were.
fn pages(phone: &Portal, ids: &[String]) -> Result<usize, portal_core::PortalError> {
    ids.iter().try_fold(0, |read, id| {
        let view = now(phone.messages().thread(id.clone(), None, 50))?;
        Ok(read + view.messages.len())
    })
}
