//! The only module that writes to the terminal.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_macros,
    reason = "this is what everybody else goes through"
)]

use indicatif::{ProgressBar, ProgressStyle};
use portal_tests::practice::locked;
use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Between two lines where nobody looks at a terminal.
const EVERY: Duration = Duration::from_secs(5);

/// One line.
pub(crate) fn line(text: &str) {
    println!("{text}");
}

/// How far it is: a bar on a terminal, a line every few seconds otherwise.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    most: u64,
    said: Mutex<Instant>,
}

impl Progress {
    pub(crate) fn new(most: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:40} {pos}/{len} kills, {per_sec}, {eta} left");
            ProgressBar::new(most).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { bar, most, said: Mutex::new(Instant::now()) }
    }

    pub(crate) fn show(&self, kills: u64) {
        if let Some(bar) = &self.bar {
            return bar.set_position(kills);
        }
        let mut said = locked(&self.said);
        if said.elapsed() >= EVERY {
            *said = Instant::now();
            line(&format!("{kills} of {} kills", self.most));
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
