//! A disk under SQLite that remembers what was synced, fails when it is told to, and an allocator
//! beside it: the shipped core runs on both unchanged, SQLCipher and all.
//!
//! [`install`] puts a VFS around SQLite's own one and makes it the default, and an allocator around
//! SQLite's own one, which SQLCipher's erasing wrapper then wraps in its turn. Both do nothing until a
//! thread asks: what is recorded and what fails belongs to the thread that set it, so tests run side
//! by side. A portal in place (`Mode::Inline`) does all its work on its caller's thread.
//!
//! # What a power cut leaves
//! [`Disk`] plays a [`Recording`] and says what a cut may leave at any event of it. The model is a WAL
//! on a journalling file system (ext4 in its default mode, APFS, F2FS), with less trust than those earn:
//!
//! - A write or truncation is safe once *this file* was synced after it. Until then it may be there or
//!   not, in any combination with others, and of a write any of its 512-byte sectors. What lies beside
//!   a write is not touched by it: SQLite is told so by its own VFS (`POWERSAFE_OVERWRITE`).
//! - The making and removing of files goes through the journal: it is kept in order, and a sync of any
//!   file makes all that went before safe. So a file may be lost that was made and never synced, and
//!   one may still be there, with what was safe in it, that was removed. SQLite syncs the directory
//!   of a new log with the log's first sync, and the core that of its own files at every replacing.
//! - The `-shm` file is memory, and never survives.
//! - Files of the core that do not go through SQLite are written beside, synced and renamed: they are
//!   taken as they are at the event.
//!
//! # What cannot be made to fail
//! Unlocking and closing, whose failure SQLite does not look at. Allocations that SQLite serves from
//! its lookaside slots, and those of SQLCipher's contexts: they come from a block that SQLCipher takes
//! once when it starts and falls back from only when it is full. OpenSSL's and Rust's own memory is not SQLite's either.

#![allow(unsafe_code, reason = "SQLite takes a file system and an allocator as tables of C functions")]

mod allocator;
mod disk;
mod shim;
mod tape;

pub use allocator::{allocations, disarm_allocator, fail_allocation};
pub use disk::{Disk, Image};
pub use tape::{
    Event, Fault, Recording, SmallFiles, calls, disarm, events, fail, mark, record, stop, swallow_syncs,
};

use std::sync::Once;

/// Puts both in place, once in the process.
///
/// # Panics
/// When SQLite was used before: it takes an allocator only before its first use.
pub fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        allocator::install();
        shim::install();
    });
}

/// Makes SQLite's own file system in memory the default in this process: a name is a database that lives
/// as long as a connection to it, and whoever opens the same name later finds it. It has no log and makes
/// no system call. [`install`] must not come before or after.
pub fn in_memory() {
    // SAFETY: `memdb` is a static table that SQLite registers itself, found by its name, a C string.
    unsafe {
        let memory = rusqlite::ffi::sqlite3_vfs_find(c"memdb".as_ptr());
        if !memory.is_null() {
            rusqlite::ffi::sqlite3_vfs_register(memory, 1);
        }
    }
}
