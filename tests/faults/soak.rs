//! All of it at random, for long: whatever is broken the journal is sound, and nothing grows.

mod episode;
mod injector;

use std::collections::BTreeMap;
use std::env;
use std::time::{Duration, Instant};

use dspinlock_testkit::{Job, Python, Redis, Usage, Worker, eventually};
use fastrand::Rng;

use self::episode::{Episode, TTL};
use self::injector::Place;

/// 15 s, or in the long mode 10 minutes.
fn duration() -> Duration {
    match env::var_os("DSPINLOCK_LONG") {
        Some(_) => Duration::from_secs(600),
        None => Duration::from_secs(15),
    }
}

/// What happened so far.
#[derive(Default)]
struct Tally {
    calls: usize,
    bodies: usize,
    hits: usize,
    faults: BTreeMap<&'static str, usize>,
    outcomes: BTreeMap<String, usize>,
    /// What the one worker used that was never killed, after each episode.
    usage: Vec<Usage>,
    /// The tasks that it had then.
    tasks: Vec<usize>,
}

#[test]
fn every_fault_at_random_on_redis() {
    let place = Place::redis(Redis::start());
    let mut place = soak(place);
    // Nothing is left behind but what tracks the connections that are there.
    let server = place.server.as_mut().expect("a server");
    std::thread::sleep(TTL);
    let left = eventually("every key to be over", || {
        let keys = server.keys();
        keys.is_empty().then_some(keys)
    });
    assert!(left.is_empty());
}

#[test]
fn every_fault_at_random_on_the_embedded_store() {
    let place = soak(Place::embedded());
    let script = "import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as base:
    print(base.execute('PRAGMA integrity_check').fetchone()[0])
    print(base.execute('SELECT count(*) FROM lock').fetchone()[0])
";
    let told = Python::run(script, &[&place.url()["sqlite:".len()..]]);
    println!("the file: {told:?}");
    let rows: usize = told[1].parse().expect("a count");
    assert!(told[0] == "ok" && rows < 40, "{told:?}");
}

fn soak(mut place: Place) -> Place {
    let seed =
        env::var("DSPINLOCK_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().expect("a seed"));
    println!("DSPINLOCK_SEED={seed}");
    let (mut dice, mut tally) = (Rng::with_seed(seed), Tally::default());
    let (start, mut said) = (Instant::now(), Instant::now());
    let mut workers: Vec<Worker> = (0..5).map(|at| place.worker(at)).collect();
    while start.elapsed() < duration() {
        let dead = Episode::new(&mut dice).run(&mut place, &workers, &mut tally);
        for at in dead {
            workers[at] = place.worker(at);
        }
        tally.usage.push(workers[episode::STEADY].usage());
        tally.tasks.push(workers[episode::STEADY].tasks());
        if said.elapsed() > Duration::from_secs(60) {
            said = Instant::now();
            tally.say(start.elapsed());
        }
    }
    tally.say(start.elapsed());
    for worker in &workers {
        let start = Instant::now();
        let last = worker.call(&Job::new("cached", "last").with("ttl", 1000)).end();
        assert!(
            last.is_ok() && start.elapsed() < Duration::from_secs(1),
            "{last:?} after {:?}",
            start.elapsed()
        );
    }
    let logs: usize = workers[episode::STEADY].logs().iter().map(String::len).sum();
    println!("of its memory the worker's own log has {} KiB", logs / 1024);
    tally.is_flat();
    place
}

impl Tally {
    fn say(&self, elapsed: Duration) {
        println!(
            "after {elapsed:?}: {} calls, {} bodies, {} hits; {:?}; {:?}; {:?}",
            self.calls,
            self.bodies,
            self.hits,
            self.faults,
            self.outcomes,
            self.usage.last()
        );
    }

    /// The last quarter uses no more than the first, apart from what a heap and a pool of threads sway by.
    fn is_flat(&self) {
        assert!(self.hits > 20 && self.faults.len() > 2, "not much of a soak");
        // Whatever comes first makes room for all that follows.
        let quarter = self.usage.len().div_ceil(4);
        let most = |part: &[Usage]| Usage {
            memory: part.iter().map(|usage| usage.memory).max().unwrap_or(0),
            descriptors: part.iter().map(|usage| usage.descriptors).max().unwrap_or(0),
            threads: part.iter().map(|usage| usage.threads).max().unwrap_or(0),
        };
        let (first, last) = (
            most(&self.usage[..quarter]),
            most(&self.usage[self.usage.len() - quarter..]),
        );
        let tasks = |part: &[usize]| part.iter().copied().max().unwrap_or(0);
        let (tasks, more) = (
            tasks(&self.tasks[..quarter]),
            tasks(&self.tasks[self.tasks.len() - quarter..]),
        );
        println!("first {first:?} and {tasks} tasks, last {last:?} and {more} tasks");
        assert!(more <= tasks + 6, "tasks: {:?}", self.tasks);
        assert!(
            last.memory <= first.memory + first.memory / 4 + 4096,
            "memory: {first:?} {last:?}"
        );
        assert!(
            last.descriptors <= first.descriptors + 4,
            "descriptors: {first:?} {last:?}"
        );
        assert!(last.threads <= first.threads + 8, "threads: {first:?} {last:?}");
    }
}
