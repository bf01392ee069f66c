//! A phone in a process of its own, over real sockets, so that what its memory, files and log hold
//! comes from the practice alone. The parent tells it what to do, a line at a time.
#![allow(dead_code, unreachable_pub, reason = "each story uses a part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use portal_core::account::{Registration, Unsent};
use portal_core::messages::{Draft, NewThread, Recipient, ThreadFilter};
use portal_core::store::SoftVault;
use portal_core::{Portal, PortalConfig};
use portal_server_mock::serve::Running;
use portal_server_mock::{Outcome, World};
use portal_tests::phone::Scratch;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

/// Tells a test binary that it is the child, and where its things are.
pub const CHILD: &str = "PORTAL_TEST_CHILD";
const MARK: &str = "@@";

/// The practice in this process, on a socket.
pub fn practice(messages: usize) -> Running {
    portal_tests::served::practice(11, messages).unwrap()
}

/// Something happens at the practice.
pub fn act<T>(practice: &Running, act: impl FnOnce(&mut World, chrono::DateTime<chrono::Utc>) -> T) -> T {
    act(&mut practice.world().lock().unwrap(), chrono::Utc::now())
}

/// Fills the pages of a sign-in and gives where the browser is sent.
pub fn browse(practice: &Running, url: &str, login_id: &str, password: &str) -> String {
    let ask = |request: http::Request<Vec<u8>>| {
        act(practice, |world, now| match portal_server_mock::handle(&request, world, now).outcome {
            Outcome::Reply(response) => response,
            _ => panic!("no answer"),
        })
    };
    let html = String::from_utf8(ask(http::Request::get(url).body(Vec::new()).unwrap()).into_body()).unwrap();
    let transaction = html.split("name=\"transaction\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("transaction", transaction)
        .append_pair("login_id", login_id)
        .append_pair("password", password)
        .finish();
    let request = http::Request::post(format!("{}/oauth/authorize", practice.base_url()))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form.into_bytes())
        .unwrap();
    ask(request).headers()["location"].to_str().unwrap().to_owned()
}

/// The child as its parent has it.
pub struct Remote {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// Its place: `data`, `tmp`, `keys`, `log`.
    pub place: Scratch,
}

impl Remote {
    /// Starts the test `name` of this binary as a child that talks to this practice.
    pub fn start(name: &str, practice: &Running) -> Self {
        let place = Scratch::new();
        std::fs::create_dir(place.path().join("tmp")).unwrap();
        std::fs::write(place.path().join("ca"), practice.ca_pem().unwrap()).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([name, "--exact", "--nocapture", "--test-threads=1"])
            .env(CHILD, place.path())
            .env("TMPDIR", place.path().join("tmp"))
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(place.path().join("stderr")).unwrap())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut remote = Self { child, input, output, place };
        remote.ask(&["open", practice.base_url()]).unwrap();
        remote
    }

    /// Has it do something and gives what came of it: the result, or the error in words.
    pub fn ask(&mut self, words: &[&str]) -> Result<Value, String> {
        let line = serde_json::to_string(words).unwrap();
        self.input.write_all(format!("{line}\n").as_bytes()).unwrap();
        self.input.flush().unwrap();
        loop {
            let mut line = String::new();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "the child ended at {:?}", words[0]);
            // The test harness prints the test's name and no line end.
            if let Some((_, answer)) = line.split_once(MARK) {
                let answer: Value = serde_json::from_str(answer).unwrap();
                return match answer.get("error") {
                    Some(error) => Err(error.as_str().unwrap().to_owned()),
                    None => Ok(answer["ok"].clone()),
                };
            }
        }
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Something in its place.
    pub fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// What its memory holds that can be written: heap, stacks, data.
    pub fn memory(&self, mut each: impl FnMut(&[u8])) {
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", self.id())).unwrap();
        let memory = File::open(format!("/proc/{}/mem", self.id())).unwrap();
        for line in maps.lines() {
            let mut fields = line.split_whitespace();
            let (range, rights) = (fields.next().unwrap(), fields.next().unwrap());
            if !rights.starts_with("rw") || line.ends_with("[vvar]") {
                continue;
            }
            let (from, to) = range.split_once('-').unwrap();
            let (from, to) = (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
            let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
            if std::os::unix::fs::FileExt::read_exact_at(&memory, &mut bytes, from).is_ok() {
                each(&bytes);
            }
        }
    }

    /// Ends it; its place stays as long as what is given.
    pub fn quit(mut self) -> Ended {
        self.ask(&["quit"]).unwrap();
        assert!(self.child.wait().unwrap().success());
        Ended(Some(std::mem::take(&mut self.place)))
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        // One that is still there belongs to a test that failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The place of a child that has ended.
#[derive(Default)]
pub struct Ended(Option<Scratch>);

impl Ended {
    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.as_ref().unwrap().path()
    }
}

/// The child's side: does what it is told until it is told to quit. No buffer of the standard
/// library keeps a line: those live as long as the process.
pub fn serve_parent() {
    let Ok(place) = std::env::var(CHILD) else { return };
    let place = PathBuf::from(place);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut input, mut output) = (File::open("/dev/stdin").unwrap(), File::create("/dev/stdout").unwrap());
    let mut phone = Phone { place, portal: None };
    loop {
        let mut line = Vec::with_capacity(4096);
        let mut byte = [0];
        while input.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
            line.push(byte[0]);
        }
        let words: Vec<String> = serde_json::from_slice(&line).unwrap();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let quit = words == ["quit"];
        let answer = match runtime.block_on(phone.act(&words)) {
            Ok(value) => json!({ "ok": value }),
            Err(error) => json!({ "error": format!("{error} {error:?}") }),
        };
        output.write_all(format!("{MARK}{answer}\n").as_bytes()).unwrap();
        if quit {
            return;
        }
    }
}

