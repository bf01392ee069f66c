//! Properties of the two pure halves: the engine over any sequence of events, and the feed over any
//! sequence of pages, each against a model that is too simple to be wrong.

use super::engine::{Engine, Heard, Step, Trigger, Work};
use super::feed::{self, Record, Unfit};
use super::*;
use proptest::prelude::*;
use rusqlite::{Connection, params};
use std::collections::{BTreeMap, BTreeSet};

// The engine -------------------------------------------------------------------------------------

#[derive(Clone, Debug)]
enum Event {
    Trigger(bool),
    Write(u8),
    Pass(u64),
    /// The next act succeeds; how many pages the pull has, and which lanes are to be tried later.
    Act {
        pages: u8,
        later: Vec<(u8, Option<u64>)>,
    },
    Fails {
        wait: Option<u64>,
    },
    Gone,
    Refused,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        any::<bool>().prop_map(Event::Trigger),
        (0..4u8).prop_map(Event::Write),
        (0..20_000u64).prop_map(Event::Pass),
        (1..4u8, proptest::collection::vec((0..4u8, proptest::option::of(0..30u64)), 0..3))
            .prop_map(|(pages, later)| Event::Act { pages, later }),
        proptest::option::of(0..60u64).prop_map(|wait| Event::Fails { wait }),
        Just(Event::Gone),
        Just(Event::Refused),
    ]
}

/// What the store and the server are to an engine.
#[derive(Default)]
struct Model {
    engine: Engine,
    now: u64,
    work: Work,
    pages_left: u8,
    /// Somebody asked, and no pull has begun since.
    asked: bool,
    /// No request at all before this.
    floor: u64,
    lane_floors: BTreeMap<String, u64>,
}

impl Model {
    fn step(&self) -> Step {
        let step = self.engine.step(&self.work, self.now);
        match &step {
            Step::Push { .. } | Step::Pull => {
                assert!(self.now >= self.floor, "a request before its Retry-After (I28)")
            }
            Step::Wait { until } => assert!(*until > self.now, "a wait that is over"),
            Step::Rest => {
                assert!(!self.asked && !self.work.pull_begun && !self.work.pull_first, "a lost trigger (I30)")
            }
        }
        if let Step::Push { held, most } = &step {
            assert!(*most > 0 && !self.work.pull_first);
            let sent = self.work.lanes.iter().filter(|lane| !held.contains(lane));
            assert!(sent.clone().count() > 0, "an empty push would go on for ever");
            for lane in sent {
                assert!(
                    self.now >= self.lane_floors.get(lane).copied().unwrap_or(0),
                    "a lane before its time (I28)"
                );
            }
        }
        step
    }

    /// Carries out one act, as the event wants.
    fn act(&mut self, event: &Event, random: u64) {
        let step = self.step();
        if !matches!(step, Step::Push { .. } | Step::Pull) {
            return;
        }
        let first = step == Step::Pull && !self.work.pull_begun;
        self.engine.begin(&step, &self.work);
        self.asked &= !first;
        let heard = match (event, &step) {
            (Event::Fails { wait }, _) => {
                self.floor = self.floor.max(self.now + wait.unwrap_or(0) * 1_000);
                self.asked = true;
                Heard::Failed {
                    error: PortalError::offline(Reason::ServerError),
                    wait: wait.map(Duration::from_secs),
                }
            }
            (Event::Gone, _) => {
                (self.work.pull_first, self.work.pull_begun, self.pages_left) = (true, false, 0);
                Heard::Gone
            }
            (Event::Refused, Step::Push { most, .. }) => {
                if *most == 1 {
                    self.work.lanes.remove(0);
                }
                Heard::PushRefused { most: *most }
            }
            (Event::Act { later, .. }, Step::Push { held, .. }) => {
                let later: Vec<(String, Option<Duration>)> = later
                    .iter()
                    .map(|(lane, wait)| (name(*lane), wait.map(Duration::from_secs)))
                    .filter(|(lane, _)| self.work.lanes.contains(lane) && !held.contains(lane))
                    .collect::<BTreeMap<_, _>>()
                    .into_iter()
                    .collect();
                for (lane, wait) in &later {
                    let floor = self.now + u64::try_from(wait.unwrap_or_default().as_millis()).unwrap();
                    self.lane_floors.insert(lane.clone(), floor);
                }
                self.work
                    .lanes
                    .retain(|lane| held.contains(lane) || later.iter().any(|(again, _)| again == lane));
                self.asked = true;
                Heard::Pushed { later }
            }
            (_, _) => {
                let pages = if let Event::Act { pages, .. } = event { *pages } else { 1 };
                self.pages_left = if first { pages - 1 } else { self.pages_left.saturating_sub(1) };
                self.work.pull_begun = self.pages_left > 0;
                self.work.pull_first &= self.work.pull_begun;
                Heard::Pulled { ended: !self.work.pull_begun }
            }
        };
        self.engine.heard(heard, self.now, random);
    }
}

