//! What goes wrong on purpose, drawn from its own random numbers so that nothing else changes.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use serde::{Deserialize, Serialize};

/// How likely each fault is, from 0.0 to 1.0. They strike `/v1/*` and `/oauth/token` only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Where the faults' random numbers start.
    pub seed: u64,
    /// The answer takes up to `max_delay_ms` longer.
    pub delay: f64,
    /// The longest delay.
    pub max_delay_ms: u64,
    /// The connection drops; nothing was done.
    pub drop_before: f64,
    /// The connection drops; everything was done.
    pub drop_after: f64,
    /// The request arrives twice, and the second answer comes back.
    pub duplicate: f64,
    /// The body breaks off.
    pub truncate: f64,
    /// 500; nothing was done.
    pub error_500: f64,
    /// 500; everything was done.
    pub commit_then_500: f64,
    /// 503 with `Retry-After`; nothing was done.
    pub error_503: f64,
    /// 429 with `Retry-After`; nothing was done.
    pub error_429: f64,
    /// 401 `token_expired` where a token is needed; nothing was done.
    pub error_401: f64,
    /// 410 `cursor_expired` from the feed.
    pub cursor_410: f64,
    /// A captive portal answers 200 with a page of its own; nothing was done.
    pub html: f64,
    /// An op is answered `retry`.
    pub op_retry: f64,
}

/// The faults in force, and their random numbers.
#[derive(Clone)]
pub(crate) struct FaultPlan {
    faults: Faults,
    rng: ChaCha20Rng,
}

/// What befalls one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mishap {
    pub(crate) delay_ms: u64,
    /// What happens in place of handling the request.
    pub(crate) instead: Option<Instead>,
    pub(crate) duplicate: bool,
    /// What happens to the answer.
    pub(crate) after: Option<After>,
}

/// What happens in place of handling a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Instead {
    Drop,
    Html,
    Internal,
    Unavailable { retry_after: u64 },
    TooMany { retry_after: u64 },
    TokenExpired,
    CursorExpired,
}

/// What happens to an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum After {
    Drop,
    Internal,
    /// Breaks off at this share of its length.
    Truncate(f64),
}

impl Faults {
    /// Whether each probability is one.
    pub(crate) fn are_probabilities(&self) -> bool {
        let all = [
            self.delay,
            self.drop_before,
            self.drop_after,
            self.duplicate,
            self.truncate,
            self.error_500,
            self.commit_then_500,
            self.error_503,
            self.error_429,
            self.error_401,
            self.cursor_410,
            self.html,
            self.op_retry,
        ];
        all.iter().all(|probability| (0.0..=1.0).contains(probability))
    }
}

impl Default for FaultPlan {
    fn default() -> Self {
        Self::new(Faults::default())
    }
}

impl FaultPlan {
    pub(crate) fn new(faults: Faults) -> Self {
        let rng = ChaCha20Rng::seed_from_u64(faults.seed);
        Self { faults, rng }
    }

    /// Draws what befalls the next request. The number of draws is always the same, so that a fault
    /// does not shift the ones after it.
    pub(crate) fn draw(&mut self, needs_token: bool, is_feed: bool) -> Mishap {
        let faults = self.faults.clone();
        let delayed = self.strikes(faults.delay);
        let delay_ms = (self.share() * faults.max_delay_ms as f64) as u64;
        let retry_after = 1 + (self.share() * 5.0) as u64;
        let cut = self.share();
        let instead = [
            (self.strikes(faults.drop_before), Instead::Drop),
            (self.strikes(faults.html), Instead::Html),
            (self.strikes(faults.error_500), Instead::Internal),
            (self.strikes(faults.error_503), Instead::Unavailable { retry_after }),
            (self.strikes(faults.error_429), Instead::TooMany { retry_after }),
            (self.strikes(faults.error_401) && needs_token, Instead::TokenExpired),
            (self.strikes(faults.cursor_410) && is_feed, Instead::CursorExpired),
        ];
        let duplicate = self.strikes(faults.duplicate);
        let after = [
            (self.strikes(faults.drop_after), After::Drop),
            (self.strikes(faults.commit_then_500), After::Internal),
            (self.strikes(faults.truncate), After::Truncate(cut)),
        ];
        Mishap {
            delay_ms: if delayed { delay_ms } else { 0 },
            instead: instead.into_iter().find_map(|(strikes, what)| strikes.then_some(what)),
            duplicate,
            after: after.into_iter().find_map(|(strikes, what)| strikes.then_some(what)),
        }
    }

    /// Whether the next op has to come again, and after how many seconds.
    pub(super) fn op_retry(&mut self) -> Option<u64> {
        let probability = self.faults.op_retry;
        if probability <= 0.0 {
            return None;
        }
        let seconds = 1 + (self.share() * 5.0) as u64;
        self.strikes(probability).then_some(seconds)
    }

    fn strikes(&mut self, probability: f64) -> bool {
        self.share() < probability
    }

    /// A number from 0.0 up to, but not including, 1.0.
    fn share(&mut self) -> f64 {
        (self.rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }
}
