//! What crosses the border: an operation that is prepared on one runtime and finished elsewhere.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use dspinlock::{Acquired, Lease};

use super::functions::{
    Gate, VALUE, compute, compute_blocking, lock, try_compute, try_compute_blocking, try_lock,
};
use crate::common::lock::locked;

/// The rest of an operation. It panics if the outcome is wrong.
pub(super) type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Acquire,
    /// A call whose value is stored.
    Hit,
    /// A call that finds nothing.
    Miss,
    Release,
    /// The end of a body and the publish of its value.
    Publish,
    DropLease,
    /// A lease whose guard calls `release_blocking` when it is dropped.
    DropGuard,
    /// The drop of a future whose ACQUIRE was sent.
    DropAcquire,
    /// The drop of a call in its body.
    DropCall,
    Delete,
}

impl Operation {
    pub(super) const ALL: [Self; 10] = [
        Self::Acquire,
        Self::Hit,
        Self::Miss,
        Self::Release,
        Self::Publish,
        Self::DropLease,
        Self::DropGuard,
        Self::DropAcquire,
        Self::DropCall,
        Self::Delete,
    ];

    /// Whether its rest may be polled on the first runtime, and then finished elsewhere.
    pub(super) fn can_be_begun(self) -> bool {
        !matches!(
            self,
            Self::DropLease | Self::DropGuard | Self::DropAcquire | Self::DropCall
        )
    }

    /// Whether the operation is the same without an async rest.
    pub(super) fn has_twin(self) -> bool {
        self != Self::Publish
    }

    /// Does what comes before the border. The caller polls it on the first runtime.
    pub(super) async fn prepare(self, key: String) -> Work {
        match self {
            Self::Acquire => Box::pin(async move { hold(locked(lock(&key).acquire().await)) }),
            Self::Hit => {
                store(&key).await;
                Box::pin(async move { assert_hit(&key).await })
            }
            Self::Miss => Box::pin(async move {
                let gate = Gate::opened();
                assert_eq!(compute(&key, &gate).await.unwrap(), VALUE);
                assert_eq!(gate.bodies(), 1, "the body did not run");
            }),
            Self::Release => {
                let lease = locked(lock(&key).acquire().await);
                Box::pin(async move { lease.release().await.unwrap() })
            }
            Self::Publish => {
                let gate = Gate::default();
                let call = enter_body(&gate, computes(key, gate.clone())).await;
                Box::pin(async move {
                    gate.open();
                    call.await;
                })
            }
            Self::DropLease => {
                let lease = locked(lock(&key).acquire().await);
                Box::pin(async move {
                    drop(lease);
                    hold(locked(try_lock(&key).acquire().await));
                })
            }
            Self::DropGuard => {
                let guard = Guard(Some(locked(lock(&key).acquire().await)));
                Box::pin(async move {
                    drop(guard);
                    let again = try_lock(&key).cached_if_computed(true).acquire().await;
                    assert!(matches!(again, Ok(Acquired::Computed)), "{again:?}");
                })
            }
            Self::DropAcquire => {
                let mut acquire = Box::pin(lock(&key).acquire());
                let acquired = poll_once(&mut acquire).await;
                Box::pin(async move {
                    drop((acquire, acquired));
                    hold(locked(try_lock(&key).acquire().await));
                })
            }
            Self::DropCall => {
                let gate = Gate::default();
                let call = enter_body(&gate, computes(key.clone(), gate.clone())).await;
                Box::pin(async move {
                    drop(call);
                    let gate = Gate::default();
                    assert_eq!(try_compute(&key, &gate).await.unwrap(), VALUE);
                    assert_eq!(gate.bodies(), 1, "the dropped call was published");
                })
            }
            Self::Delete => {
                locked(lock(&key).acquire().await).release().await.unwrap();
                Box::pin(async move { assert!(lock(&key).delete_state().await.unwrap()) })
            }
        }
    }

