//! How often the command runs.

use std::time::{Duration, Instant};

use dspinlock::{Entry, Pool};
use rustix::process::Signal;

use crate::scene::{Running, Scene, code, output, stdout};

/// Fails to create the file if another process has created it, and reports that.
const ALONE: &str = "set -C; { : >running; } 2>/dev/null || echo x >>overlaps; set +C; sleep 0.02; rm -f running; echo x >>runs";

#[test]
fn a_cached_command_runs_once_for_20_processes() {
    let scene = Scene::new();
    let mut exec = scene.exec(
        &["--cached"],
        "sleep 0.3; echo x >>runs; echo result $$; echo problem >&2",
    );
    exec.stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let running: Vec<_> = (0..20).map(|_| Running::start(&mut exec)).collect();
    let outputs: Vec<_> = running.into_iter().map(Running::wait).collect();
    assert_eq!(scene.count("runs"), 1);
    assert!(outputs[0].stdout.starts_with(b"result "));
    for output in &outputs {
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(
            (&output.stdout, &output.stderr),
            (&outputs[0].stdout, &outputs[0].stderr)
        );
    }
}

#[test]
fn without_cached_20_processes_run_one_after_the_other() {
    let scene = Scene::new();
    let mut exec = scene.exec(&[], ALONE);
    let running: Vec<_> = (0..20).map(|_| Running::start(&mut exec)).collect();
    let codes: Vec<_> = running.into_iter().map(Running::code).collect();
    assert_eq!(codes, [Some(0); 20]);
    assert_eq!((scene.count("runs"), scene.count("overlaps")), (20, 0));
}

#[test]
fn a_failure_is_kept_only_if_asked_for() {
    let scene = Scene::new();
    let script = "echo x >>runs; echo broken; exit 3";
    for runs in 1..=2 {
        let failed = output(&mut scene.exec(&["--cached"], script));
        assert_eq!((failed.status.code(), scene.count("runs")), (Some(3), runs));
    }
    for _ in 0..2 {
        let failed = output(&mut scene.exec(&["--cached", "--keep-failures"], script));
        assert_eq!((failed.status.code(), scene.count("runs")), (Some(3), 3));
        assert_eq!(failed.stdout, b"broken\n");
    }
}

#[test]
fn a_command_that_a_signal_ended_runs_again() {
    let scene = Scene::new();
    for runs in 1..=2 {
        let mut exec = scene.exec(&["--cached", "--keep-failures"], "echo x >>runs; kill -TERM $$");
        assert_eq!((code(&mut exec), scene.count("runs")), (Some(143), runs));
    }
}

#[test]
fn names_and_contents_of_inputs_are_part_of_the_key() {
    let scene = Scene::new();
    scene.write("a", "1");
    scene.write("b", "2");
    scene.write("c", "2");
    let mut runs = 0;
    let mut check = |inputs: &[&str], is_new: bool| {
        let options = [&["--cached", "--input"], inputs].concat();
        assert_eq!(code(&mut scene.exec(&options, "echo x >>runs")), Some(0));
        runs += usize::from(is_new);
        assert_eq!(scene.count("runs"), runs, "{inputs:?}");
    };
    check(&["a", "b"], true);
    check(&["b", "a", "a"], false);
    check(&["a", "c"], true);
    check(&["a"], true);
    scene.write("a", "3");
    check(&["a", "b"], true);
    scene.write("a", "1");
    check(&["a", "b"], false);
}

#[test]
fn an_input_that_cannot_be_read_is_a_usage_error() {
    let scene = Scene::new();
    for input in ["missing", "."] {
        let failed = output(&mut scene.exec(&["--input", input], "echo x >>runs"));
        let message = String::from_utf8_lossy(&failed.stderr).into_owned();
        assert_eq!(failed.status.code(), Some(64), "{message}");
        assert!(
            message.contains(&format!("cannot read the input `{input}`")),
            "{message}"
        );
    }
    assert_eq!(scene.count("runs"), 0);
}

#[test]
fn a_busy_lock_is_skipped_in_silence_or_waited_for() {
    let scene = Scene::new();
    let holder =
        Running::start(&mut scene.exec(&[], "echo x >>held; while [ ! -e go ]; do sleep 0.02; done"));
    scene.until("held", 1);

    let skipped = output(&mut scene.exec(&["--skip-if-busy"], "echo x >>runs"));
    assert_eq!(skipped.status.code(), Some(75));
    assert_eq!((skipped.stdout.len(), skipped.stderr.len()), (0, 0));

    let start = Instant::now();
    let waited = output(&mut scene.exec(&["--wait", "700ms"], "echo x >>runs"));
    let message = String::from_utf8_lossy(&waited.stderr).into_owned();
    assert_eq!(waited.status.code(), Some(75), "{message}");
    assert!(start.elapsed() >= Duration::from_millis(700));
    assert!(message.contains("`k` is held by process "), "{message}");
    assert!(message.contains("`--wait`"), "{message}");

    let waiting = Running::start(&mut scene.exec(&[], "echo x >>runs"));
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(scene.count("runs"), 0);
    scene.write("go", "");
    assert_eq!((holder.code(), waiting.code()), (Some(0), Some(0)));
    assert_eq!(scene.count("runs"), 1);
}

