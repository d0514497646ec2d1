//! Waiters whose pushes are lost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use dspinlock_testkit::{Job, Worker, eventually};

use crate::fixture::Fixture;

const SHORT_PAUSE: Duration = Duration::from_millis(200);

#[test]
fn a_waiter_whose_pushes_are_lost_wakes_within_one_sleep() {
    let fixture = Fixture::new();
    let holder = fixture.worker();
    let (proxy, waiter) = fixture.proxied_worker();
    proxy.drop_pushes(true);
    wakes_within_one_sleep(&fixture, &holder, &waiter, &AtomicBool::new(false));
}

#[test]
fn a_waiter_whose_connections_keep_breaking_wakes_within_one_sleep() {
    let fixture = Fixture::new();
    let (holder, (proxy, waiter)) = (fixture.worker(), fixture.proxied_worker());
    let (stop, breaks) = (AtomicBool::new(false), AtomicBool::new(false));
    scope(|threads| {
        threads.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                if breaks.load(Ordering::Relaxed) {
                    proxy.disconnect();
                }
                sleep(Duration::from_millis(100));
            }
        });
        let _stop = StopOnDrop(&stop);
        wakes_within_one_sleep(&fixture, &holder, &waiter, &breaks);
    });
}

/// Stops the thread that disconnects, if the test panics too.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// `breaks` turns the disconnects on. They begin when the call waits: a call that begins without a connection fails.
fn wakes_within_one_sleep(fixture: &Fixture, holder: &Worker, waiter: &Worker, breaks: &AtomicBool) {
    let pause = Duration::from_millis(500);
    for round in 0..10 {
        let job = fixture
            .job("cached", round)
            .with("lease", 60_000)
            .with("block", 120_000)
            .with("sleep", pause.as_millis());
        let held = holder.call(&job.clone().with("body", "gate").with("value", "first"));
        held.started();
        eventually("a connection of the waiter", || {
            waiter.call(&Job::new("uncached", "connects")).result().ok()
        });
        let waiting = waiter.call(&job);
        eventually("the call to wait", || {
            waiter.in_use().contains("watches: 1").then_some(())
        });
        breaks.store(true, Ordering::Relaxed);
        sleep(SHORT_PAUSE);
        held.open_gate();
        assert_eq!(held.result().as_deref(), Ok("first"));
        let start = Instant::now();
        assert_eq!(waiting.outcome(), (0, Ok("first".to_owned())), "round {round}");
        let elapsed = start.elapsed();
        breaks.store(false, Ordering::Relaxed);
        assert!(
            elapsed <= pause + Duration::from_millis(500),
            "round {round}: {elapsed:?}"
        );
    }
}
