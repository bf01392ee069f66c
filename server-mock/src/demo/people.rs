//! The people of the demo practice, all of them invented.

use chrono::{DateTime, Duration, NaiveDate, Utc};
use uuid::Uuid;

use crate::world::{
    Banner, CrisisLine, NewClient, NewStaff, Phone, Policy, PracticeRecord, Route, RouteLabel, Site,
    StaffRole,
};

/// Where the practice and its main office are.
pub(super) const ZONE: &str = "America/New_York";
/// Where its second office is.
const ZONE_WEST: &str = "America/Denver";

/// The practice itself.
pub(super) fn practice(now: DateTime<Utc>) -> PracticeRecord {
    PracticeRecord {
        // Fixed: a phone that saw this practice before knows it again after a restart.
        id: Uuid::from_u128(0x018f_3c5a_7d20_7c41_8e1d_5b2a_90c4_11e7),
        name: "Juniper Ridge Behavioral Health".into(),
        zone: ZONE.into(),
        phones: vec![
            phone("Front desk", "+1-518-555-0142"),
            phone("Billing", "+1-518-555-0143"),
            phone("Fort Collins office", "+1-970-555-0117"),
        ],
        crisis: vec![
            crisis("988 Suicide & Crisis Lifeline", "988", "Call or text, any hour"),
            crisis(
                "Juniper Ridge urgent line",
                "+1-518-555-0199",
                "A clinician calls back within 30 minutes",
            ),
            crisis("Emergency services", "911", "If somebody is in danger now"),
        ],
        banner: Some(Banner {
            text:
                "Our Albany office has moved to the first floor. The entrance on Alder Street is step-free."
                    .into(),
            until: now + Duration::days(14),
        }),
        policy: Policy {
            idle_lock_s: 300,
            background_lock_s: 60,
            reply_hours: 48,
            message_max_chars: 5_000,
            start_threads: true,
        },
        sites: vec![
            Site {
                id: Uuid::from_u128(0x018f_3c5a_7d20_7c41_8e1d_5b2a_90c4_11e8),
                name: "Albany".into(),
                zone: ZONE.into(),
                address: "214 Alder Street, Albany, NY 12210".into(),
                phone: "+1-518-555-0142".into(),
            },
            Site {
                id: Uuid::from_u128(0x018f_3c5a_7d20_7c41_8e1d_5b2a_90c4_11e9),
                name: "Fort Collins".into(),
                zone: ZONE_WEST.into(),
                address: "90 Cottonwood Lane, Fort Collins, CO 80524".into(),
                phone: "+1-970-555-0117".into(),
            },
        ],
        routes: vec![
            RouteLabel { route: Route::Scheduler, label: "Appointments and scheduling".into() },
            RouteLabel { route: Route::Biller, label: "Billing and insurance".into() },
        ],
    }
}

fn phone(label: &str, number: &str) -> Phone {
    Phone { label: label.into(), number: number.into() }
}

fn crisis(label: &str, number: &str, detail: &str) -> CrisisLine {
    CrisisLine { label: label.into(), number: number.into(), detail: detail.into() }
}

/// The staff, as name, role, title and whether clients may write to them directly.
pub(super) fn staff() -> [NewStaff; 6] {
    [
        ("Dr. Amara Okafor", StaffRole::Clinician, "PhD, Psychologist", true),
        ("Daniel Reyes-Ortiz", StaffRole::Clinician, "LCSW", true),
        ("Priya Raman", StaffRole::Clinician, "PMHNP-BC", true),
        ("Grace Kim", StaffRole::Scheduler, "Scheduling", true),
        ("Tomasz Wiśniewski", StaffRole::Biller, "Billing", true),
        ("Helen Brandt", StaffRole::Admin, "Practice manager", false),
    ]
    .map(|(name, role, title, accepts_messages)| NewStaff {
        name: name.into(),
        role,
        title: title.into(),
        accepts_messages,
    })
}

/// Given, family and preferred name, birth date, mailbox (at `example.org`) and zone.
type Person = (&'static str, &'static str, Option<&'static str>, (i32, u32, u32), &'static str, &'static str);

/// The main client first, then the registered one, then the rest.
const PEOPLE: [Person; 12] = [
    ("Renée", "O'Connor-Núñez", None, (1990, 2, 28), "renee", ZONE),
    ("Jordan", "Whitaker", Some("Jo"), (1984, 11, 3), "jordan", ZONE),
    ("María José", "Fernández de la Cruz", Some("Majo"), (1978, 6, 24), "majo", ZONE),
    ("Niamh", "D’Arcy", None, (1996, 2, 29), "niamh", "Europe/Dublin"),
    ("لينا", "الخطيب", None, (1992, 9, 15), "lina", ZONE),
    ("נועה", "בן־דוד", None, (1988, 4, 2), "noa", ZONE_WEST),
    ("小明", "王", None, (1971, 1, 31), "xiaoming", ZONE_WEST),
    ("花子", "山田", None, (1969, 12, 31), "hanako", ZONE_WEST),
    ("민지", "김", None, (2001, 7, 8), "minji", "America/Los_Angeles"),
    ("Zoë", "Müller-Weiß", None, (1959, 10, 5), "zoe", ZONE),
    ("Thị Ánh", "Nguyễn", Some("Ánh"), (1994, 3, 12), "anh", "America/Phoenix"),
    ("Олена", "Шевченко", None, (1982, 8, 24), "olena", ZONE),
];

/// The clients; every second one is with the second of the two clinicians given.
pub(super) fn clients(clinicians: [Uuid; 2]) -> Vec<NewClient> {
    PEOPLE
        .iter()
        .zip(clinicians.iter().cycle())
        .zip(100..)
        .map(|((person, clinician), number)| {
            let (given, family, preferred, (year, month, day), mailbox, zone) = *person;
            NewClient {
                given_name: given.into(),
                family_name: family.into(),
                preferred_name: preferred.map(Into::into),
                date_of_birth: NaiveDate::from_ymd_opt(year, month, day).unwrap_or_default(),
                email: format!("{mailbox}@example.org"),
                phone: Some(format!("+1-518-555-0{number}")),
                zone: zone.into(),
                clinician: Some(*clinician),
            }
        })
        .collect()
}
