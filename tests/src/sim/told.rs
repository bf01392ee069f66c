//! What the practice told each process, and what leaves it: what the checks of manners hold it to.
#![allow(clippy::indexing_slicing, reason = "what a JSON value lacks is null")]

use super::tasks::Process;
use http::{Request, Response};
use std::collections::{BTreeMap, BTreeSet};

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A page of the feed.
    Feed,
    /// Ops.
    Ops,
    /// A refresh of the tokens.
    Refresh,
    /// Anything else.
    Other,
}

/// A request that left, as the checks look at it.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    /// Who sent it.
    pub(crate) process: Process,
    /// What for.
    pub(crate) what: What,
    /// When.
    pub(crate) at: u64,
    /// Nothing may be sent before then: the practice said so.
    pub(crate) floor: u64,
    /// Requests of the same kind that it had under way.
    pub(crate) beside: usize,
    /// The practice has refused its present token.
    pub(crate) rejected: bool,
    /// Lanes in it that the practice wanted later.
    pub(crate) early_lanes: Vec<String>,
    /// It shows a refresh token whose successor was used.
    pub(crate) used_up: bool,
    /// The keys of the ops in it.
    pub(crate) keys: Vec<String>,
}

/// One process.
#[derive(Default)]
struct One {
    floor: u64,
    lanes: BTreeMap<String, u64>,
    /// Lanes of which an op was not done when they were last heard of.
    held: BTreeSet<String>,
    /// The last thing that it did was to hear a good answer.
    well: bool,
    rejected: bool,
    /// When it was last given an earlier page.
    stale: Option<u64>,
}

/// All of them.
#[derive(Default)]
pub(crate) struct Told {
    processes: BTreeMap<Process, One>,
    /// By access token, the refresh token that it was got for; and those whose successor was used.
    got_for: BTreeMap<String, String>,
    used_up: BTreeSet<String>,
    /// Requests that left in the present step.
    pub(crate) sent: Vec<Sent>,
}

impl Told {
    /// The lanes that may wait in a process that has just heard a good answer: nothing else has to. `None`
    /// for one that has another reason to wait.
    pub(crate) fn may_wait(&self, process: Process) -> Option<&BTreeSet<String>> {
        self.processes.get(&process).filter(|told| told.well).map(|told| &told.held)
    }

    /// It has reason to wait: it heard no answer, say, or its disk was full when it did.
    pub(crate) fn disturbed(&mut self, process: Process) {
        self.processes.entry(process).or_default().well = false;
    }

    /// It is given a page out of some cache, and cannot know.
    pub(crate) fn is_given_an_earlier_page(&mut self, process: Process, now: u64) {
        self.processes.entry(process).or_default().stale = Some(now);
    }

    /// Whether that happened since then.
    pub(crate) fn gave_stale(&self, process: Process, since: u64) -> bool {
        self.processes.get(&process).and_then(|told| told.stale).is_some_and(|at| at >= since)
    }

    /// It is gone.
    pub(crate) fn kill(&mut self, process: Process) {
        self.processes.remove(&process);
    }

    /// A request leaves, beside so many of its kind.
    pub(crate) fn leaves(
        &mut self,
        process: Process,
        what: What,
        request: &Request<Vec<u8>>,
        at: u64,
        beside: usize,
    ) {
        let told = self.processes.entry(process).or_default();
        told.well = false;
        if what == What::Other {
            return;
        }
        let (mut early_lanes, mut keys) = (Vec::new(), Vec::new());
        if what == What::Ops {
            let body: serde_json::Value = serde_json::from_slice(request.body()).unwrap_or_default();
            for op in body["ops"].as_array().into_iter().flatten() {
                let lane = op["lane"].as_str().unwrap_or_default();
                if told.lanes.get(lane).is_some_and(|floor| at < *floor) {
                    early_lanes.push(lane.to_owned());
                }
                keys.push(op["key"].as_str().unwrap_or_default().to_owned());
            }
        }
        let (floor, rejected) = (told.floor, told.rejected);
        let used_up = self.used_up.contains(&refresh_token(request));
        self.sent.push(Sent { process, what, at, floor, beside, rejected, early_lanes, used_up, keys });
        let bearer = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        if let Some(used) = bearer.and_then(|bearer| self.got_for.get(bearer.trim_start_matches("Bearer "))) {
            self.used_up.insert(used.clone());
        }
    }

    /// It hears an answer; the lanes that it is to leave alone by that, and for how many seconds. `shows`: the
    /// refresh token that was asked with.
    pub(crate) fn hears(
        &mut self,
        process: Process,
        what: What,
        shows: &str,
        reply: &Response<Vec<u8>>,
        now: u64,
    ) -> Vec<(String, u64)> {
        let told = self.processes.entry(process).or_default();
        told.well = false;
        let mut waits = Vec::new();
        let seconds = reply.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        match (what, reply.status().as_u16()) {
            (What::Feed | What::Ops | What::Refresh, 429 | 503) => {
                told.floor = told.floor.max(now + 1_000 * seconds.unwrap_or(0));
            }
            (What::Feed | What::Ops, 401) => told.rejected = true,
            (What::Refresh, 200) => {
                // One that broke off brought nothing.
                let whole = serde_json::from_slice::<serde_json::Value>(reply.body());
                told.rejected &= whole.is_err();
                if let Some(access) =
                    whole.ok().and_then(|tokens| tokens["access_token"].as_str().map(str::to_owned))
                {
                    self.got_for.insert(access, shows.to_owned());
                }
            }
            (What::Feed, 200) => {
                let recently = told.stale.is_some_and(|at| at + 600_000 > now);
                let whole = serde_json::from_slice::<serde::de::IgnoredAny>(reply.body());
                told.well = !recently && whole.is_ok();
            }
            (What::Ops, 200) => {
                let body: serde_json::Value = serde_json::from_slice(reply.body()).unwrap_or_default();
                let results = body["results"].as_array();
                told.well = results.is_some();
                for result in results.into_iter().flatten() {
                    let lane = result["lane"].as_str().unwrap_or_default().to_owned();
                    match result["status"].as_str() {
                        Some("retry") => {
                            let wait = result["problem"]["retry_after_s"].as_u64().unwrap_or(0);
                            told.lanes.insert(lane.clone(), now + 1_000 * wait);
                            told.held.insert(lane.clone());
                            waits.push((lane, wait));
                        }
                        Some("blocked") => drop(told.held.insert(lane)),
                        _ => drop(told.held.remove(&lane)),
                    }
                }
            }
            _ => {}
        }
        waits
    }
}

/// What a request is for, by its address.
pub(super) fn what(request: &Request<Vec<u8>>) -> What {
    match request.uri().path() {
        "/v1/sync" => What::Feed,
        "/v1/ops" => What::Ops,
        "/oauth/token" if request.body().starts_with(b"grant_type=refresh_token") => What::Refresh,
        _ => What::Other,
    }
}

/// The refresh token that it shows; empty where it shows none.
pub(super) fn refresh_token(request: &Request<Vec<u8>>) -> String {
    if what(request) != What::Refresh {
        return String::new();
    }
    let mut fields = url::form_urlencoded::parse(request.body());
    let token = fields.find(|(name, _)| name == "refresh_token");
    token.map(|(_, value)| value.into_owned()).unwrap_or_default()
}
