//! Which thread makes a turn of a driver, and whom its wake-ups wake. `driver` calls it.
//!
//! ```text
//! Idle ──begin──> Turning ──wake──> Woken
//!   ^                │                │
//!   ├──────end───────┘                │
//!   └──────end, which wakes the task──┘
//! ```
//!
//! A wake-up in the state Idle wakes the task at once.

use std::sync::{Arc, OnceLock};
use std::task::{Wake, Waker};

use crate::rt::sync::{AtomicU8, Ordering};

/// The waker of a driver: it wakes the task, unless a thread makes a turn.
#[derive(Default)]
pub(crate) struct Turns {
    /// `IDLE`, `TURNING` or `WOKEN`.
    state: AtomicU8,
    task: OnceLock<Waker>,
}

const IDLE: u8 = 0;
const TURNING: u8 = 1;
const WOKEN: u8 = 2;

impl Turns {
    /// Called at each poll of the task. A task has one waker, so the first call counts.
    pub(crate) fn set_task(&self, task: &Waker) {
        self.task.get_or_init(|| task.clone());
    }

    /// `None` if another thread makes a turn, or if the task has not been polled yet.
    pub(crate) fn begin(&self) -> Option<Turn<'_>> {
        self.task.get()?;
        let begun = self
            .state
            .compare_exchange(IDLE, TURNING, Ordering::AcqRel, Ordering::Acquire);
        begun.is_ok().then_some(Turn(self))
    }

    fn wake_task(&self) {
        if let Some(task) = self.task.get() {
            task.wake_by_ref();
        }
    }
}

impl Wake for Turns {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let turning = |state| (state != IDLE).then_some(WOKEN);
        let noted = self
            .state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, turning);
        if noted.is_err() {
            self.wake_task();
        }
    }
}

/// A turn, until it is dropped.
pub(crate) struct Turn<'a>(&'a Turns);

impl Turn<'_> {
    /// Forgets the wake-ups so far. The turn that follows sees their causes.
    pub(crate) fn restart(&self) {
        self.0.state.swap(TURNING, Ordering::AcqRel);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // After a panic, the task ends.
        if self.0.state.swap(IDLE, Ordering::AcqRel) == WOKEN || std::thread::panicking() {
            self.0.wake_task();
        }
    }
}
