//! Counts of what this process holds. Tests use them to find what a call left behind.

use crate::lease::heartbeat;
use crate::pool::Pool;
use crate::rt::background;

/// What exists while a call needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InUse {
    /// Leases that the heartbeat renews.
    pub leases: usize,
    /// Flights of the global pool.
    pub flights: usize,
    /// Names of the global pool whose next change a call waits for.
    pub watches: usize,
    /// Tasks of the background thread.
    pub tasks: usize,
}

/// The counts at this moment.
pub fn in_use() -> InUse {
    let pool = Pool::global_if_open();
    InUse {
        leases: heartbeat::leases(),
        flights: pool.map_or(0, |pool| pool.flights().count()),
        watches: pool.map_or(0, Pool::watches),
        tasks: background::tasks(),
    }
}