fn name(lane: u8) -> String {
    format!("lane {lane}")
}

proptest! {
    #[test]
    fn i28_i30_the_engine_never_asks_too_early_loses_no_trigger_and_comes_to_rest(
        events in proptest::collection::vec((event(), any::<u64>()), 0..60)
    ) {
        let mut model = Model::default();
        for (event, random) in &events {
            match event {
                Event::Trigger(asked) => {
                    model.engine.trigger(if *asked { Trigger::Asked } else { Trigger::Wrote });
                    model.asked = true;
                }
                Event::Write(lane) => {
                    if !model.work.lanes.contains(&name(*lane)) {
                        model.work.lanes.push(name(*lane));
                        model.work.lanes.sort();
                    }
                    model.engine.trigger(Trigger::Wrote);
                    model.asked = true;
                }
                Event::Pass(millis) => model.now += millis,
                act => model.act(act, *random),
            }
            model.step();
        }
        // I38: once everything works it ends, and soon.
        let begun = model.now;
        let mut acts = 0;
        loop {
            match model.step() {
                Step::Rest => break,
                Step::Wait { until } => model.now = until,
                Step::Push { .. } | Step::Pull => model.act(&Event::Act { pages: 2, later: Vec::new() }, 7),
            }
            acts += 1;
            prop_assert!(acts < 60, "it goes on for ever");
        }
        prop_assert!(model.work.lanes.is_empty());
        prop_assert!(model.now - begun <= 3 * 300_000, "within three of the longest backoffs");
    }

    #[test]
    fn the_longest_wait_of_a_lane_grows_with_its_tries(random in any::<u64>()) {
        let mut engine = Engine::default();
        let work = Work { lanes: vec!["a".into()], ..Work::default() };
        let (mut now, mut waits) = (0, Vec::new());
        for _ in 0..8 {
            engine.heard(Heard::Pushed { later: vec![("a".into(), None)] }, now, u64::MAX - random % 2);
            engine.begin(&Step::Pull, &work);
            engine.heard(Heard::Pulled { ended: true }, now, random);
            let Step::Wait { until } = engine.step(&work, now) else { panic!("it waits") };
            waits.push(until - now);
            now = until;
        }
        prop_assert!(waits.iter().max() > Some(&1_000), "{waits:?}");
    }
}

// The feed ---------------------------------------------------------------------------------------

static THING: Kind =
    Kind { entity: "thing", table: "practice", put: put_thing, forget: None, change: Change::Home };

fn put_thing(tx: &Transaction<'_>, record: &Record<'_>) -> Result<Change, Unfit> {
    if record.body.contains("bad") {
        return Err(Unfit::Record("bad"));
    }
    tx.execute(
        "INSERT INTO practice (id, seq, ver, body) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (id) DO UPDATE SET
         seq = excluded.seq, ver = excluded.ver, body = excluded.body WHERE excluded.seq > seq",
        params![record.id.as_bytes(), record.seq, record.ver, record.body],
    )?;
    Ok(Change::Home)
}

fn file() -> Connection {
    let c = Connection::open_in_memory().unwrap();
    c.execute_batch(include_str!("../store/migrations/001_initial.sql")).unwrap();
    c.execute_batch(include_str!("../store/migrations/003_staged_pages.sql")).unwrap();
    c
}

fn id(n: u8) -> Id {
    Id::from_bytes([n; 16])
}

