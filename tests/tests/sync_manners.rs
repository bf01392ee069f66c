//! How a phone treats a practice that is busy, broken or slow, and a shell that asks too often.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_macros, reason = "a seed or a version is printed for whoever looks at a failure")]

use portal_core::outbox::OutboxState;
use portal_core::{PortalError, Reason};
use portal_tests::phone::{Phone, now, registration};
use portal_tests::practice::{Mishap, Practice};
use portal_tests::story::*;
use std::time::Duration;

const OPS: &str = "POST /v1/ops";
const FEED: &str = "GET /v1/sync";

fn pass_time(phone: &Phone, seconds: u64) {
    for _ in 0..seconds.div_ceil(60) {
        phone.practice.clock.advance(Duration::from_secs(seconds.min(60)));
        phone.portal.account().touch();
    }
}

#[test]
fn i28_no_request_comes_before_its_retry_after_whoever_asks() {
    for (status, what) in [(429, FEED), (503, FEED), (429, OPS), (503, OPS)] {
        let practice = Practice::demo(60);
        let phone = Phone::registered(&practice, 101);
        let thread = open_thread(&phone);
        send(&phone, &thread, "Patience");
        practice.next(what, Mishap::Instead(busy(status, 40)));
        assert_eq!(offline(sync_fails(&phone)), Reason::Busy);
        let asked = practice.seen().len();
        for _ in 0..4 {
            assert_eq!(offline(sync_fails(&phone)), Reason::Busy, "{status} {what}");
            send(&phone, &thread, "More patience");
            pass_time(&phone, 9);
        }
        now(phone.portal.outbox().retry(outbox(&phone)[0].id.clone())).unwrap();
        assert_eq!(offline(sync_fails(&phone)), Reason::Busy);
        assert_eq!(practice.seen().len(), asked, "{status} {what}");
        pass_time(&phone, 4);
        assert!(settle(&phone).complete);
        assert_eq!((arrived(&practice, "Patience"), arrived(&practice, "More patience")), (1, 4));
    }
}

#[test]
fn i28_an_hour_is_the_longest_that_a_practice_can_silence_a_phone() {
    let practice = Practice::demo(60);
    let phone = Phone::registered(&practice, 102);
    let mut year = busy(503, 365 * 24 * 3_600);
    practice.next(FEED, Mishap::Instead(year.clone()));
    assert_eq!(offline(sync_fails(&phone)), Reason::Busy);
    let asked = practice.seen().len();
    pass_time(&phone, 3_540);
    assert_eq!(offline(sync_fails(&phone)), Reason::Busy);
    assert_eq!(practice.seen().len(), asked);
    pass_time(&phone, 60);
    assert!(sync(&phone).unwrap().complete);

    // A date is compared with the practice's clock, not with the phone's, which is years off.
    practice.clock.set_wall(-5 * 365 * 24 * 3_600_000);
    let headers = year.headers_mut();
    headers.insert("portal-time", "2026-04-15T15:00:00.000Z".parse().unwrap());
    headers.insert("retry-after", "Wed, 15 Apr 2026 15:00:50 GMT".parse().unwrap());
    practice.next(FEED, Mishap::Instead(year));
    assert_eq!(offline(sync_fails(&phone)), Reason::Busy);
    let asked = practice.seen().len();
    pass_time(&phone, 49);
    assert_eq!(offline(sync_fails(&phone)), Reason::Busy);
    assert_eq!(practice.seen().len(), asked);
    pass_time(&phone, 2);
    assert!(sync(&phone).unwrap().complete);
}

#[test]
fn r29_every_way_of_not_reaching_the_practice_has_its_own_reason() {
    let practice = Practice::demo(60);
    let phone = Phone::registered(&practice, 103);
    let thread = open_thread(&phone);
    send(&phone, &thread, "Through everything");
    let (page, before) = (b"<html>".to_vec(), shows(&phone)["read"].clone());
    for what in [OPS, FEED] {
        for (mishap, reason) in [
            (Mishap::LoseRequest, Reason::ConnectionLost),
            (Mishap::Instead(problem(500, "internal")), Reason::ServerError),
            (Mishap::Instead(answer(502, "text/html", page.clone())), Reason::ServerError),
            (Mishap::Instead(answer(503, "text/html", page.clone())), Reason::Busy),
            (Mishap::Instead(answer(200, "text/html", page.clone())), Reason::BadAnswer),
            (Mishap::Instead(answer(403, "text/html", page.clone())), Reason::BadAnswer),
            (Mishap::Instead(answer(401, "text/html", page.clone())), Reason::BadAnswer),
            (Mishap::Instead(answer(410, "text/html", page.clone())), Reason::BadAnswer),
            (Mishap::Instead(answer(302, "text/html", page.clone())), Reason::BadAnswer),
        ] {
            practice.next(what, mishap);
            assert_eq!(offline(sync_fails(&phone)), reason, "{what}");
        }
        // Nothing was lost or shown wrongly; the network's own pages have signed nobody out.
        assert_eq!(shown_once(&phone, &thread, "Through everything").text, "Through everything");
        if what == OPS {
            assert_eq!(shows(&phone)["read"].as_array().unwrap().len(), before.as_array().unwrap().len());
        }
    }
    assert!(settle(&phone).complete);
    assert_eq!(arrived(&practice, "Through everything"), 1);
}

#[test]
fn an_answer_of_500_after_the_act_does_it_once() {
    let practice = Practice::demo(60);
    let phone = Phone::registered(&practice, 104);
    let thread = open_thread(&phone);
    send(&phone, &thread, "Committed, then broken");
    practice.next(OPS, Mishap::Change(Box::new(|_| problem(500, "internal"))));
    assert_eq!(offline(sync_fails(&phone)), Reason::ServerError);
    assert_eq!(entry(&phone).state, OutboxState::Sending);
    assert!(settle(&phone).complete);
    assert_eq!((arrived(&practice, "Committed, then broken"), outbox(&phone).len()), (1, 0));
}

