//! The same journeys over real TLS sockets, on the core's own threads, as a phone has them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use portal_core::account::{Registration, SessionState};
use portal_core::change::Change;
use portal_core::messages::{MessageState, MessageView, ThreadFilter};
use portal_core::store::SoftVault;
use portal_core::{Portal, PortalError, Reason};
use portal_server_mock::serve::Running;
use portal_tests::phone::{Scratch, registration_in};
use portal_tests::served::config;
use std::sync::Arc;
use std::time::Duration;

fn practice(messages: usize) -> Running {
    portal_tests::served::practice(11, messages).unwrap()
}

fn vault(scratch: &Scratch) -> Arc<SoftVault> {
    Arc::new(SoftVault::open(&scratch.path().join("keys"), SoftVault::NAME).unwrap())
}

fn registration(practice: &Running) -> Registration {
    registration_in(&practice.world().lock().unwrap())
}

/// Waits for something that happens on another thread; a test that waits for ever is a failed one.
async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), what).await.expect("happened in time")
}

#[tokio::test]
async fn a_day_over_real_sockets_with_pins() {
    let (practice, scratch) = (practice(500), Scratch::new());
    let portal = Portal::open(config(&practice, &scratch), vault(&scratch)).await.unwrap();
    portal.account().register(registration(&practice)).await.unwrap();
    // The first sync begins by itself; this one waits for it.
    assert!(portal.sync(None).await.unwrap().complete);
    let page = portal.messages().threads(ThreadFilter::All, 0, 100).await.unwrap();
    let mut newest = 0;
    for thread in &page.threads {
        let view = portal.messages().thread(thread.id.clone(), None, 1).await.unwrap();
        newest += view.messages.last().and_then(|message| message.n).unwrap_or(0);
    }
    assert_eq!(newest, 500);

    // The practice really stops answering; what is written then is there after a restart.
    practice.pause().unwrap();
    let threads = portal.messages().threads(ThreadFilter::All, 0, 1).await.unwrap();
    let thread = threads.threads[0].id.clone();
    let message = portal.messages().send(thread.clone(), "Written in a tunnel".into()).await.unwrap();
    let error = portal.sync(None).await.unwrap_err();
    assert_eq!(error, PortalError::Offline { reason: Reason::NoConnection });
    portal.account().lock().await.unwrap();
    drop(portal);

    let portal = Portal::open(config(&practice, &scratch), vault(&scratch)).await.unwrap();
    assert_eq!(portal.account().session().state, SessionState::Locked);
    portal.account().unlock().await.unwrap();
    practice.resume().unwrap();
    within(async { while portal.sync(None).await.is_err() {} }).await;
    let view = portal.messages().thread(thread, None, 5).await.unwrap();
    assert_eq!(view.messages.iter().filter(|m| m.id == message && m.state == MessageState::Sent).count(), 1);
    let world = practice.world().lock().unwrap();
    assert_eq!(world.effects().iter().filter(|effect| effect.id.to_string() == message).count(), 1);
}

#[tokio::test]
async fn a_write_leaves_by_itself_and_the_change_tells() {
    let (practice, scratch) = (practice(20), Scratch::new());
    let portal = Portal::open(config(&practice, &scratch), vault(&scratch)).await.unwrap();
    portal.account().register(registration(&practice)).await.unwrap();
    portal.sync(None).await.unwrap();
    let thread = portal.messages().threads(ThreadFilter::All, 0, 1).await.unwrap().threads[0].id.clone();
    let changes = portal.changes();
    let message = portal.messages().send(thread.clone(), "Nobody presses sync".into()).await.unwrap();
    // No call of `sync`: the background loop sends it, and `changes` says when to look.
    within(async {
        loop {
            let view = portal.messages().thread(thread.clone(), None, 5).await.unwrap();
            if view.messages.iter().any(|m| m.id == message && m.n.is_some()) {
                break;
            }
            assert!(changes.next().await.is_some());
        }
    })
    .await;
    changes.stop();
    while changes.next().await.is_some_and(|change| change != Change::Everything) {}
}

#[tokio::test]
async fn a_hundred_syncs_at_once_are_a_few() {
    let (practice, scratch) = (practice(20), Scratch::new());
    let portal = Portal::open(config(&practice, &scratch), vault(&scratch)).await.unwrap();
    portal.account().register(registration(&practice)).await.unwrap();
    let syncs: Vec<_> = (0..100)
        .map(|_| {
            let portal = portal.clone();
            tokio::spawn(async move { portal.sync(None).await })
        })
        .collect();
    for sync in syncs {
        assert!(within(sync).await.unwrap().unwrap().complete);
    }
}

#[tokio::test]
async fn another_key_of_a_trusted_authority_gets_nothing() {
    let (practice, scratch) = (practice(1), Scratch::new());
    let mut config = config(&practice, &scratch);
    config.pins[0].spki_sha256 = vec!["A".repeat(43) + "=", "B".repeat(42) + "A="];
    let portal = Portal::open(config, vault(&scratch)).await.unwrap();
    let error = portal.account().register(registration(&practice)).await.unwrap_err();
    assert_eq!(error, PortalError::Offline { reason: Reason::CertificateWrongPin });
}

#[tokio::test]
async fn a_dropped_wait_does_not_stop_a_verb() {
    let (practice, scratch) = (practice(20), Scratch::new());
    let portal = Portal::open(config(&practice, &scratch), vault(&scratch)).await.unwrap();
    let account = portal.account();
    let register = account.register(registration(&practice));
    // The caller goes away after the first poll, as a cancelled Kotlin coroutine does.
    assert!(futures_util::FutureExt::now_or_never(register).is_none());
    within(async {
        while account.session().state != SessionState::Active {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert!(portal.sync(None).await.unwrap().complete);
}

#[tokio::test]
async fn a_send_whose_caller_goes_away_is_kept_told_of_and_sent() {
    let (practice, scratch) = (practice(20), Scratch::new());
    let portal = Portal::open(config(&practice, &scratch), vault(&scratch)).await.unwrap();
    portal.account().register(registration(&practice)).await.unwrap();
    assert!(portal.sync(None).await.unwrap().complete);
    let list = portal.messages().threads(ThreadFilter::All, 0, 1).await.unwrap();
    let (thread, changes) = (list.threads[0].id.clone(), portal.changes());
    let send = portal.messages();
    let send = send.send(thread.clone(), "Nobody waits for this.".into());
    assert!(futures_util::FutureExt::now_or_never(send).is_none());
    within(async {
        while !matches!(changes.next().await, Some(Change::Outbox)) {}
        let sent = |message: &MessageView| {
            message.text == "Nobody waits for this." && message.state == MessageState::Sent
        };
        while !portal.messages().thread(thread.clone(), None, 50).await.unwrap().messages.iter().any(sent) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
