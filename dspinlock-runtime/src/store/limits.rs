//! The limits of a pool's connections to a server, as the builder sets them. Plain data, which `redis` and `pool` use.

use std::time::Duration;

use crate::error::Error;

/// Unset limits have the defaults of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The time limit of an attempt to connect.
    pub(crate) connect: Option<Duration>,
    /// The time limit of a request.
    pub(crate) request: Option<Duration>,
    /// Whether runtimes and sync callers may have connections for reads.
    pub(crate) readers: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: None,
            request: None,
            readers: true,
        }
    }
}

impl Limits {
    /// Checks the time limits.
    pub(crate) fn check(self) -> Result<Self, Error> {
        for (name, limit) in [
            ("connect_timeout", self.connect),
            ("request_timeout", self.request),
        ] {
            if limit.is_some_and(|limit| limit.is_zero()) {
                return Err(Error::option(format!("`{name}` must be > 0")));
            }
        }
        Ok(self)
    }
}
