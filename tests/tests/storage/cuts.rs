//! Power cuts: a script is played once on a recorded disk; then every moment of it is cut, in every way
//! in which the disk may have kept and lost what was not synced, and the phone opened again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use super::check::{self, Wrong};
use super::script::{self, Act, Ledger};
use super::{Keys, Rig, Vault};
use crate::lab;
use portal_server_mock::World;
use portal_test_vfs::{self as vfs, Disk, Event, Image};
use portal_tests::phone::Scratch;
use portal_tests::practice::{Practice, VirtualClock, locked};
use rand::{Rng as _, SeedableRng};
use rand_chacha::ChaCha20Rng;
use ring::digest::{Context, SHA256};
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Random fates of one moment.
const SUBSETS: usize = 8;

/// The ways in which a cut treats what was not synced: nothing of it is there, all of it, the first so
/// many writes, all but some sectors of the last one, a random subset.
pub const POLICIES: usize = 5;

/// Everything around the disk at one moment. The practice and the key store outlive the cut as they were
/// then: a request is there or not, and nothing of it happens while the phone writes.
#[derive(Clone)]
struct Moment {
    /// Acts that were answered.
    acts: usize,
    world: usize,
    keys: usize,
}

/// A script as it was played.
pub struct Played {
    script: Vec<Act>,
    events: Vec<Event>,
    /// After so many events, in order.
    moments: Vec<(usize, Moment)>,
    worlds: Vec<(World, VirtualClock)>,
    keys: Vec<Keys>,
    /// What was promised after so many acts.
    ledgers: Vec<Ledger>,
    /// The name of the user's database, and its key.
    database: String,
    key: [u8; 32],
}

#[derive(Default)]
struct Notes {
    moments: Vec<(usize, Moment)>,
    worlds: Vec<(World, VirtualClock)>,
    keys: Vec<Keys>,
    acts: usize,
}

impl Notes {
    fn note(&mut self) {
        let (world, keys) = (self.worlds.len() - 1, self.keys.len() - 1);
        self.moments.push((vfs::mark(), Moment { acts: self.acts, world, keys }));
    }

    fn world(&mut self, practice: &Practice) {
        self.worlds.push((locked(&practice.world).clone(), practice.clock.fork()));
        self.note();
    }
}

/// Plays a script on this thread. From the act `lies_from` on the disk says that it synced, and did not.
pub fn play(script: Vec<Act>, messages: usize, lies_from: Option<usize>) -> Played {
    vfs::install();
    let (scratch, practice, vault) = (Scratch::new(), super::practice(messages), Vault::of(Keys::new()));
    let notes = Arc::new(Mutex::new(Notes { keys: vec![Keys::new()], ..Notes::default() }));
    let mut rig = Rig::new(&practice, &vault, scratch.path(), 1);
    vfs::record(scratch.path());
    locked(&notes).world(&practice);
    let noting = notes.clone();
    rig.net.after(Box::new(move |practice| locked(&noting).world(practice)));
    let noting = notes.clone();
    vault.after_create(Box::new(move |keys| {
        let mut notes = locked(&noting);
        notes.keys.push(keys.clone());
        notes.note();
    }));
    rig.open().unwrap();
    let mut ledgers = vec![Ledger::default()];
    for (number, act) in script.iter().enumerate() {
        vfs::swallow_syncs(lies_from.is_some_and(|from| number >= from));
        let mut ledger = ledgers.last().unwrap().clone();
        act.perform(&mut rig).unwrap_or_else(|error| panic!("{act:?}: {error}"));
        act.promise(&mut ledger, &rig);
        ledgers.push(ledger);
        let mut notes = locked(&notes);
        notes.acts += 1;
        notes.world(&practice);
    }
    vfs::swallow_syncs(false);
    let events = vfs::stop().events;
    let user = lab::users(scratch.path()).remove(0);
    let database = format!("users/{}/portal.db", lab::name(&user));
    let key = lab::database_key(&lab::master_key(&user, vault.as_ref()));
    drop(rig);
    let Notes { moments, worlds, keys, .. } = std::mem::take(&mut *locked(&notes));
    Played { script, events, moments, worlds, keys, ledgers, database, key }
}

