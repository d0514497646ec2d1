//! Processes of the tests: this very binary, started anew on [`main`], with its part in the environment.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use dspinlock_runtime::internals::protocol::Reply;
use dspinlock_runtime::internals::store::embedded::default_path;
use dspinlock_testkit::ChildProcess;

use crate::{abort, acquire, key, long, open, publish, step};

const PART: &str = "DSPINLOCK_EMBEDDED_CHILD";

/// What a child can be asked for; each line that it prints for its test begins with `>`.
#[test]
#[ignore = "a process of other tests"]
fn main() {
    let Ok(part) = std::env::var(PART) else {
        return;
    };
    let words: Vec<&str> = part.split(' ').collect();
    match words.as_slice() {
        ["default_path"] => say(format!("{:?}", default_path())),
        ["open", path] => say(format!("{:?}", open(Path::new(path)).map(|_| "opened"))),
        ["long", path] => say(long::steps(Path::new(path)).to_string()),
        ["fill", path] => fill(Path::new(path)),
        ["publish", path] => publish_for_ever(Path::new(path)),
        ["take_turns", path, rounds] => {
            take_turns(Path::new(path), rounds.parse().expect("a number"));
        }
        other => panic!("unknown part {other:?}"),
    }
}

pub(crate) fn start(part: &str) -> ChildProcess {
    ChildProcess::start(&mut command(part))
}

/// The program and its arguments, for a test that runs it under another user or with limits.
pub(crate) fn command(part: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a test knows its own binary"));
    command
        .args(["--ignored", "--exact", "child::main", "--nocapture"])
        .env(PART, part);
    command
}

/// The next line that is meant for the test.
pub(crate) fn hear(child: &ChildProcess) -> String {
    loop {
        if let Some((_, line)) = child.recv().split_once('>') {
            return line.into();
        }
    }
}

/// What a command that runs to its end says.
pub(crate) fn output(mut command: Command) -> String {
    let output = command.output().expect("the child starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let said = text.split_once('>').and_then(|(_, said)| said.lines().next());
    said.unwrap_or_else(|| panic!("the child says nothing: {text}{errors}"))
        .into()
}

fn say(line: impl std::fmt::Display) {
    let mut output = std::io::stdout().lock();
    writeln!(output, ">{line}")
        .and_then(|()| output.flush())
        .expect("the test listens");
}

/// Publishes larger and larger values until the store refuses one, then asks for something small.
fn fill(path: &Path) {
    let store = open(path).expect("a store");
    let payload = vec![b'x'; 100_000];
    let refusal = (0..u8::MAX).find_map(|number| {
        let key = key(number);
        let steps = step(&store, &key, acquire("a")).and_then(|reply| match reply {
            Reply::Acquired(fence) => step(&store, &key, publish("a", fence, &payload)),
            other => panic!("{other:?}"),
        });
        steps.err()
    });
    say(format!("{refusal:?}"));
    say(format!(
        "{:?}",
        step(&store, &key(0), crate::read()).map(|reply| matches!(reply, Reply::Hit(..)))
    ));
}

/// Takes and publishes one key after another until it is killed.
fn publish_for_ever(path: &Path) {
    let store = open(path).expect("a store");
    let payload = vec![b'x'; 50_000];
    for round in 0_u32.. {
        let (key, tag) = (key(round as u8 % 8), format!("{}-{round}", std::process::id()));
        if let Ok(Reply::Acquired(fence)) = step(&store, &key, acquire(&tag)) {
            let reply = step(&store, &key, publish(&tag, fence, &payload));
            assert_eq!(reply, Ok(Reply::Published));
        }
        say(round);
    }
}

/// Holds one key so many times, and proves each time to be alone; then tells its longest step in microseconds.
fn take_turns(path: &Path, rounds: u32) {
    let inside: PathBuf = path.with_extension("inside");
    let (mut longest, mut fences) = (Duration::ZERO, Vec::new());
    let mut store = open(path).expect("a store");
    let mut calls = 0;
    while fences.len() < rounds as usize {
        calls += 1;
        let tag = format!("{}-{calls}", std::process::id());
        let asked = Instant::now();
        let reply = step(&store, &key(1), acquire(&tag)).expect("a reply in time");
        longest = longest.max(asked.elapsed());
        let Reply::Acquired(fence) = reply else {
            // Who waits would rather sleep; here all want to hammer.
            std::thread::yield_now();
            continue;
        };
        fences.push(fence);
        fs::File::create_new(&inside).expect("nobody else is inside");
        fs::remove_file(&inside).expect("still inside");
        let release = match fence % 2 {
            0 => abort(&tag),
            _ => publish(&tag, fence, b"value"),
        };
        let reply = step(&store, &key(1), release).expect("a reply in time");
        assert!(
            matches!(reply, Reply::Aborted(true) | Reply::Published),
            "{reply:?}"
        );
        // One of two stores of one process closes the file: the locks of the other must not go with it.
        if fences.len() % 10 == 0 {
            store = open(path).expect("a second store");
        }
    }
    assert!(fences.is_sorted_by(|a, b| a < b), "fences grow");
    say(longest.as_micros());
    say(fences.len());
}
