//! What a second pair of eyes found in sync: each story failed before it was repaired.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use portal_core::change::{Change, Changes};
use portal_core::outbox::OutboxState;
use portal_core::ports::{Clock, Exchange, Files, Ports, Transport, TransportError};
use portal_core::runtime::Mode;
use portal_core::values::Millis;
use portal_core::{Portal, PortalError, Reason};
use portal_server_mock::world::{Banner, Policy};
use portal_tests::phone::{Phone, Scratch, config, now, registration};
use portal_tests::practice::{Mishap, Practice, SeededEntropy, TestVault, locked};
use portal_tests::story::*;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const OPS: &str = "POST /v1/ops";
const FEED: &str = "GET /v1/sync";

/// Real time; how often somebody slept is counted.
struct Counted {
    begun: Instant,
    sleeps: AtomicUsize,
}

impl Clock for Counted {
    fn wall(&self) -> Millis {
        Millis(1_776_000_000_000)
    }

    fn boot(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.sleeps.fetch_add(1, Ordering::SeqCst);
        Box::pin(tokio::time::sleep(duration))
    }
}

fn file_called(name: &str, under: &Path) -> Option<std::path::PathBuf> {
    std::fs::read_dir(under).ok()?.flatten().find_map(|entry| match entry.path() {
        path if path.is_dir() => file_called(name, &path),
        path => path.ends_with(name).then_some(path),
    })
}

