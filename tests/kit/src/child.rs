//! A child process that is spoken to line by line.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::PATIENCE;

/// A running child; it is killed when dropped.
#[derive(Debug)]
pub struct Lines {
    child: Child,
    input: Mutex<Option<ChildStdin>>,
    output: Mutex<Receiver<String>>,
}

impl Lines {
    /// Starts `command`; its standard error goes to the test's.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
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

    /// Starts the test's own binary anew, on the one test `name`, which is told by variables what to do.
    pub fn own_test(name: &str, environment: &[(&str, &str)]) -> Self {
        Self::start(own_test(&mut Command::new(own_program()), name).envs(environment.iter().copied()))
    }

    /// Sends one line.
    pub fn say(&self, line: &str) {
        let mut input = self.input.lock().expect("no writer panicked");
        let input = input.as_mut().expect("the input is still open");
        input
            .write_all(format!("{line}\n").as_bytes())
            .expect("the child still listens");
    }

    /// The next line.
    pub fn hear(&self) -> String {
        self.hear_within(PATIENCE)
    }

    /// The next line of a child that has much to do.
    pub fn hear_within(&self, patience: Duration) -> String {
        let output = self.output.lock().expect("no reader panicked");
        output.recv_timeout(patience).expect("the child says something")
    }

    /// Sends one line and takes the next as its answer.
    pub fn ask(&self, line: &str) -> String {
        self.say(line);
        self.hear()
    }

    /// The lines for a reader of one's own.
    pub(crate) fn take_output(&mut self) -> Receiver<String> {
        let (_, nothing) = channel();
        std::mem::replace(self.output.get_mut().expect("no reader panicked"), nothing)
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Stops the process in its tracks (SIGSTOP).
    pub fn pause(&self) {
        signal(&self.child, Signal::STOP);
    }

    /// Lets it go on (SIGCONT).
    pub fn resume(&self) {
        signal(&self.child, Signal::CONT);
    }

    /// Kills it as `kill -9` does, and does not wait for its death.
    pub fn strike(&self) {
        signal(&self.child, Signal::KILL);
    }

    /// Kills it as `kill -9` does, and returns when it is dead.
    pub fn kill(&mut self) {
        // Fails only where the child has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(crate) fn own_program() -> PathBuf {
    std::env::current_exe().expect("a test knows its own binary")
}

/// The arguments of the test's own binary to run one test alone.
pub(crate) fn own_test<'a>(command: &'a mut Command, name: &str) -> &'a mut Command {
    command
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env_remove("DSPINLOCK_URL")
        // Bodies panic when they are told to; nobody wants to read where.
        .env("RUST_BACKTRACE", "0")
}

pub(crate) fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).expect("the process is there");
}
