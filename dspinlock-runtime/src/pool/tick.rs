//! Tells a near hit that it is still in its process, for less than the price of the process id.
//!
//! While near hits happen, the background thread sets a time every 100 ms. A forked child has no such thread, so the time
//! that it inherits is soon old. `pool` calls it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::rt::background;
use crate::rt::clock::Instant;

const PERIOD: Duration = Duration::from_millis(100);

/// A tick that is older says nothing.
const MAX_AGE: Duration = Duration::from_millis(250);

/// After so many periods without a near hit the ticks end.
const IDLE_PERIODS: u32 = 10;

/// The last tick of a pool.
pub(super) struct Tick {
    begin: Instant,
    /// Milliseconds from `begin` to the end of the validity of the last tick; 0 before the first.
    valid_until: AtomicU64,
    is_running: AtomicBool,
    /// There was a near hit in this period.
    is_used: AtomicBool,
}

impl Tick {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            begin: Instant::now(),
            valid_until: AtomicU64::new(0),
            is_running: AtomicBool::new(false),
            is_used: AtomicBool::new(false),
        })
    }

    /// Whether the background thread of this process has ticked within 250 ms.
    #[inline]
    pub(super) fn is_recent(&self, now: Instant) -> bool {
        let is_recent = self.millis(now) < self.valid_until.load(Ordering::Relaxed);
        // Checked first, because a write by every reader would make them contend for the cache line.
        if is_recent && !self.is_used.load(Ordering::Relaxed) {
            self.is_used.store(true, Ordering::Relaxed);
        }
        is_recent
    }

    /// Starts the ticks, unless they are running. Not for a pool that was inherited.
    pub(super) fn start(self: &Arc<Self>) {
        if !self.is_running.swap(true, Ordering::AcqRel) {
            background::spawn(run(Arc::downgrade(self)));
        }
    }

    fn millis(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.begin).as_millis() as u64
    }
}

async fn run(tick: Weak<Tick>) {
    let mut idle = 0;
    // Ends with its pool.
    while let Some(tick) = tick.upgrade() {
        if idle == IDLE_PERIODS {
            tick.is_running.store(false, Ordering::Release);
            return;
        }
        let until = tick.millis(Instant::now() + MAX_AGE);
        tick.valid_until.store(until, Ordering::Relaxed);
        idle = if tick.is_used.swap(false, Ordering::Relaxed) {
            0
        } else {
            idle + 1
        };
        drop(tick);
        background::sleep(PERIOD).await;
    }
}
