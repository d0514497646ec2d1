//! Eight processes read all the time, with and without near caches.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dspinlock::{Error, Pool};
use dspinlock_testkit::BareClient;
use tempfile::NamedTempFile;

use super::super::{Program, heard, number, say, word};
use super::{Versions, invalidate, near, plain, runtime};
use crate::common::store::Store;

const READERS: usize = 8;

/// How often both keys are invalidated: 10,000 invalidations with `DSPINLOCK_LONG`, or 1,000.
fn rounds() -> u64 {
    match std::env::var_os("DSPINLOCK_LONG") {
        Some(_) => 5000,
        None => 500,
    }
}

/// How long a copy in the near cache of another process may live on after the invalidation.
const NEAR_LIMIT: Duration = Duration::from_millis(50);

/// The pause of a reader between two calls.
const PAUSE: Duration = Duration::from_millis(5);
const NEAR_PAUSE: Duration = Duration::from_millis(2);

/// What one reader has counted.
#[derive(Debug, Default)]
struct Counts {
    reads: u64,
    /// Values that were invalidated before the call began.
    stale: u64,
    /// Stale values of calls that began more than [`NEAR_LIMIT`] after the invalidation.
    late: u64,
    /// The longest time from an invalidation to a call that returned an older value.
    latest: Duration,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.reads += other.reads;
        self.stale += other.stale;
        self.late += other.late;
        self.latest = self.latest.max(other.latest);
    }
}

/// Calls `function` all the time until `stopped`.
fn read(
    stopped: &AtomicBool,
    versions: &Versions,
    pause: Duration,
    function: impl Fn() -> Result<u64, Error>,
) -> Counts {
    let mut counts = Counts::default();
    // The versions that this reader has found invalidated, and when: soon after the invalidation, and never before.
    let mut seen = Vec::new();
    while !stopped.load(Ordering::SeqCst) {
        let invalidated = versions.invalidated();
        let begin = Instant::now();
        if seen.last().is_none_or(|(_, last)| invalidated > *last) {
            seen.push((begin, invalidated));
        }
        let value = function().expect("a value");
        counts.reads += 1;
        if value < invalidated {
            counts.stale += 1;
            let newer = seen.iter().find(|(_, version)| *version > value);
            let (at, _) = newer.expect("the last one is newer");
            let after = begin.saturating_duration_since(*at);
            counts.late += u64::from(after > NEAR_LIMIT);
            counts.latest = counts.latest.max(after);
        }
        thread::sleep(pause);
    }
    counts
}

/// Calls `plain` on two threads, one of which may follow the other, and `near` on a third.
fn read_both(stopped: &AtomicBool, versions: &Versions, pool: &Pool) -> [Counts; 2] {
    let of_plain = || {
        read(stopped, versions, PAUSE, || {
            pool.scope_blocking(|| plain(versions))
        })
    };
    let of_near = || {
        let runtime = runtime();
        read(stopped, versions, NEAR_PAUSE, || {
            runtime.block_on(pool.scope(near(versions)))
        })
    };
    thread::scope(|threads| {
        let readers = [
            threads.spawn(of_plain),
            threads.spawn(of_plain),
            threads.spawn(of_near),
        ];
        let [mut plain, other, near] = readers.map(|reader| reader.join().expect("no panic"));
        plain.add(&other);
        [plain, near]
    })
}

/// Reads until the test sends a line.
pub(crate) fn read_all_the_time(words: &str) {
    let (versions, stopped) = (Versions::open(Path::new(words)), AtomicBool::new(false));
    let pool = Pool::global_blocking().expect("a pool");
    pool.scope_blocking(|| plain(&versions)).expect("a value");
    say("ready");
    thread::scope(|threads| {
        threads.spawn(|| {
            heard();
            stopped.store(true, Ordering::SeqCst);
        });
        for counts in read_both(&stopped, &versions, &pool) {
            let micros = counts.latest.as_micros();
            say(format_args!(
                "{} {} {} {micros}",
                counts.reads, counts.stale, counts.late
            ));
        }
    });
    heard();
}

/// Stops the readers. The sums of their counts of `plain` and of `near`.
fn stop(readers: &[Program]) -> [Counts; 2] {
    let mut sums = <[Counts; 2]>::default();
    readers.iter().for_each(|reader| reader.send("stop"));
    for reader in readers {
        for sum in &mut sums {
            let line = reader.recv();
            let [reads, stale, late, micros] = line.split(' ').map(number).collect::<Vec<_>>()[..] else {
                panic!("{line}")
            };
            let latest = Duration::from_micros(micros);
            sum.add(&Counts {
                reads,
                stale,
                late,
                latest,
            });
        }
    }
    sums
}

/// The process that invalidates calls both functions after each fourth invalidation.
fn invalidate_all(versions: &Versions, pool: &Pool) -> u64 {
    let (runtime, mut stale) = (runtime(), 0);
    for version in 1..=rounds() {
        invalidate(versions, version, pool);
        if version % 4 == 0 {
            let values = pool.scope_blocking(|| [plain(versions), runtime.block_on(near(versions))]);
            let values = values.map(|value| value.expect("a value"));
            stale += values.iter().filter(|value| **value < version).count() as u64;
        }
    }
    stale
}

#[test]
fn no_call_returns_a_value_that_was_invalidated_before() {
    Store::on_each(|store| {
        let file = NamedTempFile::new().expect("a temporary file");
        let versions = Versions::open(file.path());
        let readers = Program::start_many(READERS, &format!("read {}", word(file.path())), &store.url());
        for reader in &readers {
            assert_eq!(reader.recv(), "ready");
        }
        let (bare, pool) = (BareClient::start(), Pool::open(&store.url()).expect("a pool"));
        let (stopped, start) = (AtomicBool::new(false), Instant::now());
        let (stale, own) = thread::scope(|threads| {
            let own = threads.spawn(|| read_both(&stopped, &versions, &pool));
            let stale = invalidate_all(&versions, &pool);
            stopped.store(true, Ordering::SeqCst);
            (stale, own.join().expect("no panic"))
        });
        let (elapsed, others, delay) = (start.elapsed(), stop(&readers), bare.delay());
        println!(
            "{}: {} invalidations of each of two keys in {elapsed:.1?}; without and with near cache: \
             own {own:?}, others {others:?}; the machine may delay a push by {delay:.1?}",
            store.url(),
            rounds(),
        );
        let [plain, near] = others;
        assert_eq!(
            (stale, own[0].stale, own[1].stale),
            (0, 0, 0),
            "the process that invalidates"
        );
        assert_eq!(plain.stale, 0, "other processes without near cache");
        assert!(near.latest <= NEAR_LIMIT + delay, "{near:?}, {delay:?}");
        for counts in own.iter().chain([&plain, &near]) {
            assert!(counts.reads > 200, "{counts:?}");
        }
    });
}
