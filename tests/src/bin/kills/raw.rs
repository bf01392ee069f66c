//! The encrypted file, opened beside the core with the key of the development vault.

use crate::words::Rest;
use portal_core::ports::KeyVault;
use portal_core::store::SoftVault;
use rusqlite::Connection;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The page size of the file.
const PAGE: u64 = 16 * 1024;

type Fault = Box<dyn std::error::Error>;

/// The directory of the only person on this phone.
pub(crate) fn user(place: &Path) -> Option<PathBuf> {
    std::fs::read_dir(place.join("data/users")).ok()?.flatten().map(|entry| entry.path()).next()
}

fn open(place: &Path) -> Result<(PathBuf, Connection), Fault> {
    let user = user(place).ok_or("nobody's records are here")?;
    let alias = user.file_name().and_then(|name| name.to_str()).ok_or("a name")?.to_owned();
    let vault = SoftVault::open(&place.join("keys"), SoftVault::NAME)?;
    let master = vault.unwrap(alias, std::fs::read(user.join("master.key"))?)?;
    let mut key = [0; 32];
    // Version and seal stand before the key (SECURITY 7.2).
    ring::hkdf::Salt::new(ring::hkdf::HKDF_SHA256, &[])
        .extract(master.get(33..).ok_or("a short key")?)
        .expand(&[b"db/v1"], ring::hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut key))
        .map_err(|_| "no key")?;
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let file = user.join("portal.db");
    let connection = Connection::open(&file)?;
    connection.execute_batch(&format!(
        "PRAGMA key = \"x'{hex}'\"; PRAGMA cipher_page_size = {PAGE}; PRAGMA cipher_hmac_algorithm = HMAC_SHA256;"
    ))?;
    Ok((file, connection))
}

/// Everything that has to be as the practice has it.
pub(crate) fn rest(place: &Path) -> Result<Rest, Fault> {
    let (_, c) = open(place)?;
    let count = |sql: &str| c.query_row(sql, [], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs);
    let mut rest = Rest {
        outbox: count("SELECT count(*) FROM outbox")?,
        quarantined: count("SELECT count(*) FROM quarantined")?,
        staged: count("SELECT count(*) FROM staged")?,
        ..Rest::default()
    };
    let mut sql = "SELECT entity, id, seq, ver, body FROM parked".to_owned();
    for table in ["practice", "client", "staff", "thread", "message", "read_mark"] {
        sql.push_str(&format!(" UNION ALL SELECT '{table}', id, seq, ver, body FROM {table}"));
    }
    let mut select = c.prepare(&sql)?;
    let rows = select.query_map([], |row| {
        let id = uuid::Uuid::from_bytes(row.get(1)?).to_string();
        let (seq, ver): (i64, i64) = (row.get(2)?, row.get(3)?);
        Ok((row.get(0)?, id, seq.unsigned_abs(), ver.unsigned_abs(), row.get(4)?))
    })?;
    rest.rows = rows.collect::<Result<_, _>>()?;
    let mut select = c.prepare("SELECT key, body FROM draft")?;
    rest.drafts = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    Ok(rest)
}

/// Damages the page that every read of messages begins with. What only this device has stays readable.
pub(crate) fn spoil(place: &Path) -> Result<(), Fault> {
    // In the middle of a repair there is nothing to damage; opening it would make a file.
    let whole = |user: &PathBuf| user.join("portal.db").exists() && !user.join("repaired.db").exists();
    if !user(place).as_ref().is_some_and(whole) {
        return Ok(());
    }
    let (file, connection) = open(place)?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    let root: i64 = connection.query_row(
        "SELECT rootpage FROM sqlite_master WHERE type = 'table' AND name = 'message'",
        [],
        |row| row.get(0),
    )?;
    connection.close().map_err(|(_, error)| error)?;
    File::options()
        .write(true)
        .open(file)?
        .write_all_at(b"these bytes were never sealed", (root.unsigned_abs() - 1) * PAGE + 64)?;
    Ok(())
}
