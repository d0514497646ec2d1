//! High availability: Sentinel, Cluster, replicas, and failovers.

mod cluster;
#[path = "../common/mod.rs"]
mod common;
mod failover;
mod least_privilege;
mod replicas;
mod sentinel;
mod tls;

use std::time::Duration;

/// The lease of holders that are killed.
const LEASE: Duration = Duration::from_secs(2);

/// Long enough for a call to start waiting.
const SHORT_PAUSE: Duration = Duration::from_millis(300);

/// The margin for the next body after a failover and a lease.
const GRACE: Duration = Duration::from_secs(1);

/// Checks that the next body started within the failover, the lease and [`GRACE`].
#[track_caller]
fn assert_recovered(what: &str, elapsed: Duration, failover: Duration) {
    println!("{what}: the next body after {elapsed:?}, the failover elapsed {failover:?}");
    assert!(
        elapsed <= failover + LEASE + GRACE,
        "{what}: {elapsed:?}, of which the failover took {failover:?}"
    );
}

/// The parts of `host:port`.
fn host_port(text: &str) -> (&str, u16) {
    let (host, port) = text.split_once(':').expect("a port");
    (host, port.parse().expect("a port"))
}
