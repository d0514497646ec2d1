//! One episode: callers of every kind while one fault follows another, and then the verdict on its journal.

use std::collections::BTreeSet;
use std::path::Path;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use dspinlock_testkit::{Call, History, Job, Journal, Worker};
use fastrand::Rng;

use super::Tally;
use super::injector::{Place, Scene};

/// This worker is never killed: what it uses must not grow.
pub(super) const STEADY: usize = 0;

const LEASE: Duration = Duration::from_millis(900);

/// How long results stay.
pub(super) const TTL: Duration = Duration::from_millis(1500);

/// What a call may end with under these faults.
const OUTCOMES: [&str; 8] = [
    "Body",
    "panic",
    "dropped",
    "the process has ended",
    "SpinlockTriesExceeded",
    "LeaseLost",
    "Store",
    "RedisNotInitialized",
];

/// One of the few keys of the episode with this journal.
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
            folder: tempfile::tempdir().expect("a folder"),
            length: Duration::from_millis(dice.u64(2000..4000)),
        }
    }

    /// Returns the workers that were killed.
    pub(super) fn run(mut self, place: &mut Place, workers: &[Worker], tally: &mut Tally) -> BTreeSet<usize> {
        let journal = Journal::within(&self.folder);
        let mut scene = Scene::new(place, workers, self.dice.fork(), &journal);
        let (start, length, dead) = (Instant::now(), self.length, scene.dead());
        let (calls, scene) = thread::scope(|scope| {
            let mischief = scope.spawn(|| {
                while start.elapsed() < length {
                    scene.strike();
                }
                scene
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
            (calls, mischief.join().expect("no fault goes wrong"))
        });
        for call in calls {
            let outcome = match call.end() {
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
            .killed(&processes(&scene.killed()))
            .paused(&processes(&scene.paused))
            .robbed();
        history.check();
        let [calls, bodies, hits] = history.counts();
        tally.calls += calls;
        tally.bodies += bodies;
        tally.hits += hits;
        for fault in &scene.struck {
            *tally.faults.entry(fault).or_default() += 1;
        }
        scene.killed()
    }

    /// One call of some kind, which may be dropped on its way.
    fn call<'a>(&mut self, worker: &'a Worker, journal: &Journal) -> Call<'a> {
        let functions = [
            "cached",
            "cached",
            "shared",
            "shared",
            "each",
            "near",
            "cached_sync",
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
