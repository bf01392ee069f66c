//! The home screen, and the crisis card that opens without network, session or server.

use crate::error::PortalError;
use crate::messages::views;
use crate::people::rows::{self, BannerRecord, People, PracticeRecord};
use crate::people::{Banner, Person, Phone, Practice};
use crate::session::Session;
use crate::sync::{feed, outbox};
use crate::values::{Millis, When, parse_rfc3339, private_debug, rfc3339_option};
use rusqlite::Connection;
use std::sync::Arc;
use std::time::SystemTime;

/// The first screen.
#[derive(uniffi::Object)]
pub struct Home {
    session: Arc<Session>,
}

/// Everything that the home screen draws.
#[derive(Clone, PartialEq, serde::Serialize, uniffi::Record)]
#[uniffi::export(Debug)]
pub struct HomeView {
    /// The practice; absent before the first sync.
    pub practice: Option<Practice>,
    /// Who is using the portal.
    pub me: Person,
    /// The clinician who is assigned to them.
    pub clinician: Option<Person>,
    /// Unread messages: a function of what is on the device, so it can never disagree with it.
    pub badge: u64,
    /// The practice's sentence for everybody.
    pub banner: Option<Banner>,
    /// Writes that wait to be sent.
    pub waiting: u64,
    /// Writes that the practice refused and that wait for the client.
    pub refused: u64,
    /// The server's clock when this was last in step; absent before the first sync.
    #[serde(serialize_with = "rfc3339_option")]
    pub as_of: Option<SystemTime>,
}

/// Whom to call in a crisis. Not a record of anybody's: it opens signed out and locked.
#[derive(Clone, PartialEq, Eq, serde::Serialize, uniffi::Record)]
#[uniffi::export(Debug)]
pub struct CrisisCard {
    /// Lines that answer at any time, the nearest first.
    pub lines: Vec<CrisisLine>,
    /// The practice's name and its own numbers; empty before this device has reached it once.
    pub practice: String,
    /// The practice's numbers.
    pub phones: Vec<Phone>,
}

/// One line.
#[derive(Clone, PartialEq, Eq, serde::Serialize, uniffi::Record)]
#[uniffi::export(Debug)]
pub struct CrisisLine {
    /// Who answers.
    pub label: String,
    /// What to dial.
    pub number: String,
    /// When and how, in a sentence.
    pub detail: String,
}

private_debug!(HomeView, CrisisCard, CrisisLine);

#[uniffi::export]
impl Home {
    /// Everything that the home screen draws, from the device.
    ///
    /// # Errors
    /// `SignedOut`, `Locked`, `Storage`, as for every read.
    pub async fn view(&self) -> Result<HomeView, PortalError> {
        let session = self.session.clone();
        self.session
            .mode
            .run_here(async move {
                let now = session.server_now();
                session.store()?.read(move |c| view(c, now)).await
            })
            .await
    }

    /// The crisis card. Needs no network, no session and no server, and never fails: before the
    /// practice was reached once it has the national line.
    pub fn crisis_card(&self) -> CrisisCard {
        let text = self.session.card.text();
        let practice = text.and_then(|text| serde_json::from_str::<PracticeRecord>(&text).ok());
        let mut card = CrisisCard { lines: Vec::new(), practice: String::new(), phones: Vec::new() };
        if let Some(practice) = practice {
            card.lines = practice
                .crisis
                .into_iter()
                .map(|line| CrisisLine { label: line.label, number: line.number, detail: line.detail })
                .collect();
            card.practice = practice.name;
            card.phones = practice.phones.into_iter().map(Phone::from).collect();
        }
        if !card.lines.iter().any(|line| line.number == NATIONAL) {
            card.lines.push(CrisisLine {
                label: "988 Suicide & Crisis Lifeline".to_owned(),
                number: NATIONAL.to_owned(),
                detail: "Call or text, day and night, free (United States).".to_owned(),
            });
        }
        card
    }
}

const NATIONAL: &str = "988";

impl Home {
    pub(crate) fn new(session: Arc<Session>) -> Self {
        Self { session }
    }
}

/// `now` is the server's clock; unknown since the start, it is at least what it was at the last answer.
fn view(c: &Connection, now: Option<Millis>) -> Result<HomeView, PortalError> {
    let people = People::read(c)?;
    let clinician =
        rows::client(c)?.and_then(|client| client.clinician).map(|id| people.get(&id)).transpose()?;
    let practice = rows::practice(c)?.map(|(practice, _)| practice);
    let now = now.or(feed::as_of(c)?);
    let until = |banner: &BannerRecord| banner.until.as_deref().and_then(parse_rfc3339);
    let banner = practice.as_ref().and_then(|practice| practice.banner.as_ref());
    let banner =
        banner.filter(|banner| until(banner).zip(now).is_none_or(|(until, now)| now < until)).map(|banner| {
            Banner { text: banner.text.clone(), until: until(banner).map(|at| When::new(at, &people.zone)) }
        });
    let (waiting, refused) = outbox::counts(c)?;
    Ok(HomeView {
        practice: practice.map(Practice::from),
        badge: views::badge(c)?,
        clinician,
        banner,
        waiting,
        refused,
        as_of: views::as_of(c)?,
        me: people.me,
    })
}
