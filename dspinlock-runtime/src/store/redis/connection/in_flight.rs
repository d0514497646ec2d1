//! The requests of a connection that have no reply yet. `connection` counts them, and `driver` looks at their number.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::watchdog::{Progress, Sent};
use crate::rt::clock::Instant;

/// A handle; clones share the requests.
#[derive(Clone, Default)]
pub(crate) struct InFlight(Arc<Requests>);

#[derive(Default)]
struct Requests {
    count: AtomicUsize,
    /// Notified when the first request is sent.
    began: Notify,
    /// In the order in which they were sent.
    sent: Mutex<(u64, BTreeMap<u64, Sent>)>,
}

impl InFlight {
    pub(crate) fn enter(&self, progress: Progress) -> Request<'_> {
        if self.0.count.fetch_add(1, Ordering::Relaxed) == 0 {
            self.0.began.notify_one();
        }
        let at = Instant::now();
        let mut sent = lock(&self.0.sent);
        sent.0 += 1;
        let id = sent.0;
        sent.1.insert(id, Sent { at, progress });
        Request(&self.0, id)
    }

    pub(crate) fn count(&self) -> usize {
        self.0.count.load(Ordering::Relaxed)
    }

    /// Resolves when a request is sent while none is in flight.
    pub(crate) fn began(&self) -> impl Future<Output = ()> + Send + use<> {
        let this = self.clone();
        async move { this.0.began.notified().await }
    }

    /// The oldest request.
    pub(crate) fn head(&self) -> Option<Sent> {
        lock(&self.0.sent).1.values().next().copied()
    }
}

/// A request in flight, until it is dropped.
pub(crate) struct Request<'a>(&'a Requests, u64);

impl Drop for Request<'_> {
    fn drop(&mut self) {
        lock(&self.0.sent).1.remove(&self.1);
        self.0.count.fetch_sub(1, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
