//! A clock that stands still until a test advances it.

use std::ops::{Add, Sub};
use std::time::Duration;

use shuttle::sync::atomic::{AtomicU64, Ordering};

shuttle::lazy_static! {
    static ref NOW: AtomicU64 = AtomicU64::new(0);
}

/// Advances the clock.
pub fn advance(by: Duration) {
    let by = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
    NOW.fetch_add(by, Ordering::SeqCst);
}

/// A moment of this clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(Duration);

impl Instant {
    pub(crate) fn now() -> Self {
        Self(Duration::from_micros(NOW.load(Ordering::SeqCst)))
    }

    pub(crate) fn elapsed(self) -> Duration {
        Self::now() - self
    }

    pub(crate) fn checked_add(self, duration: Duration) -> Option<Self> {
        self.0.checked_add(duration).map(Self)
    }

    pub(crate) fn saturating_duration_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// Microseconds since the clock began.
    pub(crate) fn micros(self) -> u64 {
        u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0 + duration)
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.saturating_duration_since(earlier)
    }
}
