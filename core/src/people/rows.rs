//! The SQL of `practice`, `client` and `staff`.

use super::{Person, Phone, Practice, Role, Site};
use crate::change::Change;
use crate::error::{PortalError, Reason};
use crate::store::Transaction;
use crate::sync::feed::{Kind, Record, Unfit};
use crate::values::{Id, Zone};
use rusqlite::{Connection, OptionalExtension, params};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::cell::RefCell;
use std::collections::HashMap;

pub(crate) static PRACTICE: Kind =
    Kind { entity: "practice", table: "practice", put: put_practice, forget: None, change: Change::Home };
pub(crate) static CLIENT: Kind =
    Kind { entity: "client", table: "client", put: put_client, forget: None, change: Change::Everything };
pub(crate) static STAFF: Kind =
    Kind { entity: "staff", table: "staff", put: put_staff, forget: None, change: Change::Everything };

/// The practice's record, with what a missing field means.
#[derive(Deserialize)]
pub(crate) struct PracticeRecord {
    pub(crate) name: String,
    pub(crate) zone: String,
    #[serde(default)]
    pub(crate) phones: Vec<PhoneRecord>,
    #[serde(default)]
    pub(crate) crisis: Vec<CrisisRecord>,
    #[serde(default)]
    pub(crate) banner: Option<BannerRecord>,
    #[serde(default)]
    pub(crate) policy: Policy,
    #[serde(default)]
    pub(crate) sites: Vec<SiteRecord>,
    #[serde(default)]
    pub(crate) routes: Vec<RouteRecord>,
}

/// The part of it that most screens need.
#[derive(Default, Deserialize)]
struct Rules {
    zone: String,
    #[serde(default)]
    policy: Policy,
}

#[derive(Deserialize)]
pub(crate) struct PhoneRecord {
    pub(crate) label: String,
    pub(crate) number: String,
}

#[derive(Deserialize)]
pub(crate) struct CrisisRecord {
    pub(crate) label: String,
    pub(crate) number: String,
    #[serde(default)]
    pub(crate) detail: String,
}

