//! A soak test: all faults at random. The journal stays valid, bodies of one key never overlap, and no resource grows.

mod episode;
mod injector;

use std::collections::BTreeMap;
use std::env;
use std::time::{Duration, Instant};

use dspinlock_testkit::{Job, Python, Redis, Usage, Worker, eventually};
use fastrand::Rng;

use self::episode::{Episode, TTL};
use self::injector::Target;

/// 15 seconds, or 10 minutes with `DSPINLOCK_LONG`.
fn duration() -> Duration {
    match env::var_os("DSPINLOCK_LONG") {
        Some(_) => Duration::from_secs(600),
        None => Duration::from_secs(15),
    }
}

/// The counts so far.
#[derive(Default)]
struct Tally {
    calls: usize,
    bodies: usize,
    hits: usize,
    /// The pairs of bodies of one key, none of which overlap.
    pairs: usize,
    faults: BTreeMap<&'static str, usize>,
    outcomes: BTreeMap<String, usize>,
    /// The resources of the worker that is never killed, after each episode.
    usage: Vec<Usage>,
    /// The tasks of this worker, after each episode.
    tasks: Vec<usize>,
}

#[test]
fn random_faults_on_redis_violate_no_invariant() {
    let target = Target::redis(Redis::start());
    let mut target = soak(target);
    // All entries expire.
    let server = target.server.as_mut().expect("a server");
    std::thread::sleep(TTL);
    let keys = eventually("every key to expire", || {
        let keys = server.keys();
        keys.is_empty().then_some(keys)
    });
    assert!(keys.is_empty());
}

#[test]
fn random_faults_on_the_embedded_store_violate_no_invariant() {
    let target = soak(Target::embedded());
    let script = "import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as base:
    print(base.execute('PRAGMA integrity_check').fetchone()[0])
    print(base.execute('SELECT count(*) FROM lock_a').fetchone()[0])
";
    let output = Python::run(script, &[&target.url()["sqlite:".len()..]]);
    println!("the file: {output:?}");
    let rows: usize = output[1].parse().expect("a count");
    assert!(output[0] == "ok" && rows < 40, "{output:?}");
}

fn soak(mut target: Target) -> Target {
    let seed = env::var("DSPINLOCK_SEED").map_or_else(
        |_| fastrand::u64(..),
        |seed| seed.parse().expect("the seed is a number"),
    );
    println!("DSPINLOCK_SEED={seed}");
    let (mut dice, mut tally) = (Rng::with_seed(seed), Tally::default());
    let (start, mut printed) = (Instant::now(), Instant::now());
    let mut workers: Vec<Worker> = (0..5).map(|at| target.worker(at)).collect();
    while start.elapsed() < duration() {
        let killed = Episode::new(&mut dice).run(&mut target, &workers, &mut tally);
        for at in killed {
            workers[at] = target.worker(at);
        }
        tally.usage.push(workers[episode::STEADY].usage());
        tally.tasks.push(workers[episode::STEADY].tasks());
        if printed.elapsed() > Duration::from_secs(60) {
            printed = Instant::now();
            tally.print(start.elapsed());
        }
    }
    tally.print(start.elapsed());
    for worker in &workers {
        let start = Instant::now();
        let last = worker
            .call(&Job::new("cached", "last").with("ttl", 1000))
            .result();
        assert!(
            last.is_ok() && start.elapsed() < Duration::from_secs(1),
            "{last:?} after {:?}",
            start.elapsed()
        );
    }
    let logs: usize = workers[episode::STEADY].logs().iter().map(String::len).sum();
    println!("the log in the memory of the worker: {} KiB", logs / 1024);
    tally.assert_flat();
    target
}

impl Tally {
    fn print(&self, elapsed: Duration) {
        println!(
            "after {elapsed:?}: {} calls, {} bodies, {} pairs of them, {} hits; {:?}; {:?}; {:?}",
            self.calls,
            self.bodies,
            self.pairs,
            self.hits,
            self.faults,
            self.outcomes,
            self.usage.last()
        );
    }

    /// Checks that the last quarter uses no more than the first, with a margin for the heap and the thread pool.
    fn assert_flat(&self) {
        assert!(
            self.hits > 20 && self.pairs > 20 && self.faults.len() > 2,
            "too few hits, bodies or faults"
        );
        // The first episodes allocate what later ones reuse.
        let quarter = self.usage.len().div_ceil(4);
        let max = |part: &[Usage]| Usage {
            memory: part.iter().map(|usage| usage.memory).max().unwrap_or(0),
            descriptors: part.iter().map(|usage| usage.descriptors).max().unwrap_or(0),
            threads: part.iter().map(|usage| usage.threads).max().unwrap_or(0),
        };
        let (first, last) = (
            max(&self.usage[..quarter]),
            max(&self.usage[self.usage.len() - quarter..]),
        );
        let tasks = |part: &[usize]| part.iter().copied().max().unwrap_or(0);
        let (tasks, last_tasks) = (
            tasks(&self.tasks[..quarter]),
            tasks(&self.tasks[self.tasks.len() - quarter..]),
        );
        println!("first {first:?} and {tasks} tasks, last {last:?} and {last_tasks} tasks");
        assert!(last_tasks <= tasks + 6, "tasks: {:?}", self.tasks);
        assert!(
            last.memory <= first.memory + first.memory / 4 + 4096,
            "memory: {first:?} {last:?}"
        );
        // The readers of a runtime, of the sync callers and of the background have two each, and may open late.
        assert!(
            last.descriptors <= first.descriptors + 8,
            "descriptors: {first:?} {last:?}"
        );
        assert!(last.threads <= first.threads + 8, "threads: {first:?} {last:?}");
    }
}
