//! One phone: its hardware, and the process on it that may be killed at any time.
#![allow(clippy::indexing_slicing, reason = "what a JSON value lacks is null")]

use super::disk::{Keys, SimDisk, SimVault};
use super::files::SimFiles;
use super::practice_side::{PASSWORD, Person};
use super::shelf::{Raw, Shelf};
use super::shell::Shell;
use super::tasks::{Process, Tasks};
use super::time::{DeviceClock, Time};
use super::wire::{Line, Wire};
use crate::phone::{browse_with, config, page};
use crate::practice::{SeededEntropy, locked};
use portal_core::ports::{FileSystem, Files, KeyVault, Ports};
use portal_core::runtime::Mode;
use portal_core::{Portal, PortalError};
use portal_server_mock::World;
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// Where the app keeps its files.
const HOME: &str = "/phone";
/// The name of the key that needs no person.
const INSTALL_KEY: &str = "portal-install";
/// The name of a person's records in their directory.
pub(crate) const DATABASE: &str = "portal.db";

/// One phone.
pub(crate) struct Device {
    /// Which.
    pub(crate) index: usize,
    /// How often its app was started.
    pub(crate) starts: u32,
    /// Its clocks.
    pub(crate) clock: Arc<DeviceClock>,
    /// Its present process's disk.
    pub(crate) disk: Arc<SimDisk>,
    /// The app, while it runs.
    pub(crate) portal: Option<Arc<Portal>>,
    /// What its screen shows.
    pub(crate) shell: Shell,
    /// Suspended by the system.
    pub(crate) suspended: bool,
    /// Signing in, out, locking or unlocking.
    pub(crate) at_the_door: bool,
    /// How often somebody was there.
    pub(crate) doors: u32,
    /// Its last sync was a whole one.
    pub(crate) in_step: bool,
    /// Commits when the checks last looked.
    pub(crate) seen_commits: u64,
    /// How often they looked at it since.
    pub(crate) looks: u32,
    /// Something else than a commit may have changed what is seen.
    pub(crate) look_again: bool,
    keys: Arc<Keys>,
    /// Its small files.
    pub(crate) files: SimFiles,
    /// Its databases.
    pub(crate) shelf: Arc<Shelf>,
    /// Nothing new has room on it.
    pub(crate) full: Arc<AtomicBool>,
    /// The checks' own connections to them, by directory.
    raw: BTreeMap<PathBuf, Raw>,
    seed: u64,
}

impl Device {
    /// One that was never used.
    pub(crate) fn new(index: usize, seed: u64, time: &Arc<Time>) -> Self {
        Self {
            index,
            starts: 0,
            clock: Arc::new(DeviceClock::new(time)),
            disk: Arc::default(),
            portal: None,
            shell: Shell::default(),
            suspended: false,
            at_the_door: false,
            doors: 0,
            in_step: false,
            seen_commits: 0,
            looks: 0,
            look_again: false,
            keys: Arc::default(),
            files: SimFiles::default(),
            shelf: Arc::default(),
            full: Arc::default(),
            raw: BTreeMap::new(),
            seed,
        }
    }

    /// The process that runs, or ran last.
    pub(crate) fn process(&self) -> Process {
        (self.index, self.starts)
    }

    /// Starts the app.
    ///
    /// # Errors
    /// What the core answers; there is nothing here that may make it fail.
    pub(crate) fn start(&mut self, tasks: &Tasks, wire: &Arc<Mutex<Wire>>) -> Result<(), PortalError> {
        self.starts += 1;
        self.disk = Arc::new(SimDisk::with(&self.files, &self.shelf, &self.full));
        self.seen_commits = 0;
        self.look_again = true;
        (self.suspended, self.at_the_door) = (false, false);
        let entropy =
            self.seed.wrapping_mul(1_000).wrapping_add(u64::from(self.starts) * 10 + self.index as u64);
        let ports = Ports {
            transport: Arc::new(Line {
                process: self.process(),
                disk: self.disk.clone(),
                wire: wire.clone(),
            }),
            clock: self.clock.clone(),
            entropy: Arc::new(SeededEntropy::new(entropy)),
            vault: Arc::new(SimVault::of(&self.keys, self.disk.fate())),
            files: Files::Simulated(HOME.into(), self.disk.clone()),
        };
        let background = Arc::new(tasks.spawner(self.process()));
        let portal = Portal::open_with(&config(Path::new(HOME)), ports, Mode::Stepped(background))?;
        self.shell = Shell::of(&portal);
        self.portal = Some(portal);
        Ok(())
    }

