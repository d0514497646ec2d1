//! Signals are passed on.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;

use crate::scene::{Running, Scene, code};

const PASSED_ON: [(Signal, &str); 6] = [
    (Signal::TERM, "TERM"),
    (Signal::INT, "INT"),
    (Signal::HUP, "HUP"),
    (Signal::QUIT, "QUIT"),
    (Signal::USR1, "USR1"),
    (Signal::USR2, "USR2"),
];

#[test]
fn a_signal_while_the_command_runs_reaches_its_group() {
    let scene = Scene::new();
    for (at, (signal, name)) in PASSED_ON.into_iter().enumerate() {
        // The child of the command gets it, too.
        let child = format!(
            "sh -c 'trap \"echo {name} >>children; exit\" {name}; echo x >>started; while :; do sleep 0.02; done'"
        );
        let script = format!("trap 'exit 42' {name}; {child}; exit 43");
        let exec = Running::start(&mut scene.exec(&[], &script));
        scene.until("started", at + 1);
        std::thread::sleep(Duration::from_millis(50));
        exec.signal(signal);
        assert_eq!(exec.code(), Some(42), "{name}");
    }
    assert_eq!(scene.read("children"), "TERM\nINT\nHUP\nQUIT\nUSR1\nUSR2\n");
}

#[test]
fn a_signal_that_the_command_ignores_does_not_end_exec() {
    let scene = Scene::new();
    let exec = Running::start(&mut scene.exec(
        &[],
        "trap '' TERM; echo x >>started; while [ ! -e go ]; do sleep 0.02; done; exit 9",
    ));
    scene.until("started", 1);
    for _ in 0..5 {
        exec.signal(Signal::TERM);
    }
    std::thread::sleep(Duration::from_millis(500));
    scene.write("go", "");
    assert_eq!(exec.code(), Some(9));
}

#[test]
fn a_signal_to_the_whole_program_does_not_end_the_guard_before_the_command() {
    let scene = Scene::new();
    let script = "echo $PPID >>guard; trap 'sleep 0.5; echo x >>cleaned; exit 8' TERM; echo x >>started; while :; do sleep 0.02; done";
    let exec = Running::start(&mut scene.exec(&[], script));
    scene.until("started", 1);
    let guard = scene.pids("guard")[0];
    rustix::process::kill_process(guard, Signal::TERM).expect("the guard runs");
    exec.signal(Signal::TERM);
    assert_eq!((exec.code(), scene.count("cleaned")), (Some(8), 1));
}

#[test]
fn a_signal_while_exec_waits_ends_it() {
    let scene = Scene::new();
    let holder =
        Running::start(&mut scene.exec(&[], "echo x >>held; while [ ! -e go ]; do sleep 0.02; done"));
    scene.until("held", 1);
    for (signal, name) in PASSED_ON {
        let waiting = Running::start(&mut scene.exec(&[], "echo x >>runs"));
        std::thread::sleep(Duration::from_millis(300));
        waiting.signal(signal);
        assert_eq!(waiting.code(), Some(128 + signal.as_raw()), "{name}");
    }
    scene.write("go", "");
    assert_eq!(holder.code(), Some(0));
    // Nothing is left behind that delays the next caller.
    assert_eq!(code(&mut scene.exec(&["--skip-if-busy"], "true")), Some(0));
    assert_eq!(scene.count("runs"), 0);
}

#[test]
fn a_signal_that_was_ignored_before_stays_ignored() {
    let scene = Scene::new();
    let mut nohup = std::process::Command::new("nohup");
    let exec = scene.exec(
        &[],
        "echo x >>started; while [ ! -e go ]; do sleep 0.02; done; exit 7",
    );
    nohup
        .arg(exec.get_program())
        .args(exec.get_args())
        .current_dir(scene.folder());
    nohup
        .env("DSPINLOCK_URL", scene.redis.url())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let exec = Running::start(&mut nohup);
    scene.until("started", 1);
    exec.signal(Signal::HUP);
    std::thread::sleep(Duration::from_millis(500));
    scene.write("go", "");
    assert_eq!(exec.code(), Some(7));
}