/// What came of all cuts.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Moments, each with each of its fates.
    pub cuts: usize,
    /// Images of a disk.
    pub images: usize,
    /// What SQLite made of them: so many different phones were opened and checked.
    pub phones: usize,
    /// Of these, those that had to sign in again.
    pub signed_in_again: usize,
    /// Of these, those on which the act under way had been done.
    pub act_was_done: usize,
    /// What was wrong, with where.
    pub wrong: Vec<(String, Wrong)>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.cuts += other.cuts;
        self.images += other.images;
        self.phones += other.phones;
        self.signed_in_again += other.signed_in_again;
        self.act_was_done += other.act_was_done;
        self.wrong.extend(other.wrong);
    }

    /// How many phones were of this kind.
    pub fn count(&self, kind: fn(&Wrong) -> bool) -> usize {
        self.wrong.iter().filter(|(_, wrong)| kind(wrong)).count()
    }
}

/// One sort of phone: the disk as SQLite reads it, and everything around it.
type Sort = ([u8; 32], usize, usize, usize);

/// Cuts everywhere from an act on, with so many threads; `progress` is called once for every event.
pub fn cut(played: &Played, from: usize, threads: usize, seed: u64, progress: impl Fn() + Sync) -> Tally {
    let first = played.moments.iter().find(|(_, moment)| moment.acts == from).map_or(0, |(at, _)| *at);
    let (next, seen, tally) =
        (AtomicUsize::new(first), Mutex::new(HashSet::new()), Mutex::new(Tally::default()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut cutter = Cutter::new(played, &seen);
                let mut played_to = 0;
                loop {
                    let at = next.fetch_add(1, Ordering::SeqCst);
                    if at > played.events.len() {
                        break;
                    }
                    played.events[played_to..at].iter().for_each(|event| cutter.disk.play(event));
                    played_to = at;
                    cutter.cut_after(at, seed);
                    progress();
                }
                locked(&tally).add(cutter.tally);
            });
        }
    });
    tally.into_inner().unwrap()
}

struct Cutter<'a> {
    played: &'a Played,
    disk: Disk,
    scratch: Scratch,
    seen: &'a Mutex<HashSet<Sort>>,
    tally: Tally,
}

impl<'a> Cutter<'a> {
    fn new(played: &'a Played, seen: &'a Mutex<HashSet<Sort>>) -> Self {
        let (disk, scratch, tally) = (Disk::default(), Scratch::new(), Tally::default());
        Self { played, disk, scratch, seen, tally }
    }

    /// All cuts between this event and the next one.
    fn cut_after(&mut self, at: usize, seed: u64) {
        let here: Vec<Moment> = self.played.moments_after(at);
        let event = at.checked_sub(1).map(|last| &self.played.events[last]);
        for fates in self.fates(at, event, here.len() > 1, seed) {
            self.tally.images += 1;
            self.tally.cuts += here.len();
            let image = self.disk.image(&fates);
            let read = self.as_sqlite_reads_it(&image);
            for moment in &here {
                let sort = (read, moment.acts, moment.world, moment.keys);
                if locked(self.seen).insert(sort) {
                    self.open(&image, moment, &format!("event {at} {event:?}", event = brief(event)), &fates);
                }
            }
        }
    }

    /// `promised`: something was answered since the event, so that what may be kept has to be looked at
    /// again. After any other event but a sync, shorter prefixes are those of the event before.
    fn fates(&self, at: usize, event: Option<&Event>, promised: bool, seed: u64) -> Vec<Vec<u64>> {
        let waiting = self.disk.waiting();
        let mut fates = vec![self.disk.first(0), self.disk.first(waiting)];
        if promised || matches!(event, Some(Event::Synced { .. })) {
            fates.extend((1..waiting).map(|kept| self.disk.first(kept)));
        }
        fates.extend(self.disk.torn());
        let mut random = ChaCha20Rng::seed_from_u64(seed ^ (at as u64) << 20);
        fates.extend((0..SUBSETS).map(|_| self.disk.random(|| random.next_u64())));
        let mut seen = HashSet::new();
        fates.retain(|fates| seen.insert(fates.clone()));
        fates
    }

