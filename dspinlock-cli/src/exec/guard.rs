//! The guard: a process that starts the command in a separate group, and ends the group before the lease ends.
//!
//! `exec` starts it. It acts on its own if `exec` is killed, stopped or too slow, so it must depend on nothing but the last
//! deadline. It never talks to a store.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, kill_process_group, test_kill_process_group, wait,
};
use rustix::stdio::stdin;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use super::channel::{Channel, Message, now, receive_stdio};
use super::signals::Signals;
use crate::exit::Exit;

/// How often the guard looks whether the rest of a group has ended.
const TICK: Duration = Duration::from_millis(10);

/// No timer is longer, because timers do not count the time of a suspended machine.
const MAX_SLEEP: Duration = Duration::from_secs(1);

/// Starts a command, and ends it together with `exec`, which calls this.
#[derive(Debug, clap::Args)]
pub(crate) struct GuardArgs {
    /// The time between SIGTERM and SIGKILL in milliseconds.
    #[arg(long)]
    grace_ms: i64,
    /// The fence of the lock.
    #[arg(long)]
    fence: u64,
    /// The command and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// The command line of a guard, behind the name of this program.
pub(super) fn command_line(grace: Duration, fence: u64, command: &[OsString]) -> Vec<OsString> {
    let mut line: Vec<OsString> = vec![
        "exec-guard".into(),
        format!("--grace-ms={}", grace.as_millis()).into(),
        format!("--fence={fence}").into(),
        "--".into(),
    ];
    line.extend_from_slice(command);
    line
}

pub(crate) fn run(args: &GuardArgs) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.and_then(|runtime| runtime.block_on(guard(args))) {
        Ok(()) => ExitCode::SUCCESS,
        // `exec` reports that its guard has ended.
        Err(_) => Exit::Internal.into(),
    }
}

async fn guard(args: &GuardArgs) -> io::Result<()> {
    let socket = UnixStream::from(stdin().try_clone_to_owned()?);
    let stdio = receive_stdio(&socket)?;
    // A signal to every process of this program must not end the guard before the command. `exec` passes it on.
    let _caught = Signals::catch()?;
    let mut children = signal(SignalKind::child())?;
    // The guard becomes the parent of the orphans of the group, so it sees when they have ended.
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let mut channel = Channel::new(socket)?;
    let Some(Message::Deadline(deadline)) = channel.receive().await else {
        return Ok(());
    };
    let group = match start(args, stdio) {
        Ok(group) => group,
        Err(error) => return channel.send(not_started(&error)).await,
    };
    let mut group = Group {
        id: group,
        grace: args.grace_ms,
        deadline,
        status: None,
        kill_at: None,
    };
    // If a message cannot be sent, `exec` has ended, which the next `receive` finds.
    let _ = channel.send(Message::Started(group.id.as_raw_pid())).await;
    let mut is_connected = true;
    loop {
        for signal in group.reap() {
            let _ = channel.send(Message::Stopped(signal)).await;
        }
        if let Some(status) = group.status {
            group.end();
            if !group.exists() {
                let _ = channel.send(ended(status)).await;
                return Ok(());
            }
        }
        if group.is_expiring() {
            let _ = channel.send(Message::Expiring).await;
            group.end();
        }
        group.kill_if_due();
        tokio::select! {
            message = channel.receive(), if is_connected => match message {
                Some(Message::Deadline(at)) => group.deadline = at,
                Some(Message::Signal(signal)) => group.signal(signal),
                Some(Message::End) => group.end(),
                Some(_) => {}
                None => {
                    is_connected = false;
                    group.end();
                }
            },
            _ = children.recv() => {}
            () = sleep(group.pause()) => {}
        }
    }
}

/// Starts the command in a new process group, whose id is that of the command.
fn start(args: &GuardArgs, [stdin, stdout, stderr]: [OwnedFd; 3]) -> io::Result<Pid> {
    let (program, arguments) = args.command.split_first().ok_or(io::ErrorKind::NotFound)?;
    let child = Command::new(program)
        .args(arguments)
        .env("DSPINLOCK_FENCE", args.fence.to_string())
        .stdin(stdin)
        .stdout(Stdio::from(stdout))
        .stderr(Stdio::from(stderr))
        .process_group(0)
        .spawn()?;
    Ok(Pid::from_child(&child))
}

fn not_started(error: &io::Error) -> Message {
    Message::NotStarted(error.raw_os_error().unwrap_or_default())
}

fn ended(status: WaitStatus) -> Message {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Message::Exited(code),
        (None, signal) => Message::Killed(signal.unwrap_or_default()),
    }
}

/// The process group of the command.
struct Group {
    id: Pid,
    /// The time between SIGTERM and SIGKILL, in milliseconds.
    grace: i64,
    /// When the lease ends.
    deadline: i64,
    /// How the command ended. Other processes of the group may still run.
    status: Option<WaitStatus>,
    /// SIGTERM was sent. At this time SIGKILL follows.
    kill_at: Option<i64>,
}

impl Group {
    /// Collects the children that have ended. Returns the signals that have stopped the command.
    fn reap(&mut self) -> Vec<i32> {
        let mut stopped = Vec::new();
        // An error says that there is no child.
        while let Ok(Some((child, status))) = wait(WaitOptions::NOHANG | WaitOptions::UNTRACED) {
            if child == self.id {
                match status.stopping_signal() {
                    Some(signal) => stopped.push(signal),
                    None => self.status = Some(status),
                }
            }
        }
        stopped
    }

    /// Whether a process of the group has not been collected yet.
    fn exists(&self) -> bool {
        test_kill_process_group(self.id).is_ok()
    }

    /// Whether the grace must begin now, so that it ends before the lease.
    fn is_expiring(&self) -> bool {
        self.kill_at.is_none() && now() >= self.deadline - self.grace
    }

    /// Sends SIGTERM, once. SIGCONT lets a stopped process handle it.
    fn end(&mut self) {
        if self.kill_at.is_none() {
            self.kill_at = Some((now() + self.grace).min(self.deadline));
            if now() < self.deadline {
                self.send(Signal::TERM);
                self.send(Signal::CONT);
            }
        }
    }

    fn kill_if_due(&self) {
        if self.kill_at.is_some_and(|at| now() >= at) {
            self.send(Signal::KILL);
        }
    }

    fn signal(&self, signal: i32) {
        if let Some(signal) = Signal::from_named_raw(signal) {
            self.send(signal);
        }
    }

    fn send(&self, signal: Signal) {
        // Fails only if the group has ended.
        let _ = kill_process_group(self.id, signal);
    }

    /// The time until the guard has to look again, if nothing happens.
    fn pause(&self) -> Duration {
        match self.kill_at {
            Some(_) => TICK,
            None => {
                let remaining = u64::try_from(self.deadline - self.grace - now()).unwrap_or_default();
                Duration::from_millis(remaining).clamp(Duration::from_millis(1), MAX_SLEEP)
            }
        }
    }
}
