//! Only key material from the device's key store opens the records (SECURITY S5), and whatever it
//! answers instead, nothing is harmed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod lab;

use async_trait::async_trait;
use lab::{copy, files, master_key, name, users};
use portal_core::account::SessionState;
use portal_core::ports::{Exchange, KeyPolicy, KeyVault, Transport, TransportError, VaultError};
use portal_core::runtime::Mode;
use portal_core::store::SoftVault;
use portal_core::{PortalError, Reason};
use portal_tests::phone::{PASSWORD, Phone, Scratch, now};
use portal_tests::practice::{Practice, TestVault, locked};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const LOGIN: &str = "renee@example.org";

fn state(phone: &Phone) -> (SessionState, Option<Reason>) {
    let view = phone.portal.account().session();
    (view.state, view.reason)
}

/// A phone that was used, has a draft, and is locked.
fn locked_phone(seed: u64) -> (Phone, String) {
    let phone = Phone::registered(&Practice::demo(20), seed);
    let thread = lab::first_thread(&phone.portal);
    let draft = portal_core::messages::Draft {
        key: None,
        thread: Some(thread),
        recipient: None,
        subject: String::new(),
        text: "Kept".into(),
    };
    now(phone.portal.messages().save_draft(draft)).unwrap();
    let seen = lab::seen(&phone.portal).unwrap();
    now(phone.portal.account().lock()).unwrap();
    (phone, seen)
}

fn bytes(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    files(directory).into_iter().map(|file| (file.clone(), std::fs::read(file).unwrap())).collect()
}

fn answer(phone: &Phone, answer: Option<Result<Vec<u8>, VaultError>>) {
    *locked(&phone.vault.unwrap_answer) = answer;
}

#[test]
fn s5_wrong_bytes_from_the_key_store_open_nothing_and_touch_nothing() {
    let (phone, seen) = locked_phone(1);
    let user = users(phone.directory()).remove(0);
    let right = phone.vault.unwrap(name(&user), std::fs::read(user.join("master.key")).unwrap()).unwrap();
    assert_eq!(right.len(), 65, "version, context, key");
    let changed = |place: usize| {
        let mut wrong = right.clone();
        wrong[place] ^= 1;
        wrong
    };
    let before = bytes(phone.directory());
    let wrong =
        [vec![], vec![1], right[..64].to_vec(), [&right[..], &[0]].concat(), vec![0; 65], vec![1; 65]];
    for wrong in wrong.into_iter().chain([changed(0), changed(1), changed(32)]) {
        answer(&phone, Some(Ok(wrong)));
        let error = now(phone.portal.account().unlock()).unwrap_err();
        assert_eq!(error, PortalError::Locked { reason: Reason::WrongKey });
        assert_eq!(state(&phone).0, SessionState::Locked);
        assert!(now(phone.portal.home().view()).is_err());
        assert_eq!(bytes(phone.directory()), before);
    }
    answer(&phone, None);
    now(phone.portal.account().unlock()).unwrap();
    assert_eq!(lab::seen(&phone.portal).unwrap(), seen);
}

#[test]
fn s5_a_key_of_the_right_form_that_is_another_does_not_cost_the_records() {
    let (phone, seen) = locked_phone(2);
    let user = users(phone.directory()).remove(0);
    let mut wrong = phone.vault.unwrap(name(&user), std::fs::read(user.join("master.key")).unwrap()).unwrap();
    wrong[64] ^= 1;
    let before = bytes(phone.directory());
    answer(&phone, Some(Ok(wrong)));
    let error = now(phone.portal.account().unlock()).unwrap_err();
    assert_eq!(error, PortalError::Locked { reason: Reason::WrongKey });
    answer(&phone, None);
    assert_eq!(state(&phone).0, SessionState::Locked);
    assert_eq!(bytes(phone.directory()), before);
    now(phone.portal.account().unlock()).unwrap();
    assert_eq!(lab::seen(&phone.portal).unwrap(), seen);
}

#[test]
fn s5_a_wrapped_key_of_another_person_is_refused() {
    let (phone, _) = locked_phone(3);
    let (other, _) = locked_phone(4);
    let (mine, theirs) = (users(phone.directory()).remove(0), users(other.directory()).remove(0));
    let foreign =
        other.vault.unwrap(name(&theirs), std::fs::read(theirs.join("master.key")).unwrap()).unwrap();
    assert_eq!(master_key(&theirs, other.vault.as_ref()), foreign[33..]);
    answer(&phone, Some(Ok(foreign)));
    let before = bytes(&mine);
    let error = now(phone.portal.account().unlock()).unwrap_err();
    assert_eq!(error, PortalError::Locked { reason: Reason::WrongKey });
    assert_eq!(bytes(&mine), before);
}

