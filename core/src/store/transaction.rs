//! One transaction, whose `BEGIN` and `COMMIT` are prepared once a connection.

use crate::error::PortalError;
use rusqlite::Connection;
use std::ops::Deref;

/// A transaction under way; dropped without [`Transaction::commit`] nothing of it happened.
pub(crate) struct Transaction<'c> {
    connection: &'c Connection,
}

impl<'c> Transaction<'c> {
    /// One that writes: it waits here for another writer, and never in the middle.
    pub(crate) fn write(connection: &'c mut Connection) -> Result<Self, PortalError> {
        Self::begin(connection, "BEGIN IMMEDIATE")
    }

    /// One snapshot of the file.
    pub(crate) fn read(connection: &'c mut Connection) -> Result<Self, PortalError> {
        Self::begin(connection, "BEGIN")
    }

    // `&mut`, so that there is one at a time.
    fn begin(connection: &'c mut Connection, sql: &str) -> Result<Self, PortalError> {
        connection.prepare_cached(sql)?.execute([])?;
        Ok(Self { connection })
    }

    pub(crate) fn commit(self) -> Result<(), PortalError> {
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }
}

impl Deref for Transaction<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        // After a commit, and where SQLite has rolled it back by itself, there is nothing to end.
        if !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
    }
}
