//! How far a program of minutes is.
#![allow(clippy::print_stdout, clippy::disallowed_macros, reason = "for whoever waits for it")]

use crate::practice::locked;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Between two lines where nobody looks at a terminal.
const EVERY: Duration = Duration::from_secs(15);

/// A bar on a terminal, a line now and then otherwise.
pub struct Progress {
    bar: Option<ProgressBar>,
    what: &'static str,
    most: u64,
    said: Mutex<Instant>,
}

impl Progress {
    /// Of `most` runs, kills, or whatever it is.
    pub fn new(most: u64, what: &'static str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let template = format!("{{bar:40}} {{pos}}/{{len}} {what}, {{per_sec}}, {{eta}} left");
            let style = ProgressStyle::with_template(&template);
            ProgressBar::new(most).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { bar, what, most, said: Mutex::new(Instant::now()) }
    }

    /// So many are done.
    pub fn show(&self, done: u64) {
        if let Some(bar) = &self.bar {
            return bar.set_position(done);
        }
        let mut said = locked(&self.said);
        if said.elapsed() >= EVERY {
            *said = Instant::now();
            println!("{done} of {} {}", self.most, self.what);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
