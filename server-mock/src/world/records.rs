//! What a practice consists of, in the words of its staff: the inputs and outputs of staff acts.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How a world is set up. Two worlds with equal setups and equal calls are equal.
#[derive(Clone)]
pub struct Setup {
    /// Where all random bytes come from: ids, tokens, salts. A practice on a real network takes it
    /// from the operating system, since whoever knows it can compute every token.
    pub seed: u64,
    /// The address of this practice without a trailing slash, such as `https://localhost:8443`.
    pub issuer: String,
    /// Rounds of PBKDF2-HMAC-SHA256 for a password.
    pub password_iterations: u32,
    /// The bearer key of the staff API.
    pub staff_key: String,
}

/// The practice as each phone sees it (entity `practice`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PracticeRecord {
    /// The practice's id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Its IANA zone.
    pub zone: String,
    /// Where to call.
    pub phones: Vec<Phone>,
    /// Whom to call in a crisis.
    pub crisis: Vec<CrisisLine>,
    /// A notice to everybody, or none.
    pub banner: Option<Banner>,
    /// Figures that a phone obeys.
    pub policy: Policy,
    /// Offices.
    pub sites: Vec<Site>,
    /// Desks that a client can write to.
    pub routes: Vec<RouteLabel>,
}

/// One telephone line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phone {
    /// What it is for.
    pub label: String,
    /// The number to dial.
    pub number: String,
}

/// One line of the crisis card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrisisLine {
    /// Who answers.
    pub label: String,
    /// The number to dial or text.
    pub number: String,
    /// When and how.
    pub detail: String,
}

/// A notice to everybody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Banner {
    /// What it says.
    pub text: String,
    /// When it is over.
    #[serde(with = "crate::rules::times::millis")]
    pub until: DateTime<Utc>,
}

/// Figures that a phone obeys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Seconds without a touch before the app locks.
    pub idle_lock_s: u32,
    /// Seconds in the background before the app locks.
    pub background_lock_s: u32,
    /// Within how many hours staff reply.
    pub reply_hours: u32,
    /// The longest message body, in characters.
    pub message_max_chars: u32,
    /// Whether a client may start a thread.
    pub start_threads: bool,
}

/// An office.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Its IANA zone.
    pub zone: String,
    /// Its postal address.
    pub address: String,
    /// Its telephone number.
    pub phone: String,
}

/// A desk that a client can write to, with its label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteLabel {
    /// Which desk.
    pub route: Route,
    /// What clients read.
    pub label: String,
}

/// A desk: whoever is designated for it gets the messages (M5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// Appointments.
    Scheduler,
    /// Bills.
    Biller,
}

/// What a member of staff does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StaffRole {
    /// Treats clients.
    Clinician,
    /// Makes appointments.
    Scheduler,
    /// Writes bills.
    Biller,
    /// Runs the office.
    Admin,
}

/// A member of staff to add.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewStaff {
    /// The full name.
    pub name: String,
    /// The role.
    pub role: StaffRole,
    /// The title under the name, such as `LCSW`.
    pub title: String,
    /// Whether clients may write to this person directly.
    pub accepts_messages: bool,
}

/// A member of staff (entity `staff`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staff {
    /// The id.
    pub id: Uuid,
    /// The full name.
    pub name: String,
    /// The role.
    pub role: StaffRole,
    /// The title under the name.
    pub title: String,
    /// Whether the person works here now.
    pub active: bool,
    /// Whether clients may write to this person directly.
    pub accepts_messages: bool,
}

/// A client to add to the charts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewClient {
    /// The given name.
    pub given_name: String,
    /// The family name, which registration asks for.
    pub family_name: String,
    /// How the client wants to be called.
    #[serde(default)]
    pub preferred_name: Option<String>,
    /// The date of birth, which registration asks for.
    pub date_of_birth: NaiveDate,
    /// Where mails go; the login id at first (A4).
    pub email: String,
    /// A telephone number.
    #[serde(default)]
    pub phone: Option<String>,
    /// The client's IANA zone.
    pub zone: String,
    /// The clinician, a staff id.
    #[serde(default)]
    pub clinician: Option<Uuid>,
}

/// A client's chart, as far as the portal needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Client {
    /// The chart's id.
    pub id: Uuid,
    /// The portal user of this chart; there is one for each from the start, without a password.
    pub account: Uuid,
    /// The given name.
    pub given_name: String,
    /// The family name.
    pub family_name: String,
    /// How the client wants to be called.
    pub preferred_name: Option<String>,
    /// The date of birth.
    pub date_of_birth: NaiveDate,
    /// Where mails go.
    pub email: String,
    /// A telephone number.
    pub phone: Option<String>,
    /// The client's IANA zone.
    pub zone: String,
    /// The clinician, a staff id.
    pub clinician: Option<Uuid>,
}

/// Whether a client can use the portal (SPEC 5.2, Access).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Never registered.
    None,
    /// Registered and welcome.
    Active,
    /// Ended by the practice.
    Revoked,
}

/// What became of the newest invitation link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum InvitationState {
    /// Sent and usable.
    Sent,
    /// Used to register.
    Registered,
    /// Seven times 24 hours have passed.
    Expired,
    /// Taken back by the practice.
    Withdrawn,
    /// A newer link was sent.
    Replaced,
}

/// Who did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// Which side.
    pub kind: AuthorKind,
    /// The client's or the staff member's id.
    pub id: Uuid,
}

impl Author {
    /// A client, by the chart's id.
    pub fn client(id: Uuid) -> Self {
        Self { kind: AuthorKind::Client, id }
    }

