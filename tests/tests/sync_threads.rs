//! Sync on the core's own threads, as on a phone: it starts by itself, once, and no trigger is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use futures_util::future::join_all;
use portal_core::Portal;
use portal_core::messages::ThreadFilter;
use portal_core::ports::{Files, Ports};
use portal_core::runtime::Mode;
use portal_tests::phone::{Scratch, config, registration};
use portal_tests::practice::{Mishap, Practice, SeededEntropy, TestVault};
use portal_tests::story::*;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

const OPS: &str = "POST /v1/ops";
const FEED: &str = "GET /v1/sync";

/// A phone as an app has it. What it does by itself, it does without being asked.
struct Live {
    portal: Arc<Portal>,
    threads: Vec<String>,
    _scratch: Scratch,
}

async fn live(practice: &Arc<Practice>, seed: u64) -> Live {
    let scratch = Scratch::new();
    let ports = Ports {
        transport: practice.clone(),
        clock: practice.clock.clone(),
        entropy: Arc::new(SeededEntropy::new(seed)),
        vault: Arc::new(TestVault::default()),
        files: Files::directory(scratch.path()),
    };
    let portal = Portal::open_with(&config(scratch.path()), ports, Mode::Threads).unwrap();
    portal.account().register(registration(practice)).await.unwrap();
    portal.sync(None).await.unwrap();
    let page = portal.messages().threads(ThreadFilter::All, 0, 100).await.unwrap();
    let threads = page.threads.into_iter().filter(|thread| !thread.closed).map(|thread| thread.id).collect();
    Live { portal, threads, _scratch: scratch }
}

/// Waits for something that happens by itself. Half a minute is no figure to reach: it only ends a
/// test that fails.
async fn soon(what: &str, happened: impl Fn() -> bool) {
    let begun = Instant::now();
    while !happened() {
        assert!(begun.elapsed() < Duration::from_secs(30), "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The next request of this kind stays at the practice until the sender is used or dropped; the
/// receiver tells when it got there.
fn hold(practice: &Practice, what: &str) -> (mpsc::Sender<()>, mpsc::Receiver<()>) {
    let (release, held) = mpsc::channel();
    let (arrived, there) = mpsc::channel();
    practice.next(
        what,
        Mishap::First(Box::new(move |_| {
            let _ = arrived.send(());
            let _ = held.recv();
        })),
    );
    (release, there)
}

#[tokio::test]
async fn i29_a_hundred_syncs_at_once_are_a_few_requests() {
    let practice = Practice::demo(60);
    let phone = live(&practice, 111).await;
    let asked = practice.count(FEED);
    let (release, there) = hold(&practice, FEED);
    let syncs = tokio::spawn(join_all((0..100).map(|_| {
        let portal = phone.portal.clone();
        async move { portal.sync(None).await }
    })));
    tokio::task::yield_now().await;
    there.recv_timeout(Duration::from_secs(30)).unwrap();
    // All of them ask while the first request is under way.
    tokio::time::sleep(Duration::from_millis(500)).await;
    release.send(()).unwrap();
    for report in syncs.await.unwrap() {
        assert!(report.unwrap().complete);
    }
    let asked = practice.count(FEED) - asked;
    assert!((1..=10).contains(&asked), "{asked}");
}

#[tokio::test]
async fn i30_what_is_written_during_a_sync_is_sent_without_asking_again() {
    for what in [FEED, OPS] {
        let practice = Practice::demo(60);
        let phone = live(&practice, 113).await;
        let (release, there) = hold(&practice, what);
        let first = phone.portal.messages().send(phone.threads[0].clone(), "First".into()).await.unwrap();
        there.recv_timeout(Duration::from_secs(30)).unwrap();
        let second = phone.portal.messages().send(phone.threads[1].clone(), "Second".into()).await.unwrap();
        release.send(()).unwrap();
        soon("both arrive", || arrived(&practice, "First") == 1 && arrived(&practice, "Second") == 1).await;
        assert_ne!(first, second);
    }
}

#[tokio::test]
async fn i30_what_changes_at_the_practice_during_a_sync_is_fetched_by_the_trigger_of_then() {
    let practice = Practice::demo(60);
    let phone = live(&practice, 114).await;
    let (release, there) = hold(&practice, FEED);
    let portal = phone.portal.clone();
    let first = tokio::spawn(async move { portal.sync(None).await });
    tokio::task::yield_now().await;
    while there.try_recv().is_err() {
        tokio::task::yield_now().await;
    }
    let portal = phone.portal.clone();
    let second = tokio::spawn(async move { portal.sync(None).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    release.send(()).unwrap();
    first.await.unwrap().unwrap();
    let text = "After the first had asked";
    reply(&practice, &phone.threads[0], text);
    second.await.unwrap().unwrap();
    phone.portal.sync(None).await.unwrap();
    let hits = phone.portal.messages().search(text.into(), 10).await.unwrap();
    assert_eq!(hits.iter().filter(|hit| hit.message.text == text).count(), 1);
}

// I39, I40: the background loop that waits for one conversation still hears of the others.
#[tokio::test]
async fn i40_a_conversation_that_waits_does_not_keep_the_background_from_sending_another() {
    let practice = Practice::demo(60);
    let phone = live(&practice, 115).await;
    let results = serde_json::json!({"results":[{"lane":format!("thread:{}", phone.threads[0]),"n":"1",
        "status":"retry","problem":{"code":"busy","retryable":true,"retry_after_s":3000}}]});
    practice.next(OPS, Mishap::Instead(json(200, &results)));
    let pulls = practice.count(FEED);
    phone.portal.messages().send(phone.threads[0].clone(), "Not now".into()).await.unwrap();
    soon("the practice answers, and the loop waits", || practice.count(FEED) > pulls).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    phone.portal.messages().send(phone.threads[1].clone(), "Now".into()).await.unwrap();
    soon("the other conversation goes on", || arrived(&practice, "Now") == 1).await;
    assert_eq!(arrived(&practice, "Not now"), 0);
}

#[tokio::test]
async fn what_waits_after_a_failure_is_tried_at_once_when_a_person_says_retry() {
    let practice = Practice::demo(60);
    let phone = live(&practice, 116).await;
    practice.next(OPS, Mishap::Instead(problem(500, "internal")));
    phone.portal.messages().send(phone.threads[0].clone(), "Again, please".into()).await.unwrap();
    let entry = loop {
        let entries = phone.portal.outbox().entries().await.unwrap();
        let entry = entries.into_iter().next().expect("it waits: the backoff never ends by itself here");
        if entry.attempts > 0 {
            break entry;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(arrived(&practice, "Again, please"), 0);
    phone.portal.outbox().retry(entry.id).await.unwrap();
    soon("it is tried", || arrived(&practice, "Again, please") == 1).await;
}
