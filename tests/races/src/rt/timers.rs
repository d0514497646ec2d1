//! The clock of the scheduler, as a pool has it.

use std::time::Duration;

use super::background;
use crate::clock::Instant;

#[derive(Clone, Copy, Default)]
pub struct Timers;

impl Timers {
    pub(crate) fn now(&self) -> Instant {
        Instant::now()
    }

    pub(crate) async fn sleep(&self, duration: Duration) {
        background::sleep(duration).await;
    }
}
