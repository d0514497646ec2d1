//! What the library has in hand in this process: tests look here for what was left behind.

use crate::lease::heartbeat;
use crate::pool::Pool;
use crate::rt::background;

/// Counts of what lives for as long as somebody needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InHand {
    /// Leases that the heartbeat serves.
    pub leases: usize,
    /// Keys of the process's pool that somebody is after.
    pub flights: usize,
    /// Names of the process's pool whose changes somebody waits for.
    pub watches: usize,
    /// Tasks of the background thread.
    pub tasks: usize,
}

/// As of now.
pub fn in_hand() -> InHand {
    let pool = Pool::known();
    InHand {
        leases: heartbeat::serves(),
        flights: pool.map_or(0, |pool| pool.flights().count()),
        watches: pool.map_or(0, Pool::watches),
        tasks: background::tasks(),
    }
}
