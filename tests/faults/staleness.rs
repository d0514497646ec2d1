//! What is true is a number in the server that only grows. A body reads it and returns it. Whoever makes it grow
//! deletes the key then, and says so when that is acknowledged: from then on whatever is older is a stale hit.
//!
//! The processes here delete and read at random; `deletes.rs` and `python.rs` start them.

mod process;

use std::time::{Duration, Instant};

use dspinlock_testkit::{Lines, PATIENCE};

/// How many processes there are of either kind, and how often each of them changes the truth of its key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Play {
    pub(crate) keys: u64,
    /// Who says that a change of a key is acknowledged.
    pub(crate) actors: u64,
    pub(crate) rounds: u64,
}

/// What a process has counted.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) bodies: u64,
    /// Bodies that knew at their end that the key was no longer theirs, and results that were not kept.
    pub(crate) lost: u64,
    pub(crate) reads: u64,
    /// Reads that needed no round trip.
    pub(crate) near: u64,
    pub(crate) stale: u64,
    /// The longest time for which another process's near cache went on with a value that was gone.
    pub(crate) lag: Duration,
}

/// Starts the process that deletes the key of this number.
pub(crate) fn start(url: &str, play: Play, key: u64) -> Lines {
    let role = format!("{} {} {} {key}", play.keys, play.actors, play.rounds);
    Lines::own_test(
        "staleness::process::main",
        &[("DSPINLOCK_URL", url), ("DSPINLOCK_TEST_TRUTH", &role)],
    )
}

/// What it has to say in the end.
pub(crate) fn report(process: &Lines) -> Report {
    let start = Instant::now();
    loop {
        let line = process.hear();
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
        assert!(start.elapsed() < 3 * PATIENCE, "it plays for ever");
    }
}

impl Report {
    /// All of them together.
    pub(crate) fn of(processes: &[Lines]) -> Self {
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
