//! `Entry::invalidate`, while other processes read all the time.
//!
//! A value is the number of a version. The test raises the number and then invalidates, so a call that begins after the
//! invalidation must not return a smaller number.

use std::collections::VecDeque;
use std::fmt;
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
const INVALIDATIONS: u64 = 10_000;

/// How long a copy in the near cache of another process may live on after the invalidation.
const NEAR_LIMIT: Duration = Duration::from_millis(50);

/// The pause of a reader between two reads.
const PAUSE: Duration = Duration::from_millis(2);

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
    /// Values of `plain` that were invalidated before the call began.
    stale: u64,
    /// The same of `near`.
    near_stale: u64,
    /// The longest time from an invalidation to a call of `near` that returned an invalidated value.
    near_latest: Duration,
}

/// The versions that a reader has found invalidated, and when. A later read of the file is later than the invalidation.
struct Reader<'a> {
    versions: &'a Versions,
    runtime: Runtime,
    seen: VecDeque<(Instant, u64)>,
    counts: Counts,
}

impl<'a> Reader<'a> {
    fn new(versions: &'a Versions) -> Self {
        Self {
            versions,
            runtime: runtime(),
            seen: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    fn read(&mut self) {
        self.counts.reads += 1;
        let invalidated = self.invalidated();
        let value = plain(self.versions).expect("a value");
        self.counts.stale += u64::from(value < invalidated);
        let invalidated = self.invalidated();
        let begin = Instant::now();
        let value = self.runtime.block_on(near(self.versions)).expect("a value");
        if value < invalidated {
            self.counts.near_stale += 1;
            let later = |(_, version): &&(Instant, u64)| *version > value;
            let (at, _) = self.seen.iter().find(later).expect("it was seen");
            let late = begin.saturating_duration_since(*at);
            self.counts.near_latest = self.counts.near_latest.max(late);
        }
    }

    fn invalidated(&mut self) -> u64 {
        let version = self.versions.invalidated();
        if self.seen.back().is_none_or(|(_, last)| version > *last) {
            self.seen.push_back((Instant::now(), version));
        }
        version
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (reads, stale, near_stale) = (self.reads, self.stale, self.near_stale);
        write!(f, "{reads} {stale} {near_stale} {}", self.near_latest.as_micros())
    }
}

impl Counts {
    /// The inverse of `to_string`.
    fn parse(report: &str) -> Self {
        let mut words = report.split(' ').map(number::<u64>);
        let mut next = || words.next().expect("a number");
        Self {
            reads: next(),
            stale: next(),
            near_stale: next(),
            near_latest: Duration::from_micros(next()),
        }
    }

    fn merge(self, other: Self) -> Self {
        Self {
            reads: self.reads + other.reads,
            stale: self.stale + other.stale,
            near_stale: self.near_stale + other.near_stale,
            near_latest: self.near_latest.max(other.near_latest),
        }
    }
}

fn read_until(stopped: &AtomicBool, versions: &Versions) -> Counts {
    let mut reader = Reader::new(versions);
    while !stopped.load(Ordering::SeqCst) {
        reader.read();
        thread::sleep(PAUSE);
    }
    reader.counts
}

/// Reads until the test sends a line.
pub(super) fn read_all_the_time(words: &str) {
    let (versions, stopped) = (Versions::open(Path::new(words)), AtomicBool::new(false));
    Reader::new(&versions).read();
    say("ready");
    thread::scope(|threads| {
        threads.spawn(|| {
            heard();
            stopped.store(true, Ordering::SeqCst);
        });
        say(read_until(&stopped, &versions));
    });
    heard();
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
    for version in 1..=INVALIDATIONS {
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
            let own = threads.spawn(|| pool.scope_blocking(|| read_until(&stopped, &versions)));
            let stale = invalidate_all(&versions, &pool);
            stopped.store(true, Ordering::SeqCst);
            (stale, own.join().expect("no panic"))
        });
        let elapsed = start.elapsed();
        let counts = readers
            .iter()
            .map(|reader| Counts::parse(&reader.request("stop")));
        let others = counts.fold(Counts::default(), Counts::merge);
        let delay = bare.delay();
        println!(
            "{}: {INVALIDATIONS} invalidations of two keys in {elapsed:.1?}, {stale} stale, own {own:?}, others {others:?}, the machine may delay a push by {delay:.1?}",
            store.url()
        );
        assert_eq!(
            (stale, own.stale, own.near_stale),
            (0, 0, 0),
            "the process that invalidates"
        );
        assert_eq!(others.stale, 0, "other processes without near cache");
        assert!(others.near_latest <= NEAR_LIMIT + delay, "{others:?}, {delay:?}");
        assert!(own.reads > 100 && others.reads > 1000, "{own:?} {others:?}");
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
