//! The day itself, part by part.

use crate::commands::Desk;
use crate::commands::home::name;
use crate::commands::sync::with_progress;
use crate::demo::practice_side::Books;
use crate::demo::story::{Story, count, same, told, took};
use crate::demo::{browser, killed};
use crate::failure::Failure;
use crate::practice::{Folder, Practice};
use crate::serve;
use crate::words;
use portal_core::account::{Registration, SessionState, Unsent};
use portal_core::messages::{Draft, MessageState, NewThread, Recipient, ThreadFilter};
use portal_core::store::SoftVault;
use portal_core::{Portal, PortalError, Reason};
use portal_server_mock::demo::{INVITED_BIRTH_DATE, INVITED_EMAIL};
use portal_server_mock::serve::Running;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PASSWORD: &str = "seven slow otters before dawn";
/// The same day every time.
const SEED: u64 = 7;
/// More than the core takes to come back once the network is there.
const PATIENCE: Duration = Duration::from_secs(60);
/// The most that the core gives at once.
const PAGE: u32 = 100;

/// What is asked for, how it is written, and what that shows.
const SEARCHES: [(&str, &str, &str); 6] = [
    ("interpreter", "interpreter", "English"),
    ("prefere", "préfère", "French, typed without accents"),
    ("ممتاز", "ممتاز", "Arabic"),
    ("תודה", "תודה", "Hebrew"),
    ("谢谢", "谢谢", "Chinese"),
    ("ありがとう", "ありがとう", "Japanese"),
];

/// The client's day.
pub(super) struct Day {
    story: Story,
    running: Running,
    practice: Practice,
    desk: Desk,
    portal: Option<Arc<Portal>>,
    /// The conversation that most is written in.
    thread: String,
    /// Everything that the client wrote.
    written: Vec<String>,
    /// How many messages by her the practice's books had before.
    before: usize,
    /// Gone with the day.
    folder: TempDir,
}

impl Day {
    pub(super) async fn begin(story: Story, messages: usize) -> Result<Self, Failure> {
        story.part("A practice opens");
        story.say(format_args!("Writing two years of correspondence, {} messages ...", count(messages)));
        let from = Instant::now();
        let start = move || serve::start(([127, 0, 0, 1], 0).into(), messages, SEED, "the demo's staff");
        let running = tokio::task::spawn_blocking(start).await.map_err(|_| Failure::NoThreads)??;
        let (clients, in_books) = Books::of(&running).size()?;
        same("messages in the practice's books", in_books, messages)?;
        let before = Books::of(&running).written_by_client()?;
        story.say(format_args!(
            "It listens at {}, over TLS with keys of its own, for {clients} clients ({})",
            running.base_url(),
            took(from)
        ));
        let practice = Practice::running(&running);
        let folder = tempfile::Builder::new().prefix("portal-demo-").tempdir();
        let folder = folder.map_err(Failure::file(&std::env::temp_dir()))?;
        let file = folder.path().join("practice.json");
        practice.write(&file)?;
        let place = Folder::new(folder.path().to_owned(), Some(file));
        let desk = Desk::new(story.out, place, SoftVault::NAME.to_owned());
        let (portal, thread, written) = (None, String::new(), Vec::new());
        Ok(Self { story, running, practice, desk, portal, thread, written, before, folder })
    }

    fn portal(&self) -> Result<&Arc<Portal>, Failure> {
        self.portal.as_ref().ok_or_else(|| Failure::NotAsTold("the portal is closed".to_owned()))
    }

