//! Drives a connection: writes its requests, and reads its replies. `connection` creates it and calls [`Driver::send`].
//!
//! A task of the background thread drives it. A caller that sends a request also makes one turn, on its own thread, so that
//! the request is written before the background wakes. This turn only writes: it never reads a reply, so it is short, and it
//! wakes no other call. A task that a thread of its runtime wakes may have to wait for that thread.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use super::in_flight::InFlight;
use super::transport::Traffic;
use super::turns::Turns;
use crate::store::redis::tracking::Watches;

/// From this many requests in flight on, the task makes each turn, and yields before it. So it writes more requests at once.
const MANY: usize = 4;

type Exchange = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A handle; clones share the connection.
#[derive(Clone)]
pub(crate) struct Driver(Arc<Inner>);

struct Inner {
    /// Of the redis crate. `None` when it has ended.
    exchange: Mutex<Option<Exchange>>,
    turns: Arc<Turns>,
    /// Wakes `turns`.
    waker: Waker,
    in_flight: InFlight,
    traffic: Arc<Traffic>,
}

impl Driver {
    pub(crate) fn new(exchange: Exchange, in_flight: InFlight, traffic: Arc<Traffic>) -> Self {
        let turns = Arc::<Turns>::default();
        Self(Arc::new(Inner {
            exchange: Mutex::new(Some(exchange)),
            waker: turns.clone().into(),
            turns,
            in_flight,
            traffic,
        }))
    }

    /// The task that drives the connection. When it ends, the requests fail, and everything that `watches` knows wakes.
    pub(crate) fn task(&self, watches: Option<Arc<Watches>>) -> Task {
        Task {
            driver: self.clone(),
            watches,
            has_yielded: false,
        }
    }

    /// Polls `request` for the first time, which queues it, and then writes it on this thread. If many requests are in flight
    /// or another thread makes a turn, the task writes it.
    pub(crate) fn send<T>(&self, request: impl FnOnce() -> T) -> T {
        if self.0.in_flight.count() >= MANY {
            return request();
        }
        let Some(turn) = self.0.turns.begin() else {
            return request();
        };
        let sent = request();
        turn.restart();
        self.0.traffic.set_writes_only(true);
        // If the connection has ended, the task has to end too.
        if self.0.turn().is_ready() {
            self.0.waker.wake_by_ref();
        }
        self.0.traffic.set_writes_only(false);
        sent
    }
}

impl Inner {
    fn turn(&self) -> Poll<()> {
        let Ok(mut exchange) = self.exchange.lock() else {
            // An earlier turn panicked.
            self.end();
            return Poll::Ready(());
        };
        let Some(running) = exchange.as_mut() else {
            return Poll::Ready(());
        };
        let poll = running.as_mut().poll(&mut Context::from_waker(&self.waker));
        drop(exchange);
        if poll.is_ready() {
            self.end();
        }
        poll
    }

    /// Closes the connection. Its drop wakes calls, so the lock is not held.
    fn end(&self) {
        let ended = self
            .exchange
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(ended);
    }
}

/// The task that drives a connection.
pub(crate) struct Task {
    driver: Driver,
    watches: Option<Arc<Watches>>,
    has_yielded: bool,
}

impl Future for Task {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let inner = self.driver.0.clone();
        inner.turns.set_task(context.waker());
        if inner.in_flight.count() >= MANY && !self.has_yielded {
            self.has_yielded = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.has_yielded = false;
        match inner.turns.begin() {
            Some(_turn) => inner.turn(),
            None => {
                // The turn of a caller reads nothing: the task is woken after it.
                inner.waker.wake_by_ref();
                Poll::Pending
            }
        }
    }
}

/// Also if the task is aborted.
impl Drop for Task {
    fn drop(&mut self) {
        let inner = &self.driver.0;
        inner.in_flight.close();
        inner.end();
        // Later changes are not pushed.
        if let Some(watches) = &self.watches {
            watches.wake_all();
        }
    }
}
