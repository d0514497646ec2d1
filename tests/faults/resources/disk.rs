//! The embedded store without room, and with processes that are killed while they write.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use dspinlock_testkit::{Job, Lines, Python, Worker, is_superuser};

/// A disk of two MiB that only those see who enter it: it is gone with the process that keeps it.
struct Disk {
    keeper: Lines,
    folder: tempfile::TempDir,
}

impl Disk {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new("unshare");
        command.arg("--mount");
        if !is_superuser() {
            command.arg("--map-root-user");
        }
        let script = format!(
            "mount -t tmpfs -o size=2m,mode=777 tmpfs {} && echo mounted && exec cat",
            folder.path().display()
        );
        command.args(["sh", "-c", &script]);
        let keeper = Lines::start(&mut command);
        assert_eq!(
            keeper.hear(),
            "mounted",
            "this user may not mount: run as root, or permit user namespaces"
        );
        Self { keeper, folder }
    }

    /// What a program needs before it to see the disk.
    fn enter(&self) -> Vec<String> {
        let mut words = vec![
            "nsenter".into(),
            format!("--target={}", self.keeper.id()),
            "--mount".into(),
        ];
        if !is_superuser() {
            words.extend(["--user".into(), "--preserve-credentials".into()]);
        }
        words
    }

    fn worker(&self) -> Worker {
        let enter = self.enter();
        let enter: Vec<&str> = enter.iter().map(String::as_str).collect();
        Worker::by(
            &enter,
            &format!("sqlite:{}/locks.sqlite", self.folder.path().display()),
        )
    }

    fn run(&self, script: &str) -> String {
        let enter = self.enter();
        let output = Command::new(&enter[0])
            .args(&enter[1..])
            .args(["sh", "-c", script])
            .current_dir("/")
            .env("DISK", self.folder.path())
            .output()
            .expect("nsenter of util-linux");
        String::from_utf8_lossy(&output.stdout).trim().into()
    }
}

/// Looks through the whole file, with another program's SQLite.
const CHECK: &str = "import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as base:
    print(base.execute('PRAGMA integrity_check').fetchone()[0])
";

#[test]
fn a_full_disk_loses_nothing_that_was_kept_and_is_no_end() {
    let disk = Disk::new();
    let (mut worker, mut reader) = (disk.worker(), disk.worker());
    let job = |at: usize| {
        Job::new("cached", &format!("key{at}"))
            .with("size", 30_000 + 6 * at)
            .with("lease", 2000)
    };
    // What another process was handed is kept.
    let mut kept = HashMap::new();
    let mut compute = |worker: &Worker, reader: &Worker, at: usize| {
        let start = Instant::now();
        let (bodies, first) = worker.call(&job(at)).story();
        assert!(first.is_ok() || first == Err("Store".into()), "{first:?}");
        let hit = match reader.call(&job(at).with("body", "err")).story() {
            (0, Ok(hit)) => {
                kept.insert(at, hit);
                true
            }
            (_, Err(error)) => {
                assert!(["Store", "Body"].contains(&error.as_str()), "{error}");
                false
            }
            other => panic!("{other:?}"),
        };
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        (bodies, hit)
    };
    let mut at = 0;
    while at < 20 {
        assert_eq!(compute(&worker, &reader, at), (1, true), "there is room");
        at += 1;
    }
    let held = reader.call(
        &Job::new("each", "held")
            .with("lease", 1500)
            .with("body", "gate")
            .with("value", "mine"),
    );
    held.began();
    disk.run("dd if=/dev/zero of=$DISK/filler bs=4096 2>/dev/null");
    let (mut refused, full) = (0, at + 20);
    while at < full {
        refused += usize::from(!compute(&worker, &reader, at).1);
        at += 1;
    }
    println!("on a full disk {refused} of 20 values were not kept");
    assert!(refused > 10, "the disk was not full: {}", disk.run("df $DISK"));
    held.go();
    assert_eq!(held.end().as_deref(), Ok("mine"), "the value is returned");
    drop(held);
    // Also where it is opened anew while it is full.
    worker.kill();
    worker = disk.worker();
    let opened = worker.call(&job(0).with("body", "err")).story();
    println!("opened on a full disk: {opened:?}");
    disk.run("rm $DISK/filler");
    reader.kill();
    reader = disk.worker();
    let start = Instant::now();
    assert_eq!(compute(&worker, &reader, at), (1, true), "there is room again");
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    let kept = kept;
    for (at, value) in &kept {
        assert_eq!(
            reader.call(&job(*at).with("body", "err")).story(),
            (0, Ok(value.clone())),
            "lost: key{at}"
        );
    }
    println!("{} values were kept", kept.len());
    let python = dspinlock_testkit::tool("py/bin/python");
    let file = format!("{}/locks.sqlite", disk.folder.path().display());
    assert_eq!(
        disk.run(&format!("{} -c \"{CHECK}\" {file}", python.display())),
        "ok"
    );
}

