//! The connections to one server: one for each runtime that calls, and one on the background thread.
//!
//! A request that another thread drives costs one to two round trips more. A sync caller always uses the background
//! thread: a thread that parks cannot drive the connection of its runtime.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Display;
use std::sync::{Arc, PoisonError, RwLock, Weak};

use tokio::runtime::{Handle, Id};

use super::failover::grants::Grants;
use super::failover::replicas::{ReplicaWaits, Replicated};
use super::node::Node;
use super::reconnect::{Locate, Reconnecting};
use super::timeouts::Timeouts;
use super::tracking::Watches;
use super::wire::command::Step;
use super::wire::reply::CommandError;
use crate::error::Error;
use crate::key::Key;
use crate::protocol::{Reply, Request};
use crate::rt::background;
use crate::rt::latch::Latch;
use crate::store::api::{Boxed, Route};

/// Starts the background thread, which every connection to `server` needs.
pub(crate) fn start_background(server: &impl Display) -> Result<(), Error> {
    background::start().map_err(|error| Error::RedisNotInitialized {
        address: server.to_string(),
        reason: format!("cannot start the background thread ({error}): raise the limits of the process"),
    })
}

/// What all connections of a pool share.
#[derive(Clone, Default)]
pub(crate) struct Shared {
    pub(crate) grants: Arc<Grants>,
    pub(crate) watches: Arc<Watches>,
}

/// The connections to one server.
pub(crate) struct PerRuntime {
    server: Arc<dyn Locate>,
    timeouts: Timeouts,
    grants: Arc<Grants>,
    background: Arc<Node>,
    by_runtime: RwLock<HashMap<Id, Arc<Node>>>,
    replica_waits: ReplicaWaits,
    /// Closed with the pool, which ends the supervisors.
    closed: Arc<Latch>,
}

impl PerRuntime {
    pub(crate) fn new(server: Arc<dyn Locate>, timeouts: Timeouts, shared: Shared) -> Arc<Self> {
        let Shared { grants, watches } = shared;
        let runtime = background::handle().clone();
        let reconnecting = Reconnecting::new(server.clone(), timeouts, runtime, Some(watches.clone()));
        let background = Arc::new(Node {
            reconnecting,
            grants: grants.clone(),
            watches: Some(watches),
        });
        Arc::new(Self {
            server,
            timeouts,
            grants,
            background,
            by_runtime: RwLock::default(),
            replica_waits: ReplicaWaits::default(),
            closed: Arc::new(Latch::new()),
        })
    }

    /// The connection of the background thread.
    pub(crate) fn background(&self) -> &Arc<Node> {
        &self.background
    }

    /// The connection of a route.
    pub(crate) fn at(self: &Arc<Self>, route: &Route) -> Arc<Node> {
        let Some(runtime) = route.runtime() else {
            return self.background.clone();
        };
        let id = runtime.id();
        let known = self
            .by_runtime
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&id)
            .cloned();
        match known {
            Some(node) if !node.reconnecting.is_retired() => node,
            // The runtime has shut down, or cannot drive a connection.
            Some(_) => self.background.clone(),
            None if id == background::handle().id() => self.background.clone(),
            None => self.add(runtime),
        }
    }

    /// Executes a step and waits for replicas. `is_asking`: the slot of the key is migrating to this server.
    pub(crate) fn step_replicated<E>(
        self: &Arc<Self>,
        key: &Key,
        request: Request,
        replicas: u32,
        is_asking: bool,
    ) -> Boxed<Result<Reply, E>>
    where
        E: From<CommandError> + Send + 'static,
    {
        let step = match Step::new(key, request) {
            Ok(step) => step,
            // A read writes nothing that a replica could acknowledge.
            Err(request) => return self.background.step(key, Request::Read(request)),
        };
        let replicated = Replicated {
            step,
            replicas,
            is_asking,
        };
        let this = self.clone();
        Box::pin(async move {
            let runtime = background::handle().clone();
            let connect = || Reconnecting::new(this.server.clone(), this.timeouts, runtime, None);
            let response_timeout = this.timeouts.response;
            let reply = this.replica_waits.execute(connect, response_timeout, replicated);
            Ok(reply.await?)
        })
    }

    /// Adds a connection on `runtime`, and a supervisor that removes it when the runtime shuts down.
    fn add(self: &Arc<Self>, runtime: &Handle) -> Arc<Node> {
        let id = runtime.id();
        let mut by_runtime = self.by_runtime.write().unwrap_or_else(PoisonError::into_inner);
        let entry = match by_runtime.entry(id) {
            Entry::Occupied(entry) => return entry.get().clone(),
            Entry::Vacant(entry) => entry,
        };
        let reconnecting = Reconnecting::new(self.server.clone(), self.timeouts, runtime.clone(), None);
        let node = Arc::new(Node {
            reconnecting: reconnecting.clone(),
            grants: self.grants.clone(),
            watches: None,
        });
        entry.insert(node.clone());
        drop(by_runtime);
        let supervisor = Supervisor {
            owner: Arc::downgrade(self),
            id,
            reconnecting,
        };
        let closed = self.closed.clone();
        runtime.spawn(async move {
            let _supervisor = supervisor;
            closed.wait().await;
        });
        node
    }
}

#[cfg(feature = "cluster")]
impl PerRuntime {
    /// Whether a reply is due on a connection that has been silent since the last tick of its watchdog.
    pub(crate) fn is_silent(&self) -> bool {
        self.nodes().iter().any(|node| node.reconnecting.is_silent())
    }

    /// Whether any connection is up.
    pub(crate) fn is_up(&self) -> bool {
        self.nodes().iter().any(|node| node.reconnecting.is_up())
    }

    /// Closes every connection. Requests in flight fail.
    pub(crate) fn close(&self) {
        self.nodes().iter().for_each(|node| node.reconnecting.close());
    }

    fn nodes(&self) -> Vec<Arc<Node>> {
        let by_runtime = self.by_runtime.read().unwrap_or_else(PoisonError::into_inner);
        let others = by_runtime.values().cloned();
        others.chain([self.background.clone()]).collect()
    }
}

impl Drop for PerRuntime {
    fn drop(&mut self) {
        self.closed.set();
    }
}

/// Dropped when its runtime shuts down, or with the pool.
struct Supervisor {
    owner: Weak<PerRuntime>,
    id: Id,
    reconnecting: Reconnecting,
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.reconnecting.retire();
        if let Some(owner) = self.owner.upgrade() {
            owner
                .by_runtime
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&self.id);
        }
    }
}