#[test]
fn answers_to_ops_that_make_no_sense_end_nothing() {
    let practice = Practice::demo(60);
    let phone = Phone::registered(&practice, 105);
    let thread = open_thread(&phone);
    send(&phone, &thread, "Still here");
    for body in [
        r#"{"results":"all"}"#.to_owned(),
        r#"{"results":[{"lane":1}]}"#.to_owned(),
        "{}".to_owned(),
        "[".repeat(10_000),
        "\u{feff}".to_owned(),
    ] {
        practice.next(OPS, Mishap::Instead(answer(200, "application/json", body.into_bytes())));
        assert_eq!(offline(sync_fails(&phone)), Reason::BadAnswer);
        assert_eq!(entry(&phone).text, "Still here");
    }
    // Answers for somebody else's ops, and words of a newer version, are not "done".
    for status in ["applied", "celebrated"] {
        let lane = if status == "applied" { "thread:another".to_owned() } else { format!("thread:{thread}") };
        let results = serde_json::json!({"results":[{"lane":lane,"n":"1","status":status,"seq":"1"}]});
        practice.next(OPS, Mishap::Instead(json(200, &results)));
        let report = sync(&phone).unwrap();
        assert_eq!((report.complete, report.waiting), (false, 1), "{status}");
        assert_eq!(entry(&phone).state, OutboxState::Sending);
    }
    assert!(settle(&phone).complete);
    assert_eq!(arrived(&practice, "Still here"), 1);
}

#[test]
fn a_deadline_stops_between_two_steps_and_the_next_sync_goes_on_there() {
    let practice = Practice::demo(1_600);
    let phone = Phone::new(&practice, 106);
    now(phone.portal.account().register(registration(&practice))).unwrap();
    let asked = practice.seen().len();
    let report = now(phone.portal.sync(Some(0))).unwrap();
    assert!(!report.complete && practice.seen().len() == asked);
    for _ in 0..2 {
        let clock = practice.clock.clone();
        practice.next(FEED, Mishap::First(Box::new(move |_| clock.advance(Duration::from_millis(600)))));
    }
    let report = now(phone.portal.sync(Some(1_000))).unwrap();
    assert!(!report.complete && report.received == 1_000, "two pages: {report:?}");
    assert!(threads(&phone).is_empty());
    let report = now(phone.portal.sync(Some(1_000))).unwrap();
    assert!(report.complete && report.received < 800, "{report:?}");
    // Two and two, and one more for the trigger that came in the middle of the pull.
    assert_eq!(practice.count(FEED), 5);
}

#[test]
fn a_practice_that_asks_for_a_newer_app_gets_nothing_and_loses_nothing() {
    let practice = Practice::demo(60);
    let phone = Phone::registered(&practice, 107);
    let thread = open_thread(&phone);
    practice.act(|world, _| world.set_min_core_version(Some("99.0.0")).unwrap());
    send(&phone, &thread, "Before the update");
    assert_eq!(sync_fails(&phone), PortalError::Refused { reason: Reason::UpdateRequired, field: None });
    assert_eq!(entry(&phone).state, OutboxState::Waiting);
    assert!(entry(&phone).change.possible);
    practice.act(|world, _| world.set_min_core_version(None).unwrap());
    assert!(settle(&phone).complete);
    assert_eq!(arrived(&practice, "Before the update"), 1);
}

// I38, I7, I2: whatever the practice's own faults were, once they stop everything is in place.
#[test]
fn i38_after_any_storm_of_faults_both_sides_agree() {
    for seed in 0..12 {
        println!("seed {seed}");
        let practice = Practice::demo(80);
        let phone = Phone::registered(&practice, 200 + seed);
        let listed = open_threads(&phone);
        practice.act(|world, _| {
            world.set_faults(portal_server_mock::Faults {
                seed,
                drop_before: 0.1,
                drop_after: 0.15,
                duplicate: 0.2,
                truncate: 0.1,
                error_500: 0.05,
                commit_then_500: 0.1,
                error_503: 0.05,
                error_429: 0.05,
                error_401: 0.1,
                cursor_410: 0.1,
                html: 0.05,
                op_retry: 0.2,
                ..portal_server_mock::Faults::default()
            })
        });
        let mut written = Vec::new();
        for n in 0..30_usize {
            let thread = &listed[n % listed.len()];
            let text = format!("storm {seed}-{n}");
            send(&phone, thread, &text);
            written.push((thread.clone(), text));
            if n % 7 == 3 {
                reply(&practice, thread, &format!("from the practice {n}"));
            }
            if n == 20 {
                practice.act(|world, _| world.bump_epoch(None));
            }
            let _ = sync(&phone);
            for (thread, text) in &written {
                shown_once(&phone, thread, text);
            }
            practice.clock.advance(Duration::from_secs(7));
        }
        practice.act(|world, _| world.set_faults(portal_server_mock::Faults::default()));
        let report = settle(&phone);
        assert_eq!((report.waiting, report.refused, report.quarantined), (0, 0, 0), "seed {seed}");
        sync(&phone).unwrap();
        for (_, text) in &written {
            assert_eq!(arrived(&practice, text), 1, "{text}, seed {seed}");
        }
        for thread_id in &listed {
            let has = practice_has(&practice, thread_id);
            let shown: Vec<String> = thread(&phone, thread_id).messages.into_iter().map(|m| m.text).collect();
            assert_eq!(shown[..], has[has.len() - shown.len()..], "seed {seed}");
        }
    }
}
