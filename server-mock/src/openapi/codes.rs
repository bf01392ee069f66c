//! Problems, and every code that they carry.

use serde_json::{Value, json};

use super::{object, text};

pub(super) fn schemas() -> Value {
    json!({
        "Problem": object(json!({
            "type": { "const": "about:blank" },
            "title": text(),
            "status": { "type": "integer", "minimum": 400, "maximum": 599 },
            "code": { "$ref": "#/components/schemas/ProblemCode" },
            "retryable": { "type": "boolean",
                "description": "Whether the same request may succeed later" },
            "field?": { "type": "string", "description": "The one input that is to blame" },
            "detail?": { "type": "string", "description": "Never holds what the client typed" },
        })),
        "ProblemCode": words(PROBLEMS),
        "OpCode": words(OPS),
        "TokenError": object(json!({
            "error": { "enum": ["invalid_request", "invalid_client", "invalid_grant",
                "unsupported_grant_type"] },
            "code?": { "$ref": "#/components/schemas/GrantCode" },
        })),
        "GrantCode": words(GRANTS),
    })
}

/// Words with their meanings.
fn words(words: &[(&str, &str)]) -> Value {
    let all = words
        .iter()
        .map(|(word, meaning)| json!({ "const": word, "description": meaning }))
        .collect::<Vec<_>>();
    json!({ "type": "string", "oneOf": all })
}

/// What `code` of a problem can be.
const PROBLEMS: &[(&str, &str)] = &[
    ("malformed", "The request is not as this document says"),
    ("content_type_unsupported", "The body is of another type than this path takes"),
    ("body_too_large", "The body is larger than the practice accepts"),
    ("body_too_slow", "The body did not arrive in time"),
    ("not_found", "There is nothing at this path"),
    ("method_not_allowed", "This path has other methods; `Allow` names them"),
    ("internal", "The practice's system failed; the request may have taken effect"),
    ("unavailable", "The practice's system is not available now"),
    ("too_many_requests", "Come again after `Retry-After`"),
    ("update_required", "The practice asks for a newer app"),
    ("token_unknown", "No access token, or one that is not known"),
    ("token_expired", "The access token has expired"),
    ("access_revoked", "The practice has ended this access"),
    ("cursor_expired", "The cursor is too old or of another epoch: start from nothing"),
    ("cursor_malformed", "The cursor did not come from this practice"),
    ("epoch_changed", "The epoch has changed: sync, renumber, send again"),
    ("key_reused", "A key or a number was used before for something else"),
    ("invitation_expired", "The link was sent 7 days ago or earlier"),
    ("invitation_used", "Somebody has registered with this link"),
    ("invitation_withdrawn", "The practice has taken the link back"),
    ("invitation_replaced", "A newer link was sent"),
    ("registration_refused", "Link, last name or birth date do not fit; nobody learns which"),
    ("registration_locked", "Too many refusals of this link; come again after `Retry-After`"),
    ("password_too_short", "Fewer than 12 characters"),
    ("password_too_long", "More than 128 characters"),
    ("password_too_common", "One of those that everybody tries first"),
    ("password_contains_login", "It contains the login id"),
    ("staff_key_unknown", "The staff API needs the practice's key"),
    ("client_unknown", "No such client"),
    ("staff_unknown", "No such member of staff"),
    ("staff_inactive", "This member of staff does not work here any more"),
    ("thread_unknown", "No such thread"),
    ("thread_closed", "The thread takes no more messages"),
    ("message_unknown", "No such message"),
    ("appointment_unknown", "No such appointment"),
    ("route_unknown", "No such desk"),
    ("email_taken", "Another client has this address"),
    ("invitation_live", "A usable invitation is out already"),
    ("invitation_none", "There is no invitation to send again or to take back"),
    ("already_registered", "The client has registered"),
    ("access_not_revoked", "The access is not revoked"),
    ("invalid", "The value of `field` is not acceptable"),
];

/// What `problem.code` of an op can be.
const OPS: &[(&str, &str)] = &[
    ("malformed", "The arguments are not as this document says"),
    ("op_unknown", "The practice does not know this type of op"),
    ("thread_unknown", "No such thread"),
    ("thread_closed", "The thread takes no more messages"),
    ("threads_disabled", "Clients do not start threads at this practice"),
    ("recipient_unknown", "Nobody to write to under this name"),
    ("recipient_inactive", "This member of staff takes no messages"),
    ("route_empty", "Nobody is designated for this desk"),
    ("subject_empty", "The subject has no text"),
    ("subject_too_long", "The subject has more than 200 characters"),
    ("body_empty", "The message has no text"),
    ("body_too_long", "The message is longer than the practice takes"),
    ("id_taken", "The id belongs to something else"),
    ("busy", "Not now: come again"),
];

/// What `code` of an `invalid_grant` can be.
const GRANTS: &[(&str, &str)] = &[
    ("code_unknown", "No such code, or not of this app and redirect"),
    ("code_expired", "The code is older than 60 seconds"),
    ("code_used", "The code was used before; what it gave out has ended"),
    ("verifier_wrong", "The PKCE verifier does not belong to the challenge"),
    ("refresh_unknown", "No such refresh token"),
    ("refresh_expired", "The sign-in is older than 30 days"),
    ("refresh_reused", "An older token was shown again; the sign-in has ended"),
    ("access_revoked", "The practice has ended this access"),
];
