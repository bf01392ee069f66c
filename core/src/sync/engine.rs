//! What to do next: pure decisions over (state, event, boot time, random number). The driver acts.

use crate::error::{PortalError, Reason};
use crate::proof::planted;
use std::collections::BTreeMap;
use std::time::Duration;

/// First and longest wait of the full-jitter backoff, in milliseconds.
const BACKOFF_FIRST: u64 = 1_000;
const BACKOFF_LONGEST: u64 = 300_000;
/// No server may silence us for longer with `Retry-After`.
const FLOOR_LONGEST: Duration = Duration::from_secs(3_600);

/// What the store says there is to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    /// A first pull or a resync is needed before counters of lanes are known.
    pub(crate) pull_first: bool,
    /// A pull stopped between two pages.
    pub(crate) pull_begun: bool,
    /// Lanes with something to send.
    pub(crate) lanes: Vec<String>,
}

/// The next act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Send from all lanes but the held ones, at most `most` ops.
    Push { held: Vec<String>, most: usize },
    /// Fetch the next page.
    Pull,
    /// Nothing may be sent before this boot time.
    Wait { until: u64 },
    /// Nothing is left to do.
    Rest,
}

/// Who asks for a sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// A person or the system asks now: the backoff (but not `Retry-After`) is void.
    Asked,
    /// Something was written: it goes out when the backoff allows.
    Wrote,
}

/// What came of an act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Every op has an answer; some lanes are to be tried later.
    Pushed { later: Vec<(String, Option<Duration>)> },
    /// The whole request was refused: `most` was this many.
    PushRefused { most: usize },
    /// A page arrived; `ended` when it was the pull's last.
    Pulled { ended: bool },
    /// The server does not know our place any more.
    Gone,
    /// The server does not know our counters any more: nothing was done, a refill learns them.
    PushGone,
    /// No usable answer, or this device could not take it.
    Failed { error: PortalError, wait: Option<Duration> },
}

/// In-memory state; losing it costs an attempt, never data.
#[derive(Debug)]
pub(crate) struct Engine {
    wanted: bool,
    /// A person asked since the run began.
    asked: bool,
    attempt: u32,
    /// Pulls in a row that began and did not come to their end.
    restarts: u32,
    /// Pushes in a row that the server could not place.
    misplaced: u32,
    not_before: u64,
    floor: u64,
    lanes: BTreeMap<String, Delay>,
    most: usize,
    last_failure: Option<PortalError>,
}

#[derive(Clone, Debug)]
struct Delay {
    attempt: u32,
    until: u64,
    /// What the server asked for: not even a person is sooner.
    floor: u64,
}

/// Ops in one request.
pub(crate) const BATCH: usize = 50;

impl Default for Engine {
    fn default() -> Self {
        Self {
            wanted: false,
            asked: false,
            attempt: 0,
            restarts: 0,
            misplaced: 0,
            not_before: 0,
            floor: 0,
            lanes: BTreeMap::new(),
            most: BATCH,
            last_failure: None,
        }
    }
}

impl Engine {
    /// Asks for a pull (and a push of whatever waits). During a run it makes one more round: a
    /// trigger is never lost.
    pub(crate) fn trigger(&mut self, trigger: Trigger) {
        self.wanted = true;
        if trigger == Trigger::Asked {
            self.asked = true;
            self.not_before = 0;
            for delay in self.lanes.values_mut() {
                delay.until = delay.until.min(delay.floor);
            }
        }
    }

    /// A run begins: whoever asked up to now is answered by it, be it with a failure.
    pub(crate) fn run(&mut self) {
        self.asked = false;
    }

    /// Whether a person asked since the last run began.
    pub(crate) fn asked(&self) -> bool {
        self.asked
    }