struct Phone {
    place: PathBuf,
    portal: Option<Arc<Portal>>,
}

impl Phone {
    async fn act(&mut self, words: &[&str]) -> Result<Value, portal_core::PortalError> {
        if let ["open", url] = words {
            self.portal = Some(open(&self.place, url).await?);
            return Ok(Value::Null);
        }
        if words == ["quit"] {
            self.portal = None;
            return Ok(Value::Null);
        }
        let portal = self.portal.clone().unwrap();
        let (account, messages) = (portal.account(), portal.messages());
        Ok(match words {
            ["register", link, name, birth, password] => {
                let registration = Registration {
                    invitation_link: (*link).into(),
                    last_name: (*name).into(),
                    date_of_birth: (*birth).into(),
                    password: (*password).into(),
                };
                self.note(&registration);
                json!(account.register(registration).await?)
            }
            ["begin"] => json!(account.sign_in_begin().await?),
            ["finish", redirect] => json!(account.sign_in_finish((*redirect).into()).await?),
            ["sync"] => {
                let report = portal.sync(None).await?;
                self.note(&report);
                json!(report.complete)
            }
            ["lock"] => json!(account.lock().await?),
            ["unlock"] => json!(account.unlock().await?),
            ["suspend"] => json!(portal.suspend().await?),
            ["resume"] => json!(portal.resume().await?),
            ["sign_out"] => json!(account.sign_out(Unsent::Discard).await?),
            ["send", text] => {
                let page = messages.threads(ThreadFilter::All, 0, 1).await?;
                json!(messages.send(page.threads[0].id.clone(), (*text).into()).await?)
            }
            ["send_to", thread, text] => json!(messages.send((*thread).into(), (*text).into()).await?),
            ["start", subject, text] => {
                let thread = NewThread {
                    recipient: Recipient::Route { route: "scheduler".into() },
                    subject: (*subject).into(),
                    text: (*text).into(),
                    draft: None,
                };
                self.note(&thread);
                json!(messages.start(thread).await?)
            }
            ["draft", subject, text] => {
                let draft = Draft {
                    key: None,
                    thread: None,
                    recipient: None,
                    subject: (*subject).into(),
                    text: (*text).into(),
                };
                self.note(&draft);
                json!(messages.save_draft(draft).await?)
            }
            ["draft_key", key] => {
                let (subject, text) = (String::new(), "x".to_owned());
                let draft = Draft { key: Some((*key).into()), thread: None, recipient: None, subject, text };
                json!(messages.save_draft(draft).await?)
            }
            ["search", query] => {
                let hits = messages.search((*query).into(), 100).await?;
                self.note(&hits);
                json!(hits.len())
            }
            ["read"] => json!(self.read(&portal).await?),
            ["open_files"] => json!(open_files()),
            other => panic!("not known: {:?}", other.first()),
        })
    }

    /// Reads every screen; nothing of them is kept but how much there was.
    async fn read(&self, portal: &Portal) -> Result<usize, portal_core::PortalError> {
        let (messages, mut count) = (portal.messages(), 0);
        let page = messages.threads(ThreadFilter::All, 0, 100).await?;
        self.note(&page);
        for thread in &page.threads {
            let mut before = None;
            loop {
                let view = messages.thread(thread.id.clone(), before, 100).await?;
                self.note(&view);
                assert!(view.not_for_emergencies);
                count += view.messages.len();
                before = view.earlier;
                if before.is_none() {
                    break;
                }
            }
            self.note(&messages.print(thread.id.clone()).await?);
        }
        self.note(&messages.drafts().await?);
        self.note(&messages.recipients().await?);
        self.note(&portal.outbox().entries().await?);
        self.note(&portal.home().view().await?);
        self.note(&portal.home().crisis_card());
        self.note(&portal.account().session());
        Ok(count)
    }

    /// Writes what `Debug` says of a value to where the parent looks.
    fn note(&self, value: &dyn std::fmt::Debug) {
        let file = File::options().create(true).append(true).open(self.place.join("debug"));
        file.unwrap().write_all(format!("{value:?}\n{value:#?}\n").as_bytes()).unwrap();
    }
}

async fn open(place: &Path, url: &str) -> Result<Arc<Portal>, portal_core::PortalError> {
    let inner = SoftVault::open(&place.join("keys"), SoftVault::NAME)?;
    let config = PortalConfig {
        practice_url: url.to_owned(),
        client_id: "org.portal.phone".to_owned(),
        redirect_uri: "org.portal.phone:/signed-in".to_owned(),
        roots_pem: std::fs::read_to_string(place.join("ca")).unwrap(),
        pins: Vec::new(),
        data_dir: place.join("data").to_string_lossy().into_owned(),
        allow_loopback_http: false,
    };
    Portal::open(config, Arc::new(inner)).await
}

/// Every file and every far end that this process has open now.
fn open_files() -> Vec<String> {
    let links = std::fs::read_dir("/proc/self/fd").unwrap();
    links
        .filter_map(|link| std::fs::read_link(link.ok()?.path()).ok())
        .map(|target| target.to_string_lossy().into_owned())
        .collect()
}
