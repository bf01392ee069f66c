//! Staff and clients, and the desks that staff are designated for.

use super::{
    Access, Account, Client, Entity, Feed, LoginEvent, NewAppointment, NewClient, NewStaff, Route, Staff,
    StaffError, Why, World, lanes::Lanes,
};
use crate::rules::{names, times};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::collections::BTreeSet;
use uuid::Uuid;

/// The row of entity `client`.
#[derive(Serialize)]
struct ClientRow<'a> {
    id: Uuid,
    given_name: &'a str,
    family_name: &'a str,
    preferred_name: Option<&'a str>,
    zone: &'a str,
    login_id: &'a str,
    clinician: Option<Uuid>,
}

/// The row of entity `appointment`.
#[derive(Serialize)]
struct AppointmentRow<'a> {
    id: Uuid,
    client: Uuid,
    clinician: Uuid,
    #[serde(rename = "type")]
    kind: &'a str,
    mode: &'a str,
    start: String,
    zone: &'a str,
    minutes: u32,
    state: &'static str,
}

impl World {
    /// Adds a member of staff, whom every client sees.
    pub fn add_staff(&mut self, new: NewStaff, now: DateTime<Utc>) -> Result<Uuid, StaffError> {
        if new.name.trim().is_empty() {
            return Err(StaffError::Invalid("name"));
        }
        let id = self.new_id(now);
        let NewStaff { name, role, title, accepts_messages } = new;
        let staff = Staff { id, name, role, title, active: true, accepts_messages };
        self.publish_to_all(Entity::Staff, id, &staff);
        self.staff.insert(id, staff);
        Ok(id)
    }

    /// Ends a member of staff's work here: desks and new threads do not reach them any more.
    pub fn deactivate_staff(&mut self, id: Uuid) -> Result<(), StaffError> {
        let staff = self.staff.get_mut(&id).ok_or(StaffError::StaffUnknown)?;
        staff.active = false;
        let staff = staff.clone();
        self.publish_to_all(Entity::Staff, id, &staff);
        Ok(())
    }

    /// Everybody who works or worked here.
    pub fn all_staff(&self) -> impl Iterator<Item = &Staff> {
        self.staff.values()
    }

    /// A member of staff.
    pub fn staff(&self, id: Uuid) -> Option<&Staff> {
        self.staff.get(&id)
    }

    /// Designates the staff of a desk. An empty list closes it: messages to it are then refused.
    pub fn change_routes(&mut self, route: Route, staff: Vec<Uuid>) -> Result<(), StaffError> {
        if staff.iter().any(|id| !self.staff.contains_key(id)) {
            return Err(StaffError::StaffUnknown);
        }
        self.routes.insert(route, staff);
        Ok(())
    }

    /// Who is designated for a desk, whether they still work here or not.
    pub fn route(&self, route: Route) -> &[Uuid] {
        self.routes.get(&route).map(Vec::as_slice).unwrap_or_default()
    }

    /// Who gets what is written to a desk now.
    pub(super) fn reached_by(&self, route: Route) -> Vec<Uuid> {
        let works_here = |id: &&Uuid| self.staff.get(id).is_some_and(|staff| staff.active);
        self.route(route).iter().filter(works_here).copied().collect()
    }

    /// Adds a client's chart, with a portal user that cannot sign in before it has registered.
    pub fn add_client(&mut self, new: NewClient, now: DateTime<Utc>) -> Result<Uuid, StaffError> {
        self.check_new_client(&new, now)?;
        let (id, account) = (self.new_id(now), self.new_id(now));
        let NewClient {
            given_name,
            family_name,
            preferred_name,
            date_of_birth,
            email,
            phone,
            zone,
            clinician,
        } = new;
        let client = Client {
            id,
            account,
            given_name,
            family_name,
            preferred_name,
            date_of_birth,
            email,
            phone,
            zone,
            clinician,
        };
        let login_id = client.email.trim().to_owned();
        self.login_ids.insert(names::comparable_login(&login_id), account);
        self.accounts.insert(
            account,
            Account {
                id: account,
                client: id,
                login_id,
                password: None,
                access: Access::None,
                invitation: None,
                installs: BTreeSet::new(),
                logins: Vec::new(),
                feed: self.first_feed(),
                lanes: Lanes::new(self.epoch),
            },
        );
        self.clients.insert(id, client);
        self.publish_client(id);
        Ok(id)
    }

    /// All charts.
    pub fn clients(&self) -> impl Iterator<Item = &Client> {
        self.clients.values()
    }

    /// A client's chart.
    pub fn client(&self, id: Uuid) -> Option<&Client> {
        self.clients.get(&id)
    }

