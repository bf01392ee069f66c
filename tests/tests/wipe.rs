//! Destroying a person's records: keys first, then files, whatever happens in between (SECURITY S6).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod lab;

use lab::{copy, files, name, users};
use portal_core::account::SessionState;
use portal_core::ports::{KeyPolicy, KeyVault, VaultError};
use portal_core::runtime::Mode;
use portal_core::store::SoftVault;
use portal_core::{PortalError, Reason};
use portal_tests::phone::{PASSWORD, Phone, Scratch, now, registration};
use portal_tests::practice::Practice;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const LOGIN: &str = "renee@example.org";

fn check_gone(phone: &Phone) {
    let view = phone.portal.account().session();
    assert_eq!((view.state, view.reason), (SessionState::SignedOut, Some(Reason::NotSignedIn)));
    assert!(users(phone.directory()).is_empty());
    let names: Vec<_> = files(phone.directory()).iter().map(|file| name(file)).collect();
    assert_eq!(names, ["admit.lock", "install", "install.lock", "practice.json"]);
    assert_eq!(phone.vault.aliases(), ["portal-install"]);
}

fn check_usable(phone: &Phone) {
    phone.sign_in(LOGIN, PASSWORD).unwrap();
    assert!(now(phone.portal.sync(None)).unwrap().complete);
    assert_eq!(users(phone.directory()).len(), 1);
}

#[test]
fn s6_a_wipe_works_open_locked_and_offline_and_twice() {
    for (lock, online) in [(false, true), (true, true), (false, false), (true, false)] {
        let phone = Phone::registered(&Practice::demo(5), 1);
        phone.practice.set_online(online);
        if lock {
            now(phone.portal.account().lock()).unwrap();
        }
        now(phone.portal.account().wipe()).unwrap();
        check_gone(&phone);
        let again = now(phone.portal.account().wipe()).unwrap_err();
        assert_eq!(again, PortalError::SignedOut { reason: Reason::NotSignedIn });
        phone.practice.set_online(true);
        let phone = phone.restart();
        check_gone(&phone);
        check_usable(&phone);
    }
}

#[test]
fn s6_a_wipe_does_not_ask_whether_the_key_store_lets_the_person_in() {
    let phone = Phone::registered(&Practice::demo(5), 2);
    now(phone.portal.account().lock()).unwrap();
    *portal_tests::practice::locked(&phone.vault.unwrap_answer) = Some(Err(VaultError::Refused { code: 1 }));
    now(phone.portal.account().wipe()).unwrap();
    check_gone(&phone);
}

#[test]
fn s6_a_stolen_copy_cannot_be_opened_after_the_wipe() {
    let practice = Practice::demo(20);
    let (keys, scratch, stolen) = (Scratch::new(), Scratch::new(), Scratch::new());
    let vault = Arc::new(SoftVault::open(keys.path(), SoftVault::NAME).unwrap());
    let open = |directory: &Path, seed| {
        let clock = practice.clock.clone();
        lab::open(practice.clone(), clock, vault.clone(), directory, seed, Mode::Inline).unwrap()
    };
    let portal = open(scratch.path(), 3);
    now(portal.account().register(registration(&practice))).unwrap();
    now(portal.sync(None)).unwrap();
    now(portal.account().lock()).unwrap();
    copy(scratch.path(), stolen.path());

    // The control: while the key lives, the copy opens.
    let control = Scratch::new();
    copy(stolen.path(), control.path());
    let thief = open(control.path(), 4);
    now(thief.account().unlock()).unwrap();
    assert!(lab::seen(&thief).is_ok());
    drop(thief);

    now(portal.account().wipe()).unwrap();
    let user = users(stolen.path()).remove(0);
    let wrapped = std::fs::read(user.join("master.key")).unwrap();
    assert!(matches!(vault.unwrap(name(&user), wrapped.clone()), Err(VaultError::KeyGone { .. })));
    let thief = open(stolen.path(), 5);
    let error = now(thief.account().unlock()).unwrap_err();
    assert_eq!(error, PortalError::SignedOut { reason: Reason::VaultKeyGone });
    // Nor does a key of the same name help.
    vault.create(name(&user), KeyPolicy::PersonPresent).unwrap();
    assert!(matches!(vault.unwrap(name(&user), wrapped), Err(VaultError::Failed { .. })));
}

#[test]
fn s6_a_key_that_cannot_be_destroyed_now_is_destroyed_at_the_next_start() {
    let phone = Phone::registered(&Practice::demo(5), 6);
    phone.vault.delete_fails.store(true, Ordering::SeqCst);
    let error = now(phone.portal.account().wipe()).unwrap_err();
    assert_eq!(error, PortalError::Locked { reason: Reason::VaultFailed });
    assert_eq!(phone.portal.account().session().state, SessionState::SignedOut);
    assert!(now(phone.portal.home().view()).is_err());
    assert!(now(phone.portal.account().unlock()).is_err());
    assert_eq!(phone.portal.account().session().state, SessionState::SignedOut);

    phone.vault.delete_fails.store(false, Ordering::SeqCst);
    let phone = phone.restart();
    check_gone(&phone);
    check_usable(&phone);

    // Or by the next try of the same run.
    phone.vault.delete_fails.store(true, Ordering::SeqCst);
    assert!(now(phone.portal.account().wipe()).is_err());
    phone.vault.delete_fails.store(false, Ordering::SeqCst);
    now(phone.portal.account().wipe()).unwrap();
    check_gone(&phone);
}

