//! One life of a child: started, listened to, killed.

use crate::words::{Order, Report};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// A life that says nothing for so long hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// At its point, by its own hand.
    Point,
    /// By the harness, at the moment that was drawn.
    Moment,
    /// By the harness, after it had said that nothing is left to do.
    Idle,
    /// By the harness, which had waited for too long.
    Hung,
    /// In another way, which no phone does.
    Otherwise,
}

/// When a life is killed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// Counted from its start, so that it may be while it opens; otherwise from the beginning of its work.
    pub(crate) from_the_start: bool,
    pub(crate) after: Duration,
}

/// Lives one life: every report goes to `hear`, whose answer is what the child reads.
pub(crate) fn live(
    order: &Order,
    moment: Option<Moment>,
    mut hear: impl FnMut(Report) -> Option<String>,
) -> Result<End, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let mut child = Command::new(std::env::current_exe().map_err(|error| text(&error))?)
        .arg("child")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| text(&error))?;
    let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err("no pipes".to_owned());
    };
    let line = serde_json::to_string(order).map_err(|error| text(&error))?;
    // One that ends at its first step may not read it.
    let _ = input.write_all(format!("{line}\n").as_bytes());
    let mut end = End::Point;
    let status = std::thread::scope(|scope| {
        let (tell, told) = channel::<Duration>();
        let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
        let killer = scope.spawn(move || {
            let kill = || pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::KILL));
            let late = |wait: Duration| match told.recv_timeout(wait) {
                Ok(moment) => Some(moment),
                Err(RecvTimeoutError::Timeout) => Some(Duration::MAX),
                Err(RecvTimeoutError::Disconnected) => None,
            };
            match late(PATIENCE) {
                None => false,
                Some(Duration::MAX) => {
                    kill();
                    true
                }
                Some(moment) => {
                    std::thread::sleep(moment);
                    kill();
                    false
                }
            }
        });
        // Whatever was written before the kill is still in the pipe.
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let Ok(report) = serde_json::from_str::<Report>(&line) else { break };
            let from_the_start = match report {
                Report::Started => Some(true),
                Report::Working => Some(false),
                _ => None,
            };
            if let Some(moment) = moment.filter(|moment| Some(moment.from_the_start) == from_the_start) {
                end = End::Moment;
                let _ = tell.send(moment.after);
            }
            if matches!(report, Report::Idle) {
                end = End::Idle;
                let _ = tell.send(Duration::ZERO);
            }
            if let Some(answer) = hear(report) {
                let _ = input.write_all(format!("{answer}\n").as_bytes());
            }
        }
        // Before its end is known, so that no other process is killed by its number.
        drop(tell);
        if killer.join().unwrap_or(false) {
            end = End::Hung;
        }
        child.wait()
    });
    match status.map_err(|error| text(&error))?.signal() {
        Some(9) => Ok(end),
        _ => Ok(End::Otherwise),
    }
}
