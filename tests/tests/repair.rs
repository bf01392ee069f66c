//! The way out of damage that is found while the records are open: a fresh file, with what only this
//! device had, and the rest from the practice (SECURITY S7, I24, I25).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod lab;

use lab::used::{Used, check_only_ours, conversations};
use lab::users;
use portal_core::account::{SessionState, Unsent};
use portal_core::messages::ThreadFilter;
use portal_core::runtime::Mode;
use portal_core::{Portal, PortalError, Reason};
use portal_tests::phone::now;
use std::path::Path;

fn draft_keys(portal: &Portal) -> Vec<Option<String>> {
    now(portal.messages().drafts()).unwrap().into_iter().map(|one| one.draft.key).collect()
}

/// Changes a byte in the first page of a table.
fn flip(used: &Used, user: &Path, table: &str) {
    let sql = "SELECT rootpage FROM sqlite_master WHERE tbl_name = ?1 AND type = 'table'";
    let page: i64 = used.raw(user).query_row(sql, [table], |row| row.get(0)).unwrap();
    let file = user.join("portal.db");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[(usize::try_from(page).unwrap() - 1) * 16_384 + 5_000] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

#[test]
fn s7_damage_found_later_is_repaired_and_nothing_that_was_typed_is_lost() {
    let used = Used::new(40);
    let (scratch, user) = used.copy();
    let (drafts, all) = {
        let (scratch, _) = used.copy();
        let portal = used.open(scratch.path()).unwrap();
        now(portal.account().unlock()).unwrap();
        (draft_keys(&portal), conversations(&portal))
    };
    flip(&used, &user, "message");
    let portal = used.open(scratch.path()).unwrap();
    now(portal.account().unlock()).unwrap();
    let damaged = PortalError::Storage { reason: Reason::Damaged };
    assert_eq!(lab::seen(&portal).unwrap_err(), damaged);
    // The next verb works; nobody has to sign in, and the practice's part comes again.
    assert_eq!(portal.account().session().state, SessionState::Active);
    assert!(user.join("damaged-1.db").exists());
    check_only_ours(&used, &portal);
    assert_eq!(draft_keys(&portal), drafts);
    assert_eq!(now(portal.outbox().entries()).unwrap().len(), 1);
    assert_eq!(now(portal.account().sign_out(Unsent::Keep)).unwrap_err().reason(), &Reason::UnsentWork);
    used.practice.set_online(true);
    let report = now(portal.sync(None)).unwrap();
    assert!(report.complete && report.sent == 1 && report.waiting == 0, "{report:?}");
    used.practice.set_online(false);
    let mut expected = all;
    expected.push("Waits".into());
    expected.sort();
    assert_eq!(conversations(&portal), expected);
    drop(portal);
    let portal = used.open(scratch.path()).unwrap();
    now(portal.account().unlock()).unwrap();
    assert_eq!(conversations(&portal), expected);

    // A second time: the first one's file stays.
    now(portal.account().lock()).unwrap();
    drop(portal);
    let first = std::fs::read(user.join("damaged-1.db")).unwrap();
    flip(&used, &user, "message");
    let portal = used.open(scratch.path()).unwrap();
    now(portal.account().unlock()).unwrap();
    assert_eq!(lab::seen(&portal).unwrap_err(), damaged);
    assert!(user.join("damaged-2.db").exists());
    assert_eq!(std::fs::read(user.join("damaged-1.db")).unwrap(), first);
}

#[test]
fn s7_damage_in_the_session_asks_for_a_sign_in_also_at_the_next_start() {
    let damaged = PortalError::Storage { reason: Reason::Damaged };
    for (tables, kept) in [(vec!["session"], true), (vec!["session", "outbox", "draft"], false)] {
        let used = Used::new(20);
        let (scratch, user) = used.copy();
        tables.iter().for_each(|table| flip(&used, &user, table));
        let portal = used.open(scratch.path()).unwrap();
        assert_eq!(now(portal.account().unlock()).unwrap_err(), damaged);
        for _ in 0..2 {
            let view = used.open(scratch.path()).unwrap().account().session();
            assert_eq!((view.state, view.reason), (SessionState::SignedOut, Some(Reason::Damaged)));
        }
        let portal = used.open(scratch.path()).unwrap();
        assert!(now(portal.home().view()).is_err());
        used.sign_in(&portal).unwrap();
        assert_eq!(now(portal.messages().drafts()).unwrap().len(), usize::from(kept));
        assert_eq!(conversations(&portal).iter().filter(|text| *text == "Waits").count(), usize::from(kept));
        drop(portal);
        let portal = used.open(scratch.path()).unwrap();
        assert_eq!(portal.account().session().state, SessionState::Locked);
        // It can be wiped as well.
        now(portal.account().wipe()).unwrap();
        assert!(users(scratch.path()).is_empty());
    }
    let used = Used::new(20);
    let (scratch, user) = used.copy();
    flip(&used, &user, "session");
    let portal = used.open(scratch.path()).unwrap();
    now(portal.account().unlock()).unwrap_err();
    now(portal.account().wipe()).unwrap();
    assert!(users(scratch.path()).is_empty());
    let view = used.open(scratch.path()).unwrap().account().session();
    assert_eq!((view.state, view.reason), (SessionState::SignedOut, Some(Reason::NotSignedIn)));
}

#[test]
fn s7_a_portal_with_threads_is_repaired_as_well() {
    let used = Used::new(40);
    let (scratch, user) = used.copy();
    flip(&used, &user, "message");
    let (clock, vault) = (used.practice.clock.clone(), used.vault.clone());
    let open = || {
        let (practice, clock, vault) = (used.practice.clone(), clock.clone(), vault.clone());
        lab::open(practice, clock, vault, scratch.path(), 2, Mode::Threads).unwrap()
    };
    let portal = open();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        portal.account().unlock().await.unwrap();
        // Everybody who asks at once hears of it once, and nobody waits for ever.
        let asked: Vec<_> = (0..20)
            .map(|_| {
                let portal = portal.clone();
                tokio::spawn(async move { portal.messages().search("the".into(), 100).await.map(|_| ()) })
            })
            .collect();
        for asked in asked {
            let _ = asked.await.unwrap();
        }
        for _ in 0..3 {
            if let Ok(page) = portal.messages().threads(ThreadFilter::All, 0, 100).await {
                for one in page.threads {
                    let _ = portal.messages().thread(one.id, None, 100).await;
                }
            }
        }
        let aside = |n| user.join(format!("damaged-{n}.db")).exists();
        // The background may have found it first: then the others were answered while it repaired.
        for _ in 0..6_000 {
            if aside(1) && portal.messages().drafts().await.is_ok() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert_eq!((aside(1), aside(2)), (true, false), "{:?}", portal.account().session());
        assert_eq!(portal.messages().drafts().await.unwrap().len(), 1);
        used.practice.set_online(true);
        let mut tries = 0;
        while !portal.sync(None).await.is_ok_and(|report| report.complete && report.waiting == 0) {
            tries += 1;
            assert!(tries < 50);
        }
        portal.account().lock().await.unwrap();
    });
    drop(portal);
    used.practice.set_online(false);
    let portal = used.open(scratch.path()).unwrap();
    now(portal.account().unlock()).unwrap();
    assert!(conversations(&portal).contains(&"Waits".to_owned()));
}

