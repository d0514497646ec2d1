//! Large values on a slow line.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use dspinlock_testkit::{Call, Job, Redis, SlowLink, Worker};

use crate::fixture::is_long;

const READERS: usize = 25;

/// Bytes per second of requests.
const UP: u32 = 400_000;

/// Bytes per second of replies. The long suite takes a minute.
fn down() -> u32 {
    if is_long() { UP } else { 1_200_000 }
}

/// The lease that is renewed beside the values.
const LEASE: u64 = 6000;

#[test]
fn large_values_on_a_slow_line_cost_no_lease_and_no_time_out() {
    let server = Redis::start();
    let link = SlowLink::start(server.port(), UP, down());
    let (near, far) = (Worker::start(&server.url()), Worker::start(&link.url()));
    let value = |at: usize| {
        let function = ["cached", "cached_sync"][at % 2];
        Job::new(function, &format!("value{at}")).with("size", 1_000_000)
    };
    for at in 0..READERS {
        near.call(&value(at)).result().expect("a stored value");
    }
    let held = far.call(
        &Job::new("uncached", "held")
            .with("lease", LEASE)
            .with("body", "gate"),
    );
    held.started();
    let start = Instant::now();
    let big = Job::new("cached", "big").with("size", 4_000_000);
    let publisher = far.call(&big);
    let readers: Vec<Call<'_>> = (0..READERS).map(|at| far.call(&value(at))).collect();
    let ended = AtomicBool::new(false);
    scope(|threads| {
        let small = ["cached", "uncached"].map(|function| {
            let (far, ended) = (&far, &ended);
            threads.spawn(move || small_calls(far, function, ended))
        });
        for (at, reader) in readers.iter().enumerate() {
            let (bodies, result) = reader.outcome();
            assert!(
                bodies == 0 && result.is_ok(),
                "reader {at}: {bodies} bodies, {result:?}"
            );
        }
        let elapsed = start.elapsed();
        println!("{READERS} values after {elapsed:.1?}");
        publisher.result().expect("the value is stored");
        ended.store(true, Ordering::Relaxed);
        let [_, slowest_lock] = small.map(|calls| calls.join().expect("the small calls succeed"));
        // A lock waits for the value that is published, and for at most one of those that are read.
        assert!(slowest_lock < elapsed * 3 / 4, "{slowest_lock:?} of {elapsed:?}");
    });
    held.open_gate();
    held.result().expect("the lease is kept");
    let (bodies, result) = near.call(&big).outcome();
    assert!(bodies == 0 && result.is_ok(), "not stored: {result:?}");
    let logs = far.logs();
    assert!(!logs.iter().any(|line| line.contains("lost")), "{logs:#?}");
}

/// Makes small calls until the other ones have ended. Returns the time of the slowest one.
fn small_calls(worker: &Worker, function: &str, ended: &AtomicBool) -> Duration {
    let (mut slowest, mut count) = (Duration::ZERO, 0);
    while !ended.load(Ordering::Relaxed) {
        sleep(Duration::from_millis(200));
        let start = Instant::now();
        let job = Job::new(function, &format!("small-{function}-{count}"));
        worker.call(&job).result().expect("a small call");
        slowest = slowest.max(start.elapsed());
        count += 1;
    }
    println!("{count} small {function} calls, the slowest took {slowest:.1?}");
    slowest
}
