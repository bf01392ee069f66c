//! The demo practice looks real, is whole, and is the same for the same seed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use chrono::{DateTime, Duration, Timelike, Utc};
use chrono_tz::America::New_York;
use common::{now, setup};
use portal_server_mock::world::{
    Access, AuthorKind, Client, InvitationState, MailKind, Message, Route, StaffRole, Thread,
};
use portal_server_mock::{Outcome, World, demo, handle};

fn build(messages: usize) -> World {
    demo::build(setup("https://localhost:8443"), messages, now())
}

fn client<'a>(world: &'a World, email: &str) -> &'a Client {
    world.clients().find(|client| client.email == email).unwrap()
}

fn main_threads(world: &World) -> Vec<&Thread> {
    world.threads_of(client(world, demo::INVITED_EMAIL).id).collect()
}

fn all_messages(world: &World) -> Vec<(&Thread, &Message)> {
    world
        .clients()
        .flat_map(|client| world.threads_of(client.id))
        .flat_map(|thread| thread.messages.iter().map(move |message| (thread, message)))
        .collect()
}

#[test]
fn the_main_client_has_exactly_as_many_messages_as_asked_for() {
    for asked in [0, 1, 2, 29, 30, 61, 100, 999, 10_000] {
        let world = build(asked);
        let found = main_threads(&world).iter().map(|thread| thread.messages.len()).sum::<usize>();
        assert_eq!(found, asked);
        assert!(main_threads(&world).iter().all(|thread| !thread.messages.is_empty()));
    }
}

#[test]
fn ten_thousand_messages_take_a_moment() {
    let begun = Instant::now();
    build(demo::MESSAGES);
    let took = begun.elapsed();
    // Well under a second where nothing else runs; generous for a machine that is shared.
    assert!(took < std::time::Duration::from_secs(5), "{took:?}");
}

#[test]
fn same_seed_same_bytes() {
    let dump = |world: &World| {
        let mut text = String::new();
        for client in world.clients() {
            text += &serde_json::to_string(client).unwrap();
            for thread in world.threads_of(client.id) {
                text += &serde_json::to_string(thread).unwrap();
            }
            text += &format!("{:?}", world.feed_rows(client.account));
        }
        text + &serde_json::to_string(world.mails()).unwrap()
    };
    let first = dump(&build(500));
    assert!(first == dump(&build(500)));
    let mut other = setup("https://localhost:8443");
    other.seed += 1;
    assert!(first != dump(&demo::build(other, 500, now())));
}

#[test]
fn the_practice_is_complete() {
    let world = build(100);
    let practice = world.practice();
    let zones = practice.sites.iter().map(|site| &site.zone).collect::<BTreeSet<_>>();
    assert_eq!((practice.sites.len(), zones.len()), (2, 2));
    assert!(practice.crisis.iter().any(|line| line.number == "988"));
    assert!(practice.crisis.len() >= 2, "the practice has a line of its own");
    assert!(practice.banner.as_ref().unwrap().until > now());
    assert_eq!(world.all_staff().count(), 6);
    let with_role = |role| world.all_staff().filter(|staff| staff.role == role).count();
    assert!(with_role(StaffRole::Clinician) >= 2);
    for role in [StaffRole::Scheduler, StaffRole::Biller, StaffRole::Admin] {
        assert_eq!(with_role(role), 1);
    }
    for route in [Route::Scheduler, Route::Biller] {
        assert!(!world.route(route).is_empty());
        assert!(practice.routes.iter().any(|label| label.route == route));
    }
    assert_eq!(world.clients().count(), 12);
    for zone in practice.sites.iter().map(|site| &site.zone).chain([&practice.zone]) {
        zone.parse::<chrono_tz::Tz>().unwrap();
    }
}