    /// The same, with a rest that blocks the thread which polls it.
    /// If `begun`, an async hit of the same key has begun, and nobody polls it meanwhile.
    pub(super) async fn prepare_twin(self, key: String, begun: bool) -> Work {
        match self {
            Self::Acquire => Box::pin(async move { hold(locked(lock(&key).acquire_blocking())) }),
            Self::Hit => {
                store(&key).await;
                let other = key.clone();
                let mut hit: Work = Box::pin(async move { assert_hit(&other).await });
                let is_pending = begun && poll_once(&mut hit).await.is_none();
                Box::pin(async move {
                    let gate = Gate::default();
                    assert_eq!(compute_blocking(&key, &gate).unwrap(), VALUE);
                    assert_eq!(gate.bodies(), 0, "the value was computed again");
                    if is_pending {
                        hit.await;
                    }
                })
            }
            Self::Miss => Box::pin(async move {
                let gate = Gate::default();
                assert_eq!(compute_blocking(&key, &gate).unwrap(), VALUE);
                assert_eq!(gate.bodies(), 1, "the body did not run");
            }),
            Self::Release => {
                let lease = locked(lock(&key).acquire().await);
                Box::pin(async move { lease.release_blocking().unwrap() })
            }
            Self::DropLease => {
                let lease = locked(lock(&key).acquire().await);
                Box::pin(async move {
                    drop(lease);
                    hold(locked(try_lock(&key).acquire_blocking()));
                })
            }
            Self::DropAcquire => {
                let mut acquire = Box::pin(lock(&key).acquire());
                let acquired = poll_once(&mut acquire).await;
                Box::pin(async move {
                    drop((acquire, acquired));
                    hold(locked(try_lock(&key).acquire_blocking()));
                })
            }
            Self::DropCall => {
                let gate = Gate::default();
                let call = enter_body(&gate, computes(key.clone(), gate.clone())).await;
                Box::pin(async move {
                    drop(call);
                    let gate = Gate::default();
                    assert_eq!(try_compute_blocking(&key, &gate).unwrap(), VALUE);
                    assert_eq!(gate.bodies(), 1, "the dropped call was published");
                })
            }
            Self::Delete => {
                locked(lock(&key).acquire().await).release().await.unwrap();
                Box::pin(async move { assert!(lock(&key).delete_state_blocking().unwrap()) })
            }
            // Its drop blocks.
            Self::DropGuard | Self::Publish => self.prepare(key).await,
        }
    }

    /// Checks what the operation has left in the store, from a plain thread.
    pub(super) fn check(self, key: &str) {
        let gate = Gate::default();
        match self {
            Self::Acquire | Self::DropLease | Self::DropAcquire => {
                hold(locked(lock(key).acquire_blocking()));
            }
            Self::Hit | Self::Miss | Self::Publish | Self::DropCall => {
                assert_eq!(compute_blocking(key, &gate).unwrap(), VALUE);
                assert_eq!(gate.bodies(), 0, "the value was not stored");
            }
            Self::Release | Self::DropGuard => {
                let again = try_lock(key).cached_if_computed(true).acquire_blocking();
                assert!(matches!(again, Ok(Acquired::Computed)), "{again:?}");
            }
            Self::Delete => assert!(!lock(key).delete_state_blocking().unwrap(), "not deleted"),
        }
    }
}

/// A guard as users write it.
struct Guard(Option<Lease>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(lease) = self.0.take() {
            lease.release_blocking().unwrap();
        }
    }
}

fn hold(lease: Lease) {
    assert!(lease.fence() > 0 && !lease.is_lost());
}

/// Stores the value of `key`.
async fn store(key: &str) {
    assert_eq!(compute(key, &Gate::opened()).await.unwrap(), VALUE);
}

pub(super) async fn assert_hit(key: &str) {
    let gate = Gate::opened();
    assert_eq!(compute(key, &gate).await.unwrap(), VALUE);
    assert_eq!(gate.bodies(), 0, "the value was computed again");
}

/// Starts a call, and polls it until its body has started.
pub(super) async fn enter_body(gate: &Gate, call: impl Future<Output = ()> + Send + 'static) -> Work {
    let mut call: Work = Box::pin(call);
    poll_fn(|context| match call.as_mut().poll(context) {
        Poll::Ready(()) => panic!("the body ended before its gate was opened"),
        Poll::Pending if gate.bodies() > 0 => Poll::Ready(()),
        Poll::Pending => Poll::Pending,
    })
    .await;
    call
}

/// A call that computes.
async fn computes(key: String, gate: Gate) {
    assert_eq!(compute(&key, &gate).await.unwrap(), VALUE);
}

/// Polls a future once, and returns its output if it was ready.
pub(super) async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    poll_fn(|context| {
        Poll::Ready(match Pin::new(&mut *future).poll(context) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}
