//! What reaches a person, a log or a crash report in words: codes of ours, and nothing that a
//! server, a library or a panic said (SECURITY L1, L2, S3).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod lab;

use async_trait::async_trait;
use portal_core::ports::{Exchange, Transport, TransportError};
use portal_core::runtime::Mode;
use portal_core::{PortalError, Reason};
use portal_tests::phone::{Phone, Scratch, now, registration};
use portal_tests::practice::{Mishap, Practice, TestVault};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const CANARY: &str = "canary Renée has PTSD";

#[test]
fn l1_what_a_server_writes_into_a_refusal_never_reaches_an_error() {
    let practice = Practice::demo(5);
    let phone = Phone::registered(&practice, 1);
    for status in [400, 401, 403, 404, 409, 410, 412, 413, 415, 422, 426, 429, 500, 502, 503] {
        for path in ["GET /v1/sync", "POST /oauth/token", "GET /.well-known", "POST /v1/registrations"] {
            let document = serde_json::json!({
                "type": CANARY, "title": CANARY, "status": status, "code": CANARY, "error": CANARY,
                "detail": CANARY, "field": CANARY, "error_description": CANARY, "retryable": false,
            });
            practice.next(path, Mishap::Instead(lab::json(status, &document)));
            let error = match path {
                "GET /v1/sync" => now(phone.portal.sync(None)).err(),
                "GET /.well-known" => now(phone.portal.account().sign_in_begin()).err(),
                "POST /v1/registrations" => {
                    let link = format!("https://portal.practice.test/enroll/{}", "A".repeat(43));
                    let registration = portal_core::account::Registration {
                        invitation_link: link,
                        last_name: CANARY.into(),
                        date_of_birth: "1990-01-01".into(),
                        password: CANARY.into(),
                    };
                    assert!(!format!("{registration:?}").contains("canary"));
                    now(phone.portal.account().register(registration)).err()
                }
                _ => {
                    for _ in 0..4 {
                        practice.clock.advance(std::time::Duration::from_secs(100));
                        phone.portal.account().touch();
                    }
                    now(phone.portal.sync(None)).err()
                }
            };
            // The token endpoint's is asked for again when the first answer was none.
            let words = format!("{error:?} {}", error.as_ref().map(ToString::to_string).unwrap_or_default());
            assert!(!words.contains("canary") && !words.contains("PTSD"), "{status} {path}: {words}");
            if path != "POST /oauth/token" {
                assert!(error.is_some(), "{status} {path}");
            }
        }
    }
}

/// A network that panics while it is told to.
struct Panicking {
    practice: Arc<Practice>,
    on: AtomicBool,
}

#[async_trait]
impl Transport for Panicking {
    async fn send(&self, exchange: Exchange) -> Result<http::Response<Vec<u8>>, TransportError> {
        assert!(!self.on.load(Ordering::SeqCst), "{CANARY}");
        self.practice.send(exchange).await
    }
}

#[test]
fn l2_a_panic_arrives_as_a_kind_without_its_text_and_nothing_is_stuck() {
    let practice = Practice::demo(5);
    let transport = Arc::new(Panicking { practice: practice.clone(), on: AtomicBool::new(false) });
    let (vault, scratch) = (Arc::new(TestVault::default()), Scratch::new());
    let clock = practice.clock.clone();
    let portal = lab::open(transport.clone(), clock, vault, scratch.path(), 2, Mode::Threads).unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        portal.account().register(registration(&practice)).await.unwrap();
        portal.sync(None).await.unwrap();
        transport.on.store(true, Ordering::SeqCst);
        let error = portal.sync(None).await.unwrap_err();
        assert_eq!(error, PortalError::Bug { reason: Reason::Panicked });
        assert!(!format!("{error} {error:?}").contains("canary"));
        let error = portal.account().sign_in_begin().await.unwrap_err();
        assert_eq!(error, PortalError::Bug { reason: Reason::Panicked });
        // Writing goes on meanwhile, and afterwards everything arrives.
        let threads =
            portal.messages().threads(portal_core::messages::ThreadFilter::All, 0, 1).await.unwrap();
        let id = portal.messages().send(threads.threads[0].id.clone(), "Still here".into()).await.unwrap();
        transport.on.store(false, Ordering::SeqCst);
        while !portal.sync(None).await.is_ok_and(|report| report.complete) {
            tokio::task::yield_now().await;
        }
        assert_eq!(lab::effects(&practice, &id), 1);
        // The loop in the background is alive again too: nobody asks for this one.
        let id = portal.messages().send(threads.threads[0].id.clone(), "By itself".into()).await.unwrap();
        let arrives = async {
            while lab::effects(&practice, &id) == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(60), arrives).await.expect("sent by itself");
        portal.account().lock().await.unwrap();
        portal.account().unlock().await.unwrap();
    });
}

