//! The simulator: the core as shipped on one to three devices, two clients, staff, and everything that
//! goes wrong between them, in virtual time. A run is one number: the same seed gives the same story.
//!
//! A step is one event: a packet arrives, somebody does something, time passes, a process dies. After
//! it everybody goes on as far as they can, and then every check looks (`checks`).

mod acts;
mod checks;
mod device;
mod dice;
mod disk;
mod faults;
mod files;
mod ledger;
mod outcomes;
mod practice_side;
mod rest;
mod runs;
mod shelf;
mod shell;
mod tasks;
mod time;
mod told;
mod wire;

pub use checks::{CHECKS, Check, ELSEWHERE, When};
pub use runs::{Found, Many, many, replay, shrink};
#[cfg(feature = "proof")]
pub use runs::{Hunt, hunt};

use crate::practice::locked;
use device::Device;
use dice::Dice;
use faults::Faults;
use ledger::Book;
use outcomes::Done;
use portal_server_mock::{Faults as PracticeFaults, World};
use practice_side::Person;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use tasks::{Process, Tasks};
use time::Time;
use uuid::Uuid;
use wire::Wire;

/// Something that must hold did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The number of what must hold (DESIGN 5).
    pub invariant: &'static str,
    /// What was seen instead.
    pub what: String,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Run {
    /// Steps until the end, or until the violation.
    pub steps: u64,
    /// What happened and when, in one number.
    pub trace: u64,
    /// What was in every request, in one number.
    pub bodies: u64,
    /// What did not hold.
    pub violation: Option<Violation>,
    /// The numbers of everything that did not hold; more than one with [`Plan::goes_on`].
    pub fired: BTreeSet<&'static str>,
    /// The story, when it was asked for.
    pub story: Vec<String>,
}

/// What to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The number of the run.
    pub seed: u64,
    /// How many steps with faults, before the quiet.
    pub steps: u64,
    /// Steps that are left out.
    pub without: BTreeSet<u64>,
    /// By how much every device's wall clock is wrong, in milliseconds.
    pub wall: i64,
    /// Tell the story.
    pub telling: bool,
    /// A check that does not hold is written down, and the run goes on.
    pub goes_on: bool,
}

impl Plan {
    /// A whole run.
    pub fn new(seed: u64, steps: u64) -> Self {
        Self { seed, steps, without: BTreeSet::new(), wall: 0, telling: false, goes_on: false }
    }
}

/// The state of a run.
pub struct Sim {
    plan: Plan,
    time: Arc<Time>,
    wire: Arc<Mutex<Wire>>,
    world: Arc<Mutex<World>>,
    people: Vec<Person>,
    staff: Vec<Uuid>,
    faults: Faults,
    tasks: Tasks,
    devices: Vec<Device>,
    books: Vec<Book>,
    done: Arc<Mutex<Vec<(Process, Done)>>>,
    /// How often the practice got each text from a client.
    arrived: BTreeMap<String, u32>,
    /// By book and conversation, the place of the newest entry that arrived.
    arrived_last: BTreeMap<(usize, Uuid), u64>,
    effects_seen: usize,
    /// Counts what is written, so that every text is another.
    written: u64,
    /// The bases that may have moved in this step.
    fresh: BTreeMap<usize, checks::Base>,
    /// Rows of the base of each book when it last moved.
    bases: BTreeMap<usize, checks::Base>,
    /// Devices at which the checks look in this step.
    look_at: Vec<usize>,
    /// Conversations that show something else than the last time, or ought to, as they show now.
    shows: Vec<checks::Shown>,
    /// By book, what each of its screens was drawn from when the checks last looked, as a number.
    looked_at: BTreeMap<(usize, checks::Screen), u64>,
    violation: Option<Violation>,
    /// The numbers of checks that did not hold.
    fired: BTreeSet<&'static str>,
    story: Arc<Mutex<Vec<String>>>,
}

thread_local! {
    /// What the last panic on this thread said, and where.
    static PANIC: Cell<Option<String>> = const { Cell::new(None) };
}

