//! The task that drives a connection, on the background thread. `connection` spawns it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::in_flight::InFlight;
use crate::store::redis::tracking::Watches;

/// From this many requests in flight on, the driver yields before each turn.
const MANY: usize = 4;

/// The driver of a connection. While several requests are in flight, it lets other tasks run before each turn, so that it
/// writes more requests at once.
pub(crate) struct Driver {
    driver: Pin<Box<dyn Future<Output = ()> + Send>>,
    in_flight: InFlight,
    watches: Option<Arc<Watches>>,
    has_yielded: bool,
}

impl Driver {
    /// When the driver ends, the requests fail, and everything that `watches` knows wakes.
    pub(crate) fn new(
        driver: Pin<Box<dyn Future<Output = ()> + Send>>,
        in_flight: InFlight,
        watches: Option<Arc<Watches>>,
    ) -> Self {
        Self {
            driver,
            in_flight,
            watches,
            has_yielded: false,
        }
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.in_flight.count() >= MANY && !self.has_yielded {
            self.has_yielded = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.has_yielded = false;
        self.driver.as_mut().poll(context)
    }
}

/// Also if the task is aborted.
impl Drop for Driver {
    fn drop(&mut self) {
        self.in_flight.close();
        // Later changes are not pushed.
        if let Some(watches) = &self.watches {
            watches.wake_all();
        }
    }
}
