//! One lane of kills: a practice, and one phone after the other, each of which is killed again and
//! again and has to know everything that it promised.

use crate::ledger::{Fault, Ledger, Wrong};
use crate::life::{self, End, Moment};
use crate::practice::{Chart, Practice};
use crate::raw;
use crate::tally::Tally;
use crate::targets::Targets;
use crate::words::{Bug, Life, Order, Report};
use portal_server_mock::Faults;
use portal_tests::phone::Scratch;
use portal_tests::points::Scene;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use std::time::Duration;

/// What a lane is given.
pub(crate) struct Lane<'a> {
    pub(crate) number: u64,
    pub(crate) seed: u64,
    pub(crate) bug: Option<Bug>,
    pub(crate) targets: &'a Targets,
    pub(crate) tally: &'a Tally,
}

/// One person's phone.
struct Phone {
    scratch: Scratch,
    chart: Chart,
    ledger: Ledger,
    /// Its file was damaged since it last came to rest.
    spoiled: bool,
}

struct Run<'a> {
    lane: &'a Lane<'a>,
    random: ChaCha20Rng,
    practice: Practice,
    /// The last kill.
    kill: u64,
    lives: u64,
    faults: u64,
}

/// Whether there were enough kills.
type Over = bool;

impl Lane<'_> {
    /// Kills until there were enough.
    pub(crate) fn run(&self) -> Result<(), String> {
        let seed = self.seed.wrapping_mul(1_000).wrapping_add(self.number);
        let (random, practice) = (ChaCha20Rng::seed_from_u64(seed), Practice::start(seed)?);
        let mut run = Run { lane: self, random, practice, kill: 0, lives: 0, faults: 0 };
        loop {
            let scratch = Scratch::new();
            std::fs::write(scratch.path().join("ca"), run.practice.authority()).map_err(|e| e.to_string())?;
            let chart = run.practice.admit()?;
            let mut phone = Phone { scratch, chart, ledger: Ledger::default(), spoiled: false };
            if run.use_up(&mut phone)? {
                return Ok(());
            }
        }
    }
}

