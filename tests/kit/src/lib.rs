//! What the tests of dspinlock stand on: real servers, the real Python package, and real processes.
//!
//! Everything here stops in `Drop`, also when a test panics. Nothing is retried to make a test pass, and a missing
//! tool is a failure that names the command to run, never a skipped test.

mod child;
mod cluster;
mod history;
mod journal;
mod least_privilege;
mod monitor;
mod port;
mod proxy;
mod python;
mod redis_server;
mod replication;
mod sentinel;
mod tls;
mod tools;
mod usage;
mod worker;

pub use self::child::Lines;
pub use self::cluster::Cluster;
pub use self::history::{Body, History};
pub use self::journal::Journal;
pub use self::monitor::Witness;
pub use self::proxy::{At, Fate, Proxy};
pub use self::python::Python;
pub use self::redis_server::Redis;
pub use self::sentinel::Sentinels;
pub use self::tls::{Identity, Tls};
pub use self::tools::{tool, wrong_clock};
pub use self::usage::{Usage, limit_self};
pub use self::worker::{Call, Job, Worker, begin, finish};

/// What [`Worker::limit`] limits.
pub use rustix::process::Resource;

use std::time::{Duration, Instant};

/// The longest that a test waits for anything: far beyond what a loaded machine needs, so that only a hang fails it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Whether this process may do anything; a limit may not hold for it then.
pub fn is_superuser() -> bool {
    rustix::process::geteuid().is_root()
}

/// Waits until `probe` finds something; fails the test after [`PATIENCE`].
pub fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain for: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
