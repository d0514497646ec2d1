//! Annotated functions with the same keys, and explicit locks. No lease expires during a test, and no call stops waiting.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use dspinlock::{Error, HashDSpinlock, Wait, dspinlock};

/// The bodies that have started with it. A body ends when it is polled while the gate is open.
#[derive(Debug, Default, Clone)]
pub(super) struct Gate(Arc<(AtomicBool, AtomicUsize)>);

impl Gate {
    pub(super) fn opened() -> Self {
        let gate = Self::default();
        gate.open();
        gate
    }

    pub(super) fn open(&self) {
        self.0.0.store(true, Ordering::SeqCst);
    }

    pub(super) fn bodies(&self) -> usize {
        self.0.1.load(Ordering::SeqCst)
    }

    pub(super) fn enter(&self) {
        self.0.1.fetch_add(1, Ordering::SeqCst);
    }

    /// Nothing wakes the task: whoever opens the gate polls the body afterwards.
    pub(super) async fn pass(&self) {
        poll_fn(|_| match self.0.0.load(Ordering::SeqCst) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }
}

pub(super) const VALUE: u32 = 42;

#[dspinlock(name = "borders", key = key, cached_if_computed, lease = "60s", wait = "60s")]
pub(super) async fn compute(key: &str, gate: &Gate) -> Result<u32, Error> {
    gate.enter();
    gate.pass().await;
    Ok(VALUE)
}

#[dspinlock(name = "borders", key = key, cached_if_computed, lease = "60s", wait = "60s")]
pub(super) fn compute_blocking(key: &str, gate: &Gate) -> Result<u32, Error> {
    gate.enter();
    Ok(VALUE)
}

/// Does not wait.
#[dspinlock(name = "borders", key = key, cached_if_computed, lease = "60s", wait = "0s")]
pub(super) async fn try_compute(key: &str, gate: &Gate) -> Result<u32, Error> {
    gate.enter();
    Ok(VALUE)
}

/// Does not wait.
#[dspinlock(name = "borders", key = key, cached_if_computed, lease = "60s", wait = "0s")]
pub(super) fn try_compute_blocking(key: &str, gate: &Gate) -> Result<u32, Error> {
    gate.enter();
    Ok(VALUE)
}

pub(super) fn lock(key: &str) -> HashDSpinlock {
    HashDSpinlock::new(key)
        .lease(Duration::from_secs(60))
        .wait(Wait::AtMost(Duration::from_secs(60)))
}

/// A lock that does not wait.
pub(super) fn try_lock(key: &str) -> HashDSpinlock {
    lock(key).wait(Wait::AtMost(Duration::ZERO))
}
