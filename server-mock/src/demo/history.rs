//! Two years of correspondence, written from templates: varied, in order, and the same for the same
//! seed.

use chrono::{DateTime, Duration, NaiveDate, Utc};
use chrono_tz::Tz;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use uuid::Uuid;

use super::calendar::{Change, OfficeHours, clock_changes, working_day_after};
use super::letters::{CLIENT_CLOSERS, Desk, Exchange, Line, OPENERS, STAFF_CLOSERS, TOPICS, Topic};
use crate::world::{Author, PastMessage, PastThread, Route};

/// How long the client has been with the practice.
const DAYS: i64 = 730;
/// The most threads that the main client has.
const MOST_THREADS: usize = 40;
/// So many of the newest threads still hold something unread.
const UNREAD_THREADS: usize = 3;

/// Who writes in a thread.
pub(super) struct Writers<'a> {
    pub(super) client: Uuid,
    pub(super) client_name: &'a str,
    pub(super) clinician_name: &'a str,
    pub(super) staff: Uuid,
    pub(super) staff_name: &'a str,
}

/// Writes threads.
pub(super) struct Historian<'a> {
    pub(super) random: &'a mut ChaCha8Rng,
    pub(super) zone: Tz,
    pub(super) now: DateTime<Utc>,
}

/// A thread to be written.
struct Plan {
    topic: &'static Topic,
    subject: &'static str,
    messages: usize,
    hours: OfficeHours,
}

