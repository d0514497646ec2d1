//! The clock of one pool, and its timers. `pool` owns them; `engine`, `lease` and `call` wait by them.
//!
//! It is the clock of the process, except in a test that moves the clock by hand. Without the feature `testing`, a `Timers` is
//! empty.

#[cfg(feature = "testing")]
pub(crate) mod manual;

use std::time::Duration;

use super::background;
use super::sync::Instant;

/// Clones share the clock.
#[derive(Clone, Default)]
pub(crate) struct Timers {
    #[cfg(feature = "testing")]
    manual: Option<std::sync::Arc<manual::Manual>>,
}

impl Timers {
    /// The current moment.
    #[inline]
    pub(crate) fn now(&self) -> Instant {
        #[cfg(feature = "testing")]
        if let Some(manual) = &self.manual {
            return manual.now();
        }
        Instant::now()
    }

    /// Whether a test moves the clock.
    pub(crate) fn is_by_hand(&self) -> bool {
        #[cfg(feature = "testing")]
        return self.manual.is_some();
        #[cfg(not(feature = "testing"))]
        false
    }

    #[inline]
    pub(crate) fn elapsed(&self, since: Instant) -> Duration {
        self.now().saturating_duration_since(since)
    }

    /// Sleeps for `duration`. Any executor may poll it.
    pub(crate) async fn sleep(&self, duration: Duration) {
        #[cfg(feature = "testing")]
        if let Some(manual) = &self.manual {
            return manual.sleep(duration, false).await;
        }
        background::sleep(duration).await;
    }

    /// [`sleep`](Self::sleep) for a call that waits for another one, which a test can count.
    pub(crate) async fn wait(&self, duration: Duration) {
        #[cfg(feature = "testing")]
        if let Some(manual) = &self.manual {
            return manual.sleep(duration, true).await;
        }
        background::sleep(duration).await;
    }
}

#[cfg(feature = "testing")]
impl Timers {
    /// The timers of a pool with this clock.
    pub(crate) fn by_hand(clock: &std::sync::Arc<manual::Manual>) -> Self {
        Self {
            manual: Some(clock.clone()),
        }
    }

    /// Wakes the waker once, when the clock gets there, if it is moved by hand.
    pub(crate) fn wake_at(&self, at: Instant, waker: impl FnOnce() -> std::task::Waker) {
        let Some(manual) = &self.manual else { return };
        let waker = waker();
        if manual.wake_at(at, &waker, false).is_none() {
            // Not on this thread, which may hold what the waker needs.
            background::spawn(async move { waker.wake() });
        }
    }
}
