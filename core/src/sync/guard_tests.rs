//! Deadlines and preconditions (SPEC 2.1, class G). No area queues a guarded op yet, so the rule is
//! shown here on rows.

use super::feed::{Record, Unfit};
use super::outbox::{Guard, OpState};
use super::*;
use rusqlite::{Connection, params};

static THING: Kind = Kind {
    entity: "thing",
    table: "thread",
    put: |_, _: &Record<'_>| Err(Unfit::Record("unused")),
    forget: None,
    change: Change::Home,
};

fn id(n: u8) -> Id {
    Id::from_bytes([n; 16])
}

/// A store with version 3 of one thing, and an op about it under this guard.
fn with_op(guard: Guard) -> Connection {
    let mut c = Connection::open_in_memory().unwrap();
    c.execute_batch(include_str!("../store/migrations/001_initial.sql")).unwrap();
    c.execute(
        "INSERT INTO thread (id, seq, ver, body, created_at) VALUES (?1, 1, 3, '{}', 0)",
        params![id(1).as_bytes()],
    )
    .unwrap();
    let tx = Transaction::write(&mut c).unwrap();
    let op = NewOp {
        lane: "thing:1".into(),
        kind: "thing.accept@1",
        entity: "thing",
        id: id(1),
        args: "{}".into(),
        guard,
    };
    outbox::enqueue(&tx, &op, id(9), Millis(0)).unwrap();
    tx.commit().unwrap();
    c
}

fn claim(c: &mut Connection, now: Option<Millis>) -> (usize, u64) {
    let tx = Transaction::write(c).unwrap();
    let claimed = outbox::claim(&tx, &[], 10, |op| super::acts::guard(&tx, &[&THING], op, now)).unwrap();
    let counts = (claimed.ops.len(), claimed.stopped);
    tx.commit().unwrap();
    counts
}

fn reason(c: &Connection) -> Option<Reason> {
    let mut ops = outbox::all(c).unwrap();
    assert_eq!((ops.len(), ops[0].args.as_str()), (1, "{}"), "nothing is lost");
    ops.remove(0).reason
}

#[test]
fn an_op_leaves_before_its_deadline_and_not_at_it() {
    let deadline = Guard { deadline: Some(Millis(1_000)), base: None };
    assert_eq!(claim(&mut with_op(deadline), Some(Millis(999))), (1, 0));
    let mut c = with_op(deadline);
    assert_eq!(claim(&mut c, Some(Millis(1_000))), (0, 1));
    assert_eq!(reason(&c), Some(Reason::DeadlinePassed));
    assert_eq!(outbox::counts(&c).unwrap(), (0, 1), "it waits for the client");
}

#[test]
fn without_the_servers_clock_a_deadline_is_not_guessed() {
    let c = with_op(Guard { deadline: Some(Millis(i64::MAX)), base: None });
    assert!(outbox::needs_clock(&c).unwrap(), "the driver pulls first, which brings the clock");
    assert!(!outbox::needs_clock(&with_op(Guard::default())).unwrap());
}

#[test]
fn an_op_about_another_version_goes_back_to_the_client() {
    assert_eq!(claim(&mut with_op(Guard { deadline: None, base: Some(3) }), None), (1, 0));
    let mut c = with_op(Guard { deadline: None, base: Some(2) });
    assert_eq!(claim(&mut c, None), (0, 1));
    assert_eq!(reason(&c), Some(Reason::ChangedMeanwhile));
}

#[test]
fn what_may_have_arrived_is_asked_about_again_whatever_its_guard_says() {
    let mut c = with_op(Guard { deadline: Some(Millis(1_000)), base: None });
    assert_eq!(claim(&mut c, Some(Millis(999))), (1, 0));
    assert_eq!(outbox::all(&c).unwrap()[0].state, OpState::Unanswered);
    assert_eq!(claim(&mut c, Some(Millis(5_000))), (1, 0));
}
