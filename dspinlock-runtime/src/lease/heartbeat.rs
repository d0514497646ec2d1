//! The heartbeat: one task on the background thread that renews every lease of the process.
//!
//! Each lease has one entry in the schedule: its next renewal, or the moment at which it counts as lost. A lease that ends
//! before its first renewal costs two changes of the schedule and nothing else. Nothing here runs on a caller's thread
//! but `start` and `stop`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::held::{Held, Place};
use crate::rt::background;
use crate::rt::sync::{Instant, Lazy, Mutex, MutexGuard, Notify, PoisonError};

static HEARTBEAT: Lazy<Heartbeat> = Lazy::new(|| {
    background::spawn(run());
    Heartbeat {
        schedule: Mutex::default(),
        earlier: Notify::new(),
    }
});

fn heartbeat() -> &'static Heartbeat {
    Lazy::force(&HEARTBEAT)
}

struct Heartbeat {
    schedule: Mutex<Schedule>,
    /// An entry is due before the moment until which the task sleeps.
    earlier: Notify,
}

#[derive(Default)]
struct Schedule {
    due: BTreeMap<Place, Arc<Held>>,
    /// Distinguishes entries of the same moment.
    next_id: u64,
    /// The moment until which the task sleeps; `None` if only a notification wakes it.
    asleep_until: Option<Instant>,
    /// A lease was added since the task last looked.
    is_busy: bool,
}

/// While leases start and end, the task wakes this often by itself, so that a new lease seldom has to wake it.
const BUSY_PERIOD: Duration = Duration::from_millis(100);

/// Schedules the renewals of `held`, until [`stop`].
pub(super) fn start(held: &Arc<Held>) {
    let mut schedule = heartbeat().lock();
    schedule.next_id += 1;
    let place = (held.first_renewal(), schedule.next_id);
    insert(&mut schedule, place, held);
}

/// After this call the lease is neither renewed nor counted as lost.
pub(super) fn stop(held: &Held) {
    let mut schedule = heartbeat().lock();
    if let Some(place) = held.place().take() {
        schedule.due.remove(&place);
    }
}

/// The number of leases in the schedule.
pub(crate) fn leases() -> usize {
    heartbeat().lock().due.len()
}

fn insert(schedule: &mut Schedule, place: Place, held: &Arc<Held>) {
    *held.place() = Some(place);
    schedule.is_busy = true;
    schedule.due.insert(place, held.clone());
    if schedule.asleep_until.is_none_or(|until| place.0 < until) {
        schedule.asleep_until = Some(place.0);
        heartbeat().earlier.notify_one();
    }
}

/// Moves the entry of a lease that was not stopped.
fn reschedule(held: &Arc<Held>, at: Instant) {
    let mut schedule = heartbeat().lock();
    let place = *held.place();
    if let Some(place) = place {
        schedule.due.remove(&place);
        insert(&mut schedule, (at, place.1), held);
    }
}

async fn run() {
    loop {
        let now = Instant::now();
        let (due, next) = heartbeat().take_due(now);
        // Dropped before the sleep, because a lease keeps its pool open.
        due.into_iter().for_each(|held| process(&held, now));
        let rest = next.map_or(Duration::MAX, |next| {
            next.saturating_duration_since(Instant::now())
        });
        tokio::select! {
            () = background::sleep(rest.min(Duration::from_secs(3600))) => {}
            () = heartbeat().earlier.notified() => {}
        }
    }
}

/// The entry of `held` is due: the lease is lost, or it is time for a renewal.
fn process(held: &Arc<Held>, now: Instant) {
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

    /// The leases that are due, and the moment at which to look again.
    fn take_due(&self, now: Instant) -> (Vec<Arc<Held>>, Option<Instant>) {
        let mut schedule = self.lock();
        let due = schedule
            .due
            .range(..=(now, u64::MAX))
            .map(|(_, held)| held.clone())
            .collect();
        let next = schedule
            .due
            .range((now, u64::MAX)..)
            .next()
            .map(|(place, _)| place.0);
        let busy = std::mem::take(&mut schedule.is_busy).then(|| now + BUSY_PERIOD);
        schedule.asleep_until = [next, busy].into_iter().flatten().min();
        (due, schedule.asleep_until)
    }
}
