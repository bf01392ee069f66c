//! Opening one connection: the recipe of SECURITY 7.3, in its order.

use super::keys::{BALANCED, DatabaseKey, erase_stack};
use super::{exit, migrate};
use crate::error::{PortalError, Reason};
use crate::ports::Files;
use crate::ports::directory::private_file;
use crate::proof::{planted, point};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::path::PathBuf;
use std::sync::Once;

/// Where the file is and what opens it.
#[derive(Clone)]
pub(crate) struct Opener {
    pub(crate) path: PathBuf,
    pub(crate) key: DatabaseKey,
}

/// KiB of page cache for the connection that writes and for the one that reads: 52 MiB together, of 64 that
/// an app may have. The cache decides the speed of an encrypted file, since a cached page is not decrypted
/// again (ADR 2), and screens read. A sync mostly appends: a large cache for it buys nothing and makes the
/// memory of a first sync grow with its length (ADR 12).
const WRITER_CACHE_KIB: u32 = 4 * 1024;
const READER_CACHE_KIB: u32 = 48 * 1024;

impl Opener {
    /// Opens for writing, creates and migrates.
    pub(crate) fn writer(&self) -> Result<Connection, PortalError> {
        let mut connection = self
            .connect(OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE, WRITER_CACHE_KIB)?;
        connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")?;
        point!("connection.logged");
        migrate::run(&mut connection)?;
        Ok(connection)
    }

    /// Opens a file that a writer has open.
    pub(crate) fn reader(&self) -> Result<Connection, PortalError> {
        let connection = self.connect(OpenFlags::SQLITE_OPEN_READ_WRITE, READER_CACHE_KIB)?;
        connection.execute_batch("PRAGMA query_only = ON;")?;
        Ok(connection)
    }

    /// Damage is believed when it is found twice: one read that fails at the wrong moment looks the
    /// same to SQLCipher as a wrong key, and what follows from damage is a file that is set aside.
    fn connect(&self, flags: OpenFlags, cache_kib: u32) -> Result<Connection, PortalError> {
        match self.connect_once(flags, cache_kib) {
            Err(PortalError::Storage { reason: Reason::Damaged }) => self.connect_once(flags, cache_kib),
            connected => connected,
        }
    }

    fn connect_once(&self, flags: OpenFlags, cache_kib: u32) -> Result<Connection, PortalError> {
        // The first use of SQLite in a process makes SQLCipher ready, and a second thread that comes meanwhile
        // does not wait for it: its key would be an error.
        static READY: Once = Once::new();
        READY.call_once(|| drop(Connection::open_in_memory()));
        // Before SQLite would make it with 0644; its `-wal` and `-shm` take the mode of the file.
        private_file(&self.path)?;
        point!("connection.file-made");
        let connection = Connection::open_with_flags(&self.path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        if !self.key.is_none() {
            // Before the key: without it SQLCipher leaves what it decrypted in freed memory.
            connection.execute_batch("PRAGMA cipher_memory_security = ON;")?;
            connection.execute_batch(&self.key.pragma())?;
            // Measured in ADR 2: pages of 16 KiB mean fewer seals and fewer allocations; HMAC-SHA256,
            // because every phone of today has SHA-256 instructions.
            connection.execute_batch(
                "PRAGMA cipher_page_size = 16384; PRAGMA cipher_hmac_algorithm = HMAC_SHA256; PRAGMA cipher_log_level = NONE;",
            )?;
        }
        // The tables of a simulation are small, and every look copies pages.
        #[cfg(feature = "simulation")]
        if self.key.is_none() {
            connection.execute_batch("PRAGMA page_size = 1024;")?;
        }
        // A wrong key or a damaged header shows at the first page.
        connection.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))?;
        exit::watch();
        point!("connection.keyed");
        connection.execute_batch(&format!(
            "PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY; PRAGMA foreign_keys = ON;
             PRAGMA trusted_schema = OFF; PRAGMA mmap_size = 0; PRAGMA cache_size = -{cache_kib};"
        ))?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        // Without it a statement with a bound LIMIT is prepared anew each time that it is bound.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        connection.set_prepared_statement_cache_capacity(128);
        Ok(connection)
    }
}

/// Where an owner's connections come from, and where they go.
pub(super) struct Source {
    pub(super) opener: Opener,
    pub(super) files: Files,
    /// For the owner that only reads.
    pub(super) reads: bool,
}

impl Source {
    pub(super) fn open(&self) -> Result<Connection, PortalError> {
        match &self.files {
            Files::Directory(..) if self.reads => self.opener.reader(),
            Files::Directory(..) => self.opener.writer(),
            #[cfg(feature = "simulation")]
            Files::Simulated(_, disk) => disk.open(&self.opener.path, &|path| {
                Opener { path: path.to_owned(), key: self.opener.key.clone() }.writer()
            }),
        }
    }

    /// Empties the log, closes, and writes over what SQLite left on the stack.
    pub(super) fn close(&self, connection: Connection) {
        match &self.files {
            Files::Directory(..) => {
                connection.flush_prepared_statement_cache();
                point!("close.begun");
                // Best effort: an open reader only means that the file keeps its log until later.
                let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
                point!("close.emptied");
                drop(connection);
                erase_stack::<BALANCED>();
            }
            #[cfg(feature = "simulation")]
            Files::Simulated(_, disk) => disk.close(connection),
        }
    }
}

impl From<rusqlite::Error> for PortalError {
    /// The one place that turns SQLite's errors into ours. No SQL and no value leaves here.
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Code;
        let reason = match error.sqlite_error_code() {
            Some(Code::DiskFull) => Reason::DiskFull,
            Some(Code::NotADatabase | Code::DatabaseCorrupt) => Reason::Damaged,
            Some(Code::DatabaseBusy | Code::DatabaseLocked) => Reason::InUse,
            Some(
                Code::CannotOpen
                | Code::PermissionDenied
                | Code::ReadOnly
                | Code::SystemIoFailure
                | Code::OutOfMemory,
            ) => Reason::FileUnavailable,
            // A value in a column is not what this version writes: the file is not what it should be.
            None if matches!(
                error,
                rusqlite::Error::FromSqlConversionFailure(..)
                    | rusqlite::Error::InvalidColumnType(..)
                    | rusqlite::Error::IntegralValueOutOfRange(..)
                    // A row that others refer to: who may miss one asks with `optional`.
                    | rusqlite::Error::QueryReturnedNoRows
            ) =>
            {
                Reason::Damaged
            }
            _ => return Self::bug(Reason::Impossible),
        };
        Self::storage(reason)
    }
}

impl From<std::io::Error> for PortalError {
    fn from(error: std::io::Error) -> Self {
        if planted!(FullDiskIsABug) && error.kind() == std::io::ErrorKind::StorageFull {
            return Self::bug(Reason::Impossible);
        }
        Self::storage(match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Reason::DiskFull,
            _ => Reason::FileUnavailable,
        })
    }
}
