//! Counts the resources that calls of this process use. Tests find leaks with it.

use crate::lease::heartbeat;
use crate::pool::Pool;
use crate::rt::background;

/// The resources that are in use. Each is freed when the last call that needs it returns.
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
        flights: pool.as_ref().map_or(0, |pool| pool.flights().count()),
        watches: pool.map_or(0, |pool| pool.watches()),
        tasks: background::tasks(),
    }
}