    /// A member of staff.
    pub fn staff(id: Uuid) -> Self {
        Self { kind: AuthorKind::Staff, id }
    }
}

/// Which side an author is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthorKind {
    /// The client.
    Client,
    /// The practice.
    Staff,
}

/// A mail or text message that the practice sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mail {
    /// Its id.
    pub id: Uuid,
    /// When it was sent.
    #[serde(with = "crate::rules::times::millis")]
    pub at: DateTime<Utc>,
    /// What it is about.
    pub kind: MailKind,
    /// How it was sent.
    pub channel: Channel,
    /// The address or number.
    pub to: String,
    /// The subject line.
    pub subject: String,
    /// The text.
    pub text: String,
    /// The link in it, if any.
    pub link: Option<String>,
}

/// What a mail is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailKind {
    /// The link to register with.
    Invitation,
    /// Staff wrote (M4): no content, no sender, no subject.
    NewMessage,
    /// A sign-in from an install that this user never used (I4).
    NewDevice,
}

impl MailKind {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invitation => "invitation",
            Self::NewMessage => "new_message",
            Self::NewDevice => "new_device",
        }
    }
}

/// How a mail was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// By email.
    Email,
    /// By text message.
    Sms,
}

impl Channel {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Sms => "sms",
        }
    }
}

/// A thread that happened before this world began, for demo data.
#[derive(Clone, Debug)]
pub struct PastThread {
    /// The subject.
    pub subject: String,
    /// The desk that it went to, if it did.
    pub route: Option<Route>,
    /// The staff in it.
    pub participants: Vec<Uuid>,
    /// The messages in order; the first one's author began the thread.
    pub messages: Vec<PastMessage>,
    /// The highest `n` that the client has read; 0 for none.
    pub read_upto: u64,
    /// Whether it takes no more messages.
    pub closed: bool,
}

/// A message of a [`PastThread`].
#[derive(Clone, Debug)]
pub struct PastMessage {
    /// Who wrote it.
    pub author: Author,
    /// What it says.
    pub body: String,
    /// When.
    pub sent_at: DateTime<Utc>,
}

/// An appointment, a kind of row that today's phones do not know and have to keep (DESIGN 4.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewAppointment {
    /// With whom, a staff id.
    pub clinician: Uuid,
    /// What for, such as `Individual therapy`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `in_person` or `video`.
    pub mode: String,
    /// When it begins.
    #[serde(with = "crate::rules::times::millis")]
    pub start: DateTime<Utc>,
    /// How long it takes.
    pub minutes: u32,
}

/// One line of a user's login history (I4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LoginEvent {
    /// When.
    #[serde(with = "crate::rules::times::millis")]
    pub at: DateTime<Utc>,
    /// From which install, where one is known.
    pub install: Option<Uuid>,
    /// What happened.
    pub result: LoginResult,
    /// Whether the install was new to this user.
    pub new_device: bool,
}

/// How a sign-in ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LoginResult {
    /// Registered and signed in.
    Registered,
    /// Signed in.
    SignedIn,
    /// Wrong password.
    Refused,
}

/// One effect in the practice's own log: a message that came to exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Effect {
    /// The message's id.
    pub id: Uuid,
    /// Its thread.
    pub thread: Uuid,
    /// Its author.
    pub author: Author,
    /// The change that shows it in the client's feed.
    #[serde(serialize_with = "crate::rules::numbers::decimal")]
    pub seq: u64,
    /// When it was committed.
    #[serde(with = "crate::rules::times::millis")]
    pub when: DateTime<Utc>,
}

/// Why a staff act was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StaffError {
    /// No such client.
    #[error("no such client")]
    ClientUnknown,
    /// No such member of staff.
    #[error("no such member of staff")]
    StaffUnknown,
    /// The member of staff does not work here any more.
    #[error("this member of staff is not active")]
    StaffInactive,
    /// No such thread.
    #[error("no such thread")]
    ThreadUnknown,
    /// The thread takes no more messages.
    #[error("the thread is closed")]
    ThreadClosed,
    /// No such message.
    #[error("no such message")]
    MessageUnknown,
    /// No such appointment.
    #[error("no such appointment")]
    AppointmentUnknown,
    /// Another client has this login id.
    #[error("another client has this email address")]
    EmailTaken,
    /// There is a link that still works.
    #[error("a usable invitation is out already")]
    InvitationLive,
    /// There is no invitation to send again.
    #[error("no invitation was sent before")]
    InvitationNone,
    /// The client has registered.
    #[error("the client has registered already")]
    AlreadyRegistered,
    /// The access was revoked.
    #[error("the access was revoked")]
    AccessRevoked,
    /// The access was not revoked.
    #[error("the access is not revoked")]
    AccessNotRevoked,
    /// An input is not acceptable.
    #[error("{0} is not acceptable")]
    Invalid(&'static str),
}

impl StaffError {
    /// The stable code on the wire.
    pub fn code(self) -> &'static str {
        match self {
            Self::ClientUnknown => "client_unknown",
            Self::StaffUnknown => "staff_unknown",
            Self::StaffInactive => "staff_inactive",
            Self::ThreadUnknown => "thread_unknown",
            Self::ThreadClosed => "thread_closed",
            Self::MessageUnknown => "message_unknown",
            Self::AppointmentUnknown => "appointment_unknown",
            Self::EmailTaken => "email_taken",
            Self::InvitationLive => "invitation_live",
            Self::InvitationNone => "invitation_none",
            Self::AlreadyRegistered => "already_registered",
            Self::AccessRevoked => "access_revoked",
            Self::AccessNotRevoked => "access_not_revoked",
            Self::Invalid(_) => "invalid",
        }
    }
}
