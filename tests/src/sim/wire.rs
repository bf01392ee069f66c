//! The network: requests and answers on their way, in virtual time, with everything that befalls them.
#![allow(clippy::indexing_slicing, reason = "what a JSON value lacks is null")]

use super::checks::number_of;
use super::dice::Dice;
use super::disk::SimDisk;
use super::faults::Faults;
use super::tasks::Process;
use super::time::Time;
use super::told::{Told, What, refresh_token, what};
use crate::practice::locked;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{Request, Response, Uri};
use portal_core::ports::{Exchange, Transport, TransportError};
use portal_server_mock::{Outcome, World, handle};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use tokio::sync::oneshot;

/// An answer, or that there is none.
pub(crate) type Reply = Result<Response<Vec<u8>>, TransportError>;

struct Open {
    process: Process,
    what: What,
    /// The refresh token that it shows.
    shows: String,
    reply: oneshot::Sender<Reply>,
}

enum Packet {
    /// Arrives at the practice; a copy has nobody who waits for its answer.
    Request { call: u64, request: Arc<Request<Vec<u8>>>, copy: bool },
    /// Arrives at the phone.
    Answer { call: u64, reply: Reply },
}

/// A page of the feed and its address.
type Page = (Uri, Response<Vec<u8>>);

/// The network.
pub(crate) struct Wire {
    time: Arc<Time>,
    dice: Dice,
    /// What befalls requests now.
    pub(crate) faults: Faults,
    /// Devices without network.
    pub(crate) offline: BTreeSet<usize>,
    /// The longest page that the practice gives.
    pub(crate) page: usize,
    packets: BTreeMap<(u64, u64), Packet>,
    open: BTreeMap<u64, Open>,
    /// What every process was told, and what it does.
    pub(crate) told: Told,
    /// Pages given to each process, with their addresses, as long as it is one person's.
    pages: BTreeMap<Process, Vec<Page>>,
    /// Calls whose pages are not kept.
    forgotten: BTreeSet<u64>,
    number: u64,
    /// What happened in the present step, for the story and the trace.
    pub(crate) events: Vec<String>,
    /// What happened so far, in one number.
    pub(crate) trace: u64,
    /// What was in every request so far, in one number: ids in it begin with a device's wall clock.
    pub(crate) bodies: u64,
    /// Whether events are told in words.
    pub(crate) telling: bool,
}

impl Wire {
    /// A network without trouble.
    pub(crate) fn new(time: &Arc<Time>, seed: u64) -> Self {
        Self {
            time: time.clone(),
            dice: Dice::of(seed, u64::MAX),
            faults: Faults::default(),
            offline: BTreeSet::new(),
            page: 500,
            packets: BTreeMap::new(),
            open: BTreeMap::new(),
            told: Told::default(),
            pages: BTreeMap::new(),
            forgotten: BTreeSet::new(),
            number: 0,
            events: Vec::new(),
            trace: 0,
            bodies: 0,
            telling: false,
        }
    }

    /// When the next packet arrives.
    pub(crate) fn next_arrival(&self) -> Option<u64> {
        self.packets.keys().next().map(|(due, _)| *due)
    }

    /// Whether nobody waits for anything.
    pub(crate) fn is_idle(&self) -> bool {
        self.open.values().all(|open| open.reply.is_closed())
    }

    /// Whether a process waits for an answer.
    pub(crate) fn asks(&self, process: Process) -> bool {
        self.open.values().any(|open| open.process == process && !open.reply.is_closed())
    }

    /// A process is gone: nobody waits for its answers. What it sent goes on.
    pub(crate) fn kill(&mut self, process: Process) {
        self.open.retain(|_, open| open.process != process);
        self.told.kill(process);
        self.pages.remove(&process);
    }

    /// Another person uses the process from now on: no page of the one before can come again, be it on its
    /// way.
    pub(crate) fn forget_pages(&mut self, process: Process) {
        self.pages.remove(&process);
        let open = self.open.iter().filter(|(_, open)| open.process == process);
        self.forgotten.extend(open.map(|(call, _)| *call));
    }

    /// The practice was restored: no cache gives out what it said before, which no client could tell.
    pub(crate) fn forget_every_page(&mut self) {
        self.pages.clear();
    }

    /// Mixes something that happened into the trace.
    pub(crate) fn note(&mut self, what: u64) {
        self.trace = (self.trace.rotate_left(5) ^ what).wrapping_mul(0x0100_0000_01b3);
    }

    fn tell(&mut self, words: impl FnOnce() -> String) {
        if self.telling {
            self.events.push(words());
        }
    }

    fn put(&mut self, due: u64, packet: Packet) {
        self.number += 1;
        self.packets.insert((due, self.number), packet);
    }

    fn latency(&mut self) -> u64 {
        if self.dice.chance(self.faults.slow) {
            self.dice.magnitude(100, 40_000)
        } else {
            1 + self.dice.below(60)
        }
    }

