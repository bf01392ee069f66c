//! Registering with an invitation, as the phone sees it (SPEC 1A; rules A7, A8, I1, I2).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod lab;

use lab::{files, name, users};
use portal_core::account::{Registration, SessionState};
use portal_core::{PortalError, Reason};
use portal_server_mock::demo;
use portal_tests::phone::{PASSWORD, Phone, now, registration};
use portal_tests::practice::{Mishap, Practice};
use std::time::Duration;

const REGISTRATIONS: &str = "POST /v1/registrations";

fn register(phone: &Phone, registration: Registration) -> Result<(), PortalError> {
    now(phone.portal.account().register(registration))
}

fn refused(reason: Reason) -> PortalError {
    PortalError::Refused { reason, field: None }
}

fn client(practice: &Practice) -> uuid::Uuid {
    practice.act(|world, _| world.clients().find(|client| client.email == demo::INVITED_EMAIL).unwrap().id)
}

/// Nothing of a person is here: no directory, no key, nobody signed in.
fn check_nothing_is_left(phone: &Phone) {
    assert_eq!(phone.portal.account().session().state, SessionState::SignedOut);
    assert!(!phone.portal.account().session().sign_in_pending);
    assert!(users(phone.directory()).is_empty());
    assert!(files(phone.directory()).iter().all(|file| {
        ["admit.lock", "install", "install.lock", "practice.json"].contains(&name(file).as_str())
    }));
    assert_eq!(phone.vault.aliases(), ["portal-install"]);
}

#[test]
fn an_invitation_works_for_seven_days_and_not_a_millisecond_longer() {
    const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
    for (late, expected) in [(false, None), (true, Some(refused(Reason::InvitationExpired)))] {
        let practice = Practice::demo(1);
        let sent = practice.act(|world, _| {
            let mail = world.mails().iter().rev().find(|mail| mail.to == demo::INVITED_EMAIL);
            mail.unwrap().at
        });
        let age = (practice.clock.server_now() - sent).to_std().unwrap();
        practice.clock.advance(WEEK - age - Duration::from_millis(u64::from(!late)));
        // The phone's own clock has no say.
        practice.clock.set_wall(-400 * 24 * 3_600_000);
        let phone = Phone::new(&practice, 1);
        assert_eq!(register(&phone, registration(&practice)).err(), expected);
        if late {
            check_nothing_is_left(&phone);
            // The practice sends another one.
            let id = client(&practice);
            practice.act(|world, at| world.resend(id, at).map(drop).unwrap());
            register(&phone, registration(&practice)).unwrap();
        }
    }
}

#[test]
fn a_link_that_was_used_withdrawn_or_replaced_says_so() {
    let practice = Practice::demo(1);
    let phone = Phone::new(&practice, 2);
    let first = registration(&practice);
    let id = client(&practice);
    practice.act(|world, at| world.resend(id, at).map(drop).unwrap());
    assert_eq!(register(&phone, first).unwrap_err(), refused(Reason::InvitationReplaced));
    check_nothing_is_left(&phone);

    let second = registration(&practice);
    practice.act(|world, at| world.withdraw_invitation(id, at).unwrap());
    assert_eq!(register(&phone, second).unwrap_err(), refused(Reason::InvitationWithdrawn));
    check_nothing_is_left(&phone);

    practice.act(|world, at| world.resend(id, at).map(drop).unwrap());
    let third = registration(&practice);
    register(&phone, third.clone()).unwrap();
    let other = Phone::new(&practice, 3);
    assert_eq!(register(&other, third).unwrap_err(), refused(Reason::InvitationUsed));
    check_nothing_is_left(&other);
}

