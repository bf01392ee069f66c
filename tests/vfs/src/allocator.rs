//! SQLite's allocator, whose Nth allocation on a thread fails when it is told to.

use rusqlite::ffi;
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::sync::OnceLock;

static REAL: OnceLock<Methods> = OnceLock::new();

/// A table of functions without state of its own.
struct Methods(ffi::sqlite3_mem_methods);

// SAFETY: the table is written once and holds pointers to functions of SQLite, which locks as it needs.
unsafe impl Send for Methods {}
// SAFETY: as above.
unsafe impl Sync for Methods {}

thread_local! {
    static MADE: Cell<u64> = const { Cell::new(0) };
    static FAILS: Cell<u64> = const { Cell::new(0) };
}

/// Lets the `nth` allocation of this thread from now on fail, counted from 1.
pub fn fail_allocation(nth: u64) {
    MADE.set(0);
    FAILS.set(nth);
}

/// Lets none fail any more; whether the one that was to fail came.
pub fn disarm_allocator() -> bool {
    let nth = FAILS.replace(0);
    nth != 0 && MADE.get() >= nth
}

/// The allocations of this thread since [`fail_allocation`].
pub fn allocations() -> u64 {
    MADE.get()
}

pub(crate) fn install() {
    let mut real = ffi::sqlite3_mem_methods {
        xMalloc: None,
        xFree: None,
        xRealloc: None,
        xSize: None,
        xRoundup: None,
        xInit: None,
        xShutdown: None,
        pAppData: std::ptr::null_mut(),
    };
    // SAFETY: the option takes a pointer to a table, which it fills; nobody uses SQLite yet.
    let known = unsafe { ffi::sqlite3_config(ffi::SQLITE_CONFIG_GETMALLOC, &raw mut real) };
    let ours = ffi::sqlite3_mem_methods { xMalloc: Some(malloc), xRealloc: Some(realloc), ..real };
    assert!(REAL.set(Methods(real)).is_ok(), "once");
    // SAFETY: the option takes a pointer to a table, which it copies; nobody uses SQLite yet. SQLCipher
    // asks for the table when it starts and puts its own around it.
    let taken = unsafe { ffi::sqlite3_config(ffi::SQLITE_CONFIG_MALLOC, &raw const ours) };
    assert_eq!((known, taken), (ffi::SQLITE_OK, ffi::SQLITE_OK), "SQLite was used before");
}

fn fails() -> bool {
    let made = MADE.get() + 1;
    MADE.set(made);
    made == FAILS.get()
}

extern "C" fn malloc(size: c_int) -> *mut c_void {
    match REAL.get().and_then(|real| real.0.xMalloc) {
        // SAFETY: SQLite's own function, called as SQLite calls this one.
        Some(malloc) if !fails() => unsafe { malloc(size) },
        _ => std::ptr::null_mut(),
    }
}

extern "C" fn realloc(block: *mut c_void, size: c_int) -> *mut c_void {
    match REAL.get().and_then(|real| real.0.xRealloc) {
        // SAFETY: SQLite's own function, called as SQLite calls this one.
        Some(realloc) if !fails() => unsafe { realloc(block, size) },
        _ => std::ptr::null_mut(),
    }
}
