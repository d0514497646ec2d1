//! A clock that stands still until a test moves it.
//!
//! Its timers fire in order: before each of them the clock moves to the timer's time, and after it everything runs that the
//! timer has woken on the background thread. So a lease is renewed many times while the clock moves by an hour.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::Notify;

use crate::rt::background;
use crate::rt::clock::{BY_HAND, Instant};

/// How many tasks of the background thread may wake each other in a row before the clock moves on. The longest row is four: a
/// timer, a task, a task that it spawns, and the heartbeat.
const HOPS: usize = 8;

pub(crate) struct Manual {
    state: Mutex<State>,
    /// A call has begun to wait.
    waits: Notify,
}

struct State {
    now: Instant,
    next_number: u64,
    /// By time and number.
    alarms: BTreeMap<(Instant, u64), Alarm>,
}

struct Alarm {
    waker: Waker,
    /// A call waits for another one.
    is_call: bool,
}

impl Manual {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                now: BY_HAND,
                next_number: 0,
                alarms: BTreeMap::new(),
            }),
            waits: Notify::new(),
        })
    }

    pub(crate) fn now(&self) -> Instant {
        self.state().now
    }

    /// The time by which the clock was moved.
    pub(crate) fn moved(&self) -> Duration {
        self.now() - BY_HAND
    }

    /// Moves the clock, and waits until everything that is due on the background thread has happened.
    ///
    /// # Panics
    ///
    /// Panics if something that was due has panicked, for example a logger.
    pub(crate) fn advance(self: &Arc<Self>, by: Duration) {
        let (send, moved) = channel();
        let this = self.clone();
        background::spawn(async move {
            this.move_by(by).await;
            // The receiver waits for it.
            let _ = send.send(());
        });
        moved.recv().expect("nothing that is due panics");
    }

    async fn move_by(&self, by: Duration) {
        // What has begun before sees the time before.
        settle().await;
        let end = self
            .now()
            .checked_add(by)
            .expect("the clock cannot be moved so far");
        while let Some(alarm) = self.next_due(end) {
            alarm.wake();
            settle().await;
        }
    }

    /// Moves the clock to the next alarm and takes that, or to `end` if there is none before.
    fn next_due(&self, end: Instant) -> Option<Waker> {
        let mut state = self.state();
        let due = state.alarms.first_entry().filter(|alarm| alarm.key().0 <= end);
        let due = due.map(|alarm| (alarm.key().0, alarm.remove().waker));
        let at = due.as_ref().map_or(end, |(at, _)| *at);
        state.now = state.now.max(at);
        due.map(|(_, waker)| waker)
    }

    /// Sleeps for `duration` from its first poll on.
    pub(super) async fn sleep(self: &Arc<Self>, duration: Duration, is_call: bool) {
        let until = self.now().checked_add(duration);
        let sleep = Sleep {
            clock: self.clone(),
            until,
            number: None,
            is_call,
        };
        sleep.await;
    }

    /// Wakes the waker once, when the clock gets there. Returns the number of the alarm, or `None` if the clock is there.
    pub(super) fn wake_at(&self, at: Instant, waker: &Waker, is_call: bool) -> Option<u64> {
        let mut state = self.state();
        if at <= state.now {
            return None;
        }
        let number = state.next_number;
        state.next_number += 1;
        let waker = waker.clone();
        state.alarms.insert((at, number), Alarm { waker, is_call });
        Some(number)
    }

    /// The number of calls that wait for another one.
    fn waiting(&self) -> usize {
        self.state().alarms.values().filter(|alarm| alarm.is_call).count()
    }

    /// Resolves when so many calls wait for another one.
    pub(crate) async fn until_waiting(&self, calls: usize) {
        loop {
            // Before the look, so that it misses none.
            let waits = self.waits.notified();
            if self.waiting() >= calls {
                return;
            }
            waits.await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets every task run that is woken on the background thread, and those that they wake.
async fn settle() {
    for _ in 0..HOPS {
        tokio::task::yield_now().await;
    }
}

struct Sleep {
    clock: Arc<Manual>,
    /// `None`: the clock never gets there.
    until: Option<Instant>,
    /// The number of its alarm.
    number: Option<u64>,
    is_call: bool,
}

impl Sleep {
    fn remove_alarm(&mut self) {
        if let Some((until, number)) = self.until.zip(self.number.take()) {
            // Dropped after the lock is released: the drop of a waker may drop a task, and that another sleep.
            let _alarm = self.clock.state().alarms.remove(&(until, number));
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.remove_alarm();
        let Some(until) = self.until else {
            return Poll::Pending;
        };
        self.number = self.clock.wake_at(until, context.waker(), self.is_call);
        if self.number.is_none() {
            return Poll::Ready(());
        }
        if self.is_call {
            self.clock.waits.notify_waiters();
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.remove_alarm();
    }
}