#[test]
fn once_counts_a_success_for_the_ttl() {
    let scene = Scene::new();
    let once = ["--once", "--ttl", "3s"];
    assert_eq!(code(&mut scene.exec(&once, "echo x >>runs; exit 1")), Some(1));
    let holder =
        Running::start(&mut scene.exec(&once, "echo x >>runs; while [ ! -e go ]; do sleep 0.02; done"));
    scene.until("runs", 2);
    assert_eq!(code(&mut scene.exec(&once, "echo x >>runs")), Some(75));
    scene.write("go", "");
    assert_eq!(holder.code(), Some(0));
    let skipped = output(&mut scene.exec(&once, "echo x >>runs"));
    assert_eq!((skipped.status.code(), scene.count("runs")), (Some(75), 2));
    assert_eq!((skipped.stdout.len(), skipped.stderr.len()), (0, 0));
    std::thread::sleep(Duration::from_millis(3100));
    assert_eq!(code(&mut scene.exec(&once, "echo x >>runs")), Some(0));
    assert_eq!(scene.count("runs"), 3);
}

#[test]
fn a_failure_counts_for_once_if_asked_for() {
    let scene = Scene::new();
    let once = ["--once", "--keep-failures"];
    assert_eq!(code(&mut scene.exec(&once, "echo x >>runs; exit 1")), Some(1));
    assert_eq!(code(&mut scene.exec(&once, "echo x >>runs; exit 1")), Some(75));
    assert_eq!(scene.count("runs"), 1);
}

#[test]
fn the_lock_is_released_at_once_if_the_command_fails() {
    let scene = Scene::new();
    for script in ["exit 1", "kill -KILL $$"] {
        code(&mut scene.exec(&["--lease", "60s"], script));
        let start = Instant::now();
        assert_eq!(code(&mut scene.exec(&[], "true")), Some(0));
        assert!(start.elapsed() < Duration::from_secs(20), "{script}");
    }
    assert_eq!(scene.redis.keys(), [""; 0]);
}

#[test]
fn the_entry_of_the_site_exec_invalidates_a_result() {
    let scene = Scene::new();
    let mut exec = scene.exec(&["--cached"], "echo x >>runs");
    assert_eq!((code(&mut exec), code(&mut exec)), (Some(0), Some(0)));
    assert_eq!(scene.count("runs"), 1);
    let pool = Pool::open(&scene.redis.url()).expect("the server is there");
    let entry = Entry::of::<()>("exec").part("k").pool(&pool);
    assert!(entry.invalidate_blocking().expect("the server is there"));
    assert_eq!((code(&mut exec), scene.count("runs")), (Some(0), 2));
}

#[test]
fn the_command_has_our_input_environment_and_a_growing_fence() {
    let scene = Scene::new();
    scene.write("input", "some text");
    let mut exec = scene.exec(&[], "cat; echo \" $VALUE\"");
    let input = std::fs::File::open(scene.path("input")).expect("it was written");
    assert_eq!(stdout(exec.stdin(input).env("VALUE", "v")), "some text v\n");
    let fence = || -> u64 {
        let text = stdout(&mut scene.exec(&[], "echo $DSPINLOCK_FENCE"));
        text.trim().parse().expect("a number")
    };
    let first = fence();
    assert!(first < fence());
}

#[test]
fn without_a_url_processes_of_a_machine_share_a_file() {
    let scene = Scene::new();
    let exec = |options: &[&str], script| {
        let mut exec = scene.exec(options, script);
        exec.env_remove("DSPINLOCK_URL")
            .env("XDG_STATE_HOME", scene.folder());
        exec
    };
    let holder = Running::start(&mut exec(&[], "echo x >>held; sleep 60"));
    scene.until("held", 1);
    assert_eq!(code(&mut exec(&["--skip-if-busy"], "true")), Some(75));
    assert_eq!(scene.redis.keys(), [""; 0]);
    holder.signal(Signal::TERM);
    assert_eq!(holder.code(), Some(143));
    assert_eq!(code(&mut exec(&[], "true")), Some(0));
}
