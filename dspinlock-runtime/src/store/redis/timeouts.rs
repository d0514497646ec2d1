//! The time limits of a connection. Plain data, which `url` fills in.

use std::time::Duration;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    /// From the lookup of the host name to the end of the login.
    pub(crate) connect: Duration,
    /// From a request to its reply.
    pub(crate) response: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            response: Duration::from_secs(5),
        }
    }
}
