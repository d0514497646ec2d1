//! What SQLite says, in the words of a store.

use rusqlite::ErrorCode;

use crate::error::StoreFailure;
use crate::store::Failure;

/// Why a step was not taken.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Another process has the file; try again.
    Busy,
    Failed(Failure),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        match reason(&error) {
            None => Self::Busy,
            Some(reason) => Self::Failed(Failure::Refused(reason)),
        }
    }
}

impl Trouble {
    /// A commit that was refused is undone; of one that failed half-way nobody knows.
    pub(super) fn of_commit(error: rusqlite::Error) -> Self {
        match reason(&error) {
            None => Self::Busy,
            Some(reason @ StoreFailure::Unavailable(_)) => Self::Failed(Failure::Refused(reason)),
            Some(reason) => Self::Failed(Failure::Unknown(reason)),
        }
    }
}

/// By SQLite's code alone, never by its message; `None` where another connection has the file.
pub(super) fn reason(error: &rusqlite::Error) -> Option<StoreFailure> {
    let Some(cause) = error.sqlite_error() else {
        return Some(StoreFailure::Refused(
            "the file does not hold what it should".into(),
        ));
    };
    let text = rusqlite::ffi::code_to_str(cause.extended_code);
    Some(match cause.code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => return None,
        ErrorCode::DiskFull | ErrorCode::ReadOnly | ErrorCode::OutOfMemory => {
            StoreFailure::Unavailable(text.into())
        }
        ErrorCode::PermissionDenied => StoreFailure::PermissionDenied,
        _ => StoreFailure::Refused(format!("{text} ({})", cause.extended_code)),
    })
}
