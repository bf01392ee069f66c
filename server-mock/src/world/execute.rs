//! Executing ops: once each, in lane order, with the result stored beside the effect.

use super::{
    Author, Caller, Entity, Entry, Message, OpResult, Route, Status, Thread, World, feed,
    lanes::{OpIdentity, OpProblem},
    messages::SUBJECT_MAX_CHARS,
    threads::{NewMessage, NewThread},
};
use crate::rules::{ids, numbers};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, value::RawValue};
use std::{collections::HashMap, sync::Arc};
use uuid::Uuid;

/// One op as a phone sends it.
pub(crate) struct OpRequest {
    pub(crate) identity: OpIdentity,
    pub(crate) kind: String,
    pub(crate) entity: String,
    pub(crate) id: Uuid,
    pub(crate) base: Option<u64>,
    /// Lanes and the `n` that must have been executed there.
    pub(crate) deps: Vec<(String, u64)>,
    pub(crate) args: Value,
}

/// Why no op of a request was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpsRefusal {
    EpochChanged,
    KeyReused,
}

/// The answer to one op, and whether it was given before.
pub(crate) struct OpAnswer {
    pub(crate) replayed: bool,
    pub(crate) result: OpResult,
}

/// What was applied: the row's version, and the change that shows it.
struct Applied {
    ver: u64,
    seq: u64,
}

/// A rule that says no.
struct Rejection(&'static str, &'static str);

type Verdict = Result<Applied, Rejection>;

/// Where a new thread goes.
enum Recipient {
    Staff(Uuid),
    Route(Route),
}

impl World {
    /// Executes ops in order; one answer each. A reused key or place refuses all of them.
    pub(crate) fn execute(
        &mut self,
        caller: Caller,
        epoch: Uuid,
        ops: &[OpRequest],
        now: DateTime<Utc>,
    ) -> Result<Vec<OpAnswer>, OpsRefusal> {
        if epoch != self.epoch {
            return Err(OpsRefusal::EpochChanged);
        }
        if self.has_reuse(caller, ops) {
            return Err(OpsRefusal::KeyReused);
        }
        Ok(ops.iter().map(|op| self.execute_one(caller, op, now)).collect())
    }

    /// Looks for reuse against the past and within the request, before anything is done.
    fn has_reuse(&self, caller: Caller, ops: &[OpRequest]) -> bool {
        let Some(account) = self.account(caller.account) else { return true };
        let mut places = HashMap::new();
        let mut keys = HashMap::new();
        ops.iter().map(|op| &op.identity).any(|op| {
            let place = *places.entry((op.lane.as_str(), op.n)).or_insert(op.key);
            let whole = *keys.entry(op.key).or_insert(op.whole);
            place != op.key || whole != op.whole || account.lanes.is_reuse(caller.install, op)
        })
    }

    fn execute_one(&mut self, caller: Caller, op: &OpRequest, now: DateTime<Utc>) -> OpAnswer {
        let Some(account) = self.accounts.get(&caller.account) else {
            return OpAnswer { replayed: false, result: unfinished(Status::Blocked, None) };
        };
        let (lanes, install) = (&account.lanes, caller.install);
        if let Some(result) = lanes.result(install, &op.identity.lane, op.identity.n) {
            return OpAnswer { replayed: true, result: result.clone() };
        }
        let in_order = op.identity.n == lanes.last(install, &op.identity.lane) + 1;
        let deps_done = op.deps.iter().all(|(lane, n)| lanes.last(install, lane) >= *n);
        if !in_order || !deps_done {
            return OpAnswer { replayed: false, result: unfinished(Status::Blocked, None) };
        }
        if let Some(seconds) = self.faults.op_retry() {
            let result = unfinished(Status::Retry, Some(seconds));
            return OpAnswer { replayed: false, result };
        }
        let client = account.client;
        let before = account.feed.head();
        let result = match self.conflict(caller, op) {
            Some(conflict) => conflict,
            None => finished(self.run(client, op, now)),
        };
        if let Some(account) = self.accounts.get_mut(&caller.account) {
            let mut head = account.feed.head();
            if head == before {
                head = account.feed.tick();
            }
            account.lanes.store(install, &op.identity, result.clone(), head, now);
        }
        OpAnswer { replayed: false, result }
    }

    /// The answer when the row is not at the version that the op is based on.
    fn conflict(&self, caller: Caller, op: &OpRequest) -> Option<OpResult> {
        let base = op.base?;
        let entity = Entity::from_name(&op.entity)?;
        let row = self.account(caller.account)?.feed.row(entity, op.id);
        if row.is_some_and(|row| row.ver == base) {
            return None;
        }
        Some(OpResult {
            status: Status::Conflict,
            ver: row.map(|row| row.ver),
            seq: row.map(|row| row.seq),
            current: row.map(current),
            problem: None,
        })
    }

    fn run(&mut self, client: Uuid, op: &OpRequest, now: DateTime<Utc>) -> Verdict {
        match op.kind.as_str() {
            "thread.create@1" => self.create_thread(client, op, now),
            "message.create@1" => self.create_message(client, op, now),
            "thread.read@1" => self.read_thread(client, op),
            _ => Err(Rejection("op_unknown", "type")),
        }
    }

