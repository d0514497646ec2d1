//! Output that is replayed.

use std::fs::{self, File, OpenOptions};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::scene::{Running, Scene, code, output};

/// Runs with standard output and standard error in one file, and returns its bytes.
fn merged(scene: &Scene, exec: &mut Command) -> Vec<u8> {
    let path = scene.path("merged");
    let _ = fs::remove_file(&path);
    let open = |path: &Path| -> File {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .expect("a file")
    };
    let running = Running::start(exec.stdout(open(&path)).stderr(open(&path)));
    assert_eq!(running.code(), Some(0));
    fs::read(&path).expect("the file was created")
}

#[test]
fn binary_output_is_replayed_in_the_order_of_reading() {
    let scene = Scene::new();
    let all: Vec<u8> = (0..=255).collect();
    scene.write("all", &all);
    // The pauses let `exec` read each part before the next.
    let script = "echo x >>runs; cat all; sleep 0.2; printf 'a\\0b' >&2; sleep 0.2; cat all; sleep 0.2; cat all >&2; printf end";
    let mut exec = scene.exec(&["--cached"], script);
    let expected = [&all[..], b"a\0b", &all, &all, b"end"].concat();
    for _ in 0..3 {
        assert_eq!(merged(&scene, &mut exec), expected);
    }
    assert_eq!(scene.count("runs"), 1);
    let separate = output(&mut exec);
    assert_eq!(separate.stdout, [&all[..], &all, b"end"].concat());
    assert_eq!(separate.stderr, [b"a\0b", &all[..]].concat());
}

#[test]
fn output_up_to_the_limit_is_kept_and_more_is_passed_through() {
    let scene = Scene::new();
    let random: Vec<u8> = std::iter::repeat_with(fastrand_byte()).take(3_000_000).collect();
    scene.write("random", &random);
    let script = "echo x >>runs; cat random; echo end >&2";
    for (limit, runs) in [("3000004", 1), ("3000003", 3)] {
        for _ in 0..2 {
            let options = ["--cached", "--max-output", limit, "--input", "/dev/null"];
            let options = if runs == 1 { &options[..3] } else { &options[..] };
            let mut exec = scene.exec(options, script);
            let stdout = File::create(scene.path("stdout")).expect("a file");
            let written = Running::start(exec.stdout(stdout).stderr(Stdio::piped())).wait();
            assert_eq!(written.status.code(), Some(0));
            assert!(
                fs::read(scene.path("stdout")).expect("a file") == random,
                "the output is complete"
            );
            let messages = String::from_utf8_lossy(&written.stderr).into_owned();
            let warnings = messages.matches("the result is not kept").count();
            assert_eq!(warnings, usize::from(runs == 3), "{messages}");
            assert!(messages.starts_with("end\n"), "{messages}");
        }
        assert_eq!(scene.count("runs"), runs);
    }
}

/// A simple generator: the bytes must only differ.
fn fastrand_byte() -> impl FnMut() -> u8 {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    }
}

#[test]
fn a_closed_reader_ends_an_endless_command() {
    let scene = Scene::new();
    for cached in [&["--cached"][..], &[]] {
        let mut exec = scene.exec(cached, "echo x >>runs; exec yes");
        let mut running = exec.stdout(Stdio::piped()).spawn().expect("the program starts");
        let mut stdout = running.stdout.take().expect("it is piped");
        let mut first = [0; 2];
        std::io::Read::read_exact(&mut stdout, &mut first).expect("`yes` writes");
        drop(stdout);
        // `yes` is ended by SIGPIPE, or reports that it cannot write.
        let code = running.wait().expect("it is our child").code();
        assert!(code == Some(141) || code == Some(1), "{code:?}");
    }
    assert_eq!(scene.count("runs"), 2);
}

#[test]
fn a_result_whose_reader_has_gone_is_not_kept() {
    let scene = Scene::new();
    let script = "trap '' PIPE; echo x >>runs; echo a; while [ ! -e go ]; do sleep 0.02; done; echo b 2>/dev/null; sleep 0.3; echo c 2>/dev/null; true";
    let mut exec = scene.exec(&["--cached"], script);
    let mut running = exec.stdout(Stdio::piped()).spawn().expect("the program starts");
    drop(running.stdout.take());
    scene.until("runs", 1);
    scene.write("go", "");
    assert_eq!(running.wait().expect("it is our child").code(), Some(0));
    assert_eq!(
        output(&mut scene.exec(&["--cached"], script)).stdout,
        b"a\nb\nc\n"
    );
    assert_eq!(scene.count("runs"), 2);
}

#[test]
fn a_slow_reader_does_not_end_the_command() {
    let scene = Scene::new();
    // More than a pipe holds, so `exec` cannot pass it on before somebody reads.
    let script = "head -c 300000 /dev/zero; echo x >>done";
    let mut exec = scene.exec(&["--cached", "--lease", "1s"], script);
    let running = exec.stdout(Stdio::piped()).spawn().expect("the program starts");
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(scene.count("done"), 0);
    let written = running.wait_with_output().expect("it is our child");
    assert_eq!((written.status.code(), written.stdout.len()), (Some(0), 300_000));
    assert_eq!(code(&mut scene.exec(&["--cached"], script)), Some(0));
    assert_eq!(scene.count("done"), 1);
}

