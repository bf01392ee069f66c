//! The simple types, and the entities of the feed.

use serde_json::{Value, json};

use super::{list, nullable, object, one_of_words, schema, text};

pub(super) fn schemas() -> Value {
    json!({
        "Number64": { "type": "string", "pattern": "^(0|[1-9][0-9]{0,18})$",
            "description": "An integer from 0 to 2^63 - 1, as decimal digits" },
        "Instant": { "type": "string", "format": "date-time",
            "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z$" },
        "Date": { "type": "string", "format": "date", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$" },
        "Id": { "type": "string", "format": "uuid",
            "pattern": "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$" },
        "Zone": { "type": "string", "examples": ["America/New_York"], "description": "An IANA zone" },
        "Route": one_of_words(&["scheduler", "biller"]),
        "StaffRole": one_of_words(&["clinician", "scheduler", "biller", "admin"]),
        "Author": object(json!({
            "kind": one_of_words(&["client", "staff"]),
            "id": schema("Id"),
        })),
        "Phone": object(json!({ "label": text(), "number": text() })),
        "CrisisLine": object(json!({ "label": text(), "number": text(), "detail": text() })),
        "Banner": object(json!({ "text": text(), "until": schema("Instant") })),
        "Policy": object(json!({
            "idle_lock_s": count("Seconds without a touch before the app locks"),
            "background_lock_s": count("Seconds in the background before the app locks"),
            "reply_hours": count("Within how many hours staff reply"),
            "message_max_chars": count("The longest message body, in characters"),
            "start_threads": { "type": "boolean", "description": "Whether clients may start a thread" },
        })),
        "Site": object(json!({
            "id": schema("Id"), "name": text(), "zone": schema("Zone"),
            "address": text(), "phone": text(),
        })),
        "RouteLabel": object(json!({ "route": schema("Route"), "label": text() })),
        "Practice": object(json!({
            "id": schema("Id"), "name": text(), "zone": schema("Zone"),
            "phones": list(schema("Phone")),
            "crisis": list(schema("CrisisLine")),
            "banner": nullable(schema("Banner")),
            "policy": schema("Policy"),
            "sites": list(schema("Site")),
            "routes": list(schema("RouteLabel")),
        })),
        "Client": object(json!({
            "id": schema("Id"), "given_name": text(), "family_name": text(),
            "preferred_name": nullable(text()), "zone": schema("Zone"), "login_id": text(),
            "clinician": nullable(schema("Id")),
        })),
        "Staff": object(json!({
            "id": schema("Id"), "name": text(), "role": schema("StaffRole"), "title": text(),
            "active": { "type": "boolean" }, "accepts_messages": { "type": "boolean" },
        })),
        "Thread": object(json!({
            "id": schema("Id"), "subject": text(), "route": nullable(schema("Route")),
            "participants": list(schema("Id")), "created_at": schema("Instant"),
            "created_by": schema("Author"), "closed": { "type": "boolean" },
        })),
        "Message": object(json!({
            "id": schema("Id"), "thread": schema("Id"), "n": schema("Number64"),
            "author": schema("Author"), "body": text(), "sent_at": schema("Instant"),
        })),
        "ReadMark": object(json!({
            "id": schema("Id"), "thread": schema("Id"), "upto": schema("Number64"),
        })),
    })
}

fn count(description: &str) -> Value {
    json!({ "type": "integer", "minimum": 0, "description": description })
}