impl Historian<'_> {
    /// Threads with exactly so many messages in total, oldest first. `writers` says who answers at
    /// a desk.
    pub(super) fn threads<'w>(
        &mut self,
        messages: usize,
        writers: impl Fn(Desk) -> Option<Writers<'w>>,
    ) -> Vec<PastThread> {
        let odd_hours = writers(Desk::Clinician)
            .map(|who| self.odd_hours(&who))
            .filter(|thread| thread.messages.len() * 4 <= messages);
        let reserved = odd_hours.as_ref().map_or(0, |thread| thread.messages.len());
        let plans = self.plans(messages - reserved);
        let newest = plans.len().saturating_sub(UNREAD_THREADS);
        let mut threads = Vec::with_capacity(plans.len() + 1);
        for (place, plan) in plans.into_iter().enumerate() {
            let Some(who) = writers(plan.topic.desk) else {
                continue;
            };
            let mut thread = self.thread(plan, &who);
            let all = thread.messages.len() as u64;
            thread.read_upto = if place >= newest { all.saturating_sub(2) } else { all };
            thread.closed = place < newest && place % 6 == 5;
            threads.push(thread);
        }
        threads.extend(odd_hours);
        threads.sort_by_key(|thread| thread.messages.first().map(|first| first.sent_at));
        threads
    }

    /// One short thread with given lines, a few days ago.
    pub(super) fn short_thread(
        &mut self,
        desk: Desk,
        subject: &str,
        lines: Exchange,
        who: &Writers<'_>,
    ) -> PastThread {
        let hours = self.hours(21, 2);
        let mut messages = Vec::with_capacity(lines.len());
        self.exchange(lines, who, Style::Plain, &hours, 0..hours.total(), &mut messages);
        let read_upto = messages.len() as u64;
        past(desk, subject, who, messages, read_upto)
    }

    /// Shares the messages out among threads whose times overlap as those of real ones do.
    fn plans(&mut self, messages: usize) -> Vec<Plan> {
        let count = (messages / 30).clamp(1, MOST_THREADS).min(messages);
        let topics = (0..count).filter_map(|place| TOPICS.get(place % TOPICS.len()));
        let shares = topics
            .map(|topic| (topic, topic.weight * self.random.random_range(60..=140)))
            .collect::<Vec<_>>();
        let all = shares.iter().map(|(_, share)| share).sum::<usize>().max(1);
        let mut left = messages;
        let mut plans = Vec::with_capacity(count);
        for (place, (topic, share)) in shares.into_iter().enumerate() {
            let last = place + 1 == count;
            // One is kept for each thread that follows; the last takes what is left.
            let following = count - place - 1;
            let size = if last { left } else { (messages * share / all).clamp(1, left - following) };
            left -= size;
            let subject = topic.subjects.get(place / TOPICS.len() % topic.subjects.len().max(1));
            plans.push(Plan {
                topic,
                subject: subject.copied().unwrap_or_default(),
                messages: size,
                hours: self.span(place, count),
            });
        }
        plans
    }

    /// A thread's time: half a year or so, later ones later, the newest up to yesterday.
    fn span(&mut self, place: usize, count: usize) -> OfficeHours {
        let place = i64::try_from(place).unwrap_or(0);
        let count = i64::try_from(count).unwrap_or(1).max(1);
        let begun = DAYS - (DAYS - 120) * place / count;
        let lasts = self.random.random_range(110..=220);
        self.hours(begun, (begun - lasts).max(1))
    }

    fn hours(&self, days_ago: i64, until_days_ago: i64) -> OfficeHours {
        let today = self.now.with_timezone(&self.zone).date_naive();
        OfficeHours::between(
            self.zone,
            today - Duration::days(days_ago),
            today - Duration::days(until_days_ago - 1),
        )
    }

    fn thread(&mut self, plan: Plan, who: &Writers<'_>) -> PastThread {
        let exchanges = self.chosen(plan.topic.exchanges, plan.messages);
        // Every exchange has a stretch of office hours to itself, so that threads read in order.
        let stretch = plan.hours.total() / exchanges.len().max(1) as u64;
        let mut messages = Vec::with_capacity(plan.messages + 4);
        for (exchange, place) in exchanges.iter().zip(0u64..) {
            let window = place * stretch..(place + 1) * stretch;
            self.exchange(exchange, who, Style::Personal, &plan.hours, window, &mut messages);
        }
        messages.truncate(plan.messages);
        let read_upto = messages.len() as u64;
        past(plan.topic.desk, plan.subject, who, messages, read_upto)
    }

    /// Exchanges with at least so many messages in all, none twice in a row.
    fn chosen(&mut self, pool: &'static [Exchange], messages: usize) -> Vec<Exchange> {
        let mut chosen = Vec::new();
        let (mut written, mut last) = (0, usize::MAX);
        while written < messages {
            let mut place = self.random.random_range(0..pool.len().max(1));
            if place == last {
                place = (place + 1) % pool.len().max(1);
            }
            let Some(exchange) = pool.get(place) else {
                break;
            };
            last = place;
            written += exchange.len().max(1);
            chosen.push(*exchange);
        }
        chosen
    }

    fn exchange(
        &mut self,
        lines: Exchange,
        who: &Writers<'_>,
        style: Style,
        hours: &OfficeHours,
        window: std::ops::Range<u64>,
        messages: &mut Vec<PastMessage>,
    ) {
        let length = window.end - window.start;
        let longest_pause = (length / (lines.len() as u64 + 1)).max(2);
        let mut moment = window.start + self.random.random_range(0..longest_pause);
        let mut gaps = None;
        for (place, line) in lines.iter().enumerate() {
            let Some((sent_at, day)) = hours.at(moment) else {
                return;
            };
            let gaps = gaps.get_or_insert_with(|| Gaps::new(self.random, day, who));
            let (author, text) = match line {
                Line::Client(text) => (Author::client(who.client), text),
                Line::Staff(text) => (Author::staff(who.staff), text),
            };
            let mut body = String::new();
            if style == Style::Personal && place == 0 && matches!(line, Line::Client(_)) {
                gaps.fill(self.one_of(OPENERS), &mut body);
            }
            // A sentence of its own begins with a capital letter.
            let begins = !body.ends_with(", ") && !body.ends_with(": ");
            let opened = body.len();
            gaps.fill(text, &mut body);
            if begins {
                capitalise(&mut body, opened);
            }
            if style == Style::Personal {
                let closer = match line {
                    Line::Client(_) => self.one_of(CLIENT_CLOSERS),
                    Line::Staff(_) => self.one_of(STAFF_CLOSERS),
                };
                gaps.fill(closer, &mut body);
            }
            messages.push(PastMessage { author, body, sent_at });
            // An answer takes from a minute to three hours, if the stretch has room for it.
            moment += self.random.random_range(60_000..10_800_000u64).min(longest_pause - 1).max(1);
        }
    }

    /// Notes written in the nights on which the clocks changed, where local times repeat or are
    /// missing, and one long letter.
    fn odd_hours(&mut self, who: &Writers<'_>) -> PastThread {
        let from = self.now - Duration::days(DAYS);
        let mut messages = Vec::new();
        let mut note = |author, sent_at, body: String| {
            messages.push(PastMessage { author, body, sent_at });
        };
        let client = Author::client(who.client);
        for (at, change) in clock_changes(self.zone, from, self.now - Duration::days(2)) {
            let before = at - Duration::minutes(30);
            let after = at + Duration::minutes(30);
            match change {
                Change::Back => {
                    note(client, before, "It is half past one, and I am still awake. A note for our next session: the dream with the ferry.".into());
                    note(client, after, "Half past one again! The clocks went back. I take the extra hour as a present and go to sleep. 😴".into());
                }
                Change::Forward => {
                    note(client, before, "Half past one, the house is quiet. I finished the book.".into());
                    note(
                        client,
                        after,
                        "And now it is half past three, an hour has gone missing. Good night!".into(),
                    );
                }
            }
            let answered =
                at + Duration::hours(31) + Duration::milliseconds(self.random.random_range(0..3_600_000));
            note(
                Author::staff(who.staff),
                answered,
                "Good morning. I have read your notes and keep them for our session.".into(),
            );
        }
        let sent_at = self.now - Duration::days(1) - Duration::milliseconds(417);
        note(client, sent_at, LONG_LETTER.join("\n\n"));
        let read_upto = messages.len() as u64;
        past(Desk::Clinician, "Notes at odd hours", who, messages, read_upto)
    }

    fn one_of(&mut self, texts: &[&'static str]) -> &'static str {
        texts.get(self.random.random_range(0..texts.len().max(1))).copied().unwrap_or_default()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    /// As it stands in the template.
    Plain,
    /// With openings and endings.
    Personal,
}

fn past(
    desk: Desk,
    subject: &str,
    who: &Writers<'_>,
    messages: Vec<PastMessage>,
    read_upto: u64,
) -> PastThread {
    let by_client = messages.first().is_some_and(|first| first.author == Author::client(who.client));
    let route = match desk {
        Desk::Scheduler => Some(Route::Scheduler),
        Desk::Biller => Some(Route::Biller),
        Desk::Clinician | Desk::Prescriber | Desk::Office => None,
    };
    PastThread {
        subject: subject.to_owned(),
        // Only what a client writes goes through a desk.
        route: route.filter(|_| by_client),
        participants: vec![who.staff],
        messages,
        read_upto,
        closed: false,
    }
}

/// What is filled into the gaps of one exchange: the same day is the same day throughout.
struct Gaps<'a> {
    day: String,
    day2: String,
    time: &'static str,
    time2: &'static str,
    amount: String,
    number: String,
    minutes: &'static str,
    site: &'static str,
    staff: &'a str,
    clinician: &'a str,
    client: &'a str,
}

impl<'a> Gaps<'a> {
    fn new(random: &mut ChaCha8Rng, written: NaiveDate, who: &Writers<'a>) -> Self {
        let mut one_of = |texts: &[&'static str]| {
            texts.get(random.random_range(0..texts.len().max(1))).copied().unwrap_or_default()
        };
        let time = one_of(&["8:30 am", "9:15 am", "10:00 am", "10:45 am", "11:30 am"]);
        let time2 = one_of(&["1:15 pm", "2:00 pm", "2:45 pm", "3:30 pm", "4:15 pm", "5:00 pm"]);
        let minutes = one_of(&["30", "45", "50", "60", "90"]);
        let site = one_of(&["Albany", "Albany", "Fort Collins"]);
        let cents = one_of(&["00", "00", "50", "25"]);
        let day = working_day_after(written, random.random_range(2..=9));
        let day2 = working_day_after(day, random.random_range(1..=6));
        let date = |day: NaiveDate| day.format("%A, %B %-d").to_string();
        Self {
            day: date(day),
            day2: date(day2),
            time,
            time2,
            amount: format!("${}.{cents}", random.random_range(3..=36) * 5),
            number: random.random_range(3..=12).to_string(),
            minutes,
            site,
            staff: who.staff_name,
            clinician: who.clinician_name,
            client: who.client_name,
        }
    }

    fn fill(&self, template: &str, out: &mut String) {
        for (place, part) in template.split(['{', '}']).enumerate() {
            // Text and gaps alternate, beginning with text.
            out.push_str(if place % 2 == 0 { part } else { self.of(part) });
        }
    }

    fn of(&self, gap: &str) -> &str {
        match gap {
            "day" => &self.day,
            "day2" => &self.day2,
            "time" => self.time,
            "time2" => self.time2,
            "amount" => &self.amount,
            "number" => &self.number,
            "minutes" => self.minutes,
            "site" => self.site,
            "staff" => self.staff,
            "clinician" => self.clinician,
            "client" => self.client,
            _ => "",
        }
    }
}

/// Makes the letter at this place a capital, if it is a small one.
fn capitalise(text: &mut String, place: usize) {
    let Some(first) = text.get(place..).and_then(|rest| rest.chars().next()) else {
        return;
    };
    if first.is_ascii_lowercase() {
        text.replace_range(place..=place, first.to_ascii_uppercase().encode_utf8(&mut [0; 4]));
    }
}

/// A letter of several screens.
const LONG_LETTER: &[&str] = &[
    "Dear Amara,",
    "you asked me to write down how the last months were, before we look at the plan again. I have taken the train journey to my sister for it, so this is as long as the line from Albany to Buffalo.",
    "The mornings have changed most. I get up when the light comes, I have my tea at the window, and I read two pages of something that has nothing to do with work. Some days it is only one page. I have stopped counting them.",
    "At work I have said no three times. Twice it was accepted at once; the third time we found something in between, and it was better than what either of us had wanted. I had expected it to feel like a fight. It felt like moving a table together.",
    "With my family it goes up and down. My brother came along in spring, as you know, and he still talks about it. My mother rings on Sundays now instead of every evening, and we both have more to tell. Abuela has asked for a photograph of the practice, for the wall with all the others.",
    "What has not changed: I still find it hard to begin. The list helps when it lies on the table, and not at all when it lies in the drawer. I should like to talk about that.",
    "Three questions for our meeting:\n1. Do we meet every two weeks from now on, or is it too early?\n2. May I keep the evening notes? I have come to like them.\n3. Which of the books would you read next?",
    "There is snow outside of Syracuse now, and the man opposite me is asleep with his hat on his knee. It is a good day. Thank you for the time that you take.",
    "Renée",
];
