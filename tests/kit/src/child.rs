//! A child process that is driven by lines on its standard input and output.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::TEST_TIMEOUT;

/// A running child process. It is killed on drop.
#[derive(Debug)]
pub struct ChildProcess {
    child: Child,
    input: Mutex<Option<ChildStdin>>,
    output: Mutex<Receiver<String>>,
}

impl ChildProcess {
    /// Starts `command`. Its standard error is the test's.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let input = Mutex::new(child.stdin.take());
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let (send, output) = channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        Self {
            child,
            input,
            output: Mutex::new(output),
        }
    }

    /// Starts the test's own binary again. It runs only the test `name`; environment variables say what to do.
    pub fn own_test(name: &str, environment: &[(&str, &str)]) -> Self {
        Self::start(own_test(&mut Command::new(own_program()), name).envs(environment.iter().copied()))
    }

    /// Writes one line.
    pub fn send(&self, line: &str) {
        let mut input = self.input.lock().expect("no writer panicked");
        let input = input.as_mut().expect("the input is still open");
        input
            .write_all(format!("{line}\n").as_bytes())
            .expect("the child reads its input");
    }

    /// Reads the next line.
    pub fn recv(&self) -> String {
        self.recv_timeout(TEST_TIMEOUT)
    }

    /// Reads the next line, with a custom timeout.
    pub fn recv_timeout(&self, timeout: Duration) -> String {
        let output = self.output.lock().expect("no reader panicked");
        output
            .recv_timeout(timeout)
            .expect("the child writes a line in time")
    }

    /// Writes one line and reads the next one.
    pub fn request(&self, line: &str) -> String {
        self.send(line);
        self.recv()
    }

    /// Waits until the process has exited.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("the process is our child")
    }

    /// Takes the receiver of the lines; later reads of `self` fail.
    pub(crate) fn take_output(&mut self) -> Receiver<String> {
        let (_, nothing) = channel();
        std::mem::replace(self.output.get_mut().expect("no reader panicked"), nothing)
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGSTOP.
    pub fn pause(&self) {
        signal(&self.child, Signal::STOP);
    }

    /// Sends SIGCONT.
    pub fn resume(&self) {
        signal(&self.child, Signal::CONT);
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        signal(&self.child, Signal::TERM);
    }

    /// Sends SIGKILL and does not wait for the process to exit.
    pub fn start_kill(&self) {
        signal(&self.child, Signal::KILL);
    }

    /// Sends SIGKILL and waits until the process has exited.
    pub fn kill(&mut self) {
        // Fails only if the child has exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(crate) fn own_program() -> PathBuf {
    std::env::current_exe().expect("the path of the test binary")
}

/// Makes the test's own binary run one test only.
pub(crate) fn own_test<'a>(command: &'a mut Command, name: &str) -> &'a mut Command {
    command
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env_remove("DSPINLOCK_URL")
        // Some bodies panic on purpose: their backtraces are noise.
        .env("RUST_BACKTRACE", "0")
}

pub(crate) fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).expect("the process exists");
}