#[test]
fn s7_a_sign_in_over_open_records_that_turn_out_damaged_goes_through() {
    let used = Used::new(20);
    let (scratch, user) = used.copy();
    let portal = used.open(scratch.path()).unwrap();
    now(portal.account().unlock()).unwrap();
    flip(&used, &user, "session");
    // Nothing of it is in the memory of this process's pages any more.
    now(portal.suspend()).unwrap();
    now(portal.resume()).unwrap();
    used.sign_in(&portal).unwrap();
    assert!(conversations(&portal).contains(&"Waits".to_owned()));
}

#[test]
fn s7_an_exchange_of_files_that_was_cut_short_anywhere_is_finished_at_the_next_unlock() {
    let used = Used::new(20);
    let (done, user) = used.copy();
    let pristine = std::fs::read(user.join("portal.db")).unwrap();
    flip(&used, &user, "message");
    let damaged = std::fs::read(user.join("portal.db")).unwrap();
    assert_ne!(pristine, damaged);
    let portal = used.open(done.path()).unwrap();
    now(portal.account().unlock()).unwrap();
    lab::seen(&portal).unwrap_err();
    now(portal.account().lock()).unwrap();
    drop(portal);
    let fresh = std::fs::read(user.join("portal.db")).unwrap();
    for step in 0..4 {
        let (scratch, user) = used.copy();
        std::fs::remove_file(user.join("portal.db")).unwrap();
        let write = |name: &str, bytes: &[u8]| std::fs::write(user.join(name), bytes).unwrap();
        match step {
            // The fresh one is half made, whole, whole and the log already aside, whole and alone.
            0 => [("portal.db", &damaged[..]), ("repair.db", &fresh[..5_000])].map(|(n, b)| write(n, b)),
            1 => [("portal.db", &damaged[..]), ("repaired.db", &fresh)].map(|(n, b)| write(n, b)),
            2 => {
                write("damaged-1.db-wal", b"old");
                [("portal.db", &damaged[..]), ("repaired.db", &fresh)].map(|(n, b)| write(n, b))
            }
            _ => [("damaged-1.db", &damaged[..]), ("repaired.db", &fresh)].map(|(n, b)| write(n, b)),
        };
        let portal = used.open(scratch.path()).unwrap();
        now(portal.account().unlock()).unwrap();
        if step == 0 {
            lab::seen(&portal).unwrap_err();
        }
        check_only_ours(&used, &portal);
        assert_eq!(now(portal.messages().drafts()).unwrap().len(), 1, "{step}");
        assert_eq!(std::fs::read(user.join("damaged-1.db")).unwrap(), damaged, "{step}");
        assert!(!user.join("repaired.db").exists() && !user.join("repair.db").exists());
    }
}

#[test]
fn s7_a_record_that_cannot_be_read_though_its_page_is_whole_is_not_refilled_for_ever() {
    let used = Used::new(10);
    let (scratch, user) = used.copy();
    let damaged = PortalError::Storage { reason: Reason::Damaged };
    let break_it = || used.raw(&user).execute("UPDATE draft SET saved_at = 'x'", []).unwrap();
    break_it();
    let portal = used.open(scratch.path()).unwrap();
    now(portal.account().unlock()).unwrap();
    for _ in 0..5 {
        assert_eq!(now(portal.messages().drafts()).unwrap_err(), damaged);
    }
    assert!(user.join("damaged-1.db").exists() && !user.join("damaged-2.db").exists());
    now(portal.account().sign_out(Unsent::Discard)).unwrap();
}
