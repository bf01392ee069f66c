//! Every language tells every story of `bindings/stories.txt`, once, as a test that runs; and every
//! example of the guides is a piece of a program that is compiled and run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};

const STORIES: &str = "bindings/stories.txt";
/// Fewer would not be the whole surface.
const FEWEST: usize = 40;

const RUST: Language = Language {
    name: "Rust",
    function: "fn",
    tests: &["#[tokio::test", "#[test]"],
    disabled: &["#[ignore", "cfg(", "cfg_attr"],
    casing: str::to_owned,
};
const KOTLIN: Language = Language {
    name: "Kotlin",
    function: "fun",
    tests: &["@Test"],
    disabled: &["@Disabled", "@Ignore", "@Enabled", "assumeTrue", "assumeFalse", "assumingThat"],
    casing: camel,
};
const SWIFT: Language = Language {
    name: "Swift",
    function: "func",
    tests: &["@Test"],
    disabled: &[".disabled", ".enabled(", "XCTSkip", "Test.cancel"],
    casing: camel,
};

/// How a language writes down a story.
struct Language {
    name: &'static str,
    /// The word before a function's name.
    function: &'static str,
    /// What makes a function a test.
    tests: &'static [&'static str],
    /// What keeps a test from running.
    disabled: &'static [&'static str],
    /// A story's name in this language.
    casing: fn(&str) -> String,
}

/// A function that could be a story: it takes nothing, or is a test.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    name: String,
    is_test: bool,
}

/// `a_name` as `aName`.
fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let (first, rest) = word.split_at(word.len().min(1));
        camel += &first.to_uppercase();
        camel += rest;
    }
    camel
}

/// The names of the list, or what is wrong with a line.
fn listed(text: &str) -> Result<Vec<String>, Vec<String>> {
    let (mut names, mut wrong) = (Vec::new(), Vec::new());
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        match line.split_once(": ") {
            Some((name, says)) if is_name(name) && !says.trim().is_empty() => names.push(name.to_owned()),
            _ => wrong.push(format!("not `name: what has to hold`: {line}")),
        }
    }
    for (at, name) in names.iter().enumerate() {
        if names[..at].contains(name) {
            wrong.push(format!("listed twice: {name}"));
        }
    }
    if names.len() < FEWEST {
        wrong.push(format!("{} stories are too few: at least {FEWEST}", names.len()));
    }
    if wrong.is_empty() { Ok(names) } else { Err(wrong) }
}

fn is_name(text: &str) -> bool {
    let plain = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    plain && text.starts_with(|first: char| first.is_ascii_lowercase())
}

/// The text without the lines that are comments; a story that is commented out is not told.
fn uncommented(text: &str) -> String {
    let (mut out, mut inside) = (String::new(), false);
    for line in text.lines() {
        let trimmed = line.trim_start();
        inside |= trimmed.starts_with("/*");
        if !inside && !trimmed.starts_with("//") {
            out += line;
        }
        // The line stays, empty, so that what stands around it stays apart or together.
        out.push('\n');
        inside &= !line.contains("*/");
    }
    out
}

/// The functions of a text that are stories or could be.
fn told(language: &Language, text: &str) -> Vec<Told> {
    let mut told = Vec::new();
    // What stands before a function: its attributes, over however many lines.
    let mut before = String::new();
    for line in uncommented(text).lines() {
        let Some((front, name, takes_nothing)) = function(language, line) else {
            let ends = line.trim_end().ends_with(['{', '}', ';']);
            if ends {
                before.clear()
            } else {
                before = format!("{before}\n{line}")
            }
            continue;
        };
        let attributes = format!("{}\n{front}", std::mem::take(&mut before));
        let is_test = language.tests.iter().any(|test| has_attribute(&attributes, test));
        if is_test || takes_nothing {
            told.push(Told { name, is_test });
        }
    }
    told
}

/// Whether the attribute stands there, and not only one whose name begins like it.
fn has_attribute(text: &str, attribute: &str) -> bool {
    text.split(attribute).skip(1).any(|rest| !rest.starts_with(|next: char| next.is_alphanumeric()))
}

