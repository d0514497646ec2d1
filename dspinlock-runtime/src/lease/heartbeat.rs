//! The heartbeat: one task on the background thread that renews every lease of the process.
//!
//! Each lease has one entry in the schedule:
//!
//! ```text
//! start ──> next renewal ── due ──> deadline, with a RENEW under way ── due ──> lost
//!                ^                        │                   │
//!                └─ renewed, or it failed ┘                   └─ refused ──> lost
//! stop, from anywhere ──> no entry
//! ```
//!
//! A lease that is released before its first renewal costs one insertion and one removal. `lease` calls `start`, `stop` and
//! `extend`; nothing else runs on a caller's thread. The schedule alone knows where the entry of a lease is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::claim;
use super::held::{Held, Renewal};
use crate::error::Error;
#[cfg(feature = "testing")]
use crate::key::Key;
use crate::pool::Pool;
use crate::protocol::tag::Tag;
use crate::rt::process::PerProcess;
use crate::rt::sync::{AtomicBool, Instant, Mutex, MutexGuard, Notify, Ordering, PoisonError, oneshot};
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
    /// By the time of the next event.
    due: BTreeMap<(Instant, Tag), Arc<Held>>,
    /// The time of the entry of each lease.
    times: BTreeMap<Tag, Instant>,
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
    heartbeat().lock().insert(held, held.first_renewal());
}

/// Removes the entry of `held`: the heartbeat neither renews the lease nor reports its loss any more. Returns whether there
/// was one.
pub(super) fn stop(held: &Held) -> bool {
    heartbeat().lock().remove(held.id.tag)
}

/// Lets the end of the process abort every lock that is held or being acquired.
pub(crate) fn give_up_at_end_of_process() {
    thread_end::at_end_of_process(|| drop(give_up(None)));
}

/// Aborts every lock of this pool, or of all pools, that is held or being acquired. Returns the leases that are lost by that:
/// the reply to a PUBLISH that is under way decides about its lease.
pub(crate) fn give_up(of: Option<&Pool>) -> Vec<Arc<Held>> {
    let is_lost = |held: &Arc<Held>| of.is_none_or(|pool| held.is_of(pool)) && !held.is_publishing();
    let leases: Vec<_> = heartbeat()
        .lock()
        .due
        .values()
        .filter(|held| is_lost(held))
        .cloned()
        .collect();
    for held in &leases {
        stop(held);
        held.give_up();
    }
    claim::give_up(of);
    leases
}

/// The number of leases in the schedule.
pub(crate) fn leases() -> usize {
    heartbeat().lock().due.len()
}

/// Moves the entry of a lease, unless it was stopped.
fn reschedule(held: &Arc<Held>, at: Instant) {
    let mut schedule = heartbeat().lock();
    if schedule.remove(held.id.tag) {
        schedule.insert(held, at);
    }
}

impl Schedule {
    fn insert(&mut self, held: &Arc<Held>, at: Instant) {
        #[cfg(feature = "testing")]
        held.pool.timers().wake_at(at, || by_hand::waker(held));
        self.was_extended = true;
        self.times.insert(held.id.tag, at);
        self.due.insert((at, held.id.tag), held.clone());
        if self.asleep_until.is_none_or(|until| at < until) {
            self.asleep_until = Some(at);
            heartbeat().wake.notify_one();
        }
    }

    fn remove(&mut self, tag: Tag) -> bool {
        let time = self.times.remove(&tag);
        time.is_some_and(|time| self.due.remove(&(time, tag)).is_some())
    }
}

