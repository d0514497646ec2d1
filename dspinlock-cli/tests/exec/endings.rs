//! How the command ends, and that it ends before the lease.

use std::time::{Duration, Instant};

use dspinlock::{Entry, Pool};
use dspinlock_testkit::eventually;
use rustix::process::Signal;

use crate::scene::{Running, Scene, code, is_alive, output, parent};

/// Reports each process of an earlier command that still runs.
const NEXT: &str = "for pid in $(cat pids); do if kill -0 $pid 2>/dev/null; then echo $pid >>overlaps; fi; done; echo x >>next";

#[test]
fn the_exit_code_is_that_of_the_command() {
    let scene = Scene::new();
    for (script, expected) in [
        ("exit 0", 0),
        ("exit 3", 3),
        ("exit 255", 255),
        ("kill -TERM $$", 143),
        ("kill -KILL $$", 137),
        ("kill -INT $$", 130),
    ] {
        assert_eq!(code(&mut scene.exec(&[], script)), Some(expected), "{script}");
    }
}

#[test]
fn errors_have_the_codes_that_help_lists() {
    let scene = Scene::new();
    scene.write("file", "not a program");
    let codes = |arguments: &[&str]| {
        let mut command = scene.dspinlock();
        command.args(arguments);
        let failed = output(&mut command);
        assert!(!failed.stderr.is_empty(), "{arguments:?}");
        failed.status.code()
    };
    assert_eq!(codes(&["exec", "--key", "k", "--", "no-such-program"]), Some(127));
    assert_eq!(codes(&["exec", "--key", "k", "--", "./file"]), Some(126));
    for usage in [
        &["exec", "--key", "k"][..],
        &["exec", "--", "true"],
        &["exec", "--key", "k", "--lease", "10", "--", "true"],
        &["exec", "--key", "k", "--lease", "100ms", "--", "true"],
        &[
            "exec", "--key", "k", "--lease", "3s", "--grace", "1001ms", "--", "true",
        ],
        &["exec", "--key", "k", "--ttl", "1h", "--", "true"],
        &["exec", "--key", "k", "--once", "--cached", "--", "true"],
        &["exec", "--key", "k", "--url", "nonsense", "--", "true"],
    ] {
        assert_eq!(codes(usage), Some(64), "{usage:?}");
    }
    let help = output(scene.dspinlock().arg("--help"));
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    for code in ["64", "69", "70", "75", "76", "126", "127"] {
        assert!(
            help.contains(&format!("\n  {code} ")),
            "--help does not list {code}"
        );
    }
}

/// Kills `exec` while `script` runs, and starts the next one. Returns the time from the kill to the end of the next.
fn after_kill(scene: &Scene, script: &str) -> Duration {
    let exec = Running::start(&mut scene.exec(&["--lease", "3s"], script));
    scene.until("started", 1);
    let start = Instant::now();
    exec.signal(Signal::KILL);
    assert_eq!(code(&mut scene.exec(&["--lease", "3s"], NEXT)), Some(0));
    let elapsed = start.elapsed();
    assert_eq!((scene.count("next"), scene.count("overlaps")), (1, 0));
    elapsed
}

#[test]
fn a_killed_exec_ends_the_command_before_the_lease() {
    let scene = Scene::new();
    let elapsed = after_kill(
        &scene,
        "echo $$ >>pids; trap 'echo x >>cleaned; exit' TERM; echo x >>started; while :; do sleep 0.02; done",
    );
    // The lease, and the time of a process under load.
    assert!(elapsed < Duration::from_secs(9), "{elapsed:?}");
    assert_eq!(scene.count("cleaned"), 1, "the command was not asked to end");
}

#[test]
fn a_killed_exec_ends_a_command_and_its_children_that_ignore_sigterm() {
    let scene = Scene::new();
    let elapsed = after_kill(
        &scene,
        "trap '' TERM; sleep 300 & echo $! >>pids; sh -c 'sleep 300 & echo $! >>pids'; echo $$ >>pids; echo x >>started; sleep 300",
    );
    assert!(elapsed < Duration::from_secs(9), "{elapsed:?}");
    assert_eq!(scene.pids("pids").len(), 3);
}

#[test]
fn a_killed_exec_ends_the_command_long_before_a_long_lease() {
    let scene = Scene::new();
    let exec = Running::start(&mut scene.exec(
        &["--lease", "300s"],
        "echo $$ >>pids; echo x >>started; sleep 300",
    ));
    scene.until("started", 1);
    let start = Instant::now();
    exec.signal(Signal::KILL);
    let command = scene.pids("pids")[0];
    eventually("the end of the command", || (!is_alive(command)).then_some(()));
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
}