/// What stands before a function of this line, its name, and whether it takes nothing.
fn function<'a>(language: &Language, line: &'a str) -> Option<(&'a str, String, bool)> {
    let word = format!("{} ", language.function);
    let at = line.match_indices(&word).map(|(at, _)| at).find(|at| {
        let front = &line[..*at];
        front.is_empty() || front.ends_with(|last: char| last.is_whitespace() || last == ')')
    })?;
    let rest = &line[at + word.len()..];
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    let takes = rest[end..].strip_prefix('(')?;
    (end > 0).then(|| (&line[..at], rest[..end].to_owned(), takes.trim_start().starts_with(')')))
}

/// What is wrong with how a language tells the stories; `files` are names and texts.
fn told_wrongly(language: &Language, names: &[String], files: &[(String, String)]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut all: Vec<(&str, Told)> = Vec::new();
    for (file, text) in files {
        all.extend(told(language, text).into_iter().map(|told| (file.as_str(), told)));
        let text = uncommented(text);
        for disabled in language.disabled.iter().filter(|disabled| text.contains(**disabled)) {
            wrong.push(format!("{file} has `{disabled}`: a story that may not run is not told"));
        }
    }
    let names: Vec<String> = names.iter().map(|name| (language.casing)(name)).collect();
    for name in &names {
        let of_it: Vec<_> = all.iter().filter(|(_, told)| told.name == *name).collect();
        match of_it.as_slice() {
            [] => wrong.push(format!("{name} is not told")),
            [(file, told)] if !told.is_test => wrong.push(format!("{name} in {file} is no test")),
            [_] => {}
            [(first, _), (second, _), ..] => {
                wrong.push(format!("{name} is told twice: in {first} and {second}"));
            }
        }
    }
    for (file, told) in all.iter().filter(|(_, told)| told.is_test && !names.contains(&told.name)) {
        wrong.push(format!("{} in {file} is not in the list", told.name));
    }
    wrong.iter().map(|line| format!("{}: {line}", language.name)).collect()
}

/// The blocks of a guide in this language, each with the number of its first line.
fn blocks(guide: &str, language: &str) -> Result<Vec<(usize, String)>, String> {
    let (mut blocks, mut open) = (Vec::new(), None::<(usize, bool, String)>);
    for (number, line) in guide.lines().enumerate() {
        match (&mut open, line.trim_start().strip_prefix("```")) {
            (None, Some(kind)) => open = Some((number + 2, kind.trim() == language, String::new())),
            (None, None) => {}
            (Some((_, _, text)), None) => *text = format!("{text}{line}\n"),
            (Some(_), Some(_)) => {
                blocks.extend(open.take().filter(|(_, ours, _)| *ours).map(|(at, _, text)| (at, text)));
            }
        }
    }
    match open {
        Some((at, _, _)) => Err(format!("the block that begins at line {at} does not end")),
        None => Ok(blocks),
    }
}

/// The lines without the indentation that all of them have. An empty line has none.
fn flush<'a>(lines: &[&'a str]) -> Vec<&'a str> {
    let indent = |line: &&str| line.len() - line.trim_start_matches(' ').len();
    let common = lines.iter().filter(|line| !line.trim().is_empty()).map(indent).min().unwrap_or(0);
    lines.iter().map(|line| line.get(common..).unwrap_or_default().trim_end()).collect()
}

/// Whether the block stands in the program as it is: whole lines, one after the other, however far
/// they are indented there.
fn is_excerpt(block: &str, program: &str) -> bool {
    let (block, program): (Vec<_>, Vec<_>) = (block.lines().collect(), program.lines().collect());
    let wanted = flush(&block);
    wanted.iter().any(|line| !line.is_empty())
        && program.windows(wanted.len()).any(|window| flush(window) == wanted)
}