#[test]
fn whatever_does_not_belong_together_gets_the_same_answer_and_a_lock_in_the_end() {
    let practice = Practice::demo(1);
    let phone = Phone::new(&practice, 4);
    let right = registration(&practice);
    let unknown = "A".repeat(43);
    let wrong = [
        Registration { last_name: "Somebody".into(), ..right.clone() },
        Registration { date_of_birth: "1990-02-27".into(), ..right.clone() },
        Registration { last_name: "Somebody".into(), date_of_birth: "1990-02-27".into(), ..right.clone() },
        Registration {
            invitation_link: format!("https://portal.practice.test/enroll/{unknown}"),
            ..right.clone()
        },
    ];
    let answers: Vec<_> = wrong.iter().map(|one| register(&phone, one.clone()).unwrap_err()).collect();
    assert!(answers.iter().all(|answer| *answer == refused(Reason::RegistrationRefused)), "{answers:?}");
    for _ in 0..2 {
        assert_eq!(register(&phone, wrong[0].clone()).unwrap_err(), refused(Reason::RegistrationRefused));
    }
    // Locked: even what is right is not looked at, for half an hour.
    assert_eq!(register(&phone, right.clone()).unwrap_err(), refused(Reason::RegistrationLocked));
    check_nothing_is_left(&phone);
    practice.clock.advance(Duration::from_secs(29 * 60));
    assert_eq!(register(&phone, right.clone()).unwrap_err(), refused(Reason::RegistrationLocked));
    practice.clock.advance(Duration::from_secs(61));
    register(&phone, right).unwrap();
}

#[test]
fn names_are_compared_as_people_write_them() {
    for spelled in ["  o’connor–núñez ", "O'CONNOR-NU\u{301}N\u{303}EZ", "o\u{2bc}connor\u{2010}núñez"]
    {
        let practice = Practice::demo(1);
        let phone = Phone::new(&practice, 5);
        register(&phone, Registration { last_name: spelled.into(), ..registration(&practice) }).unwrap();
    }
    let practice = Practice::demo(1);
    let phone = Phone::new(&practice, 6);
    for other in ["Oconnor-Nunez", "O'Connor", "Núñez-O'Connor", "O'Connor Núñez x"] {
        let error = register(&phone, Registration { last_name: other.into(), ..registration(&practice) });
        assert_eq!(error.unwrap_err(), refused(Reason::RegistrationRefused), "{other}");
    }
}

#[test]
fn a_weak_password_is_named_and_can_be_chosen_again() {
    let practice = Practice::demo(1);
    let phone = Phone::new(&practice, 7);
    for (password, reason) in [
        (String::new(), Reason::PasswordTooShort),
        ("elevenchars".into(), Reason::PasswordTooShort),
        ("x".repeat(129), Reason::PasswordTooLong),
        ("passwordpassword".into(), Reason::PasswordTooCommon),
        ("renee@example.org!".into(), Reason::PasswordContainsLogin),
    ] {
        let error = register(&phone, Registration { password, ..registration(&practice) }).unwrap_err();
        assert_eq!(error, PortalError::Refused { reason, field: Some("password".into()) });
        check_nothing_is_left(&phone);
    }
    // Every script and space counts as a character.
    let password = "пароль 密码 🌧🌧 ok".to_owned();
    register(&phone, Registration { password: password.clone(), ..registration(&practice) }).unwrap();
    now(phone.portal.account().wipe()).unwrap();
    phone.sign_in("renee@example.org", &password).unwrap();
}

