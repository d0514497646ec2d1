//! The body of the lock: starts the guard, and is a foreground job to the shell while the command runs. `exec` calls it.
//!
//! The guard starts and ends the command. This module tells it when the lease ends, passes signals on, and keeps the
//! terminal with the command.

use std::cell::RefCell;
use std::ffi::OsString;
use std::future::{pending, poll_fn};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dspinlock::{Current, Error};
use rustix::process::{
    Pid, Signal, WaitOptions, kill_current_process_group, kill_process_group, test_kill_process_group,
    waitpgid,
};
use serde::{Deserialize, Serialize};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::channel::{Channel, Message, after, now, send_stdio};
use super::guard;
use super::output::{Output, Recorded, Recorder};
use super::signals::Signals;
use super::terminal::Terminal;

/// How often the guard is told the deadline, if it has changed, and the terminal is looked at.
const TICK: Duration = Duration::from_millis(100);

/// How long a reader of the output has after a signal. It may have stopped reading.
const READ_TIMEOUT: Duration = Duration::from_secs(3);

/// What to run, and how.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) command: Vec<OsString>,
    /// The time between SIGTERM and SIGKILL.
    pub(super) grace: Duration,
    /// The largest output in bytes that is recorded. `None`: no output is recorded.
    pub(super) record: Option<usize>,
    /// Whether a code other than 0 is a result that is kept.
    pub(super) keep_failures: bool,
}

/// The result that other callers replay.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Finished {
    pub(super) code: u8,
    pub(super) output: Output,
}

/// The command has no result that is kept.
#[derive(Debug)]
pub(super) enum Failure {
    /// The lock failed.
    Lock(Error),
    /// The command ended with this exit code.
    Exited(u8),
    /// The lease ended before the command.
    LeaseLost,
    /// The command could not be started.
    NotStarted(io::Error),
    /// The output of the command could not be written.
    NotWritten(io::Error),
    /// The guard could not be started, or was killed.
    NoGuard(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Lock(error)
    }
}

/// How the command ended.
enum End {
    Exited(u8),
    Killed(i32),
    NotStarted(io::Error),
    /// The guard ended without a word about the command.
    Unknown,
}

impl Job {
    /// Runs the command under this lease. A future that is dropped ends the command, because the guard sees it.
    pub(super) async fn run(&self, lease: &Current, signals: &RefCell<Signals>) -> Result<Finished, Failure> {
        let no_guard = |error: io::Error| Failure::NoGuard(format!("cannot start the guard: {error}"));
        let recording = self.record.map(Recorder::start).transpose().map_err(no_guard)?;
        let (recorder, pipes) = match recording {
            Some((recorder, stdout, stderr)) => (Some(recorder), Some((stdout, stderr))),
            None => (None, None),
        };
        let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
        let stdio = match &pipes {
            Some((stdout, stderr)) => [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()],
            None => [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()],
        };
        signals.borrow_mut().catch_job_control().map_err(no_guard)?;
        let (channel, mut guard) = self.start_guard(lease, stdio).map_err(no_guard)?;
        // The command has the only copies, so their readers see its end.
        drop(pipes);
        let mut running = Running {
            channel,
            deadline: 0,
            ended_by: None,
            group: None,
            terminal: Terminal::open(),
        };
        let (end, is_lost) = running.watch(lease, signals).await;
        if let (Some(terminal), Some(group)) = (&running.terminal, running.group) {
            terminal.take_back(group);
        }
        if let (End::Unknown, Some(group)) = (&end, running.group) {
            end_group(group, self.grace).await;
        }
        // Fails only if the guard is not our child.
        let _ = guard.wait();
        let recorded = match recorder {
            Some(recorder) => match finish(recorder, running.ended_by, signals).await {
                Ok(recorded) => Some(recorded),
                Err(_) if is_lost => None,
                Err(signal) => return Err(Failure::Exited(code_of(signal.as_raw()))),
            },
            None => None,
        };
        if is_lost {
            return Err(Failure::LeaseLost);
        }
        let recorded = match recorded {
            Some(Ok(Recorded::NotWritten(error))) => return Err(Failure::NotWritten(error)),
            recorded => recorded,
        };
        match end {
            End::Exited(code) => self.finished(code, recorded),
            End::Killed(signal) => Err(Failure::Exited(code_of(signal))),
            End::NotStarted(error) => Err(Failure::NotStarted(error)),
            End::Unknown => Err(Failure::NoGuard(
                "the guard of the command was killed, so the command was ended".into(),
            )),
        }
    }

