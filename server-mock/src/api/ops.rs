//! `POST /v1/ops`: reading ops, and writing their answers.

use super::{
    input::Call,
    reply::{self, Problem, Reply},
};
use crate::{
    World,
    rules::{
        ids, numbers,
        secrets::{self, Digest},
    },
    world::{OpAnswer, OpIdentity, OpProblem, OpRequest, OpsRefusal, Status},
};
use http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value, value::RawValue};
use uuid::Uuid;

const OPS_MAX: usize = 100;
/// The longest name of a lane.
const LANE_MAX: usize = 100;

#[derive(Serialize)]
struct Answers<'a> {
    epoch: Uuid,
    results: Vec<OneAnswer<'a>>,
}

#[derive(Serialize)]
struct OneAnswer<'a> {
    lane: &'a str,
    n: String,
    key: Uuid,
    status: &'static str,
    /// What a replayed op was answered at first.
    #[serde(skip_serializing_if = "Option::is_none")]
    was: Option<&'static str>,
    ver: Option<String>,
    seq: Option<String>,
    current: Option<&'a RawValue>,
    problem: Option<OpProblem>,
}

pub(super) fn ops(call: &Call<'_>, world: &mut World) -> Reply {
    let caller = call.caller(world)?;
    call.check_core_version(world)?;
    let body = call.json()?;
    let epoch = body.get("epoch").and_then(ids::from_json);
    let epoch = epoch.ok_or(Problem::malformed().field("epoch"))?;
    let ops = body.get("ops").and_then(Value::as_array).filter(|ops| ops.len() <= OPS_MAX);
    let ops = ops.ok_or(Problem::malformed().field("ops"))?;
    let ops: Vec<OpRequest> = ops.iter().map(read).collect::<Result<_, _>>()?;
    let answers = world.execute(caller, epoch, &ops, call.now).map_err(|refusal| match refusal {
        OpsRefusal::EpochChanged => Problem::new(StatusCode::GONE, "epoch_changed"),
        OpsRefusal::KeyReused => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "key_reused"),
    })?;
    let results = ops.iter().zip(&answers).map(|(op, answer)| one(op, answer)).collect();
    Ok(reply::json(StatusCode::OK, &Answers { epoch, results }))
}

/// Reads an op's envelope. A fault there is the whole request's: without a place and a key there is
/// nothing that an answer could be stored under.
fn read(op: &Value) -> Result<OpRequest, Problem> {
    let wrong = |field| Problem::malformed().field(field);
    let text = |field| op.get(field).and_then(Value::as_str).ok_or(wrong(field));
    let lane = text("lane").and_then(|lane| lane_name(lane).ok_or(wrong("lane")))?;
    let n = op.get("n").and_then(numbers::from_json).filter(|n| *n > 0).ok_or(wrong("n"))?;
    let key = op.get("key").and_then(ids::from_json).ok_or(wrong("key"))?;
    let id = op.get("id").and_then(ids::from_json).ok_or(wrong("id"))?;
    let base = match op.get("base") {
        None | Some(Value::Null) => None,
        Some(base) => Some(numbers::from_json(base).ok_or(wrong("base"))?),
    };
    let deps = match op.get("deps") {
        None => Vec::new(),
        Some(deps) => read_deps(deps).ok_or(wrong("deps"))?,
    };
    let args = op.get("args").filter(|args| args.is_object()).ok_or(wrong("args"))?;
    let identity = OpIdentity { lane, n, key, content: content_digest(op), whole: digest(op) };
    Ok(OpRequest {
        identity,
        kind: text("type")?.to_owned(),
        entity: text("entity")?.to_owned(),
        id,
        base,
        deps,
        args: args.clone(),
    })
}

fn read_deps(deps: &Value) -> Option<Vec<(String, u64)>> {
    let deps = deps.as_array().filter(|deps| deps.len() <= OPS_MAX)?.iter();
    deps.map(|dep| {
        let lane = dep.get("lane").and_then(Value::as_str).and_then(lane_name)?;
        Some((lane, dep.get("n").and_then(numbers::from_json)?))
    })
    .collect()
}

fn lane_name(text: &str) -> Option<String> {
    let printable = text.bytes().all(|b| b.is_ascii_graphic());
    (!text.is_empty() && text.len() <= LANE_MAX && printable).then(|| text.to_owned())
}

fn one<'a>(op: &'a OpRequest, answer: &'a OpAnswer) -> OneAnswer<'a> {
    let result = &answer.result;
    let status = name(result.status);
    OneAnswer {
        lane: &op.identity.lane,
        n: op.identity.n.to_string(),
        key: op.identity.key,
        status: if answer.replayed { "replayed" } else { status },
        was: answer.replayed.then_some(status),
        ver: result.ver.map(|ver| ver.to_string()),
        seq: result.seq.map(|seq| seq.to_string()),
        current: result.current.as_deref(),
        problem: result.problem,
    }
}

fn name(status: Status) -> &'static str {
    match status {
        Status::Applied => "applied",
        Status::Conflict => "conflict",
        Status::Rejected => "rejected",
        Status::Blocked => "blocked",
        Status::Retry => "retry",
    }
}

/// The digest of what an op does, which a renumbering after an epoch change leaves alone.
fn content_digest(op: &Value) -> Digest {
    let mut content = op.clone();
    if let Some(fields) = content.as_object_mut() {
        for place in ["lane", "n", "deps"] {
            fields.remove(place);
        }
    }
    digest(&content)
}

fn digest(value: &Value) -> Digest {
    let mut text = String::new();
    write_canonical(value, &mut text);
    secrets::sha256(text.as_bytes())
}

/// JSON with sorted keys, so that equal ops have equal digests however they were written. The depth
/// is bounded by the parser's.
fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for item in items {
                write_canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::Object(fields) => write_object(fields, out),
        plain => out.push_str(&plain.to_string()),
    }
}

fn write_object(fields: &Map<String, Value>, out: &mut String) {
    let mut sorted: Vec<(&String, &Value)> = fields.iter().collect();
    sorted.sort_unstable_by_key(|(name, _)| *name);
    out.push('{');
    for (name, value) in sorted {
        out.push_str(&Value::from(name.as_str()).to_string());
        out.push(':');
        write_canonical(value, out);
        out.push(',');
    }
    out.push('}');
}