#[test]
fn s5_a_key_store_that_refuses_or_fails_can_be_asked_again() {
    let (phone, seen) = locked_phone(5);
    let before = bytes(phone.directory());
    for (said, reason) in [
        (VaultError::Refused { code: 1 }, Reason::VaultRefused),
        (VaultError::Failed { code: -1 }, Reason::VaultFailed),
    ] {
        answer(&phone, Some(Err(said)));
        let error = now(phone.portal.account().unlock()).unwrap_err();
        assert_eq!(error, PortalError::Locked { reason });
        assert_eq!((state(&phone).0, bytes(phone.directory())), (SessionState::Locked, before.clone()));
    }
    answer(&phone, None);
    now(phone.portal.account().unlock()).unwrap();
    assert_eq!(lab::seen(&phone.portal).unwrap(), seen);
}

#[test]
fn s5_a_key_that_is_gone_takes_the_records_and_a_sign_in_brings_them_back() {
    let (phone, _) = locked_phone(6);
    let before = users(phone.directory());
    phone.vault.delete(name(&before[0])).unwrap();
    let error = now(phone.portal.account().unlock()).unwrap_err();
    assert_eq!(error, PortalError::SignedOut { reason: Reason::VaultKeyGone });
    assert_eq!(state(&phone), (SessionState::SignedOut, Some(Reason::VaultKeyGone)));
    assert!(users(phone.directory()).is_empty());
    phone.sign_in(LOGIN, PASSWORD).unwrap();
    assert!(now(phone.portal.sync(None)).unwrap().complete);
    let total: usize = now(phone.portal.messages().threads(portal_core::messages::ThreadFilter::All, 0, 100))
        .unwrap()
        .threads
        .iter()
        .map(|thread| lab::messages(&phone.portal, &thread.id).unwrap().len())
        .sum();
    assert_eq!(total, 20);
    assert_ne!(users(phone.directory()), before);
}

#[test]
fn s5_a_sign_in_over_a_key_that_is_gone_starts_with_a_new_one() {
    let (phone, _) = locked_phone(7);
    phone.vault.delete(name(&users(phone.directory())[0])).unwrap();
    phone.sign_in(LOGIN, PASSWORD).unwrap();
    assert_eq!(state(&phone), (SessionState::Active, None));
    assert!(now(phone.portal.sync(None)).unwrap().complete);
    assert_eq!(users(phone.directory()).len(), 1);
}

/// A network that is never there.
struct Nowhere;

#[async_trait]
impl Transport for Nowhere {
    async fn send(&self, _: Exchange) -> Result<http::Response<Vec<u8>>, TransportError> {
        Err(TransportError::NoConnection)
    }
}

/// A key store whose call with a chosen number throws, as a foreign one might.
struct Throwing {
    inner: TestVault,
    calls: AtomicUsize,
    at: AtomicUsize,
}

impl Throwing {
    fn call(&self) {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        assert!(number != self.at.load(Ordering::SeqCst), "thrown with canary-of-the-key-store");
    }
}

impl KeyVault for Throwing {
    fn create(&self, alias: String, policy: KeyPolicy) -> Result<(), VaultError> {
        self.call();
        self.inner.create(alias, policy)
    }

    fn wrap(&self, alias: String, plaintext: Vec<u8>) -> Result<Vec<u8>, VaultError> {
        self.call();
        self.inner.wrap(alias, plaintext)
    }

    fn unwrap(&self, alias: String, wrapped: Vec<u8>) -> Result<Vec<u8>, VaultError> {
        self.call();
        self.inner.unwrap(alias, wrapped)
    }

    fn delete(&self, alias: String) -> Result<(), VaultError> {
        self.call();
        self.inner.delete(alias)
    }
}

