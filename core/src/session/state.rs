//! The session's states (SPEC 5.2) and the automatic lock, as pure rules over boot time.

use crate::error::Reason;

/// Where the session stands. `PasswordOk` and `Needs2FA` of SPEC 5.2 live on the server's pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nobody's records can be opened here.
    SignedOut(Reason),
    /// Records are here; the key is not in memory.
    Locked(Reason),
    /// Open, and the practice accepts the tokens as far as known.
    Active,
    /// Open, but only a new sign-in reaches the practice. Reading and writing go on.
    Expired(Reason),
}

/// What happens to a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Fresh tokens are durable and the records are open.
    SignedIn,
    /// The key left memory.
    Locked(Reason),
    /// The key is back; `ended` when the tokens had been refused before.
    Unlocked { ended: Option<Reason> },
    /// The authorization server refused the refresh token for good.
    Ended(Reason),
    /// The keys are destroyed.
    Destroyed(Reason),
}

impl State {
    /// What follows. Events that make no sense in a state leave it as it is.
    pub(crate) fn after(self, event: Event) -> Self {
        match (self, event) {
            (_, Event::SignedIn) => Self::Active,
            (_, Event::Destroyed(reason)) => Self::SignedOut(reason),
            (Self::Active | Self::Expired(_), Event::Locked(reason)) => Self::Locked(reason),
            (Self::Locked(_), Event::Unlocked { ended: None }) => Self::Active,
            (Self::Locked(_), Event::Unlocked { ended: Some(reason) }) => Self::Expired(reason),
            (Self::Active, Event::Ended(reason)) => Self::Expired(reason),
            (state, _) => state,
        }
    }
}

/// When the records lock by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LockRule {
    idle_ms: u64,
    background_ms: u64,
}

/// However busy, after this long the key leaves memory (SECURITY 3.1 (a)(2)(iii)).
const ABSOLUTE_MS: u64 = 12 * 3_600_000;

impl Default for LockRule {
    fn default() -> Self {
        Self::from_policy(300, 30)
    }
}

impl LockRule {
    /// The practice's wish inside hard bounds: idle 1 to 15 minutes, background 0 to 5 minutes.
    pub(crate) fn from_policy(idle_s: u64, background_s: u64) -> Self {
        Self { idle_ms: idle_s.clamp(60, 900) * 1000, background_ms: background_s.min(300) * 1000 }
    }
}

/// What the rule looks at: boot times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Activity {
    unlocked_at: u64,
    touched_at: u64,
    background_since: Option<u64>,
}

impl Activity {
    pub(crate) fn unlocked(now: u64) -> Self {
        Self { unlocked_at: now, touched_at: now, background_since: None }
    }

    pub(crate) fn touch(&mut self, now: u64) {
        self.touched_at = now;
    }

    pub(crate) fn background(&mut self, now: u64) {
        self.background_since.get_or_insert(now);
    }

    pub(crate) fn foreground(&mut self, now: u64) {
        self.background_since = None;
        self.touched_at = now;
    }

    /// The boot time at which the records lock, and why.
    pub(crate) fn due(&self, rule: LockRule) -> (u64, Reason) {
        let idle =
            self.touched_at.saturating_add(rule.idle_ms).min(self.unlocked_at.saturating_add(ABSOLUTE_MS));
        match self.background_since.map(|since| since.saturating_add(rule.background_ms)) {
            Some(background) if background < idle => (background, Reason::LockedNow),
            _ => (idle, Reason::LockedIdle),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sign_in_leads_out_of_signed_out() {
        let out = State::SignedOut(Reason::NotSignedIn);
        for event in [
            Event::Locked(Reason::LockedNow),
            Event::Unlocked { ended: None },
            Event::Unlocked { ended: Some(Reason::SessionEnded) },
            Event::Ended(Reason::SessionEnded),
        ] {
            assert_eq!(out.clone().after(event), out);
        }
        assert_eq!(out.after(Event::SignedIn), State::Active);
    }

    #[test]
    fn a_lock_does_not_forget_that_the_session_ended() {
        let ended = State::Active.after(Event::Ended(Reason::SessionEnded));
        let locked = ended.after(Event::Locked(Reason::LockedIdle));
        let open = locked.after(Event::Unlocked { ended: Some(Reason::SessionEnded) });
        assert_eq!(open, State::Expired(Reason::SessionEnded));
    }

    #[test]
    fn a_revoked_session_stays_destroyed() {
        let state = State::Active.after(Event::Destroyed(Reason::AccessRevoked));
        assert_eq!(state.clone().after(Event::Unlocked { ended: None }), state);
    }

    #[test]
    fn the_lock_is_due_by_the_earliest_bound() {
        let rule = LockRule::from_policy(300, 30);
        let mut activity = Activity::unlocked(1_000);
        assert_eq!(activity.due(rule), (301_000, Reason::LockedIdle));
        activity.touch(200_000);
        assert_eq!(activity.due(rule), (500_000, Reason::LockedIdle));
        activity.background(210_000);
        activity.background(220_000);
        assert_eq!(activity.due(rule), (240_000, Reason::LockedNow));
        activity.foreground(230_000);
        assert_eq!(activity.due(rule), (530_000, Reason::LockedIdle));
        activity.touch(ABSOLUTE_MS);
        assert_eq!(activity.due(rule).0, 1_000 + ABSOLUTE_MS);
    }

    #[test]
    fn the_practice_cannot_leave_the_bounds() {
        assert_eq!(LockRule::from_policy(0, 0), LockRule::from_policy(60, 0));
        assert_eq!(LockRule::from_policy(u64::MAX, u64::MAX), LockRule::from_policy(900, 300));
    }
}
