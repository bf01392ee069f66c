//! A feed that was written beforehand: pages as a practice sends them, made from a seed, and a network
//! that hands them over from memory. What is measured with it is the phone alone.

use crate::phone::{config, now, registration};
use crate::practice::{Practice, SeededEntropy};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use portal_core::ports::{Exchange, Files, Ports, Transport, TransportError};
use portal_core::runtime::Mode;
use portal_core::store::SoftVault;
use portal_core::{Portal, PortalError};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use uuid::Uuid;

/// Changes on a page, as the core asks for.
pub const PAGE: usize = 500;
/// Conversations that the messages are spread over.
pub const THREADS: usize = 40;
/// 2024-04-15T15:00:00Z, when the first message was written; the next ones follow every minute.
const FIRST: i64 = 1_713_193_200_000;

fn wire_time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// Ids and texts as a practice makes them: version 7, so that a later row has a higher id.
struct Writer {
    random: ChaCha8Rng,
    words: Vec<String>,
    at: i64,
    seq: u64,
}

impl Writer {
    fn new(seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        // About as many different words as two years of letters have.
        let words = (0..4_000)
            .map(|_| (0..random.random_range(2..9)).map(|_| random.random_range('a'..='z')).collect())
            .collect();
        Self { random, words, at: FIRST, seq: 0 }
    }

    fn id(&mut self) -> Uuid {
        let millis = u64::try_from(self.at).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &self.random.random()).into_uuid()
    }

    fn time(&self) -> String {
        wire_time(DateTime::from_timestamp_millis(self.at).unwrap_or_default())
    }

    /// A text of at least so many characters.
    fn text(&mut self, length: usize) -> String {
        let mut text = String::new();
        while text.len() < length {
            // The lower of two: some words come far more often than others.
            let place = self.random.random_range(0..self.words.len());
            let place = place.min(self.random.random_range(0..self.words.len()));
            text.extend(self.words.get(place).map(String::as_str));
            text.push(' ');
        }
        text
    }

    fn change(&mut self, entity: &str, id: Uuid, data: &Value) -> String {
        self.seq += 1;
        let seq = self.seq;
        format!(r#"{{"seq":"{seq}","entity":"{entity}","id":"{id}","ver":"1","op":"put","data":{data}}}"#)
    }

    fn people(&mut self, staff: Uuid) -> Vec<String> {
        let (practice, client) = (self.id(), self.id());
        let zone = "America/Chicago";
        vec![
            self.change(
                "practice",
                practice,
                &json!({"id": practice, "name": "Prepared", "zone": zone, "phones": [], "crisis": [],
                    "banner": null, "sites": [], "routes": []}),
            ),
            self.change(
                "client",
                client,
                &json!({"id": client, "given_name": "Renée", "family_name": "O'Connor", "zone": zone,
                    "preferred_name": null, "login_id": "renee@example.org", "clinician": staff}),
            ),
            self.change(
                "staff",
                staff,
                &json!({"id": staff, "name": "Dr. Ngozi Okafor", "role": "clinician", "title": "PsyD",
                    "active": true, "accepts_messages": true}),
            ),
        ]
    }

    fn thread(&mut self, id: Uuid, staff: Uuid) -> String {
        let by = json!({"kind": "staff", "id": staff});
        let (subject, at) = (self.text(20), self.time());
        let data = json!({"id": id, "subject": subject, "route": null, "participants": [staff],
            "created_at": at, "created_by": by, "closed": false});
        self.change("thread", id, &data)
    }

    /// All but two messages of a conversation are read.
    fn read_mark(&mut self, thread: Uuid, messages: usize) -> String {
        let upto = (messages / THREADS).saturating_sub(2);
        self.change("read_mark", thread, &json!({"id": thread, "thread": thread, "upto": upto.to_string()}))
    }

    /// A message whose row has 330 bytes or a few more.
    fn message(&mut self, thread: Uuid, n: usize, author: Uuid) -> String {
        self.at += 60_000;
        let (id, text) = (self.id(), self.text(80));
        let kind = if n.is_multiple_of(2) { "client" } else { "staff" };
        let data = json!({"id": id, "thread": thread, "n": n.to_string(), "body": text,
            "author": {"kind": kind, "id": author}, "sent_at": self.time()});
        self.change("message", id, &data)
    }
}

