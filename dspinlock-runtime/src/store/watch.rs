//! Callers that wait for a change of a store without pushes. `embedded` and `memory` register and wake them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Shared by the store and every waiter.
#[derive(Default)]
pub(crate) struct Watch {
    waiting: AtomicUsize,
    notify: Arc<Notify>,
}

impl Watch {
    /// Waits for the next wake-up after this call, even if the future is polled later. A dropped future is not counted.
    pub(crate) fn wait(this: &Arc<Self>) -> impl Future<Output = ()> + Send + 'static {
        this.waiting.fetch_add(1, Ordering::SeqCst);
        let registered = Registered(Arc::clone(this));
        // Every later `notify_waiters` wakes it, also before its first poll.
        let notified = Arc::clone(&this.notify).notified_owned();
        async move {
            let _registered = registered;
            notified.await;
        }
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    pub(crate) fn wake(&self) {
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
    fn a_dropped_future_does_not_count_as_a_waiter() {
        let watch = Arc::new(Watch::default());
        let (dropped, kept) = (Watch::wait(&watch), Watch::wait(&watch));
        drop(dropped);
        assert!(watch.is_watched());
        watch.wake();
        wait(kept);
        assert!(!watch.is_watched());
    }
}
