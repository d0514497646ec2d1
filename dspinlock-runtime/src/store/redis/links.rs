//! Which connection serves a caller: the one of its own runtime where it has one, else the background thread's.
//!
//! To drive a request on another thread costs one to two times the round trip again. A sync caller, also one inside a
//! runtime, is served by the background: parking on the connection of one's own runtime would be waiting for oneself.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, Weak};

use tokio::runtime::{Handle, Id};
use tokio::sync::Semaphore;

use super::link::Link;
use super::master::Grants;
use super::tracking::Watches;
use super::{Address, Limits, Session};
use crate::{background, blocking};

/// The connections of one pool.
pub(super) struct Links {
    address: Arc<Address>,
    limits: Limits,
    grants: Arc<Grants>,
    background: Arc<Session>,
    by_runtime: RwLock<HashMap<Id, Arc<Session>>>,
    /// Closed with the pool: the supervisors go home.
    closed: Arc<Semaphore>,
}

impl Links {
    pub(super) fn new(address: Address, limits: Limits) -> Arc<Self> {
        let (address, watches) = (Arc::new(address), Arc::<Watches>::default());
        let home = background::handle().clone();
        let link = Link::new(address.clone(), limits, home, Some(watches.clone()));
        let grants = Arc::<Grants>::default();
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
            closed,
        })
    }

    /// The session of the background thread.
    pub(super) fn background(&self) -> &Arc<Session> {
        &self.background
    }

    /// The session of the caller.
    pub(super) fn here(self: &Arc<Self>) -> Arc<Session> {
        if blocking::is_waiting() {
            return self.background.clone();
        }
        let Ok(runtime) = Handle::try_current() else {
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

    /// A runtime that was not seen before gets a link, and a supervisor that takes the link away when the runtime ends.
    fn settle(self: &Arc<Self>, runtime: Handle) -> Arc<Session> {
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
