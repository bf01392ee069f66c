//! How the code stands, read from its files: the arrows between the layers, the lints, and what is
//! not allowed anywhere (DESIGN 1 and 2, SECURITY E1, L3, M8, N6).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use portal_core::values::{Phi, Secret};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn rust_files(under: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(under).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && path.file_name().unwrap() != "target" {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn short(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().to_string_lossy().into_owned()
}

fn crates() -> Vec<PathBuf> {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let members = manifest.lines().find(|line| line.starts_with("members")).unwrap();
    members.split('"').skip(1).step_by(2).map(|member| root().join(member)).collect()
}

/// A file without what only tests see, and without comments.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let mut out = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.trim() == "#[cfg(test)]" {
            let indent = line.len() - line.trim_start().len();
            let Some(next) = lines.next() else { break };
            if next.trim_end().ends_with('{') {
                // Up to the brace that stands where the item began.
                for inside in lines.by_ref() {
                    if inside.trim_end() == format!("{}}}", " ".repeat(indent)) {
                        break;
                    }
                }
            }
            continue;
        }
        let bare = line.split_once("//").map_or(line, |(before, _)| before);
        out.push_str(if bare.matches('"').count() % 2 == 0 { bare } else { line });
        out.push('\n');
    }
    out
}

fn is_test(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_string_lossy();
    name == "tests.rs"
        || name.ends_with("_tests.rs")
        || path.components().any(|part| part.as_os_str() == "tests")
}

