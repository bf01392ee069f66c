//! Ids: UUIDs of version 7 on the wire, 16 bytes in the store.

use crate::error::{PortalError, Reason};
use crate::ports::{Clock, Entropy};
use std::fmt;
use uuid::Uuid;

/// The id of anything that the practice or this device made.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(Uuid);

impl Id {
    /// A new id: version 7, time-ordered, from the ports' clock and entropy (RFC 9562 §5.7).
    pub fn new(clock: &dyn Clock, entropy: &dyn Entropy) -> Self {
        let mut random = [0u8; 10];
        entropy.fill(&mut random);
        let millis = u64::try_from(clock.wall().0).unwrap_or(0);
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }

    /// Parses the hyphenated form that the wire and the shells use.
    ///
    /// # Errors
    /// `Refused { malformed, field }` when it is anything else.
    pub fn parse(text: &str, field: &str) -> Result<Self, PortalError> {
        Self::from_wire(text).ok_or_else(|| PortalError::refused_field(Reason::Malformed, field))
    }

    pub(crate) fn from_wire(text: &str) -> Option<Self> {
        (text.len() == 36).then(|| Uuid::try_parse(text).ok().map(Self)).flatten()
    }

    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// Another id, for a bug to plant.
    pub(crate) fn next(self) -> Self {
        Self(Uuid::from_u128(self.0.as_u128() ^ 1))
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

// An id is opaque: it may stand in a log.
impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Id {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::from_wire(&text).ok_or_else(|| serde::de::Error::custom("not an id"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hyphenated_form_is_an_id() {
        let good = "018f4c2e-7b1a-7c3d-9e4f-0123456789ab";
        assert_eq!(Id::from_wire(good).map(|id| id.to_string()).as_deref(), Some(good));
        for bad in
            ["", "018f", "018f4c2e7b1a7c3d9e4f0123456789ab", &format!("{{{good}}}"), "../../etc/passwd"]
        {
            assert!(Id::from_wire(bad).is_none(), "{bad}");
        }
    }
}
