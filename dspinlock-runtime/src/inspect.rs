//! For tests: the pool of a test, and counts of the resources that calls of this process use. No other module calls it.

#[cfg(feature = "testing")]
mod test_pool;

use crate::lease::heartbeat;
use crate::pool::Pool;
use crate::rt::background;

#[cfg(feature = "testing")]
pub use self::test_pool::{TestKey, TestPool};

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
