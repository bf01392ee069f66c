//! What a server's answer means for an op: a pure table.

use super::wire::{OpResult, Status};
use crate::error::Reason;
use crate::proof::planted;
use crate::session::api::{Failure, bad_answer};
use std::time::Duration;

/// What becomes of an op.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Done, and the base has it already: it leaves.
    InBase,
    /// Done; it leaves when the base reaches `seq`, or, where the server does not say which change
    /// shows it, at the end of the next pull that begins.
    Done { seq: Option<i64> },
    /// Refused for good, with the text intact.
    Refused { reason: Reason, field: Option<String> },
    /// Not now; the number stays.
    Later { wait: Option<Duration> },
    /// The server waits for an earlier number.
    Blocked,
}

/// Decides. No answer, or one that this version cannot read, is "later": only the server's word
/// ends an op.
pub(crate) fn fate(answer: Option<&OpResult>, checkpoint: i64) -> Fate {
    let Some(answer) = answer else {
        return Fate::Later { wait: None };
    };
    let status = match (answer.status, answer.was) {
        (Status::Replayed, _) if planted!(StoredResultIgnored) => Status::Unknown,
        (Status::Replayed, Some(_)) if planted!(ReplayedIsApplied) => Status::Applied,
        (Status::Replayed, Some(first)) => first,
        (Status::Replayed, None) => Status::Applied,
        (status, _) => status,
    };
    match status {
        Status::Applied => match answer.seq {
            Some(seq) if seq.0 <= checkpoint => Fate::InBase,
            seq => Fate::Done { seq: seq.map(|seq| seq.0) },
        },
        Status::Rejected | Status::Conflict if planted!(RefusalWithoutAReason) => {
            Fate::Refused { reason: Reason::Impossible, field: None }
        }
        Status::Rejected | Status::Conflict => Fate::Refused {
            reason: answer.problem.as_ref().map_or(Reason::Impossible, |problem| problem.reason()),
            field: answer
                .problem
                .as_ref()
                .and_then(|problem| problem.field.clone())
                .filter(|field| field.len() <= 64),
        },
        Status::Blocked => Fate::Blocked,
        Status::Retry | Status::Unknown | Status::Replayed => Fate::Later {
            wait: answer.problem.as_ref().and_then(|problem| problem.retry_after_s).map(Duration::from_secs),
        },
    }
}

/// What a request for a page that was refused as a whole means. A place that the server cannot read
/// is as good as forgotten; any other 4xx is not the feed's (a gateway's, say): later.
pub(crate) fn of_pull(failure: Failure) -> Failure {
    match failure {
        Failure::Refused { reason, .. } if reason.code() == "cursor_malformed" => Failure::Gone,
        Failure::Refused { .. } => bad_answer(),
        failure => failure,
    }
}

/// What a request with ops that was refused as a whole means. Only 400, 413 and 422 are about the
/// ops; any other 4xx is a gateway's: later, with the ops as they are.
pub(crate) fn of_push(failure: Failure) -> Failure {
    match failure {
        Failure::Refused { status: 400 | 413 | 422, .. } => failure,
        Failure::Refused { .. } => bad_answer(),
        failure => failure,
    }
}

/// What becomes of an op that was refused with its whole request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alone {
    /// It was not alone: the next requests are cut until it is found.
    Cut,
    /// Certain: it goes to the client, and its number back.
    Refused,
    /// Its number is another op's, or its key has another number: our counter is not the server's, so a
    /// refill learns it. Running it again is harmless, since the server knows its id (M1).
    Renumber,
    /// An earlier copy of it may have been executed: it keeps its number and its lane waits.
    Unknown,
}

/// Decides. `fresh`: no copy of the op left before this request.
pub(crate) fn alone(ops: usize, fresh: bool, reason: &Reason) -> Alone {
    match (ops, fresh) {
        (2.., _) => Alone::Cut,
        (_, _) if reason.code() == "key_reused" => Alone::Renumber,
        (_, false) => Alone::Unknown,
        (_, true) => Alone::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::{Decimal, OpProblem};
    use super::*;

    fn answer(status: Status, was: Option<Status>, seq: Option<i64>) -> OpResult {
        let problem = Some(OpProblem { code: "thread_closed".into(), field: None, retry_after_s: Some(7) });
        OpResult { lane: "l".into(), n: Decimal(1), status, was, seq: seq.map(Decimal), problem }
    }

    fn refused(status: u16, code: &str) -> Failure {
        Failure::Refused { status, reason: Reason::from_code(code), field: None }
    }

    #[test]
    fn only_three_statuses_are_about_the_ops() {
        for status in [400, 413, 422] {
            assert_eq!(of_push(refused(status, "words")), refused(status, "words"));
        }
        for status in [402, 403, 404, 405, 406, 409, 410, 412, 415, 418, 451] {
            assert_eq!(of_push(refused(status, "gateway")), bad_answer(), "{status}");
        }
        assert_eq!(of_push(Failure::Gone), Failure::Gone);
    }

    #[test]
    fn a_place_that_cannot_be_read_is_forgotten() {
        assert_eq!(of_pull(refused(400, "cursor_malformed")), Failure::Gone);
        assert_eq!(of_pull(refused(404, "not_found")), bad_answer());
    }

    #[test]
    fn an_op_is_refused_alone_only_when_no_copy_left_before() {
        let other = Reason::BodyTooLong;
        assert_eq!(alone(2, true, &other), Alone::Cut);
        assert_eq!(alone(1, true, &other), Alone::Refused);
        assert_eq!(alone(1, false, &other), Alone::Unknown);
        let reused = Reason::from_code("key_reused");
        assert_eq!(alone(1, true, &reused), Alone::Renumber);
        assert_eq!(alone(1, false, &reused), Alone::Renumber);
    }

    #[test]
    fn the_table() {
        let refused = Fate::Refused { reason: Reason::ThreadClosed, field: None };
        let later = Fate::Later { wait: Some(Duration::from_secs(7)) };
        for (status, was, seq, expected) in [
            (Status::Applied, None, Some(11), Fate::Done { seq: Some(11) }),
            (Status::Applied, None, Some(10), Fate::InBase),
            (Status::Applied, None, None, Fate::Done { seq: None }),
            (Status::Replayed, Some(Status::Applied), Some(11), Fate::Done { seq: Some(11) }),
            (Status::Replayed, Some(Status::Applied), Some(9), Fate::InBase),
            (Status::Replayed, Some(Status::Rejected), None, refused.clone()),
            (Status::Rejected, None, None, refused.clone()),
            (Status::Conflict, None, None, refused),
            (Status::Blocked, None, None, Fate::Blocked),
            (Status::Retry, None, None, later.clone()),
            (Status::Unknown, None, Some(11), later),
        ] {
            assert_eq!(fate(Some(&answer(status, was, seq)), 10), expected, "{status:?} {was:?} {seq:?}");
        }
        assert_eq!(fate(None, 10), Fate::Later { wait: None });
    }
}
