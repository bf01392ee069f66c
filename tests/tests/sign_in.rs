//! Signing in through the practice's pages, with everything that can come back instead.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod lab;

use lab::{Tap, page, users};
use portal_core::account::{SessionState, Unsent};
use portal_core::messages::ThreadFilter;
use portal_core::runtime::Mode;
use portal_core::{Portal, PortalError, Reason};
use portal_server_mock::demo;
use portal_tests::phone::{PASSWORD, Phone, Scratch, browse, now, registration};
use portal_tests::practice::{ISSUER, Mishap, Practice, TestVault};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

const JORDAN: (&str, &str) = (demo::REGISTERED_LOGIN, demo::REGISTERED_PASSWORD);
const RENEE: (&str, &str) = ("renee@example.org", PASSWORD);

fn state(portal: &Portal) -> SessionState {
    portal.account().session().state
}

fn pending(portal: &Portal) -> bool {
    portal.account().session().sign_in_pending
}

fn refused(reason: Reason) -> PortalError {
    PortalError::Refused { reason, field: None }
}

fn begin(phone: &Phone) -> String {
    now(phone.portal.account().sign_in_begin()).unwrap()
}

fn finish(phone: &Phone, redirect: &str) -> Result<(), PortalError> {
    now(phone.portal.account().sign_in_finish(redirect.to_owned()))
}

fn back(phone: &Phone, url: &str) -> String {
    browse(&phone.practice, url, JORDAN.0, JORDAN.1).unwrap()
}

fn query(url: &str, name: &str) -> String {
    let url = url::Url::parse(url).unwrap();
    url.query_pairs().find(|pair| pair.0 == name).map(|pair| pair.1.into_owned()).unwrap_or_default()
}

#[test]
fn a1_the_address_for_the_browser_carries_pkce_and_a_state_that_nobody_guesses() {
    let phone = Phone::new(&Practice::demo(1), 1);
    let (mut states, mut challenges) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..20 {
        let url = begin(&phone);
        assert!(url.starts_with(&format!("{ISSUER}/oauth/authorize?")));
        assert_eq!(query(&url, "response_type"), "code");
        assert_eq!(query(&url, "code_challenge_method"), "S256");
        assert_eq!(query(&url, "redirect_uri"), "org.portal.phone:/signed-in");
        assert_eq!(query(&url, "client_id"), "org.portal.phone");
        let (state, challenge) = (query(&url, "state"), query(&url, "code_challenge"));
        assert_eq!((state.len(), challenge.len()), (43, 43), "256 bits each");
        assert!(states.insert(state) && challenges.insert(challenge));
        assert!(!url.contains("verifier") && !url.contains("secret") && !url.contains('@'));
    }
}

#[test]
fn a_client_signs_in_through_the_pages() {
    let phone = Phone::new(&Practice::demo(1), 2);
    let url = begin(&phone);
    assert!(pending(&phone.portal));
    assert_eq!(browse(&phone.practice, &url, JORDAN.0, "not it at all"), None, "the page stays");
    let url = begin(&phone);
    finish(&phone, &back(&phone, &url)).unwrap();
    assert_eq!((state(&phone.portal), pending(&phone.portal)), (SessionState::Active, false));
    assert!(now(phone.portal.sync(None)).unwrap().complete);
}

#[test]
fn a1_what_is_not_ours_leaves_the_pending_sign_in_alone_and_ours_works_once() {
    let phone = Phone::new(&Practice::demo(1), 3);
    assert_eq!(
        finish(&phone, "org.portal.phone:/signed-in?x").unwrap_err(),
        refused(Reason::NoPendingSignIn)
    );
    let url = begin(&phone);
    let good = back(&phone, &url);
    let state_of = query(&url, "state");
    let asked = phone.practice.seen().len();
    for (bad, reason) in [
        (good.replace(&state_of, "another"), Reason::StateMismatch),
        (good.replace("portal.practice.test", "evil.test"), Reason::IssuerMismatch),
        (format!("{good}#x"), Reason::RedirectFragment),
        (format!("{good}&code=other"), Reason::RedirectDuplicate),
        (format!("{good}&error=access_denied"), Reason::RedirectAmbiguous),
        (good.replace("org.portal.phone:", "https://evil.test"), Reason::RedirectWrongAddress),
        ("org.portal.phone:/signed-in?error=access_denied".into(), Reason::RedirectIncomplete),
        (String::new(), Reason::RedirectWrongAddress),
        ("\u{0}\u{ffff}".repeat(5_000), Reason::RedirectMalformed),
    ] {
        assert_eq!(finish(&phone, &bad).unwrap_err(), refused(reason));
        assert!(pending(&phone.portal));
    }
    assert_eq!(phone.practice.seen().len(), asked, "no request for any of them");
    finish(&phone, &good).unwrap();
    assert_eq!(finish(&phone, &good).unwrap_err(), refused(Reason::NoPendingSignIn));
    assert_eq!(state(&phone.portal), SessionState::Active);
}

