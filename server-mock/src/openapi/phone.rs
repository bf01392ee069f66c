//! What phones and browsers ask: the practice, registering, signing in, the feed and the ops.

use serde_json::{Value, json};

use super::{
    answer, answers, body, html, json_of, list, nullable, object, one_of_words, parameter, problem_content,
    schema, text,
};

pub(super) fn paths() -> Value {
    json!({
        "/": { "get": page("index", "The start page", answers([("200", "The page", html())])) },
        "/openapi.json": { "get": {
            "operationId": "openapi", "tags": ["practice"], "summary": "This document",
            "responses": answers([("200", "OpenAPI 3.1", json_of(json!({ "type": "object" })))]),
        } },
        "/enroll/{token}": {
            "parameters": [parameter("path", "token", true, text())],
            "get": page("enrollPage", "What an invitation link shows; it consumes nothing", answers([
                ("200", "The invitation can be used in the app", html()),
                ("404", "No such invitation", html()),
                ("410", "The invitation has ended", html()),
            ])),
        },
        "/mailbox": { "get": page("mailboxPage", "What the practice has mailed", answers([
            ("200", "The page", html()),
        ])) },
        "/mailbox.json": { "get": {
            "operationId": "mailbox", "tags": ["pages"],
            "summary": "What the practice has mailed, oldest first",
            "parameters": [
                parameter("query", "to", false, text()),
                parameter("query", "kind", false, schema("MailKind")),
            ],
            "responses": answers([("200", "The mails", json_of(schema("Mailbox")))]),
        } },
        "/v1/practice": { "get": {
            "operationId": "practice", "tags": ["practice"],
            "summary": "The practice, with its crisis lines",
            "responses": answers([("200", "The practice", json_of(schema("Practice")))]),
        } },
        "/v1/registrations": { "post": registrations() },
        "/v1/sync": { "get": sync() },
        "/v1/ops": { "post": ops() },
        "/.well-known/oauth-authorization-server": { "get": {
            "operationId": "authorizationServer", "tags": ["access"], "summary": "RFC 8414",
            "responses": answers([("200", "The metadata", json_of(schema("ServerMetadata")))]),
        } },
        "/oauth/authorize": { "get": show_sign_in(), "post": sign_in() },
        "/oauth/token": { "post": token() },
        "/oauth/revoke": { "post": {
            "operationId": "revoke", "tags": ["access"], "summary": "RFC 7009: ends a token",
            "requestBody": form(object(json!({ "token": text(), "client_id": schema("ClientId") }))),
            "responses": answers([
                ("200", "The token works no more, whatever it was", Value::Null),
                ("415", "Not a form", problem_content()),
            ]),
        } },
    })
}

fn page(operation: &str, summary: &str, responses: Value) -> Value {
    json!({ "operationId": operation, "tags": ["pages"], "summary": summary, "responses": responses })
}

fn form(inner: Value) -> Value {
    body("application/x-www-form-urlencoded", inner)
}

/// The version of the app's core, for a practice that asks for a newer one.
fn core_version() -> Value {
    parameter("header", "Portal-Core-Version", false, schema("CoreVersion"))
}

fn registrations() -> Value {
    json!({
        "operationId": "register", "tags": ["access"],
        "summary": "Registers with an invitation, and answers with a code to redeem",
        "parameters": [core_version()],
        "requestBody": body("application/json", schema("Registration")),
        "responses": answers([
            ("201", "Registered", json_of(schema("Registered"))),
            ("400", "Malformed", problem_content()),
            ("403", "Link, last name or birth date do not fit", problem_content()),
            ("410", "The invitation has ended", problem_content()),
            ("415", "Not JSON", problem_content()),
            ("422", "The password is not acceptable", problem_content()),
            ("426", "The app is too old", problem_content()),
            ("429", "Too many refusals of this link", problem_content()),
        ]),
    })
}

fn sync() -> Value {
    json!({
        "operationId": "sync", "tags": ["sync"], "summary": "The next page of the feed",
        "security": [{ "accessToken": [] }],
        "parameters": [
            parameter("query", "cursor", false, json!({
                "type": "string", "description": "`next` of the page before; absent at the start" })),
            parameter("query", "limit", false, json!({
                "type": "integer", "minimum": 1, "maximum": 1000, "default": 500 })),
            core_version(),
        ],
        "responses": answers([
            ("200", "A page", json_of(schema("Page"))),
            ("304", "Nothing is newer than the cursor", Value::Null),
            ("400", "Malformed", problem_content()),
            ("401", "The access token does not work", problem_content()),
            ("403", "The access was revoked", problem_content()),
            ("410", "The cursor has expired", problem_content()),
            ("426", "The app is too old", problem_content()),
        ]),
    })
}

fn ops() -> Value {
    json!({
        "operationId": "ops", "tags": ["sync"], "summary": "Executes ops, each at most once",
        "security": [{ "accessToken": [] }],
        "parameters": [core_version()],
        "requestBody": body("application/json", schema("OpsRequest")),
        "responses": answers([
            ("200", "One result per op, in order", json_of(schema("OpsResponse"))),
            ("400", "Malformed", problem_content()),
            ("401", "The access token does not work", problem_content()),
            ("403", "The access was revoked", problem_content()),
            ("410", "The epoch has changed", problem_content()),
            ("415", "Not JSON", problem_content()),
            ("422", "A key or a number is used a second time", problem_content()),
            ("426", "The app is too old", problem_content()),
        ]),
    })
}