#[test]
fn sixteen_processes_killed_at_random_lose_nothing_that_was_kept() {
    const ROUNDS: usize = 60;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("locks.sqlite");
    let url = format!("sqlite:{}", file.display());
    let mut workers = Worker::several(16, &url);
    let (mut kept, mut ends) = (HashMap::new(), HashMap::new());
    for round in 0..ROUNDS {
        // Values of some pages each, so that a transaction takes its time.
        let job = |at| {
            Job::new("cached", &format!("round{round}-{at}"))
                .with("value", format!("{round}-{at}-{}", "x".repeat(900)))
                .with("lease", 1000)
                .with("sleep", 100)
        };
        let calls: Vec<_> = workers
            .iter()
            .flat_map(|worker| (0..4).map(|at| (at, worker.call(&job(at)))))
            .collect();
        let victims: Vec<usize> = (0..2).map(|_| fastrand::usize(..workers.len())).collect();
        sleep(Duration::from_micros(fastrand::u64(..20_000)));
        victims.iter().for_each(|at| workers[*at].strike());
        for (at, call) in calls {
            let (bodies, end) = call.story();
            match end {
                Ok(value) if bodies == 0 => drop(kept.insert((round, at), value)),
                Ok(_) => {}
                Err(error) => *ends.entry(error).or_insert(0) += 1,
            }
        }
        for at in victims {
            workers[at] = Worker::start(&url);
        }
    }
    println!(
        "{} of {} values were handed on; errors: {ends:?}",
        kept.len(),
        4 * ROUNDS
    );
    assert!(kept.len() > ROUNDS, "{}", kept.len());
    assert!(
        ends.keys().all(|error| error == "the process has ended"),
        "{ends:?}"
    );
    let reader = Worker::start(&url);
    for ((round, at), value) in &kept {
        let job = Job::new("cached", &format!("round{round}-{at}")).with("body", "err");
        assert_eq!(
            reader.call(&job).story(),
            (0, Ok(value.clone())),
            "lost: round{round}-{at}"
        );
    }
    drop(workers);
    assert_eq!(check(&file), ["ok"]);
}

#[test]
fn whoever_is_killed_while_the_file_is_made_the_others_go_on() {
    for round in 0..40 {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("locks.sqlite");
        let workers = Worker::several(6, &format!("sqlite:{}", file.display()));
        // They are there, and open the file all at once.
        workers.iter().for_each(|worker| drop(worker.logs()));
        let start = Instant::now();
        let job = Job::new("cached", "key").with("lease", 500).with("sleep", 50);
        let calls: Vec<_> = workers.iter().map(|worker| worker.call(&job)).collect();
        for victim in &workers[..2] {
            sleep(Duration::from_micros(fastrand::u64(..3000)));
            victim.strike();
        }
        for call in &calls[2..] {
            assert!(call.end().is_ok(), "round {round}");
        }
        assert!(
            start.elapsed() < Duration::from_secs(4),
            "round {round}: {:?}",
            start.elapsed()
        );
        assert_eq!(check(&file), ["ok"]);
    }
}

fn check(file: &Path) -> Vec<String> {
    Python::run(CHECK, &[file.to_str().expect("a path of letters")])
}
