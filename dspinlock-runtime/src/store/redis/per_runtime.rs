//! Which connection serves a caller: the one of its own runtime where it has one, else the background thread's.
//!
//! To drive a request on another thread costs one to two times the round trip again. A sync caller, also one inside a
//! runtime, is served by the background: parking on the connection of one's own runtime would be waiting for oneself.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, Weak};

use tokio::runtime::{Handle, Id};
use tokio::sync::Semaphore;

use crate::key::Key;
use crate::protocol::{Reply, Request};
use crate::rt::{background, blocking};
use crate::store::redis::failover::grants::Grants;
use crate::store::redis::failover::replicas::{Heard, Waiting};
use crate::store::redis::reconnect::Link;
use crate::store::redis::tracking::Watches;
use crate::store::redis::{Address, Limits, Session};
use crate::store::{Boxed, Failure};

/// What the connections of one pool share.
#[derive(Clone, Default)]
pub(super) struct Shared {
    pub(super) grants: Arc<Grants>,
    pub(super) watches: Arc<Watches>,
}

/// The connections to one server.
pub(super) struct Links {
    address: Arc<Address>,
    limits: Limits,
    grants: Arc<Grants>,
    background: Arc<Session>,
    by_runtime: RwLock<HashMap<Id, Arc<Session>>>,
    waiting: Waiting,
    /// Closed with the pool: the supervisors go home.
    closed: Arc<Semaphore>,
}

impl Links {
    pub(super) fn new(address: Address, limits: Limits, shared: Shared) -> Arc<Self> {
        let (address, Shared { grants, watches }) = (Arc::new(address), shared);
        let home = background::handle().clone();
        let link = Link::new(address.clone(), limits, home, Some(watches.clone()));
        let background = Arc::new(Session {
            link,
            grants: grants.clone(),
            watches: Some(watches),
        });
        let closed = Arc::new(Semaphore::new(0));
        Arc::new(Self {
            address,
            limits,
            grants,
            background,
            by_runtime: RwLock::default(),
            waiting: Waiting::default(),
            closed,
        })
    }

    /// The session of the background thread.
    pub(super) fn background(&self) -> &Arc<Session> {
        &self.background
    }

    /// The session of the caller.
    pub(super) fn here(self: &Arc<Self>) -> Arc<Session> {
        self.at(home().as_ref())
    }

    /// The session of a runtime, or of the background.
    pub(super) fn at(self: &Arc<Self>, home: Option<&Handle>) -> Arc<Session> {
        let Some(runtime) = home else {
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
            Some(session) if !session.link.is_gone() => session,
            // A runtime that has ended, or cannot drive a connection.
            Some(_) => self.background.clone(),
            None if id == background::handle().id() => self.background.clone(),
            None => self.settle(runtime),
        }
    }

    /// A step that so many replicas are to hear of, by way of the background thread. `is_asking`: the slot of the key is
    /// on its way to this server.
    pub(super) fn step_replicated(
        self: &Arc<Self>,
        key: &Key,
        request: Request,
        replicas: u32,
        is_asking: bool,
    ) -> Boxed<Result<Reply, Failure>> {
        let heard = Heard {
            names: [key.state_name(), key.value_name()],
            request,
            replicas,
            is_asking,
        };
        let links = self.clone();
        Box::pin(async move {
            let home = background::handle().clone();
            let connect = || Link::new(links.address.clone(), links.limits, home, None);
            links.waiting.take(connect, links.limits.respond, heard).await
        })
    }

    /// A runtime that was not seen before gets a link, and a supervisor that takes the link away when the runtime ends.
    fn settle(self: &Arc<Self>, runtime: &Handle) -> Arc<Session> {
        let id = runtime.id();
        let mut by_runtime = self.by_runtime.write().unwrap_or_else(PoisonError::into_inner);
        let entry = by_runtime.entry(id);
        let std::collections::hash_map::Entry::Vacant(entry) = entry else {
            let std::collections::hash_map::Entry::Occupied(entry) = entry else {
                unreachable!()
            };
            return entry.get().clone();
        };
        let link = Link::new(self.address.clone(), self.limits, runtime.clone(), None);
        let session = entry
            .insert(Arc::new(Session {
                link: link.clone(),
                grants: self.grants.clone(),
                watches: None,
            }))
            .clone();
        drop(by_runtime);
        let supervisor = Supervisor {
            links: Arc::downgrade(self),
            id,
            link,
        };
        let closed = self.closed.clone();
        runtime.spawn(async move {
            let _supervisor = supervisor;
            let _ = closed.acquire().await;
        });
        session
    }
}

#[cfg(feature = "cluster")]
impl Links {
    /// Whether a connection owes an answer, and has been silent since its watchdog looked last.
    pub(super) fn is_silent(&self) -> bool {
        self.sessions().iter().any(|session| session.link.is_silent())
    }

    /// Whether there is a connection.
    pub(super) fn is_up(&self) -> bool {
        self.sessions().iter().any(|session| session.link.is_up())
    }

    /// Ends every connection: requests that are under way fail.
    pub(super) fn end(&self) {
        self.sessions().iter().for_each(|session| session.link.end());
    }

    fn sessions(&self) -> Vec<Arc<Session>> {
        let by_runtime = self.by_runtime.read().unwrap_or_else(PoisonError::into_inner);
        let others = by_runtime.values().cloned();
        others.chain([self.background.clone()]).collect()
    }
}

/// The runtime whose connection serves the caller; `None`: the background's.
pub(super) fn home() -> Option<Handle> {
    if blocking::is_waiting() {
        return None;
    }
    Handle::try_current().ok()
}

impl Drop for Links {
    fn drop(&mut self) {
        self.closed.close();
    }
}

/// Dropped when its runtime ends, or the pool.
struct Supervisor {
    links: Weak<Links>,
    id: Id,
    link: Link,
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.link.retire();
        if let Some(links) = self.links.upgrade() {
            links
                .by_runtime
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&self.id);
        }
    }
}
