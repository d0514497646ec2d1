//! TLS to several servers: to sentinels and their master, and to every node of a cluster.

use std::path::Path;

use dspinlock::{Error, HashDSpinlock, Pool};
use dspinlock_testkit::{Cluster, Job, Sentinels, Worker};

use crate::common::logs;

fn trusting(url: &str, authority: &Path) -> String {
    format!("{url}?ssl_ca_certs={}", authority.display())
}

/// Many keys, so that every node is asked; each is computed by one worker and found by the other.
fn calls(url: &str) {
    let workers = [0, 1].map(|_| Worker::start(url));
    for key in 0..12 {
        for function in ["cached", "near", "cached_sync", "shared"] {
            let job = Job::new(function, &format!("key{key}"));
            let (bodies, value) = workers[0].call(&job).story();
            assert_eq!((bodies, value.is_ok()), (1, true), "{function}: {value:?}");
            assert_eq!(workers[1].call(&job).story(), (0, value), "{function}");
        }
    }
}

/// A waiter is woken, and does not sleep for a minute.
fn wakes(url: &str) {
    let (holder, waiter) = (Worker::start(url), Worker::start(url));
    let job = Job::new("cached", "awaited").with("sleep", 60_000);
    let held = holder.call(&job.clone().with("body", "gate"));
    held.began();
    let waiting = waiter.call(&job);
    std::thread::sleep(crate::A_WHILE);
    let start = std::time::Instant::now();
    held.go();
    assert_eq!(waiting.story(), (0, held.end()));
    assert!(start.elapsed().as_secs() < 30, "{:?}", start.elapsed());
}

/// Nobody is trusted whom the caller does not know.
fn is_refused(url: &str) {
    logs::listen();
    let pool = Pool::open(url).expect("a pool");
    let lock = HashDSpinlock::new("key").expect("a name is a key");
    let error = lock
        .pool(&pool)
        .acquire_blocking()
        .expect_err("an unknown authority");
    logs::expect(&error, "RedisNotInitialized");
    assert!(matches!(error, Error::RedisNotInitialized { .. }));
}

#[test]
fn sentinels_and_their_master() {
    let sentinels = Sentinels::tls();
    let url = trusting(&sentinels.url(), sentinels.servers()[0].authority());
    calls(&url);
    wakes(&url);
    let keys = sentinels.servers()[0].keys();
    is_refused(&sentinels.url());
    assert_eq!(sentinels.servers()[0].keys(), keys);
}

#[test]
fn every_node_of_a_cluster() {
    let cluster = Cluster::tls();
    let url = trusting(&cluster.tls_url(), cluster.authority());
    calls(&url);
    wakes(&url);
    let states = cluster.states();
    is_refused(&cluster.tls_url());
    assert_eq!(cluster.states(), states);
}
