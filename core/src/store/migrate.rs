//! Numbered migrations, each in one transaction with its `user_version`.

use crate::error::{PortalError, Reason};
use crate::proof::point;
use rusqlite::{Connection, TransactionBehavior};

/// Every migration, in order; number `n` brings the file to `user_version` `n`. A released one is
/// never edited: `tests/` upgrades a frozen file of every released version.
const MIGRATIONS: &[&str] =
    &[include_str!("migrations/001_initial.sql"), include_str!("migrations/002_install_of_tokens.sql")];

/// Brings the file to this version.
///
/// # Errors
/// `Storage { newer_version }` when a newer app wrote it; the file is left as it is.
pub(crate) fn run(connection: &mut Connection) -> Result<(), PortalError> {
    let version: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version as usize > MIGRATIONS.len() {
        return Err(PortalError::storage(Reason::NewerVersion));
    }
    for (number, sql) in (1u32..).zip(MIGRATIONS).skip(version as usize) {
        let tx = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
        point!("migrate.begun");
        tx.execute_batch(sql)?;
        point!("migrate.made");
        tx.pragma_update(None, "user_version", number)?;
        point!("migrate.numbered");
        tx.commit()?;
        point!("migrate.committed");
    }
    Ok(())
}
