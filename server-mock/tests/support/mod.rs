//! A small practice to ask, and what a phone needs to ask it.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use http::{HeaderMap, Request, StatusCode};
use portal_server_mock::world::{
    CrisisLine, Mail, MailKind, NewClient, NewStaff, Phone as PhoneLine, Policy, PracticeRecord, Route,
    RouteLabel, StaffRole,
};
use portal_server_mock::{Answer, Outcome, Setup, World, handle};
use serde_json::{Value, json};
use uuid::Uuid;

pub const ISSUER: &str = "https://practice.example";
pub const STAFF_KEY: &str = "the-key-of-the-staff";
pub const PASSWORD: &str = "a long walk by the sea";
/// RFC 7636, appendix B.
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
pub const PHONE_APP: &str = "org.portal.phone";
pub const PHONE_REDIRECT: &str = "org.portal.phone:/signed-in";

/// A practice with three staff and one client, at an instant that tests move.
pub struct Practice {
    pub world: World,
    pub now: DateTime<Utc>,
    pub clinician: Uuid,
    pub scheduler: Uuid,
    pub biller: Uuid,
    pub ana: Uuid,
    next_id: u64,
}

/// An answer with its body in the clear.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// A signed-in phone.
#[derive(Clone, Debug)]
pub struct Phone {
    pub install: Uuid,
    pub access: String,
    pub refresh: String,
    pub account: Uuid,
    pub login_id: String,
}

/// All pages of one pull.
#[derive(Clone, Debug)]
pub struct Pulled {
    pub pages: Vec<Value>,
    pub changes: Vec<Value>,
    pub next: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Status and code of a problem.
    pub fn problem(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.text());
        let body = self.json();
        assert_eq!(body["status"], self.status.as_u16());
        assert!(body["title"].is_string() && body["retryable"].is_boolean());
        (self.status.as_u16(), body["code"].as_str().unwrap().to_owned())
    }

    #[track_caller]
    pub fn assert_problem(&self, status: u16, code: &str) {
        assert_eq!(self.problem(), (status, code.to_owned()), "{}", self.text());
    }

    /// The parameters of the redirect.
    pub fn redirect(&self) -> (String, Vec<(String, String)>) {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{}", self.text());
        let (to, query) = self.header("location").unwrap().split_once('?').unwrap();
        let pairs = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        (to.to_owned(), pairs)
    }

    pub fn redirect_param(&self, name: &str) -> Option<String> {
        self.redirect().1.into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The hidden transaction of the sign-in page.
    pub fn transaction(&self) -> String {
        let page = self.text();
        let at = page.find("name=\"transaction\"").expect("a form");
        let value = &page[at..][page[at..].find("value=\"").unwrap() + 7..];
        value[..value.find('"').unwrap()].to_owned()
    }
}

impl Practice {
    pub fn new() -> Self {
        Self::with_seed(7)
    }

    pub fn with_seed(seed: u64) -> Self {
        let setup =
            Setup { seed, issuer: ISSUER.into(), password_iterations: 1, staff_key: STAFF_KEY.into() };
        let now = "2026-03-02T09:00:00.000Z".parse().unwrap();
        let mut world = World::new(setup, practice_record());
        let mut staff = |name: &str, role| {
            let new = NewStaff { name: name.into(), role, title: "LCSW".into(), accepts_messages: true };
            world.add_staff(new, now).unwrap()
        };
        let clinician = staff("Dr. Ida Berg", StaffRole::Clinician);
        let scheduler = staff("Sam Cole", StaffRole::Scheduler);
        let biller = staff("Bo Lind", StaffRole::Biller);
        world.change_routes(Route::Scheduler, vec![scheduler]).unwrap();
        world.change_routes(Route::Biller, vec![biller]).unwrap();
        let ana = world.add_client(new_client("O'Neil", "ana@example.org"), now).unwrap();
        Self { world, now, clinician, scheduler, biller, ana, next_id: 0 }
    }

    /// A copy that goes its own way from here.
    pub fn clone_world(&self) -> Self {
        Self { world: self.world.clone(), ..*self }
    }

    pub fn advance(&mut self, by: TimeDelta) {
        self.now += by;
    }

    /// A version 7 id, as a phone makes them.
    pub fn id(&mut self) -> Uuid {
        self.next_id += 1;
        let mut random = [0; 10];
        random[..8].copy_from_slice(&self.next_id.to_be_bytes());
        let millis = self.now.timestamp_millis().try_into().unwrap();
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }

    pub fn answer(&mut self, request: &Request<Vec<u8>>) -> Answer {
        handle(request, &mut self.world, self.now)
    }

    #[track_caller]
    pub fn send(&mut self, request: &Request<Vec<u8>>) -> Reply {
        match self.answer(request).outcome {
            Outcome::Reply(response) => {
                let (parts, body) = response.into_parts();
                Reply { status: parts.status, headers: parts.headers, body }
            }
            other => panic!("no answer but {other:?}"),
        }
    }

