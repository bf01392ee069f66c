//! What a shell has on its screen: it reads a view again only when a `Change` tells it to. A change
//! that never came shows as a screen that is old.
#![allow(clippy::indexing_slicing, reason = "what a JSON value lacks is null")]

use futures_util::FutureExt;
use portal_core::Portal;
use portal_core::change::{Change, Changes};
use portal_core::messages::ThreadFilter;
use serde_json::Value;
use std::sync::Arc;

/// One screen.
#[derive(Default)]
pub(crate) struct Shell {
    portal: Option<Arc<Portal>>,
    changes: Option<Arc<Changes>>,
    threads: Option<Value>,
    outbox: Option<Value>,
    home: Option<Value>,
}

impl Shell {
    /// The screen of an app that starts.
    pub(crate) fn of(portal: &Arc<Portal>) -> Self {
        Self { changes: Some(portal.changes()), portal: Some(portal.clone()), ..Self::default() }
    }

    /// Takes in what moved.
    pub(crate) fn listen(&mut self) {
        let Some(changes) = &self.changes else { return };
        while let Some(Some(change)) = changes.next().now_or_never() {
            match change {
                Change::Home => self.home = None,
                Change::Messages { .. } => self.threads = None,
                // The counts of the first screen move with the outbox.
                Change::Outbox => (self.outbox, self.home) = (None, None),
                Change::Session | Change::Everything => {
                    (self.threads, self.outbox, self.home) = (None, None, None);
                }
                Change::Syncing { .. } | Change::Synced => {}
            }
        }
    }

    /// Which part of the screen is old: it differs from what the portal says now, and nobody told it.
    /// What it was told to read again it reads here.
    pub(crate) fn is_old(&mut self) -> Option<&'static str> {
        self.listen();
        let portal = self.portal.clone()?;
        let fresh = [
            ("threads", threads(&portal), &mut self.threads),
            ("outbox", outbox(&portal), &mut self.outbox),
            ("home", home(&portal), &mut self.home),
        ];
        for (name, now, shown) in fresh {
            match (&now, shown) {
                (None, shown) => *shown = None,
                (Some(now), Some(shown)) if now != shown => return Some(name),
                (Some(_), shown) => *shown = now,
            }
        }
        None
    }
}

fn threads(portal: &Portal) -> Option<Value> {
    let page = portal.messages().threads(ThreadFilter::All, 0, 100).now_or_never()?.ok()?;
    without_age(serde_json::to_value(page).ok()?)
}

fn outbox(portal: &Portal) -> Option<Value> {
    serde_json::to_value(portal.outbox().entries().now_or_never()?.ok()?).ok()
}

fn home(portal: &Portal) -> Option<Value> {
    let mut home = serde_json::to_value(portal.home().view().now_or_never()?.ok()?).ok()?;
    // A banner ends by itself.
    home["banner"] = Value::Null;
    without_age(home)
}

/// How old a view is changes with every answer of the practice, and `Synced` says so.
fn without_age(mut view: Value) -> Option<Value> {
    view["as_of"] = Value::Null;
    Some(view)
}
