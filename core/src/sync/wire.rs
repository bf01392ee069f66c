//! The JSON of `portal-sync/1` as this side reads and writes it (docs/PROTOCOL.md).

use crate::error::Reason;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// A 64-bit integer as a decimal string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Decimal(pub(crate) i64);

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Decimal;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a decimal string")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Decimal, E> {
                let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                digits
                    .then(|| text.parse().ok().map(Decimal))
                    .flatten()
                    .ok_or_else(|| E::custom("not a decimal"))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

impl Serialize for Decimal {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// One page of the feed. Changes are kept raw: one that cannot be read must not stop the others.
#[derive(Deserialize)]
pub(crate) struct Page<'a> {
    pub(crate) epoch: String,
    pub(crate) from: String,
    pub(crate) next: String,
    pub(crate) checkpoint: Decimal,
    pub(crate) has_more: bool,
    #[serde(default)]
    pub(crate) acked: BTreeMap<String, Decimal>,
    #[serde(borrow)]
    pub(crate) changes: Vec<&'a RawValue>,
}

/// One change of a page.
#[derive(Deserialize)]
pub(crate) struct Change<'a> {
    pub(crate) seq: Decimal,
    #[serde(borrow)]
    pub(crate) entity: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) id: Cow<'a, str>,
    pub(crate) ver: Decimal,
    pub(crate) op: Verb,
    #[serde(borrow, default)]
    pub(crate) data: Option<&'a RawValue>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verb {
    Put,
    Del,
}

/// `POST /v1/ops`.
#[derive(Serialize)]
pub(crate) struct Ops<'a> {
    pub(crate) epoch: &'a str,
    pub(crate) ops: Vec<Op<'a>>,
}

#[derive(Serialize)]
pub(crate) struct Op<'a> {
    pub(crate) lane: &'a str,
    pub(crate) n: Decimal,
    pub(crate) key: crate::values::Id,
    #[serde(rename = "type")]
    pub(crate) kind: &'a str,
    pub(crate) entity: &'a str,
    pub(crate) id: crate::values::Id,
    pub(crate) base: Option<Decimal>,
    pub(crate) deps: [(); 0],
    pub(crate) args: &'a RawValue,
}

/// Its answer.
#[derive(Deserialize)]
pub(crate) struct Results {
    pub(crate) results: Vec<OpResult>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct OpResult {
    pub(crate) lane: String,
    pub(crate) n: Decimal,
    pub(crate) status: Status,
    /// With `replayed`: what it was the first time.
    #[serde(default)]
    pub(crate) was: Option<Status>,
    #[serde(default)]
    pub(crate) seq: Option<Decimal>,
    #[serde(default)]
    pub(crate) problem: Option<OpProblem>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Applied,
    Replayed,
    Conflict,
    Rejected,
    Blocked,
    Retry,
    /// A newer server's: treated like `retry`, never as done.
    #[serde(other)]
    Unknown,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct OpProblem {
    #[serde(default)]
    pub(crate) code: String,
    #[serde(default)]
    pub(crate) field: Option<String>,
    #[serde(default)]
    pub(crate) retry_after_s: Option<u64>,
}

impl OpProblem {
    pub(crate) fn reason(&self) -> Reason {
        Reason::from_code(&self.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_is_digits_in_quotes() {
        assert_eq!(serde_json::from_str::<Decimal>("\"417\"").unwrap(), Decimal(417));
        for bad in ["417", "\"\"", "\"-1\"", "\"1e3\"", "\" 1\"", "\"99999999999999999999\"", "null"] {
            assert!(serde_json::from_str::<Decimal>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ten_thousand_levels_are_an_error_or_ignored_but_never_a_crash() {
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        assert!(serde_json::from_str::<Page<'_>>(&deep).is_err());
        let change = format!(
            r#"{{"seq":"1","entity":"message","id":"x","ver":"1","op":"put","data":{{"a":{deep}}}}}"#
        );
        let change: Change<'_> = serde_json::from_str(&change).unwrap();
        assert!(change.data.is_some());
    }
}