    #[track_caller]
    pub fn get(&mut self, path: &str, token: Option<&str>) -> Reply {
        let mut request = Request::get(path);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        self.send(&request.body(Vec::new()).unwrap())
    }

    #[track_caller]
    pub fn json(&mut self, method: &str, path: &str, body: &Value, token: Option<&str>) -> Reply {
        self.send(&json_request(method, path, body, token))
    }

    #[track_caller]
    pub fn form(&mut self, path: &str, fields: &[(&str, &str)]) -> Reply {
        self.send(&form_request(path, fields))
    }

    #[track_caller]
    pub fn staff(&mut self, method: &str, path: &str, body: &Value) -> Reply {
        self.json(method, path, body, Some(STAFF_KEY))
    }

    pub fn mails(&self, kind: MailKind) -> Vec<Mail> {
        self.world.mails().iter().filter(|mail| mail.kind == kind).cloned().collect()
    }

    /// Invites a client and tells the token in the mail.
    pub fn invite(&mut self, client: Uuid) -> String {
        token_in(&self.world.invite(client, self.now).unwrap())
    }

    pub fn resend(&mut self, client: Uuid) -> String {
        token_in(&self.world.resend(client, self.now).unwrap())
    }

    pub fn registration(&mut self, token: &str) -> Value {
        let install = self.id();
        registration(token, install)
    }

    #[track_caller]
    pub fn register_raw(&mut self, body: &Value) -> Reply {
        self.json("POST", "/v1/registrations", body, None)
    }

    /// Invites and registers a client, and signs the phone in.
    #[track_caller]
    pub fn register(&mut self, client: Uuid) -> Phone {
        let token = self.invite(client);
        let install = self.id();
        let mut body = registration(&token, install);
        body["last_name"] = json!(self.world.client(client).unwrap().family_name);
        let reply = self.register_raw(&body);
        assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.text());
        let code = reply.json()["code"].as_str().unwrap().to_owned();
        self.redeem(&code, install)
    }

    /// Signs in on the practice's page and redeems the code.
    #[track_caller]
    pub fn sign_in(&mut self, login_id: &str, install: Uuid) -> Phone {
        let reply = self.sign_in_form(login_id, PASSWORD);
        let code = reply.redirect_param("code").expect("a code");
        self.redeem(&code, install)
    }

    #[track_caller]
    pub fn sign_in_form(&mut self, login_id: &str, password: &str) -> Reply {
        let page = self.get(&authorize_url(&[]), None);
        let transaction = page.transaction();
        self.post_sign_in(&transaction, login_id, password)
    }

    #[track_caller]
    pub fn post_sign_in(&mut self, transaction: &str, login_id: &str, password: &str) -> Reply {
        let fields = [("transaction", transaction), ("login_id", login_id), ("password", password)];
        self.form("/oauth/authorize", &fields)
    }

    #[track_caller]
    pub fn redeem_raw(&mut self, code: &str, install: Uuid) -> Reply {
        self.form("/oauth/token", &redemption(code, &install.to_string()))
    }

    #[track_caller]
    pub fn redeem(&mut self, code: &str, install: Uuid) -> Phone {
        let reply = self.redeem_raw(code, install);
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        phone(&reply.json(), install)
    }

    #[track_caller]
    pub fn refresh_raw(&mut self, token: &str) -> Reply {
        let fields = [("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", PHONE_APP)];
        self.form("/oauth/token", &fields)
    }

    #[track_caller]
    pub fn refresh(&mut self, token: &str) -> Phone {
        let reply = self.refresh_raw(token);
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        phone(&reply.json(), Uuid::nil())
    }

    #[track_caller]
    pub fn sync_raw(&mut self, phone: &Phone, query: &str) -> Reply {
        self.get(&format!("/v1/sync{query}"), Some(&phone.access))
    }

    /// Pulls page by page to the end.
    #[track_caller]
    pub fn pull(&mut self, phone: &Phone, cursor: Option<&str>, limit: usize) -> Pulled {
        let mut from = cursor.map(str::to_owned);
        let mut pulled = Pulled { pages: Vec::new(), changes: Vec::new(), next: String::new() };
        loop {
            let cursor = from.as_ref().map(|from| format!("&cursor={from}")).unwrap_or_default();
            let reply = self.sync_raw(phone, &format!("?limit={limit}{cursor}"));
            assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
            let page = reply.json();
            assert_eq!(page["from"], from.unwrap_or_default());
            pulled.changes.extend(page["changes"].as_array().unwrap().iter().cloned());
            pulled.next = page["next"].as_str().unwrap().to_owned();
            from = Some(pulled.next.clone());
            let more = page["has_more"] == true;
            pulled.pages.push(page);
            if !more {
                return pulled;
            }
        }
    }

    #[track_caller]
    pub fn ops_raw(&mut self, phone: &Phone, ops: &[Value]) -> Reply {
        let body = json!({ "epoch": self.world.epoch(), "ops": ops });
        self.json("POST", "/v1/ops", &body, Some(&phone.access))
    }

    #[track_caller]
    pub fn ops(&mut self, phone: &Phone, ops: &[Value]) -> Vec<Value> {
        let reply = self.ops_raw(phone, ops);
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        reply.json()["results"].as_array().unwrap().clone()
    }

    pub fn new_thread(&mut self, to: Value) -> Value {
        let (thread, message, key) = (self.id(), self.id(), self.id());
        json!({
            "lane": format!("thread:{thread}"), "n": "1", "key": key, "type": "thread.create@1",
            "entity": "thread", "id": thread, "base": null, "deps": [],
            "args": { "subject": "Sleep", "to": to, "message": { "id": message, "body": "Hello" } },
        })
    }

    pub fn new_message(&mut self, thread: &str, n: u64, body: &str) -> Value {
        let (id, key) = (self.id(), self.id());
        json!({
            "lane": format!("thread:{thread}"), "n": n.to_string(), "key": key,
            "type": "message.create@1", "entity": "message", "id": id, "base": null, "deps": [],
            "args": { "thread": thread, "body": body },
        })
    }

    pub fn read(&mut self, thread: &str, n: u64, upto: u64) -> Value {
        let key = self.id();
        json!({
            "lane": format!("read:{thread}"), "n": n.to_string(), "key": key, "type": "thread.read@1",
            "entity": "read_mark", "id": thread, "base": null, "deps": [],
            "args": { "thread": thread, "upto": upto.to_string() },
        })
    }
}