#[test]
fn what_is_not_of_the_form_never_leaves_the_phone() {
    let practice = Practice::demo(1);
    let phone = Phone::new(&practice, 8);
    let right = registration(&practice);
    let malformed = |field: &str, reason| PortalError::Refused { reason, field: Some(field.to_owned()) };
    let links = [
        String::new(),
        "not a link".into(),
        right.invitation_link.replace("https", "http"),
        right.invitation_link.replace("portal.practice.test", "evil.test"),
        format!("{}?utm_source=mail", right.invitation_link),
        format!("{}/", right.invitation_link),
        "x".repeat(100_000),
    ];
    for invitation_link in links {
        let error = register(&phone, Registration { invitation_link, ..right.clone() }).unwrap_err();
        assert_eq!(error, malformed("invitation_link", Reason::InvitationMalformed));
    }
    let dates = [
        "",
        "1990-2-28",
        "28.02.1990",
        "1990-02-30",
        "1990-13-01",
        "+1990-02-2",
        " 1990-2-28",
        "١٩٩٠-٠٢-٢٨",
        "1990-02-28T",
    ];
    for date in dates {
        let error =
            register(&phone, Registration { date_of_birth: date.into(), ..right.clone() }).unwrap_err();
        assert_eq!(error, malformed("date_of_birth", Reason::Malformed), "{date}");
    }
    for last_name in [String::new(), " \u{a0}\t".into(), "x".repeat(201)] {
        let error = register(&phone, Registration { last_name, ..right.clone() }).unwrap_err();
        assert_eq!(error, malformed("last_name", Reason::Malformed));
    }
    assert!(practice.seen().is_empty(), "not a request");
    check_nothing_is_left(&phone);
    // Spaces and line ends of a mail program are forgiven.
    let invitation_link = format!("\r\n  {}\n", right.invitation_link);
    register(&phone, Registration { invitation_link, ..right }).unwrap();
}

#[test]
fn after_a_lost_answer_the_same_call_says_used_and_the_password_works() {
    let practice = Practice::demo(5);
    let phone = Phone::new(&practice, 9);
    practice.next(REGISTRATIONS, Mishap::LoseAnswer);
    let error = register(&phone, registration(&practice)).unwrap_err();
    assert_eq!(error, PortalError::Offline { reason: Reason::ConnectionLost });
    check_nothing_is_left(&phone);
    assert_eq!(register(&phone, registration(&practice)).unwrap_err(), refused(Reason::InvitationUsed));
    phone.sign_in("renee@example.org", PASSWORD).unwrap();
    assert!(now(phone.portal.sync(None)).unwrap().complete);
}

#[test]
fn after_a_lost_request_the_same_call_works() {
    let practice = Practice::demo(5);
    let phone = Phone::new(&practice, 10);
    practice.next(REGISTRATIONS, Mishap::LoseRequest);
    assert!(register(&phone, registration(&practice)).is_err());
    for broken in [lab::page(200), lab::page(403), lab::json(201, &serde_json::json!({"code": 7}))] {
        practice.next(REGISTRATIONS, Mishap::Instead(broken));
        let error = register(&phone, registration(&practice)).unwrap_err();
        assert_eq!(error, PortalError::Offline { reason: Reason::BadAnswer });
        check_nothing_is_left(&phone);
    }
    practice.set_online(false);
    let error = register(&phone, registration(&practice)).unwrap_err();
    assert_eq!(error, PortalError::Offline { reason: Reason::NoConnection });
    practice.set_online(true);
    register(&phone, registration(&practice)).unwrap();
}

#[test]
fn registered_but_never_redeemed_still_means_registered() {
    let practice = Practice::demo(5);
    for mishap in [Mishap::LoseRequest, Mishap::LoseAnswer] {
        let practice = Practice::demo(5);
        let phone = Phone::new(&practice, 11);
        practice.next("POST /oauth/token", mishap);
        let error = register(&phone, registration(&practice)).unwrap_err();
        assert_eq!(error, PortalError::Offline { reason: Reason::ConnectionLost });
        check_nothing_is_left(&phone);
        phone.sign_in("renee@example.org", PASSWORD).unwrap();
    }
    // A code of an unknown newer kind survives to the shell; text does not.
    let phone = Phone::new(&practice, 12);
    let newer = serde_json::json!({"status": 422, "code": "password_leaked", "field": "password"});
    practice.next(REGISTRATIONS, Mishap::Instead(lab::json(422, &newer)));
    let error = register(&phone, registration(&practice)).unwrap_err();
    assert_eq!(error.reason().code(), "password_leaked");
    let text = serde_json::json!({"status": 422, "code": "Renée has PTSD", "field": "O'Connor born 1990"});
    practice.next(REGISTRATIONS, Mishap::Instead(lab::json(422, &text)));
    let error = register(&phone, registration(&practice)).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("PTSD"));
    assert!(!format!("{error} {error:?}").contains("Connor"));
}
