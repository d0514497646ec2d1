//! Connections that the network drops while they are quiet, without a word to either side.

use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use dspinlock_testkit::{Job, Proxy, Redis, Worker};

use crate::fixture::is_long;

/// How long the first call afterwards may take.
const LIMIT: Duration = Duration::from_millis(1200);

#[test]
fn a_connection_dropped_while_it_was_quiet_causes_no_error() {
    let server = &Redis::start();
    // At the same time, because they mostly sleep.
    scope(|threads| {
        for function in ["cached", "uncached", "cached_sync", "uncached_sync"] {
            let is_sync = function.ends_with("sync");
            let quiet = Duration::from_secs(if is_long() && is_sync { 60 } else { 30 });
            threads.spawn(move || call_after(quiet, server, function));
        }
    });
}

fn call_after(quiet: Duration, server: &Redis, function: &str) {
    let proxy = Proxy::start(server.port());
    let worker = Worker::start(&proxy.url());
    let job = Job::new(function, &format!("{function} value").replace(' ', "-"));
    // So many calls that the worker has every connection it may get for them.
    for _ in 0..20 {
        worker.call(&job).result().expect("a call");
    }
    sleep(quiet);
    proxy.half_open();
    let start = Instant::now();
    let result = worker.call(&job).result();
    let elapsed = start.elapsed();
    println!("{function} after {quiet:?} of quiet: {elapsed:.1?}");
    assert!(
        result.is_ok() && elapsed <= LIMIT,
        "{function}: {result:?} after {elapsed:?}"
    );
}
