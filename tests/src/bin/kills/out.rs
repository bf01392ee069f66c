//! The only module that writes to the terminal.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_macros,
    reason = "this is what everybody else goes through"
)]

/// One line.
pub(crate) fn line(text: &str) {
    println!("{text}");
}
