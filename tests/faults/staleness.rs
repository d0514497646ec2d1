//! Detection of stale hits by version numbers.
//!
//! Each key has a version in the server, which a body reads and returns. A writer increments the version, deletes the key,
//! and records the version as acknowledged. After that an older result is stale.
//!
//! The processes delete and read at random. `entries/deleted.rs` starts them.

mod process;

use std::time::{Duration, Instant};

use dspinlock_testkit::{ChildProcess, TEST_TIMEOUT};

/// The numbers of keys, of writers per key, and of deletes per key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) keys: u64,
    /// The writers that acknowledge versions of a key.
    pub(crate) writers: u64,
    pub(crate) rounds: u64,
}

/// The counts of a process.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) bodies: u64,
    /// Bodies that had lost their lease when they returned, and results that were not kept.
    pub(crate) lost: u64,
    pub(crate) reads: u64,
    /// Reads without a round trip.
    pub(crate) near: u64,
    pub(crate) stale: u64,
    /// The longest time for which a near cache returned a deleted value.
    pub(crate) lag: Duration,
}

/// Starts the process that deletes the key of this number.
pub(crate) fn start(url: &str, plan: Plan, key: u64) -> ChildProcess {
    let role = format!("{} {} {} {key}", plan.keys, plan.writers, plan.rounds);
    ChildProcess::own_test(
        "staleness::process::main",
        &[("DSPINLOCK_URL", url), ("DSPINLOCK_TEST_STALENESS", &role)],
    )
}

/// Waits for the report of a process.
pub(crate) fn report(process: &ChildProcess) -> Report {
    let start = Instant::now();
    loop {
        let line = process.recv();
        if let Some(numbers) = line.strip_prefix('>') {
            let numbers: Vec<u64> = numbers
                .split(' ')
                .map(|word| word.parse().expect("a number"))
                .collect();
            let [bodies, lost, reads, near, stale, lag] = numbers[..] else {
                panic!("{line}")
            };
            let lag = Duration::from_micros(lag);
            return Report {
                bodies,
                lost,
                reads,
                near,
                stale,
                lag,
            };
        }
        assert!(start.elapsed() < 3 * TEST_TIMEOUT, "the process does not finish");
    }
}

impl Report {
    /// The sum of all reports.
    pub(crate) fn of(processes: &[ChildProcess]) -> Self {
        processes
            .iter()
            .map(report)
            .fold(Self::default(), |sum, one| Self {
                bodies: sum.bodies + one.bodies,
                lost: sum.lost + one.lost,
                reads: sum.reads + one.reads,
                near: sum.near + one.near,
                stale: sum.stale + one.stale,
                lag: sum.lag.max(one.lag),
            })
    }
}
