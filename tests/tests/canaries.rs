//! A client's whole day with marked texts and secrets, over real sockets, with every log line of
//! every library kept: none of them is in a file, a log, an error or a `Debug` (SECURITY S1, S3,
//! A13, L1, N4). Each scan has a control that must find them.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, clippy::disallowed_macros, reason = "a test prints what it found")]

mod lab;

use lab::child::{self, Remote};
use lab::{Scanner, files, name};
use portal_core::ports::KeyVault;
use portal_core::store::SoftVault;
use portal_server_mock::serve::Running;
use portal_server_mock::world::NewClient;
use rand_chacha::ChaCha20Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

struct Everything(Mutex<File>);

impl log::Log for Everything {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {}\n", record.target(), record.args());
        self.0.lock().unwrap().write_all(line.as_bytes()).unwrap();
    }

    fn flush(&self) {}
}

/// Not a test of its own: the phone, which writes every log line of every library to `log`.
#[test]
fn child() {
    let Ok(place) = std::env::var(child::CHILD) else { return };
    let file = || File::options().create(true).append(true).open(Path::new(&place).join("log")).unwrap();
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(Mutex::new(file()))
        .init();
    log::set_boxed_logger(Box::new(Everything(Mutex::new(file())))).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    log::trace!("the control: control-of-the-log");
    child::serve_parent();
}

/// A day that has been played.
struct Day {
    place: lab::child::Ended,
    canaries: BTreeMap<String, String>,
    /// Copies of the data directory after each step.
    steps: Vec<PathBuf>,
    /// What every error said.
    errors: String,
    /// Names of files seen in the data directory and in TMPDIR.
    names: BTreeSet<String>,
    stray: Vec<String>,
    far_ends: BTreeSet<String>,
    practice_port: u16,
}

struct Player<'a> {
    phone: Remote,
    practice: &'a Running,
    day: Day,
}

impl Player<'_> {
    /// Does one thing, then looks at what is there.
    fn step(&mut self, words: &[&str]) -> serde_json::Value {
        let answer = self.phone.ask(words).unwrap_or_else(|error| panic!("{}: {error}", words[0]));
        self.look();
        answer
    }

    /// The same for what must fail; the words of the error are kept.
    fn fails(&mut self, words: &[&str]) {
        let error = self.phone.ask(words).expect_err(words[0]);
        self.day.errors += &error;
        self.day.errors.push('\n');
        self.look();
    }

    fn look(&mut self) {
        let data = self.phone.path("data");
        let copy = self.phone.path("steps").join(self.day.steps.len().to_string());
        lab::copy(&data, &copy);
        self.day.steps.push(copy);
        self.day.names.extend(files(&data).iter().map(|file| name(file)));
        self.day.stray.extend(files(&self.phone.path("tmp")).iter().map(|file| name(file)));
        for open in self.phone.ask(&["open_files"]).unwrap().as_array().unwrap() {
            let open = open.as_str().unwrap();
            let ours = Path::new(open.trim_end_matches(" (deleted)")).starts_with(self.phone.place.path());
            let system = ["/dev/", "pipe:", "anon_inode:", "socket:", "/proc/"];
            if !ours && !system.iter().any(|begins| open.starts_with(begins)) {
                self.day.stray.push(open.to_owned());
            }
        }
        self.far_ends();
    }

    /// The addresses that the child's sockets are connected to.
    fn far_ends(&mut self) {
        let fds = std::fs::read_dir(format!("/proc/{}/fd", self.phone.id())).unwrap();
        let links = fds.filter_map(|link| std::fs::read_link(link.unwrap().path()).ok());
        let sockets: BTreeSet<String> = links
            .filter_map(|link| {
                let text = link.to_string_lossy().into_owned();
                Some(text.strip_prefix("socket:[")?.trim_end_matches(']').to_owned())
            })
            .collect();
        for table in ["tcp", "tcp6", "udp", "udp6"] {
            for line in std::fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default().lines() {
                let fields: Vec<&str> = line.split_whitespace().collect();
                if fields.get(9).is_some_and(|inode| sockets.contains(*inode)) {
                    self.day.far_ends.insert(format!("{table} {}", fields[2]));
                }
            }
        }
    }

    fn plant(&mut self, random: &mut ChaCha20Rng, label: &str) -> String {
        let canary = lab::canary(random, "Zq");
        self.day.canaries.insert(label.to_owned(), canary.clone());
        canary
    }
}

