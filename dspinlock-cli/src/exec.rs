//! `dspinlock exec`: runs a command under a lock.
//!
//! This module makes a locked call of the site `exec` from the arguments. The body of the call is `job`, in the order of a
//! run: `inputs` reads the files of the key, `job` starts a `guard` and talks to it over a `channel`, `signals` and
//! `terminal` are what a shell's job needs, and `output` records and replays.

mod channel;
mod guard;
mod inputs;
mod job;
mod output;
mod signals;
mod terminal;

use std::cell::{Cell, RefCell};
use std::ffi::OsString;
use std::future::{Future, poll_fn};
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::task::Poll;
use std::time::Duration;

use dspinlock::{Error, Pool};

use self::job::{Failure, Finished, Job, code_of};
use self::signals::Signals;
use crate::duration;
use crate::exit::Exit;
use crate::messages::print;

pub(crate) use self::guard::{GuardArgs, run as guard};

/// The longest time that the library accepts. A command may run as long as its lease is renewed.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// A guard and its command need some milliseconds to start.
const MIN_LEASE: Duration = Duration::from_secs(1);

/// What the pools of `exec` store: the default of `max_value_size`. Output of exactly this size is not kept either, because
/// its encoding is longer.
const MAX_MAX_OUTPUT: usize = 8 << 20;

/// A program that handles SIGTERM rarely needs longer.
const MAX_DEFAULT_GRACE: Duration = Duration::from_secs(10);