    fn create_thread(&mut self, client: Uuid, op: &OpRequest, now: DateTime<Utc>) -> Verdict {
        check_envelope(op, "thread", "thread")?;
        check_version_7(op.id, "id")?;
        check_fields(&op.args, &["subject", "to", "message"])?;
        let subject = text(&op.args, "subject")?;
        let to = recipient(&op.args)?;
        let message = op.args.get("message").ok_or(malformed("message"))?;
        check_fields(message, &["id", "body"]).map_err(|_| malformed("message"))?;
        let first = id(message, "id").map_err(|_| malformed("message"))?;
        check_version_7(first, "message")?;
        let body = text(message, "body").map_err(|_| malformed("message"))?;
        if let Some(thread) = self.thread(op.id) {
            let same = thread.began_as(client, subject, &to, first, body);
            return same.map(created).ok_or(Rejection("id_taken", "id"));
        }
        if self.message(first).is_some() {
            return Err(Rejection("id_taken", "message"));
        }
        if !self.practice.policy.start_threads {
            return Err(Rejection("threads_disabled", "to"));
        }
        let (route, participants) = self.resolve(&to)?;
        if subject.trim().is_empty() {
            return Err(Rejection("subject_empty", "subject"));
        }
        if subject.chars().count() > SUBJECT_MAX_CHARS {
            return Err(Rejection("subject_too_long", "subject"));
        }
        self.judge_body(body)?;
        let author = Author::client(client);
        let subject = subject.to_owned();
        let (id, created_by) = (op.id, author);
        self.open_thread(NewThread { id, client, subject, route, participants, created_by }, now);
        let new = NewMessage { id: first, author, body: body.to_owned() };
        let seq = self.append(id, new, now);
        Ok(Applied { ver: 1, seq })
    }

    fn create_message(&mut self, client: Uuid, op: &OpRequest, now: DateTime<Utc>) -> Verdict {
        check_fields(&op.args, &["thread", "body"])?;
        let thread_id = id(&op.args, "thread")?;
        check_version_7(op.id, "id")?;
        let lane = format!("thread:{thread_id}");
        check_place(op, "message", &lane)?;
        let body = text(&op.args, "body")?;
        if let Some((thread, message)) = self.message(op.id) {
            let author = Author::client(client);
            let same = thread.id == thread_id && message.author == author && message.body == body;
            return if same { Ok(created(message)) } else { Err(Rejection("id_taken", "id")) };
        }
        let thread = self.own_thread(client, thread_id)?;
        if thread.closed {
            return Err(Rejection("thread_closed", "thread"));
        }
        let route = thread.route;
        self.judge_body(body)?;
        if let Some(route) = route {
            // whoever holds the desk now reads on
            let staff = self.reached_by(route);
            self.add_participants(thread_id, &staff);
        }
        let new = NewMessage { id: op.id, author: Author::client(client), body: body.to_owned() };
        let seq = self.append(thread_id, new, now);
        Ok(Applied { ver: 1, seq })
    }

    fn read_thread(&mut self, client: Uuid, op: &OpRequest) -> Verdict {
        check_fields(&op.args, &["thread", "upto"])?;
        let thread = id(&op.args, "thread")?;
        check_place(op, "read_mark", &format!("read:{thread}"))?;
        if op.id != thread {
            return Err(malformed("id"));
        }
        let upto = op.args.get("upto").and_then(numbers::from_json).filter(|upto| *upto > 0);
        let upto = upto.ok_or(malformed("upto"))?;
        self.own_thread(client, thread)?;
        self.mark_read(thread, upto);
        let account = self.account_of(client).ok_or(Rejection("thread_unknown", "thread"))?;
        let mark = account.feed.row(Entity::ReadMark, thread);
        // a thread has a message from its first instant on, so a mark exists by now
        mark.map(|mark| Applied { ver: mark.ver, seq: mark.seq }).ok_or(malformed("upto"))
    }

    /// A thread of this client; another client's is as unknown as one that never was (G1).
    fn own_thread(&self, client: Uuid, thread: Uuid) -> Result<&Thread, Rejection> {
        let own = self.thread(thread).filter(|own| own.client == client && !own.withdrawn);
        own.ok_or(Rejection("thread_unknown", "thread"))
    }

    /// M5: who a new thread reaches, never nobody.
    fn resolve(&self, to: &Recipient) -> Result<(Option<Route>, Vec<Uuid>), Rejection> {
        match to {
            Recipient::Staff(id) => {
                let staff = self.staff(*id).ok_or(Rejection("recipient_unknown", "to"))?;
                let reachable = staff.active && staff.accepts_messages;
                let reached = reachable.then(|| (None, vec![*id]));
                reached.ok_or(Rejection("recipient_inactive", "to"))
            }
            Recipient::Route(route) => {
                let offered = self.practice.routes.iter().any(|label| label.route == *route);
                let staff = self.reached_by(*route);
                if !offered {
                    Err(Rejection("recipient_unknown", "to"))
                } else if staff.is_empty() {
                    Err(Rejection("route_empty", "to"))
                } else {
                    Ok((Some(*route), staff))
                }
            }
        }
    }

