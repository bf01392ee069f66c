//! The VFS: counts, fails, records, and otherwise does what SQLite's own one does.
//!
//! A file of ours is a header followed by the file of SQLite's own VFS. SQLite reserves room for both
//! (`szOsFile`) and hands out a pointer to the header.

use crate::tape::{self, Call};
use rusqlite::ffi::{self, sqlite3_file, sqlite3_int64, sqlite3_io_methods, sqlite3_vfs};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::NonNull;
use std::sync::OnceLock;

/// What precedes the real file.
#[repr(C)]
struct Header {
    base: sqlite3_file,
    /// Valid until the file is closed, says SQLite; null for a file without a name.
    name: *const c_char,
}

struct Shared(NonNull<sqlite3_vfs>);

// SAFETY: SQLite's own VFS, which may be called from any thread; only its functions are used.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

static REAL: OnceLock<Shared> = OnceLock::new();

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    // Without the third version's memory maps: the core has them off, and a map is not recorded.
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

pub(crate) fn install() {
    // SAFETY: SQLite gives its default VFS, which lives as long as the process.
    let found = unsafe { ffi::sqlite3_vfs_find(std::ptr::null()) };
    let real = NonNull::new(found).map(Shared);
    assert!(real.is_some_and(|real| REAL.set(real).is_ok()), "SQLite has a VFS, and it is wrapped once");
    // SAFETY: the pointer was just found; a VFS is a table that may be copied. What is not replaced here
    // takes no notice of which table it is called with, but for `pAppData`, which is the same.
    let mut ours = unsafe { *found };
    ours.szOsFile += size_of::<Header>() as c_int;
    ours.pNext = std::ptr::null_mut();
    ours.zName = c"portal-test".as_ptr();
    ours.xOpen = Some(open);
    ours.xDelete = Some(delete);
    ours.xAccess = Some(access);
    // SAFETY: a registered VFS has to live for ever, so it is leaked.
    let registered = unsafe { ffi::sqlite3_vfs_register(Box::leak(Box::new(ours)), 1) };
    assert_eq!(registered, ffi::SQLITE_OK);
}

fn real_vfs() -> *mut sqlite3_vfs {
    REAL.get().map_or(std::ptr::null_mut(), |real| real.0.as_ptr())
}

/// Calls a function of the real VFS; `SQLITE_ERROR` if it has none.
macro_rules! of_vfs {
    ($function:ident($($argument:expr),*)) => {{
        let real = real_vfs();
        // SAFETY: found at the start and never freed; called with what SQLite gave.
        unsafe { (*real).$function.map_or(ffi::SQLITE_ERROR, |function| function(real, $($argument),*)) }
    }};
}

/// Calls a function of the real file behind ours; `SQLITE_ERROR` if it has none.
macro_rules! of_file {
    ($file:ident.$function:ident($($argument:expr),*)) => {{
        let real = real_file($file);
        // SAFETY: SQLite calls only files that were opened, and the real VFS has filled in their table;
        // called with what SQLite gave.
        unsafe {
            let methods = (*real).pMethods.as_ref();
            methods.and_then(|methods| methods.$function).map_or(ffi::SQLITE_ERROR, |function| function(real, $($argument),*))
        }
    }};
}

fn real_file(file: *mut sqlite3_file) -> *mut sqlite3_file {
    file.cast::<Header>().wrapping_add(1).cast()
}

/// A name that SQLite gave; empty for none.
fn text<'a>(name: *const c_char) -> &'a str {
    if name.is_null() {
        return "";
    }
    // SAFETY: SQLite gives names that end with a zero and outlive the call.
    unsafe { CStr::from_ptr(name) }.to_str().unwrap_or_default()
}

fn name<'a>(file: *mut sqlite3_file) -> &'a str {
    // SAFETY: every file that SQLite has was opened by `open`, which wrote the header.
    text(unsafe { (*file.cast::<Header>()).name })
}

/// Leaves with the error code if this call is to fail.
macro_rules! may_fail {
    ($call:ident) => {
        if let Some(code) = tape::fails(Call::$call) {
            return code;
        }
    };
}

unsafe extern "C" fn open(
    _: *mut sqlite3_vfs,
    path: *const c_char,
    file: *mut sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite gives room for `szOsFile` bytes. Without methods it does not call `close`.
    unsafe {
        file.cast::<Header>().write(Header { base: sqlite3_file { pMethods: std::ptr::null() }, name: path })
    };
    may_fail!(Open);
    let code = of_vfs!(xOpen(path, real_file(file), flags, out));
    if code == ffi::SQLITE_OK {
        // SAFETY: as above.
        unsafe { (*file).pMethods = &raw const METHODS };
        tape::opened(text(path));
    }
    code
}

