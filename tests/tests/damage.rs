//! Files that are not what they were: every flipped bit, cut or exchange gives a typed error or the
//! right data, never wrong data and never a panic (SECURITY S7), and there is a way back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, clippy::disallowed_macros, reason = "a test prints what it found")]

mod lab;

use lab::used::{Used, check_only_ours, conversations, draft};
use lab::{copy, name, users};
use portal_core::account::SessionState;
use portal_core::{PortalError, Reason};
use portal_tests::phone::{Phone, Scratch, now};
use portal_tests::practice::{Practice, locked};
use rand::Rng;

const SEED: u64 = 20_260_415;

#[test]
fn s7_a_thousand_flipped_bytes_give_a_typed_error_or_the_right_data() {
    let used = Used::new(40);
    let mut random = lab::random(SEED);
    let (scratch, user) = used.copy();
    let (file, master) = (user.join("portal.db"), user.join("master.key"));
    let (pristine, key) = (std::fs::read(&file).unwrap(), std::fs::read(&master).unwrap());
    let (mut at_unlock, mut at_read, mut unread) = (0, 0, 0);
    for round in 0..1_000 {
        let mut bytes = pristine.clone();
        let place = usize::try_from(random.next_u64()).unwrap() % bytes.len();
        let by = random.next_u64().to_le_bytes()[0].max(1);
        bytes[place] ^= by;
        let _ = std::fs::remove_dir_all(&user);
        std::fs::create_dir(&user).unwrap();
        std::fs::write(&master, &key).unwrap();
        std::fs::copy(used.pristine.path().join("install"), scratch.path().join("install")).unwrap();
        std::fs::write(&file, &bytes).unwrap();

        let portal = used.open(scratch.path()).unwrap();
        let told = |error: &PortalError| {
            assert!(matches!(error, PortalError::Storage { reason: Reason::Damaged }), "{round}: {error:?}");
        };
        if let Err(error) = now(portal.account().unlock()) {
            told(&error);
            assert_eq!(portal.account().session().state, SessionState::SignedOut);
            assert!(user.join("damaged-1.db").exists(), "set aside, not thrown away");
            at_unlock += 1;
            continue;
        }
        let replaced = || user.join("damaged-1.db").exists();
        match lab::seen(&portal) {
            Ok(seen) if seen == used.truth => unread += 1,
            Ok(_) if replaced() => at_unlock += 1,
            Ok(_) => panic!("wrong data after byte {place} of {} was changed by {by}", bytes.len()),
            Err(error) => {
                told(&error);
                assert!(replaced(), "there is a way out");
                at_read += 1;
            }
        }
        if replaced() {
            match portal.account().session().state {
                // What only this device had is there as far as its pages were whole, the rest comes.
                SessionState::Active => check_only_ours(&used, &portal),
                other => assert_eq!(other, SessionState::SignedOut),
            }
            continue;
        }
        match now(portal.messages().search("the".into(), 100)) {
            Ok(_) => {}
            Err(error) => told(&error),
        }
        // Offline as it is: what matters is that no write over the damage panics or lies.
        let error = now(portal.sync(None)).unwrap_err();
        let out = matches!(error, PortalError::SignedOut { reason: Reason::Damaged });
        assert!(
            out || matches!(error, PortalError::Storage { .. } | PortalError::Offline { .. }),
            "{error:?}"
        );
    }
    println!("at unlock {at_unlock}, at a read {at_read}, in pages that nobody read {unread}");
    assert!(at_unlock > 10 && at_read > 100, "the flips reached every kind of page");
}

#[test]
fn s7_the_integrity_check_finds_every_flip_in_a_used_page() {
    let used = Used::new(40);
    let mut random = lab::random(SEED + 1);
    let (_scratch, user) = used.copy();
    let file = user.join("portal.db");
    let pristine = std::fs::read(&file).unwrap();
    let key = lab::database_key(&lab::master_key(&user, used.vault.as_ref()));
    let faults = |bytes: &[u8]| -> usize {
        std::fs::write(&file, bytes).unwrap();
        let Ok(database) = lab::database(&file, &key) else { return 1 };
        let mut statement = database.prepare("PRAGMA cipher_integrity_check").unwrap();
        let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
        rows.count()
    };
    assert_eq!(faults(&pristine), 0, "the control");
    for _ in 0..200 {
        let mut bytes = pristine.clone();
        let place = usize::try_from(random.next_u64()).unwrap() % bytes.len();
        bytes[place] ^= 0x40;
        assert_ne!(faults(&bytes), 0, "byte {place}");
    }
}

#[test]
fn s7_damage_found_at_unlock_is_set_aside_and_a_sign_in_brings_everything_back() {
    let used = Used::new(40);
    let truth = {
        let (scratch, _user) = used.copy();
        let portal = used.open(scratch.path()).unwrap();
        now(portal.account().unlock()).unwrap();
        conversations(&portal)
    };
    for damage in ["header", "half", "empty", "other", "missing"] {
        let (scratch, user) = used.copy();
        let file = user.join("portal.db");
        let mut bytes = std::fs::read(&file).unwrap();
        match damage {
            "header" => bytes[20] ^= 1,
            "half" => bytes.truncate(bytes.len() / 2 + 77),
            "empty" => bytes.clear(),
            "other" => bytes = b"SQLite format 3\0, and then something else".repeat(400),
            _ => {}
        }
        std::fs::write(&file, &bytes).unwrap();
        if damage == "missing" {
            std::fs::remove_file(&file).unwrap();
        }
        let portal = used.open(scratch.path()).unwrap();
        match now(portal.account().unlock()) {
            Ok(()) => assert_eq!(damage, "half"),
            Err(error) => {
                assert_eq!(error, PortalError::Storage { reason: Reason::Damaged }, "{damage}");
                let view = portal.account().session();
                assert_eq!((view.state, view.reason), (SessionState::SignedOut, Some(Reason::Damaged)));
            }
        }
        if used.sign_in(&portal).is_err() {
            // Found only by a read, which had it replaced.
            assert_eq!(damage, "half");
            used.sign_in(&portal).unwrap();
        }
        assert_eq!(conversations(&portal), truth, "{damage}");
        assert_eq!(portal.account().session().state, SessionState::Active);
    }
}

