//! The staff API: what the people of a practice do, so that a client's whole day can be played.

use serde_json::{Value, json};

use super::{
    answers, body, json_of, list, nullable, object, one_of_words, parameter, problem_content, schema, text,
};

pub(super) fn paths() -> Value {
    let created = || ("201", "Made", json_of(schema("Created")));
    let done = || ("204", "Done", Value::Null);
    let sent = || ("201", "Mailed", json_of(schema("SentInvitation")));
    json!({
        "/staff/clients": {
            "get": ask("clients", "All charts", json_of(listed("clients", "Chart"))),
            "post": act("addClient", "Adds a chart", Some("NewClient"), [created(), malformed(), unknown(),
                conflict("The address is taken"), other_type(), invalid()]),
        },
        "/staff/clients/{id}/invitation": of_id(json!({
            "post": act("invite", "Sends a first invitation, or one after the last has ended", None,
                [sent(), unknown(), conflict("A link is out, or none is needed")]),
        })),
        "/staff/clients/{id}/invitation/resend": of_id(json!({
            "post": act("resendInvitation", "Sends a new link, which replaces the last", None,
                [sent(), unknown(), conflict("There was none, or none is needed")]),
        })),
        "/staff/clients/{id}/invitation/withdraw": of_id(json!({
            "post": act("withdrawInvitation", "Takes a usable link back", None,
                [done(), unknown(), conflict("There is no usable link")]),
        })),
        "/staff/clients/{id}/revoke": of_id(json!({
            "post": act("revokeAccess", "Ends a client's access and every session", None,
                [done(), unknown()]),
        })),
        "/staff/clients/{id}/reactivate": of_id(json!({
            "post": act("reactivateAccess", "Lets a client in again, with the password of before", None,
                [done(), unknown(), conflict("The access is not revoked")]),
        })),
        "/staff/clients/{id}/logins": of_id(json!({
            "get": ask_of("logins", "The login history, oldest first",
                json_of(listed("logins", "LoginEvent"))),
        })),
        "/staff/clients/{id}/threads": of_id(json!({
            "get": ask_of("threads", "A client's threads", json_of(listed("threads", "ThreadSummary"))),
            "post": act("writeToClient", "Begins a thread with a client", Some("NewThread"), [created(),
                malformed(), unknown(), conflict("The writer is not active"), other_type(), invalid()]),
        })),
        "/staff/threads/{id}": of_id(json!({
            "get": ask_of("thread", "A thread with its messages", json_of(schema("StaffThread"))),
        })),
        "/staff/threads/{id}/messages": of_id(json!({
            "post": act("reply", "Writes in a thread", Some("NewMessage"), [created(), malformed(),
                unknown(), conflict("The thread is closed, or the writer not active"), other_type(),
                invalid()]),
        })),
        "/staff/threads/{id}/read": of_id(json!({
            "post": act("markRead", "A member of staff has read a thread", Some("ByStaff"),
                [done(), malformed(), unknown(), other_type()]),
        })),
        "/staff/threads/{id}/close": of_id(json!({
            "post": act("closeThread", "Takes no more messages in a thread", None, [done(), unknown()]),
        })),
        "/staff/threads/{id}/withdraw": of_id(json!({
            "post": act("withdrawThread", "Takes a thread back, with all that is in it", None,
                [done(), unknown()]),
        })),
        "/staff/staff": {
            "get": ask("staff", "Everybody who works or worked here", json_of(listed("staff", "Staff"))),
            "post": act("addStaff", "Adds a member of staff", Some("NewStaff"),
                [created(), malformed(), other_type(), invalid()]),
        },
        "/staff/staff/{id}/deactivate": of_id(json!({
            "post": act("deactivateStaff", "Ends somebody's work here", None, [done(), unknown()]),
        })),
        "/staff/routes": {
            "get": ask("routes", "Who is designated for the desks", json_of(schema("Routes"))),
        },
        "/staff/routes/{route}": {
            "parameters": [parameter("path", "route", true, schema("Route"))],
            "put": act("changeRoute", "Designates the staff of a desk; nobody closes it",
                Some("StaffIds"), [done(), malformed(), unknown(), other_type()]),
        },
        "/staff/banner": {
            "put": act("setBanner", "Puts a banner on every phone, or takes it off",
                Some("BannerOrNone"), [done(), malformed(), other_type()]),
        },
        "/staff/policy": {
            "put": act("setPolicy", "Sets the figures that phones obey", Some("Policy"),
                [done(), malformed(), other_type()]),
        },
        "/staff/core-version": {
            "put": act("setCoreVersion", "Asks for a core of at least this version",
                Some("MinCoreVersion"), [done(), malformed(), other_type(), invalid()]),
        },
        "/staff/epoch": {
            "post": act("bumpEpoch", "Starts a new epoch, as after a restore from a backup",
                Some("NewEpoch"),
                [("200", "The new epoch", json_of(schema("Epoch"))), malformed(), other_type()]),
        },
        "/staff/faults": {
            "put": act("setFaults", "Sets what goes wrong from now on", Some("Faults"),
                [done(), malformed(), other_type(), invalid()]),
        },
        "/staff/effects": {
            "get": ask("effects", "Every message that came to exist, in order",
                json_of(listed("effects", "Effect"))),
        },
    })
}