    fn judge_body(&self, body: &str) -> Result<(), Rejection> {
        if body.trim().is_empty() {
            Err(Rejection("body_empty", "body"))
        } else if !self.body_fits(body) {
            Err(Rejection("body_too_long", "body"))
        } else {
            Ok(())
        }
    }
}

impl Thread {
    /// The first message, if the thread was created by this client with this very content (M1).
    fn began_as(
        &self,
        client: Uuid,
        subject: &str,
        to: &Recipient,
        first: Uuid,
        body: &str,
    ) -> Option<&Message> {
        let same_recipient = match to {
            // participants only ever grow at the end
            Recipient::Staff(id) => self.route.is_none() && self.participants.first() == Some(id),
            Recipient::Route(route) => self.route == Some(*route),
        };
        let same = self.created_by == Author::client(client) && self.subject == subject;
        let message = self.messages.first().filter(|_| same && same_recipient)?;
        (message.id == first && message.body == body).then_some(message)
    }
}

fn created(message: &Message) -> Applied {
    Applied { ver: 1, seq: message.seq }
}

fn finished(verdict: Verdict) -> OpResult {
    let (status, applied, problem) = match verdict {
        Ok(applied) => (Status::Applied, Some(applied), None),
        Err(Rejection(code, field)) => {
            let field = Some(field);
            let problem = OpProblem { code, retryable: false, field, retry_after_s: None };
            (Status::Rejected, None, Some(problem))
        }
    };
    OpResult {
        status,
        ver: applied.as_ref().map(|applied| applied.ver),
        seq: applied.as_ref().map(|applied| applied.seq),
        current: None,
        problem,
    }
}

fn unfinished(status: Status, retry_after_s: Option<u64>) -> OpResult {
    let problem = (status == Status::Retry).then_some(OpProblem {
        code: "busy",
        retryable: true,
        field: None,
        retry_after_s,
    });
    OpResult { status, ver: None, seq: None, current: None, problem }
}

/// A live row in the form of a change.
fn current(row: &Entry) -> Arc<RawValue> {
    #[derive(Serialize)]
    struct Current<'a> {
        seq: String,
        entity: &'static str,
        id: Uuid,
        ver: String,
        op: &'static str,
        data: Option<&'a RawValue>,
    }
    let data = match &row.body {
        feed::Body::Put(data) => Some(data.as_ref()),
        feed::Body::Del(_) => None,
    };
    super::raw(&Current {
        seq: row.seq.to_string(),
        entity: row.entity.as_str(),
        id: row.id,
        ver: row.ver.to_string(),
        op: "put",
        data,
    })
}

fn malformed(field: &'static str) -> Rejection {
    Rejection("malformed", field)
}

/// The op's own id names its lane.
fn check_envelope(op: &OpRequest, entity: &str, lane: &str) -> Result<(), Rejection> {
    check_place(op, entity, &format!("{lane}:{}", op.id))
}

fn check_place(op: &OpRequest, entity: &str, lane: &str) -> Result<(), Rejection> {
    if op.entity != entity {
        Err(malformed("entity"))
    } else if op.identity.lane != lane {
        Err(malformed("lane"))
    } else {
        Ok(())
    }
}

fn check_version_7(id: Uuid, field: &'static str) -> Result<(), Rejection> {
    if id.get_version_num() == 7 { Ok(()) } else { Err(malformed(field)) }
}

/// A field that a version of an op does not have would be lost silently, so it is an error.
fn check_fields(args: &Value, known: &[&str]) -> Result<(), Rejection> {
    let fields = args.as_object().ok_or(malformed("args"))?;
    let all_known = fields.keys().all(|field| known.contains(&field.as_str()));
    if all_known { Ok(()) } else { Err(malformed("args")) }
}

fn text<'a>(args: &'a Value, field: &'static str) -> Result<&'a str, Rejection> {
    args.get(field).and_then(Value::as_str).ok_or(malformed(field))
}

fn id(args: &Value, field: &'static str) -> Result<Uuid, Rejection> {
    args.get(field).and_then(ids::from_json).ok_or(malformed(field))
}

fn recipient(args: &Value) -> Result<Recipient, Rejection> {
    let wrong = || malformed("to");
    let to = args.get("to").and_then(Value::as_object).filter(|to| to.len() == 1);
    let to = to.ok_or_else(wrong)?;
    match (to.get("staff"), to.get("route")) {
        (Some(staff), None) => ids::from_json(staff).map(Recipient::Staff).ok_or_else(wrong),
        (None, Some(Value::String(route))) => match route.as_str() {
            "scheduler" => Ok(Recipient::Route(Route::Scheduler)),
            "biller" => Ok(Recipient::Route(Route::Biller)),
            _ => Err(Rejection("recipient_unknown", "to")),
        },
        _ => Err(wrong()),
    }
}
