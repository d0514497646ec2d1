//! SQLite's errors as failures of a step. `table` and `open_error` call it. Messages show SQLite's description of the error
//! code, never the text of the error, which may quote a value.

use rusqlite::ErrorCode;

use crate::error::StoreFailure;
use crate::store::api::Failure;

/// Why a step was not executed.
#[derive(Debug)]
pub(super) enum SqliteError {
    /// Another process keeps the file busy. The step can be retried.
    Busy,
    Failed(Failure),
}

impl From<rusqlite::Error> for SqliteError {
    fn from(error: rusqlite::Error) -> Self {
        match reason(&error) {
            None => Self::Busy,
            Some(reason) => Self::Failed(Failure::Refused(reason)),
        }
    }
}

impl SqliteError {
    pub(super) fn into_failure(self) -> Failure {
        match self {
            Self::Busy => Failure::Refused(StoreFailure::Timeout),
            Self::Failed(failure) => failure,
        }
    }

    /// SQLite rolls a refused commit back. After any other failure of a commit, the outcome is unknown.
    pub(super) fn of_commit(error: rusqlite::Error) -> Self {
        match reason(&error) {
            None => Self::Busy,
            Some(reason @ StoreFailure::Unavailable(_)) => Self::Failed(Failure::Refused(reason)),
            Some(reason) => Self::Failed(Failure::Unknown(reason)),
        }
    }
}

/// The reason of a failure; `None` if another connection keeps the file busy.
pub(super) fn reason(error: &rusqlite::Error) -> Option<StoreFailure> {
    let Some(cause) = error.sqlite_error() else {
        return Some(StoreFailure::Refused(
            "the file has content of an unexpected type: another program wrote it; use another path".into(),
        ));
    };
    let text = rusqlite::ffi::code_to_str(cause.extended_code);
    Some(match cause.code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => return None,
        ErrorCode::DiskFull | ErrorCode::ReadOnly | ErrorCode::OutOfMemory => {
            StoreFailure::Unavailable(text.into())
        }
        ErrorCode::PermissionDenied => StoreFailure::PermissionDenied(
            "this user may not access the file: check its mode and owner".into(),
        ),
        _ => StoreFailure::Refused(format!("{text} ({})", cause.extended_code)),
    })
}
