//! A client that checks every answer against the published document.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;

use portal_server_mock::openapi;
use portal_server_mock::serve::Running;
use serde_json::{Value, json};

use crate::common::{Answer, STAFF_KEY, TlsClient, practice};

/// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

const REDIRECT: &str = "http://127.0.0.1:4711/signed-in";

/// A version 7 id that is the same in every run.
pub(crate) fn uuid_of(number: u128) -> String {
    uuid::Uuid::from_u128(0x018f_0000_0000_7000_8000_0000_0000_0000 | number).to_string()
}

/// A request to be made.
pub(crate) struct Ask {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
    staff: bool,
    token: bool,
    outside: bool,
}

impl Ask {
    pub(crate) fn of(method: &str, path: &str) -> Self {
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            body: String::new(),
            staff: false,
            token: false,
            outside: false,
        }
    }

    pub(crate) fn get(path: &str) -> Self {
        Self::of("GET", path)
    }

    pub(crate) fn post(path: &str) -> Self {
        Self::of("POST", path)
    }

    pub(crate) fn put(path: &str) -> Self {
        Self::of("PUT", path)
    }

    /// With the staff key.
    pub(crate) fn staff(self) -> Self {
        Self { staff: true, ..self }
    }

    /// With the client's access token.
    pub(crate) fn token(self) -> Self {
        Self { token: true, ..self }
    }

    /// The answer is one of those that the document sums up as `default`.
    pub(crate) fn outside(self) -> Self {
        Self { outside: true, ..self }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        Self { body: body.to_string(), ..self.header("content-type", "application/json") }
    }

    pub(crate) fn form(self, fields: &[(impl AsRef<str>, impl AsRef<str>)]) -> Self {
        let fields = fields.iter().map(|(name, value)| (name.as_ref(), value.as_ref()));
        let body = serde_urlencoded::to_string(fields.collect::<Vec<_>>()).unwrap();
        Self { body, ..self.header("content-type", "application/x-www-form-urlencoded") }
    }
}

/// A practice, its document, and what has been seen of it.
pub(crate) struct Contract {
    practice: Running,
    client: TlsClient,
    strict: Value,
    seen: BTreeSet<(String, String, String)>,
    pub(crate) access_token: String,
}

/// An answer that is as documented.
pub(crate) struct Seen {
    at: String,
    answer: Answer,
}

impl Contract {
    pub(crate) fn start() -> Self {
        let practice = practice();
        let client = TlsClient::connect(&practice);
        let mut strict = openapi::document();
        for schema in strict["components"]["schemas"].as_object_mut().unwrap().values_mut() {
            forbid_unknown_fields(schema);
        }
        Self { practice, client, strict, seen: BTreeSet::new(), access_token: String::new() }
    }

