//! The grants of a pool, each with the connection that received it. `node` asks before it sends a PUBLISH.
//!
//! Replication is asynchronous, so a failover may lose the latest writes. The new master may grant the same key to another
//! caller, and the former holder could publish an older result over a newer one. So a grant is valid only on servers that
//! have the same replication history.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::protocol::tag::Tag;
use crate::protocol::{Reply, Request};
use crate::store::redis::connection::Connection;

/// The live grants by tag.
#[derive(Default)]
pub(crate) struct Grants(Mutex<HashMap<Tag, Arc<Connection>>>);

impl Grants {
    /// Whether the request may be sent on `connection`. A PUBLISH may not if another master made its grant. A RELEASE may,
    /// because it removes nothing but its own grant. If the identity of the server is unknown (the user may not run `INFO`),
    /// every request may.
    pub(crate) fn allow(&self, request: &Request, connection: &Arc<Connection>) -> bool {
        match request {
            Request::Publish(publish) => {
                let granted = self.lock().get(&publish.id.tag).cloned();
                granted.is_none_or(|granted| is_same_master(&granted, connection))
            }
            request => {
                self.end(request);
                true
            }
        }
    }

    /// An ABORT ends its grant.
    pub(crate) fn end(&self, request: &Request) {
        if let Request::Abort { tag } = request {
            self.lock().remove(tag);
        }
    }

    /// Records the reply to the request with this tag.
    pub(crate) fn note(&self, tag: Option<Tag>, reply: &Reply, connection: &Arc<Connection>) {
        match (tag, reply) {
            (Some(tag), Reply::Acquired(_)) => {
                self.lock().insert(tag, connection.clone());
            }
            (Some(tag), Reply::Published | Reply::Released | Reply::Done) => {
                self.lock().remove(&tag);
            }
            _ => {}
        }
    }

    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Tag, Arc<Connection>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(feature = "cluster")]
impl Grants {
    /// The connection that received the grant, if it is open and leads to another master than `connection`.
    pub(crate) fn by_another(&self, tag: &Tag, connection: &Arc<Connection>) -> Option<Arc<Connection>> {
        let granted = self.lock().get(tag).cloned();
        granted.filter(|granted| granted.is_open() && !is_same_master(granted, connection))
    }

    /// Moves a grant to another master, because its slot has migrated.
    pub(crate) fn rebind(&self, tag: Tag, connection: Arc<Connection>) {
        self.lock().insert(tag, connection);
    }
}

fn is_same_master(granted: &Arc<Connection>, current: &Arc<Connection>) -> bool {
    if Arc::ptr_eq(granted, current) {
        return true;
    }
    match (granted.identity(), current.identity()) {
        (Some(granted), Some(current)) => current.continues(&granted),
        _ => true,
    }
}

/// The tag of a request that starts or ends a grant.
pub(crate) fn tag(request: &Request) -> Option<Tag> {
    match request {
        Request::Acquire(acquire) => Some(acquire.tag),
        Request::Publish(publish) => Some(publish.id.tag),
        Request::Release(release) => Some(release.id.tag),
        _ => None,
    }
}
