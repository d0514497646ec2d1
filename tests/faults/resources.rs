//! Processes without descriptors, threads, disk space or name service.

mod disk;
mod limits;
mod name_lookup;

use std::time::{Duration, Instant};

use dspinlock_testkit::{Job, Worker};

/// Calls until a call succeeds, and returns its outcome: shortly after a failure, a pool does not connect again.
fn recovered(worker: &Worker) -> (usize, Result<String, String>) {
    const RECOVERS_WITHIN: Duration = Duration::from_secs(1);
    let start = Instant::now();
    loop {
        let outcome = worker.call(&Job::new("cached", "key")).outcome();
        assert!(
            start.elapsed() < RECOVERS_WITHIN,
            "{outcome:?} after {:?}",
            start.elapsed()
        );
        if outcome.1.is_ok() {
            return outcome;
        }
    }
}
