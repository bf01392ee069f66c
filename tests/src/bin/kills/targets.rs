//! Which moments have been killed at, and which one is next.

use portal_tests::points::{POINTS, Scene};
use portal_tests::practice::locked;
use std::collections::BTreeMap;
use std::sync::Mutex;

#[derive(Clone, Copy, Default)]
struct Point {
    tries: u32,
    kills: u32,
    /// Kills at the second or a later time that one life came by.
    later: u32,
}

/// Shared by all lanes.
#[derive(Default)]
pub(crate) struct Targets(Mutex<BTreeMap<&'static str, Point>>);

impl Targets {
    /// The point of a scene that was tried least.
    pub(crate) fn next(&self, scene: Scene) -> Option<&'static str> {
        let mut points = locked(&self.0);
        let fits = POINTS.iter().filter(|(_, of)| *of == scene);
        let (name, _) = fits.min_by_key(|(name, _)| {
            let point = points.get(name).copied().unwrap_or_default();
            (point.kills > 0, point.tries)
        })?;
        points.entry(name).or_default().tries += 1;
        Some(name)
    }

    /// Nobody was killed there yet.
    pub(crate) fn is_new(&self, name: &str) -> bool {
        locked(&self.0).get(name).is_none_or(|point| point.kills == 0)
    }

    /// A life ended there, at the `nth` time.
    pub(crate) fn killed(&self, name: &'static str, nth: u32) {
        let mut points = locked(&self.0);
        let point = points.entry(name).or_default();
        point.kills += 1;
        point.later += u32::from(nth > 1);
    }

    /// Points that were killed at, kills there, and those of them at a later time than the first.
    pub(crate) fn counts(&self) -> (usize, u32, u32) {
        let points = locked(&self.0);
        let all = || points.values();
        (
            all().filter(|point| point.kills > 0).count(),
            all().map(|point| point.kills).sum(),
            all().map(|point| point.later).sum(),
        )
    }

    /// Points that nobody was killed at.
    pub(crate) fn missed(&self) -> Vec<&'static str> {
        let points = locked(&self.0);
        let missed = |name: &&str| points.get(name).is_none_or(|point| point.kills == 0);
        POINTS.iter().map(|(name, _)| *name).filter(missed).collect()
    }
}