fn take(c: &mut Connection, text: &str) -> Result<feed::Taken, PortalError> {
    let from = feed::place(c).unwrap().from;
    let tx = Transaction::write(c).unwrap();
    let page = serde_json::from_str(text).map_err(|_| PortalError::offline(Reason::BadAnswer));
    let taken = page.and_then(|page| feed::take(&tx, &[&THING], &from, &page, None, &mut || id(0xee)))?;
    tx.commit().unwrap();
    Ok(taken)
}

type Base = BTreeMap<Vec<u8>, (i64, String)>;

fn base(c: &Connection) -> Base {
    let mut statement = c.prepare("SELECT id, seq, body FROM practice").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?)))).unwrap();
    rows.map(Result::unwrap).collect()
}

/// One change of one of a few rows: its new text, or its end.
#[derive(Clone, Debug)]
struct Did(u8, Option<u16>);

/// The server: a log, of which a pull shows what is not overtaken up to its checkpoint.
fn pull(log: &[Did], epoch: u8, from: usize, checkpoint: usize, size: usize, start: &str) -> Vec<String> {
    let newest: BTreeMap<u8, usize> = (0..checkpoint).map(|place| (log[place].0, place)).collect();
    let shown: BTreeSet<usize> = newest.into_values().filter(|place| *place >= from).collect();
    let changes: Vec<String> = shown
        .into_iter()
        .filter(|place| from > 0 || log[*place].1.is_some())
        .map(|place| {
            let Did(row, text) = &log[place];
            let rest = match text {
                Some(text) => format!(r#""op":"put","data":{{"id":"{}","text":{text} }}"#, id(*row)),
                None => r#""op":"del","why":"withdrawn""#.to_owned(),
            };
            format!(r#"{{"seq":"{}","entity":"thing","id":"{}","ver":"1",{rest}}}"#, place + 1, id(*row))
        })
        .collect();
    let pages: Vec<&[String]> = if changes.is_empty() { vec![&[]] } else { changes.chunks(size).collect() };
    let last = pages.len() - 1;
    let mut before = start.to_owned();
    pages.into_iter().enumerate().map(|(n, changes)| {
        let next = if n == last { format!("{epoch}-{checkpoint}") } else { format!("{epoch}-{checkpoint}-{n}") };
        let page = format!(
            r#"{{"epoch":"{epoch}","from":"{before}","next":"{next}","checkpoint":"{checkpoint}","has_more":{},"acked":{{}},"changes":[{}]}}"#,
            n < last,
            changes.join(",")
        );
        before = next;
        page
    }).collect()
}

fn model(log: &[Did], checkpoint: usize) -> Base {
    let mut base = Base::new();
    for (place, Did(row, text)) in log[..checkpoint].iter().enumerate() {
        let key = id(*row).as_bytes().to_vec();
        match text {
            Some(text) => drop(
                base.insert(key, (place as i64 + 1, format!(r#"{{"id":"{}","text":{text} }}"#, id(*row)))),
            ),
            None => drop(base.remove(&key)),
        }
    }
    base
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn i7_i11_i14_the_base_is_always_one_checkpoint_whatever_pages_arrive(
        log in proptest::collection::vec((0..6u8, proptest::option::weighted(0.8, any::<u16>())).prop_map(|(row, text)| Did(row, text)), 1..40),
        cuts in proptest::collection::vec(1..40usize, 1..4),
        size in 1..5usize,
        noise in proptest::collection::vec((0..6u8, any::<proptest::sample::Index>()), 0..30),
        refill in any::<bool>(),
    ) {
        let mut c = file();
        let (mut published, mut cursor) = (0, String::new());
        let mut seen: Vec<String> = Vec::new();
        let mut noise = noise.into_iter();
        let checkpoints: BTreeSet<usize> = cuts.into_iter().map(|cut| cut.min(log.len())).collect();
        for (turn, checkpoint) in checkpoints.into_iter().enumerate() {
            if refill && turn == 1 {
                let tx = Transaction::write(&mut c).unwrap();
                feed::refill(&tx).unwrap();
                tx.commit().unwrap();
                cursor = String::new();
            }
            let from = if cursor.is_empty() { 0 } else { published };
            let before = model(&log, published);
            let pages = pull(&log, 1, from, checkpoint, size, &cursor);
            let last = pages.len() - 1;
            for (n, page) in pages.into_iter().enumerate() {
                // Before the right page arrives, wrong ones do: they change nothing.
                if let Some((kind, index)) = noise.next() {
                    let wrong = match kind {
                        0 if !seen.is_empty() => index.get(&seen).clone(),
                        1 => page.chars().take(index.index(page.chars().count())).collect(),
                        2 => page.replacen("\"from\":\"", "\"from\":\"x", 1),
                        3 => format!("{page}{page}"),
                        4 => page.replacen("\"checkpoint\":\"", "\"checkpoint\":\"-", 1),
                        _ => "<html>".to_owned(),
                    };
                    // A page from the start, shown again, is right where a refill asks for the start.
                    let asked = format!("\"from\":\"{}\"", feed::place(&c).unwrap().from);
                    if kind != 0 && wrong != page || kind == 0 && !wrong.contains(&asked) {
                        prop_assert!(take(&mut c, &wrong).is_err(), "{}", wrong);
                        prop_assert_eq!(&base(&c), &before);
                    }
                }
                let taken = take(&mut c, &page).unwrap();
                prop_assert_eq!(taken.published, n == last);
                prop_assert_eq!(&base(&c), &if n == last { model(&log, checkpoint) } else { before.clone() });
                seen.push(page);
            }
            (published, cursor) = (checkpoint, format!("1-{checkpoint}"));
        }
    }
}

#[test]
fn i35_what_is_not_known_is_kept_byte_for_byte() {
    let mut c = file();
    let body = "{ \"name\" : \"Ren\\u00e9e\" ,\n \"new\":[1.0, 1e3,{\"a\":null}], \"n\":123456789012345678901234567890 }";
    let page = format!(
        r#"{{"epoch":"1","from":"","next":"a","checkpoint":"9","has_more":false,"later":true,"acked":{{}},"changes":[
           {{"seq":"1","entity":"thing","id":"{}","ver":"1","op":"put","hue":7,"data":{body}}},
           {{"seq":"2","entity":"aura","id":"{}","ver":"4","op":"put","data":{body}}},
           {{"seq":"3","entity":"aura","id":"{}","ver":"1","op":"del","why":"faded"}}]}}"#,
        id(1),
        id(2),
        id(3)
    );
    let taken = take(&mut c, &page).unwrap();
    assert_eq!((taken.received, taken.quarantined, taken.published), (3, 0, true));
    assert_eq!(base(&c).into_values().collect::<Vec<_>>(), [(1, body.to_owned())]);
    let parked = |c: &Connection| {
        let mut statement = c.prepare("SELECT entity, id, seq, ver, body FROM parked").unwrap();
        let rows = statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))
            .unwrap();
        rows.map(Result::unwrap).collect::<Vec<(String, [u8; 16], i64, i64, String)>>()
    };
    assert_eq!(parked(&c), [("aura".to_owned(), [2; 16], 2, 4, body.to_owned())]);
    // It goes when the practice takes it back, and a refill sweeps what did not come again.
    let end = format!(
        r#"{{"epoch":"1","from":"a","next":"b","checkpoint":"10","has_more":false,"changes":[
           {{"seq":"10","entity":"aura","id":"{}","ver":"5","op":"del"}}]}}"#,
        id(2)
    );
    take(&mut c, &end).unwrap();
    assert!(parked(&c).is_empty());
}

#[test]
fn a_page_that_leads_to_itself_is_no_page() {
    let mut c = file();
    take(&mut c, r#"{"epoch":"1","from":"","next":"a","checkpoint":"9","has_more":true,"changes":[]}"#)
        .unwrap();
    let same = r#"{"epoch":"1","from":"a","next":"a","checkpoint":"9","has_more":true,"changes":[]}"#;
    assert_eq!(take(&mut c, same).unwrap_err(), PortalError::offline(Reason::BadAnswer));
    take(&mut c, r#"{"epoch":"1","from":"a","next":"b","checkpoint":"9","has_more":false,"changes":[]}"#)
        .unwrap();
}
