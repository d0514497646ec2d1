//! Who waits for a change.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Shared by the store, its thread and every waiter.
#[derive(Default)]
pub(super) struct Watch {
    waiting: AtomicUsize,
    notify: Arc<Notify>,
}

impl Watch {
    /// Waits from the moment of this call, not from the first poll; a dropped future waits no more.
    pub(super) fn wait(this: &Arc<Self>) -> impl Future<Output = ()> + Send + 'static {
        this.waiting.fetch_add(1, Ordering::SeqCst);
        let registered = Registered(Arc::clone(this));
        // Woken by every `notify_waiters` from here on, polled or not.
        let notified = Arc::clone(&this.notify).notified_owned();
        async move {
            let _registered = registered;
            notified.await;
        }
    }

    pub(super) fn is_watched(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    pub(super) fn wake(&self) {
        self.notify.notify_waiters();
    }
}

struct Registered(Arc<Watch>);

impl Drop for Registered {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::blocking::wait;

    #[test]
    fn a_dropped_future_waits_no_more() {
        let watch = Arc::new(Watch::default());
        let (one, two) = (Watch::wait(&watch), Watch::wait(&watch));
        drop(one);
        assert!(watch.is_watched());
        watch.wake();
        wait(two);
        assert!(!watch.is_watched());
    }
}
