//! The pure rules of messages: what may be written, and with which reason not. The server enforces
//! the same; here they spare the client a round trip.

use crate::error::Reason;
use crate::people::rows::{Policy, StaffRecord};

/// SPEC M3 and PROTOCOL: the longest subject, in characters.
const SUBJECT_MAX: usize = 200;

/// Whether a text can be sent.
pub(crate) fn body(text: &str, policy: &Policy) -> Result<(), Reason> {
    match text.trim().is_empty() {
        true => Err(Reason::BodyEmpty),
        false if text.chars().count() > policy.message_max_chars => Err(Reason::BodyTooLong),
        false => Ok(()),
    }
}

/// Whether a subject can be sent.
pub(super) fn subject(text: &str) -> Result<(), Reason> {
    match text.trim().is_empty() {
        true => Err(Reason::SubjectEmpty),
        false if text.chars().count() > SUBJECT_MAX => Err(Reason::SubjectTooLong),
        false => Ok(()),
    }
}

/// Whether a conversation can be started at all (SPEC 15, 55).
pub(super) fn start(policy: &Policy) -> Result<(), Reason> {
    policy.start_threads.then_some(()).ok_or(Reason::ThreadsDisabled)
}

/// Whether somebody can be written to.
pub(super) fn recipient(staff: Option<&StaffRecord>) -> Result<(), Reason> {
    match staff {
        None => Err(Reason::RecipientUnknown),
        Some(staff) if staff.active && staff.accepts_messages => Ok(()),
        Some(_) => Err(Reason::RecipientInactive),
    }
}

/// Whether a conversation takes replies.
pub(super) fn reply(closed: bool) -> Result<(), Reason> {
    if closed { Err(Reason::ThreadClosed) } else { Ok(()) }
}

/// Read marks only rise, and never above the newest message (SPEC 2.1, I8).
pub(super) fn raised_mark(present: i64, wanted: u64, newest: i64) -> Option<i64> {
    let wanted = i64::try_from(wanted).unwrap_or(i64::MAX).min(newest);
    (wanted > present).then_some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_measured_in_characters() {
        let policy = Policy { message_max_chars: 3, ..Policy::default() };
        assert_eq!(body("🙂🙂🙂", &policy), Ok(()));
        assert_eq!(body("🙂🙂🙂🙂", &policy), Err(Reason::BodyTooLong));
        assert_eq!(body(" \n\t", &policy), Err(Reason::BodyEmpty));
        assert_eq!(subject(&"é".repeat(200)), Ok(()));
        assert_eq!(subject(&"é".repeat(201)), Err(Reason::SubjectTooLong));
    }

    #[test]
    fn a_mark_never_falls_and_never_passes_the_newest() {
        assert_eq!(raised_mark(5, 9, 7), Some(7));
        assert_eq!(raised_mark(5, 5, 7), None);
        assert_eq!(raised_mark(5, 2, 7), None);
        assert_eq!(raised_mark(7, u64::MAX, 7), None);
    }
}