#[test]
fn a_sign_in_that_was_denied_is_over() {
    let phone = Phone::new(&Practice::demo(1), 4);
    let url = begin(&phone);
    let iss = url::form_urlencoded::byte_serialize(ISSUER.as_bytes()).collect::<String>();
    let denied =
        format!("org.portal.phone:/signed-in?error=access_denied&state={}&iss={iss}", query(&url, "state"));
    assert_eq!(finish(&phone, &denied).unwrap_err(), refused(Reason::SignInDenied));
    assert!(!pending(&phone.portal));
    assert_eq!(finish(&phone, &back(&phone, &url)).unwrap_err(), refused(Reason::NoPendingSignIn));
}

#[test]
fn a1_a_code_of_another_sign_in_or_a_used_one_is_refused() {
    let practice = Practice::demo(1);
    let (phone, thief) = (Phone::new(&practice, 5), Phone::new(&practice, 6));
    let good = back(&phone, &begin(&phone));
    // A stolen code, injected into the thief's own sign-in: it is bound to the verifier.
    let url = begin(&thief);
    let injected = good.replace(&query(&good, "state"), &query(&url, "state"));
    assert_eq!(finish(&thief, &injected).unwrap_err(), refused(Reason::CodeRefused));
    assert_eq!(state(&thief.portal), SessionState::SignedOut);
    assert!(users(thief.directory()).is_empty());
    // It still works where it belongs, once.
    finish(&phone, &good).unwrap();
    let url = begin(&phone);
    let replayed = good.replace(&query(&good, "state"), &query(&url, "state"));
    assert_eq!(finish(&phone, &replayed).unwrap_err(), refused(Reason::CodeRefused));
    assert_eq!(state(&phone.portal), SessionState::Active, "the open session is not touched here");

    let url = begin(&thief);
    let late = back(&thief, &url);
    practice.clock.advance(std::time::Duration::from_secs(61));
    assert_eq!(finish(&thief, &late).unwrap_err(), refused(Reason::CodeRefused));
}

#[test]
fn a_pending_sign_in_survives_a_kill_and_a_new_one_replaces_it() {
    let phone = Phone::new(&Practice::demo(1), 7);
    let first = begin(&phone);
    let phone = phone.restart();
    assert!(pending(&phone.portal));
    let second = begin(&phone);
    assert_eq!(finish(&phone, &back(&phone, &first)).unwrap_err(), refused(Reason::StateMismatch));
    let phone = phone.restart();
    finish(&phone, &back(&phone, &second)).unwrap();
    assert_eq!(state(&phone.portal), SessionState::Active);
}

/// The metadata of the practice with one thing changed.
fn metadata(change: impl Fn(&mut Value) + Send + 'static) -> Mishap {
    Mishap::Change(Box::new(move |answer| {
        let mut value: Value = serde_json::from_slice(answer.body()).unwrap();
        change(&mut value);
        let (parts, _) = answer.into_parts();
        http::Response::from_parts(parts, value.to_string().into_bytes())
    }))
}

const WELL_KNOWN: &str = "GET /.well-known";

