//! What the tests share: a server, a folder, and commands in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use dspinlock_testkit::{Redis, TEST_TIMEOUT, eventually};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// An argument of `env`. A shell without job control ignores these signals in its background jobs, and `exec` would keep that.
pub(crate) const DEFAULT_SIGNALS: &str = "--default-signal=INT,QUIT";

/// A server and a folder, in which the commands run.
pub(crate) struct Scene {
    pub(crate) redis: Redis,
    folder: TempDir,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self {
            redis: Redis::start(),
            folder: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    /// `dspinlock exec --key k OPTIONS -- sh -c SCRIPT`, without input.
    pub(crate) fn exec(&self, options: &[&str], script: &str) -> Command {
        let mut command = self.dspinlock();
        command.args(["exec", "--key", "k"]).args(options);
        command.args(["--", "sh", "-c", script]);
        command
    }

    /// The program under test, which uses the server and runs in the folder.
    pub(crate) fn dspinlock(&self) -> Command {
        let mut command = Command::new("env");
        command
            .args([DEFAULT_SIGNALS, env!("CARGO_BIN_EXE_dspinlock")])
            .env("DSPINLOCK_URL", self.redis.url())
            .env("RUST_BACKTRACE", "0")
            .current_dir(self.folder())
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder().join(file)
    }

    /// The text of a file, which is empty if the file does not exist.
    pub(crate) fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path(file)).unwrap_or_default()
    }

    pub(crate) fn write(&self, file: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(file), text).expect("the folder is writable");
    }

    /// The number of lines of a file. Commands append a line for each event.
    pub(crate) fn count(&self, file: &str) -> usize {
        self.read(file).lines().count()
    }

    /// Waits until a file has so many lines.
    pub(crate) fn until(&self, file: &str, lines: usize) {
        eventually(&format!("{lines} lines in `{file}`"), || {
            (self.count(file) >= lines).then_some(())
        });
    }

    /// The process ids in a file, one a line.
    pub(crate) fn pids(&self, file: &str) -> Vec<Pid> {
        self.read(file).lines().map(pid).collect()
    }
}

fn pid(text: &str) -> Pid {
    text.trim()
        .parse()
        .ok()
        .and_then(Pid::from_raw)
        .expect("a process id")
}

/// A started `exec`, which is killed on drop.
pub(crate) struct Running(Option<Child>);

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(Some(command.spawn().expect("the program starts")))
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(self.0.as_ref().expect("it was not waited for"))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the process exists");
    }

    /// Waits for the end, with a time limit. Output that was piped is returned.
    pub(crate) fn wait(mut self) -> Output {
        let mut child = self.0.take().expect("it was not waited for");
        let start = Instant::now();
        while child.try_wait().expect("it is our child").is_none() {
            if start.elapsed() > TEST_TIMEOUT {
                let _ = child.kill();
                panic!("the program did not end in time");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        child.wait_with_output().expect("it is our child")
    }

    /// Waits for the end, and returns the exit code.
    pub(crate) fn code(self) -> Option<i32> {
        self.wait().status.code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Runs a program to its end, and returns the exit code.
pub(crate) fn code(command: &mut Command) -> Option<i32> {
    Running::start(command.stdout(Stdio::null()).stderr(Stdio::null())).code()
}

/// Runs a program to its end, and returns what it has written.
pub(crate) fn output(command: &mut Command) -> Output {
    // The output is small, so the pipes hold all of it.
    Running::start(command.stdout(Stdio::piped()).stderr(Stdio::piped())).wait()
}

pub(crate) fn stdout(command: &mut Command) -> String {
    String::from_utf8(output(command).stdout).expect("UTF-8")
}

/// A field of `/proc/PID/stat`, counted as in proc(5). `None` if the process does not exist.
pub(crate) fn stat(pid: Pid, field: usize) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).ok()?;
    // The second field is the name, which may contain blanks.
    let (_, fields) = text.rsplit_once(')')?;
    fields.split_whitespace().nth(field - 3).map(Into::into)
}

/// Whether the process runs. One that has ended but was not collected does not.
pub(crate) fn is_alive(process: Pid) -> bool {
    stat(process, 3).is_some_and(|state| state != "Z")
}

pub(crate) fn parent(process: Pid) -> Pid {
    pid(&stat(process, 4).expect("the process exists"))
}
