//! What is known before anybody unlocks: a file of its own that may be damaged, that the device's key
//! store may refuse, and that two processes change at once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod lab;

use lab::{copy, files, name, users};
use portal_core::account::{SessionState, Unsent};
use portal_core::ports::{KeyPolicy, KeyVault, VaultError};
use portal_core::runtime::Mode;
use portal_core::store::SoftVault;
use portal_core::{Portal, PortalError, Reason};
use portal_tests::phone::{PASSWORD, Scratch, browse, now, registration};
use portal_tests::practice::Practice;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const LOGIN: &str = "renee@example.org";
const REVOKE: &str = "POST /oauth/revoke";

/// A key store that fails every call while told to, as a device before its first unlock.
struct Failing {
    inner: SoftVault,
    fails: AtomicBool,
}

impl Failing {
    fn check(&self) -> Result<(), VaultError> {
        match self.fails.load(Ordering::SeqCst) {
            true => Err(VaultError::Failed { code: -25308 }),
            false => Ok(()),
        }
    }
}

impl KeyVault for Failing {
    fn create(&self, alias: String, policy: KeyPolicy) -> Result<(), VaultError> {
        self.check().and_then(|()| self.inner.create(alias, policy))
    }

    fn wrap(&self, alias: String, plaintext: Vec<u8>) -> Result<Vec<u8>, VaultError> {
        self.check().and_then(|()| self.inner.wrap(alias, plaintext))
    }

    fn unwrap(&self, alias: String, wrapped: Vec<u8>) -> Result<Vec<u8>, VaultError> {
        self.check().and_then(|()| self.inner.unwrap(alias, wrapped))
    }

    fn delete(&self, alias: String) -> Result<(), VaultError> {
        self.check().and_then(|()| self.inner.delete(alias))
    }
}

/// A phone whose key store can fail.
struct Handset {
    practice: Arc<Practice>,
    vault: Arc<Failing>,
    _keys: Scratch,
    data: Scratch,
}

impl Handset {
    fn new() -> Self {
        let keys = Scratch::new();
        let inner = SoftVault::open(keys.path(), SoftVault::NAME).unwrap();
        let vault = Arc::new(Failing { inner, fails: AtomicBool::new(false) });
        Self { practice: Practice::demo(10), vault, _keys: keys, data: Scratch::new() }
    }

    /// One on which somebody registered, with records; locked.
    fn used() -> (Self, String) {
        let handset = Self::new();
        let portal = handset.open();
        now(portal.account().register(registration(&handset.practice))).unwrap();
        now(portal.sync(None)).unwrap();
        let seen = lab::seen(&portal).unwrap();
        now(portal.account().lock()).unwrap();
        (handset, seen)
    }

    fn open(&self) -> Arc<Portal> {
        self.open_at(self.data.path(), 1).unwrap()
    }

    fn open_at(&self, directory: &Path, seed: u64) -> Result<Arc<Portal>, PortalError> {
        let clock = self.practice.clock.clone();
        lab::open(self.practice.clone(), clock, self.vault.clone(), directory, seed, Mode::Inline)
    }

    fn fail(&self, fails: bool) {
        self.vault.fails.store(fails, Ordering::SeqCst);
    }

    fn sign_in(&self, portal: &Portal) {
        let url = now(portal.account().sign_in_begin()).unwrap();
        let back = browse(&self.practice, &url, LOGIN, PASSWORD).unwrap();
        now(portal.account().sign_in_finish(back)).unwrap();
        assert!(now(portal.sync(None)).unwrap().complete);
    }
}

fn state(portal: &Portal) -> (SessionState, Option<Reason>) {
    let view = portal.account().session();
    (view.state, view.reason)
}

const DAMAGED: (SessionState, Option<Reason>) = (SessionState::SignedOut, Some(Reason::Damaged));
const FAILED: (SessionState, Option<Reason>) = (SessionState::Locked, Some(Reason::VaultFailed));

/// 988, the practice's line and 911: more than what every phone has.
fn card_is_whole(portal: &Portal) -> bool {
    portal.home().crisis_card().lines.len() == 3
}

