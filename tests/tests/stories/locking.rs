//! Locking and unlocking, and what the device's key store may do.

use crate::support::*;
use portal_core::account::SessionState;
use portal_core::change::Change;
use portal_core::ports::VaultError;
use portal_core::{PortalError, Reason};
use portal_server_mock::demo;
use portal_tests::phone::PASSWORD;
use std::time::{Duration, Instant};

fn locked(reason: Reason) -> PortalError {
    PortalError::Locked { reason }
}

#[tokio::test]
async fn lock_and_unlock() {
    let practice = practice(60);
    let phone = Phone::registered(&practice).await;
    let before = phone.shown().await;
    phone.portal.account().lock().await.unwrap();
    assert_eq!(phone.state(), (SessionState::Locked, Some(Reason::LockedNow)));
    assert_eq!(phone.reads_fail().await, locked(Reason::LockedNow));
    practice.pause().unwrap();
    phone.portal.account().unlock().await.unwrap();
    assert_eq!(phone.state(), (SessionState::Active, None));
    assert_eq!(phone.shown().await, before);
}

#[tokio::test]
async fn locked_after_a_restart() {
    let practice = practice(60);
    let phone = Phone::registered(&practice).await;
    let before = phone.shown().await;
    let phone = phone.restart(&practice).await;
    assert_eq!(phone.state().0, SessionState::Locked);
    assert!(matches!(phone.reads_fail().await, PortalError::Locked { .. }));
    phone.portal.account().unlock().await.unwrap();
    assert_eq!(phone.shown().await, before);
}

#[tokio::test]
async fn lock_by_idle_time() {
    let practice = practice(60);
    // A minute is the shortest that a phone obeys, so this story takes as long.
    act(&practice, |world, _| {
        let mut policy = world.practice().policy.clone();
        policy.idle_lock_s = 60;
        world.set_policy(policy);
    });
    let phone = Phone::registered(&practice).await;
    let account = phone.portal.account();
    let left = || account.session().lock_in_ms.unwrap();
    within("the practice's time counts", async || (left() < 59_000).then_some(())).await;
    account.touch();
    let touched = Instant::now();
    assert!(left() > 59_000, "a touch begins it anew");
    let changes = phone.portal.changes();
    let told = async { while changes.next().await.unwrap() != Change::Session {} };
    tokio::time::timeout(Duration::from_secs(90), told).await.expect("it locks by itself");
    assert!(touched.elapsed() >= Duration::from_millis(59_500), "{:?}", touched.elapsed());
    assert_eq!(phone.state(), (SessionState::Locked, Some(Reason::LockedIdle)));
    assert_eq!(phone.reads_fail().await, locked(Reason::LockedIdle));
}

/// What an unlock says while the key store has this whim; then the next try works, and everything is
/// there.
async fn unlocks_after(whims: Vec<(Whim, Reason)>) {
    let practice = practice(60);
    let phone = Phone::registered(&practice).await;
    let (before, account) = (phone.shown().await, phone.portal.account());
    for (whim, reason) in whims {
        account.lock().await.unwrap();
        phone.vault.set(Some(whim));
        assert_eq!(account.unlock().await.unwrap_err(), locked(reason));
        assert_eq!(phone.state().0, SessionState::Locked);
        assert!(matches!(phone.reads_fail().await, PortalError::Locked { .. }));
        phone.vault.set(None);
        account.unlock().await.unwrap();
        assert_eq!(phone.state(), (SessionState::Active, None));
        assert_eq!(phone.shown().await, before);
    }
}

#[tokio::test]
async fn wrong_key() {
    // Of the right form, and somebody else's.
    let another = [vec![1], vec![7; 64]].concat();
    unlocks_after(vec![(Ok(another), Reason::WrongKey)]).await;
}

#[tokio::test]
async fn vault_refuses() {
    let cancelled = Err(VaultError::Refused { code: 10 });
    unlocks_after(vec![(cancelled, Reason::VaultRefused)]).await;
}

#[tokio::test]
async fn vault_throws() {
    // What the bridge makes of a foreign exception.
    let failed = Err(VaultError::Failed { code: -1 });
    unlocks_after(vec![(failed, Reason::VaultFailed)]).await;
}

#[tokio::test]
async fn vault_key_gone() {
    let practice = practice(60);
    let phone = Phone::registered(&practice).await;
    let (before, account) = (phone.shown().await, phone.portal.account());
    account.lock().await.unwrap();
    phone.vault.set(Some(Err(VaultError::KeyGone { code: 3 })));
    assert_eq!(account.unlock().await.unwrap_err(), signed_out(Reason::VaultKeyGone));
    assert_eq!(phone.state(), (SessionState::SignedOut, Some(Reason::VaultKeyGone)));
    assert_eq!(phone.reads_fail().await, signed_out(Reason::VaultKeyGone));
    phone.vault.set(None);
    phone.sign_in(&practice, demo::INVITED_EMAIL, PASSWORD).await;
    assert!(phone.sync().await.complete);
    assert_eq!(phone.shown().await, before);
}

#[tokio::test]
async fn wipe() {
    let practice = practice(60);
    let phone = Phone::registered(&practice).await;
    let account = phone.portal.account();
    for while_locked in [false, true] {
        let thread = phone.open_thread().await;
        phone.outage(&practice).await;
        phone.draft(&thread, "Typed").await;
        phone.send(&thread, "Never sent").await;
        if while_locked {
            account.lock().await.unwrap();
        }
        assert_eq!((phone.records().len(), keys(&phone)), (1, 2));
        account.wipe().await.unwrap();
        assert_eq!(phone.state().0, SessionState::SignedOut);
        assert!(matches!(phone.reads_fail().await, PortalError::SignedOut { .. }));
        // The key that stays is the install's, which opens nothing of anybody's.
        assert_eq!((phone.records().len(), keys(&phone)), (0, 1));
        practice.resume().unwrap();
        phone.sign_in(&practice, demo::INVITED_EMAIL, PASSWORD).await;
        phone.settle().await;
        assert_eq!(phone.portal.messages().drafts().await.unwrap(), Vec::new());
        assert_eq!((phone.outbox().await, arrived(&practice, "Never sent")), (Vec::new(), 0));
    }
}

/// How many keys the key store has.
fn keys(phone: &Phone) -> usize {
    crate::lab::files(&phone.place.path().join("keys")).len()
}

#[tokio::test]
async fn suspend_and_resume() {
    let practice = practice(60);
    let phone = Phone::registered(&practice).await;
    let before = phone.shown().await;
    phone.portal.suspend().await.unwrap();
    assert_eq!(phone.reads_fail().await, PortalError::Storage { reason: Reason::Suspended });
    phone.portal.resume().await.unwrap();
    assert_eq!(phone.shown().await, before);
    assert!(phone.settle().await.complete);
}
