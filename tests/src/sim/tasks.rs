//! Work under way, polled by hand: nothing runs unless it was woken, and always in the same order.

use crate::practice::locked;
use futures_util::future::BoxFuture;
use portal_core::runtime::Background;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

/// Which device's which process: when that one dies, its work is gone.
pub(crate) type Process = (usize, u32);

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Task {
    process: Process,
    woken: Arc<Flag>,
    waker: Waker,
    work: BoxFuture<'static, ()>,
}

/// Work that has begun and was not polled yet.
type Begun = Arc<Mutex<Vec<(Process, BoxFuture<'static, ()>)>>>;

/// All of it.
#[derive(Default)]
pub(crate) struct Tasks {
    tasks: Vec<Task>,
    begun: Begun,
}

/// Hands a process's background work over.
pub(crate) struct Spawner(Process, Begun);

impl Background for Spawner {
    fn begin(&self, work: BoxFuture<'static, ()>) {
        locked(&self.1).push((self.0, work));
    }
}

impl Tasks {
    /// For the background work of one process.
    pub(crate) fn spawner(&self, process: Process) -> Spawner {
        Spawner(process, self.begun.clone())
    }

    /// Begins work.
    pub(crate) fn begin(&self, process: Process, work: BoxFuture<'static, ()>) {
        locked(&self.begun).push((process, work));
    }

    /// A process is gone, and all that it was about to do.
    pub(crate) fn kill(&mut self, process: Process) {
        locked(&self.begun).retain(|(of, _)| *of != process);
        self.tasks.retain(|task| task.process != process);
    }

    /// Runs until nobody can go on without time or network. False when it does not come to that.
    pub(crate) fn run(&mut self) -> bool {
        for _ in 0..1_000 {
            for (process, work) in std::mem::take(&mut *locked(&self.begun)) {
                let woken = Arc::new(Flag(AtomicBool::new(true)));
                self.tasks.push(Task { process, waker: Waker::from(woken.clone()), woken, work });
            }
            let mut ran = false;
            self.tasks.retain_mut(|task| {
                if !task.woken.0.swap(false, Ordering::Relaxed) {
                    return true;
                }
                ran = true;
                task.work.as_mut().poll(&mut Context::from_waker(&task.waker)) == Poll::Pending
            });
            if !ran && locked(&self.begun).is_empty() {
                return true;
            }
        }
        false
    }
}