const EXAMPLES: &str = "\
Examples:
  One run at a time, on all hosts that use this server:
    export DSPINLOCK_URL=redis://cache.example
    dspinlock exec --key backup -- ./backup.sh

  A nightly job on three hosts, of which one runs it:
    dspinlock exec --key report-$(date +%F) --once --ttl 20h -- ./report.sh

  Skip the run of a cron job if the last one has not ended:
    dspinlock exec --key sync --skip-if-busy -- rsync -a /data/ backup:/data/

  Compile once for all CI workers, and print the same output on each:
    dspinlock exec --key lint --input Cargo.lock src/*.rs --cached --ttl 7d -- cargo clippy

The command runs in its own process group. SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1 and SIGUSR2 are passed on to it. When the
command exits, the rest of its group is ended before the lock is released. If the lease ends, or `exec` is killed, even
with SIGKILL, the group gets SIGTERM and after the grace SIGKILL, before another caller can acquire the lock. The environment
variable DSPINLOCK_FENCE of the command has the fence of the lock: a number that grows with every run.";

/// Runs a command while holding the lock of a key.
///
/// The lock is renewed as long as the command runs, and is released when the command ends. `exec` exits with the code of the
/// command.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// The key: commands with the same key and the same inputs exclude each other.
    #[arg(long)]
    key: String,
    /// Files whose names and contents are part of the key.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    input: Vec<PathBuf>,
    /// Keep the output and the exit code: later callers print them, and do not run the command.
    #[arg(long)]
    cached: bool,
    /// Run the command once per `--ttl`: while it runs, and if it has succeeded, exit with code 75.
    #[arg(long, conflicts_with_all = ["cached", "wait", "skip_if_busy"])]
    once: bool,
    /// How long the result is kept (`--cached`), or the run counts (`--once`) [default: 1h].
    #[arg(long, value_parser = duration::parse)]
    ttl: Option<Duration>,
    /// Also keep results with an exit code other than 0 (`--cached`), or count such runs (`--once`).
    ///
    /// By default, a command that failed runs again. If a signal ended the command, it always does.
    #[arg(long)]
    keep_failures: bool,
    /// The largest output in bytes that `--cached` keeps; at most 8 MiB. A larger output is passed through.
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20, requires = "cached")]
    max_output: usize,
    /// How long to wait for the lock before exiting with code 75 [default: no limit].
    #[arg(long, value_parser = duration::parse, conflicts_with = "skip_if_busy")]
    wait: Option<Duration>,
    /// Do not wait: if another caller holds the lock, exit with code 75.
    #[arg(long)]
    skip_if_busy: bool,
    /// How long the lock outlives this host, if it crashes. At least 1s.
    ///
    /// The lock is renewed three times in this time. A command that is stopped, or disconnected from the store, for longer
    /// is ended.
    #[arg(long, value_parser = duration::parse, default_value = "15s")]
    lease: Duration,
    /// How long the command may run after SIGTERM before it gets SIGKILL; at most a third of the lease [default: a third of
    /// the lease, at most 10s].
    #[arg(long, value_parser = duration::parse)]
    grace: Option<Duration>,
    /// The store, for example redis://host [default: the environment variable DSPINLOCK_URL, or a file of this user].
    ///
    /// Other users of this machine may see arguments, so a URL with a password belongs into DSPINLOCK_URL.
    #[arg(long)]
    url: Option<String>,
    /// The command and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

pub(crate) fn run(args: Args) -> ExitCode {
    match prepare(args) {
        Ok(plan) => plan.run(),
        Err(reason) => {
            print(reason);
            Exit::Usage.into()
        }
    }
}

/// What the arguments say, checked.
struct Plan {
    args: Args,
    inputs: Vec<inputs::Input>,
    job: Job,
}

fn prepare(mut args: Args) -> Result<Plan, String> {
    if args.lease < MIN_LEASE {
        return Err(format!("`--lease` must be at least {MIN_LEASE:?}"));
    }
    if args.ttl.is_some() && !args.cached && !args.once {
        return Err("`--ttl` has no effect without `--cached` or `--once`".into());
    }
    if args.keep_failures && !args.cached && !args.once {
        return Err("`--keep-failures` has no effect without `--cached` or `--once`".into());
    }
    if args.max_output > MAX_MAX_OUTPUT {
        return Err(format!(
            "`--max-output` must be at most {MAX_MAX_OUTPUT} bytes: no larger value is stored"
        ));
    }
    let max_grace = args.lease / 3;
    let grace = args.grace.unwrap_or(max_grace.min(MAX_DEFAULT_GRACE));
    if grace > max_grace {
        return Err(format!(
            "`--grace` must be at most a third of `--lease`, here {max_grace:?}, so that the command ends before the lease"
        ));
    }
    let inputs = inputs::read(&args.input)?;
    let job = Job {
        command: std::mem::take(&mut args.command),
        grace,
        record: args.cached.then_some(args.max_output),
        keep_failures: args.keep_failures,
    };
    Ok(Plan { args, inputs, job })
}

impl Plan {
    fn run(&self) -> ExitCode {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        match runtime.and_then(|runtime| runtime.block_on(self.until_signal())) {
            Ok(code) => code,
            Err(error) => {
                print(format_args!("cannot run: {error}"));
                Exit::Internal.into()
            }
        }
    }

    /// Makes the call. A signal ends it before the command starts, and is passed on to the command afterwards.
    async fn until_signal(&self) -> io::Result<ExitCode> {
        let signals = RefCell::new(Signals::catch()?);
        let has_started = Cell::new(false);
        let mut locked = pin!(self.locked(&signals, &has_started));
        let code = poll_fn(|context| {
            if !has_started.get()
                && let Poll::Ready(signal) = signals.borrow_mut().poll(context)
            {
                return Poll::Ready(ExitCode::from(code_of(signal.as_raw())));
            }
            locked.as_mut().poll(context)
        });
        Ok(code.await)
    }

    async fn locked(&self, signals: &RefCell<Signals>, has_started: &Cell<bool>) -> ExitCode {
        let body = async {
            has_started.set(true);
            let lease = dspinlock::current().expect("the body runs under a lease");
            self.job.run(&lease, signals).await
        };
        let outcome = match self.call(body).await {
            Ok(finished) if !has_started.get() => return replay(finished).await,
            outcome => outcome,
        };
        self.code(outcome)
    }

    async fn call(&self, body: impl Future<Output = Result<Finished, Failure>>) -> Result<Finished, Failure> {
        let args = &self.args;
        let mut site = dspinlock::site("exec")
            .part(&args.key)
            .label(args.key.as_str())
            .max_block_time(FOREVER)
            .lease(args.lease);
        if !self.inputs.is_empty() {
            site = site.part(&self.inputs);
        }
        site = match args.wait {
            _ if args.skip_if_busy => site.wait(Duration::ZERO),
            Some(wait) => site.wait(wait),
            None => site.wait_forever(),
        };
        if let Some(ttl) = args.ttl {
            site = site.ttl(ttl);
        }
        if args.once {
            site = site.fail_if_key_exists();
        }
        if let Some(url) = &args.url {
            site = site.pool(&Pool::open(url)?);
        }
        match args.cached {
            true => site.cached().run(body).await,
            false => site.run(body).await,
        }
    }

    fn code(&self, outcome: Result<Finished, Failure>) -> ExitCode {
        match outcome {
            Ok(Finished { code, .. }) | Err(Failure::Exited(code)) => code.into(),
            Err(Failure::LeaseLost) => {
                print(
                    "lost the lock, so the command was ended: the store was not reached in time, or the key was deleted",
                );
                Exit::LeaseLost.into()
            }
            Err(Failure::NotStarted(error)) => {
                let program = self.job.command.first().map(|program| program.display());
                print(format_args!(
                    "cannot run `{}`: {error}",
                    program.expect("clap requires a command")
                ));
                match error.kind() {
                    io::ErrorKind::NotFound => Exit::NotFound.into(),
                    _ => Exit::NotExecutable.into(),
                }
            }
            Err(Failure::NotWritten(error)) => not_written(&error),
            Err(Failure::NoGuard(reason)) => {
                print(reason);
                Exit::Internal.into()
            }
            // A run that was skipped is no failure: cron would mail a message.
            Err(Failure::Lock(Error::FailIfKeyExistsIsEnabled { .. })) => Exit::Busy.into(),
            Err(Failure::Lock(Error::SpinlockTriesExceeded { .. })) if self.args.skip_if_busy => {
                Exit::Busy.into()
            }
            Err(Failure::Lock(Error::SpinlockTriesExceeded { waited, holder, .. })) => {
                let by = holder.map_or_else(String::new, |holder| {
                    format!(" by process {} on `{}`", holder.process_id(), holder.host())
                });
                print(format_args!(
                    "timed out after {waited:.1?}: `{}` is held{by}; raise `--wait` if its command takes longer",
                    self.args.key
                ));
                Exit::Busy.into()
            }
            Err(Failure::Lock(error)) => {
                print(&error);
                Exit::of(&error).into()
            }
        }
    }
}

/// Prints the result of another caller. A signal ends `exec` while the reader of the output does not read.
async fn replay(finished: Finished) -> ExitCode {
    match finished.output.replay().await {
        // Nobody reads the output any more.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            code_of(rustix::process::Signal::PIPE.as_raw()).into()
        }
        Err(error) => not_written(&error),
        Ok(()) => finished.code.into(),
    }
}

fn not_written(error: &io::Error) -> ExitCode {
    print(format_args!("cannot write the output: {error}"));
    Exit::Internal.into()
}