fn play() -> Day {
    let mut random = lab::random(chrono::Utc::now().timestamp_millis().unsigned_abs());
    let practice = child::practice(300);
    let phone = Remote::start("child", &practice);
    let day = Day {
        place: child::Ended::default(),
        canaries: BTreeMap::new(),
        steps: Vec::new(),
        errors: String::new(),
        names: BTreeSet::new(),
        stray: Vec::new(),
        far_ends: BTreeSet::new(),
        practice_port: practice.address().port(),
    };
    let mut player = Player { phone, practice: &practice, day };
    let random = &mut random;

    // A client and a correspondence that are nobody else's.
    let (given, family) = (player.plant(random, "given name"), player.plant(random, "family name"));
    let preferred = player.plant(random, "preferred name");
    let email = format!("{}@example.org", player.plant(random, "login").to_lowercase());
    player.day.canaries.insert("login".into(), email.clone());
    let mut texts = Vec::new();
    for n in 0..12 {
        let (subject, body) =
            (player.plant(random, &format!("subject {n}")), player.plant(random, &format!("body {n}")));
        texts.push((format!("About {subject}"), format!("Dear all, {body} as we said.")));
    }
    let (client, link) = child::act(&practice, |world, now| {
        let new = NewClient {
            given_name: given,
            family_name: family.clone(),
            preferred_name: Some(preferred),
            date_of_birth: "1984-02-29".parse().unwrap(),
            email: email.clone(),
            phone: None,
            zone: "America/New_York".into(),
            clinician: None,
        };
        let client = world.add_client(new, now).unwrap();
        let staff = world.all_staff().next().unwrap().id;
        for (subject, body) in &texts {
            world.write_to_client(staff, client, subject, body, now).unwrap();
        }
        (client, world.invite(client, now).unwrap().link.unwrap())
    });
    let token = link.rsplit('/').next().unwrap().to_owned();
    player.day.canaries.insert("invitation".into(), token.clone());
    let password = format!("{} and more", player.plant(random, "password"));

    // Everything that goes wrong before it goes well.
    let wrong = player.plant(random, "wrong password");
    player.fails(&["register", &format!("{link}?{wrong}"), &family, "1984-02-29", &password]);
    player.fails(&["register", &link, &wrong, "1984-02-29", &password]);
    player.fails(&["register", &link, &family, &wrong, &password]);
    player.fails(&["register", &link, &family, "1984-02-29", "short1"]);
    player.fails(&["finish", &format!("org.portal.phone:/signed-in?code={wrong}&state={wrong}&iss=x")]);
    player.fails(&["send_to", &wrong, &wrong]);
    player.step(&["register", &link, &family, "1984-02-29", &password]);
    player.step(&["sync"]);
    player.step(&["read"]);
    player.fails(&["send_to", &wrong, &wrong]);
    player.fails(&["draft_key", &wrong]);
    player.fails(&["send_to", "018f3c5a-7d20-7c41-8e1d-5b2a90c411e7", &wrong]);
    player.fails(&["finish", &format!("org.portal.phone:/signed-in?code={wrong}&state={wrong}&iss=x")]);
    player.fails(&["send", &format!("{wrong} {}", "long ".repeat(2_000))]);

    // Writing, on and off the network.
    let mine = player.plant(random, "my message");
    player.step(&["send", &format!("I wanted to say {mine}.")]);
    let (subject, text) = (player.plant(random, "my subject"), player.plant(random, "my question"));
    player.step(&["start", &subject, &text]);
    let (subject, text) = (player.plant(random, "draft subject"), player.plant(random, "draft"));
    player.step(&["draft", &subject, &text]);
    let asked = player.plant(random, "search");
    player.step(&["search", &asked]);
    player.step(&["search", &mine]);
    player.step(&["sync"]);
    practice.pause().unwrap();
    let offline = player.plant(random, "offline message");
    player.step(&["send", &offline]);
    player.fails(&["sync"]);
    player.step(&["suspend"]);
    player.fails(&["read"]);
    player.step(&["resume"]);
    player.step(&["lock"]);
    player.fails(&["read"]);
    player.step(&["unlock"]);
    practice.resume().unwrap();
    while player.phone.ask(&["sync"]).is_err() {}
    player.step(&["read"]);
    player.tokens("before the new sign-in");

    // In again through the pages; a server error with the texts in it; and a second refused code.
    let url = player.step(&["begin"]).as_str().unwrap().to_owned();
    let state =
        url::Url::parse(&url).unwrap().query_pairs().find(|pair| pair.0 == "state").unwrap().1.into_owned();
    player.day.canaries.insert("state".into(), state.clone());
    player.verifier();
    let back = child::browse(&practice, &url, &email, &password);
    let code =
        url::Url::parse(&back).unwrap().query_pairs().find(|pair| pair.0 == "code").unwrap().1.into_owned();
    player.day.canaries.insert("code".into(), code);
    player.fails(&["finish", &back.replace(&state, "another-state")]);
    player.step(&["finish", &back]);
    player.fails(&["finish", &back]);
    player.tokens("after the new sign-in");
    child::act(player.practice, |world, _| world.set_min_core_version(Some("99.0.0")).unwrap());
    player.fails(&["sync"]);
    child::act(player.practice, |world, _| world.set_min_core_version(None).unwrap());
    player.step(&["sync"]);
    player.step(&["read"]);
    child::act(player.practice, |world, now| world.revoke_access(client, now).unwrap());
    player.fails(&["sync"]);
    player.fails(&["read"]);

    let Player { phone, mut day, .. } = player;
    day.place = phone.quit();
    day
}

