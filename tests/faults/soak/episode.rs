//! One episode: calls of every kind during a sequence of faults, then the check of the journal.

use std::collections::BTreeSet;
use std::path::Path;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use dspinlock_testkit::{Call, History, Job, Journal, Worker};
use fastrand::Rng;

use super::Tally;
use super::injector::{Injector, Target};

/// The index of the worker that is never killed. Its resources must not grow.
pub(super) const STEADY: usize = 0;

const LEASE: Duration = Duration::from_millis(900);

/// The ttl of the results.
pub(super) const TTL: Duration = Duration::from_millis(1500);

/// The results that a call may have under these faults, besides `ok`.
const OUTCOMES: [&str; 8] = [
    "Body",
    "panic",
    "dropped",
    "the process has exited",
    "SpinlockTriesExceeded",
    "LeaseLost",
    "Store",
    "RedisNotInitialized",
];

/// One of the three keys of the episode with this journal.
pub(super) fn key(journal: &Journal, dice: &mut Rng) -> String {
    let folder = journal
        .path()
        .parent()
        .and_then(Path::file_name)
        .unwrap_or_default();
    format!("{}-{}", folder.display(), dice.u8(..3))
}

pub(super) struct Episode {
    dice: Rng,
    folder: tempfile::TempDir,
    length: Duration,
}

impl Episode {
    pub(super) fn new(dice: &mut Rng) -> Self {
        Self {
            dice: dice.fork(),
            folder: tempfile::tempdir().expect("a temporary folder"),
            length: Duration::from_millis(dice.u64(2000..4000)),
        }
    }

    /// Runs the episode. Returns the workers that were killed.
    pub(super) fn run(
        mut self,
        target: &mut Target,
        workers: &[Worker],
        tally: &mut Tally,
    ) -> BTreeSet<usize> {
        let journal = Journal::in_folder(&self.folder);
        let mut injector = Injector::new(target, workers, self.dice.fork(), &journal);
        let (start, length, dead) = (Instant::now(), self.length, injector.dead());
        let (calls, injector) = thread::scope(|scope| {
            let faults = scope.spawn(|| {
                while start.elapsed() < length {
                    injector.inject();
                }
                injector
            });
            let mut calls = Vec::new();
            while start.elapsed() < length {
                let at = self.dice.usize(..workers.len());
                let dead = dead.lock();
                if !dead.contains(&at) {
                    calls.push(self.call(&workers[at], &journal));
                }
                drop(dead);
                sleep(Duration::from_millis(self.dice.u64(..30)));
            }
            (calls, faults.join().expect("no fault panicked"))
        });
        for call in calls {
            let outcome = match call.result() {
                Ok(_) => "ok".into(),
                Err(error) => error,
            };
            assert!(
                outcome == "ok" || OUTCOMES.contains(&outcome.as_str()),
                "{outcome}"
            );
            *tally.outcomes.entry(outcome).or_default() += 1;
        }
        let processes =
            |these: &BTreeSet<usize>| these.iter().map(|at| workers[*at].id()).collect::<Vec<_>>();
        let history = History::of(&journal)
            .killed(&processes(&injector.killed()))
            .paused(&processes(&injector.paused))
            .with_external_writes();
        history.check();
        tally.pairs += history.check_exclusion();
        let [calls, bodies, hits] = history.counts();
        tally.calls += calls;
        tally.bodies += bodies;
        tally.hits += hits;
        for fault in &injector.injected {
            *tally.faults.entry(fault).or_default() += 1;
        }
        injector.killed()
    }

    /// Starts a random call, which may be dropped.
    fn call<'a>(&mut self, worker: &'a Worker, journal: &Journal) -> Call<'a> {
        let functions = [
            "cached",
            "cached",
            "shared",
            "shared",
            "uncached",
            "near",
            "cached_sync",
            // A blocking call inside a task, and a call that ends with its runtime.
            "cached_twin",
            "cached_ended",
        ];
        let function = functions[self.dice.usize(..functions.len())];
        let body = match self.dice.u8(..16) {
            0 => "err".into(),
            1 => "panic".into(),
            2 => "block:30".into(),
            3 => format!("sleep:{}", 2 * LEASE.as_millis()),
            4..8 => String::new(),
            _ => format!("sleep:{}", self.dice.u8(..60)),
        };
        let job = Job::new(function, &key(journal, &mut self.dice))
            .with("body", body)
            .with("lease", LEASE.as_millis())
            .with("ttl", TTL.as_millis())
            .with("block", 4000)
            .with("sleep", 50)
            .with("tries", 100)
            .with("journal", journal.path().display());
        let call = worker.call(&job);
        if self.dice.u8(..10) == 0 {
            sleep(Duration::from_millis(self.dice.u64(..10)));
            call.cancel();
        }
        call
    }
}