#[test]
fn names_and_letters_come_in_many_scripts() {
    let world = build(demo::MESSAGES);
    let names = world
        .clients()
        .map(|client| format!("{} {}", client.given_name, client.family_name))
        .collect::<String>();
    for (what, sign) in [
        ("accent", 'é'),
        ("tilde", 'ñ'),
        ("hyphen", '-'),
        ("apostrophe", '\''),
        ("curly apostrophe", '’'),
        ("Arabic", 'خ'),
        ("Hebrew", 'ב'),
        ("maqaf", '־'),
        ("Han", '王'),
        ("Hangul", '김'),
        ("Cyrillic", 'О'),
        ("two marks", 'ễ'),
        ("sharp s", 'ß'),
    ] {
        assert!(names.contains(sign), "{what}");
    }
    let letters =
        main_threads(&world).into_iter().flat_map(|thread| &thread.messages).map(|m| m.body.as_str());
    let letters = letters.collect::<String>();
    for sign in ["شكر", "תודה", "谢", "ありがとう", "¿", "🙏🏽", "👩‍👧", "🏳️‍🌈", "\n"]
    {
        assert!(letters.contains(sign), "{sign}");
    }
}

#[test]
fn letters_are_finished_and_varied() {
    let world = build(demo::MESSAGES);
    let most = usize::try_from(world.practice().policy.message_max_chars).unwrap();
    let mut times_seen = BTreeMap::<&str, usize>::new();
    for (thread, message) in all_messages(&world) {
        let body = message.body.as_str();
        assert!(!body.contains(['{', '}']), "a gap was left: {body}");
        assert!(!body.contains("  ") && body.trim() == body && !body.is_empty(), "{body:?}");
        assert!(body.chars().count() <= most);
        assert!(!body.starts_with(|first: char| first.is_ascii_lowercase()), "{body}");
        assert!(thread.subject.chars().count() <= 200 && !thread.subject.is_empty());
        *times_seen.entry(body).or_default() += 1;
    }
    let longest = times_seen.keys().map(|body| body.chars().count()).max().unwrap();
    assert!(longest > 1_200, "one letter has to be long");
    assert!(times_seen.len() > 5_000, "{} different letters", times_seen.len());
    let main = main_threads(&world);
    assert!(main.len() > 30);
    assert!(main.iter().any(|thread| thread.messages.len() > 500));
    for kind in [AuthorKind::Client, AuthorKind::Staff] {
        let by = |thread: &Thread| thread.messages.iter().filter(|m| m.author.kind == kind).count();
        assert!(main.iter().map(|thread| by(thread)).sum::<usize>() > 3_000);
    }
}

#[test]
fn threads_are_in_order_and_span_two_years() {
    let world = build(demo::MESSAGES);
    for client in world.clients() {
        for thread in world.threads_of(client.id) {
            for (message, n) in thread.messages.iter().zip(1..) {
                assert_eq!(message.n, n);
                assert!(message.sent_at < now());
            }
            let times = thread.messages.iter().map(|message| message.sent_at).collect::<Vec<_>>();
            assert!(times.is_sorted_by(|earlier, later| earlier < later), "{}", thread.subject);
            assert!(thread.read_upto <= thread.newest());
        }
    }
    let main = main_threads(&world);
    let first = main.iter().map(|thread| thread.created_at).min().unwrap();
    let last = main.iter().map(|thread| thread.messages.last().unwrap().sent_at).max().unwrap();
    assert!(now() - first > Duration::days(700) && now() - first < Duration::days(760));
    assert!(now() - last < Duration::days(2));
    assert!(main.iter().any(|thread| thread.read_upto < thread.newest()), "something is unread");
    assert!(main.iter().any(|thread| thread.closed) && main.iter().any(|thread| !thread.closed));
    assert!(main.iter().any(|thread| thread.route == Some(Route::Scheduler)));
    assert!(main.iter().any(|thread| thread.route == Some(Route::Biller)));
}