    /// Kills the process: its memory is gone, and nothing more is written.
    pub(crate) fn kill(&mut self, tasks: &mut Tasks, wire: &Arc<Mutex<Wire>>) {
        self.disk.kill();
        tasks.kill(self.process());
        locked(wire).kill(self.process());
        self.shell = Shell::default();
        self.portal = None;
    }

    /// A battery that ran out: the boot clock begins anew.
    pub(crate) fn switch_off(&self, time: &Time) {
        self.clock.booted.store(time.now(), Ordering::Relaxed);
    }

    /// What the app knows of whose records are here.
    fn install(&self) -> Option<serde_json::Value> {
        let sealed = self.files.read(&Path::new(HOME).join("install")).ok()?;
        let vault = SimVault::of(&self.keys, self.disk.fate());
        serde_json::from_slice(&vault.unwrap(INSTALL_KEY.to_owned(), sealed).ok()?).ok()
    }

    /// A key, a directory or a mark of somebody who is not known here any more.
    pub(crate) fn remains(&self) -> Option<String> {
        let content = self.install().unwrap_or_default();
        let known = |name: &String| {
            let accounts = content["accounts"].as_array();
            accounts.into_iter().flatten().any(|account| account["directory"] == name.as_str())
        };
        let home = Path::new(HOME);
        let marks = self.files.names(home).unwrap_or_default().into_iter();
        let mut marks = marks.filter(|name| name.starts_with("wiping-"));
        let directories = self.files.names(&home.join("users")).unwrap_or_default();
        let keys = self.keys.names().into_iter().filter(|name| name != INSTALL_KEY);
        marks.next().or_else(|| keys.chain(directories).find(|name| !known(name)))
    }

    /// Where the records are that an unlock would open, if there are any.
    pub(crate) fn current(&self) -> Option<PathBuf> {
        let (home, content) = (Path::new(HOME), self.install()?);
        let directory = home.join("users").join(content["current"].as_str()?);
        self.has_records(&directory).then_some(directory)
    }

    /// Whether there is a database in there.
    pub(crate) fn has_records(&self, directory: &Path) -> bool {
        self.files.stamp(&directory.join(DATABASE)).is_ok_and(|stamp| stamp.is_some())
    }

    /// The database in there, which must be there, read beside the core.
    pub(crate) fn raw(&mut self, directory: &Path) -> Option<&Connection> {
        if !self.raw.contains_key(directory) {
            self.raw.insert(directory.to_owned(), self.shelf.raw(&self.files, &directory.join(DATABASE))?);
        }
        self.raw.get(directory).map(|raw| &raw.connection)
    }

    /// Whose records are in there.
    pub(crate) fn owner(&mut self, directory: &Path, people: &[Person]) -> Option<usize> {
        let sql = "SELECT login_id FROM session";
        let login: String = self.raw(directory)?.query_row(sql, [], |row| row.get(0)).ok()?;
        people.iter().position(|person| person.login == login)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        std::mem::take(&mut self.raw).into_values().for_each(|raw| self.shelf.put_raw(raw));
    }
}

/// Signs in, with a browser and its pages in between.
///
/// # Errors
/// What the core answers.
pub(crate) async fn sign_in(
    portal: Arc<Portal>,
    world: Arc<Mutex<World>>,
    time: Arc<Time>,
    login: String,
) -> Result<(), PortalError> {
    let url = portal.account().sign_in_begin().await?;
    let ask = |request| page(&request, &mut locked(&world), time.server());
    let redirect = browse_with(ask, &url, &login, PASSWORD).unwrap_or_default();
    portal.account().sign_in_finish(redirect).await
}