#[tokio::test]
async fn another_process_that_syncs_is_waited_for_and_not_hammered() {
    let practice = Practice::demo(60);
    let scratch = Scratch::new();
    let clock = Arc::new(Counted { begun: Instant::now(), sleeps: AtomicUsize::new(0) });
    let ports = Ports {
        transport: practice.clone(),
        clock: clock.clone(),
        entropy: Arc::new(SeededEntropy::new(900)),
        vault: Arc::new(TestVault::default()),
        files: Files::directory(scratch.path()),
    };
    let portal = Portal::open_with(&config(scratch.path()), ports, Mode::Threads).unwrap();
    portal.account().register(registration(&practice)).await.unwrap();
    portal.sync(None).await.unwrap();
    let page = portal.messages().threads(portal_core::messages::ThreadFilter::All, 0, 100).await.unwrap();
    let thread = page.threads.into_iter().find(|thread| !thread.closed).unwrap().id;

    // `flock` belongs to the open file, so this one is another process to the core.
    let other = std::fs::File::open(file_called("sync.lock", scratch.path()).unwrap()).unwrap();
    other.lock().unwrap();
    let slept = clock.sleeps.load(Ordering::SeqCst);
    portal.messages().send(thread, "After the neighbour".into()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let tries = clock.sleeps.load(Ordering::SeqCst) - slept;
    assert!((1..100).contains(&tries), "{tries} tries in a second and a half");
    assert_eq!(portal.sync(None).await.unwrap_err(), PortalError::Storage { reason: Reason::InUse });
    other.unlock().unwrap();
    let begun = Instant::now();
    while arrived(&practice, "After the neighbour") == 0 {
        assert!(begun.elapsed() < Duration::from_secs(120), "it is sent without anybody asking");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn a_sync_whose_lock_was_taken_away_ends_even_if_the_files_are_open_again() {
    for what in [OPS, FEED] {
        let practice = Practice::demo(60);
        let phone = Phone::registered(&practice, 901);
        let thread = open_thread(&phone);
        send(&phone, &thread, "Under way");
        let portal = phone.portal.clone();
        practice.next(
            what,
            Mishap::First(Box::new(move |_| {
                now(portal.suspend()).unwrap();
                now(portal.resume()).unwrap();
            })),
        );
        assert_eq!(sync_fails(&phone), PortalError::Storage { reason: Reason::Suspended });
        let before = if what == OPS { OutboxState::Sending } else { OutboxState::Sent };
        assert_eq!(entry(&phone).state, before, "nothing was written without the lock");
        assert!(settle(&phone).complete);
        assert_eq!((arrived(&practice, "Under way"), outbox(&phone).len()), (1, 0));
    }
}

#[test]
fn a_gateways_no_is_not_the_practices_word_on_what_was_written() {
    let practice = Practice::demo(60);
    let phone = Phone::registered(&practice, 902);
    let thread = open_thread(&phone);
    for n in 0..5 {
        send(&phone, &thread, &format!("Kept {n}"));
    }
    for status in [403, 404, 405, 409, 410, 415] {
        practice.set_rule(Some(Box::new(move |request| {
            (request.uri().path() == "/v1/ops").then(|| problem(status, "policy_violation"))
        })));
        assert_eq!(offline(sync_fails(&phone)), Reason::BadAnswer, "{status}");
        assert_eq!(now(phone.portal.home().view()).unwrap().refused, 0, "{status}");
    }
    practice.set_rule(None);
    assert_eq!(settle(&phone).refused, 0);
    let got = practice_has(&practice, &thread);
    assert_eq!(got[got.len() - 5..], ["Kept 0", "Kept 1", "Kept 2", "Kept 3", "Kept 4"]);
}

#[test]
fn i3_an_op_that_may_have_arrived_is_not_given_back_by_a_filter() {
    let practice = Practice::demo(200);
    let phone = Phone::registered(&practice, 903);
    let threads = open_threads(&phone);
    let (doubtful, other) = (threads[0].clone(), threads[1].clone());
    send(&phone, &doubtful, "SELECT this one");
    practice.next(OPS, Mishap::LoseAnswer);
    sync_fails(&phone);
    send(&phone, &doubtful, "Behind it");
    send(&phone, &other, "Beside it");
    // From now on a filter refuses what the practice has taken already.
    practice.set_rule(Some(Box::new(|request| {
        let bad = String::from_utf8_lossy(request.body()).contains("SELECT");
        (bad && request.uri().path() == "/v1/ops").then(|| problem(422, "words_not_liked"))
    })));
    for _ in 0..4 {
        let _ = sync(&phone);
        practice.clock.advance(Duration::from_secs(9));
    }
    let kept = outbox(&phone).into_iter().find(|entry| entry.text == "SELECT this one").unwrap();
    assert_eq!((kept.state, kept.change.possible), (OutboxState::Sending, false));
    assert_eq!(arrived(&practice, "Beside it"), 1, "only its own conversation waits (I39)");
    let asked = practice.count(OPS);
    sync(&phone).unwrap();
    assert!(practice.count(OPS) - asked < 4, "and it is asked about with patience");
    practice.set_rule(None);
    let report = settle(&phone);
    assert_eq!((report.waiting, report.refused), (0, 0));
    let got = practice_has(&practice, &doubtful);
    assert_eq!(got[got.len() - 2..], ["SELECT this one", "Behind it"]);
}

#[test]
fn a_number_that_is_another_ops_is_learnt_anew() {
    let practice = Practice::demo(60);
    let phone = Phone::registered(&practice, 904);
    let thread = open_thread(&phone);
    send(&phone, &thread, "Numbered twice");
    practice.next(OPS, Mishap::Instead(problem(422, "key_reused")));
    let report = settle(&phone);
    assert_eq!((report.waiting, report.refused), (0, 0));
    assert_eq!((arrived(&practice, "Numbered twice"), outbox(&phone).len()), (1, 0));
}

// Seed 1118 of the simulator: a late copy was executed under another number, and the key is spent.
#[test]
fn an_op_that_may_have_arrived_under_a_spent_key_goes_under_another() {
    let practice = Practice::demo(60);
    let phone = Phone::registered(&practice, 906);
    let thread = open_thread(&phone);
    send(&phone, &thread, "Its key is spent");
    let spent = entry(&phone).id;
    practice.next(OPS, Mishap::LoseAnswer);
    sync_fails(&phone);
    practice.set_rule(Some(Box::new(move |request| {
        let again = String::from_utf8_lossy(request.body()).contains(&spent);
        (again && request.uri().path() == "/v1/ops").then(|| problem(422, "key_reused"))
    })));
    let report = settle(&phone);
    assert_eq!((report.waiting, report.refused), (0, 0));
    assert_eq!((arrived(&practice, "Its key is spent"), outbox(&phone).len()), (1, 0));
}

#[test]
fn i3_after_a_resync_what_may_have_arrived_is_still_on_its_way() {
    for new_epoch in [false, true] {
        let practice = Practice::demo(60);
        let phone = Phone::registered(&practice, 905);
        let thread = open_thread(&phone);
        send(&phone, &thread, "A late copy");
        practice.next(OPS, Mishap::LoseRequest);
        sync_fails(&phone);
        practice.act(|world, _| if new_epoch { world.bump_epoch(None) } else { world.expire_cursors() });
        // The resync ends, and then the network does.
        practice.next(OPS, Mishap::Instead(json(200, &json!({"results": []}))));
        practice.next(OPS, Mishap::LoseRequest);
        let _ = sync(&phone);
        let kept = entry(&phone);
        assert_eq!((kept.state, kept.change.possible), (OutboxState::Sending, false));
        let error = now(phone.portal.outbox().discard(kept.id)).unwrap_err();
        assert_eq!(error, PortalError::Refused { reason: Reason::OnItsWay, field: None });
        settle(&phone);
        assert_eq!((arrived(&practice, "A late copy"), outbox(&phone).len()), (1, 0));
    }
}

/// A network that notes how long each request may take.
struct Timed(Arc<Practice>, Mutex<Vec<Duration>>);

#[async_trait]
impl Transport for Timed {
    async fn send(&self, exchange: Exchange) -> Result<http::Response<Vec<u8>>, TransportError> {
        locked(&self.1).push(exchange.timeout);
        self.0.clock.advance(Duration::from_millis(100));
        self.0.send(exchange).await
    }
}

#[test]
fn a_deadline_bounds_every_request() {
    let (practice, scratch) = (Practice::demo(60), Scratch::new());
    let timed = Arc::new(Timed(practice.clone(), Mutex::default()));
    let ports = Ports {
        transport: timed.clone(),
        clock: practice.clock.clone(),
        entropy: Arc::new(SeededEntropy::new(906)),
        vault: Arc::new(TestVault::default()),
        files: Files::directory(scratch.path()),
    };
    let portal = Portal::open_with(&config(scratch.path()), ports, Mode::Inline).unwrap();
    now(portal.account().register(registration(&practice))).unwrap();
    locked(&timed.1).clear();
    let _ = now(portal.sync(Some(1_500)));
    let seen = std::mem::take(&mut *locked(&timed.1));
    assert!(
        !seen.is_empty() && seen.iter().all(|timeout| *timeout <= Duration::from_millis(1_500)),
        "{seen:?}"
    );
    now(portal.sync(None)).unwrap();
    assert!(locked(&timed.1).iter().all(|timeout| *timeout > Duration::from_secs(10)));
}

#[test]
fn a_place_that_the_practice_cannot_read_heals() {
    let practice = Practice::demo(60);
    let phone = Phone::registered(&practice, 907);
    reply(&practice, &open_thread(&phone), "Behind the bad place");
    practice.set_rule(Some(Box::new(|request| {
        let placed = request.uri().query().is_some_and(|query| query.contains("cursor="));
        (request.uri().path() == "/v1/sync" && placed).then(|| problem(400, "cursor_malformed"))
    })));
    assert!(sync(&phone).is_ok());
    shown_once(&phone, &open_thread(&phone), "Behind the bad place");
    // A practice that reads no place at all is asked less and less.
    let asked = practice.count(FEED);
    for _ in 0..5 {
        let _ = sync(&phone);
    }
    assert!(practice.count(FEED) - asked < 30, "{}", practice.count(FEED) - asked);
}

#[test]
fn unreadable_changes_count_one_by_one_and_a_refill_keeps_the_last_good_version() {
    let practice = Practice::demo(60);
    let phone = Phone::registered(&practice, 908);
    let before = shows(&phone)["read"].clone();
    practice.act(|world, _| world.expire_cursors());
    practice.next(FEED, Mishap::Change(Box::new(|response| response)));
    practice.next(
        FEED,
        Mishap::Change(Box::new(|response| {
            edited(response, |page| {
                for change in page["changes"].as_array_mut().unwrap() {
                    if change["entity"] == "thread" {
                        change["data"]["created_at"] = "yesterday".into();
                    }
                }
                let changes = page["changes"].as_array_mut().unwrap();
                changes.extend([json!("one"), json!("two"), json!("three")]);
            })
        })),
    );
    let count = before.as_array().unwrap().len() as u64;
    assert_eq!(sync(&phone).unwrap().quarantined, count + 3);
    let texts = |read: &Value| {
        let each = |view: &Value| (view["thread"]["subject"].clone(), view["messages"].clone());
        read.as_array().unwrap().iter().map(each).collect::<Vec<_>>()
    };
    assert_eq!(texts(&shows(&phone)["read"]), texts(&before));
    practice.act(|world, _| world.expire_cursors());
    assert_eq!(sync(&phone).unwrap().quarantined, 0);
    assert_eq!(texts(&shows(&phone)["read"]), texts(&before));
}

fn heard(changes: &Changes) -> Vec<Change> {
    std::iter::from_fn(|| changes.next().now_or_never().flatten()).collect()
}

#[test]
fn a_mark_that_changes_nothing_moves_nothing_and_one_that_does_moves_the_badge() {
    let practice = Practice::demo(60);
    let phone = Phone::registered(&practice, 909);
    let thread_id = open_thread(&phone);
    reply(&practice, &thread_id, "Unread");
    let changes = phone.portal.changes();
    sync(&phone).unwrap();
    assert!(heard(&changes).contains(&Change::Home), "a message came");
    now(phone.portal.messages().mark_read(thread_id.clone(), u64::MAX)).unwrap();
    let after = heard(&changes);
    assert!(after.contains(&Change::Home) && after.contains(&Change::Outbox), "{after:?}");
    now(phone.portal.messages().mark_read(thread_id, 1)).unwrap();
    assert_eq!(heard(&changes), []);
}

#[test]
fn a_banner_is_over_at_its_end_whatever_the_phones_clock_says() {
    let practice = Practice::demo(60);
    let phone = Phone::registered(&practice, 910);
    let until = practice.clock.server_now() + chrono::Duration::seconds(60);
    practice.act(|world, _| world.set_banner(Some(Banner { text: "Closed".into(), until })));
    sync(&phone).unwrap();
    let banner = |phone: &Phone| now(phone.portal.home().view()).unwrap().banner;
    practice.clock.set_wall(3_600_000);
    assert!(banner(&phone).is_some());
    practice.clock.advance(Duration::from_secs(59));
    assert!(banner(&phone).is_some());
    practice.clock.advance(Duration::from_secs(1));
    assert!(banner(&phone).is_none());
    sync(&phone).unwrap();
    practice.set_online(false);
    let phone = phone.restart();
    now(phone.portal.account().unlock()).unwrap();
    assert!(banner(&phone).is_none(), "known from the last answer");
}

#[test]
fn nothing_earlier_is_promised_where_nothing_is() {
    let practice = Practice::demo(60);
    let phone = Phone::new(&practice, 911);
    now(phone.portal.account().register(registration(&practice))).unwrap();
    // The first message of each conversation was taken back.
    practice.next(
        FEED,
        Mishap::Change(Box::new(|response| {
            edited(response, |page| {
                let first = |change: &Value| change["entity"] == "message" && change["data"]["n"] == "1";
                page["changes"].as_array_mut().unwrap().retain(|change| !first(change));
            })
        })),
    );
    sync(&phone).unwrap();
    let thread_id = open_thread(&phone);
    let view = thread(&phone, &thread_id);
    assert!(view.messages[0].n > Some(1), "the first place is empty");
    assert_eq!(view.earlier, None);
    let all = view.messages.len() as u32;
    let page = |limit| now(phone.portal.messages().thread(thread_id.clone(), None, limit)).unwrap().earlier;
    assert_eq!((page(all), page(all - 1).is_some()), (None, true));
}

#[test]
fn an_edit_is_held_to_the_practices_length() {
    let practice = Practice::demo(60);
    let phone = Phone::registered(&practice, 912);
    practice.act(|world, _| {
        let policy = Policy { message_max_chars: 20, ..world.practice().policy.clone() };
        world.set_policy(policy);
    });
    sync(&phone).unwrap();
    let thread_id = open_thread(&phone);
    practice.set_online(false);
    send(&phone, &thread_id, "Short");
    let error = now(phone.portal.outbox().edit(entry(&phone).id, "x".repeat(21))).unwrap_err();
    assert_eq!(error, PortalError::Refused { reason: Reason::BodyTooLong, field: Some("text".into()) });
    assert_eq!(entry(&phone).text, "Short");
    now(phone.portal.outbox().edit(entry(&phone).id, "x".repeat(20))).unwrap();
}

#[test]
fn i10_an_answer_that_does_not_say_which_change_shows_it_takes_nothing_from_the_screen() {
    let practice = Practice::demo(60);
    let phone = Phone::registered(&practice, 913);
    let thread_id = open_thread(&phone);
    send(&phone, &thread_id, "Shown all along");
    practice.next(
        OPS,
        Mishap::Change(Box::new(|response| {
            edited(response, |body| drop(body["results"][0].as_object_mut().unwrap().remove("seq")))
        })),
    );
    practice.next(FEED, Mishap::LoseRequest);
    sync_fails(&phone);
    shown_once(&phone, &thread_id, "Shown all along");
    assert_eq!(entry(&phone).state, OutboxState::Sent);
    assert!(sync(&phone).unwrap().complete);
    shown_once(&phone, &thread_id, "Shown all along");
    assert!(outbox(&phone).is_empty());
}

#[test]
fn a_request_stays_below_the_protocols_bound() {
    let practice = Practice::demo(60);
    let phone = Phone::registered(&practice, 914);
    practice.act(|world, _| {
        let policy = Policy { message_max_chars: 10_000, ..world.practice().policy.clone() };
        world.set_policy(policy);
    });
    sync(&phone).unwrap();
    let thread_id = open_thread(&phone);
    practice.set_online(false);
    // Four bytes a character, as long as the practice allows.
    for n in 0..40 {
        send(&phone, &thread_id, &format!("{n:02}{}", "🙂".repeat(9_998)));
    }
    practice.set_online(true);
    assert_eq!(settle(&phone).waiting, 0);
    let sizes: Vec<usize> =
        practice.seen().iter().filter(|seen| seen.what == OPS).map(|seen| seen.body.len()).collect();
    assert!(sizes.len() < 5 && sizes.iter().all(|size| *size < 1 << 20), "{sizes:?}");
    let got = practice_has(&practice, &thread_id);
    assert!(got[got.len() - 40..].iter().enumerate().all(|(n, text)| text.starts_with(&format!("{n:02}"))));
}
