//! A one-way switch that tasks can wait for: the loss of a lease, the end of a connection.

use super::sync::Semaphore;

/// Starts unset and is set at most once. `wait` resolves for every current and future waiter when it is set.
///
/// A semaphore without permits, because closing one is remembered, wakes every waiter, and works under any executor.
pub(crate) struct Latch(Semaphore);

impl Latch {
    pub(crate) fn new() -> Self {
        Self(Semaphore::new(0))
    }

    pub(crate) fn set(&self) {
        self.0.close();
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.is_closed()
    }

    /// Cancel safe: a dropped future changes nothing.
    pub(crate) async fn wait(&self) {
        // The semaphore has no permits, so `acquire` only returns when it is closed, with an error.
        let _ = self.0.acquire().await;
    }
}
