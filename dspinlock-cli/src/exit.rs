//! The exit codes of the command. Every subcommand uses them.

use std::process::ExitCode;

use dspinlock::Error;

/// The codes, as `--help` prints them.
pub(crate) const HELP: &str = "\
Exit codes:
  0    success
  64   the arguments cannot be used
  69   the store cannot be reached, or refused the request
  70   an internal error
  75   busy: another caller holds the lock, or the work is already done (`--once`)
  76   the lease was lost, so the command was ended
  126  the command cannot be executed
  127  the command was not found
`exec` otherwise exits with the code of the command, or with 128 + n if signal n ended it.
`show` and `rm` exit with 66 if there is no such entry. `doctor` exits with 78 if a check has failed.
A command whose output nobody reads any more exits with 141.";

/// An exit code of the command itself. They are those of `sysexits.h`, which few programs use for something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// The arguments cannot be used.
    Usage = 64,
    /// There is no such entry.
    Absent = 66,
    /// The store cannot be reached, or refused the request.
    Unavailable = 69,
    /// An internal error.
    Internal = 70,
    /// Another caller holds the lock, or the work is done.
    Busy = 75,
    /// The lease was lost.
    LeaseLost = 76,
    /// A check of `doctor` has failed.
    Failed = 78,
    /// The command cannot be executed.
    NotExecutable = 126,
    /// The command was not found.
    NotFound = 127,
}

impl Exit {
    /// The code of an error of the library.
    pub(crate) fn of(error: &Error) -> Self {
        match error {
            Error::InvalidOption { .. }
            | Error::InvalidUrl { .. }
            | Error::ProvidedObjectIsNotHashable { .. } => Self::Usage,
            Error::SpinlockTriesExceeded { .. } | Error::FailIfKeyExistsIsEnabled { .. } => Self::Busy,
            Error::LeaseLost { .. } | Error::InvalidMutexReleaseEncountered { .. } => Self::LeaseLost,
            Error::Store { .. }
            | Error::RedisNotInitialized { .. }
            | Error::EmbeddedNotInitialized { .. }
            | Error::AtomicQueryInvalidState { .. }
            | Error::InvalidValueEncounteredDuringUnpacking { .. } => Self::Unavailable,
            _ => Self::Internal,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
