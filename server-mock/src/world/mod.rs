//! The state of a practice, and everything that its staff can do to it.
//!
//! What staff do are methods of [`World`]; what a phone or a browser can do comes through
//! [`handle`](crate::handle) and no other way.

mod access;
mod enrollment;
mod execute;
mod faults;
mod feed;
mod lanes;
mod lockouts;
mod mailbox;
mod messages;
mod people;
mod records;
mod threads;
mod tokens;

pub use faults::Faults;
pub use feed::FeedRow;
pub use records::*;
pub use threads::{Message, Thread};

pub(crate) use access::{Caller, SignInRefusal, TokenRefusal};
pub(crate) use enrollment::{Enrollment, EnrollmentRefusal, LinkState};
pub(crate) use execute::{OpAnswer, OpRequest, OpsRefusal};
pub(crate) use faults::{After, FaultPlan, Instead};
pub(crate) use feed::{Body, Cursor, Entity, Entry, Feed, Pull, UnderWay, Why};
pub(crate) use lanes::{OpIdentity, OpProblem, OpResult, Status};
pub(crate) use tokens::{Grant, GrantRefusal, Redemption, TokenReply, Transaction};

use crate::rules::secrets::{self, Digest, PasswordHash};
use chrono::{DateTime, Utc};
use enrollment::Invitation;
use lanes::Lanes;
use lockouts::Lockouts;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    num::NonZeroU32,
    sync::Arc,
};
use tokens::Tokens;
use uuid::Uuid;

/// A whole practice in memory. A clone is a backup: put it back and call [`World::bump_epoch`], as
/// after a restore.
#[derive(Clone)]
pub struct World {
    setup: Setup,
    rng: ChaCha20Rng,
    epoch: Uuid,
    practice: PracticeRecord,
    staff: BTreeMap<Uuid, Staff>,
    routes: BTreeMap<Route, Vec<Uuid>>,
    clients: BTreeMap<Uuid, Client>,
    accounts: BTreeMap<Uuid, Account>,
    /// Comparable login id to account.
    login_ids: HashMap<String, Uuid>,
    invitations: HashMap<Digest, Invitation>,
    threads: BTreeMap<Uuid, Thread>,
    /// Message id to its thread and place there.
    messages: HashMap<Uuid, (Uuid, usize)>,
    /// Appointment id to client.
    appointments: BTreeMap<Uuid, Uuid>,
    notes: Vec<PsychotherapyNote>,
    mails: Vec<Mail>,
    effects: Vec<Effect>,
    tokens: Tokens,
    sign_in_failures: Lockouts,
    enrollment_failures: Lockouts,
    /// What a password is checked against where there is none, so that it takes as long.
    decoy: PasswordHash,
    faults: FaultPlan,
    min_core_version: Option<(u64, u64, u64)>,
}

/// A portal user: one client's login, sessions, feed and op counters.
#[derive(Clone)]
pub(crate) struct Account {
    pub(crate) id: Uuid,
    pub(crate) client: Uuid,
    pub(crate) login_id: String,
    pub(crate) password: Option<PasswordHash>,
    pub(crate) access: Access,
    /// The newest invitation.
    pub(crate) invitation: Option<Digest>,
    /// Installs that this user has signed in from.
    pub(crate) installs: BTreeSet<Uuid>,
    pub(crate) logins: Vec<LoginEvent>,
    pub(crate) feed: Feed,
    pub(crate) lanes: Lanes,
}

/// A clinician's private note. It belongs to no entity of the feed and no API reads it
/// (45 CFR 164.501 keeps such notes apart).
#[derive(Clone)]
struct PsychotherapyNote {
    client: Uuid,
    text: String,
}

