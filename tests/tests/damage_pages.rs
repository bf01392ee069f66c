//! Whole pages that are not where they were, and logs that are not what they were: a typed error or a
//! repair, never wrong data and never a panic (SECURITY S7, I25). `damage.rs` flips single bytes.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, clippy::disallowed_macros, reason = "a test prints what it found")]

mod lab;

use lab::used::{Used, check_only_ours, conversations, draft};
use lab::{copy, users};
use portal_core::account::SessionState;
use portal_core::{Portal, PortalError, Reason};
use portal_tests::phone::{Scratch, now};
use rand::Rng;
use std::collections::BTreeSet;
use std::path::Path;

const SEED: u64 = 20_260_417;
const PAGE: usize = 16_384;

/// What came of a file that somebody changed.
#[derive(Debug, Default)]
struct Outcomes {
    /// Found when it was opened, or when a screen was read: a typed error, and a way back.
    told: usize,
    /// In pages that no screen reads, and the data right.
    unread: usize,
    /// Found and replaced before anybody asked.
    repaired: usize,
}

/// Opens the files, looks at every screen and says what came of it.
fn look(used: &Used, root: &Path, user: &Path, what: &str, outcomes: &mut Outcomes) {
    let replaced = || user.join("damaged-1.db").exists();
    let portal = used.open(root).unwrap();
    let seen = now(portal.account().unlock()).and_then(|()| lab::seen(&portal));
    match seen {
        Ok(seen) if seen == used.truth => outcomes.unread += 1,
        Ok(_) => {
            assert!(replaced(), "{what}: wrong data");
            check_only_ours(used, &portal);
            outcomes.repaired += 1;
        }
        Err(error) => {
            // Signed out: found by what an unlock reads on its own, and the session was in that page.
            assert_eq!(error.reason(), &Reason::Damaged, "{what}: {error}");
            let kind = matches!(error, PortalError::Storage { .. } | PortalError::SignedOut { .. });
            assert!(kind, "{what}: {error}");
            assert!(replaced(), "{what}: there is a way back");
            if portal.account().session().state == SessionState::Active {
                check_only_ours(used, &portal);
            }
            outcomes.told += 1;
        }
    }
}

/// The files as they were, with this database.
fn lay_out(used: &Used, root: &Path, user: &Path, key: &[u8], database: &[u8]) {
    let _ = std::fs::remove_dir_all(user);
    std::fs::create_dir(user).unwrap();
    std::fs::write(user.join("master.key"), key).unwrap();
    std::fs::write(user.join("portal.db"), database).unwrap();
    std::fs::copy(used.pristine.path().join("install"), root.join("install")).unwrap();
}

fn page(bytes: &[u8], number: usize) -> Vec<u8> {
    bytes[number * PAGE..(number + 1) * PAGE].to_vec()
}

fn put(bytes: &mut [u8], number: usize, page: &[u8]) {
    bytes[number * PAGE..(number + 1) * PAGE].copy_from_slice(page);
}

#[test]
fn s7_swapped_pages_and_pages_of_another_database_are_found_or_never_read() {
    let (used, other) = (Used::new(40), Used::new(60));
    let (scratch, user) = used.copy();
    let key = std::fs::read(user.join("master.key")).unwrap();
    let pristine = std::fs::read(user.join("portal.db")).unwrap();
    let strange = std::fs::read(users(other.pristine.path()).remove(0).join("portal.db")).unwrap();
    // The same file under the same key at a later time: every page of it is a good one, of then.
    let (later, known) = {
        let portal = used.open(scratch.path()).unwrap();
        now(portal.account().unlock()).unwrap();
        let mut known = conversations(&portal);
        used.practice.set_online(true);
        used.practice.act(|world, at| {
            let client = world.clients().next().unwrap().id;
            let author = world.all_staff().next().unwrap().id;
            for round in 0..40 {
                let body = format!("News {round} {}", "and more ".repeat(200));
                world.write_to_client(author, client, "News", &body, at).unwrap();
            }
        });
        now(portal.sync(None)).unwrap();
        used.practice.set_online(false);
        known.extend(conversations(&portal));
        for round in 0..30 {
            draft(&portal, &format!("Later {round} {}", "and on ".repeat(900)));
        }
        now(portal.account().lock()).unwrap();
        drop(portal);
        (std::fs::read(user.join("portal.db")).unwrap(), known)
    };
    let pages = pristine.len() / PAGE;
    assert!(pages > 20 && strange.len() / PAGE >= pages && later.len() / PAGE >= pages, "{pages}");
    let mut random = lab::random(SEED);
    let mut number = |below: usize| usize::try_from(random.next_u64()).unwrap() % below;

    let mut swapped = Outcomes::default();
    for round in 0..150 {
        let (one, two) = (number(pages), number(pages));
        if one == two {
            continue;
        }
        let mut bytes = pristine.clone();
        put(&mut bytes, one, &page(&pristine, two));
        if round % 3 != 0 {
            put(&mut bytes, two, &page(&pristine, one));
        }
        lay_out(&used, scratch.path(), &user, &key, &bytes);
        look(&used, scratch.path(), &user, &format!("pages {one} and {two}"), &mut swapped);
    }
    println!("swapped pages: {swapped:?}");
    assert!(swapped.told + swapped.repaired > 20);

    let mut foreign = Outcomes::default();
    for at in 0..pages {
        let mut bytes = pristine.clone();
        put(&mut bytes, at, &page(&strange, number(pages)));
        lay_out(&used, scratch.path(), &user, &key, &bytes);
        look(&used, scratch.path(), &user, &format!("page {at} of another key"), &mut foreign);
    }
    println!("pages of another database under another key: {foreign:?}");
    assert!(foreign.told + foreign.repaired > 5);

    // The seal of a page holds its number and no time: a page of the same file of another time is a
    // good one to SQLCipher, and only the tree around it can object. Whatever shows was in this file.
    let (mut told, mut shown) = (0, 0);
    for at in (0..pages).filter(|at| page(&pristine, *at) != page(&later, *at)) {
        let mut bytes = pristine.clone();
        put(&mut bytes, at, &page(&later, at));
        lay_out(&used, scratch.path(), &user, &key, &bytes);
        let portal = used.open(scratch.path()).unwrap();
        match now(portal.account().unlock()).and_then(|()| now(portal.messages().drafts())) {
            Err(error) => {
                assert_eq!(error.reason(), &Reason::Damaged, "page {at}: {error}");
                told += 1;
            }
            Ok(drafts) => {
                let ours = |text: &str| text == "A draft" || text.starts_with("Later ");
                assert!(drafts.iter().all(|one| ours(&one.draft.text)), "page {at}");
                shown += 1;
            }
        }
        match lab::seen(&portal) {
            Ok(_) => assert!(conversations(&portal).iter().all(|text| known.contains(text)), "page {at}"),
            Err(error) => assert_eq!(error.reason(), &Reason::Damaged, "page {at}: {error}"),
        }
    }
    println!("pages of the same file of another time: {told} told, {shown} shown as they were");
    assert!(told + shown > 2);
}

