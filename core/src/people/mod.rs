//! Who is who: the practice, the people who work there, and the client. Every area shows them, so
//! their views stand below the areas.

pub(crate) mod rows;

use crate::error::Reason;
use crate::session::Session;
use crate::session::state::LockRule;
use crate::values::{When, private_debug};
use std::sync::Arc;

/// Somebody who can stand beside a message.
#[derive(Clone, PartialEq, Eq, serde::Serialize, uniffi::Record)]
#[uniffi::export(Debug)]
pub struct Person {
    /// The staff member's or client's id.
    pub id: String,
    /// The name to show. Empty while the feed has not brought the person: show "the practice".
    pub name: String,
    /// What they do there.
    pub role: Role,
    /// The practice's own words for it, such as "LCSW". May be empty.
    pub title: String,
}

/// What somebody does at the practice.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, uniffi::Enum)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Role {
    /// The client.
    Client,
    /// A clinician.
    Clinician,
    /// Keeps the calendar.
    Scheduler,
    /// Keeps the accounts.
    Biller,
    /// Runs the office.
    Admin,
    /// A role that this version does not know.
    Other,
}

/// A number to call.
#[derive(Clone, PartialEq, Eq, serde::Serialize, uniffi::Record)]
#[uniffi::export(Debug)]
pub struct Phone {
    /// Whose it is, in the practice's words.
    pub label: String,
    /// As the practice writes it.
    pub number: String,
}

/// A place where the practice works.
#[derive(Clone, PartialEq, Eq, serde::Serialize, uniffi::Record)]
#[uniffi::export(Debug)]
pub struct Site {
    /// Id.
    pub id: String,
    /// Name.
    pub name: String,
    /// IANA zone of the place.
    pub zone: String,
    /// Postal address, one line.
    pub address: String,
    /// Its phone.
    pub phone: String,
}

/// The practice.
#[derive(Clone, PartialEq, Eq, serde::Serialize, uniffi::Record)]
#[uniffi::export(Debug)]
pub struct Practice {
    /// Name.
    pub name: String,
    /// IANA zone of its office.
    pub zone: String,
    /// Numbers to call.
    pub phones: Vec<Phone>,
    /// Its places.
    pub sites: Vec<Site>,
    /// Usual time to an answer, in hours.
    pub reply_hours: u32,
}

/// A sentence that the practice shows to every client.
#[derive(Clone, PartialEq, Eq, serde::Serialize, uniffi::Record)]
#[uniffi::export(Debug)]
pub struct Banner {
    /// The sentence.
    pub text: String,
    /// Shown until then, when the practice says so.
    pub until: Option<When>,
}

/// Whether an action is possible now, and why not.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, uniffi::Record)]
pub struct Availability {
    /// Whether it is.
    pub possible: bool,
    /// Why not.
    pub reason: Option<Reason>,
}

impl Availability {
    pub(crate) fn of(rule: Result<(), Reason>) -> Self {
        Self { possible: rule.is_ok(), reason: rule.err() }
    }
}

private_debug!(Person, Phone, Site, Practice, Banner);

/// Takes over what the practice decides for the whole portal: the lock's times, and the public card
/// that must be there without a session.
pub(crate) async fn apply_policy(session: Arc<Session>) {
    let Ok(store) = session.store() else { return };
    let Ok(Some((record, text))) = store.read(rows::practice).await else { return };
    session.set_lock_rule(LockRule::from_policy(record.policy.idle_lock_s, record.policy.background_lock_s));
    session.card.keep(&text);
}
