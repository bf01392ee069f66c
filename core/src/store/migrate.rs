//! Numbered migrations, each in one transaction with its `user_version`.

use crate::error::{PortalError, Reason};
use crate::proof::point;
use rusqlite::{Connection, TransactionBehavior};

/// Every migration, in order; number `n` brings the file to `user_version` `n`. A released one is
/// never edited: `tests/` upgrades a frozen file of every released version.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/001_initial.sql"),
    include_str!("migrations/002_install_of_tokens.sql"),
    include_str!("migrations/003_staged_pages.sql"),
    include_str!("migrations/004_one_page_a_write.sql"),
];

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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn a_pull_that_an_older_version_began_begins_again() {
        let mut connection = Connection::open_in_memory().unwrap();
        for sql in &MIGRATIONS[..2] {
            connection.execute_batch(sql).unwrap();
        }
        connection
            .execute_batch(
                "PRAGMA user_version = 2;
                 UPDATE feed SET cursor = 'kept', checkpoint = 7, pull_epoch = 'e', pull_next = 'lost', pull_checkpoint = 9;
                 INSERT INTO staged (seq, entity, id, ver, body) VALUES (8, 'thread', 'x', 1, '{}');
                 INSERT INTO staged_ack VALUES ('messages', 3);",
            )
            .unwrap();
        run(&mut connection).unwrap();
        let place: (String, i64, Option<String>, Option<String>, Option<i64>) = connection
            .query_row(
                "SELECT cursor, checkpoint, pull_epoch, pull_next, pull_checkpoint FROM feed",
                [],
                |row| row.try_into(),
            )
            .unwrap();
        assert_eq!(place, ("kept".to_owned(), 7, None, None, None));
        let left: i64 = connection
            .query_row(
                "SELECT (SELECT count(*) FROM staged) + (SELECT count(*) FROM staged_ack)",
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(left, 0);
    }
}