#[test]
fn a_damaged_file_is_set_aside_and_costs_neither_the_crisis_card_nor_the_portal() {
    let (handset, _) = Handset::used();
    let whole = std::fs::read(handset.data.path().join("install")).unwrap();
    let sealed = |plain: &str| handset.vault.wrap("portal-install".into(), plain.into()).unwrap();
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 1;
    let damaged = [
        changed,
        whole[..whole.len() / 2].to_vec(),
        Vec::new(),
        b"x".to_vec(),
        // Sealed well and yet no install.
        sealed(""),
        sealed("7"),
        sealed("{\"accounts\":7}"),
        sealed(&"[".repeat(10_000)),
    ];
    for (round, bytes) in damaged.into_iter().enumerate() {
        let scratch = Scratch::new();
        copy(handset.data.path(), scratch.path());
        std::fs::write(scratch.path().join("install"), &bytes).unwrap();
        let portal = handset.open_at(scratch.path(), 2).unwrap();
        assert_eq!(state(&portal), DAMAGED, "{round}");
        assert!(card_is_whole(&portal));
        assert!(users(scratch.path()).is_empty(), "records that nobody can open do not stay");
        assert_eq!(std::fs::read(scratch.path().join("install.damaged")).unwrap(), bytes);
        // Also at the next start, and after a sign-in that was only begun.
        drop(portal);
        let portal = handset.open_at(scratch.path(), 3).unwrap();
        assert_eq!(state(&portal), DAMAGED, "{round}");
        now(portal.account().sign_in_begin()).unwrap();
        drop(portal);
        let portal = handset.open_at(scratch.path(), 4).unwrap();
        assert_eq!(state(&portal), DAMAGED, "{round}");
        let error = now(portal.account().wipe()).unwrap_err();
        assert!(matches!(error, PortalError::SignedOut { .. }));
        handset.sign_in(&portal);
        assert_eq!(state(&portal).0, SessionState::Active);
        drop(portal);
        let portal = handset.open_at(scratch.path(), 5).unwrap();
        assert_eq!(state(&portal), (SessionState::Locked, Some(Reason::LockedNow)));
        now(portal.account().unlock()).unwrap();
    }
}

#[test]
fn a_key_store_that_fails_now_costs_nothing_and_is_asked_again() {
    let (handset, seen) = Handset::used();
    let before: Vec<_> = files(handset.data.path());
    let bytes = || std::fs::read(handset.data.path().join("install")).unwrap();
    let install = bytes();
    handset.fail(true);
    let portal = handset.open();
    assert_eq!(state(&portal), FAILED);
    assert!(card_is_whole(&portal));
    let locked = PortalError::Locked { reason: Reason::VaultFailed };
    assert_eq!(now(portal.account().unlock()).unwrap_err(), locked);
    assert_eq!(now(portal.account().sign_in_begin()).unwrap_err(), locked);
    assert_eq!(now(portal.account().register(registration(&handset.practice))).unwrap_err(), locked);
    assert_eq!(now(portal.home().view()).err(), Some(locked.clone()));
    assert_eq!(now(portal.account().sign_in_finish("x:/".into())).unwrap_err(), locked);
    assert_eq!(state(&portal), FAILED);
    assert_eq!(files(handset.data.path()), before, "nothing went and nothing came");
    assert_eq!(bytes(), install);
    assert_eq!(handset.practice.count("POST /v1/registrations"), 1, "no invitation is used up in vain");

    handset.fail(false);
    now(portal.account().unlock()).unwrap();
    assert_eq!(lab::seen(&portal).unwrap(), seen);
}

#[test]
fn a_new_phone_whose_key_store_fails_now_can_be_used_later() {
    let handset = Handset::new();
    handset.fail(true);
    let portal = handset.open();
    assert_eq!(state(&portal), FAILED);
    assert_eq!(portal.home().crisis_card().lines[0].number, "988");
    handset.fail(false);
    now(portal.account().register(registration(&handset.practice))).unwrap();
    assert_eq!(state(&portal), (SessionState::Active, None));
}