#[test]
fn s6_a_wipe_that_was_cut_short_anywhere_ends_before_anything_is_opened() {
    // What a kill can leave behind, step by step: the mark, the key gone, some files gone, all files
    // gone, the mark gone too while the install still knows the person.
    for step in 0..6 {
        let phone = Phone::registered(&Practice::demo(5), 7);
        now(phone.portal.account().lock()).unwrap();
        let user = users(phone.directory()).remove(0);
        let mark = phone.directory().join(format!("wiping-{}", name(&user)));
        if step < 5 {
            std::fs::write(&mark, b"").unwrap();
        }
        if step >= 1 {
            phone.vault.delete(name(&user)).unwrap();
        }
        if step == 2 {
            std::fs::remove_file(user.join("portal.db")).unwrap();
        }
        if step == 3 {
            std::fs::remove_file(user.join("master.key")).unwrap();
        }
        if step >= 4 {
            std::fs::remove_dir_all(&user).unwrap();
        }
        let phone = phone.restart();
        check_gone(&phone);
        check_usable(&phone);
    }
}

/// A key store that stops the process where the parent wants to kill it.
struct Stopping {
    inner: SoftVault,
    after: bool,
    armed: AtomicBool,
}

fn stop() {
    let mut out = std::io::stdout();
    out.write_all(b"\nhere\n").unwrap();
    out.flush().unwrap();
    std::thread::sleep(std::time::Duration::from_secs(600));
}

impl KeyVault for Stopping {
    fn create(&self, alias: String, policy: KeyPolicy) -> Result<(), VaultError> {
        self.inner.create(alias, policy)
    }

    fn wrap(&self, alias: String, plaintext: Vec<u8>) -> Result<Vec<u8>, VaultError> {
        self.inner.wrap(alias, plaintext)
    }

    fn unwrap(&self, alias: String, wrapped: Vec<u8>) -> Result<Vec<u8>, VaultError> {
        self.inner.unwrap(alias, wrapped)
    }

    fn delete(&self, alias: String) -> Result<(), VaultError> {
        let armed = self.armed.load(Ordering::SeqCst);
        if armed && !self.after {
            stop();
        }
        let result = self.inner.delete(alias);
        if armed {
            stop();
        }
        result
    }
}

const CHILD: &str = "PORTAL_TEST_WIPE_CHILD";

/// Not a test of its own: the body of the child that the next test kills.
#[test]
fn s6_child() {
    let Ok(place) = std::env::var(CHILD) else { return };
    let (place, after) = place.split_once('|').unwrap();
    let (place, practice) = (Path::new(place), Practice::demo(5));
    let inner = SoftVault::open(&place.join("keys"), SoftVault::NAME).unwrap();
    let vault = Arc::new(Stopping { inner, after: after == "after", armed: AtomicBool::new(false) });
    let clock = practice.clock.clone();
    let data = place.join("data");
    let portal = lab::open(practice.clone(), clock, vault.clone(), &data, 8, Mode::Inline).unwrap();
    now(portal.account().register(registration(&practice))).unwrap();
    now(portal.sync(None)).unwrap();
    vault.armed.store(true, Ordering::SeqCst);
    let _ = now(portal.account().wipe());
}

#[test]
fn s6_a_real_kill_in_the_middle_of_a_wipe_is_finished_at_the_next_start() {
    for after in ["before", "after"] {
        let scratch = Scratch::new();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["s6_child", "--exact", "--nocapture", "--test-threads=1"])
            .env(CHILD, format!("{}|{after}", scratch.path().display()))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "here"), "the child got there");
        child.kill().unwrap();
        child.wait().unwrap();

        let (data, keys) = (scratch.path().join("data"), scratch.path().join("keys"));
        assert_eq!(users(&data).len(), 1, "killed before the files went");
        assert_eq!(files(&keys).len(), if after == "after" { 1 } else { 2 }, "{after}");
        let vault = Arc::new(SoftVault::open(&keys, SoftVault::NAME).unwrap());
        let practice = Practice::demo(5);
        let clock = practice.clock.clone();
        let portal = lab::open(practice, clock, vault, &data, 9, Mode::Inline).unwrap();
        assert_eq!(portal.account().session().state, SessionState::SignedOut);
        assert!(users(&data).is_empty());
        assert_eq!(files(&keys).iter().map(|file| name(file)).collect::<Vec<_>>(), ["portal-install"]);
    }
}
