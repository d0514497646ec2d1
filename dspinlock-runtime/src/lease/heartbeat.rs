//! The heartbeat of every lease, on the background thread: a body that blocks its thread keeps its lock.
//!
//! One task serves all leases. A lease has one entry in its list: the next beat, or the moment at which the lease
//! counts as lost. A lease that ends before its first beat costs two changes of that list and nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::lease::Held;
use crate::rt::background;
use crate::rt::sync::{Instant, Lazy, Mutex, MutexGuard, Notify, PoisonError};

static HEART: Lazy<Heart> = Lazy::new(|| {
    background::spawn(beat_all());
    Heart {
        list: Mutex::default(),
        earlier: Notify::new(),
    }
});

fn heart() -> &'static Heart {
    Lazy::force(&HEART)
}

struct Heart {
    list: Mutex<List>,
    /// Something is due before the task meant to wake.
    earlier: Notify,
}

#[derive(Default)]
struct List {
    due: BTreeMap<(Instant, u64), Arc<Held>>,
    count: u64,
    /// Until when the task sleeps; `None` while it sleeps until it is told.
    asleep: Option<Instant>,
    /// A lease began since the task last looked.
    busy: bool,
}

/// While leases come and go the task looks so often by itself: then a lease that begins seldom has to wake it.
const LOOK: Duration = Duration::from_millis(100);

/// Where a lease stands in the list.
pub(crate) type Place = (Instant, u64);

/// Beats for `held` from now on. Returns its place, to be given back at [`stop`].
pub(crate) fn start(held: &Arc<Held>) {
    let mut list = heart().lock();
    list.count += 1;
    let place = (held.next_beat(), list.count);
    insert(&mut list, place, held);
}

/// No beat from now on, and no loss.
pub(crate) fn stop(held: &Held) {
    let mut list = heart().lock();
    if let Some(place) = held.place().take() {
        list.due.remove(&place);
    }
}

/// How many leases there are.
pub(crate) fn serves() -> usize {
    heart().lock().due.len()
}

fn insert(list: &mut List, place: Place, held: &Arc<Held>) {
    *held.place() = Some(place);
    list.busy = true;
    list.due.insert(place, held.clone());
    if list.asleep.is_none_or(|until| place.0 < until) {
        list.asleep = Some(place.0);
        heart().earlier.notify_one();
    }
}

/// Puts a lease that is still in the list elsewhere in it.
fn reschedule(held: &Arc<Held>, at: Instant) {
    let mut list = heart().lock();
    let place = *held.place();
    if let Some(place) = place {
        list.due.remove(&place);
        insert(&mut list, (at, place.1), held);
    }
}

async fn beat_all() {
    loop {
        let now = Instant::now();
        let (due, next) = heart().take_due(now);
        // Let go of before the sleep: an ended lease would keep its pool open for as long.
        due.into_iter().for_each(|held| wake(&held, now));
        let rest = next.map_or(Duration::MAX, |next| {
            next.saturating_duration_since(Instant::now())
        });
        tokio::select! {
            () = background::sleep(rest.min(Duration::from_secs(3600))) => {}
            () = heart().earlier.notified() => {}
        }
    }
}

/// A lease's entry is due: its deadline is over, or it is time for a beat.
fn wake(held: &Arc<Held>, now: Instant) {
    let deadline = held.deadline();
    if now >= deadline {
        stop(held);
        held.lose();
        background::spawn(held.clone().give_up());
        return;
    }
    // While a beat is under way, and after the last one, only the deadline is left to watch.
    reschedule(held, deadline);
    if !held.is_overdue(now) && held.begin_beat() {
        let held = held.clone();
        background::spawn(async move {
            let next = held.beat().await;
            held.end_beat();
            match next {
                Some(next) => reschedule(&held, next.min(held.deadline())),
                None => stop(&held),
            }
        });
    }
}

impl Heart {
    fn lock(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is due now, and when the next entry is.
    fn take_due(&self, now: Instant) -> (Vec<Arc<Held>>, Option<Instant>) {
        let mut list = self.lock();
        let due = list
            .due
            .range(..=(now, u64::MAX))
            .map(|(_, held)| held.clone())
            .collect();
        let next = list.due.range((now, u64::MAX)..).next().map(|(place, _)| place.0);
        let look = std::mem::take(&mut list.busy).then(|| now + LOOK);
        list.asleep = [next, look].into_iter().flatten().min();
        (due, list.asleep)
    }
}