/// One answer of an operation: status, description, content.
type One = (&'static str, &'static str, Value);

fn malformed() -> One {
    ("400", "Malformed", problem_content())
}

fn unknown() -> One {
    ("404", "No such thing", problem_content())
}

fn conflict(why: &'static str) -> One {
    ("409", why, problem_content())
}

fn other_type() -> One {
    ("415", "Not JSON", problem_content())
}

fn invalid() -> One {
    ("422", "A value is not acceptable", problem_content())
}

fn of_id(operations: Value) -> Value {
    let mut item = operations;
    if let Some(item) = item.as_object_mut() {
        let id = parameter("path", "id", true, schema("Id"));
        item.insert("parameters".to_owned(), json!([id]));
    }
    item
}

/// A question without parameters.
fn ask(operation: &str, summary: &str, content: Value) -> Value {
    act(operation, summary, None, [("200", "As asked", content)])
}

/// A question about one thing.
fn ask_of(operation: &str, summary: &str, content: Value) -> Value {
    act(operation, summary, None, [("200", "As asked", content), unknown()])
}

fn act<const N: usize>(operation: &str, summary: &str, takes: Option<&str>, of: [One; N]) -> Value {
    let mut responses = answers(of);
    let key_unknown = answers([("401", "Not the practice's key", problem_content())]);
    if let (Value::Object(responses), Value::Object(more)) = (&mut responses, key_unknown) {
        responses.extend(more);
    }
    let mut act = json!({
        "operationId": operation, "tags": ["staff"], "summary": summary,
        "security": [{ "staffKey": [] }], "responses": responses,
    });
    if let (Some(takes), Some(act)) = (takes, act.as_object_mut()) {
        act.insert("requestBody".to_owned(), body("application/json", schema(takes)));
    }
    act
}

fn listed(name: &str, of: &str) -> Value {
    object(json!({ name: list(schema(of)) }))
}