#[test]
fn e1_every_crate_forbids_unsafe_code_and_inherits_the_lints() {
    let crates = crates();
    assert!(crates.len() >= 5, "{crates:?}");
    // SQLite takes a file system and an allocator only as tables of C functions: whoever makes its disk
    // fail has to write `unsafe`. One crate does, and nothing but the crate of tests may be built with it.
    let exception = root().join("tests/vfs");
    assert!(crates.contains(&exception));
    for one in crates.iter().filter(|one| **one != exception) {
        let manifest = std::fs::read_to_string(one.join("Cargo.toml")).unwrap();
        let is_tests = one.ends_with("tests");
        assert_eq!(manifest.contains("portal-test-vfs"), is_tests, "{}", short(one));
    }
    for one in crates.iter().filter(|one| **one != exception) {
        let manifest = std::fs::read_to_string(one.join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{}", short(one));
        let roots =
            ["src/lib.rs", "src/main.rs"].map(|file| one.join(file)).into_iter().filter(|file| file.exists());
        for file in roots {
            let text = std::fs::read_to_string(&file).unwrap();
            assert!(text.contains("#![forbid(unsafe_code)]"), "{}", short(&file));
        }
    }
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(manifest.contains("unsafe_code = \"forbid\""));
    for lint in ["unwrap_used", "expect_used", "panic", "indexing_slicing", "print_stdout"] {
        assert!(manifest.contains(&format!("\n{lint} = ")), "{lint}");
    }
}

#[test]
fn e1_the_library_neither_unwraps_nor_panics_nor_prints() {
    let mut read = 0;
    for folder in ["core/src", "server-mock/src", "bindings"] {
        for file in rust_files(&root().join(folder)).iter().filter(|file| !is_test(file)) {
            read += 1;
            let code = code(file);
            let banned =
                [".unwrap()", ".expect(", "panic!(", "todo!(", "unimplemented!(", "dbg!(", "unsafe "];
            for banned in banned {
                let found = code.lines().find(|line| line.contains(banned));
                assert!(found.is_none(), "{}: {:?}", short(file), found);
            }
            if folder == "core/src" {
                // Only `log::event` logs: it takes a reason code and a number, and no text.
                assert!(
                    !code.contains("tracing::") || short(file).ends_with("src/log.rs"),
                    "{} logs",
                    short(file)
                );
                // Files come from the port, or a simulator could not stand in for them (DESIGN rule 6).
                let names_files = ["std::fs", ".exists()", ".is_dir()", ".is_file()"];
                assert!(
                    !names_files.iter().any(|name| code.contains(name))
                        || ["ports/directory.rs", "store/soft_vault.rs"]
                            .iter()
                            .any(|allowed| short(file).ends_with(allowed)),
                    "{} goes past the port",
                    short(file)
                );
                for printing in ["println!(", "eprintln!(", "print!("] {
                    assert!(!code.contains(printing), "{} prints", short(file));
                }
            }
        }
    }
    assert!(read > 60, "{read}");
}

/// From bottom to top; a module may use its own layer and what is below.
const LAYERS: [&[&str]; 8] = [
    &["values", "error", "ports", "change", "runtime", "log", "proof"],
    &["store", "net"],
    &["session"],
    &["sync"],
    &["people"],
    &["account", "messages"],
    &["outbox", "home"],
    &["portal", "floor"],
];

/// Every `crate::a` that a file names, also in `use crate::{a, b::c}`.
fn used(code: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        // `portal_crate::` and the like are not ours.
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        let word = |text: &str| -> String {
            text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
        };
        match rest.strip_prefix('{') {
            None => drop(used.insert(word(rest))),
            Some(list) => {
                let mut depth = 1;
                let mut expect = true;
                for (place, c) in list.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        ',' if depth == 1 => expect = true,
                        c if expect && c.is_alphabetic() => {
                            used.insert(word(&list[place..]));
                            expect = false;
                        }
                        _ => {}
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
        }
    }
    used
}

/// The arrows of these files that run up.
fn arrows_up(files: &BTreeMap<String, String>) -> Vec<String> {
    let layer = |module: &str| LAYERS.iter().position(|layer| layer.contains(&module));
    let mut up = Vec::new();
    for (file, code) in files {
        let module = file.split('/').next().unwrap().trim_end_matches(".rs");
        if module == "lib" {
            continue;
        }
        let Some(own) = layer(module) else {
            up.push(format!("{file}: no layer is known for {module}"));
            continue;
        };
        for used in used(code) {
            match layer(&used) {
                Some(theirs) if theirs <= own => {}
                // What the crate's root gives out again.
                None if ["PortalError", "Reason", "Portal", "PortalConfig"].contains(&used.as_str()) => {}
                _ => up.push(format!("{file} uses {used}")),
            }
        }
    }
    up
}

#[test]
fn an_arrow_runs_only_downwards() {
    let source = root().join("core/src");
    let mut files = BTreeMap::new();
    for file in rust_files(&source).iter().filter(|file| !is_test(file)) {
        files.insert(file.strip_prefix(&source).unwrap().to_string_lossy().into_owned(), code(file));
    }
    assert!(files.len() > 35, "{}", files.len());
    assert_eq!(arrows_up(&files), [""; 0]);
    // The controls.
    for (file, text) in [
        ("store/mod.rs", "use crate::session::Session;"),
        ("sync/x.rs", "use crate::{error::PortalError, messages::{self, ops}};"),
        ("people/mod.rs", "fn f() { crate::home::g() }"),
        ("novel/mod.rs", ""),
    ] {
        let bad = BTreeMap::from([(file.to_owned(), text.to_owned())]);
        assert_eq!(arrows_up(&bad).len(), 1, "{file}");
    }
}

#[test]
fn inner_modules_know_nothing_of_uniffi() {
    // Records of the public face that live where they are made.
    let allowed = [("sync/mod.rs", "SyncReport"), ("net/tls.rs", "PinSet")];
    let source = root().join("core/src");
    for file in rust_files(&source) {
        let name = file.strip_prefix(&source).unwrap().to_string_lossy().into_owned();
        let inner = ["store/", "net/", "sync/", "session/"].iter().any(|folder| name.starts_with(folder))
            || ["state.rs", "rows.rs", "ops.rs", "words.rs"]
                .iter()
                .any(|part| name.ends_with(&format!("/{part}")));
        if !inner {
            continue;
        }
        let code = code(&file);
        let lines: Vec<&str> = code.lines().collect();
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.contains("uniffi")) {
            let is_struct = |line: &&&str| line.contains("struct ");
            // A field's attribute belongs to the record that it stands in, a derive to the next one.
            let owner = match line.trim_start().starts_with("#[uniffi(") {
                true => lines[..at].iter().rfind(is_struct),
                false => lines[at..].iter().find(is_struct),
            };
            let record = owner
                .copied()
                .unwrap_or_default()
                .split("struct ")
                .nth(1)
                .unwrap_or_default()
                .split([' ', '{'])
                .next()
                .unwrap();
            assert!(allowed.contains(&(name.as_str(), record)), "{name}: {line}");
        }
    }
}

