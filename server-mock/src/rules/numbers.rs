//! 64-bit integers on the wire: decimal strings, since JSON numbers lose digits in many languages.

use serde::{Serialize, Serializer};
use serde_json::Value;
use std::collections::BTreeMap;

/// For `#[serde(serialize_with)]`.
pub(crate) fn decimal<S: Serializer>(number: &u64, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(number)
}

/// The number in a decimal string, written in the one canonical way.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let canonical = text == "0"
        || (!text.starts_with('0') && !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
    let number = text.parse::<u64>().ok().filter(|_| canonical)?;
    i64::try_from(number).is_ok().then_some(number)
}

/// The number in a JSON string.
pub(crate) fn from_json(value: &Value) -> Option<u64> {
    value.as_str().and_then(parse)
}

/// Writes every value of a map as a decimal string.
pub(crate) fn decimals<K: Serialize, S: Serializer>(
    numbers: &BTreeMap<K, u64>,
    to: S,
) -> Result<S::Ok, S::Error> {
    to.collect_map(numbers.iter().map(|(key, number)| (key, number.to_string())))
}
