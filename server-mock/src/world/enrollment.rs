//! Invitations, and registering with one (I1, I2).

use super::{Access, Grant, InvitationState, LoginEvent, LoginResult, Mail, StaffError, World};
use crate::rules::{
    names,
    passwords::{self, PasswordRefusal},
    secrets::{self, Digest},
};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use uuid::Uuid;

/// A7: how long a link works, counted from its sending.
const INVITATION_LIFE: TimeDelta = TimeDelta::hours(7 * 24);

/// One invitation link; the token itself is only in the mail.
#[derive(Clone)]
pub(super) struct Invitation {
    client: Uuid,
    sent_at: DateTime<Utc>,
    fate: Fate,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Open,
    Used,
    Withdrawn,
    Replaced,
}

/// What someone sends to register.
pub(crate) struct Enrollment {
    pub(crate) token: String,
    pub(crate) last_name: String,
    pub(crate) date_of_birth: NaiveDate,
    pub(crate) password: String,
    /// What the code is bound to.
    pub(crate) grant: Grant,
    pub(crate) install: Uuid,
}

/// Why nobody was registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EnrollmentRefusal {
    /// The link is known but works no more.
    Ended(InvitationState),
    /// Unknown token, wrong last name or wrong date of birth: nobody learns which.
    Refused,
    /// Too many refusals of this token.
    Locked(TimeDelta),
    /// The password is not acceptable.
    Password(PasswordRefusal),
}

/// What the page of an invitation link says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkState {
    /// No invitation has this token.
    Unknown,
    /// The invitation's state.
    Known(InvitationState),
}

impl World {
    /// Sends a first invitation, or another one after the last has ended. The mail holds the link.
    pub fn invite(&mut self, client: Uuid, now: DateTime<Utc>) -> Result<Mail, StaffError> {
        match self.invitation_state(client, now)? {
            Some(InvitationState::Sent) => Err(StaffError::InvitationLive),
            _ => self.send_invitation(client, now),
        }
    }

    /// Sends a new link; one that still works is replaced (newest only, I1).
    pub fn resend(&mut self, client: Uuid, now: DateTime<Utc>) -> Result<Mail, StaffError> {
        match self.invitation_state(client, now)? {
            None => Err(StaffError::InvitationNone),
            Some(state) => {
                if state == InvitationState::Sent {
                    self.end_invitation(client, Fate::Replaced);
                }
                self.send_invitation(client, now)
            }
        }
    }

    /// Takes back a link that still works.
    pub fn withdraw_invitation(&mut self, client: Uuid, now: DateTime<Utc>) -> Result<(), StaffError> {
        match self.invitation_state(client, now)? {
            Some(InvitationState::Sent) => {
                self.end_invitation(client, Fate::Withdrawn);
                Ok(())
            }
            _ => Err(StaffError::InvitationNone),
        }
    }

    /// What became of the newest invitation of a client.
    pub fn invitation_state(
        &self,
        client: Uuid,
        now: DateTime<Utc>,
    ) -> Result<Option<InvitationState>, StaffError> {
        let account = self.account_of(client).ok_or(StaffError::ClientUnknown)?;
        let newest = account.invitation.and_then(|digest| self.invitations.get(&digest));
        Ok(newest.map(|invitation| invitation.state(now)))
    }

    /// What the page of a link says. Looking changes nothing.
    pub(crate) fn link_state(&self, token: &str, now: DateTime<Utc>) -> LinkState {
        let invitation = self.invitations.get(&secrets::sha256(token.as_bytes()));
        invitation.map_or(LinkState::Unknown, |found| LinkState::Known(found.state(now)))
    }