#[test]
fn a2_metadata_of_another_issuer_or_with_endpoints_elsewhere_is_refused() {
    let phone = Phone::new(&Practice::demo(1), 8);
    for (field, value) in [
        ("issuer", json!("https://evil.test")),
        ("issuer", json!(format!("{ISSUER}/"))),
        ("issuer", json!("https://PORTAL.practice.test")),
        ("issuer", json!("http://portal.practice.test")),
        ("authorization_endpoint", json!("https://evil.test/oauth/authorize")),
        ("token_endpoint", json!("https://evil.test/oauth/token")),
        ("token_endpoint", json!("http://portal.practice.test/oauth/token")),
        ("token_endpoint", json!("https://portal.practice.test:8443/oauth/token")),
        ("token_endpoint", json!("https://portal.practice.test.evil.test/oauth/token")),
        ("revocation_endpoint", json!("https://evil.test/oauth/revoke")),
        ("authorization_endpoint", json!("javascript:alert(1)")),
        ("code_challenge_methods_supported", json!(["plain"])),
        ("code_challenge_methods_supported", json!([])),
        ("authorization_response_iss_parameter_supported", json!(false)),
        ("authorization_response_iss_parameter_supported", Value::Null),
    ] {
        let said = value.clone();
        phone.practice.next(WELL_KNOWN, metadata(move |all| all[field] = said.clone()));
        let error = now(phone.portal.account().sign_in_begin()).unwrap_err();
        let expected = refused(Reason::IssuerMismatch);
        let broken = PortalError::Offline { reason: Reason::BadAnswer };
        assert!(error == expected || (value.is_null() && error == broken), "{field} {value}: {error:?}");
        assert!(!pending(&phone.portal));
    }
    for broken in [page(200), lab::json(200, &json!([])), lab::json(200, &json!({"issuer": ISSUER}))] {
        phone.practice.next(WELL_KNOWN, Mishap::Instead(broken));
        let error = now(phone.portal.account().sign_in_begin()).unwrap_err();
        assert_eq!(error, PortalError::Offline { reason: Reason::BadAnswer });
    }
    finish(&phone, &back(&phone, &begin(&phone))).unwrap();
}

#[test]
fn a2_a_mix_up_of_servers_in_a_registration_is_refused_too() {
    let phone = Phone::new(&Practice::demo(1), 9);
    phone.practice.next("POST /v1/registrations", metadata(|all| all["iss"] = json!("https://evil.test")));
    let error = now(phone.portal.account().register(registration(&phone.practice))).unwrap_err();
    assert_eq!(error, refused(Reason::IssuerMismatch));
    assert_eq!(phone.practice.count("POST /oauth/token"), 0);
}

#[test]
fn a_token_answer_that_is_not_as_it_must_be_admits_nobody() {
    let phone = Phone::new(&Practice::demo(1), 10);
    let bad = PortalError::Offline { reason: Reason::BadAnswer };
    let changes: Vec<(&str, Value)> = vec![
        ("token_type", json!("DPoP")),
        ("token_type", json!("mac")),
        ("token_type", json!(7)),
        ("access_token", Value::Null),
        ("refresh_token", Value::Null),
        ("sub", Value::Null),
        ("sub", json!("")),
        ("login_id", json!(["x"])),
        ("expires_in", json!("soon")),
    ];
    for (field, value) in changes {
        let redirect = back(&phone, &begin(&phone));
        let said = value.clone();
        phone.practice.next("POST /oauth/token", metadata(move |all| all[field] = said.clone()));
        assert_eq!(finish(&phone, &redirect).unwrap_err(), bad, "{field} {value}");
        assert_eq!((state(&phone.portal), pending(&phone.portal)), (SessionState::SignedOut, false));
        assert!(users(phone.directory()).is_empty());
        assert_eq!(phone.vault.aliases(), ["portal-install"]);
    }
    let deep = http::Response::builder().header("content-type", "application/json");
    let deep = deep.body("[".repeat(10_000).into_bytes()).unwrap();
    for broken in [page(200), page(400), page(401), lab::json(200, &json!({})), deep] {
        let redirect = back(&phone, &begin(&phone));
        phone.practice.next("POST /oauth/token", Mishap::Instead(broken));
        assert_eq!(finish(&phone, &redirect).unwrap_err(), bad);
    }
    let redirect = back(&phone, &begin(&phone));
    phone.practice.next("POST /oauth/token", Mishap::LoseAnswer);
    let error = finish(&phone, &redirect).unwrap_err();
    assert_eq!(error, PortalError::Offline { reason: Reason::ConnectionLost });
    finish(&phone, &back(&phone, &begin(&phone))).unwrap();
}