    fn start_guard(
        &self,
        lease: &Current,
        stdio: [std::os::fd::BorrowedFd<'_>; 3],
    ) -> io::Result<(Channel, Child)> {
        let (socket, of_guard) = UnixStream::pair()?;
        // An orphan of a killed guard becomes a child of this process, so `end_group` sees its end.
        #[cfg(target_os = "linux")]
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        // The file may have been replaced by that of another version.
        let file = std::env::current_exe().ok().filter(|file| file.exists());
        let program = file.unwrap_or_else(|| "/proc/self/exe".into());
        let guard = Command::new(program)
            .arg0("dspinlock")
            .args(guard::command_line(self.grace, lease.fence(), &self.command))
            .stdin(std::os::fd::OwnedFd::from(of_guard))
            .stdout(Stdio::null())
            // A signal to the group of `exec` must not reach the guard.
            .process_group(0)
            .spawn()?;
        send_stdio(&socket, stdio)?;
        Ok((Channel::new(socket)?, guard))
    }

    fn finished(&self, code: u8, recorded: Option<io::Result<Recorded>>) -> Result<Finished, Failure> {
        if code != 0 && !self.keep_failures {
            return Err(Failure::Exited(code));
        }
        let output = match recorded {
            None => Output::default(),
            Some(Ok(Recorded::Whole(output))) => output,
            Some(not_kept) => {
                crate::messages::print(format_args!("the result is not kept: {}", self.reason(&not_kept)));
                return Err(Failure::Exited(code));
            }
        };
        Ok(Finished { code, output })
    }

    fn reason(&self, not_kept: &io::Result<Recorded>) -> String {
        match not_kept {
            Err(error) => format!("cannot read the output of the command: {error}"),
            Ok(Recorded::Closed) => "the reader of the output has closed it".into(),
            Ok(_) => format!(
                "the output has more than {} bytes; raise `--max-output`",
                self.record.unwrap_or_default()
            ),
        }
    }
}

/// Waits until the output is written. A signal ends that, because the reader of the output may never read it. If a signal has
/// reached the command already, the reader has only a short time.
async fn finish(
    recorder: Recorder,
    ended_by: Option<Signal>,
    signals: &RefCell<Signals>,
) -> Result<io::Result<Recorded>, Signal> {
    let timeout = async {
        match ended_by {
            Some(signal) => {
                sleep(READ_TIMEOUT).await;
                signal
            }
            None => pending().await,
        }
    };
    let next = async {
        loop {
            let signal = poll_fn(|context| signals.borrow_mut().poll(context)).await;
            if is_request_to_end(signal) {
                return signal;
            }
        }
    };
    tokio::select! {
        biased;
        recorded = recorder.finish() => Ok(recorded),
        signal = next => Err(signal),
        signal = timeout => Err(signal),
    }
}

/// Whether a program that gets the signal is expected to end. Programs use SIGUSR1 and SIGUSR2 for other purposes.
fn is_request_to_end(signal: Signal) -> bool {
    [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT].contains(&signal)
}

/// The exit code of a command that a signal ended, as shells report it.
pub(super) fn code_of(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(u8::MAX)
}

/// A guard and its command.
struct Running {
    channel: Channel,
    /// The last deadline that the guard was told.
    deadline: i64,
    /// The last signal that asked the command to end.
    ended_by: Option<Signal>,
    /// The process group of the command, when it has started.
    group: Option<Pid>,
    terminal: Option<Terminal>,
}

impl Running {
    /// Waits for the end of the command. Also returns whether it was ended because of the lease.
    async fn watch(&mut self, lease: &Current, signals: &RefCell<Signals>) -> (End, bool) {
        let mut tick = interval(TICK);
        // The time for which this process was stopped is no reason to hurry.
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_lost = false;
        self.tell_deadline(lease).await;
        loop {
            tokio::select! {
                message = self.channel.receive() => match message {
                    None => return (End::Unknown, is_lost),
                    Some(Message::Started(group)) => {
                        self.group = Pid::from_raw(group);
                        self.pass_terminal_on();
                    }
                    Some(Message::Stopped(signal)) => self.stopped(signal, lease).await,
                    Some(Message::Expiring) => is_lost = true,
                    Some(Message::Exited(code)) => return (End::Exited(code as u8), is_lost),
                    Some(Message::Killed(signal)) => return (End::Killed(signal), is_lost),
                    Some(Message::NotStarted(error)) => {
                        return (End::NotStarted(io::Error::from_raw_os_error(error)), is_lost);
                    }
                    Some(_) => {}
                },
                signal = poll_fn(|context| signals.borrow_mut().poll(context)) => {
                    if signal == Signal::CONT {
                        // The shell's `fg` gives the terminal first, and then continues the job.
                        self.pass_terminal_on();
                        self.tell_deadline(lease).await;
                    }
                    if is_request_to_end(signal) {
                        self.ended_by = Some(signal);
                    }
                    self.send(Message::Signal(signal.as_raw())).await;
                }
                () = lease.lost(), if !is_lost => {
                    is_lost = true;
                    self.send(Message::End).await;
                }
                _ = tick.tick() => {
                    // `fg` of a job that runs in the background gives the terminal without a signal.
                    self.pass_terminal_on();
                    self.tell_deadline(lease).await;
                }
            }
        }
    }