    /// What a client signs in with.
    pub fn login_id(&self, client: Uuid) -> Option<&str> {
        self.account_of(client).map(|account| account.login_id.as_str())
    }

    /// Whether a client can use the portal.
    pub fn access(&self, client: Uuid) -> Option<Access> {
        self.account_of(client).map(|account| account.access)
    }

    /// A client's login history, oldest first (I4).
    pub fn logins(&self, client: Uuid) -> Option<&[LoginEvent]> {
        self.account_of(client).map(|account| account.logins.as_slice())
    }

    /// Makes an appointment and puts it into the client's feed.
    pub fn add_appointment(
        &mut self,
        client: Uuid,
        new: NewAppointment,
        now: DateTime<Utc>,
    ) -> Result<Uuid, StaffError> {
        let id = self.new_id(now);
        let chart = self.clients.get(&client).ok_or(StaffError::ClientUnknown)?;
        self.staff.get(&new.clinician).ok_or(StaffError::StaffUnknown)?;
        let (account, zone) = (chart.account, chart.zone.clone());
        let row = AppointmentRow {
            id,
            client,
            clinician: new.clinician,
            kind: &new.kind,
            mode: &new.mode,
            start: times::text(new.start),
            zone: &zone,
            minutes: new.minutes,
            state: "confirmed",
        };
        self.publish(account, Entity::Appointment, id, &row);
        self.appointments.insert(id, client);
        Ok(id)
    }

    /// Takes an appointment out of the client's feed.
    pub fn withdraw_appointment(&mut self, id: Uuid, now: DateTime<Utc>) -> Result<(), StaffError> {
        let unknown = StaffError::AppointmentUnknown;
        let account = self.appointments.remove(&id).and_then(|client| self.clients.get(&client));
        let account = account.ok_or(unknown)?.account;
        let account = self.accounts.get_mut(&account).ok_or(unknown)?;
        account.feed.del(Entity::Appointment, id, Why::Withdrawn, now);
        Ok(())
    }

    pub(super) fn account_of(&self, client: Uuid) -> Option<&Account> {
        self.accounts.get(&self.clients.get(&client)?.account)
    }

    pub(super) fn account_of_mut(&mut self, client: Uuid) -> Option<&mut Account> {
        self.accounts.get_mut(&self.clients.get(&client)?.account)
    }

    fn publish_client(&mut self, id: Uuid) {
        let Some(client) = self.clients.get(&id).cloned() else { return };
        let Some(login_id) = self.login_id(id).map(str::to_owned) else { return };
        let row = ClientRow {
            id,
            given_name: &client.given_name,
            family_name: &client.family_name,
            preferred_name: client.preferred_name.as_deref(),
            zone: &client.zone,
            login_id: &login_id,
            clinician: client.clinician,
        };
        self.publish(client.account, Entity::Client, id, &row);
    }

    /// What everybody sees, for an account that begins now.
    fn first_feed(&self) -> Feed {
        let mut feed = Feed::default();
        feed.put(Entity::Practice, self.practice.id, super::raw(&self.practice));
        for staff in self.staff.values() {
            feed.put(Entity::Staff, staff.id, super::raw(staff));
        }
        feed
    }

    fn check_new_client(&self, new: &NewClient, now: DateTime<Utc>) -> Result<(), StaffError> {
        let is_zone = |zone: &str| zone.parse::<chrono_tz::Tz>().is_ok();
        let faults = [
            (new.given_name.trim().is_empty(), "given_name"),
            (new.family_name.trim().is_empty(), "family_name"),
            (new.date_of_birth > now.date_naive(), "date_of_birth"),
            (!is_email(new.email.trim()), "email"),
            (!is_zone(&new.zone), "zone"),
        ];
        if let Some((_, field)) = faults.into_iter().find(|(wrong, _)| *wrong) {
            return Err(StaffError::Invalid(field));
        }
        if new.clinician.is_some_and(|id| !self.staff.contains_key(&id)) {
            return Err(StaffError::StaffUnknown);
        }
        if self.login_ids.contains_key(&names::comparable_login(&new.email)) {
            return Err(StaffError::EmailTaken);
        }
        Ok(())
    }
}

/// Enough of an address to send to; only a mail that arrives proves more.
fn is_email(text: &str) -> bool {
    let plain = text.len() <= 254 && !text.chars().any(|c| c.is_whitespace() || c.is_control());
    plain
        && text
            .split_once('@')
            .is_some_and(|(local, host)| !local.is_empty() && !host.is_empty() && !host.contains('@'))
}