unsafe extern "C" fn delete(_: *mut sqlite3_vfs, path: *const c_char, sync_directory: c_int) -> c_int {
    may_fail!(Delete);
    let code = of_vfs!(xDelete(path, sync_directory));
    if code == ffi::SQLITE_OK {
        tape::removed(text(path));
    }
    code
}

unsafe extern "C" fn access(
    _: *mut sqlite3_vfs,
    path: *const c_char,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    may_fail!(Access);
    of_vfs!(xAccess(path, flags, out))
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    of_file!(file.xClose())
}

unsafe extern "C" fn read(
    file: *mut sqlite3_file,
    into: *mut c_void,
    length: c_int,
    at: sqlite3_int64,
) -> c_int {
    may_fail!(Read);
    of_file!(file.xRead(into, length, at))
}

unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    from: *const c_void,
    length: c_int,
    at: sqlite3_int64,
) -> c_int {
    may_fail!(Write);
    let code = of_file!(file.xWrite(from, length, at));
    if let (ffi::SQLITE_OK, Ok(length), Ok(at)) = (code, usize::try_from(length), usize::try_from(at)) {
        // SAFETY: SQLite gives so many bytes to be written.
        tape::wrote(name(file), at, unsafe { std::slice::from_raw_parts(from.cast(), length) });
    }
    code
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, length: sqlite3_int64) -> c_int {
    may_fail!(Truncate);
    let code = of_file!(file.xTruncate(length));
    if let (ffi::SQLITE_OK, Ok(length)) = (code, usize::try_from(length)) {
        tape::cut(name(file), length);
    }
    code
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, flags: c_int) -> c_int {
    may_fail!(Sync);
    let code = of_file!(file.xSync(flags));
    if code == ffi::SQLITE_OK {
        tape::synced(name(file));
    }
    code
}

unsafe extern "C" fn file_size(file: *mut sqlite3_file, out: *mut sqlite3_int64) -> c_int {
    may_fail!(Size);
    of_file!(file.xFileSize(out))
}

unsafe extern "C" fn lock(file: *mut sqlite3_file, level: c_int) -> c_int {
    may_fail!(Lock);
    of_file!(file.xLock(level))
}

unsafe extern "C" fn unlock(file: *mut sqlite3_file, level: c_int) -> c_int {
    of_file!(file.xUnlock(level))
}

unsafe extern "C" fn check_reserved_lock(file: *mut sqlite3_file, out: *mut c_int) -> c_int {
    of_file!(file.xCheckReservedLock(out))
}

unsafe extern "C" fn file_control(file: *mut sqlite3_file, what: c_int, argument: *mut c_void) -> c_int {
    of_file!(file.xFileControl(what, argument))
}

unsafe extern "C" fn sector_size(file: *mut sqlite3_file) -> c_int {
    of_file!(file.xSectorSize())
}

unsafe extern "C" fn device_characteristics(file: *mut sqlite3_file) -> c_int {
    of_file!(file.xDeviceCharacteristics())
}

unsafe extern "C" fn shm_map(
    file: *mut sqlite3_file,
    region: c_int,
    size: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    may_fail!(MapShared);
    of_file!(file.xShmMap(region, size, extend, out))
}

unsafe extern "C" fn shm_lock(file: *mut sqlite3_file, offset: c_int, count: c_int, flags: c_int) -> c_int {
    // Giving a lock back does not fail.
    if flags & ffi::SQLITE_SHM_UNLOCK == 0 {
        may_fail!(LockShared);
    }
    of_file!(file.xShmLock(offset, count, flags))
}

unsafe extern "C" fn shm_barrier(file: *mut sqlite3_file) {
    let real = real_file(file);
    // SAFETY: as in `of_file`.
    if let Some(barrier) = unsafe { (*real).pMethods.as_ref() }.and_then(|methods| methods.xShmBarrier) {
        // SAFETY: as in `of_file`.
        unsafe { barrier(real) };
    }
}

unsafe extern "C" fn shm_unmap(file: *mut sqlite3_file, delete: c_int) -> c_int {
    of_file!(file.xShmUnmap(delete))
}
