//! What moved: shells pull [`Change`]s and read again what they show. A change never carries data.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::Notify;

/// What a shell should read again.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, uniffi::Enum)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum Change {
    /// Signed in, locked, unlocked, signed out: ask `account().session()`.
    Session,
    /// The home screen: practice, people, banner, badge. Its counts of what waits move with `Outbox`.
    Home,
    /// The list of conversations, or one of them.
    Messages {
        /// The one, or all when absent.
        thread: Option<String>,
    },
    /// What waits to be sent.
    Outbox,
    /// A sync is under way: `done` of `total` changes of this pull have arrived.
    Syncing {
        /// Changes that arrived.
        done: u64,
        /// Upper bound of the changes to come.
        total: u64,
    },
    /// A sync ended.
    Synced,
    /// The listener was too slow, or everything moved at once: read all again.
    Everything,
}

/// More conversations than this at once are all of them.
const CONVERSATIONS: usize = 8;

impl Change {
    /// Adds it to what is told together.
    pub(crate) fn add_to(self, changes: &mut Vec<Self>) {
        let all = Self::Messages { thread: None };
        let of_messages = |change: &Self| matches!(change, Self::Messages { .. });
        if changes.contains(&self) || of_messages(&self) && changes.contains(&all) {
            return;
        }
        let told = changes.iter().filter(|change| of_messages(change)).count();
        if self == all || of_messages(&self) && told >= CONVERSATIONS {
            changes.retain(|change| !of_messages(change));
            changes.push(all);
        } else {
            changes.push(self);
        }
    }
}

/// How many changes wait for a slow listener before they become one `Everything`.
const QUEUE: usize = 64;

/// Sends changes to every listener.
#[derive(Clone, Default)]
pub(crate) struct ChangeHub {
    listeners: Arc<Mutex<Vec<Weak<Listener>>>>,
}

#[derive(Default)]
struct Listener {
    queue: Mutex<VecDeque<Change>>,
    closed: std::sync::atomic::AtomicBool,
    wake: Notify,
}

impl ChangeHub {
    pub(crate) fn emit(&self, change: &Change) {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|weak| {
            weak.upgrade().is_some_and(|listener| {
                listener.push(change.clone());
                true
            })
        });
    }

    pub(crate) fn listen(&self) -> Changes {
        let listener = Arc::new(Listener::default());
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.push(Arc::downgrade(&listener));
        Changes { listener }
    }
}

impl Listener {
    fn push(&self, change: Change) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(change, Change::Syncing { .. }) {
            queue.retain(|waiting| !matches!(waiting, Change::Syncing { .. }));
        }
        if queue.contains(&change) || queue.front() == Some(&Change::Everything) {
            return;
        }
        if queue.len() >= QUEUE {
            queue.clear();
            queue.push_back(Change::Everything);
        } else {
            queue.push_back(change);
        }
        self.wake.notify_one();
    }
}

/// One listener's changes, from the moment of `Portal.changes()` on.
#[derive(uniffi::Object)]
pub struct Changes {
    listener: Arc<Listener>,
}

#[uniffi::export]
impl Changes {
    /// Waits for the next change; `None` after [`Changes::stop`]. Dropping the wait loses nothing.
    pub async fn next(&self) -> Option<Change> {
        loop {
            if let Some(change) = self.take() {
                return Some(change);
            }
            if self.listener.closed.load(std::sync::atomic::Ordering::SeqCst) {
                return None;
            }
            self.listener.wake.notified().await;
        }
    }

    /// Ends this listener: a waiting `next` answers `None`.
    pub fn stop(&self) {
        self.listener.closed.store(true, std::sync::atomic::Ordering::SeqCst);
        self.listener.wake.notify_one();
    }
}

impl Changes {
    fn take(&self) -> Option<Change> {
        self.listener.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn equal_changes_coalesce_and_a_slow_listener_gets_everything() {
        let hub = ChangeHub::default();
        let changes = hub.listen();
        hub.emit(&Change::Home);
        hub.emit(&Change::Home);
        assert_eq!(changes.next().now_or_never(), Some(Some(Change::Home)));
        assert_eq!(changes.next().now_or_never(), None);
        for n in 0..100 {
            hub.emit(&Change::Messages { thread: Some(n.to_string()) });
        }
        assert_eq!(changes.next().now_or_never(), Some(Some(Change::Everything)));
    }

    #[test]
    fn what_is_told_together_names_few_conversations_or_all() {
        let one = |n: usize| Change::Messages { thread: Some(n.to_string()) };
        let mut told = Vec::new();
        for change in [Change::Home, one(1), one(1), one(2)] {
            change.add_to(&mut told);
        }
        assert_eq!(told, [Change::Home, one(1), one(2)]);
        (0..=CONVERSATIONS).for_each(|n| one(n).add_to(&mut told));
        let all = Change::Messages { thread: None };
        assert_eq!(told, [Change::Home, all.clone()]);
        one(3).add_to(&mut told);
        assert_eq!(told, [Change::Home, all]);
    }

    #[test]
    fn stop_wakes_the_listener() {
        let changes = ChangeHub::default().listen();
        changes.stop();
        assert_eq!(changes.next().now_or_never(), Some(None));
    }
}
