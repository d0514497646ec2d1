//! What most of these tests need: a server that is watched, workers, and a journal of what they do.

use std::fmt::Display;
use std::thread::sleep;
use std::time::{Duration, Instant};

use dspinlock_testkit::{History, Job, Journal, PATIENCE, Proxy, Redis, Witness, Worker, eventually};
use tempfile::TempDir;

/// A server, what it writes, and the journal of all that call.
pub(crate) struct Scene {
    pub(crate) server: Redis,
    pub(crate) journal: Journal,
    witness: Witness,
    _folder: TempDir,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// With further options of the server.
    pub(crate) fn with(options: &[&str]) -> Self {
        let server = Redis::with(options);
        let folder = tempfile::tempdir().expect("a folder");
        Self {
            witness: Witness::of(&server),
            journal: Journal::within(folder.path()),
            server,
            _folder: folder,
        }
    }

    /// A worker that is connected.
    pub(crate) fn worker(&self) -> Worker {
        warm(Worker::start(&self.server.url()))
    }

    /// A worker that is connected through a proxy.
    pub(crate) fn behind_a_proxy(&self) -> (Proxy, Worker) {
        let proxy = Proxy::before(self.server.port());
        let worker = warm(Worker::start(&proxy.url()));
        (proxy, worker)
    }

    /// A call that is in the journal.
    pub(crate) fn job(&self, function: &str, key: impl Display) -> Job {
        Job::new(function, &key.to_string()).with("journal", self.journal.path().display())
    }

    /// Judges what happened, once every caller has ended that can, and that nothing is held any more.
    pub(crate) fn check(&self) -> History {
        self.check_but(&[], &[])
    }

    /// The same, where processes were killed or paused.
    pub(crate) fn check_but(&self, killed: &[u32], paused: &[u32]) -> History {
        let history = eventually("every caller's end", || {
            let history = History::of(&self.journal).killed(killed).paused(paused);
            history.is_complete().then_some(history)
        });
        history.check();
        self.witness.check(&self.server);
        eventually("nothing to be held any more", || self.is_free().then_some(()));
        history
    }

    /// How many grants and how many publishes the server has seen.
    pub(crate) fn written(&self) -> (usize, usize) {
        self.witness.check(&self.server)
    }

    /// Starts the server anew, and watches it anew.
    pub(crate) fn restart(&mut self) {
        self.server.restart();
        self.witness = Witness::of(&self.server);
    }

    /// Whether no key is held, and no value stands without its state.
    pub(crate) fn is_free(&self) -> bool {
        let names = self.server.keys();
        names.iter().all(|name| match name.strip_prefix('{') {
            Some(value) => names
                .iter()
                .any(|state| value.strip_suffix("},value") == Some(state)),
            None => self.server.get(name).is_none_or(|state| state.ends_with(",1")),
        })
    }
}

/// Makes a first call, which connects and loads the scripts: on the worker's runtime, and in the background.
pub(crate) fn warm(worker: Worker) -> Worker {
    for function in ["each", "each_sync"] {
        worker
            .call(&Job::new(function, "first"))
            .end()
            .expect("a first call");
    }
    worker
}

/// How many tasks a worker has when nobody calls.
pub(crate) fn at_rest(worker: &Worker) -> usize {
    nothing_left(worker, usize::MAX)
}

/// Waits until a worker serves no lease, is after no key, waits for no change, and has no more tasks than so many.
pub(crate) fn nothing_left(worker: &Worker, tasks: usize) -> usize {
    let start = Instant::now();
    loop {
        let now = worker.left();
        let rest = now.strip_prefix("InHand { leases: 0, flights: 0, watches: 0, tasks: ");
        let now_tasks = rest.and_then(|rest| rest.strip_suffix(" }")?.parse().ok());
        if let Some(now_tasks) = now_tasks.filter(|now_tasks| *now_tasks <= tasks) {
            return now_tasks;
        }
        assert!(
            start.elapsed() < PATIENCE / 4,
            "{now} is left, and it had {tasks} tasks"
        );
        sleep(A_MOMENT);
    }
}

/// Between two looks.
const A_MOMENT: Duration = Duration::from_millis(5);

/// Whether the long suite runs.
pub(crate) fn is_long() -> bool {
    std::env::var_os("DSPINLOCK_LONG").is_some_and(|long| long == "1")
}

/// Prints the figures of what was measured. The 99th percentile must be within the limit where the long suite runs; in
/// the short one, which shares the machine with everything else, the 95th.
pub(crate) fn within(limit: Duration, what: impl Display, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    let (median, p95, p99, most) = (at(50), at(95), at(99), times[times.len() - 1]);
    let count = times.len();
    println!("{what}: median {median:.1?}, p95 {p95:.1?}, p99 {p99:.1?}, most {most:.1?} of {count}");
    let judged = if is_long() { p99 } else { p95 };
    assert!(judged <= limit, "{what}: {judged:?}");
}