impl Run<'_> {
    fn below(&mut self, n: u32) -> u32 {
        self.random.next_u32() % n.max(1)
    }

    /// A phone's whole story: got, used, damaged, left, signed in to again, used.
    fn use_up(&mut self, phone: &mut Phone) -> Result<Over, String> {
        let faults = self.faults;
        for (kills, leaves) in [(40, true), (20, true)] {
            for kill in 0.. {
                if phone.ledger.entered {
                    break;
                }
                // After some, it may come to its end.
                if self.kill(phone, Scene::Enter, kill < 12 && self.lane.bug.is_none())? {
                    return Ok(true);
                }
            }
            for kill in 0..kills {
                let scene = match kill % 10 {
                    1 => Scene::Offline,
                    2 => Scene::Refused,
                    3 => Scene::Doors,
                    4 => Scene::Refresh,
                    5 if kill % 20 == 5 => Scene::Restored,
                    5 | 6 => Scene::Gone,
                    7 => Scene::Damage,
                    _ => Scene::Work,
                };
                if self.kill(phone, scene, true)? {
                    self.rest(phone)?;
                    return Ok(true);
                }
                // Another person, so that one fault is not told a hundred times.
                if self.faults > faults {
                    return Ok(false);
                }
            }
            self.rest(phone)?;
            while leaves && phone.ledger.entered {
                if self.kill(phone, Scene::Leave, true)? || self.faults > faults {
                    return Ok(self.faults == faults);
                }
            }
        }
        Ok(false)
    }

    /// One life that ends by a kill. `early`: it may end before its work is done.
    fn kill(&mut self, phone: &mut Phone, scene: Scene, early: bool) -> Result<Over, String> {
        let Some(kill) = self.lane.tally.next() else { return Ok(true) };
        self.kill = kill;
        self.prepare(phone, scene)?;
        // Half of them at a named point, the others whenever it happens; what happens once in a long
        // while more often at a point.
        let seldom = matches!(scene, Scene::Enter | Scene::Leave | Scene::Damage);
        let point = match early && self.below(4) < if seldom { 3 } else { 2 } {
            true => self.lane.targets.next(scene),
            false => None,
        };
        let nth = match point {
            Some(name) if self.lane.targets.is_new(name) => 1,
            _ => [1, 1, 1, 2, 3].get(self.below(5) as usize).copied().unwrap_or(1),
        };
        let longest = if scene == Scene::Enter { 100_000 } else { 20_000 };
        let moment = (point.is_none() && early).then(|| Moment {
            from_the_start: self.below(4) == 0,
            after: Duration::from_micros(self.below(longest).into()),
        });
        let order = self.order(phone, Life::Scene(scene), point.map(|name| (name.to_owned(), nth)));
        let end = self.live(phone, &order, moment)?;
        match (end, point) {
            (End::Point, Some(name)) => self.lane.targets.killed(name, nth),
            (End::Moment | End::Idle, _) => {}
            (End::Hung, _) => self.fault((Wrong::Unopenable, "a life hangs".to_owned())),
            (End::Point | End::Otherwise, _) => {
                self.fault((Wrong::Unopenable, "a life ended by itself".to_owned()));
            }
        }
        if scene == Scene::Offline {
            self.practice.set_online(true)?;
        }
        let arrived = self.practice.arrived();
        for fault in phone.ledger.arrived(arrived) {
            self.fault(fault);
        }
        Ok(false)
    }

    /// What happens at the practice, and to the file, before a life begins.
    fn prepare(&mut self, phone: &mut Phone, scene: Scene) -> Result<(), String> {
        let seed = self.random.next_u64();
        let mut faults = match self.below(2) {
            0 => Faults::default(),
            _ => Faults {
                delay: 0.2,
                max_delay_ms: 15,
                drop_before: 0.03,
                drop_after: 0.05,
                duplicate: 0.05,
                truncate: 0.03,
                error_500: 0.03,
                commit_then_500: 0.03,
                error_503: 0.01,
                error_429: 0.01,
                error_401: 0.04,
                cursor_410: 0.02,
                op_retry: 0.03,
                ..Faults::default()
            },
        };
        faults.seed = seed;
        match scene {
            Scene::Refresh => faults.error_401 = 0.5,
            Scene::Gone => faults.cursor_410 = 0.5,
            Scene::Restored => self.practice.restore(),
            Scene::Offline => self.practice.set_online(false)?,
            Scene::Refused => {
                if let Some(thread) = phone.ledger.waits_in(self.practice.arrived()) {
                    self.practice.close(&phone.chart, &thread);
                }
            }
            Scene::Damage => {
                let order = self.order(phone, Life::Spoil, None);
                self.live(phone, &order, None)?;
                phone.spoiled = true;
            }
            Scene::Enter | Scene::Work | Scene::Doors | Scene::Leave => {}
        }
        self.practice.set_faults(faults);
        if self.below(3) == 0 {
            let (random, text) = (self.below(1_000) as usize, format!("Answer {}", self.kill));
            self.practice.reply(&phone.chart, random, &text);
        }
        Ok(())
    }

    /// Without faults and kills everything comes to rest, and everything is checked.
    fn rest(&mut self, phone: &mut Phone) -> Result<(), String> {
        if !phone.ledger.entered {
            return Ok(());
        }
        self.practice.set_faults(Faults::default());
        let order = self.order(phone, Life::Rest, None);
        self.live(phone, &order, None)?;
        phone.spoiled = false;
        Ok(())
    }

    fn order(&mut self, phone: &Phone, life: Life, point: Option<(String, u32)>) -> Order {
        self.lives += 1;
        Order {
            place: phone.scratch.path().to_owned(),
            url: self.practice.url().to_owned(),
            seed: self.random.next_u64(),
            name: format!("{}.{}", self.lane.number, self.lives),
            life,
            point,
            person: phone.chart.person.clone(),
            marked: phone.ledger.marked(),
            spoiled: phone.spoiled,
            bug: self.lane.bug.filter(|_| phone.ledger.entered),
        }
    }

    fn live(&mut self, phone: &mut Phone, order: &Order, moment: Option<Moment>) -> Result<End, String> {
        let mut faults = Vec::new();
        if order.bug == Some(Bug::Keyless)
            && let Some(user) = raw::user(&order.place)
        {
            match std::fs::remove_file(user.join("master.key")) {
                // Thrown away in a life before, which was killed while it opened.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                removed => removed.map_err(|error| error.to_string())?,
            }
        }
        let (practice, Phone { chart, ledger, .. }) = (&mut self.practice, phone);
        let end = life::live(order, moment, |report| {
            match report {
                Report::Opened { state, reason, users, keys, wiping } => {
                    faults.extend(opened(ledger, &state, &reason, [users, keys, wiping]));
                }
                Report::Seen(seen) => faults.extend(ledger.reopened(&seen, practice.arrived())),
                Report::Begun(act) => ledger.begin(act),
                Report::Done(made) => ledger.done(made),
                Report::Failed(_) => ledger.failed(),
                Report::Browse(url) => {
                    return Some(practice.browse(&url, &chart.person).unwrap_or_default());
                }
                Report::Fault(words) => faults.push((Wrong::Unopenable, words)),
                Report::Rest(rest) => {
                    let feed = practice.feed(chart);
                    faults.extend(ledger.at_rest(&rest, practice.arrived(), &feed));
                }
                Report::Started | Report::Working | Report::Idle => {}
            }
            None
        })?;
        for (wrong, words) in faults {
            self.fault((wrong, format!("{words}, in {:?} {:?}", order.life, order.point)));
        }
        Ok(end)
    }

    fn fault(&mut self, fault: Fault) {
        self.faults += 1;
        self.lane.tally.fault(self.lane.number, self.kill, fault);
    }
}

/// Whether a phone may open like this; a kill in the middle of entering or leaving decides here.
fn opened(ledger: &mut Ledger, state: &str, reason: &str, traces: [usize; 3]) -> Option<Fault> {
    let wrong = |words: &str| {
        Some((Wrong::Unopenable, format!("{words}: {state} {reason}, users, keys, wipes: {traces:?}")))
    };
    match (state, ledger.entered) {
        ("SignedOut", true) if !ledger.leaving => wrong("nobody is signed in any more"),
        ("SignedOut", _) => {
            ledger.left();
            match traces {
                [0, 0, 0] => None,
                _ => wrong("something of the former person is left"),
            }
        }
        ("Locked", false) if traces == [1, 1, 0] => {
            ledger.entered = true;
            None
        }
        ("Locked", true) if traces == [1, 1, 0] => {
            ledger.leaving = false;
            None
        }
        _ => wrong("it does not open as it was left"),
    }
}
