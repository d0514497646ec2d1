//! Names whose changes a server pushes, and the callers that wait for them.
//!
//! `connection` passes pushes to it, and `node` subscribes callers. It does no I/O.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use redis::{PushInfo, PushKind, Value};

use crate::rt::sync::{AtomicBool, Mutex, MutexGuard, Ordering, PoisonError, watch};
use crate::store::api::Listener;

/// The watched names of one pool. Pushes arrive on the connection of the background thread.
#[derive(Default)]
pub(crate) struct Watches {
    watched: Mutex<HashMap<String, watch::Sender<()>>>,
    /// It is notified of every change.
    listener: OnceLock<Arc<dyn Listener>>,
    /// Whether the warning that the server does not push was logged.
    warned: AtomicBool,
}

/// One watched name. A change is remembered until [`changed`](Self::changed) is polled.
pub(crate) struct Watched {
    watches: Arc<Watches>,
    name: String,
    changes: watch::Receiver<()>,
}

impl Watches {
    /// Sets the listener. Only the first call has an effect.
    pub(crate) fn listen(&self, listener: Arc<dyn Listener>) {
        let _ = self.listener.set(listener);
    }

    /// Logs once that the server does not push.
    pub(crate) fn warn(&self) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                target: "dspinlock",
                "the server does not push changes, so waiting callers poll and the near cache is off: \
                 allow `CLIENT TRACKING` and `CLIENT CACHING`"
            );
        }
    }

    /// Subscribes to `name`: no push after this call is missed.
    pub(crate) fn subscribe(self: &Arc<Self>, name: &str) -> Watched {
        let changes = self
            .lock()
            .entry(name.into())
            .or_insert_with(|| watch::channel(()).0)
            .subscribe();
        Watched {
            watches: self.clone(),
            name: name.into(),
            changes,
        }
    }

    /// Handles a push: some names have changed, or all of them.
    pub(crate) fn pushed(&self, push: &PushInfo) {
        if push.kind != PushKind::Invalidate {
            return;
        }
        match push.data.first() {
            Some(Value::Array(names)) => {
                for name in names {
                    let Value::BulkString(name) = name else { continue };
                    if let Some(listener) = self.listener.get() {
                        listener.changed(name);
                    }
                    let changes = std::str::from_utf8(name).map(|name| self.lock().get(name).cloned());
                    // A waker may run any code, so the lock is not held.
                    if let Ok(Some(changes)) = changes {
                        changes.send_replace(());
                    }
                }
            }
            _ => self.wake_all(),
        }
    }

    /// Any name may have changed.
    pub(crate) fn wake_all(&self) {
        if let Some(listener) = self.listener.get() {
            listener.all_changed();
        }
        let all: Vec<_> = self.lock().values().cloned().collect();
        for changes in all {
            changes.send_replace(());
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<()>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched {
    /// Resolves with the first change since the subscription.
    pub(crate) async fn changed(mut self) {
        // The sender stays in the map as long as this receiver exists.
        let _ = self.changes.changed().await;
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let mut watched = self.watches.lock();
        if watched
            .get(&self.name)
            .is_some_and(|changes| changes.receiver_count() == 1)
        {
            watched.remove(&self.name);
        }
    }
}