/// The blocks of a guide that are not in the program.
fn invented(name: &str, guide: &str, language: &str, program: &str) -> Vec<String> {
    let blocks = match blocks(guide, language) {
        Ok(blocks) if blocks.is_empty() => return vec![format!("{name} has no ```{language} block")],
        Ok(blocks) => blocks,
        Err(wrong) => return vec![format!("{name}: {wrong}")],
    };
    let lost = blocks.into_iter().filter(|(_, block)| !is_excerpt(block, program));
    lost.map(|(at, block)| format!("{name}:{at} is not in the program:\n{block}")).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The files of a folder and what is below it whose names end so.
fn sources(folder: &str, end: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(root().join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    for entry in entries {
        let entry = entry.unwrap();
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.file_type().unwrap().is_dir() {
            found.extend(sources(&path, end));
        } else if path.ends_with(end) {
            let text = read(&path);
            found.push((path, text));
        }
    }
    found.sort();
    found
}

fn none_of(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

fn names() -> Vec<String> {
    listed(&read(STORIES)).unwrap_or_else(|wrong| panic!("{STORIES}:\n{}", wrong.join("\n")))
}

#[test]
fn rust_tells_every_story() {
    let mut files = sources("tests/tests/stories", ".rs");
    // Helpers are no stories, whatever their names.
    files.retain(|(path, _)| !path.ends_with("/support.rs"));
    none_of(&told_wrongly(&RUST, &names(), &files));
}

#[test]
fn kotlin_tells_every_story() {
    let files = sources("bindings/kotlin/src/test/kotlin/org/portal/stories", ".kt");
    none_of(&told_wrongly(&KOTLIN, &names(), &files));
}

#[test]
fn swift_tells_every_story() {
    let files = sources("bindings/swift/Tests/PortalCoreTests/Stories", ".swift");
    none_of(&told_wrongly(&SWIFT, &names(), &files));
}

#[test]
fn the_guide_for_kotlin_shows_what_is_compiled() {
    let (guide, program) = ("docs/use-from-kotlin.md", "bindings/kotlin/src/test/kotlin/org/portal/UseIt.kt");
    none_of(&invented(guide, &read(guide), "kotlin", &read(program)));
}

#[test]
fn the_guide_for_swift_shows_what_is_compiled() {
    let (guide, program) = ("docs/use-from-swift.md", "bindings/swift/Tests/PortalCoreTests/UseIt.swift");
    none_of(&invented(guide, &read(guide), "swift", &read(program)));
}

/// The controls: each rule is shown to fail.
mod controls {
    use super::*;

    fn wrong(language: &Language, text: &str) -> Vec<String> {
        let names = ["sign_in", "read_pages"].map(str::to_owned);
        told_wrongly(language, &names, &[("a file".to_owned(), text.to_owned())])
    }

    const GOOD_RUST: &str = "#[tokio::test]\nasync fn sign_in() {\n}\n\n/// Says.\n#[test]\nfn read_pages() {\n}\n\
        fn helper() {\n}\nasync fn sign_in_with(phone: &Phone) {\n}\n";
    const GOOD_KOTLIN: &str = "class Stories {\n    @Test\n    fun signIn() = story {\n    }\n\n    \
        @Test fun readPages(): Unit = story(messages = 3) {\n    }\n    private fun helper() = 3\n}\n";
    const GOOD_SWIFT: &str = "@Suite struct Stories {\n    @Test func signIn() async throws {\n    }\n\n    \
        @Test(\n        .timeLimit(.minutes(1))\n    )\n    func readPages() async throws {\n    }\n}\n";

    #[test]
    fn what_is_good_passes() {
        for (language, text) in [(RUST, GOOD_RUST), (KOTLIN, GOOD_KOTLIN), (SWIFT, GOOD_SWIFT)] {
            assert_eq!(wrong(&language, text), Vec::<String>::new(), "{}", language.name);
        }
    }

    #[test]
    fn names_change_their_casing() {
        assert_eq!(camel("sign_in_with_a_stray_redirect"), "signInWithAStrayRedirect");
        assert_eq!(camel("wipe"), "wipe");
    }

    #[test]
    fn a_missing_story_is_found() {
        for (language, text) in [(RUST, GOOD_RUST), (KOTLIN, GOOD_KOTLIN), (SWIFT, GOOD_SWIFT)] {
            let name = (language.casing)("read_pages");
            let missing = format!("{}: {name} is not told", language.name);
            let renamed = text.replace(&name, "other");
            let wrong = wrong(&language, &renamed);
            assert!(wrong.contains(&missing), "{wrong:?}");
            let extra = format!("{}: other in a file is not in the list", language.name);
            assert!(wrong.contains(&extra), "{wrong:?}");
        }
        let commented = GOOD_RUST.replace("#[test]\nfn read_pages", "// #[test]\n// fn read_pages");
        assert_eq!(wrong(&RUST, &commented), ["Rust: read_pages is not told"]);
        let commented = GOOD_KOTLIN.replace("    @Test fun readPages", "/*\n    @Test fun readPages") + "*/";
        assert_eq!(wrong(&KOTLIN, &commented), ["Kotlin: readPages is not told"]);
    }

    #[test]
    fn a_story_that_is_told_twice_is_found() {
        for (language, text) in [(RUST, GOOD_RUST), (KOTLIN, GOOD_KOTLIN), (SWIFT, GOOD_SWIFT)] {
            let wrong = wrong(&language, &text.repeat(2));
            assert_eq!(wrong.len(), 2, "{wrong:?}");
            assert!(wrong.iter().all(|line| line.contains("is told twice")), "{wrong:?}");
        }
    }

    #[test]
    fn a_story_that_is_no_test_is_found() {
        let bare = GOOD_RUST.replace("#[tokio::test]\n", "");
        assert_eq!(wrong(&RUST, &bare), ["Rust: sign_in in a file is no test"]);
        let bare = GOOD_KOTLIN.replace("@Test fun", "fun");
        assert_eq!(wrong(&KOTLIN, &bare), ["Kotlin: readPages in a file is no test"]);
        let bare = GOOD_SWIFT.replace("@Test func", "func");
        assert_eq!(wrong(&SWIFT, &bare), ["Swift: signIn in a file is no test"]);
        // An attribute that only begins like it, and one of the function before.
        let other = GOOD_KOTLIN.replace("@Test fun", "@TestFactory fun");
        assert_eq!(wrong(&KOTLIN, &other), ["Kotlin: readPages in a file is no test"]);
    }

    #[test]
    fn a_story_that_does_not_run_is_found() {
        let rows = [
            (&RUST, GOOD_RUST.replace("#[test]", "#[test]\n#[ignore = \"later\"]")),
            (&RUST, GOOD_RUST.replace("#[test]", "#[cfg_attr(unix, ignore)]\n#[test]")),
            (&KOTLIN, GOOD_KOTLIN.replace("@Test fun", "@Test @Disabled(\"later\") fun")),
            (&KOTLIN, format!("@Disabled\n{GOOD_KOTLIN}")),
            (&KOTLIN, GOOD_KOTLIN.replace("@Test fun", "@EnabledOnOs(OS.MAC) @Test fun")),
            (&SWIFT, GOOD_SWIFT.replace("@Test func", "@Test(.disabled(\"later\")) func")),
            (&SWIFT, GOOD_SWIFT.replace("@Suite", "@Suite(.disabled())")),
        ];
        for (language, text) in rows {
            let wrong = wrong(language, &text);
            assert!(wrong.iter().any(|line| line.contains("may not run")), "{wrong:?} of {text}");
        }
    }

    #[test]
    fn a_bad_list_is_found() {
        let many: String = (0..FEWEST).map(|n| format!("story_{n}: something holds\n")).collect();
        assert_eq!(listed(&format!("# A heading\n\n{many}")).unwrap().len(), FEWEST);
        let few = many.lines().skip(1).collect::<Vec<_>>().join("\n");
        assert_eq!(listed(&few).unwrap_err().len(), 1);
        for bad in ["story_1: again", "story_x:", "Story: x", "a story: x", "story_y"] {
            assert_eq!(listed(&format!("{many}{bad}\n")).unwrap_err().len(), 1, "{bad}");
        }
    }

    const PROGRAM: &str = "fun main() {\n    val a = 1\n\n    if (a > 0) {\n        b()\n    }\n}\n";

    #[test]
    fn an_example_that_is_not_in_the_program_is_found() {
        let guide = |block: &str| format!("Words.\n\n```kotlin\n{block}\n```\n\n```sh\nmake\n```\n");
        for good in ["val a = 1\n\nif (a > 0) {\n    b()\n}", "    b()", "fun main() {", PROGRAM.trim_end()] {
            assert_eq!(invented("guide", &guide(good), "kotlin", PROGRAM), Vec::<String>::new(), "{good}");
        }
        // Another word, a line left out, half a line, another shape, nothing at all.
        for bad in ["val a = 2", "val a = 1\nif (a > 0) {", "val a", "if (a > 0) {\nb()\n}", ""] {
            let wrong = invented("guide", &guide(bad), "kotlin", PROGRAM);
            assert_eq!(wrong.len(), 1, "{bad}");
            assert!(wrong[0].starts_with("guide:4 is not in the program"), "{wrong:?}");
        }
    }

    #[test]
    fn a_guide_without_examples_or_with_an_open_one_is_found() {
        assert_eq!(invented("guide", "Words.\n", "swift", PROGRAM), ["guide has no ```swift block"]);
        let wrong = invented("guide", "```swift\nfun main() {\n", "swift", PROGRAM);
        assert_eq!(wrong, ["guide: the block that begins at line 2 does not end"]);
    }
}