#[test]
fn a_wipe_while_nobody_can_say_whose_the_records_are_takes_them_all() {
    let (handset, _) = Handset::used();
    handset.fail(true);
    let portal = handset.open();
    let error = now(portal.account().wipe()).unwrap_err();
    assert_eq!(error, PortalError::Locked { reason: Reason::VaultFailed }, "the key is still there");
    assert!(users(handset.data.path()).is_empty());
    handset.fail(false);
    let error = now(portal.account().unlock()).unwrap_err();
    assert!(matches!(error, PortalError::SignedOut { .. }), "{error:?}");
    drop(portal);
    let portal = handset.open();
    assert_eq!(state(&portal), (SessionState::SignedOut, Some(Reason::NotSignedIn)));
    let left: Vec<_> = files(handset.data.path()).iter().map(|file| name(file)).collect();
    assert!(left.iter().all(|file| !file.starts_with("wiping-")), "{left:?}");
}

#[test]
fn a_wipe_that_cannot_see_whose_records_are_here_does_not_say_that_nobodys_are() {
    let (handset, _) = Handset::used();
    let (users, away) = (handset.data.path().join("users"), handset.data.path().join("away"));
    std::fs::rename(&users, &away).unwrap();
    std::fs::write(&users, b"no directory").unwrap();
    handset.fail(true);
    let portal = handset.open();
    let error = now(portal.account().wipe()).unwrap_err();
    assert_eq!(error, PortalError::Storage { reason: Reason::FileUnavailable });
    std::fs::remove_file(&users).unwrap();
    std::fs::rename(&away, &users).unwrap();
    assert!(now(portal.account().wipe()).is_err(), "the key is still there");
    assert!(self::users(handset.data.path()).is_empty());
}

#[test]
fn a_wipe_that_the_key_store_does_not_let_finish_does_not_stop_the_next_start() {
    let (handset, _) = Handset::used();
    let mark = format!("wiping-{}", name(&users(handset.data.path())[0]));
    std::fs::write(handset.data.path().join(&mark), b"").unwrap();
    handset.fail(true);
    let portal = handset.open();
    assert!(card_is_whole(&portal));
    assert!(now(portal.account().unlock()).is_err());
    drop(portal);
    handset.fail(false);
    let portal = handset.open();
    assert_eq!(state(&portal), (SessionState::SignedOut, Some(Reason::NotSignedIn)));
    assert!(users(handset.data.path()).is_empty() && !handset.data.path().join(mark).exists());
}

#[test]
fn two_processes_keep_each_others_changes() {
    let (handset, _) = Handset::used();
    let (a, b) =
        (handset.open_at(handset.data.path(), 2).unwrap(), handset.open_at(handset.data.path(), 3).unwrap());
    let before = handset.practice.count(REVOKE);
    now(b.account().unlock()).unwrap();
    handset.practice.set_online(false);
    now(b.account().sign_out(Unsent::Discard)).unwrap();
    handset.practice.set_online(true);
    // B's revocation waits. A, which has not looked since, begins a sign-in: before the repair its
    // older content went over B's, and the tokens lived on.
    handset.practice.set_rule(Some(Box::new(|request| {
        request.uri().path().ends_with("/revoke").then(|| lab::page(503))
    })));
    now(a.account().sign_in_begin()).unwrap();
    handset.practice.set_rule(None);
    assert!(b.account().session().state == SessionState::SignedOut);
    drop((a, b));
    let later = handset.open_at(handset.data.path(), 4).unwrap();
    let view = later.account().session();
    assert_eq!((view.state, view.sign_in_pending), (SessionState::SignedOut, true), "A's effect and B's");
    assert!(now(later.sync(None)).is_err());
    assert_eq!(handset.practice.count(REVOKE), before + 2, "tried by A, delivered now");
}