pub fn new_client(family_name: &str, email: &str) -> NewClient {
    NewClient {
        given_name: "Ana".into(),
        family_name: family_name.into(),
        preferred_name: None,
        date_of_birth: NaiveDate::from_ymd_opt(1990, 2, 28).unwrap(),
        email: email.into(),
        phone: Some("+1 555 0100".into()),
        zone: "America/New_York".into(),
        clinician: None,
    }
}

pub fn practice_record() -> PracticeRecord {
    PracticeRecord {
        id: "018f0000-0000-7000-8000-000000000001".parse().unwrap(),
        name: "Harbor Behavioral Health".into(),
        zone: "America/New_York".into(),
        phones: vec![PhoneLine { label: "Front desk".into(), number: "+15550100".into() }],
        crisis: vec![CrisisLine {
            label: "988 Lifeline".into(),
            number: "988".into(),
            detail: "Call or text, day and night".into(),
        }],
        banner: None,
        policy: Policy {
            idle_lock_s: 300,
            background_lock_s: 60,
            reply_hours: 24,
            message_max_chars: 1000,
            start_threads: true,
        },
        sites: Vec::new(),
        routes: vec![
            RouteLabel { route: Route::Scheduler, label: "Appointments".into() },
            RouteLabel { route: Route::Biller, label: "Bills".into() },
        ],
    }
}

pub fn token_in(mail: &Mail) -> String {
    mail.link.as_ref().unwrap().strip_prefix(&format!("{ISSUER}/enroll/")).unwrap().to_owned()
}

pub fn registration(token: &str, install: Uuid) -> Value {
    json!({
        "token": token, "last_name": "O'Neil", "date_of_birth": "1990-02-28", "password": PASSWORD,
        "client_id": PHONE_APP, "redirect_uri": PHONE_REDIRECT, "code_challenge": CHALLENGE,
        "code_challenge_method": "S256", "install_id": install,
    })
}

pub fn redemption<'a>(code: &'a str, install: &'a str) -> [(&'a str, &'a str); 6] {
    [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", PHONE_REDIRECT),
        ("client_id", PHONE_APP),
        ("code_verifier", VERIFIER),
        ("install_id", install),
    ]
}

/// The address of the sign-in page; `changes` replaces parameters, or leaves them out when empty.
pub fn authorize_url(changes: &[(&str, &str)]) -> String {
    let usual = [
        ("response_type", "code"),
        ("client_id", PHONE_APP),
        ("redirect_uri", PHONE_REDIRECT),
        ("scope", "portal offline_access"),
        ("state", "a state & more"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in usual {
        let value = changes.iter().find(|(changed, _)| *changed == name).map_or(value, |(_, value)| value);
        if !value.is_empty() {
            query.append_pair(name, value);
        }
    }
    format!("/oauth/authorize?{}", query.finish())
}

pub fn json_request(method: &str, path: &str, body: &Value, token: Option<&str>) -> Request<Vec<u8>> {
    let mut request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    request.body(serde_json::to_vec(body).unwrap()).unwrap()
}

pub fn form_request(path: &str, fields: &[(&str, &str)]) -> Request<Vec<u8>> {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    Request::post(path)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body.into_bytes())
        .unwrap()
}

fn phone(tokens: &Value, install: Uuid) -> Phone {
    let text = |field: &str| tokens[field].as_str().unwrap_or_default().to_owned();
    Phone {
        install,
        access: text("access_token"),
        refresh: text("refresh_token"),
        account: text("sub").parse().unwrap(),
        login_id: text("login_id"),
    }
}
