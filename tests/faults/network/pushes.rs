//! Waiters whose pushes are lost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use dspinlock_testkit::Worker;

use crate::fixture::Fixture;

const SHORT_PAUSE: Duration = Duration::from_millis(200);

#[test]
fn a_waiter_whose_pushes_are_lost_wakes_within_one_sleep() {
    let fixture = Fixture::new();
    let holder = fixture.worker();
    let (proxy, waiter) = fixture.proxied_worker();
    proxy.drop_pushes(true);
    wakes_within_one_sleep(&fixture, &holder, &waiter);
}

#[test]
fn a_waiter_whose_connections_keep_breaking_wakes_within_one_sleep() {
    let fixture = Fixture::new();
    let (holder, (proxy, waiter)) = (fixture.worker(), fixture.proxied_worker());
    let stop = AtomicBool::new(false);
    scope(|threads| {
        threads.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                proxy.disconnect();
                sleep(Duration::from_millis(100));
            }
        });
        let _stop = StopOnDrop(&stop);
        wakes_within_one_sleep(&fixture, &holder, &waiter);
    });
}

/// Stops the thread that disconnects, if the test panics too.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn wakes_within_one_sleep(fixture: &Fixture, holder: &Worker, waiter: &Worker) {
    let pause = Duration::from_millis(500);
    for round in 0..10 {
        let job = fixture
            .job("cached", round)
            .with("lease", 60_000)
            .with("block", 120_000)
            .with("sleep", pause.as_millis());
        let held = holder.call(&job.clone().with("body", "gate").with("value", "first"));
        held.started();
        let waiting = waiter.call(&job);
        sleep(SHORT_PAUSE);
        held.open_gate();
        assert_eq!(held.result().as_deref(), Ok("first"));
        let start = Instant::now();
        assert_eq!(waiting.outcome(), (0, Ok("first".to_owned())), "round {round}");
        let elapsed = start.elapsed();
        assert!(
            elapsed <= pause + Duration::from_millis(500),
            "round {round}: {elapsed:?}"
        );
    }
}
