//! The servers of a pool that cannot be asked now, for sites that then run without the lock. `pool` calls this module.
//!
//! A call notes a failure. Until a request succeeds, later calls of these sites ask nothing and wait for nothing, and one probe
//! at a time runs on the background thread.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The servers that are away, by the number that the store gives them.
#[derive(Debug, Default)]
pub(super) struct Outages {
    /// Whether there are any. Most calls look at nothing else.
    exist: AtomicBool,
    servers: Mutex<HashMap<usize, IsProbed>>,
}

type IsProbed = bool;

/// What a call does about a server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Advice {
    Ask,
    /// The server is away.
    Skip,
    /// The server is away, and the call starts the probe.
    SkipAndProbe,
}

impl Outages {
    pub(super) fn advice(&self, server: usize) -> Advice {
        if !self.exist.load(Ordering::Relaxed) {
            return Advice::Ask;
        }
        match self.servers().get_mut(&server) {
            None => Advice::Ask,
            Some(true) => Advice::Skip,
            Some(is_probed) => {
                *is_probed = true;
                Advice::SkipAndProbe
            }
        }
    }

    /// A request has failed. Returns whether the outage begins.
    pub(super) fn begin(&self, server: usize) -> bool {
        let is_new = self.servers().insert(server, false).is_none();
        self.exist.store(true, Ordering::Relaxed);
        is_new
    }

    /// The probe has ended.
    pub(super) fn probed(&self, server: usize, is_back: bool) {
        let mut servers = self.servers();
        match is_back {
            true => drop(servers.remove(&server)),
            false => drop(servers.insert(server, false)),
        }
        self.exist.store(!servers.is_empty(), Ordering::Relaxed);
    }

    fn servers(&self) -> MutexGuard<'_, HashMap<usize, IsProbed>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_probe_at_a_time_runs_until_the_server_is_back() {
        let outages = Outages::default();
        assert_eq!(outages.advice(1), Advice::Ask);
        assert!(outages.begin(1) && !outages.begin(1));
        assert_eq!(outages.advice(2), Advice::Ask);
        assert_eq!(
            [outages.advice(1), outages.advice(1)],
            [Advice::SkipAndProbe, Advice::Skip]
        );
        outages.probed(1, false);
        assert_eq!(
            [outages.advice(1), outages.advice(1)],
            [Advice::SkipAndProbe, Advice::Skip]
        );
        outages.probed(1, true);
        assert_eq!(outages.advice(1), Advice::Ask);
    }
}
