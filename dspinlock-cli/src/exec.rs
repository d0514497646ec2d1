//! `dspinlock exec`: runs a command under a lock.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::exit::Exit;
use crate::messages;

/// Runs a command while holding the lock of a key.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The key of the lock.
    #[arg(long)]
    key: String,
    /// The command and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// The process that starts the command and ends it with `exec`.
#[derive(Debug, clap::Args)]
pub(crate) struct GuardArgs {
    /// The command and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

pub(crate) fn run(args: Args) -> ExitCode {
    messages::print(format_args!("{} {:?}", args.key, args.command));
    Exit::Internal.into()
}

pub(crate) fn guard(args: GuardArgs) -> ExitCode {
    messages::print(format_args!("{:?}", args.command));
    Exit::Internal.into()
}
