//! The end of the process while files are in use. At exit SQLCipher frees what it works with, and OpenSSL after
//! it, whatever other threads are doing: without this a write under way may crash the process that ends.
#![allow(clippy::disallowed_methods, reason = "no port has a clock any more")]

use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// Threads inside of SQLite.
static INSIDE: AtomicUsize = AtomicUsize::new(0);
static ENDING: AtomicBool = AtomicBool::new(false);

/// How long the end of a process waits for what is under way: no act on a file takes longer, unless the file is
/// locked by another process.
const MOST: Duration = Duration::from_secs(5);

/// As long as it lives, SQLite may be used.
pub(crate) struct InUse(());

impl InUse {
    /// Waits once the process ends: with it its threads do. The one that ends it goes on.
    pub(crate) fn begin() -> Self {
        INSIDE.fetch_add(1, Ordering::SeqCst);
        let inside = Self(());
        if ENDING.load(Ordering::SeqCst) {
            drop(inside);
            std::thread::sleep(2 * MOST);
            INSIDE.fetch_add(1, Ordering::SeqCst);
            return Self(());
        }
        inside
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        INSIDE.fetch_sub(1, Ordering::SeqCst);
    }
}

/// To be called once SQLCipher and OpenSSL have named what they do at exit: the last to do so is the first to be
/// called (C11 7.22.4.4).
pub(super) fn watch() {
    static WATCHES: Once = Once::new();
    // Where there is no room for it, an exit is what it was.
    WATCHES.call_once(|| {
        let _ = shutdown_hooks::add_shutdown_hook(ends);
    });
}

extern "C" fn ends() {
    ENDING.store(true, Ordering::SeqCst);
    let step = Duration::from_millis(1);
    let mut waited = Duration::ZERO;
    while INSIDE.load(Ordering::SeqCst) > 0 && waited < MOST {
        std::thread::sleep(step);
        waited += step;
    }
}
