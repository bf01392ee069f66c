//! What goes wrong in one run: every probability is drawn anew for each seed, and many are 0, so that
//! some runs know one kind of trouble only.

use super::dice::Dice;

/// Probabilities of one request, and of one step where it says so.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// There is no connection.
    pub(crate) no_connection: f64,
    /// It never arrives.
    pub(crate) lose_request: f64,
    /// It is carried out, and its answer is lost.
    pub(crate) lose_answer: f64,
    /// It arrives a second time, much later.
    pub(crate) duplicate: f64,
    /// It or its answer takes up to half a minute, so that others overtake it.
    pub(crate) slow: f64,
    /// The answer breaks off.
    pub(crate) truncate: f64,
    /// A page has a record that is none.
    pub(crate) bad_record: f64,
    /// A page of the feed is the one that was given to an earlier request.
    pub(crate) stale_page: f64,
    /// 500, nothing done.
    pub(crate) error: f64,
    /// Carried out, and then 500.
    pub(crate) commit_then_error: f64,
    /// 429 or 503 with `Retry-After`.
    pub(crate) busy: f64,
    /// 401 although the token is good.
    pub(crate) unauthorized: f64,
    /// 410 from the feed or for ops.
    pub(crate) gone: f64,
    /// A captive portal answers.
    pub(crate) captive: f64,
    /// An op is answered `retry`.
    pub(crate) op_retry: f64,
    /// A step kills a process.
    pub(crate) kill: f64,
    /// A step fills a disk, or empties it.
    pub(crate) full_disk: f64,
    /// A step sets a device's wall clock.
    pub(crate) clock_jump: f64,
    /// A step restores the practice from a backup: another epoch.
    pub(crate) epoch: f64,
    /// A step drops the practice's tombstones: cursors end.
    pub(crate) expire: f64,
}

impl Faults {
    /// Those of one run.
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let calm = dice.chance(0.1);
        let mut one = |most: f64| match !calm && dice.chance(0.5) {
            true => most * dice.magnitude(20, 1_000) as f64 / 1_000.0,
            false => 0.0,
        };
        Self {
            no_connection: one(0.3),
            lose_request: one(0.3),
            lose_answer: one(0.3),
            duplicate: one(0.3),
            slow: one(0.5),
            truncate: one(0.2),
            bad_record: one(0.1),
            stale_page: one(0.5),
            error: one(0.2),
            commit_then_error: one(0.2),
            busy: one(0.2),
            unauthorized: one(0.2),
            gone: one(0.2),
            captive: one(0.2),
            op_retry: one(0.3),
            kill: one(0.05),
            full_disk: one(0.04),
            clock_jump: one(0.03),
            epoch: one(0.015),
            expire: one(0.015),
        }
    }
}