#[test]
fn s7_a_log_cut_anywhere_loses_only_its_end() {
    let used = Used::new(10);
    let (scratch, _) = used.copy();
    let portal = used.open(scratch.path()).unwrap();
    now(portal.account().unlock()).unwrap();
    let names: Vec<String> = (0..12).map(|n| format!("draft {n:02}")).collect();
    names.iter().for_each(|name| draft(&portal, name));
    // A copy of the files as a power cut would leave them: the log is not yet in the database.
    let cut = Scratch::new();
    copy(scratch.path(), cut.path());
    let user = users(cut.path()).remove(0);
    let log = std::fs::read(user.join("portal.db-wal")).unwrap();
    let file = std::fs::read(user.join("portal.db")).unwrap();
    assert!(log.len() > 20_000, "the control: {}", log.len());
    let mut random = lab::random(SEED + 2);
    let mut found = std::collections::BTreeSet::new();
    for round in 0..60 {
        let mut bytes = log.clone();
        let place = usize::try_from(random.next_u64()).unwrap() % bytes.len();
        match round % 3 {
            0 => bytes.truncate(place),
            1 => bytes[place] ^= 0x10,
            _ => bytes[place..].fill(0),
        }
        std::fs::write(user.join("portal.db"), &file).unwrap();
        std::fs::write(user.join("portal.db-wal"), &bytes).unwrap();
        let _ = std::fs::remove_file(user.join("portal.db-shm"));
        let portal = used.open(cut.path()).unwrap();
        now(portal.account().unlock()).unwrap();
        let drafts = now(portal.messages().drafts()).unwrap();
        let mut texts: Vec<_> = drafts.into_iter().map(|one| one.draft.text).collect();
        texts.retain(|text| text != "A draft");
        texts.sort();
        assert_eq!(texts, names[..texts.len()], "round {round}, byte {place}");
        found.insert(texts.len());
        let mut database = used.raw(&user);
        let tx = database.transaction().unwrap();
        let fine: String = tx.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(fine, "ok");
    }
    assert!(found.len() > 3, "{found:?}");
}

#[test]
fn a_file_of_a_newer_version_is_left_as_it_is() {
    let used = Used::new(10);
    let (scratch, user) = used.copy();
    let ours: u32 = used.raw(&user).query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    used.raw(&user).pragma_update(None, "user_version", 999).unwrap();
    let before = std::fs::read(user.join("portal.db")).unwrap();
    let portal = used.open(scratch.path()).unwrap();
    let error = now(portal.account().unlock()).unwrap_err();
    assert_eq!(error, PortalError::Storage { reason: Reason::NewerVersion });
    assert_eq!(portal.account().session().state, SessionState::Locked);
    assert_eq!(std::fs::read(user.join("portal.db")).unwrap(), before);
    // An update of the app finds everything.
    used.raw(&user).pragma_update(None, "user_version", ours).unwrap();
    now(portal.account().unlock()).unwrap();
    assert_eq!(lab::seen(&portal).unwrap(), used.truth);
}

#[test]
fn s7_a_damaged_wrapped_key_opens_nothing_and_a_wipe_and_a_sign_in_help() {
    let used = Used::new(10);
    let mut random = lab::random(SEED + 3);
    for _ in 0..50 {
        let (scratch, user) = used.copy();
        let mut key = std::fs::read(user.join("master.key")).unwrap();
        let place = usize::try_from(random.next_u64()).unwrap() % key.len();
        key[place] ^= 1;
        std::fs::write(user.join("master.key"), &key).unwrap();
        let before = std::fs::read(user.join("portal.db")).unwrap();
        let portal = used.open(scratch.path()).unwrap();
        let error = now(portal.account().unlock()).unwrap_err();
        assert_eq!(error, PortalError::Locked { reason: Reason::VaultFailed });
        assert_eq!(std::fs::read(user.join("portal.db")).unwrap(), before);
    }
    let (scratch, user) = used.copy();
    std::fs::write(user.join("master.key"), b"").unwrap();
    let portal = used.open(scratch.path()).unwrap();
    assert!(now(portal.account().unlock()).is_err());
    now(portal.account().wipe()).unwrap();
    used.sign_in(&portal).unwrap();
    assert!(!conversations(&portal).is_empty());
}

#[test]
fn s7_a_file_of_another_person_is_damage_and_not_their_records() {
    let (mine, theirs) = (Phone::registered(&Practice::demo(5), 3), Phone::registered(&Practice::demo(9), 4));
    for phone in [&mine, &theirs] {
        now(phone.portal.account().lock()).unwrap();
    }
    let (my, their) = (users(mine.directory()).remove(0), users(theirs.directory()).remove(0));
    assert_ne!(name(&my), name(&their));
    std::fs::copy(their.join("portal.db"), my.join("portal.db")).unwrap();
    let error = now(mine.portal.account().unlock()).unwrap_err();
    assert_eq!(error, PortalError::Storage { reason: Reason::Damaged });
    assert_eq!(locked(&mine.practice.world).clients().count(), 12);
}
