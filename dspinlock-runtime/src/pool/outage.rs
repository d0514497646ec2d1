//! The servers of a pool that cannot be asked now, for sites that then run without the lock. `pool` calls this module.
//!
//! A call notes a failure. Until a probe on the background thread succeeds, later calls of these sites ask nothing and wait for
//! nothing. The probes end if no call wants to know.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The servers that are away, by the number that the store gives them.
#[derive(Debug, Default)]
pub(super) struct Outages {
    /// Whether there are any. Most calls look at nothing else.
    exist: AtomicBool,
    servers: Mutex<HashMap<usize, WasAsked>>,
}

/// Whether a call has asked for the server since the last probe.
type WasAsked = bool;

impl Outages {
    /// Whether the server is away, as far as is known.
    pub(super) fn is_away(&self, server: usize) -> bool {
        if !self.exist.load(Ordering::Relaxed) {
            return false;
        }
        match self.servers().get_mut(&server) {
            None => false,
            Some(was_asked) => {
                *was_asked = true;
                true
            }
        }
    }

    /// A request has failed. Returns whether the outage begins: then the caller starts the probes.
    pub(super) fn begin(&self, server: usize) -> bool {
        let is_new = self.servers().insert(server, true).is_none();
        self.exist.store(true, Ordering::Relaxed);
        is_new
    }

    /// A probe has failed. Returns whether there is another one.
    pub(super) fn goes_on(&self, server: usize) -> bool {
        let was_asked = self.servers().insert(server, false);
        if was_asked != Some(true) {
            self.end(server);
        }
        was_asked == Some(true)
    }

    /// The server is back, or nobody wants to know.
    pub(super) fn end(&self, server: usize) {
        let mut servers = self.servers();
        servers.remove(&server);
        self.exist.store(!servers.is_empty(), Ordering::Relaxed);
    }

    fn servers(&self) -> MutexGuard<'_, HashMap<usize, WasAsked>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_away_until_it_is_back_or_nobody_asks() {
        let outages = Outages::default();
        assert!(!outages.is_away(1));
        assert!(outages.begin(1) && !outages.begin(1));
        assert!(!outages.is_away(2) && outages.is_away(1));
        assert!(outages.goes_on(1) && outages.is_away(1) && outages.goes_on(1));
        assert!(!outages.goes_on(1), "nobody has asked");
        assert!(!outages.is_away(1));
        assert!(outages.begin(1));
        outages.end(1);
        assert!(!outages.is_away(1));
    }
}
