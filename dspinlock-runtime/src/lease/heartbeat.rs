//! The heartbeat: one task on the background thread that renews every lease of the process.
//!
//! Each lease has one entry in the schedule: its next renewal, or the deadline after which it is lost. A lease that is
//! released before its first renewal costs one insertion and one removal. `lease` calls `start` and `stop`; nothing else
//! runs on a caller's thread.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::claim;
use super::held::{Held, ScheduleKey};
use crate::rt::process::PerProcess;
use crate::rt::sync::{AtomicBool, Instant, Mutex, MutexGuard, Notify, Ordering, PoisonError};
use crate::rt::{background, thread_end};

static HEARTBEAT: PerProcess<Heartbeat> = PerProcess::new(|_| Heartbeat {
    is_running: AtomicBool::new(false),
    schedule: Mutex::default(),
    wake: Notify::new(),
});

fn heartbeat() -> &'static Heartbeat {
    HEARTBEAT.get()
}

struct Heartbeat {
    is_running: AtomicBool,
    schedule: Mutex<Schedule>,
    /// Wakes the task, because a new entry is due before its sleep ends.
    wake: Notify,
}

#[derive(Default)]
struct Schedule {
    due: BTreeMap<ScheduleKey, Arc<Held>>,
    /// Distinguishes entries with the same time.
    next_id: u64,
    /// When the sleep of the task ends; `None` if only a notification wakes it.
    asleep_until: Option<Instant>,
    /// An entry was inserted since the task was last awake.
    was_extended: bool,
}

/// While there are entries, the task wakes this often by itself. So a new lease rarely has to wake it, and it notices a lease
/// that has expired while the machine was suspended, because timers do not count that time.
const PERIOD: Duration = Duration::from_millis(100);

/// Schedules the renewals of `held`, until [`stop`].
pub(super) fn start(held: &Arc<Held>) {
    if !heartbeat().is_running.swap(true, Ordering::SeqCst) {
        background::spawn(run());
    }
    let mut schedule = heartbeat().lock();
    schedule.next_id += 1;
    let key = (held.first_renewal(), schedule.next_id);
    insert(&mut schedule, key, held);
}

/// Removes the entry of `held`: the heartbeat neither renews the lease nor reports its loss any more.
pub(super) fn stop(held: &Held) {
    let mut schedule = heartbeat().lock();
    if let Some(key) = held.schedule_key().take() {
        schedule.due.remove(&key);
    }
}

/// Lets the end of the process abort every lock that is held or being acquired.
pub(crate) fn give_up_at_end_of_process() {
    thread_end::at_end_of_process(give_up);
}

fn give_up() {
    let leases: Vec<_> = heartbeat().lock().due.values().cloned().collect();
    for held in leases {
        stop(&held);
        held.give_up();
    }
    claim::give_up();
}

/// The number of leases in the schedule.
pub(crate) fn leases() -> usize {
    heartbeat().lock().due.len()
}

fn insert(schedule: &mut Schedule, key: ScheduleKey, held: &Arc<Held>) {
    *held.schedule_key() = Some(key);
    schedule.was_extended = true;
    schedule.due.insert(key, held.clone());
    if schedule.asleep_until.is_none_or(|until| key.0 < until) {
        schedule.asleep_until = Some(key.0);
        heartbeat().wake.notify_one();
    }
}

/// Moves the entry of a lease, unless it was stopped.
fn reschedule(held: &Arc<Held>, at: Instant) {
    let mut schedule = heartbeat().lock();
    let key = *held.schedule_key();
    if let Some(key) = key {
        schedule.due.remove(&key);
        insert(&mut schedule, (at, key.1), held);
    }
}

async fn run() {
    loop {
        let now = Instant::now();
        let (due, next) = heartbeat().take_due(now);
        // Dropped before the sleep, because a lease keeps its pool open.
        due.into_iter().for_each(|held| handle_due(&held, now));
        let rest = next.map(|next| next.saturating_duration_since(Instant::now()));
        tokio::select! {
            () = background::sleep(rest.unwrap_or_default()), if rest.is_some() => {}
            () = heartbeat().wake.notified() => {}
        }
    }
}

/// Handles a due entry: the lease is lost, or it needs a renewal.
fn handle_due(held: &Arc<Held>, now: Instant) {
    let deadline = held.deadline();
    if now >= deadline {
        stop(held);
        held.lose();
        background::spawn(held.clone().abort_lost());
        return;
    }
    // While a renewal is under way, and after the last one, only the deadline remains.
    reschedule(held, deadline);
    if !held.is_overdue(now) && held.begin_renewal() {
        let held = held.clone();
        background::spawn(async move {
            let next = held.renew().await;
            held.end_renewal();
            match next {
                Some(next) => reschedule(&held, next.min(held.deadline())),
                None => stop(&held),
            }
        });
    }
}

impl Heartbeat {
    fn lock(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The leases that are due, and when to wake next.
    fn take_due(&self, now: Instant) -> (Vec<Arc<Held>>, Option<Instant>) {
        let mut schedule = self.lock();
        let due = schedule
            .due
            .range(..=(now, u64::MAX))
            .map(|(_, held)| held.clone())
            .collect();
        let next = schedule.due.range((now, u64::MAX)..).next().map(|(key, _)| key.0);
        let is_live = std::mem::take(&mut schedule.was_extended) || !schedule.due.is_empty();
        let soon = is_live.then(|| now + PERIOD);
        schedule.asleep_until = [next, soon].into_iter().flatten().min();
        (due, schedule.asleep_until)
    }
}
