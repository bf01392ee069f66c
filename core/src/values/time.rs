//! Instants, and instants with the zone in which they are shown.

use chrono::{DateTime, SecondsFormat};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub i64);

impl Millis {
    pub(crate) fn system_time(self) -> SystemTime {
        let distance = Duration::from_millis(self.0.unsigned_abs());
        if self.0 >= 0 { UNIX_EPOCH + distance } else { UNIX_EPOCH - distance }
    }

    /// RFC 3339 in UTC with milliseconds, the form of the wire.
    pub fn rfc3339(self) -> String {
        DateTime::from_timestamp_millis(self.0)
            .unwrap_or_default()
            .to_rfc3339_opts(SecondsFormat::Millis, true)
    }
}

/// Parses RFC 3339; `None` for anything else, and for a year that no chart has.
pub(crate) fn parse_rfc3339(text: &str) -> Option<Millis> {
    let millis = DateTime::parse_from_rfc3339(text).ok()?.timestamp_millis();
    // 1900 to 2200: outside of it a date is a mistake, and arithmetic on it would overflow somewhere.
    (-2_208_988_800_000..7_258_118_400_000).contains(&millis).then_some(Millis(millis))
}

/// An IANA zone that this version knows, with its rules: those that come with the library, whatever the device has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Zone {
    /// Parses an IANA name (`America/New_York`); `None` for an unknown one, never UTC instead (R58).
    pub fn parse(name: &str) -> Option<Self> {
        let zone = TimeZone::get(name).ok().filter(|zone| !zone.is_unknown())?;
        // Written otherwise, shells would not know it.
        (zone.iana_name() == Some(name)).then_some(Self(zone))
    }

    /// The IANA name.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or_default()
    }

    /// The hour there, with the zone's letters at that time and its name.
    pub(crate) fn spoken(&self, at: SystemTime) -> Option<String> {
        let there = Timestamp::try_from(at).ok()?.to_zoned_datetime(self.0.clone());
        Some(format!("{} ({})", there.strftime("%Y-%m-%d %H:%M %Z"), self.name()))
    }
}

/// An instant and the zone in which it is to be shown. A shell always prints the zone with it.
#[derive(Clone, PartialEq, Eq, serde::Serialize, uniffi::Record)]
#[uniffi::export(Debug)]
pub struct When {
    /// The instant.
    #[serde(serialize_with = "rfc3339")]
    pub at: SystemTime,
    /// IANA name: the client's own zone, or the practice's while the client has set none.
    pub zone: String,
}

impl When {
    pub(crate) fn new(at: Millis, zone: &str) -> Self {
        Self { at: at.system_time(), zone: zone.to_owned() }
    }
}

super::private_debug!(When);

/// For a field that may be absent.
#[allow(clippy::ref_option, reason = "serde's signature")]
pub(crate) fn rfc3339_option<S: serde::Serializer>(
    at: &Option<SystemTime>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => rfc3339(at, serializer),
        None => serializer.serialize_none(),
    }
}

fn rfc3339<S: serde::Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let millis = match at.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
    };
    serializer.serialize_str(&Millis(millis).rfc3339())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_round_trips_and_refuses_what_no_chart_has() {
        let text = "2026-03-08T07:30:00.250Z";
        assert_eq!(parse_rfc3339(text).map(Millis::rfc3339).as_deref(), Some(text));
        for bad in ["", "2026-03-08", "2026-13-01T00:00:00Z", "9999-01-01T00:00:00Z", "0001-01-01T00:00:00Z"]
        {
            assert_eq!(parse_rfc3339(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_unknown_zone_is_not_utc() {
        assert_eq!(Zone::parse("America/Denver").as_ref().map(Zone::name), Some("America/Denver"));
        for unknown in ["Mars/Olympus", "", "Etc/Unknown", "america/denver", "America/Denver "] {
            assert_eq!(Zone::parse(unknown), None, "{unknown}");
        }
    }
}