    /// Registers a client, and tells the login id and a code to sign in with.
    pub(crate) fn enroll(
        &mut self,
        enrollment: Enrollment,
        now: DateTime<Utc>,
    ) -> Result<(String, String), EnrollmentRefusal> {
        let digest = secrets::sha256(enrollment.token.as_bytes());
        if let Some(remaining) = self.enrollment_failures.remaining(&digest, now) {
            return Err(EnrollmentRefusal::Locked(remaining));
        }
        let invited = self.invitations.get(&digest).map(|found| (found.client, found.state(now)));
        if let Some((_, state)) = invited.filter(|(_, state)| *state != InvitationState::Sent) {
            return Err(EnrollmentRefusal::Ended(state));
        }
        let password = passwords::prepared(&enrollment.password);
        let Some(client) = self.identified(invited.map(|(client, _)| client), &enrollment) else {
            // as slow as a success, so that time tells nothing about tokens and names
            let _ = self.decoy.verify(&password);
            self.enrollment_failures.fail(digest, now);
            return Err(EnrollmentRefusal::Refused);
        };
        let login_id = self.login_id(client).map(str::to_owned).unwrap_or_default();
        passwords::check(&password, &login_id).map_err(EnrollmentRefusal::Password)?;
        self.enrollment_failures.clear(&digest);
        let password = self.hash_password(&password);
        self.end_invitation(client, Fate::Used);
        let account = self.account_of_mut(client).ok_or(EnrollmentRefusal::Refused)?;
        account.password = Some(password);
        account.access = Access::Active;
        account.installs.insert(enrollment.install);
        account.logins.push(LoginEvent {
            at: now,
            install: Some(enrollment.install),
            result: LoginResult::Registered,
            new_device: false,
        });
        let account = account.id;
        let code = self.issue_code(account, enrollment.grant, Some(enrollment.install), now);
        Ok((login_id, code))
    }

    /// Ends an open invitation because the access is revoked (I3).
    pub(super) fn withdraw_open_invitation(&mut self, client: Uuid) {
        self.end_invitation(client, Fate::Withdrawn);
    }

    /// The invited client, if name and birth date are theirs. Both are compared in every case.
    fn identified(&self, invited: Option<Uuid>, enrollment: &Enrollment) -> Option<Uuid> {
        let client = invited.and_then(|id| self.clients.get(&id));
        let expected = names::comparable_name(client.map_or("", |client| &client.family_name));
        let given = names::comparable_name(&enrollment.last_name);
        let name = secrets::same(expected.as_bytes(), given.as_bytes());
        let birth = client.is_some_and(|client| client.date_of_birth == enrollment.date_of_birth);
        client.filter(|_| name & birth).map(|client| client.id)
    }

    fn send_invitation(&mut self, client: Uuid, now: DateTime<Utc>) -> Result<Mail, StaffError> {
        let token = self.new_secret();
        let digest = secrets::sha256(token.as_bytes());
        let account = self.account_of_mut(client).ok_or(StaffError::ClientUnknown)?;
        if account.access == Access::Revoked {
            return Err(StaffError::AccessRevoked);
        }
        if account.password.is_some() {
            return Err(StaffError::AlreadyRegistered);
        }
        account.invitation = Some(digest);
        let invitation = Invitation { client, sent_at: now, fate: Fate::Open };
        self.invitations.insert(digest, invitation);
        let link = format!("{}/enroll/{token}", self.setup.issuer);
        self.mail_invitation(client, link, now);
        self.mails.last().cloned().ok_or(StaffError::ClientUnknown)
    }

    fn end_invitation(&mut self, client: Uuid, fate: Fate) {
        let digest: Option<Digest> = self.account_of(client).and_then(|account| account.invitation);
        let newest = digest.and_then(|digest| self.invitations.get_mut(&digest));
        if let Some(open) = newest.filter(|invitation| invitation.fate == Fate::Open) {
            open.fate = fate;
        }
    }
}

impl Invitation {
    fn state(&self, now: DateTime<Utc>) -> InvitationState {
        match self.fate {
            Fate::Open if now >= self.sent_at + INVITATION_LIFE => InvitationState::Expired,
            Fate::Open => InvitationState::Sent,
            Fate::Used => InvitationState::Registered,
            Fate::Withdrawn => InvitationState::Withdrawn,
            Fate::Replaced => InvitationState::Replaced,
        }
    }
}
