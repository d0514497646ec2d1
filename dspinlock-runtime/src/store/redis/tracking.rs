//! Changes that the server pushes: which names are watched, and who is to be woken.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use redis::{PushInfo, PushKind, Value};

use crate::rt::sync::{AtomicBool, Mutex, MutexGuard, Ordering, PoisonError, watch};
use crate::store::Listener;

/// The watched names of one server. Pushes arrive on the background thread's connection.
#[derive(Default)]
pub(super) struct Watches {
    watched: Mutex<HashMap<String, watch::Sender<()>>>,
    /// Who is told of every change.
    listener: OnceLock<Arc<dyn Listener>>,
    /// It was said that the server does not push.
    warned: AtomicBool,
}

/// One watched name. A change that comes before it is waited for is remembered.
pub(super) struct Watched {
    watches: Arc<Watches>,
    name: String,
    changes: watch::Receiver<()>,
}

impl Watches {
    /// From now on `listener` is told too. There is only one.
    pub(super) fn listen(&self, listener: Arc<dyn Listener>) {
        let _ = self.listener.set(listener);
    }

    /// Says once that the server does not push.
    pub(super) fn warn(&self) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            log::warn!(
                target: "dspinlock",
                "the server does not push changes: waiting callers poll, and nothing is kept in the near cache"
            );
        }
    }

    /// From now on, no push for `name` is missed.
    pub(super) fn join(self: &Arc<Self>, name: &str) -> Watched {
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

    /// What the server says: these names have changed, or all of them.
    pub(super) fn pushed(&self, push: &PushInfo) {
        if push.kind != PushKind::Invalidate {
            return;
        }
        match push.data.first() {
            Some(Value::Array(names)) => {
                let watched = self.lock();
                for name in names {
                    let Value::BulkString(name) = name else { continue };
                    if let Some(listener) = self.listener.get() {
                        listener.changed(name);
                    }
                    if let Ok(name) = std::str::from_utf8(name)
                        && let Some(changes) = watched.get(name)
                    {
                        changes.send_replace(());
                    }
                }
            }
            _ => self.wake_all(),
        }
    }

    /// Anything may have changed.
    pub(super) fn wake_all(&self) {
        if let Some(listener) = self.listener.get() {
            listener.all_changed();
        }
        for changes in self.lock().values() {
            changes.send_replace(());
        }
    }

    /// How many names are watched.
    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<()>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched {
    /// The first change since the name was joined.
    pub(super) async fn changed(mut self) {
        // The sender stays in the map for as long as this watch does.
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