/// From here on a panic prints nothing: the run that it ends tells of it.
pub fn keep_panics() {
    std::panic::set_hook(Box::new(|panic| PANIC.set(Some(panic.to_string()))));
}

/// Runs it. A panic is a violation like any other, of the promise that there is none.
pub fn run(plan: Plan) -> Run {
    let mut run =
        Run { steps: 0, trace: 0, bodies: 0, violation: None, fired: BTreeSet::new(), story: Vec::new() };
    let story = Arc::default();
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| told(plan, &story, &mut run)));
    let ended = ended.unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().map(String::as_str);
        let words = words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default();
        Err(Violation { invariant: "panic", what: PANIC.take().unwrap_or_else(|| words.to_owned()) })
    });
    run.violation = ended.err();
    run.fired.extend(run.violation.as_ref().map(|violation| violation.invariant));
    run.story = std::mem::take(&mut *locked(&story));
    run
}

/// What is known of it so far is in `run`, also when it panics.
fn told(plan: Plan, story: &Arc<Mutex<Vec<String>>>, run: &mut Run) -> Result<(), Violation> {
    let mut sim = Sim::new(plan, story).map_err(|what| Violation { invariant: "start", what })?;
    let mut ended = sim.begin();
    while ended.is_ok() && run.steps < sim.plan.steps {
        let number = run.steps;
        run.steps += 1;
        if !sim.plan.without.contains(&number) {
            ended = sim.step(number);
        }
    }
    if ended.is_ok() {
        ended = sim.rest();
    }
    let wire = locked(&sim.wire);
    (run.trace, run.bodies) = (wire.trace, wire.bodies);
    drop(wire);
    run.fired = std::mem::take(&mut sim.fired);
    ended
}

/// A phone in a drawer: longer than tokens, locks and anybody's memory of what was tried.
const DAY: u64 = 25 * 3_600_000;

impl Sim {
    fn new(plan: Plan, story: &Arc<Mutex<Vec<String>>>) -> Result<Self, String> {
        let cast = practice_side::cast()?;
        let time = Arc::new(Time::default());
        let mut wire = Wire::new(&time, plan.seed);
        wire.telling = plan.telling;
        Ok(Self {
            time,
            wire: Arc::new(Mutex::new(wire)),
            world: Arc::new(Mutex::new(cast.world)),
            people: cast.people,
            staff: cast.staff,
            faults: Faults::default(),
            tasks: Tasks::default(),
            devices: Vec::new(),
            books: Vec::new(),
            done: Arc::default(),
            arrived: BTreeMap::new(),
            arrived_last: BTreeMap::new(),
            effects_seen: 0,
            written: 0,
            fresh: BTreeMap::new(),
            bases: BTreeMap::new(),
            look_at: Vec::new(),
            shows: Vec::new(),
            looked_at: BTreeMap::new(),
            violation: None,
            fired: BTreeSet::new(),
            story: story.clone(),
            plan,
        })
    }

    /// Devices are unpacked, and their owners sign in; then trouble begins.
    fn begin(&mut self) -> Result<(), Violation> {
        let mut dice = Dice::of(self.plan.seed, u64::MAX - 1);
        let faults = Faults::draw(&mut dice);
        let pages = [500, 500, 500, 8, 3];
        locked(&self.wire).page = dice.pick(&pages).copied().unwrap_or(500);
        self.effects_seen = locked(&self.world).effects().len();
        let devices = 1 + usize::from(dice.chance(0.5)) + usize::from(dice.chance(0.2));
        for index in 0..devices {
            let mut device = Device::new(index, self.plan.seed, &self.time);
            device.clock.ahead.store(self.plan.wall, std::sync::atomic::Ordering::Relaxed);
            self.say(|| format!("device {index} is new"));
            let started = device.start(&self.tasks, &self.wire);
            started.map_err(|error| Violation {
                invariant: "I24",
                what: format!("it does not start: {error}"),
            })?;
            self.devices.push(device);
            let person = usize::from(index > 0 && dice.chance(0.5));
            self.sign_in(index, person);
            self.calm(60_000)?;
        }
        let seed = self.plan.seed;
        let practice = PracticeFaults { seed, op_retry: faults.op_retry, ..PracticeFaults::default() };
        locked(&self.world).set_faults(practice);
        locked(&self.wire).faults = faults.clone();
        self.faults = faults;
        Ok(())
    }