    fn leave(&mut self, process: Process, exchange: Exchange) -> oneshot::Receiver<Reply> {
        let (reply, answer) = oneshot::channel();
        let Exchange { request, timeout, .. } = exchange;
        let (what, now) = (what(&request), self.time.now());
        let alike = |other: What| (what == What::Refresh) == (other == What::Refresh) && other != What::Other;
        let open = self.open.values();
        let beside =
            open.filter(|open| open.process == process && alike(open.what) && !open.reply.is_closed());
        self.told.leaves(process, what, &request, now, beside.count());
        self.number += 1;
        let call = self.number;
        self.note(call ^ ((what as u64) << 60));
        self.note(now);
        self.bodies = self.bodies.rotate_left(5) ^ number_of(&request.body());
        self.tell(|| {
            format!("#{call} {} {} leaves device {}", request.method(), request.uri().path(), process.0)
        });
        if self.offline.contains(&process.0) || self.dice.chance(self.faults.no_connection) {
            let _ = reply.send(Err(TransportError::NoConnection));
            return answer;
        }
        self.open.insert(call, Open { process, what, shows: refresh_token(&request), reply });
        let patience = u64::try_from(timeout.as_millis()).unwrap_or(30_000).max(1);
        self.put(now + patience, Packet::Answer { call, reply: Err(TransportError::TimedOut) });
        let latency = self.latency();
        if self.dice.chance(self.faults.lose_request) {
            self.tell(|| format!("#{call} is lost"));
            if self.dice.chance(0.7) {
                self.put(now + latency, Packet::Answer { call, reply: Err(TransportError::ConnectionLost) });
            }
            return answer;
        }
        let request = Arc::new(request);
        if what != What::Other && self.dice.chance(self.faults.duplicate) {
            let late = now + latency + self.dice.magnitude(10, 900_000);
            self.put(late, Packet::Request { call, request: request.clone(), copy: true });
        }
        self.put(now + latency, Packet::Request { call, request, copy: false });
        answer
    }

    /// The next packet arrives.
    pub(crate) fn deliver(&mut self, world: &mut World) {
        let Some(((due, _), packet)) = self.packets.pop_first() else { return };
        self.time.pass_to(due);
        match packet {
            Packet::Request { call, request, copy } => self.arrive(call, &request, copy, world),
            Packet::Answer { call, reply } => self.answer(call, reply),
        }
    }

    fn arrive(&mut self, call: u64, request: &Request<Vec<u8>>, copy: bool, world: &mut World) {
        let (now, what) = (self.time.now(), what(request));
        if !copy && let Some(response) = self.instead(what) {
            self.tell(|| format!("#{call} meets {}", response.status()));
            // Whoever answered in the practice's place meets every copy of it.
            self.packets
                .retain(|_, packet| !matches!(packet, Packet::Request { call: of, .. } if *of == call));
            let due = now + self.latency();
            return self.put(due, Packet::Answer { call, reply: Ok(response) });
        }
        let request = if what == What::Feed { &shorter(request, self.page) } else { request };
        let response = match handle(request, world, self.time.server()).outcome {
            Outcome::Reply(response) => response,
            Outcome::Cut { response, .. } => response,
            Outcome::Closed => return,
        };
        self.note(u64::from(response.status().as_u16()) ^ (call << 16));
        self.tell(|| {
            format!("#{call}{} is answered {}", if copy { " (late copy)" } else { "" }, response.status())
        });
        if copy {
            return;
        }
        let reply = self.on_its_way_back(call, what, request.uri(), response);
        let due = now + self.latency();
        self.put(due, Packet::Answer { call, reply });
    }

    /// What answers in the practice's place.
    fn instead(&mut self, what: What) -> Option<Response<Vec<u8>>> {
        let (faults, seconds) = (self.faults.clone(), 1 + self.dice.below(90));
        let token = matches!(what, What::Feed | What::Ops);
        if self.dice.chance(faults.captive) {
            return Some(made(200, "text/html", "<html>Welcome to the airport</html>", None));
        }
        if self.dice.chance(faults.error) {
            return Some(problem(500, "internal", None));
        }
        if self.dice.chance(faults.busy) {
            let status = if self.dice.chance(0.5) { 429 } else { 503 };
            return Some(problem(status, "unavailable", Some(seconds)));
        }
        if token && self.dice.chance(faults.unauthorized) {
            return Some(problem(401, "token_expired", None));
        }
        if token && self.dice.chance(faults.gone) {
            let code = if what == What::Feed { "cursor_expired" } else { "epoch_changed" };
            return Some(problem(410, code, None));
        }
        None
    }

