//! Large values on a slow line.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::scope;
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
    let (done, ended) = channel();
    scope(|threads| {
        let small = threads.spawn({
            let far = &far;
            move || small_calls(far, &ended)
        });
        for (at, reader) in readers.iter().enumerate() {
            let (bodies, result) = reader.outcome();
            assert!(
                bodies == 0 && result.is_ok(),
                "reader {at}: {bodies} bodies, {result:?}"
            );
        }
        println!("{READERS} values after {:.1?}", start.elapsed());
        publisher.result().expect("the value is stored");
        drop(done);
        small.join().expect("the small calls succeed");
    });
    held.open_gate();
    held.result().expect("the lease is kept");
    let (bodies, result) = near.call(&big).outcome();
    assert!(bodies == 0 && result.is_ok(), "not stored: {result:?}");
    let logs = far.logs();
    assert!(!logs.iter().any(|line| line.contains("lost")), "{logs:#?}");
}

/// Makes small calls until the other ones have ended.
fn small_calls(worker: &Worker, ended: &Receiver<()>) {
    let (mut slowest, mut count) = (Duration::ZERO, 0);
    while ended.recv_timeout(Duration::from_millis(200)) == Err(RecvTimeoutError::Timeout) {
        let start = Instant::now();
        let job = Job::new("cached", &format!("small{count}"));
        worker.call(&job).result().expect("a small call");
        slowest = slowest.max(start.elapsed());
        count += 1;
    }
    println!("{count} small calls, the slowest took {slowest:.1?}");
}
