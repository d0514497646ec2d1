//! The limits of a connection. Plain data, which `url` fills in.

use std::time::Duration;

use crate::store::limits::Limits;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    /// From the lookup of the host name to the end of the login.
    pub(crate) connect: Duration,
    /// From a request to its reply.
    pub(crate) response: Duration,
    /// Whether runtimes and sync callers may have connections for reads.
    pub(crate) readers: bool,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            response: Duration::from_secs(5),
            readers: true,
        }
    }
}

impl Timeouts {
    /// Replaces the limits that are set.
    pub(crate) fn with(self, limits: Limits) -> Self {
        Self {
            connect: limits.connect.unwrap_or(self.connect),
            response: limits.request.unwrap_or(self.response),
            readers: limits.readers,
        }
    }
}
