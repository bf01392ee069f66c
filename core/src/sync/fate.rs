//! What a server's answer means for an op: a pure table.

use super::wire::{OpResult, Status};
use crate::error::Reason;
use std::time::Duration;

/// What becomes of an op.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Done, and the base has it already: it leaves.
    InBase,
    /// Done; it leaves when the base reaches `seq`.
    Done { seq: i64 },
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
        (Status::Replayed, Some(first)) => first,
        (Status::Replayed, None) => Status::Applied,
        (status, _) => status,
    };
    match status {
        Status::Applied => match answer.seq {
            Some(seq) if seq.0 > checkpoint => Fate::Done { seq: seq.0 },
            _ => Fate::InBase,
        },
        Status::Rejected | Status::Conflict => Fate::Refused {
            reason: answer.problem.as_ref().map_or(Reason::Impossible, |problem| problem.reason()),
            field: answer.problem.as_ref().and_then(|problem| problem.field.clone()).filter(|field| field.len() <= 64),
        },
        Status::Blocked => Fate::Blocked,
        Status::Retry | Status::Unknown | Status::Replayed => Fate::Later {
            wait: answer.problem.as_ref().and_then(|problem| problem.retry_after_s).map(Duration::from_secs),
        },
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

    #[test]
    fn the_table() {
        let refused = Fate::Refused { reason: Reason::ThreadClosed, field: None };
        let later = Fate::Later { wait: Some(Duration::from_secs(7)) };
        for (status, was, seq, expected) in [
            (Status::Applied, None, Some(11), Fate::Done { seq: 11 }),
            (Status::Applied, None, Some(10), Fate::InBase),
            (Status::Applied, None, None, Fate::InBase),
            (Status::Replayed, Some(Status::Applied), Some(11), Fate::Done { seq: 11 }),
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