async fn run() {
    let _respawn = Respawn;
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

/// A logger or a waker of the user may panic. The other leases are renewed all the same.
struct Respawn;

impl Drop for Respawn {
    fn drop(&mut self) {
        if std::thread::panicking() {
            background::spawn(run());
        }
    }
}

/// Handles a due entry: the lease is lost, or it needs a renewal.
fn handle_due(held: &Arc<Held>, now: Instant) {
    let deadline = held.deadline();
    if now >= deadline {
        // A lease that was released in the meantime is not lost, and of one that is being published the reply decides.
        if stop(held) && !held.is_publishing() {
            background::spawn(held.clone().abort_lost());
            held.lose();
        }
        return;
    }
    // While a renewal is under way, and after the last one, only the deadline remains.
    reschedule(held, deadline);
    if !held.is_overdue(now) {
        background::spawn(beat(held.clone()));
    }
}

/// Renews a lease, unless a renewal is under way.
async fn beat(held: Arc<Held>) {
    if let Some(renewal) = held.try_begin_renewal()
        && let Err(error) = renew(&held, renewal).await
    {
        held.log_failed_renewal(&error);
    }
}

/// Sends one RENEW, and schedules the next one. Returns whether the lock is held.
async fn renew(held: &Arc<Held>, renewal: Renewal<'_>) -> Result<bool, Error> {
    // Before the request, because a recorder of the program may panic at its failure.
    reschedule(held, held.next_retry().min(held.deadline()));
    let renewed = held.renew(&renewal).await;
    drop(renewal);
    match renewed {
        Ok(Some(next)) => reschedule(held, next.min(held.deadline())),
        // If the lock was released or aborted in the meantime, the refusal is not a loss.
        Ok(None) if stop(held) && !held.is_publishing() => held.lose(),
        Ok(None) => {}
        // Before it is logged, because the logger may panic.
        Err(_) => reschedule(held, held.next_retry().min(held.deadline())),
    }
    renewed.map(|next| next.is_some())
}

/// Gives a lease another length, and renews it at once. Runs on the background thread, so that a caller that is dropped
/// leaves no renewal without a successor.
pub(super) async fn extend(held: &Arc<Held>, length: Duration) -> Result<bool, Error> {
    let (send, outcome) = oneshot::channel();
    let held = held.clone();
    background::spawn(async move {
        let renewal = held.begin_renewal().await;
        held.set_length(&renewal, length);
        reschedule(&held, held.deadline());
        // The caller may be dropped.
        let _ = send.send(renew(&held, renewal).await);
    });
    outcome.await.unwrap_or(Ok(false))
}

/// Leases of a pool whose clock is moved by hand. The clock of the heartbeat never gets to their times, so the moved clock wakes
/// them.
#[cfg(feature = "testing")]
mod by_hand {
    use std::sync::{Arc, Weak};
    use std::task::{Wake, Waker};

    use super::{Held, handle_due, heartbeat};

    struct Due(Weak<Held>);

    pub(super) fn waker(held: &Arc<Held>) -> Waker {
        Arc::new(Due(Arc::downgrade(held))).into()
    }

    impl Wake for Due {
        fn wake(self: Arc<Self>) {
            let Some(held) = self.0.upgrade() else { return };
            let (now, at) = (held.now(), heartbeat().lock().times.get(&held.id.tag).copied());
            // The lease may have been released or renewed since.
            if at.is_some_and(|at| at <= now) {
                handle_due(&held, now);
            }
        }
    }
}

/// The lease of this key, for tests.
#[cfg(feature = "testing")]
pub(crate) fn find(pool: &Pool, key: &Key) -> Option<Arc<Held>> {
    let is_it = |held: &&Arc<Held>| held.is_for(pool, key) && !held.is_publishing();
    heartbeat().lock().due.values().find(is_it).cloned()
}

/// Loses a lease, for tests.
#[cfg(feature = "testing")]
pub(crate) fn lose(held: &Held) {
    if stop(held) {
        held.lose();
    }
}

impl Heartbeat {
    fn lock(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The leases that are due, and when to wake next.
    fn take_due(&self, now: Instant) -> (Vec<Arc<Held>>, Option<Instant>) {
        let mut schedule = self.lock();
        let is_due = |((at, _), _): &(&(Instant, Tag), &Arc<Held>)| *at <= now;
        let due: Vec<_> = schedule
            .due
            .iter()
            .take_while(is_due)
            .map(|(_, held)| held.clone())
            .collect();
        let next = schedule.due.keys().nth(due.len()).map(|(at, _)| *at);
        let is_live = std::mem::take(&mut schedule.was_extended) || !schedule.due.is_empty();
        let soon = is_live.then(|| now + PERIOD);
        schedule.asleep_until = [next, soon].into_iter().flatten().min();
        (due, schedule.asleep_until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Format, Key};
    use crate::lease::claim::Claim;
    use crate::lease::held::{Caller, Terms};
    use crate::protocol::tag::Id;

    const LEASE: Duration = Duration::from_secs(60);

    fn held() -> Arc<Held> {
        let pool = Pool::open("sqlite::memory:").expect("a pool in memory");
        let key = Key::new(Format::Single, "dspinlock".into(), [1; 32]);
        let claim = Claim::new(&pool, &key, LEASE, None);
        let id = Id {
            tag: claim.tag(),
            fence: 1,
        };
        let terms = Terms {
            lease: LEASE,
            ttl: LEASE,
            max_block: LEASE,
            keeps_mark: false,
            caller: Caller::new("site"),
        };
        Arc::new(Held::new(&claim, id, Instant::now(), terms))
    }

    /// The heartbeat has taken the entry when the lease is released.
    #[test]
    fn a_lease_that_was_released_at_its_deadline_is_not_lost() {
        for is_released in [false, true] {
            let held = held();
            start(&held);
            if is_released {
                stop(&held);
            }
            handle_due(&held, held.deadline());
            assert_eq!(held.is_lost(), !is_released);
            assert!(!stop(&held), "an entry remains");
        }
    }
}
