//! Op counters, one for each lane of each install, with every result that they ever gave.

use crate::rules::secrets::Digest;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};
use uuid::Uuid;

/// The answer to one op.
#[derive(Clone, Debug)]
pub(crate) struct OpResult {
    pub(crate) status: Status,
    /// The version of the row.
    pub(crate) ver: Option<u64>,
    /// The change that shows it.
    pub(crate) seq: Option<u64>,
    /// The row as it is, for a conflict.
    pub(crate) current: Option<Arc<RawValue>>,
    pub(crate) problem: Option<OpProblem>,
}

/// What became of an op.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Applied,
    Conflict,
    Rejected,
    Blocked,
    Retry,
}

/// Why an op was not applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct OpProblem {
    pub(crate) code: &'static str,
    pub(crate) retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) field: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retry_after_s: Option<u64>,
}

/// What identifies an op.
#[derive(Clone, Debug)]
pub(crate) struct OpIdentity {
    pub(crate) lane: String,
    pub(crate) n: u64,
    pub(crate) key: Uuid,
    /// The digest of what the op does, without its place; it outlives a renumbering.
    pub(crate) content: Digest,
    /// The digest of the whole op.
    pub(crate) whole: Digest,
}

/// All counters of one account.
#[derive(Clone)]
pub(crate) struct Lanes {
    epoch: Uuid,
    /// By install, by lane; the result of `n` is at `n - 1`.
    results: HashMap<Uuid, BTreeMap<String, Vec<Executed>>>,
    keys: HashMap<(Uuid, Uuid), KeyUse>,
}

#[derive(Clone)]
struct Executed {
    key: Uuid,
    result: OpResult,
    at: DateTime<Utc>,
    /// The feed's `seq` right after; at a checkpoint from there on, the op is acknowledged.
    head: u64,
}

#[derive(Clone)]
struct KeyUse {
    epoch: Uuid,
    content: Digest,
    whole: Digest,
}

impl Lanes {
    pub(crate) fn new(epoch: Uuid) -> Self {
        Self { epoch, results: HashMap::new(), keys: HashMap::new() }
    }

    /// The highest `n` executed.
    pub(crate) fn last(&self, install: Uuid, lane: &str) -> u64 {
        let results = self.results.get(&install).and_then(|lanes| lanes.get(lane));
        results.map_or(0, |results| results.len() as u64)
    }

    /// The result of an `n` that was executed.
    pub(crate) fn result(&self, install: Uuid, lane: &str, n: u64) -> Option<&OpResult> {
        self.executed(install, lane, n).map(|executed| &executed.result)
    }

    /// Whether an op takes a place or a key that another op has. A key moves to another place only
    /// with a new epoch.
    pub(crate) fn is_reuse(&self, install: Uuid, op: &OpIdentity) -> bool {
        let place_taken =
            self.executed(install, &op.lane, op.n).is_some_and(|executed| executed.key != op.key);
        let key_taken = self.keys.get(&(install, op.key)).is_some_and(|before| {
            if before.epoch == self.epoch { before.whole != op.whole } else { before.content != op.content }
        });
        place_taken || key_taken
    }

    /// Stores the result of the next op of a lane, for ever.
    pub(crate) fn store(
        &mut self,
        install: Uuid,
        op: &OpIdentity,
        result: OpResult,
        head: u64,
        now: DateTime<Utc>,
    ) {
        let key_use = KeyUse { epoch: self.epoch, content: op.content, whole: op.whole };
        self.keys.insert((install, op.key), key_use);
        let lanes = self.results.entry(install).or_default();
        let results = lanes.entry(op.lane.clone()).or_default();
        results.push(Executed { key: op.key, result, at: now, head });
    }

    /// The highest `n` of each lane at a checkpoint of the feed.
    pub(crate) fn acked(&self, install: Uuid, checkpoint: u64) -> BTreeMap<&str, String> {
        let lanes = self.results.get(&install).into_iter().flatten();
        let counters = lanes.map(|(lane, results)| {
            (lane.as_str(), results.partition_point(|executed| executed.head <= checkpoint))
        });
        counters.filter(|(_, n)| *n > 0).map(|(lane, n)| (lane, n.to_string())).collect()
    }

    /// Starts a new epoch; with an instant, forgets what was executed since then.
    pub(crate) fn begin_epoch(&mut self, epoch: Uuid, back_to: Option<DateTime<Utc>>) {
        self.epoch = epoch;
        let Some(back_to) = back_to else { return };
        for results in self.results.values_mut().flat_map(BTreeMap::values_mut) {
            let kept = results.iter().take_while(|executed| executed.at < back_to).count();
            results.truncate(kept);
        }
    }

    fn executed(&self, install: Uuid, lane: &str, n: u64) -> Option<&Executed> {
        let place = usize::try_from(n.checked_sub(1)?).ok()?;
        self.results.get(&install)?.get(lane)?.get(place)
    }
}
