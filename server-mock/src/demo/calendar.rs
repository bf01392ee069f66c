//! When the letters were written: office hours of a real calendar, and the odd hours in which the
//! clocks change.

use chrono::{DateTime, Datelike, Duration, NaiveDate, NaiveTime, Offset, TimeZone, Utc, Weekday};
use chrono_tz::Tz;

/// Office hours of all working days between two dates, as one line without gaps.
pub(super) struct OfficeHours {
    zone: Tz,
    days: Vec<NaiveDate>,
}

/// Milliseconds from 8:00 to 18:00. No clock changes in between, so every time exists once.
const DAY: u64 = 10 * 60 * 60 * 1000;

impl OfficeHours {
    pub(super) fn between(zone: Tz, from: NaiveDate, to: NaiveDate) -> Self {
        let days = from.iter_days().take_while(|day| *day < to).filter(|day| is_working_day(*day)).collect();
        Self { zone, days }
    }

    /// How many milliseconds of office hours there are.
    pub(super) fn total(&self) -> u64 {
        self.days.len() as u64 * DAY
    }

    /// The instant after so many milliseconds of office hours, and its date there.
    pub(super) fn at(&self, millis: u64) -> Option<(DateTime<Utc>, NaiveDate)> {
        let day = *self.days.get(usize::try_from(millis / DAY).ok()?)?;
        let opening = NaiveTime::from_hms_opt(8, 0, 0)?;
        let opening = self.zone.from_local_datetime(&day.and_time(opening)).earliest()?;
        let since = Duration::milliseconds(i64::try_from(millis % DAY).ok()?);
        Some((opening.with_timezone(&Utc) + since, day))
    }
}

fn is_working_day(day: NaiveDate) -> bool {
    let holiday = [(1, 1), (7, 4), (12, 25)].contains(&(day.month(), day.day()));
    !holiday && !matches!(day.weekday(), Weekday::Sat | Weekday::Sun)
}

/// The first working day that is at least so many days later.
pub(super) fn working_day_after(day: NaiveDate, days: i64) -> NaiveDate {
    let mut later = day + Duration::days(days);
    while !is_working_day(later) {
        later += Duration::days(1);
    }
    later
}

/// Whether the clocks went forward or back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Forward,
    Back,
}

/// The instants between two others at which the zone's clocks changed.
pub(super) fn clock_changes(
    zone: Tz,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Vec<(DateTime<Utc>, Change)> {
    let offset = |at: DateTime<Utc>| at.with_timezone(&zone).offset().fix().local_minus_utc();
    let mut found = Vec::new();
    let hours = from.timestamp().div_euclid(3600);
    let mut hour = DateTime::from_timestamp(hours * 3600, 0).unwrap_or(from);
    // Changes happen on the hour, in every zone that the practice has.
    while let Some(next) = hour.checked_add_signed(Duration::hours(1)).filter(|next| *next < to) {
        match offset(next) - offset(hour) {
            0 => {}
            gained => found.push((next, if gained > 0 { Change::Forward } else { Change::Back })),
        }
        hour = next;
    }
    found
}
