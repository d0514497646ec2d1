//! The embedded store on a full disk, and with processes that are killed while they write.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use dspinlock_testkit::{ChildProcess, History, Job, Journal, Python, Worker, is_superuser};

/// A disk of two MiB in the mount namespace of a child process. It disappears with the process.
struct Disk {
    namespace: ChildProcess,
    folder: tempfile::TempDir,
}

impl Disk {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
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
        let namespace = ChildProcess::start(&mut command);
        assert_eq!(
            namespace.recv(),
            "mounted",
            "cannot mount: run as root, or permit user namespaces"
        );
        Self { namespace, folder }
    }

    /// The wrapper command that makes a program see the disk.
    fn wrapper(&self) -> Vec<String> {
        let mut words = vec![
            "nsenter".into(),
            format!("--target={}", self.namespace.id()),
            "--mount".into(),
        ];
        if !is_superuser() {
            words.extend(["--user".into(), "--preserve-credentials".into()]);
        }
        words
    }

    fn worker(&self) -> Worker {
        let wrapper = self.wrapper();
        let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
        Worker::wrapped(
            &wrapper,
            &format!("sqlite:{}/locks.sqlite", self.folder.path().display()),
        )
    }

    fn run(&self, script: &str) -> String {
        let wrapper = self.wrapper();
        let output = Command::new(&wrapper[0])
            .args(&wrapper[1..])
            .args(["sh", "-c", script])
            .current_dir("/")
            .env("DISK", self.folder.path())
            .output()
            .expect("`nsenter` of util-linux is installed");
        String::from_utf8_lossy(&output.stdout).trim().into()
    }
}

/// Checks the whole file with the SQLite of Python.
const CHECK: &str = "import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as base:
    print(base.execute('PRAGMA integrity_check').fetchone()[0])
";

