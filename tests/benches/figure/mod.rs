//! Figures: pairs, medians, and how they are printed.
#![allow(dead_code, unreachable_pub, reason = "each bench uses a part")]

use std::process::Command;

/// How often the floor and ours are measured, in turns.
pub const PAIRS: usize = 7;

/// The middle one.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// One line for a figure. `unit` is what both are in.
pub fn print(name: &str, unit: &str, ours: &[f64], floor: &[f64]) {
    let least = floor.iter().copied().fold(f64::MAX, f64::min);
    let most = floor.iter().copied().fold(0.0, f64::max);
    let noisy = if most > 1.5 * least { " noisy" } else { "" };
    let (ours, floor) = (median(ours), median(floor));
    // None against none is even.
    let ratio = if ours == floor { 1.0 } else { ours / floor };
    println!("bench {name} ours={ours:.1}{unit} floor={floor:.1}{unit} ratio={ratio:.2}{noisy}");
}

/// What this process is to do, when it is not the one that was started by hand.
pub fn role() -> Option<Vec<String>> {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--role").skip(1).peekable();
    arguments.peek()?;
    Some(arguments.collect())
}

/// Runs this program again in another role and gives the numbers that it prints. A process of its own
/// because memory security, once on, stays on for every connection of a process: a floor beside it
/// would not be plain.
pub fn child(role: &[&str]) -> Vec<f64> {
    let output = Command::new(std::env::current_exe().unwrap()).arg("--role").args(role).output().unwrap();
    assert!(output.status.success(), "{role:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(|line| line.parse().unwrap()).collect()
}

/// Runs two roles in turns and gives, for each number that they print, ours and the floor's.
pub fn pairs(ours: &[&str], floor: &[&str]) -> Vec<(Vec<f64>, Vec<f64>)> {
    let mut columns = Vec::new();
    for _ in 0..PAIRS {
        let (floor, ours) = (child(floor), child(ours));
        columns.resize(ours.len(), (Vec::new(), Vec::new()));
        for ((column, ours), floor) in columns.iter_mut().zip(ours).zip(floor) {
            column.0.push(ours);
            column.1.push(floor);
        }
    }
    columns
}