pub(super) fn schemas() -> Value {
    let boolean = || json!({ "type": "boolean" });
    json!({
        "Created": object(json!({ "id": schema("Id") })),
        "SentInvitation": object(json!({ "mail": schema("Id"), "to": text() })),
        "Epoch": object(json!({ "epoch": text() })),
        "NewEpoch": object(json!({ "lanes_back_to?": nullable(schema("Instant")) })),
        "MinCoreVersion": object(json!({ "min": nullable(schema("CoreVersion")) })),
        "BannerOrNone": nullable(schema("Banner")),
        "ByStaff": object(json!({ "staff": schema("Id") })),
        "StaffIds": object(json!({ "staff": list(schema("Id")) })),
        "Routes": object(json!({ "routes": object(json!({
            "scheduler": list(schema("Id")), "biller": list(schema("Id")),
        })) })),
        "NewStaff": object(json!({
            "name": text(), "role": schema("StaffRole"), "title": text(),
            "accepts_messages": boolean(),
        })),
        "NewClient": object(json!({
            "given_name": text(), "family_name": text(), "preferred_name?": nullable(text()),
            "date_of_birth": schema("Date"), "email": text(), "phone?": nullable(text()),
            "zone": schema("Zone"), "clinician?": nullable(schema("Id")),
        })),
        "Chart": object(json!({
            "id": schema("Id"), "account": schema("Id"), "given_name": text(),
            "family_name": text(), "preferred_name": nullable(text()),
            "date_of_birth": schema("Date"), "email": text(), "phone": nullable(text()),
            "zone": schema("Zone"), "clinician": nullable(schema("Id")), "login_id": text(),
            "access": one_of_words(&["none", "active", "revoked"]),
            "invitation": nullable(one_of_words(
                &["sent", "registered", "expired", "withdrawn", "replaced"])),
        })),
        "LoginEvent": object(json!({
            "at": schema("Instant"), "install": nullable(schema("Id")),
            "result": one_of_words(&["registered", "signed_in", "refused", "locked"]),
            "new_device": boolean(),
        })),
        "NewThread": object(json!({ "staff": schema("Id"), "subject": text(), "body": schema("Body") })),
        "NewMessage": object(json!({ "staff": schema("Id"), "body": schema("Body") })),
        "ThreadSummary": object(json!({
            "id": schema("Id"), "subject": text(), "route": nullable(schema("Route")),
            "participants": list(schema("Id")), "created_at": schema("Instant"),
            "closed": boolean(), "withdrawn": boolean(), "newest": schema("Number64"),
            "read_upto": schema("Number64"),
        })),
        "StaffThread": object(json!({
            "id": schema("Id"), "client": schema("Id"), "subject": text(),
            "route": nullable(schema("Route")), "participants": list(schema("Id")),
            "created_at": schema("Instant"), "created_by": schema("Author"),
            "closed": boolean(), "withdrawn": boolean(), "messages": list(schema("StaffMessage")),
            "read_upto": schema("Number64"),
            "staff_read": { "type": "object", "additionalProperties": schema("Number64") },
        })),
        "StaffMessage": object(json!({
            "id": schema("Id"), "n": schema("Number64"), "author": schema("Author"),
            "body": text(), "sent_at": schema("Instant"), "withdrawn": boolean(),
            "seq": schema("Number64"),
        })),
        "Effect": object(json!({
            "id": schema("Id"), "thread": schema("Id"), "author": schema("Author"),
            "seq": schema("Number64"), "when": schema("Instant"),
        })),
        "Faults": faults(),
    })
}

/// All of them may be absent; what is absent does not happen.
fn faults() -> Value {
    let likely = |what: &str| json!({ "type": "number", "minimum": 0, "maximum": 1, "description": what });
    let whole = |what: &str| json!({ "type": "integer", "minimum": 0, "description": what });
    object(json!({
        "seed?": whole("Where the faults' random numbers start"),
        "delay?": likely("The answer takes up to `max_delay_ms` longer"),
        "max_delay_ms?": whole("The longest delay"),
        "drop_before?": likely("The connection drops; nothing was done"),
        "drop_after?": likely("The connection drops; everything was done"),
        "duplicate?": likely("The request arrives twice, and the second answer comes back"),
        "truncate?": likely("The body breaks off"),
        "error_500?": likely("500; nothing was done"),
        "commit_then_500?": likely("500; everything was done"),
        "error_503?": likely("503 with `Retry-After`; nothing was done"),
        "error_429?": likely("429 with `Retry-After`; nothing was done"),
        "error_401?": likely("401 `token_expired` where a token is needed; nothing was done"),
        "cursor_410?": likely("410 `cursor_expired` from the feed"),
        "html?": likely("A captive portal answers 200 with a page of its own; nothing was done"),
        "op_retry?": likely("An op is answered `retry`"),
    }))
}
