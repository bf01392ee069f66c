//! How the demo tells: one line a fact with the time since the start, and a check behind each.

use crate::failure::Failure;
use crate::out::Out;
use std::fmt::Display;
use std::time::{Duration, Instant};

/// The teller.
pub(crate) struct Story {
    pub(crate) out: Out,
    began: Instant,
}

impl Story {
    pub(crate) fn new(out: Out) -> Self {
        Self { out, began: Instant::now() }
    }

    /// A new part of the day.
    pub(crate) fn part(&self, title: &str) {
        self.out.line(format_args!("\n{title}"));
    }

    /// Something that has happened.
    pub(crate) fn say(&self, text: impl Display) {
        self.out.line(format_args!("{:7.2} s  {text}", self.began.elapsed().as_secs_f64()));
    }

    /// The time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}

/// Ends the story when something is not as told.
pub(crate) fn told(as_told: bool, otherwise: impl FnOnce() -> String) -> Result<(), Failure> {
    if as_told { Ok(()) } else { Err(Failure::NotAsTold(otherwise())) }
}

/// Ends the story when two numbers differ.
pub(crate) fn same(what: &str, found: usize, expected: usize) -> Result<(), Failure> {
    told(found == expected, || format!("{what}: {found} instead of {expected}"))
}

/// How long something took, in the unit that fits.
pub(crate) fn took(since: Instant) -> String {
    let took = since.elapsed();
    if took < Duration::from_millis(10) {
        format!("{:.1} ms", took.as_secs_f64() * 1000.0)
    } else if took < Duration::from_secs(1) {
        format!("{} ms", took.as_millis())
    } else {
        format!("{:.1} s", took.as_secs_f64())
    }
}

/// `10,000`.
pub(crate) fn count(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_commas() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1000, "1,000"), (10_000, "10,000"), (1_234_567, "1,234,567")]
        {
            assert_eq!(count(number), text);
        }
    }

    #[test]
    fn a_difference_ends_the_story() {
        assert!(same("messages", 3, 3).is_ok());
        let Err(Failure::NotAsTold(text)) = same("messages", 2, 3) else { panic!("it went on") };
        assert_eq!(text, "messages: 2 instead of 3");
    }
}
