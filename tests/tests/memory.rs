//! What is left in memory once the records are locked (SECURITY S2): nothing. The phone runs in a
//! process of its own over real sockets; its parent, which is the practice, looks into its memory.
//! As the library for phones has it, freed memory is erased by the allocator: buffers of HTTP and TLS
//! cannot be erased in any other way.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, clippy::disallowed_macros, reason = "a test prints what it found")]

mod lab;

use lab::Scanner;
use lab::child::{self, Remote};
use portal_core::ports::KeyVault;
use portal_core::store::SoftVault;
use portal_server_mock::demo;
use std::collections::BTreeMap;

#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

/// Not a test of its own: the phone that the next test looks into.
#[test]
fn s2_child() {
    child::serve_parent();
}

/// How often each canary stands in the child's memory.
fn scan(phone: &Remote, canaries: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, usize> {
    let scanner = Scanner::new(canaries.iter().map(|(label, text)| (label.as_str(), text.as_slice())));
    let mut found = BTreeMap::new();
    phone.memory(|bytes| {
        for label in scanner.hits(bytes) {
            *found.entry(label).or_default() += 1;
        }
    });
    found
}

/// What the buffers of an open connection can hold: the last requests and answers. It closes by
/// itself once it was idle for a quarter of a minute, whether anybody is there or not.
const OF_THE_CONNECTION: [&str; 3] = ["access token", "refresh token", "my message"];

/// Waits for what ends on other threads to end; then only `spared` may be left.
fn settle(phone: &Remote, canaries: &BTreeMap<String, Vec<u8>>, spared: &[&str], tries: usize) {
    let mut left = BTreeMap::new();
    for _ in 0..tries {
        left = scan(phone, canaries);
        left.retain(|label, _| !spared.contains(&label.as_str()));
        if left.is_empty() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(250));
    }
    panic!("{left:?}");
}

#[test]
fn s2_after_a_lock_no_message_no_key_and_no_token_is_in_memory() {
    let mut random = lab::random(chrono::Utc::now().timestamp_millis().unsigned_abs());
    let practice = child::practice(60);
    let mut phi = BTreeMap::new();
    let link = child::act(&practice, |world, now| {
        let client = world.clients().find(|client| client.email == demo::INVITED_EMAIL).unwrap().id;
        let staff = world.all_staff().next().unwrap().id;
        for n in 0..20 {
            let (subject, body) = (lab::canary(&mut random, "subject"), lab::canary(&mut random, "body"));
            world.write_to_client(staff, client, &subject, &body, now).unwrap();
            phi.insert(format!("subject {n}"), subject.into_bytes());
            phi.insert(format!("body {n}"), body.into_bytes());
        }
        let mail =
            world.mails().iter().rev().find(|mail| mail.to == demo::INVITED_EMAIL && mail.link.is_some());
        mail.unwrap().link.clone().unwrap()
    });
    let mine = lab::canary(&mut random, "mine");
    let password = lab::canary(&mut random, "password");
    phi.insert("my message".into(), mine.clone().into_bytes());

    let mut phone = Remote::start("s2_child", &practice);
    phone.ask(&["register", &link, demo::INVITED_FAMILY_NAME, demo::INVITED_BIRTH_DATE, &password]).unwrap();
    phone.ask(&["sync"]).unwrap();
    phone.ask(&["send", &mine]).unwrap();
    phone.ask(&["sync"]).unwrap();
    assert!(phone.ask(&["read"]).unwrap().as_u64().unwrap() >= 81);

    // What is on the disk tells which keys and tokens to look for.
    let vault = SoftVault::open(&phone.path("keys"), SoftVault::NAME).unwrap();
    let user = lab::users(&phone.path("data")).remove(0);
    let master = lab::master_key(&user, &vault);
    let key = lab::database_key(&master);
    let (access, refresh): (String, String) = lab::database(&user.join("portal.db"), &key)
        .unwrap()
        .query_row("SELECT access_token, refresh_token FROM session", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    let wrapped = std::fs::read(user.join("master.key")).unwrap();
    assert!(vault.unwrap(lab::name(&user), wrapped).is_ok());

    let mut canaries = phi.clone();
    canaries.insert("master key".into(), master.to_vec());
    canaries.insert("database key".into(), key.to_vec());
    canaries.insert("access token".into(), access.into_bytes());
    canaries.insert("refresh token".into(), refresh.into_bytes());
    canaries.insert("password".into(), password.into_bytes());
    canaries.insert("invitation".into(), link.rsplit('/').next().unwrap().as_bytes().to_vec());

    let open = scan(&phone, &canaries);
    let of_phi = open.keys().filter(|label| phi.contains_key(*label)).count();
    assert!(of_phi >= 20, "the control: {open:?}");
    assert!(open.contains_key("access token"), "the control: {open:?}");
    println!("open: {open:?}");

    phone.ask(&["lock"]).unwrap();
    settle(&phone, &canaries, &OF_THE_CONNECTION, 20);
    settle(&phone, &canaries, &[], 240);

    // Whichever threads derive the keys, they keep nothing of them on their stacks.
    let keys: BTreeMap<_, _> = canaries
        .iter()
        .filter(|(label, _)| label.ends_with("key"))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    for _ in 0..12 {
        phone.ask(&["unlock"]).unwrap();
        phone.ask(&["lock"]).unwrap();
        settle(&phone, &keys, &[], 12);
    }

    // Unlocked it all comes back, and another lock takes it again.
    phone.ask(&["unlock"]).unwrap();
    phone.ask(&["read"]).unwrap();
    assert!(scan(&phone, &canaries).keys().filter(|label| phi.contains_key(*label)).count() >= 20);
    phone.ask(&["lock"]).unwrap();
    settle(&phone, &canaries, &[], 240);
    phone.quit();
}