    /// The image after SQLite's own recovery, as a digest: what a torn or lost write of the log changes
    /// in bytes, and not in what anybody can read, is the same phone.
    fn as_sqlite_reads_it(&self, image: &Image) -> [u8; 32] {
        image.lay_out(self.scratch.path()).unwrap();
        let file = self.scratch.path().join(&self.played.database);
        let mut digest = Context::new(&SHA256);
        let recovered = file.exists() && recover(&file, &self.played.key).is_ok();
        let (read, log) = (std::fs::read(&file), std::fs::read(wal(&file)));
        digest.update(&[u8::from(recovered)]);
        for bytes in [read.unwrap_or_default(), log.unwrap_or_default()] {
            digest.update(&bytes.len().to_le_bytes());
            digest.update(&bytes);
        }
        for (name, bytes) in image.small.iter() {
            digest.update(name.as_bytes());
            digest.update(&bytes.len().to_le_bytes());
            digest.update(bytes);
        }
        digest.finish().as_ref().try_into().unwrap()
    }

    fn open(&mut self, image: &Image, moment: &Moment, place: &str, fates: &[u64]) {
        let played = self.played;
        image.lay_out(self.scratch.path()).unwrap();
        let (world, clock) = &played.worlds[moment.world];
        let practice = Practice::of(world.clone(), Arc::new(clock.fork()));
        let vault = Vault::of(played.keys[moment.keys].clone());
        let mut rig = Rig::new(&practice, &vault, self.scratch.path(), 77);
        rig.texts = script::texts(&played.script);
        let before = &played.ledgers[moment.acts];
        let after = played.ledgers.get(moment.acts + 1).unwrap_or(before);
        self.tally.phones += 1;
        match check::reopened(&mut rig, before, after) {
            Ok(passed) => {
                self.tally.signed_in_again += usize::from(passed.signed_in_again);
                self.tally.act_was_done += usize::from(passed.act_was_done);
            }
            Err(wrong) => {
                let act = played.script.get(moment.acts);
                let kept: Vec<String> = fates.iter().map(|fate| format!("{fate:x}")).collect();
                self.tally.wrong.push((format!("{place}, in {act:?}, kept [{}]", kept.join(" ")), wrong));
            }
        }
    }
}

impl Played {
    /// What stands around the disk after so many events: as after the last one, and everything that
    /// happened before the next.
    fn moments_after(&self, events: usize) -> Vec<Moment> {
        let end = self.moments.partition_point(|(at, _)| *at <= events);
        let start = self.moments.partition_point(|(at, _)| *at < events);
        let mut here: Vec<Moment> =
            self.moments[start.saturating_sub(1)..end].iter().map(|(_, moment)| moment.clone()).collect();
        if here.is_empty() {
            // Before anything was noted: the practice as it was, and no key.
            here.push(Moment { acts: 0, world: 0, keys: 0 });
        }
        here
    }

    /// How many events there are.
    pub fn events(&self) -> usize {
        self.events.len()
    }

    /// How many events there are of each kind.
    pub fn kinds(&self) -> BTreeMap<String, usize> {
        let mut kinds = BTreeMap::new();
        for event in &self.events {
            let kind = brief(Some(event)).split(' ').next().unwrap().to_lowercase();
            *kinds.entry(kind).or_default() += 1;
        }
        kinds
    }
}

fn brief(event: Option<&Event>) -> String {
    match event {
        None => "start".into(),
        Some(Event::Made { name, .. }) => format!("Made {name}"),
        Some(Event::Removed { name }) => format!("Removed {name}"),
        Some(Event::Wrote { file, at, bytes }) => format!("Wrote {file} at {at} {}", bytes.len()),
        Some(Event::Cut { file, length }) => format!("Cut {file} to {length}"),
        Some(Event::Synced { file }) => format!("Synced {file}"),
        Some(Event::Small(_)) => "Small files".into(),
    }
}

fn wal(file: &Path) -> std::path::PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

fn recover(file: &Path, key: &[u8; 32]) -> rusqlite::Result<()> {
    let connection = rusqlite::Connection::open(file)?;
    connection.execute_batch(&format!(
        "PRAGMA key = \"x'{}'\"; PRAGMA cipher_page_size = 16384; PRAGMA cipher_hmac_algorithm = HMAC_SHA256;
         PRAGMA synchronous = OFF;",
        lab::hex(key)
    ))?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}