    async fn send(&mut self, message: Message) {
        // Fails only if the guard has ended, which the next `receive` finds.
        let _ = self.channel.send(message).await;
    }

    /// Tells the guard when the lease ends. The heartbeat moves that time.
    async fn tell_deadline(&mut self, lease: &Current) {
        let deadline = match lease.is_lost() {
            true => now(),
            false => after(lease.remaining()),
        };
        if (deadline - self.deadline).abs() > 5 {
            self.deadline = deadline;
            self.send(Message::Deadline(deadline)).await;
        }
    }

    fn pass_terminal_on(&self) {
        if let (Some(terminal), Some(group)) = (&self.terminal, self.group) {
            terminal.pass_on(group);
        }
    }

    /// The command has stopped. A job stops as a whole, so that its shell notices it. SIGCONT continues both.
    async fn stopped(&mut self, signal: i32, lease: &Current) {
        let (Some(terminal), Some(group)) = (&self.terminal, self.group) else {
            return;
        };
        let wants_terminal = [Signal::TTIN, Signal::TTOU].map(Signal::as_raw).contains(&signal);
        if wants_terminal && (terminal.is_own() || terminal.is_of(group)) {
            terminal.give(group);
            self.send(Message::Signal(Signal::CONT.as_raw())).await;
        } else if terminal.has_job_control() {
            terminal.take_back(group);
            self.tell_deadline(lease).await;
            // Not the signal that stopped the command, because this process catches it. It returns after SIGCONT.
            let _ = kill_current_process_group(Signal::STOP);
        } else if signal == Signal::TSTP.as_raw() {
            // No shell could continue the job. The kernel does not stop such a group either.
            self.send(Message::Signal(Signal::CONT.as_raw())).await;
        }
    }
}

/// Ends a group without its guard.
async fn end_group(group: Pid, grace: Duration) {
    let until = after(grace);
    // They fail only if the group has ended.
    let _ = kill_process_group(group, Signal::TERM);
    let _ = kill_process_group(group, Signal::CONT);
    while test_kill_process_group(group).is_ok() {
        while let Ok(Some(_)) = waitpgid(group, WaitOptions::NOHANG) {}
        if now() >= until {
            let _ = kill_process_group(group, Signal::KILL);
        }
        sleep(Duration::from_millis(10)).await;
    }
}
