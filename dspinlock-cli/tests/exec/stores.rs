//! A store that is away.

use std::process::Stdio;
use std::time::{Duration, Instant};

use dspinlock_testkit::{Redis, eventually};

use crate::scene::{Running, Scene, is_alive, output};

#[test]
fn a_store_that_is_away_at_the_start_has_a_code_and_hides_the_password() {
    let scene = Scene::new();
    let mut away = Redis::start();
    away.kill();
    let url = away.url_for("someone", "hunter2");
    for by_argument in [true, false] {
        let mut exec = match by_argument {
            true => scene.exec(&["--url", &url], "echo x >>runs"),
            false => scene.exec(&[], "echo x >>runs"),
        };
        let failed = output(exec.env("DSPINLOCK_URL", &url));
        let message = String::from_utf8_lossy(&failed.stderr).into_owned();
        assert_eq!(failed.status.code(), Some(69), "{message}");
        assert!(message.contains(&away.port().to_string()), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
    assert_eq!(scene.count("runs"), 0);
}

#[test]
fn a_store_that_goes_away_ends_the_command_before_the_lease() {
    for stops in [true, false] {
        let mut scene = Scene::new();
        let script =
            "echo $$ >>pids; trap 'echo x >>asked' TERM; echo x >>started; while :; do sleep 0.02; done";
        let exec = Running::start(scene.exec(&["--lease", "4s"], script).stderr(Stdio::piped()));
        scene.until("started", 1);
        let command = scene.pids("pids")[0];
        let start = Instant::now();
        match stops {
            true => scene.redis.pause(),
            false => scene.redis.kill(),
        }
        eventually("the end of the command", || (!is_alive(command)).then_some(()));
        let elapsed = start.elapsed();
        assert!(
            elapsed < Duration::from_secs(4),
            "the lease has ended before the command: {elapsed:?}"
        );
        // Without the last renewal, two thirds of the lease were left at least; the grace is the last third of them.
        assert!(
            elapsed > Duration::from_millis(1200),
            "the command was ended too early: {elapsed:?}"
        );
        assert_eq!(scene.count("asked"), 1, "SIGKILL without SIGTERM before");
        if stops {
            scene.redis.resume();
        }
        assert_eq!(exec.code(), Some(76));
    }
}

#[test]
fn a_short_outage_does_not_end_the_command() {
    let mut scene = Scene::new();
    let exec =
        Running::start(&mut scene.exec(&["--lease", "12s"], "echo x >>started; sleep 6; echo x >>done"));
    scene.until("started", 1);
    scene.redis.pause();
    std::thread::sleep(Duration::from_secs(2));
    scene.redis.resume();
    assert_eq!((exec.code(), scene.count("done")), (Some(0), 1));
    // A restarted server is empty, so this lease is lost.
    scene.redis.restart();
    assert_eq!(scene.redis.keys(), [""; 0]);
}
