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

/// What a worker has in hand when nobody calls; later it must have the same again.
pub(crate) fn left(worker: &Worker) -> String {
    eventually("a worker at rest", || {
        let (first, second) = (worker.left(), worker.left());
        let idle = first.contains("leases: 0, flights: 0, watches: 0,");
        (idle && first == second).then_some(first)
    })
}

/// Waits until a worker has no more in hand than it had.
pub(crate) fn nothing_left(worker: &Worker, before: &str) {
    let start = Instant::now();
    loop {
        let now = worker.left();
        if now == before {
            return;
        }
        assert!(
            start.elapsed() < PATIENCE / 4,
            "{now} is left, and it was {before}"
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

/// Prints the figures of what was measured, and returns the 99th percentile.
pub(crate) fn figures(what: impl Display, mut times: Vec<Duration>) -> Duration {
    times.sort();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    let (median, p99, most) = (at(50), at(99), times[times.len() - 1]);
    println!(
        "{what}: median {median:.1?}, p99 {p99:.1?}, most {most:.1?} of {}",
        times.len()
    );
    p99
}