/// Texts that only this person has.
fn texts(phone: &Phone) -> Vec<String> {
    let mut all = Vec::new();
    for thread in now(phone.portal.messages().threads(ThreadFilter::All, 0, 100)).unwrap().threads {
        all.push(thread.subject.clone());
        all.extend(lab::messages(&phone.portal, &thread.id).unwrap().into_iter().map(|one| one.text));
    }
    all
}

#[test]
fn s9_two_people_on_one_phone_see_nothing_of_each_other() {
    for sign_out_between in [false, true] {
        let practice = Practice::demo(10);
        let mut random = lab::random(11);
        let mut plant = |email: &str, what: &str| {
            let (subject, body) = (lab::canary(&mut random, what), lab::canary(&mut random, what));
            practice.act(|world, now| {
                let client = world.clients().find(|client| client.email == email).unwrap().id;
                let staff = world.all_staff().next().unwrap().id;
                world.write_to_client(staff, client, &subject, &body, now).unwrap();
            });
            [subject, body]
        };
        let mine = [plant(RENEE.0, "renee"), plant(RENEE.0, "renee")].concat();
        let theirs = [plant(JORDAN.0, "jordan"), plant(JORDAN.0, "jordan")].concat();
        let phone = Phone::registered(&practice, 12);
        let draft = lab::canary(&mut random, "draft");
        let sees = |phone: &Phone, own: &[String], other: &[String], user: &str| {
            now(phone.portal.sync(None)).unwrap();
            let (texts, seen) = (texts(phone), lab::seen(&phone.portal).unwrap());
            assert!(own.iter().all(|canary| texts.contains(canary)), "{user}");
            assert!(!other.iter().any(|canary| seen.contains(canary.as_str())), "{user}");
            for canary in other {
                assert!(now(phone.portal.messages().search(canary.clone(), 10)).unwrap().is_empty());
            }
            users(phone.directory()).len()
        };
        sees(&phone, &mine, &theirs, "first");
        let first = users(phone.directory());
        let thread = lab::first_thread(&phone.portal);
        if sign_out_between {
            now(phone.portal.account().sign_out(Unsent::Keep)).unwrap();
        } else {
            practice.set_online(false);
            now(phone.portal.messages().send(thread, draft.clone())).unwrap();
            practice.set_online(true);
        }
        phone.sign_in(JORDAN.0, JORDAN.1).unwrap();
        let other = [&mine[..], std::slice::from_ref(&draft)].concat();
        let directories = sees(&phone, &theirs, &other, "second");
        assert_eq!(directories, if sign_out_between { 1 } else { 2 });
        assert!(now(phone.portal.outbox().entries()).unwrap().is_empty());
        assert!(!practice.seen().iter().any(|seen| seen.body.contains(&draft)), "not sent as somebody else");
        let account = |user: &std::path::Path| lab::master_key(user, phone.vault.as_ref());
        if !sign_out_between {
            let keys: BTreeSet<_> = users(phone.directory()).iter().map(|user| account(user)).collect();
            assert_eq!(keys.len(), 2, "a key each");
            assert!(users(phone.directory()).contains(&first[0]));
            assert_eq!(phone.vault.aliases().len(), 3);
        }
        // A kill later it is still the second one's phone; then the first one is back.
        let phone = phone.restart();
        now(phone.portal.account().unlock()).unwrap();
        sees(&phone, &theirs, &other, "second again");
        if sign_out_between {
            now(phone.portal.account().sign_out(Unsent::Keep)).unwrap();
        }
        phone.sign_in(RENEE.0, RENEE.1).unwrap();
        sees(&phone, &mine, &theirs, "first again");
        if !sign_out_between {
            assert!(practice.seen().iter().any(|seen| seen.body.contains(&draft)), "their own is sent now");
            // What one destroys is only their own.
            now(phone.portal.account().wipe()).unwrap();
            assert_eq!(users(phone.directory()).len(), 1);
            assert_ne!(users(phone.directory()), first);
        }
    }
}

