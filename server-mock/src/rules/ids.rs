//! Ids on the wire: UUIDs in lower case with hyphens, and in no other spelling.

use serde_json::Value;
use uuid::Uuid;

/// The id in a text.
pub(crate) fn parse(text: &str) -> Option<Uuid> {
    let id = Uuid::try_parse(text).ok()?;
    let mut canonical = [0; uuid::fmt::Hyphenated::LENGTH];
    (id.as_hyphenated().encode_lower(&mut canonical) == text).then_some(id)
}

/// The id in a JSON string.
pub(crate) fn from_json(value: &Value) -> Option<Uuid> {
    value.as_str().and_then(parse)
}
