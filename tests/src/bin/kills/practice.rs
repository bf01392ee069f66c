//! The practice of one lane: its people, what its staff do meanwhile, what goes wrong at it, and its
//! own log of what arrived.

use crate::ledger::{Arrived, Feed};
use crate::words::Person;
use chrono::{NaiveDate, Utc};
use portal_server_mock::serve::Running;
use portal_server_mock::world::{Author, AuthorKind, NewClient, PastMessage, PastThread};
use portal_server_mock::{Faults, Outcome, World, handle};
use portal_tests::practice::locked;
use uuid::Uuid;

/// Rows beyond one page of the feed, so that a pull has a middle.
const LONG: usize = 520;

/// One practice on a socket.
pub(crate) struct Practice {
    running: Running,
    seen: usize,
    arrived: Arrived,
    people: u32,
}

/// One client of it.
pub(crate) struct Chart {
    pub(crate) person: Person,
    client: Uuid,
    account: Uuid,
}

impl Practice {
    pub(crate) fn start(seed: u64) -> Result<Self, String> {
        let running = portal_tests::served::practice(seed, 0).map_err(|error| error.to_string())?;
        Ok(Self { running, seen: 0, arrived: Arrived::new(), people: 0 })
    }

    pub(crate) fn url(&self) -> &str {
        self.running.base_url()
    }

    pub(crate) fn authority(&self) -> &str {
        self.running.ca_pem().unwrap_or_default()
    }

    pub(crate) fn act<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        act(&mut locked(self.running.world()))
    }

    /// Takes in a new client with some correspondence; every other one has more than fits a page.
    pub(crate) fn admit(&mut self) -> Result<Chart, String> {
        self.people += 1;
        let (number, now) = (self.people, Utc::now());
        let login = format!("person{number}@example.org");
        let new = NewClient {
            given_name: "Robin".into(),
            family_name: "Example".into(),
            preferred_name: None,
            date_of_birth: NaiveDate::from_ymd_opt(1990, 2, 28).ok_or("a date")?,
            email: login.clone(),
            phone: None,
            zone: "America/New_York".into(),
            clinician: None,
        };
        let (link, client, account) = self
            .act(|world| {
                let staff = world.all_staff().find(|one| one.active).map(|one| one.id);
                let staff = staff.ok_or("nobody works here")?;
                let client = world.add_client(new, now).map_err(|error| error.code())?;
                let lengths = if number % 2 == 0 { [2, LONG, 3] } else { [2, 5, 3] };
                for (thread, length) in lengths.into_iter().enumerate() {
                    let author = Author::staff(staff);
                    let message = |n| PastMessage { author, body: format!("Note {n}"), sent_at: now };
                    let past = PastThread {
                        subject: format!("Conversation {thread}"),
                        route: None,
                        participants: vec![staff],
                        messages: (0..length).map(message).collect(),
                        read_upto: 0,
                        closed: false,
                    };
                    world.import_thread(client, past).map_err(|error| error.code())?;
                }
                let link = world.invite(client, now).map_err(|error| error.code())?.link;
                let account = world.client(client).map(|client| client.account).unwrap_or_default();
                Ok::<_, &str>((link.unwrap_or_default(), client, account))
            })
            .map_err(ToOwned::to_owned)?;
        let person = Person {
            link,
            family_name: "Example".into(),
            birth_date: "1990-02-28".into(),
            login,
            password: "seven green umbrellas".into(),
        };
        Ok(Chart { person, client, account })
    }

    /// What a browser does with the sign-in pages.
    pub(crate) fn browse(&self, url: &str, person: &Person) -> Option<String> {
        let now = Utc::now();
        let ask = |request: http::Request<Vec<u8>>| {
            self.act(|world| match handle(&request, world, now).outcome {
                Outcome::Reply(response) => Some(response),
                _ => None,
            })
        };
        let page = ask(http::Request::get(url).body(Vec::new()).ok()?)?;
        let html = String::from_utf8(page.into_body()).ok()?;
        let transaction = html.split("name=\"transaction\" value=\"").nth(1)?.split('"').next()?;
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("transaction", transaction)
            .append_pair("login_id", &person.login)
            .append_pair("password", &person.password)
            .finish();
        let request = http::Request::post(format!("{}/oauth/authorize", self.url()))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.into_bytes())
            .ok()?;
        Some(ask(request)?.headers().get("location")?.to_str().ok()?.to_owned())
    }

    /// Where every text of the clients is, by the practice's own log of effects.
    pub(crate) fn arrived(&mut self) -> &Arrived {
        let (seen, mut new) = (self.seen, Vec::new());
        self.seen = self.act(|world| {
            for effect in world.effects().iter().skip(seen).filter(|e| e.author.kind == AuthorKind::Client) {
                let thread = world.thread(effect.thread);
                let message = thread.and_then(|thread| thread.messages.iter().rfind(|m| m.id == effect.id));
                new.extend(message.map(|m| (m.body.clone(), (effect.thread.to_string(), m.n))));
            }
            world.effects().len()
        });
        for (text, place) in new {
            self.arrived.entry(text).or_default().push(place);
        }
        &self.arrived
    }

    /// The rows that a phone of this person has to hold.
    pub(crate) fn feed(&self, chart: &Chart) -> Feed {
        let rows = self.act(|world| world.feed_rows(chart.account));
        let mut feed = Feed::default();
        for row in rows {
            if row.entity == "read_mark" {
                let data: serde_json::Value = serde_json::from_str(&row.data).unwrap_or_default();
                let upto = data.get("upto").and_then(|upto| upto.as_str()?.parse().ok()).unwrap_or(0);
                feed.marks.insert(row.id.to_string(), upto);
            }
            feed.rows.push((row.entity.to_owned(), row.id.to_string(), row.seq, row.ver, row.data));
        }
        feed
    }

    /// Staff answer in one of the person's conversations.
    pub(crate) fn reply(&self, chart: &Chart, random: usize, text: &str) {
        self.act(|world| {
            let staff = world.all_staff().find(|one| one.active).map(|one| one.id);
            let open = world.threads_of(chart.client).filter(|thread| !thread.closed && !thread.withdrawn);
            let open: Vec<Uuid> = open.map(|thread| thread.id).collect();
            if let (Some(staff), Some(thread)) = (staff, open.get(random % open.len().max(1))) {
                // A practice that refuses its own staff would show as a missing row.
                let _ = world.reply(staff, *thread, text, Utc::now());
            }
        });
    }

    /// Staff close a conversation, unless it is one of the last that are open.
    pub(crate) fn close(&self, chart: &Chart, thread: &str) {
        self.act(|world| {
            let open = world.threads_of(chart.client).filter(|thread| !thread.closed).count();
            if let (true, Ok(id)) = (open > 2, thread.parse()) {
                let _ = world.close_thread(id);
            }
        });
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        self.act(|world| world.set_faults(faults));
    }

    /// The practice was restored from a backup that lacks nothing.
    pub(crate) fn restore(&self) {
        self.act(|world| world.bump_epoch(None));
    }

    pub(crate) fn set_online(&self, online: bool) -> Result<(), String> {
        let done = if online { self.running.resume() } else { self.running.pause() };
        done.map_err(|error| error.to_string())
    }
}