#[test]
fn a_full_disk_loses_no_stored_value_and_is_recovered_from() {
    let disk = Disk::new();
    let (mut worker, mut reader) = (disk.worker(), disk.worker());
    let job = |at: usize| {
        Job::new("cached", &format!("key{at}"))
            .with("size", 30_000 + 6 * at)
            .with("lease", 2000)
    };
    // Values that another process has read must stay.
    let mut kept = HashMap::new();
    let mut compute = |worker: &Worker, reader: &Worker, at: usize| {
        let start = Instant::now();
        let (bodies, first) = worker.call(&job(at)).outcome();
        assert!(first.is_ok() || first == Err("Store".into()), "{first:?}");
        let hit = match reader.call(&job(at).with("body", "err")).outcome() {
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
        assert_eq!(
            compute(&worker, &reader, at),
            (1, true),
            "the disk is full too early"
        );
        at += 1;
    }
    let held = reader.call(
        &Job::new("uncached", "held")
            .with("lease", 1500)
            .with("body", "gate")
            .with("value", "mine"),
    );
    held.started();
    disk.run("dd if=/dev/zero of=$DISK/filler bs=4096 2>/dev/null");
    let (mut refused, full) = (0, at + 20);
    while at < full {
        refused += usize::from(!compute(&worker, &reader, at).1);
        at += 1;
    }
    println!("on a full disk {refused} of 20 values were not kept");
    assert!(refused > 10, "the disk is not full: {}", disk.run("df $DISK"));
    held.open_gate();
    assert_eq!(
        held.result().as_deref(),
        Ok("mine"),
        "the caller does not get its value"
    );
    drop(held);
    // A process can open the store while the disk is full.
    worker.kill();
    worker = disk.worker();
    let opened = worker.call(&job(0).with("body", "err")).outcome();
    println!("opened on a full disk: {opened:?}");
    disk.run("rm $DISK/filler");
    reader.kill();
    reader = disk.worker();
    let start = Instant::now();
    assert_eq!(compute(&worker, &reader, at), (1, true), "the disk is still full");
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    let kept = kept;
    for (at, value) in &kept {
        assert_eq!(
            reader.call(&job(*at).with("body", "err")).outcome(),
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
fn sixteen_processes_killed_at_random_lose_no_stored_value() {
    const ROUNDS: usize = 60;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("locks.sqlite");
    let url = format!("sqlite:{}", file.display());
    let mut workers = Worker::start_many(16, &url);
    let (mut kept, mut errors, mut pairs) = (HashMap::new(), HashMap::new(), 0);
    for round in 0..ROUNDS {
        let events = tempfile::tempdir().expect("a temporary folder");
        let journal = Journal::in_folder(&events);
        let job = |at| {
            Job::new("cached", &format!("round{round}-{at}"))
                .with("value", format!("{round}-{at}-{}", "x".repeat(900)))
                .with("body", format!("sleep:{}", fastrand::u8(..8)))
                .with("journal", journal.path().display())
                .with("lease", 1000)
                .with("sleep", 100)
        };
        let calls: Vec<_> = workers
            .iter()
            .flat_map(|worker| (0..4).map(|at| (at, worker.call(&job(at)))))
            .collect();
        // Most of the time, one process writes the many pages of such a value. Many kills hit it there.
        let large = |at| {
            Job::new("cached", &format!("large{at}"))
                .with("size", 240_000)
                .with("ttl", 1)
                .with("lease", 1000)
                .with("sleep", 100)
        };
        let writes: Vec<_> = workers
            .iter()
            .enumerate()
            .flat_map(|(at, worker)| [2 * at, 2 * at + 1].map(|key| worker.call(&large(key))))
            .collect();
        let victims: Vec<usize> = (0..2).map(|_| fastrand::usize(..workers.len())).collect();
        sleep(Duration::from_micros(fastrand::u64(..40_000)));
        victims.iter().for_each(|at| workers[*at].start_kill());
        for (at, call) in calls {
            let (bodies, result) = call.outcome();
            match result {
                Ok(value) if bodies == 0 => drop(kept.insert((round, at), value)),
                Ok(_) => {}
                Err(error) => *errors.entry(error).or_insert(0) += 1,
            }
        }
        for write in writes {
            if let Err(error) = write.result() {
                *errors.entry(error).or_insert(0) += 1;
            }
        }
        let killed: Vec<_> = victims.iter().map(|at| workers[*at].id()).collect();
        let history = History::of(&journal).killed(&killed);
        history.check();
        pairs += history.check_exclusion();
        for at in victims {
            workers[at] = Worker::start(&url);
        }
    }
    println!(
        "{} of {} values were read by another call; {pairs} pairs of bodies; errors: {errors:?}",
        kept.len(),
        4 * ROUNDS
    );
    assert!(kept.len() > ROUNDS, "{}", kept.len());
    assert!(
        errors.keys().all(|error| error == "the process has exited"),
        "{errors:?}"
    );
    let reader = Worker::start(&url);
    for ((round, at), value) in &kept {
        let job = Job::new("cached", &format!("round{round}-{at}")).with("body", "err");
        assert_eq!(
            reader.call(&job).outcome(),
            (0, Ok(value.clone())),
            "lost: round{round}-{at}"
        );
    }
    drop(workers);
    assert_eq!(check(&file), ["ok"]);
}

#[test]
fn processes_killed_while_the_file_is_created_do_not_affect_others() {
    for round in 0..40 {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("locks.sqlite");
        let workers = Worker::start_many(6, &format!("sqlite:{}", file.display()));
        // All have started; now they open the file at the same time.
        workers.iter().for_each(|worker| drop(worker.logs()));
        let start = Instant::now();
        let job = Job::new("cached", "key").with("lease", 500).with("sleep", 50);
        let calls: Vec<_> = workers.iter().map(|worker| worker.call(&job)).collect();
        for victim in &workers[..2] {
            sleep(Duration::from_micros(fastrand::u64(..3000)));
            victim.start_kill();
        }
        for call in &calls[2..] {
            assert!(call.result().is_ok(), "round {round}");
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
    Python::run(CHECK, &[file.to_str().expect("a UTF-8 path")])
}
