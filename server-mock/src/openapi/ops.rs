//! Ops: what a client does, and what became of it.

use serde_json::{Value, json};

use super::{list, nullable, object, one_of_words, schema, text};

pub(super) fn schemas() -> Value {
    json!({
        "OpsRequest": object(json!({
            "epoch": text(),
            "ops": { "type": "array", "maxItems": 100, "items": schema("Op") },
        })),
        "Op": { "oneOf": [
            op("thread.create@1", "thread", object(json!({
                "subject": { "type": "string", "minLength": 1, "maxLength": 200 },
                "to": { "oneOf": [
                    object(json!({ "staff": schema("Id") })),
                    object(json!({ "route": schema("Route") })),
                ] },
                "message": object(json!({ "id": schema("Id"), "body": schema("Body") })),
            }))),
            op("message.create@1", "message", object(json!({
                "thread": schema("Id"), "body": schema("Body"),
            }))),
            op("thread.read@1", "read_mark", object(json!({
                "thread": schema("Id"), "upto": schema("Number64"),
            }))),
        ] },
        "Body": { "type": "string", "minLength": 1,
            "description": "At most `policy.message_max_chars` characters" },
        "LaneAndNumber": object(json!({ "lane": text(), "n": schema("Number64") })),
        "OpsResponse": object(json!({ "epoch": text(), "results": list(schema("OpResult")) })),
        "OpResult": object(json!({
            "lane": text(), "n": schema("Number64"), "key": schema("Id"),
            "status": one_of_words(&["applied", "replayed", "conflict", "rejected", "blocked", "retry"]),
            "was?": { "enum": ["applied", "conflict", "rejected"],
                "description": "With `replayed`: the status of then" },
            "ver": nullable(schema("Number64")),
            "seq": nullable(schema("Number64")),
            "current": { "type": ["object", "null"], "description": "With `conflict`: the row" },
            "problem": nullable(schema("OpProblem")),
        })),
        "OpProblem": object(json!({
            "code": schema("OpCode"),
            "retryable": { "type": "boolean" },
            "field?": text(),
            "retry_after_s?": { "type": "integer", "minimum": 0 },
        })),
    })
}

/// An op of one type. The lanes differ, the frame does not.
fn op(kind: &str, entity: &str, args: Value) -> Value {
    object(json!({
        "lane": text(), "n": schema("Number64"), "key": schema("Id"),
        "type": { "const": kind }, "entity": { "const": entity }, "id": schema("Id"),
        "base": nullable(schema("Number64")),
        "deps": list(schema("LaneAndNumber")),
        "args": args,
    }))
}