    /// The next act at this boot time.
    pub(crate) fn step(&self, work: &Work, now: u64) -> Step {
        let until = self.not_before.max(self.floor);
        let held = self.held(now);
        let all_held = planted!(OneLaneHoldsAll) && !held.is_empty();
        let sendable = !all_held && work.lanes.iter().any(|lane| !held.contains(lane));
        let pull = self.wanted || work.pull_first || work.pull_begun;
        if !pull && work.lanes.is_empty() {
            return Step::Rest;
        }
        if now < until {
            return Step::Wait { until };
        }
        if sendable && !work.pull_first {
            return Step::Push { held, most: self.most };
        }
        if pull {
            return Step::Pull;
        }
        let first = work.lanes.iter().filter_map(|lane| self.lanes.get(lane)).map(|delay| delay.until).min();
        first.map_or(Step::Rest, |until| Step::Wait { until })
    }

    /// Tells that the act begins. A new pull answers every trigger up to now; one that comes while
    /// it runs, or between its pages (which share the first one's checkpoint), asks for another.
    pub(crate) fn begin(&mut self, step: &Step, work: &Work) {
        if *step == Step::Pull && (!work.pull_begun || planted!(TriggerBetweenPagesLost)) {
            self.wanted = false;
        }
    }

    /// The practice wants to hear from a lane later, in an answer that could not be stored.
    pub(crate) fn hold(&mut self, lane: &str, wait: Duration, now: u64) {
        let floor = if planted!(LaneWaitIgnored) { 0 } else { now + millis(Some(wait)) };
        let delay = self.lanes.entry(lane.to_owned()).or_insert(Delay { attempt: 1, until: floor, floor });
        (delay.until, delay.floor) = (delay.until.max(floor), delay.floor.max(floor));
    }

    fn held(&self, now: u64) -> Vec<String> {
        self.lanes.iter().filter(|(_, delay)| now < delay.until).map(|(lane, _)| lane.clone()).collect()
    }

    /// Takes in what came of an act. `random` is uniform over `u64`.
    pub(crate) fn heard(&mut self, heard: Heard, now: u64, random: u64) {
        match heard {
            Heard::Pushed { later } => {
                self.succeeded();
                self.misplaced = 0;
                // After a poisoned batch it grows again step by step.
                self.most = (self.most * 2).min(BATCH);
                self.wanted = true;
                for (lane, wait) in later {
                    let attempt = self.lanes.get(&lane).map_or(0, |delay| delay.attempt).saturating_add(1);
                    let floor = if planted!(LaneWaitIgnored) { 0 } else { now + millis(wait) };
                    let until = floor.max(now + jitter(attempt, random));
                    self.lanes.insert(lane, Delay { attempt, until, floor });
                }
                // Delays of lanes that went through are over.
                self.lanes.retain(|_, delay| now < delay.until);
            }
            Heard::PushRefused { .. } => {
                // One of them is poison: one by one it is found and the others go through.
                self.succeeded();
                self.most = 1;
                self.wanted = true;
            }
            Heard::Pulled { ended } => {
                self.succeeded();
                if ended {
                    if planted!(TriggerDuringAPullLost) {
                        self.wanted = false;
                    }
                    self.restarts = 0;
                }
            }
            Heard::Gone => {
                // The driver marked the shadow refill; a server that says so again and again, be it
                // after a first page each time, is asked again later.
                self.wanted = true;
                self.restarts = self.restarts.saturating_add(1);
                self.restarted(self.restarts, now, random);
            }
            Heard::PushGone => {
                self.wanted = true;
                self.misplaced = self.misplaced.saturating_add(1);
                self.restarted(self.misplaced, now, random);
            }
            Heard::Failed { error, wait } => {
                self.wanted = true;
                self.attempt = self.attempt.saturating_add(1);
                // Who asked while it was failing gets one more try at once.
                self.not_before = if self.asked { 0 } else { now + jitter(self.attempt, random) };
                if planted!(BackoffInSecondsTakenForMinutes) {
                    self.not_before = now + 60 * jitter(self.attempt, random);
                }
                // While the server's own wait lasts, that is the reason. What only a person can mend was
                // told to whoever asked; to the next run, after an unlock say, it means nothing.
                if now >= self.floor && (passes(&error) || planted!(LockStopsTheBackground)) {
                    self.last_failure = Some(error);
                }
                if !planted!(RetryAfterIgnored) {
                    self.floor = self.floor.max(now + millis(wait));
                }
            }
        }
    }

