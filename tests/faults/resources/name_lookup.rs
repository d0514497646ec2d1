//! Host names that cannot be looked up.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::recovered;
use dspinlock_testkit::{Job, Redis, Worker, is_superuser};

/// The connect timeout of two seconds, and a margin for a loaded machine.
const FAILS_WITHIN: Duration = Duration::from_millis(2000 + 1000);

/// A worker with `hosts` as its `/etc/hosts`, and no name server.
fn with_hosts(hosts: &Path, url: &str) -> Worker {
    let folder = hosts.parent().expect("the file is in a folder");
    fs::write(
        folder.join("resolv.conf"),
        "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
    )
    .expect("the folder is writable");
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
    Worker::wrapped(&wrapper, url)
}

#[test]
fn an_unknown_name_is_an_error_until_it_is_known() {
    let server = Redis::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let hosts = folder.path().join("hosts");
    fs::write(&hosts, "127.0.0.1 localhost\n").expect("the folder is writable");
    let worker = with_hosts(&hosts, &format!("redis://store.internal:{}", server.port()));
    for round in 0..3 {
        let (start, outcome) = (Instant::now(), worker.call(&Job::new("cached", "key")).outcome());
        println!("an unknown name: {outcome:?} after {:?}", start.elapsed());
        assert_eq!(
            outcome,
            (0, Err("RedisNotInitialized".to_owned())),
            "round {round}"
        );
        assert!(start.elapsed() < FAILS_WITHIN, "{:?}", start.elapsed());
    }
    let logs = worker.logs();
    assert!(logs.len() < 20, "{logs:?}");
    fs::write(&hosts, "127.0.0.1 localhost store.internal\n").expect("the folder is writable");
    assert_eq!(recovered(&worker).0, 1);
}

#[test]
fn a_blocked_name_lookup_is_an_error_in_time() {
    let server = Redis::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let hosts = folder.path().join("hosts");
    // A read of a named pipe blocks until another process writes.
    let made = Command::new("mkfifo")
        .arg(&hosts)
        .status()
        .expect("`mkfifo` of coreutils is installed");
    assert!(made.success());
    let worker = with_hosts(&hosts, &format!("redis://localhost:{}", server.port()));
    for _ in 0..2 {
        let (start, outcome) = (Instant::now(), worker.call(&Job::new("cached", "key")).outcome());
        println!("a lookup that hangs: {outcome:?} after {:?}", start.elapsed());
        assert_eq!(outcome, (0, Err("RedisNotInitialized".to_owned())));
        assert!(start.elapsed() < FAILS_WITHIN, "{:?}", start.elapsed());
    }
    // The file of the system is restored. A blocked read returns, because the pipe is empty.
    let process = format!("--target={}", worker.id());
    let mut unmount = Command::new("nsenter");
    unmount.args([&process, "--mount"]);
    if !is_superuser() {
        unmount.args(["--user", "--preserve-credentials"]);
    }
    let unmounted = unmount
        .args(["umount", "--lazy", "/etc/hosts"])
        .status()
        .expect("`nsenter` of util-linux is installed");
    assert!(unmounted.success());
    drop(OpenOptions::new().write(true).open(&hosts));
    assert_eq!(recovered(&worker).0, 1);
    assert!(
        worker.usage().threads < 10,
        "threads of finished lookups: {:?}",
        worker.usage()
    );
}