/// Regular files that this process has open, or had when they were deleted.
fn open_files() -> BTreeSet<String> {
    let links = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    links
        .filter_map(|link| std::fs::read_link(link.path()).ok())
        .map(|target| target.to_string_lossy().into_owned())
        .filter(|target| {
            target.starts_with('/') && !target.starts_with("/dev/") && !target.starts_with("/proc/")
        })
        .collect()
}

#[cfg(target_os = "linux")]
#[test]
fn s3_no_temporary_file_is_ever_open_during_a_large_sync_a_sort_and_a_search() {
    let practice = Practice::demo(4_000);
    let scratch = Scratch::new();
    let before = open_files();
    let (done, sampled) =
        (Arc::new(AtomicBool::new(false)), Arc::new(std::sync::Mutex::new(BTreeSet::new())));
    let sampler = std::thread::spawn({
        let (done, sampled) = (done.clone(), sampled.clone());
        move || {
            let mut rounds = 0u64;
            while !done.load(Ordering::SeqCst) {
                sampled.lock().unwrap().append(&mut open_files());
                rounds += 1;
            }
            rounds
        }
    });
    let (vault, clock) = (Arc::new(TestVault::default()), practice.clock.clone());
    let portal = lab::open(practice.clone(), clock, vault, scratch.path(), 3, Mode::Inline).unwrap();
    now(portal.account().register(registration(&practice))).unwrap();
    assert!(now(portal.sync(None)).unwrap().complete);
    assert!(lab::seen(&portal).unwrap().len() > 500_000);
    assert!(!now(portal.messages().search("the".into(), 100)).unwrap().is_empty());
    practice.act(|world, _| world.expire_cursors());
    assert!(now(portal.sync(None)).unwrap().complete);
    now(portal.account().lock()).unwrap();
    done.store(true, Ordering::SeqCst);
    let rounds = sampler.join().unwrap();
    let own = scratch.path().to_string_lossy().into_owned();
    let sampled = sampled.lock().unwrap().clone();
    assert!(rounds > 100 && sampled.iter().any(|file| file.ends_with("portal.db-wal")), "the control");
    // The other stories of this file have their own directories.
    let other = std::env::temp_dir().join("portal-test-").to_string_lossy().into_owned();
    let strays: Vec<_> = sampled
        .difference(&before)
        .filter(|file| !file.starts_with(&own) && !file.starts_with(&other))
        .collect();
    assert!(strays.is_empty(), "{strays:?}");
    let allowed = [
        "install",
        "install.lock",
        "admit.lock",
        "practice.json",
        "master.key",
        "portal.db",
        "portal.db-wal",
        "portal.db-shm",
        "portal.db-journal",
        "sync.lock",
    ];
    for file in sampled.iter().filter(|file| file.starts_with(&own)) {
        let file = file.trim_end_matches(" (deleted)");
        let name = file.rsplit('/').next().unwrap();
        let directory = std::path::Path::new(file).is_dir();
        assert!(directory || allowed.contains(&name) || name.ends_with(".new") || name.len() == 32, "{file}");
    }
}