impl World {
    /// A practice that nobody works at and nobody visits yet.
    pub fn new(setup: Setup, practice: PracticeRecord) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(setup.seed);
        let mut salt = [0; 16];
        rng.fill_bytes(&mut salt);
        let decoy = PasswordHash::new("", salt, iterations(&setup));
        let epoch = random_uuid(&mut rng);
        Self {
            setup,
            rng,
            epoch,
            practice,
            staff: BTreeMap::new(),
            routes: BTreeMap::new(),
            clients: BTreeMap::new(),
            accounts: BTreeMap::new(),
            login_ids: HashMap::new(),
            invitations: HashMap::new(),
            threads: BTreeMap::new(),
            messages: HashMap::new(),
            appointments: BTreeMap::new(),
            notes: Vec::new(),
            mails: Vec::new(),
            effects: Vec::new(),
            tokens: Tokens::default(),
            sign_in_failures: Lockouts::default(),
            enrollment_failures: Lockouts::default(),
            decoy,
            faults: FaultPlan::default(),
            min_core_version: None,
        }
    }

    /// The practice as phones see it.
    pub fn practice(&self) -> &PracticeRecord {
        &self.practice
    }

    /// The address of this practice, without a trailing slash.
    pub fn issuer(&self) -> &str {
        &self.setup.issuer
    }

    /// The present epoch of all feeds and counters.
    pub fn epoch(&self) -> Uuid {
        self.epoch
    }

    /// Every message that came to exist, in the order in which it did.
    pub fn effects(&self) -> &[Effect] {
        &self.effects
    }

    /// Puts a banner on every phone, or takes it off.
    pub fn set_banner(&mut self, banner: Option<Banner>) {
        self.practice.banner = banner;
        self.publish_practice();
    }

    /// Sets the figures that phones obey.
    pub fn set_policy(&mut self, policy: Policy) {
        self.practice.policy = policy;
        self.publish_practice();
    }

    /// Asks for a core of at least this version, `x.y.z`; older ones get 426. `None` asks for none.
    pub fn set_min_core_version(&mut self, version: Option<&str>) -> Result<(), StaffError> {
        let invalid = StaffError::Invalid("version");
        self.min_core_version = version.map(|text| parse_version(text).ok_or(invalid)).transpose()?;
        Ok(())
    }

    /// Whether a core of this version may sync. One that sends no readable version counts as the
    /// oldest; one that sends none at all is not a core.
    pub(crate) fn accepts_core(&self, version: Option<&str>) -> bool {
        match (self.min_core_version, version) {
            (Some(min), Some(text)) => parse_version(text).unwrap_or_default() >= min,
            _ => true,
        }
    }

    /// Sets what goes wrong from now on; the faults' own random numbers start anew.
    pub fn set_faults(&mut self, faults: Faults) {
        self.faults = FaultPlan::new(faults);
    }

    pub(crate) fn faults(&mut self) -> &mut FaultPlan {
        &mut self.faults
    }

    /// Starts a new epoch, as after a restore from a backup: every cursor ends (410) and phones
    /// renumber. With an instant, the op counters also forget what was executed since then, while
    /// the effects stay, so that idempotency by id (M1) has to hold.
    pub fn bump_epoch(&mut self, lanes_back_to: Option<DateTime<Utc>>) {
        self.epoch = random_uuid(&mut self.rng);
        for account in self.accounts.values_mut() {
            account.lanes.begin_epoch(self.epoch, lanes_back_to);
        }
    }

    /// Ends every cursor that was given out, as if all tombstones since had been dropped (410).
    pub fn expire_cursors(&mut self) {
        for account in self.accounts.values_mut() {
            account.feed.expire_cursors();
        }
    }

    /// Writes a psychotherapy note. Nothing ever reads it out: it is here so that a test can look
    /// for it in every answer.
    pub fn add_psychotherapy_note(&mut self, client: Uuid, text: &str) -> Result<(), StaffError> {
        self.client(client).ok_or(StaffError::ClientUnknown)?;
        self.notes.push(PsychotherapyNote { client, text: text.to_owned() });
        Ok(())
    }

    /// How many psychotherapy notes a client has, without their text.
    pub fn psychotherapy_notes(&self, client: Uuid) -> usize {
        self.notes.iter().filter(|note| note.client == client && !note.text.is_empty()).count()
    }

    /// Whether this is the bearer key of the staff API.
    pub(crate) fn is_staff_key(&self, key: &str) -> bool {
        let digest = |text: &str| secrets::sha256(text.as_bytes());
        secrets::same(&digest(key), &digest(&self.setup.staff_key))
    }

    /// What a phone would hold of this portal user once it has synced: the live rows of the feed.
    pub fn feed_rows(&self, account: Uuid) -> Vec<FeedRow> {
        self.accounts.get(&account).map(|account| account.feed.rows_at(u64::MAX)).unwrap_or_default()
    }

    /// The rows that were live at a checkpoint: what a phone holds that has synced up to there.
    pub fn feed_rows_at(&self, account: Uuid, checkpoint: u64) -> Vec<FeedRow> {
        self.accounts.get(&account).map(|account| account.feed.rows_at(checkpoint)).unwrap_or_default()
    }

    /// The newest `seq` of a portal user's feed.
    pub fn feed_head(&self, account: Uuid) -> u64 {
        self.accounts.get(&account).map_or(0, |account| account.feed.head())
    }

    /// The highest `n` executed in a lane of an install of a portal user.
    pub fn lane_counter(&self, account: Uuid, install: Uuid, lane: &str) -> u64 {
        self.accounts.get(&account).map_or(0, |account| account.lanes.last(install, lane))
    }

    pub(crate) fn account(&self, id: Uuid) -> Option<&Account> {
        self.accounts.get(&id)
    }

    pub(crate) fn account_mut(&mut self, id: Uuid) -> Option<&mut Account> {
        self.accounts.get_mut(&id)
    }

    fn new_id(&mut self, now: DateTime<Utc>) -> Uuid {
        let mut random = [0; 10];
        self.rng.fill_bytes(&mut random);
        let millis = u64::try_from(now.timestamp_millis()).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }

    /// 43 characters of base64url that nobody can guess.
    fn new_secret(&mut self) -> String {
        let mut random = [0; 32];
        self.rng.fill_bytes(&mut random);
        secrets::base64url(&random)
    }

    fn hash_password(&mut self, password: &str) -> PasswordHash {
        let mut salt = [0; 16];
        self.rng.fill_bytes(&mut salt);
        PasswordHash::new(password, salt, iterations(&self.setup))
    }

    /// Puts a row into one account's feed and tells its `seq`.
    fn publish(&mut self, account: Uuid, entity: Entity, id: Uuid, row: &impl Serialize) -> u64 {
        let data = raw(row);
        self.accounts.get_mut(&account).map_or(0, |account| account.feed.put(entity, id, data))
    }

    /// Puts a row that everybody shares into every feed; its text exists once.
    fn publish_to_all(&mut self, entity: Entity, id: Uuid, row: &impl Serialize) {
        let data = raw(row);
        for account in self.accounts.values_mut() {
            account.feed.put(entity, id, Arc::clone(&data));
        }
    }

    fn publish_practice(&mut self) {
        let practice = self.practice.clone();
        self.publish_to_all(Entity::Practice, practice.id, &practice);
    }
}

/// A row's JSON text. Rows are plain structs with string keys, which always serialise.
fn raw(row: &impl Serialize) -> Arc<RawValue> {
    to_raw_value(row).unwrap_or_else(|_| RawValue::NULL.to_owned()).into()
}

fn iterations(setup: &Setup) -> NonZeroU32 {
    NonZeroU32::new(setup.password_iterations).unwrap_or(NonZeroU32::MIN)
}

fn random_uuid(rng: &mut ChaCha20Rng) -> Uuid {
    let mut random = [0; 16];
    rng.fill_bytes(&mut random);
    uuid::Builder::from_random_bytes(random).into_uuid()
}

fn parse_version(text: &str) -> Option<(u64, u64, u64)> {
    let mut parts = text.trim().split('.').map(|part| part.parse::<u64>().ok());
    let version = (parts.next()??, parts.next()??, parts.next()??);
    parts.next().is_none().then_some(version)
}