    /// Path, method and operation of everything documented.
    pub(crate) fn documented() -> Vec<(String, String, Value)> {
        let document = openapi::document();
        let paths = document["paths"].as_object().unwrap();
        let operations = paths.iter().flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().iter();
            let methods = methods.filter(|(name, _)| *name != "parameters");
            methods.map(move |(method, operation)| (path.clone(), method.clone(), operation.clone()))
        });
        operations.collect()
    }

    pub(crate) fn operations(&self) -> Vec<(String, String, Value)> {
        Self::documented()
    }

    /// Makes the request and holds its answer against the document.
    pub(crate) fn ask(&mut self, ask: Ask) -> Seen {
        let mut text = format!("{} {} HTTP/1.1\r\nhost: localhost\r\n", ask.method, ask.path);
        let key = if ask.staff { Some(STAFF_KEY) } else { ask.token.then_some(self.access_token.as_str()) };
        for (name, value) in &ask.headers {
            text += &format!("{name}: {value}\r\n");
        }
        if let Some(key) = key {
            text += &format!("authorization: Bearer {key}\r\n");
        }
        text += &format!("content-length: {}\r\n\r\n{}", ask.body.len(), ask.body);
        self.client.send(&text);
        let answer = self.client.receive().unwrap();
        let at = format!("{} {} -> {}", ask.method, ask.path, answer.status);
        if answer.header("connection") == Some("close") {
            self.client = TlsClient::connect(&self.practice);
        }
        self.check(&ask, &answer, &at);
        Seen { at, answer }
    }

    fn check(&mut self, ask: &Ask, answer: &Answer, at: &str) {
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{at}");
        self.valid(
            &json!({ "$ref": "#/components/schemas/Instant" }),
            &json!(answer.header("portal-time")),
            at,
        );
        let path = ask.path.split('?').next().unwrap();
        let template = self.template(path);
        let method = ask.method.to_ascii_lowercase();
        let status = answer.status.to_string();
        let operation =
            template.as_ref().and_then(|template| self.strict["paths"][template].get(&method).cloned());
        let documented = operation.as_ref().and_then(|operation| operation["responses"].get(&status));
        if ask.outside {
            assert!(documented.is_none(), "{at} is documented");
            assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{at}");
            let problem = answer.json();
            assert_eq!(problem["status"], answer.status, "{at}");
            return self.valid(&json!({ "$ref": "#/components/schemas/Problem" }), &problem, at);
        }
        let body = String::from_utf8_lossy(&answer.body);
        let documented = documented.unwrap_or_else(|| panic!("{at} is not documented: {body}"));
        match documented.get("content") {
            None => assert!(answer.body.is_empty(), "{at}: {body}"),
            Some(content) => {
                let kind = answer.header("content-type").unwrap().split(';').next().unwrap();
                let schema = content.get(kind).unwrap_or_else(|| panic!("{at}: {kind}"));
                if kind.ends_with("json") {
                    self.valid(&schema["schema"], &answer.json(), at);
                } else {
                    assert!(body.starts_with("<!doctype html>"), "{at}");
                }
            }
        }
        let operation = operation.unwrap();
        if answer.status < 300 && !ask.body.is_empty() {
            self.check_request(&operation, ask, at);
        }
        self.seen.insert((template.unwrap(), method, status));
    }

    /// What the practice accepts is what the document asks for.
    fn check_request(&self, operation: &Value, ask: &Ask, at: &str) {
        let content = operation["requestBody"]["content"].as_object().expect(at);
        for (kind, media) in content {
            let body = if kind == "application/json" {
                serde_json::from_str::<Value>(&ask.body).unwrap()
            } else {
                let fields = serde_urlencoded::from_str::<Vec<(String, String)>>(&ask.body).unwrap();
                fields.into_iter().map(|(name, value)| (name, json!(value))).collect()
            };
            // Ops are tried with what the practice has to refuse as well.
            if !ask.path.starts_with("/v1/ops") {
                self.valid(&media["schema"], &body, &format!("request of {at}"));
            }
        }
    }

    fn valid(&self, schema: &Value, value: &Value, at: &str) {
        let mut schema = schema.clone();
        schema["components"] = self.strict["components"].clone();
        let validator = jsonschema::options()
            .with_draft(jsonschema::Draft::Draft202012)
            .should_validate_formats(true)
            .build(&schema)
            .unwrap();
        if let Err(why) = validator.validate(value) {
            panic!("{at}: {why} at {}\n{value:#}", why.instance_path());
        }
    }

    fn template(&self, path: &str) -> Option<String> {
        let parts = path.split('/').collect::<Vec<_>>();
        let fits = |template: &&String| {
            let expected = template.split('/').collect::<Vec<_>>();
            expected.len() == parts.len()
                && expected.iter().zip(&parts).all(|(want, part)| want.starts_with('{') || want == part)
        };
        self.strict["paths"].as_object().unwrap().keys().find(fits).cloned()
    }

    pub(crate) fn example_path(&self, template: &str) -> String {
        let values = [("{token}", "unknown"), ("{id}", &uuid_of(77)), ("{route}", "biller")];
        values.iter().fold(template.to_owned(), |path, (name, value)| path.replace(name, value))
    }

    /// Those refusals that every operation has alike: no key, another type, malformed, unknown.
    pub(crate) fn generic_refusals(&mut self, path: &str, method: &str, operation: &Value) {
        let real = self.example_path(path);
        let is_staff = path.starts_with("/staff/");
        let has = |status: &str| operation["responses"].get(status).is_some();
        let ask = || {
            let ask = Ask::of(&method.to_ascii_uppercase(), &real);
            if is_staff { ask.staff() } else { ask.token() }
        };
        if has("401") && !path.starts_with("/oauth/") {
            let stranger = Ask::of(&method.to_ascii_uppercase(), &real);
            self.ask(stranger.json(&json!({}))).is(401);
        }
        if has("415") {
            self.ask(ask().header("content-type", "text/plain")).is(415);
        }
        if has("400") && is_staff {
            self.ask(ask().json(&json!({ "no": ["such", "thing"] }))).is(400);
        }
        if has("404") && path.contains("{id}") {
            let staff = uuid_of(78);
            let body = match operation["operationId"].as_str().unwrap() {
                "writeToClient" => json!({ "staff": staff, "subject": "x", "body": "x" }),
                "reply" => json!({ "staff": staff, "body": "x" }),
                _ => json!({ "staff": staff }),
            };
            self.ask(ask().json(&body)).is(404);
        }
    }

    pub(crate) fn not_yet_seen(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for (path, method, operation) in Self::documented() {
            for status in operation["responses"].as_object().unwrap().keys() {
                let one = (path.clone(), method.clone(), status.clone());
                if status != "default" && !self.seen.contains(&one) {
                    missing.push(format!("{method} {path} -> {status}"));
                }
            }
        }
        missing
    }

    /// The token of the newest invitation that was mailed.
    pub(crate) fn mailed_token(&mut self, to: &str) -> String {
        let path = format!("/mailbox.json?kind=invitation&to={}", to.replace('@', "%40"));
        let mails = self.ask(Ask::get(&path)).is(200).json();
        let link = mails["mails"].as_array().unwrap().last().unwrap()["link"].as_str().unwrap().to_owned();
        link.rsplit('/').next().unwrap().to_owned()
    }

    pub(crate) fn authorize_path(&self, scope: &str) -> String {
        let query = serde_urlencoded::to_string([
            ("response_type", "code"),
            ("client_id", "org.portal.cli"),
            ("redirect_uri", REDIRECT),
            ("scope", scope),
            ("state", "a state"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ]);
        format!("/oauth/authorize?{}", query.unwrap())
    }

    /// Signs in through the page, and redeems the code.
    pub(crate) fn sign_in(&mut self, login_id: &str, password: &str) -> Value {
        let page = self.ask(Ask::get(&self.authorize_path("portal offline_access"))).is(200);
        let form = page.sign_in_form(login_id, password);
        let back = self.ask(Ask::post("/oauth/authorize").form(&form)).is(303);
        let location = url::Url::parse(back.header("location").unwrap()).unwrap();
        let query =
            |name: &str| location.query_pairs().find(|(other, _)| other == name).unwrap().1.into_owned();
        assert_eq!(query("state"), "a state");
        assert_eq!(query("iss"), self.practice.base_url());
        let form = [
            ("grant_type", "authorization_code"),
            ("code", &query("code")),
            ("redirect_uri", REDIRECT),
            ("client_id", "org.portal.cli"),
            ("code_verifier", VERIFIER),
            ("install_id", &uuid_of(1)),
        ];
        self.ask(Ask::post("/oauth/token").form(&form)).is(200).json()
    }
}

impl Seen {
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        let body = String::from_utf8_lossy(&self.answer.body);
        assert_eq!(self.answer.status, status, "{}: {body}", self.at);
        self
    }

    pub(crate) fn json(&self) -> Value {
        self.answer.json()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.answer.header(name)
    }

    /// The form of a sign-in page, filled in.
    pub(crate) fn sign_in_form(&self, login_id: &str, password: &str) -> [(String, String); 3] {
        let html = String::from_utf8(self.answer.body.clone()).unwrap();
        let (_, rest) = html.split_once("name=\"transaction\" value=\"").unwrap();
        let transaction = rest.split('"').next().unwrap();
        [("transaction", transaction), ("login_id", login_id), ("password", password)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
    }
}

/// A client keeps fields that it does not know; this server sends none that are not documented.
fn forbid_unknown_fields(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.contains_key("properties") {
                fields.entry("additionalProperties").or_insert(json!(false));
            }
            fields.values_mut().for_each(forbid_unknown_fields);
        }
        Value::Array(items) => items.iter_mut().for_each(forbid_unknown_fields),
        _ => {}
    }
}
