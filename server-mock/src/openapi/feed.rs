//! The feed: pages of changes.

use serde_json::{Value, json};

use super::{list, object, one_of_words, schema, text};

/// The entities that this version describes, with their schemas.
const ENTITIES: [(&str, &str); 6] = [
    ("practice", "Practice"),
    ("client", "Client"),
    ("staff", "Staff"),
    ("thread", "Thread"),
    ("message", "Message"),
    ("read_mark", "ReadMark"),
];

pub(super) fn schemas() -> Value {
    let mut kinds = ENTITIES
        .iter()
        .map(|(entity, data)| put(json!({ "const": entity }), schema(data)))
        .collect::<Vec<_>>();
    let known = ENTITIES.map(|(entity, _)| entity);
    // More entities exist and more will come: a client parks what it does not know.
    kinds.push(put(json!({ "type": "string", "not": { "enum": known } }), json!({ "type": "object" })));
    kinds.push(object(json!({
        "seq": schema("Number64"), "entity": text(), "id": schema("Id"), "ver": schema("Number64"),
        "op": { "const": "del" },
        "why": one_of_words(&["withdrawn", "revoked", "expired"]),
    })));
    json!({
        "Change": { "oneOf": kinds,
            "description": "A row with its whole data, or the end of one" },
        "Page": object(json!({
            "epoch": text(),
            "from": { "type": "string", "description": "The cursor asked with; empty at the start" },
            "next": { "type": "string", "description": "The cursor to ask with next" },
            "checkpoint": schema("Number64"),
            "has_more": { "type": "boolean", "description": "Whether this pull goes on" },
            "acked": { "type": "object", "additionalProperties": schema("Number64"),
                "description": "The highest `n` executed per lane for this install" },
            "changes": list(schema("Change")),
        })),
    })
}

fn put(entity: Value, data: Value) -> Value {
    object(json!({
        "seq": schema("Number64"), "entity": entity, "id": schema("Id"),
        "ver": schema("Number64"), "op": { "const": "put" }, "data": data,
    }))
}
