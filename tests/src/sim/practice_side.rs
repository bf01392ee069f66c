//! The practice of a run: two clients who know nothing of each other, three people who work there,
//! and what those do while phones sync.

use super::dice::Dice;
use super::time::START;
use crate::practice::{ISSUER, setup};
use chrono::{DateTime, TimeDelta, Utc};
use portal_server_mock::world::{
    Author, Banner, NewAppointment, NewClient, NewStaff, PastMessage, PastThread, Phone, Policy,
    PracticeRecord, Route, RouteLabel, StaffRole, Thread,
};
use portal_server_mock::{Outcome, World, handle};
use std::sync::LazyLock;
use uuid::Uuid;

/// A client of the practice.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    /// Chart.
    pub(crate) client: Uuid,
    /// Portal user.
    pub(crate) account: Uuid,
    /// What they sign in with.
    pub(crate) login: String,
    /// Stands in every text that belongs to them, and in none that does not.
    pub(crate) marker: &'static str,
}

/// The password of both.
pub(crate) const PASSWORD: &str = "seven green umbrellas";

/// A practice at the start of a run, and who is there.
#[derive(Clone)]
pub(crate) struct Cast {
    /// The practice.
    pub(crate) world: World,
    /// Its clients.
    pub(crate) people: Vec<Person>,
    /// Its staff: a clinician, a scheduler, a biller.
    pub(crate) staff: Vec<Uuid>,
}

static CAST: LazyLock<Option<Cast>> = LazyLock::new(build);

/// The same practice for every run, so that a run costs no building.
///
/// # Errors
/// When the practice refuses its own people.
pub(crate) fn cast() -> Result<Cast, String> {
    CAST.clone().ok_or_else(|| "the practice could not be built".to_owned())
}

fn build() -> Option<Cast> {
    let now = DateTime::from_timestamp_millis(START)?;
    let before = now - TimeDelta::days(3);
    let mut world = World::new(setup(), record());
    let mut staff = Vec::new();
    for (name, role) in
        [("Dr. Amara", StaffRole::Clinician), ("Sam", StaffRole::Scheduler), ("Bo", StaffRole::Biller)]
    {
        let new = NewStaff { name: name.to_owned(), role, title: String::new(), accepts_messages: true };
        staff.push(world.add_staff(new, before).ok()?);
    }
    world.change_routes(Route::Scheduler, vec![*staff.get(1)?]).ok()?;
    world.change_routes(Route::Biller, vec![*staff.get(2)?]).ok()?;
    let mut people = Vec::new();
    for (marker, name) in [("ANNA", "Anna"), ("BORIS", "Boris")] {
        let email = format!("{}@example.org", name.to_lowercase());
        let birth = chrono::NaiveDate::from_ymd_opt(1990, 2, 28)?;
        let client = world.add_client(
            NewClient {
                given_name: marker.to_owned(),
                family_name: format!("{marker}-Family"),
                preferred_name: None,
                date_of_birth: birth,
                email: email.clone(),
                phone: None,
                zone: "America/New_York".to_owned(),
                clinician: staff.first().copied(),
            },
            before,
        );
        let client = client.ok()?;
        for thread in 0..2u32 {
            let author = |n: u32| match n % 2 {
                0 => Author::staff(*staff.first().unwrap_or(&client)),
                _ => Author::client(client),
            };
            let messages = (0..2 + thread).map(|n| PastMessage {
                author: author(n),
                body: format!("{marker} wrote long ago, {thread}.{n}"),
                sent_at: before,
            });
            let past = PastThread {
                subject: format!("{marker} subject {thread}"),
                route: None,
                participants: staff.iter().take(1).copied().collect(),
                messages: messages.collect(),
                read_upto: 1,
                closed: false,
            };
            world.import_thread(client, past).ok()?;
        }
        let appointment = NewAppointment {
            clinician: *staff.first()?,
            kind: format!("{marker} therapy"),
            mode: "video".to_owned(),
            start: now + TimeDelta::days(2),
            minutes: 50,
        };
        world.add_appointment(client, appointment, before).ok()?;
        let link = world.invite(client, before).ok()?.link?;
        register(&mut world, &link, marker, now)?;
        let account = world.client(client)?.account;
        people.push(Person { client, account, login: email, marker });
    }
    Some(Cast { world, people, staff })
}

/// A client's conversations as they began: an order of ids would be one of the wall clocks in them.
pub(crate) fn threads_in_order(world: &World, client: Uuid) -> Vec<&Thread> {
    let mut threads: Vec<&Thread> = world.threads_of(client).collect();
    threads.sort_by_key(|thread| (thread.created_at, &thread.subject));
    threads
}

