//! Processes without descriptors or threads: an error in time, and recovery afterwards.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::recovered;
use dspinlock_testkit::{Job, Proxy, Redis, Resource, Worker, is_superuser};

/// The connect timeout of two seconds, and a margin for a loaded machine.
const FAILS_WITHIN: Duration = Duration::from_millis(2000 + 1000);

/// A worker without root rights, because root may have any number of threads. It is the only process of its user, because
/// the threads of a user are counted together.
fn unprivileged(url: &str) -> Worker {
    if !is_superuser() {
        return Worker::start(url);
    }
    let user = 100_000 + std::process::id();
    let (user, group) = (format!("--reuid={user}"), format!("--regid={user}"));
    Worker::wrapped(&["setpriv", &user, &group, "--clear-groups"], url)
}

/// Makes two calls without the resource, then one with it.
fn fails_and_recovers(worker: &Worker, resource: Resource, error: &str) {
    worker.limit(resource, Some(0));
    for round in 0..2 {
        let start = Instant::now();
        let outcome = worker.call(&Job::new("cached", "key")).outcome();
        let elapsed = start.elapsed();
        println!("without {resource:?}: {outcome:?} after {elapsed:?}");
        assert_eq!(outcome, (0, Err(error.to_owned())), "round {round}");
        assert!(elapsed < FAILS_WITHIN, "{elapsed:?}");
    }
    worker.limit(resource, None);
    let (bodies, value) = recovered(worker);
    assert_eq!(bodies, 1);
    assert_eq!(worker.call(&Job::new("cached", "key")).outcome(), (0, Ok(value)));
}

#[test]
fn without_descriptors_or_threads_calls_fail_and_recover() {
    let server = Redis::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).expect("the folder is ours");
    let file = |name: &str| format!("sqlite:{}/{name}", folder.path().display());
    fails_and_recovers(
        &Worker::start(&server.url()),
        Resource::Nofile,
        "RedisNotInitialized",
    );
    fails_and_recovers(
        &Worker::start(&file("descriptors")),
        Resource::Nofile,
        "EmbeddedNotInitialized",
    );
    server.raw(&["FLUSHALL"]);
    fails_and_recovers(
        &unprivileged(&server.url()),
        Resource::Nproc,
        "RedisNotInitialized",
    );
    fails_and_recovers(
        &unprivileged(&file("threads")),
        Resource::Nproc,
        "EmbeddedNotInitialized",
    );
}

#[test]
fn a_connection_lost_without_descriptors_is_restored_and_the_lease_kept() {
    let server = Redis::start();
    let proxy = Proxy::start(server.port());
    let worker = Worker::start(&proxy.url());
    worker.call(&Job::new("cached", "first")).result().unwrap();
    let job = Job::new("cached", "held").with("lease", 4000);
    let held = worker.call(&job.clone().with("body", "gate"));
    held.started();
    worker.limit(Resource::Nofile, Some(0));
    proxy.disconnect();
    let (start, outcome) = (Instant::now(), worker.call(&Job::new("cached", "key")).outcome());
    println!("{outcome:?} after {:?}", start.elapsed());
    assert_eq!(outcome, (0, Err("RedisNotInitialized".to_owned())));
    assert!(start.elapsed() < FAILS_WITHIN);
    // Renewals fail in this time and are retried.
    sleep(Duration::from_millis(2000).saturating_sub(start.elapsed()));
    worker.limit(Resource::Nofile, None);
    recovered(&worker);
    sleep(Duration::from_millis(3000));
    held.open_gate();
    let value = held.result();
    assert_eq!(
        worker.call(&job).outcome(),
        (0, value),
        "the lease or the value was lost"
    );
}

#[test]
fn a_name_lookup_without_threads_is_an_error() {
    let server = Redis::start();
    let proxy = Proxy::start(server.port());
    let worker = unprivileged(&format!("redis://localhost:{}", proxy.port()));
    worker.call(&Job::new("cached", "first")).result().unwrap();
    proxy.disconnect();
    fails_and_recovers(&worker, Resource::Nproc, "RedisNotInitialized");
}