/// The bodies of the pages of a first pull that brings so many messages, and the people and
/// conversations that they need.
pub fn pages(messages: usize, seed: u64) -> Vec<Vec<u8>> {
    let mut writer = Writer::new(seed);
    let staff = writer.id();
    let threads: Vec<Uuid> = (0..THREADS).map(|_| writer.id()).collect();
    let mut changes = writer.people(staff);
    changes.extend(threads.iter().map(|thread| writer.thread(*thread, staff)));
    changes.extend(threads.iter().map(|thread| writer.read_mark(*thread, messages)));
    let total = changes.len() + messages;
    let count = total.div_ceil(PAGE);
    let mut pages = Vec::with_capacity(count);
    let mut written = 0;
    for number in 1..=count {
        while changes.len() < PAGE && written < messages {
            let thread = threads.get(written % THREADS).copied().unwrap_or_default();
            changes.push(writer.message(thread, written / THREADS + 1, staff));
            written += 1;
        }
        let from = if number == 1 { String::new() } else { format!("at-{}", number - 1) };
        pages.push(
            format!(
                r#"{{"epoch":"prepared","from":"{from}","next":"at-{number}","checkpoint":"{total}","has_more":{},"acked":{{}},"changes":[{}]}}"#,
                number < count,
                changes.join(",")
            )
            .into_bytes(),
        );
        changes.clear();
    }
    pages
}

/// The network to a practice whose feed is prepared.
struct FromMemory {
    practice: Arc<Practice>,
    pages: Vec<Vec<u8>>,
}

#[async_trait]
impl Transport for FromMemory {
    async fn send(&self, exchange: Exchange) -> Result<http::Response<Vec<u8>>, TransportError> {
        if exchange.request.uri().path() != "/v1/sync" {
            return self.practice.send(exchange).await;
        }
        if !self.practice.is_online() {
            return Err(TransportError::NoConnection);
        }
        // A cursor is `at-<pages seen>`, and the start has none.
        let query = exchange.request.uri().query().unwrap_or_default();
        let seen = query.split_once("cursor=at-").and_then(|(_, seen)| seen.parse().ok()).unwrap_or(0);
        let page = self.pages.get::<usize>(seen).cloned();
        let status = if page.is_some() { 200 } else { 304 };
        http::Response::builder()
            .status(status)
            .header("content-type", "application/json")
            .header("portal-time", wire_time(self.practice.clock.server_now()))
            .body(page.unwrap_or_default())
            .map_err(|_| TransportError::BadAnswer)
    }
}

/// A phone with its files and keys in a directory, with which a later process can go on.
///
/// # Errors
/// What the core answers.
pub fn phone(
    directory: &Path,
    practice: &Arc<Practice>,
    pages: Vec<Vec<u8>>,
    mode: Mode,
) -> Result<Arc<Portal>, PortalError> {
    let ports = Ports {
        transport: Arc::new(FromMemory { practice: practice.clone(), pages }),
        clock: practice.clock.clone(),
        entropy: Arc::new(SeededEntropy::new(1)),
        vault: Arc::new(SoftVault::open(&directory.join("keys"), SoftVault::NAME)?),
        files: Files::directory(directory.join("data")),
    };
    Portal::open_with(&config(&directory.join("data")), ports, mode)
}

/// The same in place, registered, before its first sync.
///
/// # Errors
/// What the core answers.
pub fn registered(directory: &Path, pages: Vec<Vec<u8>>) -> Result<Arc<Portal>, PortalError> {
    let practice = Practice::demo(0);
    let phone = phone(directory, &practice, pages, Mode::Inline)?;
    now(phone.account().register(registration(&practice)))?;
    Ok(phone)
}
