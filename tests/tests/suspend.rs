//! A suspended app has no file open: the system would kill it for that (I32), whatever else it was
//! asked to do just before.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod lab;

use lab::users;
use portal_core::account::SessionState;
use portal_core::runtime::Mode;
use portal_core::{PortalError, Reason};
use portal_tests::phone::{PASSWORD, Phone, Scratch, browse, now, registration};
use portal_tests::practice::{Practice, TestVault};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const SUSPENDED: PortalError = PortalError::Storage { reason: Reason::Suspended };

/// How many files of the directory this process has open.
fn open(directory: &Path) -> usize {
    let links = std::fs::read_dir("/proc/self/fd").unwrap();
    let files = links.filter_map(|link| std::fs::read_link(link.unwrap().path()).ok());
    files.filter(|file| file.starts_with(directory)).count()
}

#[test]
fn suspended_files_are_closed_and_resumed_files_are_the_same() {
    let practice = Practice::demo(10);
    let phone = Phone::registered(&practice, 10);
    let before = lab::seen(&phone.portal).unwrap();
    now(phone.portal.suspend()).unwrap();
    assert_eq!(now(phone.portal.home().view()).unwrap_err(), SUSPENDED);
    assert_eq!(now(phone.portal.sync(None)).unwrap_err(), SUSPENDED);
    assert_eq!(open(phone.directory()), 0);
    assert!(!users(phone.directory())[0].join("portal.db-wal").exists());
    now(phone.portal.suspend()).unwrap();
    now(phone.portal.resume()).unwrap();
    assert!(open(phone.directory()) > 0, "the control");
    assert_eq!(lab::seen(&phone.portal).unwrap(), before);
    assert!(now(phone.portal.sync(None)).unwrap().complete);

    now(phone.portal.suspend()).unwrap();
    now(phone.portal.account().lock()).unwrap();
    now(phone.portal.resume()).unwrap();
    assert_eq!(phone.portal.account().session().state, SessionState::Locked);
    now(phone.portal.account().unlock()).unwrap();
    assert_eq!(lab::seen(&phone.portal).unwrap(), before);
}

#[test]
fn nothing_opens_records_while_suspended_and_no_sign_in_is_spent() {
    let practice = Practice::demo(10);
    let phone = Phone::registered(&practice, 11);
    let before = lab::seen(&phone.portal).unwrap();
    now(phone.portal.account().lock()).unwrap();
    now(phone.portal.suspend()).unwrap();
    assert_eq!(now(phone.portal.account().unlock()).unwrap_err(), SUSPENDED);
    let url = now(phone.portal.account().sign_in_begin()).unwrap();
    let back = browse(&practice, &url, "renee@example.org", PASSWORD).unwrap();
    assert_eq!(now(phone.portal.account().sign_in_finish(back.clone())).unwrap_err(), SUSPENDED);
    assert_eq!(now(phone.portal.account().register(registration(&practice))).unwrap_err(), SUSPENDED);
    assert_eq!(open(phone.directory()), 0);

    assert!(phone.portal.account().session().sign_in_pending);
    now(phone.portal.resume()).unwrap();
    now(phone.portal.account().sign_in_finish(back)).unwrap();
    assert_eq!(lab::seen(&phone.portal).unwrap(), before);
}

#[test]
fn records_that_locked_a_moment_before_are_closed_too() {
    let practice = Practice::demo(5);
    let (vault, scratch) = (Arc::new(TestVault::default()), Scratch::new());
    let clock = practice.clock.clone();
    let portal =
        lab::open(practice.clone(), clock.clone(), vault, scratch.path(), 12, Mode::Threads).unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        portal.account().register(registration(&practice)).await.unwrap();
        // The files close on threads of their own: one round would often win the race.
        for _ in 0..20 {
            assert!(open(scratch.path()) > 0, "the control");
            portal.account().entered_background();
            clock.advance(Duration::from_secs(61));
            portal.account().entered_foreground();
            portal.suspend().await.unwrap();
            assert_eq!(open(scratch.path()), 0);
            portal.resume().await.unwrap();
            portal.account().unlock().await.unwrap();
        }
    });
}
