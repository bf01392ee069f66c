//! A practice that looks like one: two offices in two time zones, six people who work there, twelve
//! clients with names of many scripts, and two years of correspondence. All of it is invented.
//!
//! The same setup, instant and size give the same world, byte for byte.

mod calendar;
mod history;
mod letters;
mod people;

use chrono::{DateTime, Duration, NaiveDate, Utc};
use chrono_tz::Tz;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use uuid::Uuid;

use self::history::{Historian, Writers};
use self::letters::{Desk, GREETINGS_BY_CLIENT};
use crate::world::{Client, NewAppointment, Route, Setup, StaffError, World};

/// The mailbox of the main client, Renée O'Connor-Núñez, who is invited and not yet registered.
pub const INVITED_EMAIL: &str = "renee@example.org";
/// The family name with which she registers.
pub const INVITED_FAMILY_NAME: &str = "O'Connor-Núñez";
/// The birth date with which she registers.
pub const INVITED_BIRTH_DATE: &str = "1990-02-28";

/// The login id of the client who is registered already.
pub const REGISTERED_LOGIN: &str = "jordan@example.org";
/// The password that goes with it: a credential of this invented practice, good for nothing else.
pub const REGISTERED_PASSWORD: &str = "four quiet herons by noon";

/// Stands in the main client's psychotherapy note, which no answer may ever contain.
pub const NOTE_CANARY: &str = "canary-7f3a-psychotherapy-note";

/// The messages of the main client, if nothing else is asked for.
pub const MESSAGES: usize = 10_000;

/// Builds the practice as it is at `now`; the main client has exactly so many messages.
pub fn build(setup: Setup, messages: usize, now: DateTime<Utc>) -> World {
    let random = ChaCha8Rng::seed_from_u64(setup.seed);
    let mut world = World::new(setup, people::practice(now));
    // The data are constants, and a test builds them: nothing here can be refused at run time.
    if let Err(why) = fill(&mut world, random, messages, now) {
        tracing::error!(%why, "the demo practice is not complete");
    }
    world
}

fn fill(
    world: &mut World,
    mut random: ChaCha8Rng,
    messages: usize,
    now: DateTime<Utc>,
) -> Result<(), StaffError> {
    let opened = now - Duration::days(1_000);
    let mut staff = Vec::new();
    for new in people::staff() {
        staff.push(world.add_staff(new, opened)?);
    }
    let team = Team::of(&staff).ok_or(StaffError::StaffUnknown)?;
    world.change_routes(Route::Scheduler, vec![team.scheduler])?;
    world.change_routes(Route::Biller, vec![team.biller, team.office])?;

    let joined = now - Duration::days(740);
    let mut clients = Vec::new();
    for new in people::clients([team.psychologist, team.social_worker]) {
        let id = world.add_client(new, joined)?;
        clients.extend(world.client(id).cloned());
    }
    let (main, others) = clients.split_first().ok_or(StaffError::ClientUnknown)?;

    let mut historian = Historian { random: &mut random, zone: people::ZONE.parse().unwrap_or(Tz::UTC), now };
    let threads = historian.threads(messages, |desk| team.writers(world, main, desk));
    let mut short = Vec::new();
    for (client, greeting) in others.iter().zip(GREETINGS_BY_CLIENT) {
        let who = team.writers(world, client, greeting.desk);
        let who = who.ok_or(StaffError::StaffUnknown)?;
        let lines = greeting.lines;
        let thread = historian.short_thread(greeting.desk, greeting.subject, lines, &who);
        short.push((client.id, thread));
    }
    for thread in threads {
        world.import_thread(main.id, thread)?;
    }
    for (client, thread) in short {
        world.import_thread(client, thread)?;
    }

    add_appointments(world, &team, main, now)?;
    let note = format!("{NOTE_CANARY}: belongs to the clinician alone.");
    world.add_psychotherapy_note(main.id, &note)?;
    if let Some(registered) = others.first() {
        register(world, registered, now - Duration::days(30))?;
    }
    world.invite(main.id, now - Duration::hours(2))?;
    Ok(())
}