#[test]
fn s9_a_registration_on_a_phone_in_use_has_an_install_of_its_own() {
    let practice = Practice::demo(3);
    let phone = Phone::new(&practice, 13);
    phone.sign_in(JORDAN.0, JORDAN.1).unwrap();
    now(phone.portal.account().register(registration(&practice))).unwrap();
    let mut installs = BTreeSet::new();
    for seen in practice.seen().iter().filter(|seen| seen.what == "POST /oauth/token") {
        let pairs = url::form_urlencoded::parse(seen.body.as_bytes());
        installs.extend(pairs.filter(|pair| pair.0 == "install_id").map(|pair| pair.1.into_owned()));
    }
    assert_eq!(installs.len(), 2, "nobody can tell that it is the same phone");
}

#[test]
fn a_wrong_clock_of_the_phone_keeps_nobody_out() {
    const YEAR_MS: i64 = 365 * 24 * 3_600_000;
    for years in [-60, -10, 10, 60] {
        let practice = Practice::demo(5);
        practice.clock.set_wall(years * YEAR_MS);
        let phone = Phone::new(&practice, 14);
        now(phone.portal.account().register(registration(&practice))).unwrap();
        assert!(now(phone.portal.sync(None)).unwrap().complete, "{years}");
        let id =
            now(phone.portal.messages().send(lab::first_thread(&phone.portal), "On time".into())).unwrap();
        // Put right in the middle of it.
        practice.clock.set_wall(-years * YEAR_MS);
        let phone = phone.restart();
        now(phone.portal.account().unlock()).unwrap();
        assert!(now(phone.portal.sync(None)).unwrap().complete, "{years}");
        assert_eq!(lab::effects(&practice, &id), 1);
        practice.clock.set_wall(years * YEAR_MS);
        now(phone.portal.account().sign_out(Unsent::Keep)).unwrap();
        assert_eq!(practice.count("POST /oauth/revoke"), 1);
        phone.sign_in(RENEE.0, RENEE.1).unwrap();
        let home = now(phone.portal.home().view());
        assert!(home.is_ok(), "{years}");
    }
}

#[test]
fn n4_a_whole_day_asks_the_practice_and_nobody_else_and_sends_no_cookie() {
    let practice = Practice::demo(20);
    let (tap, scratch) = (Tap::new(&practice), Scratch::new());
    let (vault, clock) = (Arc::new(TestVault::default()), practice.clock.clone());
    let portal = lab::open(tap.clone(), clock, vault, scratch.path(), 15, Mode::Inline).unwrap();
    now(portal.account().register(registration(&practice))).unwrap();
    now(portal.sync(None)).unwrap();
    now(portal.messages().send(lab::first_thread(&portal), "https://elsewhere.test/pixel.gif".into()))
        .unwrap();
    now(portal.sync(None)).unwrap();
    now(portal.account().sign_out(Unsent::Keep)).unwrap();
    let url = now(portal.account().sign_in_begin()).unwrap();
    let redirect = browse(&practice, &url, RENEE.0, RENEE.1).unwrap();
    now(portal.account().sign_in_finish(redirect)).unwrap();
    now(portal.sync(None)).unwrap();
    let carried = tap.carried();
    assert!(carried.len() >= 12, "{}", carried.len());
    let secrets = lab::wire_secrets(&carried);
    assert!(secrets.len() >= 8, "the control");
    for one in &carried {
        let url = url::Url::parse(&one.uri).unwrap();
        assert_eq!(url.origin().ascii_serialization(), ISSUER, "{}", one.method);
        for header in ["cookie", "referer", "origin", "x-forwarded-for", "if-none-match"] {
            assert!(!one.headers.contains_key(header), "{header}");
        }
        let token = one.headers.contains_key("authorization");
        let of_the_feed = ["/v1/sync", "/v1/ops"].contains(&url.path());
        assert_eq!(token, of_the_feed, "{} {}: the token goes where it belongs", one.method, url.path());
        // A13: no secret in an address.
        assert!(secrets.iter().all(|(_, secret)| !one.uri.contains(secret.as_str())), "{}", url.path());
    }
}
