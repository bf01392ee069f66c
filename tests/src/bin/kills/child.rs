//! The child: a phone with the core as shipped, which tells what it promises until it is killed.

use crate::acts;
use crate::raw;
use crate::words::{Act, Bug, Life, Made, Order, Report, Seen};
use portal_core::account::{Registration, SessionState, Unsent};
use portal_core::messages::{MessageState, ThreadFilter};
use portal_core::store::SoftVault;
use portal_core::{Portal, PortalConfig, PortalError, Reason, proof};
use portal_tests::points::Scene;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

static POINT: OnceLock<String> = OnceLock::new();
static LEFT: AtomicU32 = AtomicU32::new(0);

/// The phone and what it needs to act.
pub(crate) struct Phone {
    pub(crate) order: Order,
    pub(crate) portal: Arc<Portal>,
    pub(crate) random: ChaCha20Rng,
    /// Conversations that take replies.
    pub(crate) threads: Vec<String>,
    texts: u32,
}

/// Reads the order and lives.
pub(crate) fn main() {
    let Some(order) = line().and_then(|line| serde_json::from_str::<Order>(&line).ok()) else { return };
    if let Some((name, nth)) = &order.point {
        LEFT.store(*nth, Ordering::SeqCst);
        let _ = POINT.set(name.clone());
        proof::listen(reached);
    }
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    if let Err(fault) = runtime.block_on(live(order)) {
        tell(&Report::Fault(fault));
    }
    tell(&Report::Idle);
    // Whoever is done is killed, too. A harness that is gone ends the line.
    let _ = line();
}

fn reached(name: &'static str) {
    if POINT.get().is_some_and(|wanted| wanted == name) && LEFT.fetch_sub(1, Ordering::SeqCst) == 1 {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        loop {
            std::thread::park();
        }
    }
}

/// One report, in one `write`.
pub(crate) fn tell(report: &Report) {
    static OUT: OnceLock<Option<File>> = OnceLock::new();
    let out = OUT.get_or_init(|| File::options().write(true).open("/dev/stdout").ok());
    if let (Some(mut out), Ok(mut text)) = (out.as_ref(), serde_json::to_vec(report)) {
        text.push(b'\n');
        let _ = out.write_all(&text);
    }
}

/// One line of what the harness says; nothing is read beyond it.
fn line() -> Option<String> {
    let (mut input, mut line, mut byte) = (std::io::stdin(), Vec::new(), [0]);
    while input.read(&mut byte).ok()? == 1 {
        if byte == *b"\n" {
            return String::from_utf8(line).ok();
        }
        line.push(byte[0]);
    }
    None
}

async fn live(order: Order) -> Result<(), String> {
    if order.life == Life::Spoil {
        return raw::spoil(&order.place).map_err(|error| format!("cannot damage the file: {error}"));
    }
    tell(&Report::Started);
    let portal = open(&order).await.map_err(|error| format!("does not open: {error}"))?;
    let random = ChaCha20Rng::seed_from_u64(order.seed);
    let mut phone = Phone { order, portal, random, threads: Vec::new(), texts: 0 };
    let session = phone.portal.account().session();
    tell(&phone.opened(session.state, session.reason));
    let enters = phone.order.life == Life::Scene(Scene::Enter);
    match session.state {
        SessionState::Locked => phone.show().await?,
        SessionState::SignedOut if enters => {
            tell(&Report::Working);
            phone.enter().await?;
        }
        SessionState::SignedOut => return Ok(()),
        _ => return Err("open without a key".to_owned()),
    }
    match phone.order.life {
        Life::Rest => acts::rest(&mut phone).await,
        Life::Scene(Scene::Leave) => {
            tell(&Report::Working);
            phone.leave().await
        }
        Life::Scene(scene) => {
            tell(&Report::Working);
            acts::work(&mut phone, scene).await
        }
        Life::Spoil => Ok(()),
    }
}

async fn open(order: &Order) -> Result<Arc<Portal>, PortalError> {
    let vault = SoftVault::open(&order.place.join("keys"), SoftVault::NAME)?;
    let config = PortalConfig {
        practice_url: order.url.clone(),
        client_id: "org.portal.phone".to_owned(),
        redirect_uri: "org.portal.phone:/signed-in".to_owned(),
        roots_pem: std::fs::read_to_string(order.place.join("ca")).unwrap_or_default(),
        pins: Vec::new(),
        data_dir: order.place.join("data").to_string_lossy().into_owned(),
        allow_loopback_http: false,
    };
    Portal::open(config, Arc::new(vault)).await
}

/// How many names in a directory fit.
fn names(directory: &Path, fits: impl Fn(&str) -> bool) -> usize {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().to_str().is_some_and(&fits)).count()
}

impl Phone {
    fn opened(&self, state: SessionState, reason: Option<Reason>) -> Report {
        let data = self.order.place.join("data");
        Report::Opened {
            state: format!("{state:?}"),
            reason: reason.map(|reason| reason.code().to_owned()).unwrap_or_default(),
            users: names(&data.join("users"), |_| true),
            // The development vault writes beside, too, and a kill leaves that.
            keys: names(&self.order.place.join("keys"), |name| {
                name != "portal-install" && !name.ends_with(".new")
            }),
            wiping: names(&data, |name| name.starts_with("wiping-")),
        }
    }