/// The staff by what they do.
struct Team {
    psychologist: Uuid,
    social_worker: Uuid,
    prescriber: Uuid,
    scheduler: Uuid,
    biller: Uuid,
    office: Uuid,
}

impl Team {
    /// In the order of `people::staff`.
    fn of(staff: &[Uuid]) -> Option<Self> {
        let [psychologist, social_worker, prescriber, scheduler, biller, office] = *staff else {
            return None;
        };
        Some(Self { psychologist, social_worker, prescriber, scheduler, biller, office })
    }

    fn writers<'a>(&self, world: &'a World, client: &'a Client, desk: Desk) -> Option<Writers<'a>> {
        let clinician = client.clinician.unwrap_or(self.psychologist);
        let staff = match desk {
            Desk::Clinician => clinician,
            Desk::Prescriber => self.prescriber,
            Desk::Scheduler => self.scheduler,
            Desk::Biller => self.biller,
            Desk::Office => self.office,
        };
        Some(Writers {
            client: client.id,
            client_name: client.preferred_name.as_ref().unwrap_or(&client.given_name),
            clinician_name: first_name(&world.staff(clinician)?.name),
            staff,
            staff_name: first_name(&world.staff(staff)?.name),
        })
    }
}

fn first_name(name: &str) -> &str {
    let name = name.strip_prefix("Dr. ").unwrap_or(name);
    name.split(' ').next().unwrap_or(name)
}

/// Six weekly sessions and a visit in the other time zone.
fn add_appointments(
    world: &mut World,
    team: &Team,
    client: &Client,
    now: DateTime<Utc>,
) -> Result<(), StaffError> {
    let zone = people::ZONE.parse().unwrap_or(Tz::UTC);
    let today = now.with_timezone(&zone).date_naive();
    for week in 0..6 {
        // The same hour on the wall every week, whatever the clocks do in between.
        let day = calendar::working_day_after(today, 2 + week * 7);
        let session = NewAppointment {
            clinician: team.psychologist,
            kind: "Individual session".into(),
            mode: if week % 2 == 0 { "in_person" } else { "video" }.into(),
            start: at_local(zone, day, 14),
            minutes: 50,
        };
        world.add_appointment(client.id, session, now)?;
    }
    let review = NewAppointment {
        clinician: team.prescriber,
        kind: "Follow-up".into(),
        mode: "video".into(),
        start: at_local(zone, calendar::working_day_after(today, 20), 9),
        minutes: 30,
    };
    world.add_appointment(client.id, review, now).map(|_| ())
}

fn at_local(zone: Tz, day: NaiveDate, hour: u32) -> DateTime<Utc> {
    day.and_hms_opt(hour, 0, 0)
        .and_then(|local| local.and_local_timezone(zone).earliest())
        .map(|at| at.with_timezone(&Utc))
        .unwrap_or_default()
}

/// Registers a client the way a phone does, through the rules that hold for everybody.
fn register(world: &mut World, client: &Client, now: DateTime<Utc>) -> Result<(), StaffError> {
    let link = world.invite(client.id, now)?.link.unwrap_or_default();
    let token = link.rsplit('/').next().unwrap_or_default();
    let body = serde_json::json!({
        "token": token,
        "last_name": client.family_name,
        "date_of_birth": client.date_of_birth.to_string(),
        "password": REGISTERED_PASSWORD,
        "client_id": "org.portal.phone",
        "redirect_uri": "org.portal.phone:/signed-in",
        // The code that comes back is never redeemed: any well-formed challenge will do.
        "code_challenge": "A".repeat(43),
        "code_challenge_method": "S256",
        "install_id": Uuid::from_u128(0x018f_3c5a_7d20_7c41_8e1d_5b2a_90c4_0001).to_string(),
    });
    let mut request = http::Request::new(body.to_string().into_bytes());
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = http::Uri::from_static("/v1/registrations");
    let json = http::HeaderValue::from_static("application/json");
    request.headers_mut().insert(http::header::CONTENT_TYPE, json);
    crate::handle(&request, world, now);
    Ok(())
}