impl Player<'_> {
    /// Notes the tokens that are in the database now.
    fn tokens(&mut self, when: &str) {
        let vault = SoftVault::open(&self.phone.path("keys"), SoftVault::NAME).unwrap();
        let user = lab::users(&self.phone.path("data")).remove(0);
        let master = lab::master_key(&user, &vault);
        let key = lab::database_key(&master);
        let copy = self.phone.path("beside");
        lab::copy(&user, &copy);
        let (access, refresh): (String, String) = lab::database(&copy.join("portal.db"), &key)
            .unwrap()
            .query_row("SELECT access_token, refresh_token FROM session", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .unwrap();
        self.day.canaries.insert(format!("access token {when}"), access);
        self.day.canaries.insert(format!("refresh token {when}"), refresh);
        self.day.canaries.insert("master key".into(), lab::hex(&master));
        self.day.canaries.insert("database key".into(), lab::hex(&key));
    }

    /// Notes the PKCE verifier of the sign-in that is under way.
    fn verifier(&mut self) {
        let vault = SoftVault::open(&self.phone.path("keys"), SoftVault::NAME).unwrap();
        let sealed = std::fs::read(self.phone.path("data").join("install")).unwrap();
        let plain = vault.unwrap("portal-install".into(), sealed).unwrap();
        let content: serde_json::Value = serde_json::from_slice(&plain).unwrap();
        let verifier = content["pending"]["verifier"].as_str().unwrap().to_owned();
        self.day.canaries.insert("verifier".into(), verifier);
    }
}

fn scanner(day: &Day) -> Scanner {
    let mut raw: Vec<(String, Vec<u8>)> = Vec::new();
    for (label, canary) in &day.canaries {
        raw.push((label.clone(), canary.clone().into_bytes()));
        if label.ends_with(" key") {
            let bytes = (0..canary.len()).step_by(2).map(|at| u8::from_str_radix(&canary[at..at + 2], 16));
            raw.push((label.clone(), bytes.map(Result::unwrap).collect()));
        }
    }
    Scanner::new(raw.iter().map(|(label, bytes)| (label.as_str(), bytes.as_slice())))
}

