//! `Entry::invalidate`, while other processes read all the time.
//!
//! A value is the number of a version. The test raises the number and then invalidates, so a call that begins after the
//! invalidation must not return a smaller number.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dspinlock::{Error, Pool, dspinlock};
use dspinlock_testkit::{BareClient, Proxy, Redis};
use tempfile::NamedTempFile;
use tokio::runtime::{Builder, Runtime};

use super::{Program, heard, number, say, word};
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

/// Two numbers in a file, which all processes share.
struct Versions(File);

impl Versions {
    fn open(path: &Path) -> Self {
        let mut options = File::options();
        let versions = Self(
            options
                .read(true)
                .write(true)
                .open(path)
                .expect("the file exists"),
        );
        if versions.0.metadata().expect("a length").len() == 0 {
            versions.set_current(0);
            versions.set_invalidated(0);
        }
        versions
    }

    fn get(&self, at: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0
            .read_exact_at(&mut bytes, at)
            .expect("the file has the number");
        u64::from_ne_bytes(bytes)
    }

    fn set(&self, at: u64, version: u64) {
        let bytes = version.to_ne_bytes();
        self.0.write_all_at(&bytes, at).expect("the file can be written");
    }

    /// What the bodies return.
    fn current(&self) -> u64 {
        self.get(0)
    }

    fn set_current(&self, version: u64) {
        self.set(0, version);
    }

    /// Every older version was invalidated.
    fn invalidated(&self) -> u64 {
        self.get(8)
    }

    fn set_invalidated(&self, version: u64) {
        self.set(8, version);
    }
}

#[dspinlock(key = (), cached_if_computed, wait = "1m", entry = plain_entry)]
fn plain(versions: &Versions) -> Result<u64, Error> {
    let version = versions.current();
    // Some bodies run while their key is invalidated.
    thread::sleep(Duration::from_micros(fastrand::u64(..300)));
    Ok(version)
}

#[dspinlock(key = (), cached_if_computed, near_cache = "10m", wait = "1m", entry = near_entry)]
async fn near(versions: &Versions) -> Result<u64, Error> {
    let version = versions.current();
    thread::sleep(Duration::from_micros(fastrand::u64(..300)));
    Ok(version)
}

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// What one reader has counted.
#[derive(Debug, Default)]
struct Counts {
    reads: u64,
    /// Values that were invalidated before the call began.
    stale: u64,
    /// The longest time from an invalidation to a call that returned an older value.
    latest: Duration,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.reads += other.reads;
        self.stale += other.stale;
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
            counts.latest = counts.latest.max(begin.saturating_duration_since(*at));
        }
        thread::sleep(pause);
    }
    counts
}

/// Calls both functions, each on a thread of its own.
fn read_both(stopped: &AtomicBool, versions: &Versions, pool: &Pool) -> [Counts; 2] {
    thread::scope(|threads| {
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
        let both = [threads.spawn(of_plain), threads.spawn(of_near)];
        both.map(|reader| reader.join().expect("no panic"))
    })
}

/// Reads until the test sends a line.
pub(super) fn read_all_the_time(words: &str) {
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
            say(format_args!("{} {} {micros}", counts.reads, counts.stale));
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
            let [reads, stale, micros] = line.split(' ').map(number).collect::<Vec<_>>()[..] else {
                panic!("{line}")
            };
            let latest = Duration::from_micros(micros);
            sum.add(&Counts { reads, stale, latest });
        }
    }
    sums
}

/// Raises the version and invalidates the values of both functions.
fn invalidate(versions: &Versions, version: u64, pool: &Pool) {
    versions.set_current(version);
    for entry in [plain_entry(versions), near_entry(versions)] {
        entry.pool(pool).invalidate_blocking().expect("a reply");
    }
    versions.set_invalidated(version);
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

/// How often the connections are cut.
const CUTS: u64 = 100;

/// `warm`: fills the near cache with the current version. `near`: calls `near`. `read`: calls `plain` until the connection is back,
/// then `near`.
pub(super) fn read_on_demand(words: &str) {
    let versions = Versions::open(Path::new(words));
    let runtime = runtime();
    let near = || runtime.block_on(near(&versions));
    while let Some(line) = heard() {
        match line.as_str() {
            "warm" => while near().is_ok_and(|value| value < versions.current()) {},
            "read" => while plain(&versions).is_err() {},
            _ => {}
        }
        say(near().map_or_else(|error| error.to_string(), |value| value.to_string()));
    }
}

#[test]
fn after_a_cut_connection_no_near_copy_is_stale() {
    let (server, file) = (Redis::start(), NamedTempFile::new().expect("a temporary file"));
    let versions = Versions::open(file.path());
    let pool = Pool::open(&server.url()).expect("a pool");
    let proxy = Proxy::start(server.port());
    let words = format!("read_on_demand {}", word(file.path()));
    let readers = Program::start_many(2, &words, &proxy.url());
    let mut kept = 0;
    for cut in 1..=CUTS {
        for reader in &readers {
            assert_eq!(reader.request("warm"), (cut - 1).to_string());
        }
        // No push of this invalidation arrives.
        match cut % 3 {
            0 => proxy.limit_connections(Some(0)),
            _ => proxy.drop_pushes(true),
        }
        if cut % 3 == 0 {
            proxy.cut();
        }
        invalidate(&versions, cut, &pool);
        if cut % 3 > 0 {
            kept += u64::from(readers[0].request("near") == (cut - 1).to_string());
        }
        proxy.limit_connections(None);
        proxy.drop_pushes(false);
        match cut % 3 {
            0 => {}
            1 => proxy.cut(),
            _ => proxy.reset(),
        }
        for reader in &readers {
            assert_eq!(reader.request("read"), cut.to_string(), "cut {cut}");
        }
    }
    assert!(kept > 0, "the near caches were empty before the cuts");
}