    fn books(&self) -> Books<'_> {
        Books::of(&self.running)
    }

    pub(super) async fn sign_up(&mut self) -> Result<(), Failure> {
        self.story.part("She signs up");
        let invitation = serve::invitation(&self.running)?;
        self.story.say("Her mailbox holds an invitation with a link");
        let portal = self.portal.insert(self.desk.open().await?).clone();
        let account = portal.account();
        let registration = |date: &str| Registration {
            invitation_link: invitation.link.clone(),
            last_name: invitation.last_name.to_owned(),
            date_of_birth: date.to_owned(),
            password: PASSWORD.to_owned(),
        };
        let refused = account.register(registration("1990-02-27")).await;
        expect(refused, &Reason::RegistrationRefused)?;
        self.story.say("With a wrong date of birth it is refused, and not said what was wrong");
        let from = Instant::now();
        account.register(registration(INVITED_BIRTH_DATE)).await?;
        told(account.session().state == SessionState::Active, || {
            "registration did not sign her in".to_owned()
        })?;
        self.story.say(format_args!("With the right one she is registered and signed in ({})", took(from)));
        account.sign_out(Unsent::Keep).await?;
        told(account.session().state == SessionState::SignedOut, || {
            "sign-out left her signed in".to_owned()
        })?;
        let from = Instant::now();
        let link = account.sign_in_begin().await?;
        let redirect = browser::sign_in(&self.practice.roots_pem, &link, INVITED_EMAIL, PASSWORD).await?;
        account.sign_in_finish(redirect).await?;
        told(account.session().state == SessionState::Active, || "sign-in did not sign her in".to_owned())?;
        self.story.say(format_args!("Signed out, and in again on the practice's own page ({})", took(from)));
        Ok(())
    }

    pub(super) async fn sync_all(&mut self) -> Result<usize, Failure> {
        self.story.part("Her records come to the device");
        let portal = self.portal()?;
        let (_, in_books) = self.books().size()?;
        let (from, bar) = (Instant::now(), self.story.out.progress("Syncing"));
        let report = with_progress(portal, None, &bar).await?;
        let seconds = from.elapsed().as_secs_f64();
        told(report.complete && report.quarantined == 0, || "the sync is not complete".to_owned())?;
        let messages = portal.messages();
        let page = messages.threads(ThreadFilter::All, 0, PAGE).await?;
        let mut synced = 0;
        for thread in &page.threads {
            let newest = messages.thread(thread.id.clone(), None, 1).await?.messages.pop();
            synced +=
                newest.and_then(|message| message.n).map_or(0, |n| usize::try_from(n).unwrap_or(usize::MAX));
        }
        same("messages on the device", synced, in_books)?;
        self.story.say(format_args!(
            "{} messages in {} conversations in {seconds:.1} s, {} a second",
            count(synced),
            page.total,
            count((synced as f64 / seconds.max(0.001)) as usize)
        ));
        let subject = page.threads.first().map(|thread| thread.subject.clone()).unwrap_or_default();
        let size =
            self.files_without(&[subject.as_bytes(), "interpreter".as_bytes(), INVITED_EMAIL.as_bytes()])?;
        self.story.say(format_args!(
            "On disk: {} KB, in which neither her address nor a word of her messages can be read",
            count(size / 1024)
        ));
        Ok(synced)
    }

    /// The size of all files of the records, none of which may hold one of these texts.
    fn files_without(&self, texts: &[&[u8]]) -> Result<usize, Failure> {
        let (mut size, mut folders) = (0, vec![self.desk.folder.records()]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).map_err(Failure::file(&folder))? {
                let path = entry.map_err(Failure::file(&folder))?.path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let bytes = std::fs::read(&path).map_err(Failure::file(&path))?;
                let readable = |text: &&[u8]| bytes.windows(text.len()).any(|window| window == *text);
                told(!texts.iter().any(readable), || "a file on disk can be read".to_owned())?;
                size += bytes.len();
            }
        }
        Ok(size)
    }

    pub(super) async fn look(&mut self) -> Result<(), Failure> {
        self.story.part("She reads");
        let portal = self.portal()?.clone();
        let from = Instant::now();
        let home = portal.home().view().await?;
        let clinician = home.clinician.as_ref().map(name).unwrap_or_default();
        self.story.say(format_args!(
            "Home: {}, with {clinician}, {} unread ({})",
            name(&home.me),
            home.badge,
            took(from)
        ));
        let messages = portal.messages();
        let unread = messages.threads(ThreadFilter::Unread, 0, PAGE).await?;
        let open = unread.threads.iter().find(|thread| !thread.closed);
        let open = open.ok_or_else(|| Failure::NotAsTold("nothing is unread".to_owned()))?;
        self.thread = open.id.clone();
        let from = Instant::now();
        let view = messages.thread(self.thread.clone(), None, 50).await?;
        self.story.say(format_args!(
            "She opens \"{}\": the newest {} messages ({})",
            open.subject,
            view.messages.len(),
            took(from)
        ));
        let newest = view.messages.iter().filter_map(|message| message.n).max().unwrap_or_default();
        messages.mark_read(self.thread.clone(), newest).await?;
        let badge = portal.home().view().await?.badge;
        told(badge + open.unread == home.badge, || format!("the badge went from {} to {badge}", home.badge))?;
        self.story.say(format_args!("Read, so the badge goes from {} to {badge}", home.badge));
        Ok(())
    }

    pub(super) async fn search(&mut self) -> Result<(), Failure> {
        self.story.part("She searches, on the device");
        let messages = self.portal()?.messages();
        for (asked, written, script) in SEARCHES {
            let in_books = self.books().containing(written)?;
            let from = Instant::now();
            let hits = messages.search(asked.to_owned(), PAGE).await?;
            let spent = took(from);
            told((in_books > 0) != hits.is_empty(), || {
                format!("\"{asked}\" was found {} times", hits.len())
            })?;
            let many =
                if hits.len() >= PAGE as usize { "100 and more".to_owned() } else { hits.len().to_string() };
            self.story.say(format_args!("{asked} ({script}): {many} ({spent})"));
        }
        Ok(())
    }

    pub(super) async fn write(&mut self) -> Result<(), Failure> {
        self.story.part("She writes");
        let portal = self.portal()?.clone();
        let messages = portal.messages();
        let half = Draft {
            key: None,
            thread: Some(self.thread.clone()),
            recipient: None,
            subject: String::new(),
            text: "Thank you, I wi".to_owned(),
        };
        messages.save_draft(half).await?;
        let reply = self.note("Thank you, I will bring the diary on Thursday. 🌿");
        let from = Instant::now();
        messages.send(self.thread.clone(), reply).await?;
        let saved = took(from);
        told(messages.drafts().await?.is_empty(), || "the draft stayed behind".to_owned())?;
        let to_scheduler = NewThread {
            recipient: Recipient::Route { route: "scheduler".to_owned() },
            subject: "An hour later?".to_owned(),
            text: self.note("Could we begin an hour later next week?"),
            draft: None,
        };
        messages.start(to_scheduler).await?;
        self.story.say(format_args!(
            "A reply, and a new conversation with whoever schedules: each safe on disk ({saved})"
        ));
        let from = Instant::now();
        self.until_nothing_waits().await?;
        self.arrived_once()?;
        self.story.say(format_args!("Both are in the practice's books, once ({})", took(from)));
        let before = portal.home().view().await?.badge;
        self.books().answer(&self.thread, "Thursday is fine. See you then.")?;
        portal.sync(None).await?;
        let badge = portal.home().view().await?.badge;
        told(badge == before + 1, || "the answer did not come".to_owned())?;
        self.story.say("The practice answers, and the badge shows it");
        Ok(())
    }

    pub(super) async fn lose_the_network(&mut self) -> Result<(), Failure> {
        self.story.part("The practice stops answering");
        self.running.pause()?;
        let portal = self.portal()?.clone();
        let Err(PortalError::Offline { reason }) = portal.sync(None).await else {
            return Err(Failure::NotAsTold("a sync without a practice ended well".to_owned()));
        };
        self.story.say(words::of(reason.code()).said);
        let messages = portal.messages();
        for text in ["I am on the train now 🚆", "نعم، سأكون هناك", "The tunnel is long, but this is written"]
        {
            let text = self.note(text);
            messages.send(self.thread.clone(), text).await?;
        }
        self.waiting(3).await?;
        let view = messages.thread(self.thread.clone(), None, 10).await?;
        let shown = view
            .messages
            .iter()
            .rev()
            .take(3)
            .filter(|message| message.state == MessageState::Waiting)
            .count();
        same("waiting messages in the conversation", shown, 3)?;
        let found = messages.search("tunnel".to_owned(), PAGE).await?;
        told(!found.is_empty(), || "what was just written is not found".to_owned())?;
        self.story
            .say("She writes three more: they stand in the conversation, waiting, and are found by search");
        Ok(())
    }

    pub(super) async fn lock_and_unlock(&mut self) -> Result<(), Failure> {
        self.story.part("She puts the phone down");
        let portal = self.portal()?.clone();
        portal.account().lock().await?;
        let closed = portal.messages().threads(ThreadFilter::All, 0, 1).await;
        expect(closed, &Reason::LockedNow)?;
        let lines = portal.home().crisis_card().lines.len();
        told(lines > 0, || "the crisis card is empty".to_owned())?;
        self.story.say(format_args!("Locked: nothing opens but the crisis card with its {lines} lines"));
        let from = Instant::now();
        portal.account().unlock().await?;
        let spent = took(from);
        self.waiting(3).await?;
        self.story.say(format_args!(
            "Unlocked with the key store, without network ({spent}); three messages still wait"
        ));
        Ok(())
    }

    pub(super) async fn be_killed(&mut self) -> Result<(), Failure> {
        self.story.part("The battery ends while she writes");
        // One process at a time, as on a phone.
        self.portal = None;
        self.close().await;
        let file = self.desk.folder.practice_file();
        let confirmed = killed::write_and_kill(self.folder.path(), &file, &self.thread, 12).await?;
        self.story.say(format_args!(
            "A second process wrote, was told {confirmed} times \"it is safe\", and was killed (SIGKILL)"
        ));
        let from = Instant::now();
        let portal = self.portal.insert(self.desk.ready().await?).clone();
        let entries = portal.outbox().entries().await?;
        let spent = took(from);
        let kept = (1..).take_while(|number| {
            let text = killed::text(*number);
            entries.iter().filter(|entry| entry.text == text).count() == 1
        });
        let kept = u32::try_from(kept.count()).unwrap_or(u32::MAX);
        // The one that it was writing may be there or not: nobody was told that it is safe.
        told(kept == confirmed || kept == confirmed + 1, || format!("{kept} of {confirmed} are there"))?;
        same("entries of the outbox", entries.len(), 3 + usize::try_from(kept).unwrap_or(usize::MAX))?;
        self.written.extend((1..=kept).map(killed::text));
        self.story.say(format_args!(
            "Opened again ({spent}): all {confirmed} are there, and the three from before"
        ));
        Ok(())
    }

    /// How many messages she wrote, and how many of them the practice's books have exactly once.
    pub(super) async fn find_the_network(&mut self) -> Result<(usize, usize), Failure> {
        self.story.part("The practice answers again");
        let waiting = self.portal()?.outbox().entries().await?.len();
        self.running.resume()?;
        let from = Instant::now();
        self.until_nothing_waits().await?;
        self.story.say(format_args!("{waiting} messages left in order ({})", took(from)));
        self.arrived_once()?;
        let in_books = self.books().written_by_client()?;
        same("messages by her in the practice's books", in_books, self.before + self.written.len())?;
        let messages = self.portal()?.messages();
        let view = messages.thread(self.thread.clone(), None, PAGE).await?;
        let here = |text: &String| {
            view.messages.iter().filter(|message| message.mine && message.text == *text).count()
        };
        let offline = self.written.iter().skip(2);
        told(offline.clone().all(|text| here(text) == 1), || {
            "the device shows something twice, or not".to_owned()
        })?;
        self.story
            .say(format_args!("The practice's books: each of her {} messages, once", self.written.len()));
        let once = self.books().arrivals(&self.written).into_iter().filter(|times| *times == 1).count();
        Ok((self.written.len(), once))
    }

    pub(super) async fn leave(&mut self) -> Result<Duration, Failure> {
        self.story.part("The phone is lent to somebody");
        let portal = self.portal()?.clone();
        let from = Instant::now();
        portal.account().wipe().await?;
        let spent = took(from);
        expect(portal.account().unlock().await, &Reason::NotSignedIn)?;
        self.story.say(format_args!("Wiped: the keys first, then the files ({spent})"));
        Ok(self.story.elapsed())
    }

    pub(super) async fn close(&self) {
        self.desk.close().await;
    }

    /// Keeps in mind what she wrote, to look for it in the practice's books.
    fn note(&mut self, text: &str) -> String {
        self.written.push(text.to_owned());
        text.to_owned()
    }

    fn arrived_once(&self) -> Result<(), Failure> {
        let arrivals = self.books().arrivals(&self.written);
        for (text, times) in self.written.iter().zip(arrivals) {
            told(times == 1, || format!("\"{text}\" arrived {times} times"))?;
        }
        Ok(())
    }

    async fn waiting(&self, expected: usize) -> Result<(), Failure> {
        same("messages in the outbox", self.portal()?.outbox().entries().await?.len(), expected)
    }

    async fn until_nothing_waits(&self) -> Result<(), Failure> {
        let (portal, from) = (self.portal()?, Instant::now());
        let bar = self.story.out.progress("Sending");
        loop {
            // Right after an outage the core keeps its distance for a moment: that is no fault here.
            let report = with_progress(portal, None, &bar).await;
            if report.as_ref().is_ok_and(|report| report.complete)
                && portal.outbox().entries().await?.is_empty()
            {
                return Ok(());
            }
            if from.elapsed() > PATIENCE {
                return Err(report.err().map_or_else(
                    || Failure::NotAsTold("something waits for ever".to_owned()),
                    Failure::from,
                ));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Ends the story unless the core refused for this reason.
fn expect<T>(result: Result<T, PortalError>, reason: &Reason) -> Result<(), Failure> {
    match result {
        Err(error) if error.reason() == reason => Ok(()),
        Err(error) => Err(Failure::NotAsTold(format!("{} instead of {reason}", error.reason()))),
        Ok(_) => Err(Failure::NotAsTold(format!("it went well, but {reason} was to be said"))),
    }
}