    /// A text that no other life writes.
    pub(crate) fn text(&mut self) -> String {
        self.texts += 1;
        format!("{}.{}", self.order.name, self.texts)
    }

    /// A number below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.random.next_u32()).unwrap_or(0) % n.max(1)
    }

    /// Unlocks and shows what was promised in former lives.
    async fn show(&mut self) -> Result<(), String> {
        self.portal.account().unlock().await.map_err(|error| format!("does not unlock: {error}"))?;
        let mut seen = self.seen().await;
        // Whoever finds a damaged file has it replaced; another verb may meet it meanwhile.
        for _ in 0..2_000 {
            if !seen.as_ref().is_err_and(|error| self.tolerates(error)) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
            seen = self.seen().await;
        }
        tell(&Report::Seen(seen.map_err(|error| format!("does not show: {error}"))?));
        Ok(())
    }

    async fn seen(&mut self) -> Result<Seen, PortalError> {
        // The outbox first: what has left it by then is at the practice.
        let outbox = self.portal.outbox().entries().await?.into_iter().map(|entry| entry.text).collect();
        let messages = self.portal.messages();
        let drafts = messages.drafts().await?;
        let drafts = drafts.into_iter().filter_map(|one| Some((one.draft.key?, one.draft.text))).collect();
        let page = messages.threads(ThreadFilter::All, 0, 100).await?;
        self.threads = page.threads.iter().filter(|thread| !thread.closed).map(|t| t.id.clone()).collect();
        let mut seen = Seen { outbox, drafts, unread: Vec::new(), twice: Vec::new() };
        for id in self.order.marked.clone() {
            let view = match messages.thread(id.clone(), None, 100).await {
                Ok(view) => view,
                // After a repair the base comes again from the practice.
                Err(PortalError::NotFound { .. }) => continue,
                Err(error) => return Err(error),
            };
            let mut texts = BTreeMap::<&str, u32>::new();
            for message in &view.messages {
                *texts.entry(&message.text).or_default() += u32::from(message.mine);
                if message.state == (MessageState::Received { read: false }) {
                    seen.unread.push((id.clone(), message.n.unwrap_or(0)));
                }
            }
            seen.twice.extend(texts.into_iter().filter(|(_, n)| *n > 1).map(|(text, _)| text.to_owned()));
        }
        Ok(seen)
    }

    /// Registers, or signs in when the invitation was used in a former life.
    async fn enter(&mut self) -> Result<(), String> {
        tell(&Report::Begun(Act::Enter));
        for attempt in 0.. {
            let account = self.portal.account();
            let person = &self.order.person;
            let registration = Registration {
                invitation_link: person.link.clone(),
                last_name: person.family_name.clone(),
                date_of_birth: person.birth_date.clone(),
                password: person.password.clone(),
            };
            let entered = match account.register(registration).await {
                Err(PortalError::Refused { reason: Reason::InvitationUsed, .. }) => self.sign_in().await,
                registered => registered,
            };
            match entered {
                Ok(()) => break,
                Err(
                    PortalError::Offline { .. } | PortalError::Refused { reason: Reason::CodeRefused, .. },
                ) if attempt < 8 => {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                Err(error) => return Err(format!("does not get in: {error}")),
            }
        }
        tell(&Report::Done(Made::default()));
        // The first pull.
        let _ = self.portal.sync(Some(5_000)).await;
        Ok(())
    }

    /// Signs in through the pages, which the harness fills.
    pub(crate) async fn sign_in(&self) -> Result<(), PortalError> {
        let url = self.portal.account().sign_in_begin().await?;
        tell(&Report::Browse(url));
        self.portal.account().sign_in_finish(line().unwrap_or_default()).await
    }

    async fn leave(&mut self) -> Result<(), String> {
        tell(&Report::Begun(Act::Leave));
        let account = self.portal.account();
        let left = match self.below(2) {
            0 => account.wipe().await,
            _ => account.sign_out(Unsent::Discard).await,
        };
        left.map_err(|error| format!("does not leave: {error}"))?;
        tell(&Report::Done(Made::default()));
        let _ = self.portal.sync(Some(1_000)).await;
        Ok(())
    }

    /// What a verb may answer while a damaged file is replaced; nothing of it happened then.
    pub(crate) fn tolerates(&self, error: &PortalError) -> bool {
        let spoiled = self.order.spoiled;
        spoiled && matches!(error, PortalError::Storage { reason: Reason::Damaged | Reason::Suspended })
    }

    /// A verb with a promise: told before, done, told after.
    pub(crate) async fn promise(
        &self,
        act: Act,
        verb: impl Future<Output = Result<Made, PortalError>>,
    ) -> Result<(), String> {
        tell(&Report::Begun(act.clone()));
        if self.order.bug == Some(Bug::Early) {
            tell(&Report::Done(Made::default()));
            tokio::time::sleep(Duration::from_millis(3)).await;
            return verb.await.map(drop).map_err(|error| format!("{act:?}: {error}"));
        }
        match verb.await {
            Ok(made) => tell(&Report::Done(made)),
            Err(error @ (PortalError::Refused { .. } | PortalError::NotFound { .. })) => {
                tell(&Report::Failed(error.to_string()));
            }
            Err(error) if self.tolerates(&error) => tell(&Report::Failed(error.to_string())),
            Err(error) => return Err(format!("{act:?}: {error}")),
        }
        Ok(())
    }
}