    fn on_its_way_back(
        &mut self,
        call: u64,
        what: What,
        address: &Uri,
        mut response: Response<Vec<u8>>,
    ) -> Reply {
        let faults = self.faults.clone();
        if self.dice.chance(faults.lose_answer) {
            self.tell(|| format!("the answer to #{call} is lost"));
            return Err(TransportError::ConnectionLost);
        }
        if self.dice.chance(faults.commit_then_error) {
            return Ok(problem(500, "internal", None));
        }
        if what == What::Feed && response.status() == 200 {
            let pages = self.open.get(&call).map(|open| open.process);
            let pages = self.pages.entry(pages.unwrap_or_default()).or_default();
            let earlier = self.dice.chance(faults.stale_page).then(|| {
                // A cache goes by the address, mostly.
                let same = pages.iter().filter(|(of, _)| of == address).cloned().collect::<Vec<_>>();
                if self.dice.chance(0.5) {
                    self.dice.pick(&same).cloned()
                } else {
                    self.dice.pick(pages).cloned()
                }
            });
            if !self.forgotten.contains(&call) {
                pages.push((address.clone(), response.clone()));
            }
            if let Some((_, earlier)) = earlier.flatten() {
                self.tell(|| format!("#{call} is answered with an earlier page"));
                let now = self.time.now();
                let process = self.open.get(&call).map(|open| open.process);
                self.told.is_given_an_earlier_page(process.unwrap_or_default(), now);
                return Ok(earlier);
            }
        }
        if what == What::Feed && self.dice.chance(faults.bad_record) {
            self.tell(|| format!("the answer to #{call} has a record that is none"));
            with_a_bad_record(&mut response);
        }
        if self.dice.chance(faults.truncate) {
            let left = self.dice.below(response.body().len().max(1) as u64);
            response.body_mut().truncate(usize::try_from(left).unwrap_or(0));
        }
        Ok(response)
    }

    fn answer(&mut self, call: u64, reply: Reply) {
        let Some(open) = self.open.remove(&call) else { return };
        if let (Ok(reply), false) = (&reply, open.reply.is_closed()) {
            for (lane, wait) in self.told.hears(open.process, open.what, &open.shows, reply, self.time.now())
            {
                self.tell(|| format!("device {} is to wait {wait} s in {lane}", open.process.0));
            }
        } else if !open.reply.is_closed() {
            self.told.disturbed(open.process);
        }
        self.note(call ^ reply.as_ref().map_or(1, |reply| u64::from(reply.status().as_u16()) << 20));
        self.tell(|| match &reply {
            Ok(reply) => format!("#{call}: device {} hears {}", open.process.0, reply.status()),
            Err(error) => format!("#{call}: device {} hears that the {error}", open.process.0),
        });
        let _ = open.reply.send(reply);
    }
}

/// One process's way to the practice.
pub(crate) struct Line {
    /// Whose.
    pub(crate) process: Process,
    /// Its disk: who is dead sends nothing.
    pub(crate) disk: Arc<SimDisk>,
    /// The network.
    pub(crate) wire: Arc<Mutex<Wire>>,
}

impl Transport for Line {
    fn send<'a, 'b>(&'a self, exchange: Exchange) -> BoxFuture<'b, Reply>
    where
        'a: 'b,
        Self: 'b,
    {
        if self.disk.is_dead() {
            return futures_util::future::pending().boxed();
        }
        let answer = locked(&self.wire).leave(self.process, exchange);
        answer.map(|reply| reply.unwrap_or(Err(TransportError::ConnectionLost))).boxed()
    }
}

/// A page with one record more, which no version should have sent; it stands first.
fn with_a_bad_record(response: &mut Response<Vec<u8>>) {
    const RECORD: &str = r#""changes":[{"seq":"1","entity":"message","id":"018f4c2e-7b1a-7c3d-9e4f-0123456789ab","ver":"1","op":"put","data":{"n":"no number"}},"#;
    let text = String::from_utf8_lossy(response.body());
    let text = text.replacen(r#""changes":[{"#, &format!("{RECORD}{{"), 1);
    *response.body_mut() = text.into_bytes();
}

/// The same request for a shorter page: a practice may give fewer rows than it is asked for.
fn shorter(request: &Request<Vec<u8>>, page: usize) -> Request<Vec<u8>> {
    let uri = request.uri().to_string().replace("limit=500", &format!("limit={page}"));
    let mut shorter = request.clone();
    if let Ok(uri) = uri.parse() {
        *shorter.uri_mut() = uri;
    }
    shorter
}

fn made(status: u16, kind: &str, body: &str, retry_after: Option<u64>) -> Response<Vec<u8>> {
    let mut response = Response::new(body.as_bytes().to_vec());
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    if let Ok(kind) = http::HeaderValue::from_str(kind) {
        response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    }
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(http::header::RETRY_AFTER, http::HeaderValue::from(seconds));
    }
    response
}

fn problem(status: u16, code: &str, retry_after: Option<u64>) -> Response<Vec<u8>> {
    let body = format!(
        r#"{{"type":"about:blank","title":"","status":{status},"code":"{code}","retryable":{}}}"#,
        retry_after.is_some()
    );
    made(status, "application/problem+json", &body, retry_after)
}