    fn restarted(&mut self, times: u32, now: u64, random: u64) {
        if times > 2 {
            self.not_before = now + jitter(times, random);
            self.last_failure = Some(PortalError::offline(Reason::BadAnswer));
        }
    }

    fn succeeded(&mut self) {
        self.attempt = 0;
        self.not_before = 0;
        self.last_failure = None;
    }

    /// Why the last act failed, while none has succeeded since.
    pub(crate) fn failure(&self) -> Option<&PortalError> {
        self.last_failure.as_ref()
    }
}

/// Whether a background run that ended like this makes sense again without anybody asking: what the
/// network or a neighbour did passes, but nobody unlocks, signs in or updates by waiting.
pub(crate) fn passes(error: &PortalError) -> bool {
    match error {
        PortalError::Offline { .. } => true,
        PortalError::Storage { reason } => {
            matches!(reason, Reason::InUse | Reason::DiskFull | Reason::FileUnavailable)
        }
        _ => false,
    }
}

/// Full jitter: uniform between nothing and the doubled bound, so that a thousand phones that lost
/// the same server do not come back together.
fn jitter(attempt: u32, random: u64) -> u64 {
    let bound = BACKOFF_FIRST.saturating_mul(1 << attempt.saturating_sub(1).min(20)).min(BACKOFF_LONGEST);
    1 + random % bound
}