/// Registers as the core would; the tokens are of no interest.
fn register(world: &mut World, link: &str, marker: &str, now: DateTime<Utc>) -> Option<()> {
    let body = serde_json::json!({
        "token": link.rsplit('/').next()?, "last_name": format!("{marker}-Family"), "date_of_birth": "1990-02-28",
        "password": PASSWORD, "client_id": "org.portal.phone", "redirect_uri": "org.portal.phone:/signed-in",
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "code_challenge_method": "S256",
        "install_id": "0196d2f1-0000-7000-8000-000000000001",
    });
    let request = http::Request::post(format!("{ISSUER}/v1/registrations"))
        .header("content-type", "application/json")
        .body(body.to_string().into_bytes());
    match handle(&request.ok()?, world, now).outcome {
        Outcome::Reply(response) if response.status() == 201 => Some(()),
        _ => None,
    }
}

/// The figures of the practice, with this longest message.
pub(crate) fn policy(message_max_chars: u32) -> Policy {
    // The longest times that a phone obeys, so that a run is not only about locking.
    Policy {
        idle_lock_s: 900,
        background_lock_s: 300,
        reply_hours: 48,
        message_max_chars,
        start_threads: true,
    }
}

fn record() -> PracticeRecord {
    PracticeRecord {
        id: Uuid::from_u128(0x018f_3c5a_7d20_7c41_8e1d_5b2a_90c4_11e7),
        name: "A practice".to_owned(),
        zone: "America/New_York".to_owned(),
        phones: vec![Phone { label: "Desk".to_owned(), number: "+1-518-555-0142".to_owned() }],
        crisis: Vec::new(),
        banner: None,
        policy: policy(5_000),
        sites: Vec::new(),
        routes: vec![
            RouteLabel { route: Route::Scheduler, label: "Appointments".to_owned() },
            RouteLabel { route: Route::Biller, label: "Bills".to_owned() },
        ],
    }
}

/// What staff did, for the story.
pub(crate) fn staff_acts(
    world: &mut World,
    people: &[Person],
    staff: &[Uuid],
    number: u64,
    now: DateTime<Utc>,
    dice: &mut Dice,
) -> String {
    let (Some(person), Some(&writer)) = (dice.pick(people), staff.first()) else { return String::new() };
    let threads: Vec<Uuid> =
        threads_in_order(world, person.client).iter().filter(|t| !t.withdrawn).map(|t| t.id).collect();
    let thread = dice.pick(&threads).copied();
    let text = format!("{} hears from staff, {number}", person.marker);
    let marker = person.marker;
    match (dice.below(20), thread) {
        (0..=8, Some(thread)) => {
            let done = world.reply(writer, thread, &text, now);
            format!("staff reply to {marker}: {}", done.is_ok())
        }
        (9, _) => {
            let subject = format!("{marker} new subject {number}");
            let done = world.write_to_client(writer, person.client, &subject, &text, now);
            format!("staff begin a conversation with {marker}: {}", done.is_ok())
        }
        (10 | 11, Some(thread)) => {
            let theirs = world.thread(thread).into_iter().flat_map(|thread| &thread.messages);
            let theirs: Vec<Uuid> = theirs.filter(|m| !m.withdrawn).map(|message| message.id).collect();
            let done = dice.pick(&theirs).map(|message| world.withdraw_message(*message, now));
            format!("staff withdraw a message to {marker}: {}", matches!(done, Some(Ok(()))))
        }
        (12, Some(thread)) => {
            let done = world.close_thread(thread);
            format!("staff close a conversation of {marker}: {}", done.is_ok())
        }
        (13, Some(thread)) if threads.len() > 1 => {
            let done = world.withdraw_thread(thread, now);
            format!("staff withdraw a conversation of {marker}: {}", done.is_ok())
        }
        (14, _) => {
            let banner = Banner { text: format!("Notice {number}"), until: now + TimeDelta::hours(1) };
            world.set_banner(dice.chance(0.7).then_some(banner));
            "the practice changes its banner".to_owned()
        }
        (15, _) => {
            let short = dice.chance(0.5);
            world.set_policy(policy(if short { 24 } else { 5_000 }));
            format!("the practice takes {} messages", if short { "only short" } else { "long" })
        }
        (16, _) => {
            let open = dice.chance(0.6);
            let desk = staff.get(1).copied().filter(|_| open).into_iter().collect();
            let done = world.change_routes(Route::Scheduler, desk);
            format!("the scheduler's desk is {}: {}", if open { "open" } else { "closed" }, done.is_ok())
        }
        (17, _) => {
            let appointment = NewAppointment {
                clinician: writer,
                kind: format!("{marker} review {number}"),
                mode: "in_person".to_owned(),
                start: now + TimeDelta::days(9),
                minutes: 25,
            };
            let done = world.add_appointment(person.client, appointment, now);
            format!("an appointment for {marker}: {}", done.is_ok())
        }
        (18, Some(thread)) => {
            let done = world.mark_thread_read(writer, thread);
            format!("staff read what {marker} wrote: {}", done.is_ok())
        }
        _ => "staff have a coffee".to_owned(),
    }
}
