//! Test fixtures: real servers, the real Python package, and real processes.
//!
//! Every fixture stops in `Drop`, also when a test panics. Nothing is retried to make a test pass. A missing tool fails
//! the test and names the command that installs it; no test is skipped.

mod bare_client;
mod child;
mod cluster;
mod entries;
mod history;
mod hostile;
mod journal;
mod least_privilege;
mod middlebox;
mod monitor;
mod port;
mod proxy;
mod python;
mod redis_server;
mod replication;
mod sentinel;
mod slow_link;
mod tls;
mod tools;
mod usage;
mod worker;

pub use self::bare_client::BareClient;
pub use self::child::ChildProcess;
pub use self::cluster::Cluster;
pub use self::history::{Body, History};
pub use self::hostile::{Attack, Hostile, Target};
pub use self::journal::Journal;
pub use self::middlebox::{Haproxy, Twemproxy};
pub use self::monitor::Monitor;
pub use self::proxy::{Action, Proxy, Stage};
pub use self::python::Python;
pub use self::redis_server::Redis;
pub use self::sentinel::Sentinels;
pub use self::slow_link::SlowLink;
pub use self::tls::{Identity, Tls};
pub use self::tools::{shifted_clock, tool};
pub use self::usage::{Usage, apply_limit};
pub use self::worker::{Call, Job, Worker, join_calls, start_calls};

/// What [`Worker::limit`] limits.
pub use rustix::process::Resource;

use std::time::{Duration, Instant};

/// How long a test waits for an event. Far longer than a loaded machine needs, so that only a hang fails the test.
pub const TEST_TIMEOUT: Duration = Duration::from_secs(120);

/// Whether this process runs as root. Some limits do not apply to root.
pub fn is_superuser() -> bool {
    rustix::process::geteuid().is_root()
}

/// Polls `probe` until it returns a value; fails the test after [`TEST_TIMEOUT`].
pub fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(start.elapsed() < TEST_TIMEOUT, "timed out waiting for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
