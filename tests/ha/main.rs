//! High availability: masters that fail, and what takes their place.

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

/// Long enough for a call to have begun to wait.
const A_WHILE: Duration = Duration::from_millis(300);

/// How long after a failover and a lease the next body runs at the latest.
const GRACE: Duration = Duration::from_secs(1);

/// What is promised of a recovery.
#[track_caller]
fn recovery(what: &str, took: Duration, failover: Duration) {
    println!("{what}: the next body after {took:?}, the failover took {failover:?}");
    assert!(
        took <= failover + LEASE + GRACE,
        "{what}: {took:?}, and the failover {failover:?}"
    );
}
