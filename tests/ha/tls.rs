//! TLS with Sentinel and with Cluster.

use std::path::Path;

use dspinlock::{Error, HashDSpinlock, Pool};
use dspinlock_testkit::{Cluster, Job, Sentinels, Worker};

use crate::common::logs;

fn trusting(url: &str, authority: &Path) -> String {
    // A handshake of a debug build takes long on a loaded machine.
    format!(
        "{url}?ssl_ca_certs={}&socket_connect_timeout=20",
        authority.display()
    )
}

/// Makes calls on many keys, so that every node is used. One worker computes each value, the other finds it.
fn calls(url: &str) {
    let workers = [0, 1].map(|_| Worker::start(url));
    for key in 0..12 {
        for function in ["cached", "near", "cached_sync"] {
            let job = Job::new(function, &format!("key{key}"));
            let (bodies, value) = workers[0].call(&job).outcome();
            let logs = workers[0].logs();
            assert_eq!(
                (bodies, value.is_ok()),
                (1, true),
                "{function}: {value:?} {logs:?}"
            );
            assert_eq!(workers[1].call(&job).outcome(), (0, value), "{function}");
        }
    }
}

/// Checks that a push wakes a waiter that would sleep for a minute.
fn assert_wakes(url: &str) {
    let (holder, waiter) = (Worker::start(url), Worker::start(url));
    let job = Job::new("cached", "awaited").with("sleep", 60_000);
    let held = holder.call(&job.clone().with("body", "gate"));
    held.started();
    let waiting = waiter.call(&job);
    std::thread::sleep(crate::SHORT_PAUSE);
    let start = std::time::Instant::now();
    held.open_gate();
    assert_eq!(waiting.outcome(), (0, held.result()));
    assert!(start.elapsed().as_secs() < 30, "{:?}", start.elapsed());
}

/// Checks that a server with an unknown authority is refused.
fn assert_refused(url: &str) {
    logs::capture();
    let pool = Pool::open(url).expect("a pool");
    let lock = HashDSpinlock::new("key");
    let error = lock
        .pool(&pool)
        .acquire_blocking()
        .expect_err("the authority is unknown");
    logs::assert_error(&error, "RedisNotInitialized");
    assert!(matches!(error, Error::RedisNotInitialized { .. }));
}

#[test]
fn tls_works_with_sentinels_and_their_master() {
    let sentinels = Sentinels::tls();
    let url = trusting(&sentinels.url(), sentinels.servers()[0].authority());
    calls(&url);
    assert_wakes(&url);
    let keys = sentinels.servers()[0].keys();
    assert_refused(&sentinels.url());
    assert_eq!(sentinels.servers()[0].keys(), keys);
}

#[test]
fn tls_works_with_every_node_of_a_cluster() {
    let cluster = Cluster::tls();
    let url = trusting(&cluster.tls_url(), cluster.authority());
    calls(&url);
    assert_wakes(&url);
    let states = cluster.keys();
    assert_refused(&cluster.tls_url());
    assert_eq!(cluster.keys(), states);
}
