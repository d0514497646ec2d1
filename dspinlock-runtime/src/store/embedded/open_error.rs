//! Why a store cannot be opened. Only this module builds the [`Error`] for it.

use std::fmt::Display;
use std::io;

use rusqlite::ErrorCode;

use super::sqlite_error::reason;
use crate::error::Error;

pub(super) enum OpenError {
    /// Other processes keep the file busy.
    Busy,
    /// The path leads to a folder.
    Folder,
    /// Another program has written the file.
    Foreign,
    /// The file has another version of the format.
    Format {
        found: i32,
        known: i32,
    },
    /// There is no default path.
    NoHome,
    /// The thread cannot be started.
    NoThread(io::ErrorKind),
    /// The path starts with `:` or `~`.
    Path,
    Unusable(String),
}

impl OpenError {
    pub(super) fn into_error(self, path: impl Display) -> Error {
        let reason = match self {
            Self::Foreign => {
                return Error::Configuration(format!(
                    "`{path}` is not a file of the embedded store and was left untouched: use another path"
                ));
            }
            Self::Format { found, known } => {
                return Error::Configuration(format!(
                    "`{path}` has format {found}, but this version of dspinlock supports format {known}; the file was \
                     left untouched: update dspinlock, or use another path"
                ));
            }
            Self::NoHome => {
                return Error::Configuration(
                    "this user has no home folder for the embedded store: set the path with `sqlite:PATH`"
                        .into(),
                );
            }
            Self::Path => {
                return Error::Configuration(
                    "invalid URL: `sqlite:` takes a path, `:memory:`, or nothing for the default path; `~` is not \
                     expanded"
                        .into(),
                );
            }
            Self::Busy => "other processes keep it busy: try again".into(),
            Self::Folder => "it is a folder: use the path of a file".into(),
            Self::NoThread(kind) => {
                format!("its thread cannot be started ({kind}): raise the limits of the process")
            }
            Self::Unusable(reason) => reason,
        };
        Error::RedisNotInitialized {
            address: path.to_string(),
            reason,
        }
    }
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) {
            return Self::Foreign;
        }
        reason(&error).map_or(Self::Busy, |reason| Self::Unusable(reason.to_string()))
    }
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Unusable(format!("{}: check the path and its permissions", error.kind()))
    }
}
