//! Processes without descriptors, threads, disk space or name service.

mod disk;
mod limits;
mod name_lookup;

use std::time::{Duration, Instant};

use dspinlock_testkit::{Job, Worker};

/// Calls until a call succeeds, because a pool does not connect again shortly after a failure. Returns the number of bodies
/// of that call, and its value.
fn recovered(worker: &Worker) -> (usize, String) {
    const RECOVERS_WITHIN: Duration = Duration::from_secs(1);
    let start = Instant::now();
    loop {
        let outcome = worker.call(&Job::new("cached", "key")).outcome();
        assert!(
            start.elapsed() < RECOVERS_WITHIN,
            "{outcome:?} after {:?}",
            start.elapsed()
        );
        if let (bodies, Ok(value)) = outcome {
            return (bodies, value);
        }
    }
}
