//! Why the embedded store cannot be opened. Only this module builds [`Error::EmbeddedNotInitialized`].

use std::fmt::Display;
use std::io;
use std::path::PathBuf;

use rusqlite::ErrorCode;

use super::sqlite_error::reason;
use crate::error::Error;

#[derive(Debug)]
pub(super) enum OpenError {
    /// Other processes keep the file busy.
    Busy,
    /// The path is a link to an empty file.
    EmptyTarget,
    /// The path leads to a folder.
    Folder,
    /// A thread of the parent process was inside SQLite at the `fork`.
    Forked,
    /// Another program has written the file.
    Foreign,
    /// The file alone is mounted, without its folder.
    MountPoint,
    /// A folder of the path is a file.
    NoFolder(PathBuf),
    /// There is no default path.
    NoHome,
    /// The thread cannot be started.
    NoThread(io::ErrorKind),
    /// The path leads to a FIFO, a device or a socket.
    NotAFile,
    /// This process has the file open by another of its hard links.
    OtherName(PathBuf),
    /// Another process has the file open by another of its hard links.
    OtherProcess,
    Unusable(String),
}

impl OpenError {
    pub(super) fn into_error(self, path: impl Display) -> Error {
        Error::EmbeddedNotInitialized {
            path: path.to_string(),
            reason: self.reason(),
        }
    }

    /// The cause, and what to do about it.
    pub(super) fn reason(self) -> String {
        match self {
            Self::Busy => "other processes keep the file busy: try again".into(),
            Self::EmptyTarget => {
                "it is a link to an empty file, which may have another purpose: use the path of the file itself".into()
            }
            Self::Folder => "it is a folder: use the path of a file".into(),
            Self::Forked => "a thread of the parent process was using an embedded store at the moment of the `fork`: fork while \
                             no call is in flight, or use a `redis:` URL"
                .into(),
            Self::Foreign => "another program wrote the file, so it was not changed: use another path".into(),
            Self::MountPoint => "the file itself is a mount point, and SQLite's other files would stay outside of it: mount its folder \
                                 instead"
                .into(),
            Self::NoFolder(file) => format!("`{}` is a file, not a folder: use another path", file.display()),
            Self::NoHome => "the user has no home folder: set the path with `sqlite:PATH`".into(),
            Self::NoThread(kind) => {
                format!("cannot start a thread ({kind}): raise the limits of the process")
            }
            Self::NotAFile => "it is a FIFO, a device or a socket: use the path of a file".into(),
            Self::OtherName(open) => format!(
                "this process has the same file open as `{}` (a hard link): use one path",
                open.display()
            ),
            Self::OtherProcess => {
                "another process has the same file open by another name (a hard link): use one path".into()
            }
            Self::Unusable(reason) => reason,
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
