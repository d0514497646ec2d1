//! The known nodes of a cluster and their slots, shared by all steps. The steps read it, and `topology` replaces it.

use std::fmt;
use std::sync::{Arc, Once, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::{Notify, watch};

use super::slot_map::{Member, SlotMap};
use crate::store::redis::node::{Node, Shared};
use crate::store::redis::timeouts::Timeouts;
use crate::store::redis::url::address::{Address, HostPort};

pub(crate) struct Nodes {
    pub(crate) seeds: Vec<Address>,
    pub(crate) timeouts: Timeouts,
    pub(crate) shared: Shared,
    map: RwLock<SlotMap>,
    /// Starts the background task of `topology`.
    pub(crate) started: Once,
    /// A new map is wanted.
    pub(crate) wanted: Arc<Notify>,
    /// How many attempts to load the map have finished.
    pub(crate) attempts: watch::Sender<u64>,
}

impl Nodes {
    /// `seeds` is not empty.
    pub(crate) fn new(seeds: Vec<Address>, timeouts: Timeouts) -> Self {
        Self {
            seeds,
            timeouts,
            shared: Shared::default(),
            map: RwLock::default(),
            started: Once::new(),
            wanted: Arc::default(),
            attempts: watch::Sender::default(),
        }
    }

    pub(crate) fn owner(&self, slot: usize) -> Option<Member> {
        self.read().owner(slot).cloned()
    }

    /// The node at an address in a reply of the node `by`. An empty host is the host of `by`.
    pub(crate) fn named(&self, by: &Member, (host, port): HostPort) -> Member {
        let host = if host.is_empty() {
            by.host_port.0.clone()
        } else {
            host
        };
        self.member((host, port))
    }

    pub(crate) fn member(&self, host_port: HostPort) -> Member {
        let connect = |host_port: HostPort| {
            // Every node has the login of the URL.
            let address = Arc::new(self.seeds[0].at(host_port));
            Node::new(address, self.timeouts, self.shared.clone())
        };
        self.write().member(host_port, connect)
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, SlotMap> {
        self.map.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, SlotMap> {
        self.map.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The addresses of the URL.
impl fmt::Display for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seeds: Vec<String> = self.seeds.iter().map(ToString::to_string).collect();
        f.write_str(&seeds.join(","))
    }
}