#[test]
fn no_file_is_longer_than_a_person_reads() {
    for file in rust_files(&root()) {
        let lines = std::fs::read_to_string(&file).unwrap().lines().count();
        assert!(lines <= 510, "{} has {lines} lines", short(&file));
    }
}

#[test]
fn nothing_names_the_machine_that_it_was_made_on() {
    let mut read = 0;
    let (home, users) = (format!("/{}/", "home"), format!("/{}/", "Users"));
    let own = root().to_string_lossy().into_owned();
    for one in crates().iter().map(|one| one.as_path()).chain([root().join("docs").as_path()]) {
        let files = rust_files(one).into_iter().chain(
            std::fs::read_dir(one).into_iter().flatten().flatten().map(|entry| entry.path()).filter(|path| {
                path.extension().is_some_and(|extension| extension == "md" || extension == "toml")
            }),
        );
        for file in files {
            read += 1;
            let text = std::fs::read_to_string(&file).unwrap();
            for path in [home.as_str(), users.as_str(), own.as_str()] {
                assert!(!text.contains(path), "{} holds {path}", short(&file));
            }
        }
    }
    assert!(read > 100, "{read}");
}

#[test]
fn n6_no_banned_package_is_linked() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let names: BTreeSet<&str> =
        lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).collect();
    assert!(
        names.contains("ring") && names.contains("rustls") && names.contains("openssl-sys"),
        "the control"
    );
    for banned in ["rsa", "native-tls", "hyper-tls", "aws-lc-rs", "aws-lc-sys", "openssl"] {
        assert!(!names.contains(banned), "{banned}");
    }
}

/// Says whether a type has a trait: an inherent constant hides the trait's where its bound holds.
struct Probe<T>(PhantomData<T>);

trait Without {
    const DISPLAY: bool = false;
    const SERIALIZE: bool = false;
}

impl<T> Without for Probe<T> {}

struct Shown<T>(PhantomData<T>);
impl<T> Without for Shown<T> {}
impl<T: Display> Shown<T> {
    const DISPLAY: bool = true;
}

impl<T: serde::Serialize> Probe<T> {
    const SERIALIZE: bool = true;
}

#[test]
fn l3_neither_a_secret_nor_health_data_can_be_shown_or_serialised() {
    let shown =
        [<Shown<Secret<String>>>::DISPLAY, <Shown<Secret<Vec<u8>>>>::DISPLAY, <Shown<Phi<String>>>::DISPLAY];
    assert_eq!(shown, [false; 3]);
    let serialised =
        [<Probe<Secret<String>>>::SERIALIZE, <Probe<Phi<String>>>::SERIALIZE, <Probe<Phi<i64>>>::SERIALIZE];
    assert_eq!(serialised, [false; 3]);
    assert_eq!([<Shown<String>>::DISPLAY, <Probe<String>>::SERIALIZE], [true; 2], "the control");
    let printed = format!("{:?} {:?}", Secret::new("canary".to_owned()), Phi::new("canary"));
    assert_eq!(printed, "[secret] [phi]");
}

#[test]
fn m8_no_text_promises_what_is_not_so() {
    let claims = |text: &str| {
        let text = text.to_lowercase().replace(['-', '_', ' '], "");
        text.contains("endtoendencr") || text.contains("e2ee")
    };
    for folder in ["core/src", "server-mock/src", "bindings"] {
        for file in rust_files(&root().join(folder)) {
            assert!(!claims(&std::fs::read_to_string(&file).unwrap()), "{}", short(&file));
        }
    }
    assert!(claims("Your messages are End-to-End encrypted"), "the control");
}
