//! What the tests share: stores with entries, and the program.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use dspinlock::{Acquired, Entry, HashDSpinlock, Lease, Pool};
use dspinlock_testkit::{Cluster, Redis};
use tempfile::TempDir;

/// A store of each kind.
pub(crate) enum Store {
    Redis(Redis),
    Cluster(Cluster),
    File(TempDir),
}

impl Store {
    pub(crate) fn all() -> [Self; 3] {
        [
            Self::Redis(Redis::start()),
            Self::Cluster(Cluster::start()),
            Self::File(tempfile::tempdir().expect("a temporary folder")),
        ]
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Redis(server) => server.url(),
            Self::Cluster(cluster) => cluster.url(),
            Self::File(folder) => format!("sqlite://{}", file(folder.path())),
        }
    }

    pub(crate) fn pool(&self) -> Pool {
        Pool::open(&self.url()).expect("a good URL")
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        run(&self.url(), arguments)
    }
}

pub(crate) fn file(folder: &Path) -> String {
    folder.join("locks.db").display().to_string()
}

/// The program under test, without input.
pub(crate) fn dspinlock(url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dspinlock"));
    command
        .args(arguments)
        .env("DSPINLOCK_URL", url)
        .env("RUST_BACKTRACE", "0")
        .env_remove("NO_COLOR")
        .stdin(Stdio::null());
    command
}

/// Runs the program to its end.
pub(crate) fn run(url: &str, arguments: &[&str]) -> Ended {
    Ended::of(&dspinlock(url, arguments).output().expect("the program starts"))
}

/// What a process has written, and its exit code.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: Option<i32>,
}

impl Ended {
    pub(crate) fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        Self {
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
            code: output.status.code(),
        }
    }

    /// The lines of standard output of a success.
    pub(crate) fn lines(&self) -> Vec<&str> {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout.lines().collect()
    }
}

/// Stores a result of the function `app::price`. Returns its name.
pub(crate) fn price(pool: &Pool, id: u64) -> String {
    let entry = Entry::of::<u64>("app::price").part(&id).pool(pool);
    entry.prime_blocking(&id).expect("stored");
    entry.key().expect("a name")
}

/// Holds an explicit lock. Returns its name in the store too.
pub(crate) fn lock(pool: &Pool, name: &'static str) -> (String, Lease) {
    let lock = HashDSpinlock::new(name).pool(pool).lease(Duration::from_secs(60));
    match lock.acquire_blocking().expect("granted") {
        Acquired::Locked(lease) => (lock.key().expect("a name"), lease),
        Acquired::Computed => panic!("`{name}` is computed"),
    }
}
