//! The databases of one device. To open one and to prepare its statements would take a simulator a third
//! of its time: so a connection that a process gives up stays open for the next process, and a whole
//! database for the next run on the same thread, emptied. How a file is opened, closed, migrated and
//! recovered is for the lanes with real files.

use super::files::SimFiles;
use crate::phone::Scratch;
use crate::practice::locked;
use portal_core::PortalError;
use portal_core::ports::{FileSystem, Make};
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params_from_iter};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// One database, wherever a device believes that it is.
struct Database {
    place: PathBuf,
    /// What a process has open, while none has.
    idle: Option<Connection>,
    /// What the checks read with, while they do not.
    raw: Option<Connection>,
    /// What every table held when it was new.
    new: Vec<(String, Vec<Vec<Value>>)>,
}

/// What the checks read a database with.
pub(crate) struct Raw {
    name: String,
    pub(super) connection: Connection,
}

#[derive(Default)]
struct Spare {
    databases: Vec<Database>,
    made: u64,
    room: Option<Scratch>,
}

thread_local! {
    static SPARE: RefCell<Spare> = RefCell::default();
}

/// This thread makes no more runs.
pub(super) fn clear() {
    SPARE.take();
}

/// The databases of one device, by what is written in the file that stands for each.
#[derive(Default)]
pub(crate) struct Shelf(Mutex<BTreeMap<String, Database>>);

impl Shelf {
    /// A connection to what the file at `path` stands for; an empty file or none stands for a new one.
    pub(super) fn open(
        &self,
        files: &SimFiles,
        path: &Path,
        make: Make<'_>,
    ) -> Result<Connection, PortalError> {
        let name = said_in(files, path).unwrap_or_default();
        let mut databases = locked(&self.0);
        if let Some(known) = databases.get_mut(&name) {
            return known.idle.take().map_or_else(|| labelled(&known.place, make), Ok);
        }
        let (database, connection) = SPARE.with_borrow_mut(|spare| spare.take(make))?;
        let name = format!("{} {}", databases.len(), database.place.display());
        files.replace(path, name.as_bytes())?;
        databases.insert(name, database);
        Ok(connection)
    }

    /// Takes back what [`Shelf::open`] gave.
    pub(super) fn close(&self, connection: Connection) {
        let label = "SELECT place FROM temp.label";
        let place =
            connection.prepare_cached(label).and_then(|mut label| label.query_row([], |row| row.get(0)));
        let place = PathBuf::from(place.unwrap_or_else(|_| String::new()));
        let mut databases = locked(&self.0);
        let known = databases.values_mut().find(|known| known.place == place);
        if let Some(known) = known.filter(|known| known.idle.is_none() && connection.is_autocommit()) {
            known.idle = Some(connection);
        }
    }

    /// Whether a process has any of them open.
    pub(crate) fn has_open(&self) -> bool {
        locked(&self.0).values().any(|known| known.idle.is_none())
    }

    /// The checks' own connection to the database that the file at `path` stands for.
    pub(super) fn raw(&self, files: &SimFiles, path: &Path) -> Option<Raw> {
        let name = said_in(files, path)?;
        let mut databases = locked(&self.0);
        let known = databases.get_mut(&name)?;
        let connection = known.raw.take().or_else(|| {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            Connection::open_with_flags(&known.place, flags).ok()
        })?;
        Some(Raw { name, connection })
    }

    /// Takes it back.
    pub(super) fn put_raw(&self, raw: Raw) {
        if let Some(known) = locked(&self.0).get_mut(&raw.name) {
            known.raw = Some(raw.connection);
        }
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        let databases = std::mem::take(&mut *locked(&self.0)).into_values();
        let whole = databases.filter(|database| database.idle.is_some());
        // Where the thread ends there is no next run.
        let _ = SPARE.try_with(|spare| spare.borrow_mut().databases.extend(whole));
    }
}

impl Spare {
    fn take(&mut self, make: Make<'_>) -> Result<(Database, Connection), PortalError> {
        while let Some(mut spare) = self.databases.pop() {
            if let Some(connection) = spare.idle.take()
                && empty(&connection, &spare.new).is_ok()
            {
                return Ok((spare, connection));
            }
        }
        self.made += 1;
        let room = self.room.get_or_insert_with(Scratch::in_memory);
        let place = room.path().join(format!("{}.db", self.made));
        let connection = labelled(&place, make)?;
        // The statements of the checks come on top.
        connection.set_prepared_statement_cache_capacity(256);
        let new = content(&connection)?;
        Ok((Database { place, idle: None, raw: None, new }, connection))
    }
}

/// What is written in the file that stands for a database.
fn said_in(files: &SimFiles, path: &Path) -> Option<String> {
    String::from_utf8(files.read(path).ok()?).ok()
}

/// Opens a connection that tells by itself to which database.
fn labelled(place: &Path, make: Make<'_>) -> Result<Connection, PortalError> {
    let connection = make(place)?;
    connection.execute_batch("CREATE TEMP TABLE label (place TEXT)")?;
    connection.execute("INSERT INTO temp.label VALUES (?1)", [place.to_string_lossy()])?;
    Ok(connection)
}

/// All rows of all tables, without those that belong to an index of words.
fn content(connection: &Connection) -> rusqlite::Result<Vec<(String, Vec<Vec<Value>>)>> {
    let sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT GLOB 'message_words*'";
    let mut tables = connection.prepare(sql)?;
    let tables = tables.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    let mut content = Vec::new();
    for table in tables {
        let mut statement = connection.prepare(&format!("SELECT * FROM {table}"))?;
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| (0..columns).map(|at| row.get(at)).collect())?;
        content.push((table, rows.collect::<Result<_, _>>()?));
    }
    Ok(content)
}

/// Makes a used database a new one.
fn empty(connection: &Connection, new: &[(String, Vec<Vec<Value>>)]) -> rusqlite::Result<()> {
    let tx = connection.unchecked_transaction()?;
    tx.prepare_cached("INSERT INTO message_words (message_words) VALUES ('delete-all')")?.execute([])?;
    for (table, rows) in new {
        tx.prepare_cached(&format!("DELETE FROM {table}"))?.execute([])?;
        for row in rows {
            let places = vec!["?"; row.len()].join(", ");
            tx.prepare_cached(&format!("INSERT INTO {table} VALUES ({places})"))?
                .execute(params_from_iter(row))?;
        }
    }
    tx.commit()
}
