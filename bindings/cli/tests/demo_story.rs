//! The demo's story, word for word, with every figure and name of a subject left out.

#![allow(clippy::unwrap_used)]

use std::process::Command;

#[test]
fn the_story_is_told_like_this() {
    let told =
        Command::new(env!("CARGO_BIN_EXE_portal")).args(["demo", "--messages", "400"]).output().unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    insta::assert_snapshot!(without_figures(&String::from_utf8(told.stdout).unwrap()));
}

/// Digits become `#`, units of time one unit, and what is in quotes goes.
fn without_figures(story: &str) -> String {
    let mut out = String::new();
    for line in story.lines() {
        let mut quoted = false;
        let mut plain = String::new();
        for c in line.trim().chars() {
            match c {
                '"' => quoted = !quoted,
                _ if quoted => {}
                '0'..='9' | '.' | ',' if c.is_ascii_digit() || plain.ends_with('#') => {
                    if !plain.ends_with('#') {
                        plain.push('#');
                    }
                }
                c => plain.push(c),
            }
        }
        out.push_str(&plain.replace("# ms", "# s").replace("# µs", "# s"));
        out.push('\n');
    }
    out
}

#[test]
fn the_same_story_as_json_is_one_object() {
    let told = Command::new(env!("CARGO_BIN_EXE_portal"))
        .args(["--json", "demo", "--messages", "400"])
        .output()
        .unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let last = String::from_utf8(told.stdout).unwrap();
    let summary: serde_json::Value = serde_json::from_str(last.trim()).unwrap();
    assert_eq!(summary.pointer("/messages_synced"), Some(&400.into()));
    assert_eq!(summary.pointer("/lost"), Some(&0.into()));
    assert_eq!(summary.pointer("/arrived_once"), summary.pointer("/messages_written"));
}