fn millis(wait: Option<Duration>) -> u64 {
    u64::try_from(wait.unwrap_or_default().min(FLOOR_LONGEST).as_millis()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(lanes: &[&str]) -> Work {
        Work { lanes: lanes.iter().map(ToString::to_string).collect(), ..Work::default() }
    }

    #[test]
    fn nothing_to_do_is_rest() {
        assert_eq!(Engine::default().step(&work(&[]), 0), Step::Rest);
    }

    #[test]
    fn a_first_pull_comes_before_any_push() {
        let engine = Engine::default();
        let first = Work { pull_first: true, ..work(&["a"]) };
        assert_eq!(engine.step(&first, 0), Step::Pull);
        assert_eq!(engine.step(&work(&["a"]), 0), Step::Push { held: vec![], most: BATCH });
    }

    #[test]
    fn a_trigger_during_a_pull_or_between_its_pages_makes_one_more() {
        let mut engine = Engine::default();
        let begun = Work { pull_begun: true, ..work(&[]) };
        engine.trigger(Trigger::Asked);
        engine.begin(&Step::Pull, &work(&[]));
        engine.heard(Heard::Pulled { ended: true }, 0, 0);
        engine.trigger(Trigger::Wrote);
        engine.begin(&Step::Pull, &begun);
        engine.heard(Heard::Pulled { ended: true }, 0, 0);
        assert_eq!(engine.step(&work(&[]), 0), Step::Pull);
        engine.begin(&Step::Pull, &work(&[]));
        engine.heard(Heard::Pulled { ended: true }, 0, 0);
        assert_eq!(engine.step(&work(&[]), 0), Step::Rest);
    }

    #[test]
    fn retry_after_is_a_floor_even_for_a_person() {
        let mut engine = Engine::default();
        let failed =
            Heard::Failed { error: PortalError::offline(Reason::Busy), wait: Some(Duration::from_secs(60)) };
        engine.heard(failed, 1_000, 0);
        engine.trigger(Trigger::Asked);
        assert_eq!(engine.step(&work(&["a"]), 1_000), Step::Wait { until: 61_000 });
        assert_eq!(engine.step(&work(&[]), 61_000), Step::Pull);
    }

    #[test]
    fn a_person_skips_our_own_backoff() {
        let mut engine = Engine::default();
        engine.heard(
            Heard::Failed { error: PortalError::offline(Reason::NoConnection), wait: None },
            0,
            u64::MAX,
        );
        assert!(matches!(engine.step(&work(&[]), 0), Step::Wait { .. }));
        engine.trigger(Trigger::Asked);
        assert_eq!(engine.step(&work(&[]), 0), Step::Pull);
    }

    #[test]
    fn a_failure_of_this_device_waits_like_any_other() {
        let mut engine = Engine::default();
        engine.trigger(Trigger::Asked);
        engine.run();
        engine.heard(Heard::Failed { error: PortalError::storage(Reason::InUse), wait: None }, 5, 99);
        assert_eq!(engine.step(&work(&["a"]), 5), Step::Wait { until: 105 });
        engine.trigger(Trigger::Wrote);
        assert_eq!(engine.step(&work(&["a"]), 5), Step::Wait { until: 105 });
    }

    #[test]
    fn a_lock_in_the_middle_is_no_reason_for_the_run_after_the_unlock_to_give_up() {
        let mut engine = Engine::default();
        engine.run();
        engine.heard(Heard::Failed { error: PortalError::storage(Reason::Suspended), wait: None }, 5, 99);
        assert_eq!(engine.step(&work(&["a"]), 5), Step::Wait { until: 105 });
        assert_eq!(engine.failure(), None);
    }

    #[test]
    fn who_asks_during_a_run_that_fails_gets_one_more_try_and_not_a_hundred() {
        let mut engine = Engine::default();
        let failed = || Heard::Failed { error: PortalError::storage(Reason::InUse), wait: None };
        engine.run();
        engine.trigger(Trigger::Asked);
        engine.heard(failed(), 0, 7);
        assert!(matches!(engine.step(&work(&["a"]), 0), Step::Push { .. }));
        engine.run();
        engine.heard(failed(), 0, 7);
        assert!(matches!(engine.step(&work(&["a"]), 0), Step::Wait { .. }));
    }

    #[test]
    fn a_server_that_never_knows_our_counters_is_asked_less_and_less() {
        let mut engine = Engine::default();
        let mut waited = 0;
        for _ in 0..6 {
            engine.heard(Heard::PushGone, 0, 500);
            waited += u32::from(matches!(engine.step(&work(&["a"]), 0), Step::Wait { .. }));
            engine.heard(Heard::Pulled { ended: true }, 0, 0);
        }
        assert_eq!(waited, 4, "a refill that works is no reason to begin anew");
    }

    #[test]
    fn the_background_goes_on_only_where_waiting_helps() {
        for reason in [Reason::InUse, Reason::DiskFull, Reason::FileUnavailable] {
            assert!(passes(&PortalError::storage(reason)));
        }
        assert!(passes(&PortalError::offline(Reason::NoConnection)));
        for ends in [
            PortalError::storage(Reason::Suspended),
            PortalError::storage(Reason::Damaged),
            PortalError::locked(Reason::LockedIdle),
            PortalError::signed_out(Reason::SessionEnded),
            PortalError::refused(Reason::UpdateRequired),
        ] {
            assert!(!passes(&ends), "{ends}");
        }
    }

    #[test]
    fn a_lane_that_must_wait_holds_no_other() {
        let mut engine = Engine::default();
        let later = vec![("a".to_owned(), Some(Duration::from_secs(9)))];
        engine.heard(Heard::Pushed { later }, 0, 0);
        assert_eq!(engine.step(&work(&["a", "b"]), 0), Step::Push { held: vec!["a".into()], most: BATCH });
        engine.begin(&Step::Pull, &work(&[]));
        engine.heard(Heard::Pulled { ended: true }, 0, 0);
        assert_eq!(engine.step(&work(&["a"]), 0), Step::Wait { until: 9_000 });
        assert_eq!(engine.step(&work(&["a"]), 9_000), Step::Push { held: vec![], most: BATCH });
    }

    #[test]
    fn the_backoff_stays_in_its_bounds() {
        for attempt in 0..100 {
            for random in [0, 1, u64::MAX / 2, u64::MAX] {
                let wait = jitter(attempt, random);
                assert!((1..=BACKOFF_LONGEST).contains(&wait), "{attempt} {random} {wait}");
            }
        }
    }
}
