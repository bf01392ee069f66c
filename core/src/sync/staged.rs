//! The pages of a pull under way, each kept as it came in one row. They are written and read in place: as
//! values SQLCipher would hold three copies of each and erase them all (ADR 16). The column is declared as text,
//! and may hold some that was written so.

use crate::error::{PortalError, Reason};
use crate::store::Transaction;
use rusqlite::blob::{Blob, ZeroBlob};
use rusqlite::{Connection, MAIN_DB, OptionalExtension};
use serde_json::value::RawValue;

/// Between two changes (RFC 7464): JSON has it nowhere.
const SEPARATOR: char = '\u{1e}';

/// Keeps a page's changes.
pub(super) fn put(tx: &Transaction<'_>, changes: &[&RawValue]) -> Result<(), PortalError> {
    let mut text = String::with_capacity(changes.iter().map(|raw| raw.get().len() + 1).sum());
    for raw in changes {
        if !text.is_empty() {
            text.push(SEPARATOR);
        }
        text.push_str(raw.get());
    }
    tx.prepare_cached("INSERT INTO staged (changes) VALUES (?1)")?.execute([ZeroBlob(text.len() as u64)])?;
    Ok(open(tx, tx.last_insert_rowid(), false)?.write_all_at(text.as_bytes(), 0)?)
}

/// Hands out every change, in order. A page leaves before its changes are applied, so that the rows take the
/// room that it had.
pub(super) fn take(
    tx: &Transaction<'_>,
    mut apply: impl FnMut(&str) -> Result<(), PortalError>,
) -> Result<(), PortalError> {
    let mut next = tx.prepare_cached("SELECT pk FROM staged ORDER BY pk LIMIT 1")?;
    let mut gone = tx.prepare_cached("DELETE FROM staged WHERE pk = ?1")?;
    while let Some(pk) = next.query_row([], |row| row.get(0)).optional()? {
        let page = open(tx, pk, true)?;
        let mut text = vec![0; page.len()];
        page.read_at_exact(&mut text, 0)?;
        drop(page);
        gone.execute([pk])?;
        let text = std::str::from_utf8(&text).map_err(|_| PortalError::storage(Reason::Damaged))?;
        // A page without changes has no text.
        text.split(SEPARATOR).filter(|raw| !raw.is_empty()).try_for_each(&mut apply)?;
    }
    Ok(())
}

fn open(c: &Connection, pk: i64, read_only: bool) -> Result<Blob<'_>, PortalError> {
    Ok(c.blob_open(MAIN_DB, c"staged", c"changes", pk, read_only)?)
}
