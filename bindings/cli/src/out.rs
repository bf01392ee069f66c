//! The only module that writes to the terminal. Answers go to standard output, everything else
//! (hints, progress, errors) to standard error, so that `portal ... > file` keeps the answer alone.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use std::fmt::Display;
use std::io::{IsTerminal, Write, stderr, stdout};

/// Where a command writes, and in which form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Out {
    json: bool,
}

impl Out {
    /// For people, or as JSON for programs.
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// The answer of a command: the view as JSON, or the text made of it.
    pub(crate) fn answer<T: Serialize + ?Sized>(&self, view: &T, text: impl FnOnce() -> String) {
        if self.json {
            match serde_json::to_string_pretty(view) {
                Ok(json) => write(&mut stdout(), &json),
                Err(_) => self.fault(&"an answer could not be written as JSON"),
            }
        } else {
            write(&mut stdout(), &harmless(text().trim_end_matches('\n')));
        }
    }

    /// One line of a story, for people only.
    pub(crate) fn line(&self, text: impl Display) {
        if !self.json {
            write(&mut stdout(), &harmless(&text.to_string()));
        }
    }

    /// A hint beside the answer, for people only.
    pub(crate) fn hint(&self, text: impl Display) {
        if !self.json {
            write(&mut stderr(), &harmless(&text.to_string()));
        }
    }

    /// What went wrong: in words, or as JSON where the answer would have been JSON.
    pub(crate) fn fault(&self, fault: &(impl Display + ?Sized)) {
        write(&mut stderr(), &harmless(&fault.to_string()));
    }

    /// What went wrong as JSON, if the answer would have been JSON.
    pub(crate) fn fault_as_json(&self, fault: &serde_json::Value) -> bool {
        if self.json {
            write(&mut stderr(), &fault.to_string());
        }
        self.json
    }

    /// A text as it is, with nothing around it: completions, the child's signs of life.
    pub(crate) fn raw(&self, text: &str) {
        write(&mut stdout(), text);
    }

    /// A bar on a terminal, nothing elsewhere.
    pub(crate) fn progress(&self, label: &'static str) -> ProgressBar {
        if self.json || !stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template("{msg} {bar:40} {human_pos}/{human_len} {eta}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr())
            .with_style(style)
            .with_message(label)
    }

    /// Asks for one line, on the terminal's error stream.
    pub(crate) fn prompt(&self, text: &str) {
        let mut stream = stderr();
        let _ = write!(stream, "{text}").and_then(|()| stream.flush());
    }
}

/// Whoever reads us may have gone away (`portal threads | head`): that is no fault.
fn write(stream: &mut impl Write, text: &str) {
    let _ = writeln!(stream, "{text}").and_then(|()| stream.flush());
}

/// A message could hold the codes that move a terminal's cursor or write into its title. Whatever is
/// printed for people keeps its line breaks and tabs and loses every other control character.
fn harmless(text: &str) -> String {
    text.chars().filter(|c| matches!(c, '\n' | '\t') || !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_steer_the_terminal() {
        assert_eq!(harmless("a\u{1b}[2Jb\u{9b}1mc\rd\u{7}"), "a[2Jb1mcd");
        assert_eq!(harmless("שלום 👩‍⚕️\n\tمرحبا é"), "שלום 👩‍⚕️\n\tمرحبا é");
    }
}