fn show_sign_in() -> Value {
    let query = |name: &str, inner: Value| parameter("query", name, true, inner);
    json!({
        "operationId": "showSignIn", "tags": ["access"],
        "summary": "OAuth 2.0 authorization endpoint: shows the sign-in page",
        "parameters": [
            query("response_type", json!({ "const": "code" })),
            query("client_id", schema("ClientId")),
            query("redirect_uri", schema("RedirectUri")),
            query("scope", json!({ "type": "string", "examples": ["portal offline_access"] })),
            query("state", json!({ "type": "string", "minLength": 1, "maxLength": 2048 })),
            query("code_challenge", schema("Challenge")),
            query("code_challenge_method", json!({ "const": "S256" })),
        ],
        "responses": answers([
            ("200", "The sign-in page", html()),
            ("303", "Back to the app with `error`, `state` and `iss`", Value::Null),
            ("400", "App or redirect are not known: a page, and no redirect", html()),
        ]),
    })
}

fn sign_in() -> Value {
    let mut locked = answer("Too many failures of this login id", html());
    if let Some(headers) = locked.get_mut("headers").and_then(Value::as_object_mut) {
        let retry_after = json!({ "$ref": "#/components/headers/RetryAfter" });
        headers.insert("Retry-After".to_owned(), retry_after);
    }
    let mut responses = answers([
        ("303", "Back to the app with `code`, `state` and `iss`", Value::Null),
        ("400", "The page was too old", html()),
        ("401", "The page again, with one sentence for every wrong reason", html()),
        ("415", "Not a form", problem_content()),
    ]);
    if let Some(responses) = responses.as_object_mut() {
        responses.insert("429".to_owned(), locked);
    }
    json!({
        "operationId": "signIn", "tags": ["access"], "summary": "Takes the form of the sign-in page",
        "requestBody": form(object(json!({
            "transaction": text(), "login_id": text(), "password": text(),
        }))),
        "responses": responses,
    })
}

fn token() -> Value {
    json!({
        "operationId": "token", "tags": ["access"], "summary": "OAuth 2.0 token endpoint",
        "requestBody": form(json!({ "oneOf": [
            object(json!({
                "grant_type": { "const": "authorization_code" }, "code": text(),
                "redirect_uri": schema("RedirectUri"), "client_id": schema("ClientId"),
                "code_verifier": { "type": "string", "pattern": "^[A-Za-z0-9._~-]{43,128}$" },
                "install_id": schema("Id"),
            })),
            object(json!({
                "grant_type": { "const": "refresh_token" }, "refresh_token": text(),
                "client_id": schema("ClientId"),
            })),
        ] })),
        "responses": answers([
            ("200", "Tokens", json_of(schema("Tokens"))),
            ("400", "RFC 6749 §5.2", json_of(schema("TokenError"))),
            ("415", "Not a form", problem_content()),
        ]),
    })
}

pub(super) fn schemas() -> Value {
    json!({
        "ClientId": one_of_words(&["org.portal.phone", "org.portal.cli"]),
        "RedirectUri": { "type": "string", "description":
            "`org.portal.phone:/signed-in`, or `http://127.0.0.1:<any port>/signed-in` of the CLI" },
        "Challenge": { "type": "string", "pattern": "^[A-Za-z0-9_-]{43}$" },
        "CoreVersion": { "type": "string", "examples": ["0.1.0"] },
        "Registration": object(json!({
            "token": text(), "last_name": text(), "date_of_birth": schema("Date"),
            "password": { "type": "string", "minLength": 12, "maxLength": 128 },
            "client_id": schema("ClientId"), "redirect_uri": schema("RedirectUri"),
            "code_challenge": schema("Challenge"), "code_challenge_method": { "const": "S256" },
            "install_id": schema("Id"),
        })),
        "Registered": object(json!({ "login_id": text(), "code": text(), "iss": text() })),
        "Tokens": object(json!({
            "access_token": text(), "token_type": { "const": "Bearer" },
            "expires_in": { "type": "integer", "minimum": 1 },
            "refresh_token?": { "type": "string", "description": "With scope `offline_access`" },
            "scope": text(), "sub": schema("Id"), "login_id": text(),
        })),
        "ServerMetadata": object(json!({
            "issuer": text(), "authorization_endpoint": text(), "token_endpoint": text(),
            "revocation_endpoint": text(),
            "scopes_supported": list(text()),
            "response_types_supported": { "const": ["code"] },
            "response_modes_supported": { "const": ["query"] },
            "grant_types_supported": { "const": ["authorization_code", "refresh_token"] },
            "token_endpoint_auth_methods_supported": { "const": ["none"] },
            "revocation_endpoint_auth_methods_supported": { "const": ["none"] },
            "code_challenge_methods_supported": { "const": ["S256"] },
            "authorization_response_iss_parameter_supported": { "const": true },
        })),
        "MailKind": one_of_words(&["invitation", "new_message", "new_device"]),
        "Mail": object(json!({
            "id": schema("Id"), "at": schema("Instant"), "kind": schema("MailKind"),
            "channel": one_of_words(&["email", "sms"]),
            "to": text(), "subject": text(), "text": text(), "link": nullable(text()),
        })),
        "Mailbox": object(json!({ "mails": list(schema("Mail")) })),
    })
}