#[test]
fn a_command_may_run_for_longer_than_its_lease() {
    let scene = Scene::new();
    let exec = Running::start(&mut scene.exec(&["--lease", "2s"], "echo x >>started; sleep 6; exit 5"));
    scene.until("started", 1);
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(code(&mut scene.exec(&["--skip-if-busy"], "true")), Some(75));
    assert_eq!(exec.code(), Some(5));
}

#[test]
fn a_stopped_exec_ends_the_command_before_the_lease() {
    let scene = Scene::new();
    let exec =
        Running::start(&mut scene.exec(&["--lease", "3s"], "echo $$ >>pids; echo x >>started; sleep 300"));
    scene.until("started", 1);
    let start = Instant::now();
    exec.signal(Signal::STOP);
    let command = scene.pids("pids")[0];
    eventually("the end of the command", || (!is_alive(command)).then_some(()));
    let elapsed = start.elapsed();
    assert!(
        elapsed < Duration::from_secs(3),
        "the lease has ended before the command: {elapsed:?}"
    );
    assert_eq!(code(&mut scene.exec(&[], NEXT)), Some(0));
    assert_eq!((scene.count("next"), scene.count("overlaps")), (1, 0));
    exec.signal(Signal::CONT);
    assert_eq!(exec.code(), Some(76));
}

#[test]
fn a_killed_guard_ends_the_command() {
    let scene = Scene::new();
    let script = "trap '' TERM; sleep 300 & echo $! >>pids; echo $$ >>pids; echo x >>started; sleep 300";
    let exec = Running::start(
        scene
            .exec(&["--lease", "3s"], script)
            .stderr(std::process::Stdio::piped()),
    );
    scene.until("started", 1);
    let guard = parent(scene.pids("pids")[1]);
    assert_eq!(parent(guard), exec.pid());
    rustix::process::kill_process(guard, Signal::KILL).expect("the guard runs");
    let ended = exec.wait();
    assert_eq!(ended.status.code(), Some(70));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("the guard of the command was killed"));
    assert_eq!(code(&mut scene.exec(&["--skip-if-busy"], NEXT)), Some(0));
    assert_eq!((scene.count("next"), scene.count("overlaps")), (1, 0));
}

#[test]
fn what_the_command_leaves_in_its_group_ends_before_the_lock_is_released() {
    let scene = Scene::new();
    let script =
        "sleep 300 & echo $! >>pids; sh -c 'trap \"\" TERM; echo $$ >>pids; sleep 300' & sleep 0.3; exit 5";
    assert_eq!(code(&mut scene.exec(&["--grace", "300ms"], script)), Some(5));
    assert_eq!(scene.pids("pids").len(), 2);
    assert_eq!(code(&mut scene.exec(&[], NEXT)), Some(0));
    assert_eq!((scene.count("next"), scene.count("overlaps")), (1, 0));
}

#[test]
fn a_daemon_in_a_session_of_its_own_outlives_the_lock() {
    let scene = Scene::new();
    assert_eq!(
        code(&mut scene.exec(
            &[],
            "setsid sh -c 'echo $$ >>pids; sleep 300' & while [ ! -s pids ]; do sleep 0.02; done"
        )),
        Some(0)
    );
    let daemon = scene.pids("pids")[0];
    let was_alive = is_alive(daemon);
    let _ = rustix::process::kill_process_group(daemon, Signal::KILL);
    assert!(was_alive);
}

#[test]
fn a_lost_lease_ends_the_command() {
    let scene = Scene::new();
    let script = "echo $$ >>pids; trap 'echo x >>asked' TERM; echo x >>started; while :; do sleep 0.02; done";
    let exec = Running::start(
        scene
            .exec(&["--lease", "3s"], script)
            .stderr(std::process::Stdio::piped()),
    );
    scene.until("started", 1);
    let pool = Pool::open(&scene.redis.url()).expect("the server is there");
    let entry = Entry::of::<()>("exec").part("k").pool(&pool);
    let start = Instant::now();
    assert!(entry.invalidate_blocking().expect("the server is there"));
    let ended = exec.wait();
    // The heartbeat notices it after a third of the lease; the grace is another third.
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    assert_eq!(ended.status.code(), Some(76));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("lost the lock, so the command was ended"));
    assert_eq!(scene.count("asked"), 1);
    assert!(!is_alive(scene.pids("pids")[0]));
}
