//! Child processes of the tests. A child is this test binary, which runs only [`main`]. The environment names its task.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use dspinlock_runtime::internals::protocol::Reply;
use dspinlock_runtime::internals::store::embedded::default_path;
use dspinlock_testkit::ChildProcess;

use crate::{abort, acquire, key, long, open, publish, step};

const TASK: &str = "DSPINLOCK_EMBEDDED_CHILD";

/// Runs the task. Each line for the test starts with `>`.
#[test]
#[ignore = "the main function of child processes"]
fn main() {
    let Ok(task) = std::env::var(TASK) else {
        return;
    };
    let words: Vec<&str> = task.split(' ').collect();
    match words.as_slice() {
        ["default_path"] => print_line(format!("{:?}", default_path())),
        ["open", path] => print_line(format!("{:?}", open(Path::new(path)).map(|_| "opened"))),
        ["long", path] => print_line(long::steps(Path::new(path)).to_string()),
        ["fill", path] => fill(Path::new(path)),
        ["publish", path] => publish_forever(Path::new(path)),
        ["take_turns", path, rounds] => {
            take_turns(Path::new(path), rounds.parse().expect("a number"));
        }
        other => panic!("unknown task {other:?}"),
    }
}

pub(crate) fn start(task: &str) -> ChildProcess {
    ChildProcess::start(&mut command(task))
}

/// The command of a child, for a test that runs it as another user or with limits.
pub(crate) fn command(task: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a test knows its own binary"));
    command
        .args(["--ignored", "--exact", "child::main", "--nocapture"])
        .env(TASK, task);
    command
}

/// The next line for the test.
pub(crate) fn next_line(child: &ChildProcess) -> String {
    loop {
        if let Some((_, line)) = child.recv().split_once('>') {
            return line.into();
        }
    }
}

/// The first line for the test of a command that exits.
pub(crate) fn output(mut command: Command) -> String {
    let output = command.output().expect("the child starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let line = text.split_once('>').and_then(|(_, line)| line.lines().next());
    line.unwrap_or_else(|| panic!("the child printed no line: {text}{errors}"))
        .into()
}

fn print_line(line: impl std::fmt::Display) {
    let mut output = std::io::stdout().lock();
    writeln!(output, ">{line}")
        .and_then(|()| output.flush())
        .expect("the test reads the output");
}

/// Publishes values until the store refuses one, then reads an earlier one.
fn fill(path: &Path) {
    let store = open(path).expect("the store opens");
    let payload = vec![b'x'; 100_000];
    let refusal = (0..u8::MAX).find_map(|number| {
        let key = key(number);
        let steps = step(&store, &key, acquire("a")).and_then(|reply| match reply {
            Reply::Acquired(fence) => step(&store, &key, publish(fence, &payload)),
            other => panic!("{other:?}"),
        });
        steps.err()
    });
    print_line(format!("{refusal:?}"));
    print_line(format!(
        "{:?}",
        step(&store, &key(0), crate::read()).map(|reply| matches!(reply, Reply::Hit(..)))
    ));
}

/// Acquires and publishes one key after another until the process is killed.
fn publish_forever(path: &Path) {
    let store = open(path).expect("the store opens");
    let payload = vec![b'x'; 50_000];
    for round in 0_u32.. {
        let (key, tag) = (
            key(round as u8 % 8),
            format!("{}-{}", std::process::id(), round % 10_000),
        );
        if let Ok(Reply::Acquired(fence)) = step(&store, &key, acquire(&tag)) {
            let reply = step(&store, &key, publish(fence, &payload));
            assert_eq!(reply, Ok(Reply::Published));
        }
        print_line(round);
    }
}

/// Acquires one key `rounds` times and checks each time that no other process holds it. Prints the duration of its longest
/// ACQUIRE in microseconds, and `rounds`.
fn take_turns(path: &Path, rounds: u32) {
    let inside: PathBuf = path.with_extension("inside");
    let (mut longest, mut fences) = (Duration::ZERO, Vec::new());
    let mut store = open(path).expect("the store opens");
    let mut calls = 0_u32;
    while fences.len() < rounds as usize {
        calls += 1;
        // At most 16 characters.
        let tag = format!("{:x}-{calls:x}", std::process::id());
        let started = Instant::now();
        let reply = step(&store, &key(1), acquire(&tag)).expect("the store replies within its time limit");
        longest = longest.max(started.elapsed());
        let Reply::Acquired(id) = reply else {
            // Does not sleep, so that the processes contend for the file all the time.
            std::thread::yield_now();
            continue;
        };
        fences.push(id.fence);
        fs::File::create_new(&inside).expect("no other process holds the lock");
        fs::remove_file(&inside).expect("this process still holds the lock");
        let release = match id.fence % 2 {
            0 => abort(&tag),
            _ => publish(id, b"value"),
        };
        let reply = step(&store, &key(1), release).expect("the store replies within its time limit");
        assert!(
            matches!(reply, Reply::Aborted(true) | Reply::Published),
            "{reply:?}"
        );
        // The old store closes the file. The file locks of the new store must stay.
        if fences.len() % 10 == 0 {
            store = open(path).expect("a second store opens");
        }
    }
    assert!(
        fences.is_sorted_by(|a, b| a < b),
        "the fences do not grow: {fences:?}"
    );
    print_line(longest.as_micros());
    print_line(fences.len());
}