    /// One step.
    fn step(&mut self, number: u64) -> Result<(), Violation> {
        let mut dice = Dice::of(self.plan.seed, number);
        self.trouble(&mut dice);
        let arriving = locked(&self.wire).next_arrival().is_some();
        match dice.below(100) {
            0..=54 if arriving => self.deliver(),
            0..=9 | 55..=59 => {
                let millis = if dice.chance(0.02) { DAY } else { dice.magnitude(10, 600_000) };
                self.say(|| format!("{:.1} s pass", millis as f64 / 1_000.0));
                self.time.pass_to(self.time.now() + millis);
            }
            10..=19 => {
                // Whoever waits for the time wakes.
                let next = self.time.next_wake().unwrap_or(0).min(self.time.now() + 600_000);
                self.time.pass_to(next);
            }
            20..=27 | 60..=66 => {
                let now = self.time.server();
                let mut world = locked(&self.world);
                let what =
                    practice_side::staff_acts(&mut world, &self.people, &self.staff, number, now, &mut dice);
                drop(world);
                self.say(|| what);
            }
            _ => {
                let device = usize::try_from(dice.below(self.devices.len() as u64)).unwrap_or(0);
                self.act(device, &mut dice);
            }
        }
        self.go_on()?;
        self.check(When::Step)
    }

    /// The next packet arrives.
    fn deliver(&mut self) {
        locked(&self.wire).deliver(&mut locked(&self.world));
        self.tell_events();
    }

    /// What the network did goes into the story.
    fn tell_events(&mut self) {
        let events = std::mem::take(&mut locked(&self.wire).events);
        events.into_iter().for_each(|event| self.say(|| event));
    }

    /// Lets everybody go on as far as they can without time and network.
    fn go_on(&mut self) -> Result<(), Violation> {
        loop {
            if !self.tasks.run() {
                return Err(Violation { invariant: "I38", what: "work that never waits".to_owned() });
            }
            for index in 0..self.devices.len() {
                if self.devices.get(index).is_some_and(|device| device.disk.is_dead()) {
                    self.kill(index, "at something that it writes")?;
                }
            }
            let done = std::mem::take(&mut *locked(&self.done));
            if done.is_empty() {
                break;
            }
            for (process, done) in done {
                self.ended(process, done)?;
            }
        }
        self.tell_events();
        self.violation.take().map_or(Ok(()), Err)
    }

    /// Without trouble, until nothing is on its way or so much time has passed.
    fn calm(&mut self, millis: u64) -> Result<(), Violation> {
        let end = self.time.now() + millis;
        self.go_on()?;
        loop {
            let next = locked(&self.wire).next_arrival();
            let Some(_) = next.filter(|next| *next <= end) else { return Ok(()) };
            self.deliver();
            self.go_on()?;
            // A time-out that nobody waits for any more is no reason to wait.
            if locked(&self.wire).is_idle() {
                return Ok(());
            }
        }
    }

    /// Kills a device's process and starts the app again.
    fn kill(&mut self, index: usize, how: &str) -> Result<(), Violation> {
        self.say(|| format!("device {index} is killed {how}"));
        let Some(device) = self.devices.get_mut(index) else { return Ok(()) };
        device.kill(&mut self.tasks, &self.wire);
        let started = device.start(&self.tasks, &self.wire);
        self.find_books(index);
        started.map_err(|error| Violation { invariant: "I24", what: format!("it does not start: {error}") })
    }

    fn say(&mut self, words: impl FnOnce() -> String) {
        if self.plan.telling {
            let now = self.time.now();
            locked(&self.story).push(format!("{:>9.3} s  {}", now as f64 / 1_000.0, words()));
        }
    }
}
