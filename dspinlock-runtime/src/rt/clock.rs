//! The clock of every wait, deadline, age and heartbeat. It never goes back, and it counts the time of a suspended machine.
//!
//! Every module outside of this one reads this clock instead of `std::time::Instant`, which stands still on Linux and macOS
//! while the machine is suspended. Modules that `tests/races` compiles import it from [`sync`](super::sync).
//!
//! The clock is one for the process, because all pools share the heartbeat. A pool of a test has a clock that is moved by hand: see
//! [`timers`](super::timers).

use std::ops::{Add, Sub};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// By how many nanoseconds tests have advanced the clock.
static ADVANCED: AtomicU64 = AtomicU64::new(0);

/// Advances the clock, for tests: a machine that was suspended for this time has the same effect.
pub fn advance(by: Duration) {
    let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
    ADVANCED.fetch_add(nanos, Ordering::Relaxed);
}

/// A moment of this clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(Duration);

/// When a clock begins that is moved by hand. The clock of the process never gets there, so the heartbeat may keep moments of both.
#[cfg(feature = "testing")]
pub(crate) const BY_HAND: Instant = Instant(Duration::from_secs(1 << 48));

impl Instant {
    /// The current moment.
    #[inline]
    pub fn now() -> Self {
        Self(system::time() + Duration::from_nanos(ADVANCED.load(Ordering::Relaxed)))
    }

    pub(crate) fn elapsed(self) -> Duration {
        Self::now() - self
    }

    /// The moment that is `by` later, but not in the future.
    pub(crate) fn moved_by(self, by: Duration) -> Self {
        self.checked_add(by)
            .map_or_else(Self::now, |moved| moved.min(Self::now()))
    }

    /// `None` if the clock never reaches this moment.
    pub(crate) fn checked_add(self, duration: Duration) -> Option<Self> {
        self.0.checked_add(duration).map(Self)
    }

    /// Zero if `earlier` is later.
    #[inline]
    pub(crate) fn saturating_duration_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0 + duration)
    }
}

/// Zero if the other moment is later, as for the standard `Instant`.
impl Sub for Instant {
    type Output = Duration;

    #[inline]
    fn sub(self, earlier: Self) -> Duration {
        self.saturating_duration_since(earlier)
    }
}

/// Linux and Apple have a clock that counts suspension, but the standard library reads the other one.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
mod system {
    use std::time::Duration;

    use rustix::time::{ClockId, clock_gettime};

    #[cfg(not(target_vendor = "apple"))]
    const CLOCK: ClockId = ClockId::Boottime;
    /// Apple's monotonic clock goes on while the machine sleeps.
    #[cfg(target_vendor = "apple")]
    const CLOCK: ClockId = ClockId::Monotonic;

    /// The time since the machine was started.
    #[inline]
    pub(super) fn time() -> Duration {
        let time = clock_gettime(CLOCK);
        // Neither is negative, and there are less than a billion nanoseconds.
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }
}

/// On Windows the standard `Instant` counts suspension. On the other systems it may not.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
mod system {
    use std::sync::LazyLock;
    use std::time::{Duration, Instant};

    static START: LazyLock<Instant> = LazyLock::new(Instant::now);

    /// The time since the first call.
    pub(super) fn time() -> Duration {
        START.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_goes_on_by_itself_and_by_hand() {
        let start = Instant::now();
        std::thread::sleep(Duration::from_millis(10));
        assert!(start.elapsed() >= Duration::from_millis(10));
        let minute = Duration::from_secs(60);
        let before = Instant::now();
        assert_eq!((before + minute) - before, minute);
        assert_eq!(before - (before + minute), Duration::ZERO);
        assert_eq!(before.checked_add(Duration::MAX), None);
    }
}
