//! The fixture of most tests: a monitored server, workers, and a journal of their calls.

use std::fmt::Display;
use std::thread::sleep;
use std::time::{Duration, Instant};

use dspinlock_testkit::{History, Job, Journal, Monitor, Proxy, Redis, TEST_TIMEOUT, Worker, eventually};
use tempfile::TempDir;

/// A server, the monitor of its writes, and the journal of all calls.
pub(crate) struct Fixture {
    pub(crate) server: Redis,
    pub(crate) journal: Journal,
    monitor: Monitor,
    _folder: TempDir,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// Starts the server with further options.
    pub(crate) fn with(options: &[&str]) -> Self {
        let server = Redis::with_args(options);
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self {
            monitor: Monitor::of(&server),
            journal: Journal::in_folder(folder.path()),
            server,
            _folder: folder,
        }
    }

    /// A connected worker.
    pub(crate) fn worker(&self) -> Worker {
        warm(Worker::start(&self.server.url()))
    }

    /// A worker that is connected through a proxy.
    pub(crate) fn proxied_worker(&self) -> (Proxy, Worker) {
        let proxy = Proxy::start(self.server.port());
        let worker = warm(Worker::start(&proxy.url()));
        (proxy, worker)
    }

    /// A call that is recorded in the journal.
    pub(crate) fn job(&self, function: &str, key: impl Display) -> Job {
        Job::new(function, &key.to_string()).with("journal", self.journal.path().display())
    }

    /// Waits until all calls have returned, then checks the journal and the writes, and that no key is locked.
    pub(crate) fn check(&self) -> History {
        self.check_except(&[], &[])
    }

    /// The same, if processes were killed or paused.
    pub(crate) fn check_except(&self, killed: &[u32], paused: &[u32]) -> History {
        let history = eventually("every call to return", || {
            let history = History::of(&self.journal).killed(killed).paused(paused);
            history.is_complete().then_some(history)
        });
        history.check();
        self.monitor.check(&self.server);
        eventually("every key to be free", || self.is_free().then_some(()));
        history
    }

    /// The numbers of grants and of publishes so far.
    pub(crate) fn written(&self) -> (usize, usize) {
        self.monitor.check(&self.server)
    }

    /// Restarts the server and its monitor.
    pub(crate) fn restart(&mut self) {
        self.server.restart();
        self.monitor = Monitor::of(&self.server);
    }

    /// Whether no key is locked.
    pub(crate) fn is_free(&self) -> bool {
        let mut names = self.server.keys().into_iter();
        names.all(|name| self.server.bytes(&name).is_none_or(|entry| !is_blocked(&entry)))
    }
}

/// Whether this is the entry of a lock that is held.
pub(crate) fn is_blocked(entry: &[u8]) -> bool {
    // The tag of a shared state has a dot behind its 16 characters.
    match entry.get(16) {
        Some(b'.') => entry.ends_with(b",0"),
        _ => entry.starts_with(b"B"),
    }
}

/// Makes a first call on the worker's runtime and one in the background, which connect and load the scripts.
pub(crate) fn warm(worker: Worker) -> Worker {
    for function in ["uncached", "uncached_sync"] {
        worker
            .call(&Job::new(function, "first"))
            .result()
            .expect("a first call");
    }
    worker
}

/// The number of tasks of an idle worker.
pub(crate) fn idle_tasks(worker: &Worker) -> usize {
    wait_idle(worker, usize::MAX)
}

/// Waits until a worker has no lease, no flight, no watch, and at most `tasks` tasks. Returns the number of tasks.
pub(crate) fn wait_idle(worker: &Worker, tasks: usize) -> usize {
    let start = Instant::now();
    loop {
        let in_use = worker.in_use();
        let rest = in_use.strip_prefix("InUse { leases: 0, flights: 0, watches: 0, tasks: ");
        let found = rest.and_then(|rest| rest.strip_suffix(" }")?.parse().ok());
        if let Some(found) = found.filter(|found| *found <= tasks) {
            return found;
        }
        assert!(
            start.elapsed() < TEST_TIMEOUT / 4,
            "still in use: {in_use}; {tasks} tasks are expected"
        );
        sleep(POLL_INTERVAL);
    }
}

/// The interval of polls.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Whether the long suite runs.
pub(crate) fn is_long() -> bool {
    std::env::var_os("DSPINLOCK_LONG").is_some_and(|long| long == "1")
}

/// Prints percentiles and checks one against the limit: the 99th in the long suite, the 95th in the short one, which shares
/// the machine with other tests.
pub(crate) fn assert_within(limit: Duration, what: impl Display, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    let (median, p95, p99, max) = (at(50), at(95), at(99), times[times.len() - 1]);
    let count = times.len();
    println!("{what}: median {median:.1?}, p95 {p95:.1?}, p99 {p99:.1?}, max {max:.1?} of {count}");
    let checked = if is_long() { p99 } else { p95 };
    assert!(checked <= limit, "{what}: {checked:?}");
}