#[derive(Deserialize)]
pub(crate) struct BannerRecord {
    pub(crate) text: String,
    #[serde(default)]
    pub(crate) until: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct SiteRecord {
    id: String,
    name: String,
    zone: String,
    #[serde(default)]
    address: String,
    #[serde(default)]
    phone: String,
}

#[derive(Clone, Deserialize)]
pub(crate) struct RouteRecord {
    pub(crate) route: String,
    pub(crate) label: String,
}

/// Rules that the practice sets; the defaults hold until they are known.
#[derive(Clone, Deserialize)]
#[serde(default)]
pub(crate) struct Policy {
    pub(crate) idle_lock_s: u64,
    pub(crate) background_lock_s: u64,
    pub(crate) reply_hours: u32,
    pub(crate) message_max_chars: usize,
    pub(crate) start_threads: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            idle_lock_s: 300,
            background_lock_s: 30,
            reply_hours: 24,
            message_max_chars: 10_000,
            start_threads: true,
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct ClientRecord {
    pub(crate) id: String,
    pub(crate) given_name: String,
    pub(crate) family_name: String,
    #[serde(default)]
    pub(crate) preferred_name: Option<String>,
    #[serde(default)]
    pub(crate) zone: String,
    #[serde(default)]
    pub(crate) clinician: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct StaffRecord {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) role: String,
    #[serde(default)]
    pub(crate) title: String,
    #[serde(default)]
    pub(crate) active: bool,
    #[serde(default)]
    pub(crate) accepts_messages: bool,
}

fn parse<'a, T: Deserialize<'a>>(record: &Record<'a>) -> Result<T, Unfit> {
    serde_json::from_str(record.body).map_err(|_| Unfit::Record("fields"))
}

fn put_practice(tx: &Transaction<'_>, record: &Record<'_>) -> Result<Change, Unfit> {
    parse::<PracticeRecord>(record)?;
    upsert(tx, "practice", record)?;
    Ok(Change::Home)
}

fn put_client(tx: &Transaction<'_>, record: &Record<'_>) -> Result<Change, Unfit> {
    parse::<ClientRecord>(record)?;
    upsert(tx, "client", record)?;
    Ok(Change::Everything)
}

fn upsert(tx: &Transaction<'_>, table: &str, record: &Record<'_>) -> Result<(), Unfit> {
    tx.prepare_cached(&format!(
        "INSERT INTO {table} (id, seq, ver, body) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (id) DO UPDATE SET
         seq = excluded.seq, ver = excluded.ver, body = excluded.body WHERE excluded.seq > seq"
    ))?
    .execute(params![record.id.as_bytes(), record.seq, record.ver, record.body])?;
    Ok(())
}

fn put_staff(tx: &Transaction<'_>, record: &Record<'_>) -> Result<Change, Unfit> {
    let staff: StaffRecord = parse(record)?;
    tx.prepare_cached(
        "INSERT INTO staff (id, seq, ver, body, name) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (id) DO UPDATE SET
         seq = excluded.seq, ver = excluded.ver, body = excluded.body, name = excluded.name WHERE excluded.seq > seq",
    )?
    .execute(params![record.id.as_bytes(), record.seq, record.ver, record.body, staff.name])?;
    Ok(Change::Everything)
}

/// A stored body was parsed before it was stored: if it cannot be now, the file is damaged.
fn stored<T: DeserializeOwned>(body: &str) -> Result<T, PortalError> {
    serde_json::from_str(body).map_err(|_| PortalError::storage(Reason::Damaged))
}

/// The practice's record, and its text as it came.
pub(crate) fn practice(c: &Connection) -> Result<Option<(PracticeRecord, String)>, PortalError> {
    practice_body(c)?.map(|body| Ok((stored(&body)?, body))).transpose()
}

fn practice_body(c: &Connection) -> Result<Option<String>, PortalError> {
    let mut statement = c.prepare_cached("SELECT body FROM practice ORDER BY pk LIMIT 1")?;
    Ok(statement.query_row([], |row| row.get(0)).optional()?)
}

fn rules(c: &Connection) -> Result<Rules, PortalError> {
    Ok(practice_body(c)?.map(|body| stored(&body)).transpose()?.unwrap_or_default())
}

/// The practice's rules, or their defaults before the first sync.
pub(crate) fn policy(c: &Connection) -> Result<Policy, PortalError> {
    Ok(rules(c)?.policy)
}

/// The client's own record.
pub(crate) fn client(c: &Connection) -> Result<Option<ClientRecord>, PortalError> {
    let body: Option<String> = c
        .prepare_cached("SELECT body FROM client ORDER BY pk LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    body.map(|body| stored(&body)).transpose()
}

/// Everybody at the practice.
pub(crate) fn staff(c: &Connection) -> Result<Vec<(Id, StaffRecord)>, PortalError> {
    let mut statement = c.prepare_cached("SELECT id, body FROM staff ORDER BY name, pk")?;
    let rows = statement.query_map([], |row| Ok((Id::from_bytes(row.get(0)?), row.get::<_, String>(1)?)))?;
    rows.map(|row| {
        let (id, body) = row?;
        Ok((id, stored(&body)?))
    })
    .collect()
}

/// The zone in which this client sees times.
pub(crate) fn zone(c: &Connection) -> Result<String, PortalError> {
    Ok(zone_of(client(c)?.as_ref(), &rules(c)?.zone))
}

/// An unknown zone of the client's is not shown as another one: the practice's is (R58).
fn zone_of(client: Option<&ClientRecord>, practice: &str) -> String {
    let own = client.map(|client| client.zone.as_str()).filter(|zone| Zone::parse(zone).is_some());
    own.unwrap_or(practice).to_owned()
}

fn staff_member(c: &Connection, id: Id) -> Result<Option<StaffRecord>, PortalError> {
    let mut statement = c.prepare_cached("SELECT body FROM staff WHERE id = ?1")?;
    let body: Option<String> = statement.query_row([id.as_bytes()], |row| row.get(0)).optional()?;
    body.map(|body| stored(&body)).transpose()
}

/// Everybody who can stand beside a message, the zone in which this client sees times, and the
/// practice's rules.
pub(crate) struct People<'c> {
    connection: &'c Connection,
    /// Those who were asked for: a screen shows a few, a practice may have hundreds.
    asked: RefCell<HashMap<String, Person>>,
    pub(crate) me: Person,
    pub(crate) zone: String,
    pub(crate) policy: Policy,
}

impl<'c> People<'c> {
    pub(crate) fn read(c: &'c Connection) -> Result<Self, PortalError> {
        let client = client(c)?;
        let rules = rules(c)?;
        let zone = zone_of(client.as_ref(), &rules.zone);
        let me = Person {
            id: client.as_ref().map(|client| client.id.clone()).unwrap_or_default(),
            name: client.as_ref().map(ClientRecord::display_name).unwrap_or_default(),
            role: Role::Client,
            title: String::new(),
        };
        Ok(Self { connection: c, asked: RefCell::default(), me, zone, policy: rules.policy })
    }

    /// The person of an id; one that the feed has not brought has no name.
    pub(crate) fn get(&self, id: &str) -> Result<Person, PortalError> {
        if let Some(known) = self.asked.borrow().get(id) {
            return Ok(known.clone());
        }
        let person = match Id::from_wire(id).map(|id| staff_member(self.connection, id)).transpose()? {
            Some(Some(record)) => person(id.to_owned(), &record),
            _ => Person { id: id.to_owned(), name: String::new(), role: Role::Other, title: String::new() },
        };
        self.asked.borrow_mut().insert(id.to_owned(), person.clone());
        Ok(person)
    }
}

impl ClientRecord {
    fn display_name(&self) -> String {
        let given = self.preferred_name.as_ref().filter(|name| !name.is_empty()).unwrap_or(&self.given_name);
        format!("{given} {}", self.family_name)
    }
}

pub(crate) fn person(id: String, record: &StaffRecord) -> Person {
    let role = match record.role.as_str() {
        "clinician" => Role::Clinician,
        "scheduler" => Role::Scheduler,
        "biller" => Role::Biller,
        "admin" => Role::Admin,
        _ => Role::Other,
    };
    Person { id, name: record.name.clone(), role, title: record.title.clone() }
}

impl From<PracticeRecord> for Practice {
    fn from(record: PracticeRecord) -> Self {
        Self {
            name: record.name,
            zone: record.zone,
            phones: record.phones.into_iter().map(Phone::from).collect(),
            sites: record
                .sites
                .into_iter()
                .map(|site| Site {
                    id: site.id,
                    name: site.name,
                    zone: site.zone,
                    address: site.address,
                    phone: site.phone,
                })
                .collect(),
            reply_hours: record.policy.reply_hours,
        }
    }
}

impl From<PhoneRecord> for Phone {
    fn from(record: PhoneRecord) -> Self {
        Self { label: record.label, number: record.number }
    }
}