#[test]
fn a_process_that_is_locked_hears_that_another_signed_out() {
    let (handset, _) = Handset::used();
    let (a, b) =
        (handset.open_at(handset.data.path(), 2).unwrap(), handset.open_at(handset.data.path(), 3).unwrap());
    now(b.account().wipe()).unwrap();
    assert_eq!(state(&a).0, SessionState::Locked, "nobody has asked");
    let error = now(a.account().unlock()).unwrap_err();
    assert_eq!(error, PortalError::SignedOut { reason: Reason::NotSignedIn });
    assert_eq!(state(&a), (SessionState::SignedOut, Some(Reason::NotSignedIn)));
    handset.sign_in(&b);
    // And that it signed in again.
    now(a.account().sign_in_begin()).unwrap();
    assert_eq!(users(handset.data.path()).len(), 1);
}

#[test]
fn many_portals_that_open_and_change_at_once_take_nothing_for_damage() {
    let (handset, _) = Handset::used();
    // Opening and changing go on at once: nothing is torn, and nothing is taken for damage.
    let portals: Vec<_> =
        (0..4).map(|seed| handset.open_at(handset.data.path(), 10 + seed).unwrap()).collect();
    std::thread::scope(|scope| {
        for portal in &portals {
            scope.spawn(move || {
                for _ in 0..20 {
                    now(portal.account().sign_in_begin()).unwrap();
                }
            });
        }
        for _ in 0..20 {
            let portal = handset.open_at(handset.data.path(), 99).unwrap();
            assert_eq!(state(&portal).0, SessionState::Locked);
        }
    });
    let left: Vec<_> = files(handset.data.path()).iter().map(|file| name(file)).collect();
    assert!(!left.iter().any(|file| file.ends_with(".new") || file.ends_with(".damaged")), "{left:?}");
}

#[test]
fn a_sign_in_that_was_killed_before_it_was_complete_leaves_no_tokens() {
    let (handset, seen) = Handset::used();
    let user = users(handset.data.path()).remove(0);
    // As a kill between the file of the tokens and the install leaves it.
    let orphan = user.with_file_name("0123456789abcdef0123456789abcdef");
    copy(&user, &orphan);
    handset.vault.create(name(&orphan), KeyPolicy::PersonPresent).unwrap();
    let portal = handset.open();
    assert_eq!(users(handset.data.path()), [user]);
    let wrapped = handset.vault.unwrap(name(&orphan), vec![0; 64]);
    assert!(matches!(wrapped, Err(VaultError::KeyGone { .. })), "its key went first");
    now(portal.account().unlock()).unwrap();
    assert_eq!(lab::seen(&portal).unwrap(), seen);
}

#[test]
fn somebody_who_is_signing_in_elsewhere_is_not_taken_for_left_over() {
    let (handset, _) = Handset::used();
    let user = users(handset.data.path()).remove(0);
    let fresh = user.with_file_name("0123456789abcdef0123456789abcdef");
    copy(&user, &fresh);
    let admission = std::fs::File::create(handset.data.path().join("admit.lock")).unwrap();
    admission.lock().unwrap();
    drop(handset.open());
    assert_eq!(users(handset.data.path()).len(), 2);
    admission.unlock().unwrap();
    drop(handset.open());
    assert_eq!(users(handset.data.path()).len(), 1);
}

#[test]
fn an_older_installs_card_moves_out_of_the_sealed_file() {
    let (handset, _) = Handset::used();
    let (install, card) = (handset.data.path().join("install"), handset.data.path().join("practice.json"));
    let unsealed =
        || handset.vault.unwrap("portal-install".into(), std::fs::read(&install).unwrap()).unwrap();
    let mut content: serde_json::Value = serde_json::from_slice(&unsealed()).unwrap();
    assert!(content.get("practice").is_none());
    content["practice"] = std::fs::read_to_string(&card).unwrap().into();
    let old = handset.vault.wrap("portal-install".into(), content.to_string().into_bytes()).unwrap();
    std::fs::write(&install, old).unwrap();
    std::fs::remove_file(&card).unwrap();
    let portal = handset.open();
    assert!(card_is_whole(&portal) && card.exists());
    now(portal.account().sign_in_begin()).unwrap();
    assert!(!String::from_utf8(unsealed()).unwrap().contains("988"), "it is there no more");
    // Whatever becomes of the public file, the national line stays.
    std::fs::write(&card, b"{\xff").unwrap();
    assert_eq!(handset.open().home().crisis_card().lines.len(), 1);
}