#[test]
fn output_that_cannot_be_written_has_a_reason_and_a_code() {
    let scene = Scene::new();
    for (at, script) in ["echo a; echo x >>runs", "echo a; echo x >>runs; exit 3"]
        .into_iter()
        .enumerate()
    {
        let options = ["--cached", "--keep-failures", "--input", "/dev/null"];
        let options = &options[..if at == 0 { 2 } else { 4 }];
        let full = || {
            let full = OpenOptions::new().write(true).open("/dev/full");
            let mut exec = scene.exec(options, script);
            exec.stdout(full.expect("the device")).stderr(Stdio::piped());
            Running::start(&mut exec).wait()
        };
        let assert_reason = |written: std::process::Output| {
            let messages = String::from_utf8_lossy(&written.stderr).into_owned();
            assert_eq!(written.status.code(), Some(70), "{messages}");
            assert!(
                messages.contains("cannot write the output: No space left"),
                "{messages}"
            );
        };
        assert_reason(full());
        assert_eq!(output(&mut scene.exec(options, script)).stdout, b"a\n");
        assert_eq!(
            scene.count("runs"),
            2 * (at + 1),
            "a result without its output is not kept"
        );
        assert_reason(full());
    }
}

#[test]
fn output_to_a_pipe_that_does_not_block_is_complete() {
    let scene = Scene::new();
    let script = "head -c 1000000 /dev/zero; echo x >>runs";
    for _ in 0..2 {
        let (mut read, write) = std::io::pipe().expect("a pipe");
        rustix::io::ioctl_fionbio(&write, true).expect("it becomes non-blocking");
        let mut exec = scene.exec(&["--cached"], script);
        let running = Running::start(exec.stdout(write));
        // The descriptor in the command of the test keeps the pipe open.
        drop(exec);
        std::thread::sleep(Duration::from_millis(500));
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut read, &mut bytes).expect("the output");
        assert_eq!((bytes.len(), running.code()), (1_000_000, Some(0)));
    }
    assert_eq!(scene.count("runs"), 1);
}

#[test]
fn a_signal_ends_exec_while_nobody_reads_its_output() {
    let scene = Scene::new();
    let small = "head -c 100000 /dev/zero; echo x >>done";
    let large = "head -c 900000 /dev/zero; echo x >>done";
    let unread = |options: &[&str], script: &str, signal: Signal| {
        let mut exec = scene.exec(options, script);
        let mut running = exec.stdout(Stdio::piped()).spawn().expect("the program starts");
        let _unread = running.stdout.take();
        std::thread::sleep(Duration::from_millis(1500));
        assert!(
            running.try_wait().expect("our child").is_none(),
            "it waits for its reader"
        );
        let start = Instant::now();
        let pid = rustix::process::Pid::from_child(&running);
        rustix::process::kill_process(pid, signal).expect("it runs");
        let code = loop {
            if let Some(status) = running.try_wait().expect("our child") {
                break status.code();
            }
            if start.elapsed() > Duration::from_secs(30) {
                let _ = running.kill();
                panic!("{signal:?} does not end it");
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        assert_eq!(code, Some(128 + signal.as_raw()), "{signal:?}");
    };
    // The command has ended, or it is blocked too.
    unread(&["--cached"], small, Signal::TERM);
    assert_eq!(scene.count("done"), 1);
    unread(&["--cached"], large, Signal::INT);
    assert_eq!(scene.count("done"), 1);
    // The result is replayed.
    let mut exec = scene.exec(&["--cached"], large);
    let stdout = File::create(scene.path("stdout")).expect("a file");
    assert_eq!(Running::start(exec.stdout(stdout)).code(), Some(0));
    unread(&["--cached"], small, Signal::TERM);
}

#[test]
fn a_limit_above_that_of_the_store_is_refused() {
    let scene = Scene::new();
    let refused = output(&mut scene.exec(&["--cached", "--max-output", "8388609"], "echo x >>runs"));
    let reason = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!((refused.status.code(), scene.count("runs")), (Some(64), 0));
    assert!(reason.contains("at most 8388608 bytes"), "{reason}");
    assert_eq!(
        code(&mut scene.exec(&["--cached", "--max-output", "8388608"], "true")),
        Some(0)
    );
}

#[test]
fn a_daemon_that_keeps_the_output_open_does_not_delay_the_result() {
    let scene = Scene::new();
    let script =
        "setsid sh -c 'echo $$ >>pids; sleep 300' & while [ ! -s pids ]; do sleep 0.02; done; echo done";
    let start = Instant::now();
    let mut exec = scene.exec(&["--cached"], script);
    let outputs = [output(&mut exec).stdout, output(&mut exec).stdout];
    let elapsed = start.elapsed();
    let daemons = scene.pids("pids");
    for daemon in &daemons {
        let _ = rustix::process::kill_process_group(*daemon, Signal::KILL);
    }
    assert_eq!(outputs, [b"done\n", b"done\n"]);
    assert_eq!(daemons.len(), 1);
    assert!(elapsed < Duration::from_secs(60), "{elapsed:?}");
}
