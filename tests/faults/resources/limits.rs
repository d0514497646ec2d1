//! A process that is out of descriptors or threads, and a name that cannot be looked up: an error in time, and all is
//! well again afterwards.

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use dspinlock_testkit::{Job, Proxy, Redis, Resource, Worker, is_superuser};

/// To connect takes two seconds at most, and a busy machine adds its own.
const TIMEOUT: Duration = Duration::from_millis(2000 + 1000);

const SOON: Duration = Duration::from_secs(1);

/// A worker that is no superuser, as a superuser may have as many threads as he likes; and the only one of its user, as
/// a user's threads are counted together.
fn unprivileged(url: &str) -> Worker {
    if !is_superuser() {
        return Worker::start(url);
    }
    let user = 100_000 + std::process::id();
    let (user, group) = (format!("--reuid={user}"), format!("--regid={user}"));
    Worker::by(&["setpriv", &user, &group, "--clear-groups"], url)
}

/// Asks twice for what cannot be had, then once for what can be had again.
fn fails_and_recovers(worker: &Worker, resource: Resource, error: &str) {
    worker.limit(resource, Some(0));
    for round in 0..2 {
        let start = Instant::now();
        let outcome = worker.call(&Job::new("cached", "key")).story();
        let took = start.elapsed();
        println!("without {resource:?}: {outcome:?} after {took:?}");
        assert_eq!(outcome, (0, Err(error.to_owned())), "round {round}");
        assert!(took < TIMEOUT, "{took:?}");
    }
    worker.limit(resource, None);
    let start = Instant::now();
    let outcome = worker.call(&Job::new("cached", "key")).story();
    assert!(outcome.0 == 1 && outcome.1.is_ok(), "{outcome:?}");
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    assert_eq!(worker.call(&Job::new("cached", "key")).story(), (0, outcome.1));
}

#[test]
fn without_descriptors_or_threads_the_first_call_fails_and_the_next_succeeds() {
    let server = Redis::start();
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).expect("our own folder");
    let file = |name: &str| format!("sqlite:{}/{name}", folder.path().display());
    fails_and_recovers(
        &Worker::start(&server.url()),
        Resource::Nofile,
        "RedisNotInitialized",
    );
    fails_and_recovers(
        &Worker::start(&file("descriptors")),
        Resource::Nofile,
        "RedisNotInitialized",
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
        "RedisNotInitialized",
    );
}

#[test]
fn a_connection_that_breaks_without_descriptors_is_made_again_and_the_lease_kept() {
    let server = Redis::start();
    let proxy = Proxy::before(server.port());
    let worker = Worker::start(&proxy.url());
    worker.call(&Job::new("cached", "first")).end().unwrap();
    let job = Job::new("cached", "held").with("lease", 4000);
    let held = worker.call(&job.clone().with("body", "gate"));
    held.began();
    worker.limit(Resource::Nofile, Some(0));
    proxy.cut();
    let (start, outcome) = (Instant::now(), worker.call(&Job::new("cached", "key")).story());
    println!("{outcome:?} after {:?}", start.elapsed());
    assert_eq!(outcome, (0, Err("RedisNotInitialized".to_owned())));
    assert!(start.elapsed() < TIMEOUT);
    // Beats fail meanwhile, and are tried again.
    sleep(Duration::from_millis(2000).saturating_sub(start.elapsed()));
    worker.limit(Resource::Nofile, None);
    let start = Instant::now();
    assert!(worker.call(&Job::new("cached", "key")).end().is_ok());
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    sleep(Duration::from_millis(3000));
    held.go();
    let value = held.end();
    assert_eq!(
        worker.call(&job).story(),
        (0, value),
        "the lease was kept, and the value"
    );
}

#[test]
fn a_lookup_without_threads_is_an_error_and_no_panic() {
    let server = Redis::start();
    let proxy = Proxy::before(server.port());
    let worker = unprivileged(&format!("redis://localhost:{}", proxy.port()));
    worker.call(&Job::new("cached", "first")).end().unwrap();
    proxy.cut();
    fails_and_recovers(&worker, Resource::Nproc, "RedisNotInitialized");
}

/// A worker that finds `hosts` in the place of the system's list of hosts, and no name server.
fn with_hosts(hosts: &Path, url: &str) -> Worker {
    let folder = hosts.parent().expect("a file in a folder");
    fs::write(
        folder.join("resolv.conf"),
        "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
    )
    .expect("a folder of our own");
    let mount = format!(
        "mount --bind {0} /etc/hosts && mount --bind {1}/resolv.conf /etc/resolv.conf && exec \"$@\"",
        hosts.display(),
        folder.display()
    );
    let mut wrapper = vec!["unshare", "--mount"];
    if !is_superuser() {
        wrapper.push("--map-root-user");
    }
    wrapper.extend(["sh", "-c", &mount, "sh"]);
    Worker::by(&wrapper, url)
}

#[test]
fn a_name_that_is_not_known_yet_is_an_error_until_it_is() {
    let server = Redis::start();
    let folder = tempfile::tempdir().expect("a folder");
    let hosts = folder.path().join("hosts");
    fs::write(&hosts, "127.0.0.1 localhost\n").expect("a folder of our own");
    let worker = with_hosts(&hosts, &format!("redis://store.internal:{}", server.port()));
    for round in 0..3 {
        let (start, outcome) = (Instant::now(), worker.call(&Job::new("cached", "key")).story());
        println!("an unknown name: {outcome:?} after {:?}", start.elapsed());
        assert_eq!(
            outcome,
            (0, Err("RedisNotInitialized".to_owned())),
            "round {round}"
        );
        assert!(start.elapsed() < TIMEOUT, "{:?}", start.elapsed());
    }
    let logs = worker.logs();
    assert!(logs.len() < 20, "{logs:?}");
    fs::write(&hosts, "127.0.0.1 localhost store.internal\n").expect("a folder of our own");
    let start = Instant::now();
    assert_eq!(worker.call(&Job::new("cached", "key")).story().0, 1);
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
}

#[test]
fn a_lookup_that_hangs_is_an_error_in_time() {
    let server = Redis::start();
    let folder = tempfile::tempdir().expect("a folder");
    let hosts = folder.path().join("hosts");
    // Whoever reads it waits until somebody writes.
    let made = Command::new("mkfifo")
        .arg(&hosts)
        .status()
        .expect("mkfifo of coreutils");
    assert!(made.success());
    let worker = with_hosts(&hosts, &format!("redis://localhost:{}", server.port()));
    for _ in 0..2 {
        let (start, outcome) = (Instant::now(), worker.call(&Job::new("cached", "key")).story());
        println!("a lookup that hangs: {outcome:?} after {:?}", start.elapsed());
        assert_eq!(outcome, (0, Err("RedisNotInitialized".to_owned())));
        assert!(start.elapsed() < TIMEOUT, "{:?}", start.elapsed());
    }
    // The system's own list is there again, and whoever hangs is told that the pipe is empty.
    let process = format!("--target={}", worker.id());
    let mut back = Command::new("nsenter");
    back.args([&process, "--mount"]);
    if !is_superuser() {
        back.args(["--user", "--preserve-credentials"]);
    }
    let back = back
        .args(["umount", "--lazy", "/etc/hosts"])
        .status()
        .expect("nsenter of util-linux");
    assert!(back.success());
    drop(OpenOptions::new().write(true).open(&hosts));
    let start = Instant::now();
    assert_eq!(worker.call(&Job::new("cached", "key")).story().0, 1);
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    assert!(
        worker.usage().threads < 10,
        "lookups that ended leave no thread: {:?}",
        worker.usage()
    );
}
