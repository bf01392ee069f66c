//! The contract as OpenAPI 3.1, written by hand beside the code that it describes; a test holds the
//! two together by validating the server's real answers against it.

mod codes;
mod feed;
mod ops;
mod phone;
mod records;
mod staff;

use serde_json::{Map, Value, json};

/// The document that `GET /openapi.json` publishes.
pub fn document() -> Value {
    json!({
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "Portal API of a practice, portal-sync/1",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
            "description": DESCRIPTION,
        },
        "servers": [{ "url": "/" }],
        "tags": [
            { "name": "practice", "description": "What anybody may ask" },
            { "name": "access", "description": "Registering, signing in, tokens" },
            { "name": "sync", "description": "The feed, and what clients do" },
            { "name": "staff", "description": "The acts of the practice's staff, by their key" },
            { "name": "pages", "description": "What a browser shows" },
        ],
        "paths": merged([phone::paths(), staff::paths()]),
        "components": {
            "securitySchemes": {
                "accessToken": { "type": "http", "scheme": "bearer",
                    "description": "An access token of the token endpoint; it says which install asks" },
                "staffKey": { "type": "http", "scheme": "bearer",
                    "description": "The key that the practice prints when it starts" },
            },
            "headers": headers(),
            "schemas": merged([
                records::schemas(), feed::schemas(), ops::schemas(), phone::schemas(),
                staff::schemas(), codes::schemas(),
            ]),
        },
    })
}

const DESCRIPTION: &str = "\
64-bit integers are decimal strings, times RFC 3339 UTC with milliseconds, dates `YYYY-MM-DD`, zones \
IANA names, ids lower-case UUIDs of version 7 made by whoever creates the thing. Every answer carries \
`Portal-Time` and `Cache-Control: no-store`; an error is `application/problem+json` with a stable \
`code`. Bodies may be coded `gzip` or `zstd` as `Accept-Encoding` asks. A client keeps fields and \
entities that it does not know.";

fn merged<const N: usize>(parts: [Value; N]) -> Value {
    let mut all = Map::new();
    for part in parts {
        if let Value::Object(part) = part {
            all.extend(part);
        }
    }
    Value::Object(all)
}

fn headers() -> Value {
    json!({
        "PortalTime": { "required": true, "description": "The server's clock",
            "schema": schema("Instant") },
        "NoStore": { "required": true, "schema": { "const": "no-store" } },
        "RetryAfter": { "description": "Seconds to wait at least",
            "schema": { "type": "integer", "minimum": 0 } },
    })
}

/// A reference to a schema of this document.
fn schema(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// An object with these properties, each of them required but those whose name ends in `?`.
fn object(properties: Value) -> Value {
    let mut required = Vec::new();
    let mut named = Map::new();
    if let Value::Object(properties) = properties {
        for (name, property) in properties {
            match name.strip_suffix('?') {
                Some(optional) => {
                    named.insert(optional.to_owned(), property);
                }
                None => {
                    required.push(name.clone());
                    named.insert(name, property);
                }
            }
        }
    }
    json!({ "type": "object", "properties": named, "required": required })
}

/// This, or null.
fn nullable(inner: Value) -> Value {
    json!({ "oneOf": [inner, { "type": "null" }] })
}

fn list(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn one_of_words(words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words })
}

/// What an operation may answer: JSON of a schema, by status.
fn answers<const N: usize>(of: [(&str, &str, Value); N]) -> Value {
    let mut all = Map::new();
    for (status, description, content) in of {
        all.insert(status.to_owned(), answer(description, content));
    }
    // Whatever goes wrong elsewhere, such as 429, 500 and 503, is a problem as well.
    all.entry("default").or_insert_with(|| problem("Any other problem"));
    Value::Object(all)
}

fn answer(description: &str, content: Value) -> Value {
    let mut headers = json!({
        "Portal-Time": { "$ref": "#/components/headers/PortalTime" },
        "Cache-Control": { "$ref": "#/components/headers/NoStore" },
    });
    if content.get("application/problem+json").is_some()
        && let Value::Object(headers) = &mut headers
    {
        let retry_after = json!({ "$ref": "#/components/headers/RetryAfter" });
        headers.insert("Retry-After".to_owned(), retry_after);
    }
    match content {
        Value::Null => json!({ "description": description, "headers": headers }),
        content => json!({ "description": description, "headers": headers, "content": content }),
    }
}

fn problem(description: &str) -> Value {
    answer(description, problem_content())
}

fn problem_content() -> Value {
    json!({ "application/problem+json": { "schema": schema("Problem") } })
}

fn json_of(inner: Value) -> Value {
    json!({ "application/json": { "schema": inner } })
}

fn html() -> Value {
    json!({ "text/html": { "schema": text() } })
}

fn body(content_type: &str, inner: Value) -> Value {
    json!({ "required": true, "content": { content_type: { "schema": inner } } })
}

fn parameter(place: &str, name: &str, required: bool, inner: Value) -> Value {
    json!({ "in": place, "name": name, "required": required, "schema": inner })
}