#[test]
fn clocks_change_while_letters_are_written() {
    let world = build(demo::MESSAGES);
    let instants = all_messages(&world).iter().map(|(_, m)| m.sent_at).collect::<Vec<_>>();
    let local = |at: &DateTime<Utc>| at.with_timezone(&New_York).naive_local();
    // The same local minute, an hour apart: the night on which the clocks went back.
    let repeated = instants.iter().filter(|at| {
        let later = **at + Duration::hours(1);
        instants.contains(&later) && local(at) == local(&later)
    });
    assert_eq!(repeated.count(), 2);
    // And from half past one to half past three within the hour: forward.
    let skipped = instants.iter().filter(|at| {
        let later = **at + Duration::hours(1);
        instants.contains(&later) && local(&later) - local(at) == Duration::hours(2)
    });
    assert_eq!(skipped.count(), 2);
    // Office hours stay what they are on the wall.
    for (_, message) in all_messages(&world) {
        let hour = message.sent_at.with_timezone(&New_York).hour();
        if message.author.kind == AuthorKind::Staff {
            assert!((8..18).contains(&hour), "{}", message.sent_at);
        }
    }
}

#[test]
fn the_main_client_is_invited_and_another_is_registered() {
    let world = build(100);
    let invited = client(&world, demo::INVITED_EMAIL);
    assert_eq!(invited.given_name, "Renée");
    assert_eq!(invited.family_name, demo::INVITED_FAMILY_NAME);
    assert_eq!(invited.date_of_birth.to_string(), demo::INVITED_BIRTH_DATE);
    assert_eq!(world.access(invited.id), Some(Access::None));
    let state = world.invitation_state(invited.id, now()).unwrap();
    assert_eq!(state, Some(InvitationState::Sent));
    let mail = world.mails().last().unwrap();
    assert_eq!((mail.kind, mail.to.as_str()), (MailKind::Invitation, demo::INVITED_EMAIL));
    assert!(mail.link.as_ref().unwrap().starts_with("https://localhost:8443/enroll/"));

    let registered = client(&world, demo::REGISTERED_LOGIN);
    assert_eq!(world.access(registered.id), Some(Access::Active));
    assert_eq!(world.login_id(registered.id), Some(demo::REGISTERED_LOGIN));
}

#[test]
fn the_registered_client_can_sign_in_with_the_published_password() {
    let mut world = build(50);
    for (password, status) in [("not the password", 401), (demo::REGISTERED_PASSWORD, 303)] {
        let page = ask(
            &mut world,
            "GET",
            "/oauth/authorize?response_type=code&client_id=org.portal.phone\
             &redirect_uri=org.portal.phone%3A%2Fsigned-in&scope=portal+offline_access&state=s\
             &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256",
            String::new(),
        );
        assert_eq!(page.status(), 200);
        let html = String::from_utf8(page.into_body()).unwrap();
        let (_, rest) = html.split_once("name=\"transaction\" value=\"").unwrap();
        let transaction = rest.split('"').next().unwrap();
        let form = serde_urlencoded::to_string([
            ("transaction", transaction),
            ("login_id", demo::REGISTERED_LOGIN),
            ("password", password),
        ])
        .unwrap();
        assert_eq!(ask(&mut world, "POST", "/oauth/authorize", form).status(), status);
    }
}

fn ask(world: &mut World, method: &str, path: &str, form: String) -> http::Response<Vec<u8>> {
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form.into_bytes())
        .unwrap();
    match handle(&request, world, now()).outcome {
        Outcome::Reply(response) => response,
        other => panic!("{other:?}"),
    }
}

#[test]
fn appointments_are_there_and_the_note_is_nowhere() {
    let world = build(200);
    let main = client(&world, demo::INVITED_EMAIL);
    let rows = format!("{:?}", world.feed_rows(main.account));
    assert!(rows.matches("Individual session").count() >= 6, "rows of a kind that phones do not know");
    assert_eq!(world.psychotherapy_notes(main.id), 1);
    for client in world.clients() {
        assert!(!format!("{:?}", world.feed_rows(client.account)).contains(demo::NOTE_CANARY));
        for thread in world.threads_of(client.id) {
            assert!(!serde_json::to_string(thread).unwrap().contains(demo::NOTE_CANARY));
        }
    }
    assert!(!serde_json::to_string(world.mails()).unwrap().contains(demo::NOTE_CANARY));
}