#[test]
fn s1_a13_l1_nothing_of_a_whole_day_is_in_a_file_a_log_an_error_or_a_debug() {
    let day = play();
    let scanner = scanner(&day);
    println!("{} canaries in {} forms, {} steps", day.canaries.len(), scanner.forms(), day.steps.len());
    assert!(day.canaries.len() >= 30, "{}", day.canaries.len());
    let place = day.place.path();
    let read = |name: &str| std::fs::read(place.join(name)).unwrap();

    // Files: after every step, and at the end.
    for step in day.steps.iter().chain([&place.join("data"), &place.join("tmp")]) {
        assert_eq!(scanner.hits_in(step), [""; 0], "{}", name(step));
        for file in files(step) {
            let bytes = std::fs::read(&file).unwrap();
            assert!(!bytes.starts_with(b"SQLite format 3"), "{}", name(&file));
        }
    }
    // Words: logs of every library at TRACE, errors, Debug of every view, and what went to stderr.
    let log = String::from_utf8(read("log")).unwrap();
    assert_eq!(scanner.hits(log.as_bytes()), [""; 0]);
    assert_eq!(scanner.hits(day.errors.as_bytes()), [""; 0]);
    assert_eq!(scanner.hits(&read("debug")), [""; 0]);
    assert_eq!(scanner.hits(&read("stderr")), [""; 0]);

    // The controls. Logs: both facades are heard, and many libraries spoke.
    assert!(log.contains("control-of-the-log") && log.contains("SyncEnded") && log.lines().count() > 200);
    assert!(["h2::", "hyper_util::"].iter().all(|target| log.contains(target)));
    assert!(day.errors.lines().count() >= 15 && read("debug").len() > 500);
    let canary = &day.canaries["body 3"];
    assert_eq!(scanner.hits(format!("{log} {canary}").as_bytes()).len(), 1);
    // A plain file in the same directory, in each form.
    for form in lab::disguises(canary.as_bytes()) {
        let file = place.join("data").join("plain");
        std::fs::write(&file, [b"before", &form[..], b"after"].concat()).unwrap();
        assert!(!scanner.hits_in(&place.join("data")).is_empty());
        std::fs::remove_file(file).unwrap();
    }
    // The same database without encryption.
    let last = day.steps.iter().rev().find(|step| lab::users(step).len() == 1).unwrap();
    let user = lab::users(last).remove(0);
    let plain = place.join("plain.db");
    let key: Vec<u8> = (0..64)
        .step_by(2)
        .map(|at| u8::from_str_radix(&day.canaries["database key"][at..at + 2], 16).unwrap())
        .collect();
    lab::database(&user.join("portal.db"), &key.try_into().unwrap())
        .unwrap()
        .execute_batch(&format!(
            "ATTACH DATABASE '{}' AS plain KEY ''; SELECT sqlcipher_export('plain'); DETACH DATABASE plain;",
            plain.display()
        ))
        .unwrap_or_else(|error| assert!(error.to_string().contains("returned"), "{error}"));
    let found: BTreeSet<String> = scanner.hits(&std::fs::read(&plain).unwrap()).into_iter().collect();
    let words = ["given name", "family name", "login", "my message", "my question", "draft", "body 0"];
    assert!(words.iter().all(|label| found.contains(*label)) && found.len() >= 28, "{found:?}");
    assert!(found.iter().any(|label| label.starts_with("refresh token")), "{found:?}");

    // S3: only these files ever stood there, and none beside them.
    let sealed = ["install", "master.key", "portal.db", "portal.db-shm", "portal.db-wal"];
    let public = ["practice.json", "install.lock", "admit.lock", "sync.lock"];
    let allowed = |name: &str| {
        // A file that is replaced is written beside first.
        let begun = ["install.", "master.", "practice."].iter().any(|stem| name.starts_with(stem));
        sealed.contains(&name) || public.contains(&name) || begun && name.ends_with(".new")
    };
    assert!(day.names.iter().all(|name| allowed(name)), "{:?}", day.names);
    assert!(day.names.contains("portal.db-wal"));
    let strays: Vec<_> =
        day.stray.iter().filter(|stray| !stray.starts_with(&*place.to_string_lossy())).collect();
    assert!(strays.is_empty(), "{strays:?}");

    // N4: whatever was connected was connected to the practice.
    let port = format!(":{:04X}", day.practice_port);
    assert!(!day.far_ends.is_empty(), "the control");
    assert!(
        day.far_ends.iter().all(|end| end.starts_with("tcp") && end.ends_with(&port)),
        "{:?}",
        day.far_ends
    );
}