#[test]
fn s7_a_log_that_is_cut_at_every_length_or_flipped_loses_only_its_end() {
    let used = Used::new(10);
    let (scratch, _) = used.copy();
    let portal = used.open(scratch.path()).unwrap();
    now(portal.account().unlock()).unwrap();
    let names: Vec<String> = (0..8).map(|n| format!("draft {n}")).collect();
    names.iter().for_each(|name| draft(&portal, name));
    // A copy of the files as a power cut would leave them: the log is not yet in the database.
    let cut = Scratch::new();
    copy(scratch.path(), cut.path());
    drop(portal);
    let user = users(cut.path()).remove(0);
    let log = std::fs::read(user.join("portal.db-wal")).unwrap();
    let file = std::fs::read(user.join("portal.db")).unwrap();
    let frame = PAGE + 24;
    assert!(log.len() > 8 * frame, "the control: {}", log.len());

    let (mut found, mut cuts) = (BTreeSet::new(), 0);
    let around = |at: usize| [at.saturating_sub(1), at, at + 1, at + 24, at + 512, at + PAGE];
    for length in (0..=log.len() / frame).flat_map(|n| around(32 + n * frame)).chain(0..34) {
        if length > log.len() {
            continue;
        }
        cuts += 1;
        found.insert(only_a_beginning(&used, &user, cut.path(), &file, &log[..length], &names));
    }
    println!("a log cut at {cuts} lengths: {found:?} of {} drafts", names.len());
    assert_eq!(found.len(), names.len() + 1, "every length between none and all");

    let (mut random, mut flipped) = (lab::random(SEED + 1), BTreeSet::new());
    for _ in 0..200 {
        let mut bytes = log.clone();
        let place = usize::try_from(random.next_u64()).unwrap() % bytes.len();
        bytes[place] ^= random.next_u64().to_le_bytes()[0].max(1);
        flipped.insert(only_a_beginning(&used, &user, cut.path(), &file, &bytes, &names));
    }
    println!("a log flipped at 200 places: {flipped:?} of {} drafts", names.len());
    assert!(flipped.len() > 3);
}

/// Opens with this log; how many of the drafts are there, which have to be the first ones.
fn only_a_beginning(
    used: &Used,
    user: &Path,
    root: &Path,
    file: &[u8],
    log: &[u8],
    names: &[String],
) -> usize {
    std::fs::write(user.join("portal.db"), file).unwrap();
    std::fs::write(user.join("portal.db-wal"), log).unwrap();
    let _ = std::fs::remove_file(user.join("portal.db-shm"));
    let portal = used.open(root).unwrap();
    now(portal.account().unlock()).unwrap();
    let mut texts = drafts(&portal);
    texts.retain(|text| text != "A draft");
    texts.sort();
    assert_eq!(texts, names[..texts.len()]);
    assert!(!user.join("damaged-1.db").exists());
    texts.len()
}

fn drafts(portal: &Portal) -> Vec<String> {
    now(portal.messages().drafts()).unwrap().into_iter().map(|one| one.draft.text).collect()
}