#[test]
fn l2_a_key_store_that_throws_arrives_as_a_kind_without_text() {
    let practice = Practice::demo(3);
    let scratch = Scratch::new();
    let (calls, at) = (AtomicUsize::new(0), AtomicUsize::new(usize::MAX));
    let vault = Arc::new(Throwing { inner: TestVault::default(), calls, at });
    let clock = practice.clock.clone();
    let portal = lab::open(practice.clone(), clock, vault.clone(), scratch.path(), 8, Mode::Threads).unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        portal.account().register(portal_tests::phone::registration(&practice)).await.unwrap();
        portal.sync(None).await.unwrap();
        portal.account().lock().await.unwrap();
        vault.at.store(vault.calls.load(Ordering::SeqCst), Ordering::SeqCst);
        let error = portal.account().unlock().await.unwrap_err();
        assert_eq!(error, PortalError::Bug { reason: Reason::Panicked });
        assert!(!format!("{error} {error:?}").contains("canary"));
        // It can be asked again, and nothing is stuck.
        portal.account().unlock().await.unwrap();
        portal.home().view().await.unwrap();

        // The same in the middle of a sign-out: the next try goes through.
        vault.at.store(vault.calls.load(Ordering::SeqCst), Ordering::SeqCst);
        let _ = portal.account().wipe().await;
        let _ = portal.account().wipe().await;
        assert_eq!(portal.account().session().state, SessionState::SignedOut);
        assert!(users(scratch.path()).is_empty());
    });
}

#[test]
fn s5_the_development_key_store_keeps_its_promises() {
    let scratch = Scratch::new();
    let vault = SoftVault::open(&scratch.path().join("keys"), SoftVault::NAME).unwrap();
    vault.create("a".into(), KeyPolicy::PersonPresent).unwrap();
    vault.create("b".into(), KeyPolicy::PersonPresent).unwrap();
    let wrapped = vault.wrap("a".into(), b"canary-plaintext".to_vec()).unwrap();
    assert!(!wrapped.windows(8).any(|window| window == b"canary-p"));
    assert_ne!(wrapped, vault.wrap("a".into(), b"canary-plaintext".to_vec()).unwrap(), "a nonce each");
    assert_eq!(vault.unwrap("a".into(), wrapped.clone()).unwrap(), b"canary-plaintext");
    vault.create("a".into(), KeyPolicy::PersonPresent).unwrap();
    assert!(vault.unwrap("a".into(), wrapped.clone()).is_ok(), "an existing key stays");
    for place in 0..wrapped.len() {
        let mut flipped = wrapped.clone();
        flipped[place] ^= 1;
        assert!(matches!(vault.unwrap("a".into(), flipped), Err(VaultError::Failed { .. })));
    }
    assert!(matches!(vault.unwrap("b".into(), wrapped.clone()), Err(VaultError::Failed { .. })));
    for bad in ["", "../a", "a/b", "a.b", "ä"] {
        assert!(vault.create(bad.into(), KeyPolicy::DeviceUnlocked).is_err(), "{bad}");
    }
    vault.delete("a".into()).unwrap();
    vault.delete("a".into()).unwrap();
    assert!(matches!(vault.unwrap("a".into(), wrapped), Err(VaultError::KeyGone { .. })));
}

#[cfg(unix)]
#[test]
fn s4_every_file_is_0600_and_every_directory_0700_all_day() {
    use std::os::unix::fs::PermissionsExt;
    fn check(path: &Path, counted: &mut usize) {
        let mode = std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        *counted += 1;
        if path.is_dir() {
            assert_eq!(mode, 0o700, "{}", name(path));
            std::fs::read_dir(path).unwrap().for_each(|entry| check(&entry.unwrap().path(), counted));
        } else {
            assert_eq!(mode, 0o600, "{}", name(path));
        }
    }
    let mut counted = 0;
    let phone = Phone::registered(&Practice::demo(20), 9);
    check(phone.directory(), &mut counted);
    now(phone.portal.messages().send(lab::first_thread(&phone.portal), "x".into())).unwrap();
    check(phone.directory(), &mut counted);
    now(phone.portal.sync(None)).unwrap();
    check(phone.directory(), &mut counted);
    now(phone.portal.account().lock()).unwrap();
    check(phone.directory(), &mut counted);
    let phone = phone.restart();
    now(phone.portal.account().unlock()).unwrap();
    check(phone.directory(), &mut counted);
    assert!(counted > 30, "{counted}");
}

#[test]
fn an_install_whose_own_key_is_gone_starts_anew_and_leaves_nothing_behind() {
    let (phone, _) = locked_phone(10);
    let scratch = Scratch::new();
    copy(phone.directory(), scratch.path());
    let clock = phone.practice.clock.clone();
    // A restored backup on another phone: the files are here, the hardware's keys are not.
    let keys = Scratch::new();
    let vault = Arc::new(SoftVault::open(keys.path(), SoftVault::NAME).unwrap());
    let portal = lab::open(Arc::new(Nowhere), clock, vault, scratch.path(), 11, Mode::Inline).unwrap();
    let view = portal.account().session();
    assert_eq!((view.state, view.reason), (SessionState::SignedOut, Some(Reason::NotSignedIn)));
    assert!(users(scratch.path()).is_empty(), "records that nobody can ever open");
}
