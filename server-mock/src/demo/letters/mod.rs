//! What clients and staff write to each other, as exchanges with gaps to fill in.
//!
//! A gap is a word in braces: `{day}`, `{day2}` (dates after the letter), `{time}`, `{time2}`,
//! `{amount}`, `{number}` (a small one), `{minutes}`, `{site}`, and the first names of who answers
//! (`{staff}`), of the `{clinician}` and of the `{client}`.

mod care;
mod desk;
mod tongues;

use self::Line::{Client, Staff};
pub(super) use self::tongues::GREETINGS_BY_CLIENT;

/// One message of an exchange.
#[derive(Clone, Copy)]
pub(super) enum Line {
    /// Written by the client.
    Client(&'static str),
    /// Written by the staff member of the thread.
    Staff(&'static str),
}

/// Messages that belong together, in order.
pub(super) type Exchange = &'static [Line];

/// A short correspondence of another client.
pub(super) struct Greeting {
    pub(super) desk: Desk,
    pub(super) subject: &'static str,
    pub(super) lines: Exchange,
}

/// Who of the practice answers in a thread.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Desk {
    /// The client's clinician.
    Clinician,
    /// The prescribing nurse practitioner.
    Prescriber,
    /// Appointments.
    Scheduler,
    /// Bills.
    Biller,
    /// The office.
    Office,
}

/// A kind of thread: subjects that fit it, and what is written there.
pub(super) struct Topic {
    pub(super) desk: Desk,
    pub(super) subjects: &'static [&'static str],
    pub(super) exchanges: &'static [Exchange],
    /// How much is written there, beside the others.
    pub(super) weight: usize,
}

/// Every kind of thread that the main client of the demo has.
pub(super) const TOPICS: &[Topic] = &[
    Topic {
        desk: Desk::Clinician,
        subjects: &["Between sessions", "Notes for our next meeting", "How the week went"],
        exchanges: care::BETWEEN_SESSIONS,
        weight: 9,
    },
    Topic {
        desk: Desk::Scheduler,
        subjects: &["Appointments", "Moving a session", "Times in the new term"],
        exchanges: desk::SCHEDULING,
        weight: 6,
    },
    Topic {
        desk: Desk::Biller,
        subjects: &["Billing", "Statement and superbill", "Question about my balance"],
        exchanges: desk::BILLING,
        weight: 5,
    },
    Topic {
        desk: Desk::Prescriber,
        subjects: &["Prescription refills", "Pharmacy change", "Follow-up after our visit"],
        exchanges: care::PRESCRIPTIONS,
        weight: 3,
    },
    Topic {
        desk: Desk::Office,
        subjects: &["Forms and records", "Letter for my employer", "Portal and video"],
        exchanges: desk::OFFICE,
        weight: 3,
    },
    Topic {
        desk: Desk::Office,
        subjects: &["Handouts for my family · للعائلة · למשפחה · 家族へ", "Interpreter for a family meeting"],
        exchanges: tongues::FAMILY,
        weight: 2,
    },
    Topic {
        desk: Desk::Clinician,
        subjects: &["Family meetings", "Plans for the holidays"],
        exchanges: care::FAMILY_MEETINGS,
        weight: 2,
    },
];

/// What a client may put before the first line of an exchange.
pub(super) const OPENERS: &[&str] = &[
    "",
    "",
    "",
    "Hi {staff}, ",
    "Hello {staff}, ",
    "Good morning {staff}, ",
    "Hello again, ",
    "Hi, it is {client}. ",
    "Good afternoon, ",
    "Dear {staff}, ",
    "Hi! ",
    "Bonjour {staff}, ",
    "Quick one: ",
    "No hurry: ",
];

/// What a client may put at the end.
pub(super) const CLIENT_CLOSERS: &[&str] = &[
    "",
    "",
    "",
    "",
    " Thank you!",
    " Thanks, {client}",
    " Many thanks 🙏🏽",
    "\n\nBest,\n{client}",
    " Merci! 😊",
    " Thanks so much.",
    "\n\n{client} O'Connor-Núñez",
    " ¡Gracias!",
    " Thanks 👩‍👧",
];

/// What staff may put at the end.
pub(super) const STAFF_CLOSERS: &[&str] = &[
    "",
    "",
    "",
    "",
    " Best, {staff}",
    "\n\nWarm regards,\n{staff}",
    " Take care, {staff}",
    " Have a good day!",
    "\n\n{staff}",
    "\n\nKind regards,\n{staff}",
    " You can also call us at (518) 555-0142.",
];
