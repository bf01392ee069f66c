//! Instants in words: always with the zone, since a client may be in another one than the practice.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use portal_core::values::When;
use std::time::SystemTime;

/// `2026-03-08 14:30 EDT`, in the zone in which the core wants it shown.
pub(crate) fn shown(when: &When) -> String {
    match when.zone.parse::<Tz>() {
        Ok(zone) => {
            DateTime::<Utc>::from(when.at).with_timezone(&zone).format("%Y-%m-%d %H:%M %Z").to_string()
        }
        // A zone that this version does not know is named, not guessed.
        Err(_) => {
            format!("{} UTC (for {})", DateTime::<Utc>::from(when.at).format("%Y-%m-%d %H:%M"), when.zone)
        }
    }
}

/// `3 min ago`, for how old what is shown is.
pub(crate) fn ago(at: SystemTime) -> String {
    let seconds = at.elapsed().unwrap_or_default().as_secs();
    match seconds {
        0..60 => "just now".to_owned(),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..172_800 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn when(zone: &str) -> When {
        When { at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_772_955_000), zone: zone.to_owned() }
    }

    #[test]
    fn a_time_is_shown_with_its_zone() {
        assert_eq!(shown(&when("America/New_York")), "2026-03-08 03:30 EDT");
        assert_eq!(shown(&when("America/Phoenix")), "2026-03-08 00:30 MST");
        assert_eq!(shown(&when("Mars/Olympus")), "2026-03-08 07:30 UTC (for Mars/Olympus)");
    }

    #[test]
    fn age_is_in_words_and_the_future_is_now() {
        let now = SystemTime::now();
        assert_eq!(ago(now + Duration::from_secs(50)), "just now");
        assert_eq!(ago(now - Duration::from_secs(150)), "2 min ago");
        assert_eq!(ago(now - Duration::from_secs(3 * 86_400)), "3 days ago");
    }
}
