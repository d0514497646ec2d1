//! The limits of a connection, which `url` fills in, and the time that bytes may take.

use std::time::Duration;

use crate::rt::clock::Instant;

use crate::store::limits::Limits;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    /// From the lookup of the host name to the end of the login.
    pub(crate) connect: Duration,
    /// From the beginning of a request to its reply, over all attempts. The bytes that its connection moves extend it: see
    /// [`transfer_time`].
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

    /// What a request that began at `since` has left, if it has moved no bytes.
    pub(crate) fn rest(self, since: Instant) -> Duration {
        self.response.saturating_sub(since.elapsed())
    }
}

/// The time that bytes take on the slowest line that is waited for: 256 KiB/s. Up to four connections to a server carry
/// payloads at the same time, so each has a quarter of it.
pub(crate) fn transfer_time(bytes: u64) -> Duration {
    const BYTES_PER_MILLISECOND: u64 = 64 * 1024 / 1000;
    Duration::from_millis(bytes / BYTES_PER_MILLISECOND)
}
