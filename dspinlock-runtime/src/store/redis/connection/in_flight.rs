//! The requests of a connection that have no reply yet, and how each of them fails without one. `connection` adds them, and
//! `driver` looks at their number.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;

use super::watchdog::{Progress, Sent};
use crate::rt::clock::Instant;
use crate::rt::latch::Latch;

/// A handle; clones share the requests.
#[derive(Clone)]
pub(crate) struct InFlight(Arc<Requests>);

struct Requests {
    count: AtomicUsize,
    /// Notified when the first request is sent.
    began: Notify,
    /// Set before the waiting requests are woken.
    closed: Latch,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    last_id: u64,
    /// In the order in which they were sent.
    requests: BTreeMap<u64, Entry>,
}

struct Entry {
    sent: Sent,
    is_overdue: bool,
    waker: Option<Waker>,
}

/// Why a request has no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoReply {
    /// Its time limit is over. The connection may be good.
    Overdue,
    /// The connection is closed.
    Closed,
}

impl InFlight {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Requests {
            count: AtomicUsize::new(0),
            began: Notify::new(),
            closed: Latch::new(),
            waiting: Mutex::default(),
        }))
    }

    /// Adds a request that began at `since`, maybe on another connection.
    pub(crate) fn enter(&self, since: Instant, progress: Progress) -> Request<'_> {
        if self.0.count.fetch_add(1, Ordering::Relaxed) == 0 {
            self.0.began.notify_one();
        }
        let at = Instant::now();
        let mut waiting = self.0.lock();
        waiting.last_id += 1;
        let id = waiting.last_id;
        // Of the oldest request, and not of the one that extends that: on a busy connection the bytes of all requests would
        // extend the time limit.
        let extended_since = waiting.head().map_or(progress, |head| head.progress);
        let entry = Entry {
            sent: Sent {
                since,
                at,
                progress,
                extended_since,
            },
            is_overdue: false,
            waker: None,
        };
        waiting.requests.insert(id, entry);
        Request {
            requests: &self.0,
            id,
            extended_since,
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.0.count.load(Ordering::Relaxed)
    }

    /// Resolves when a request is sent while none is in flight.
    pub(crate) fn began(&self) -> impl Future<Output = ()> + Send + use<> {
        let this = self.clone();
        async move { this.0.began.notified().await }
    }

    /// The oldest request.
    pub(crate) fn head(&self) -> Option<Sent> {
        self.0.lock().head()
    }

    /// Fails the requests that are overdue. The argument is when a request began.
    pub(crate) fn expire(&self, is_overdue: impl Fn(Instant) -> bool) {
        let expire = |entry: &mut Entry| {
            entry.is_overdue |= is_overdue(entry.sent.since);
            entry.waker.take_if(|_| entry.is_overdue)
        };
        let wakers: Vec<_> = self.0.lock().requests.values_mut().filter_map(expire).collect();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Fails every request, now and later.
    pub(crate) fn close(&self) {
        self.0.closed.set();
        let take = |entry: &mut Entry| entry.waker.take();
        let wakers: Vec<_> = self.0.lock().requests.values_mut().filter_map(take).collect();
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.closed.is_set()
    }

    /// Resolves when the connection is closed.
    pub(crate) fn closed(&self) -> impl Future<Output = ()> + Send + use<> {
        let this = self.clone();
        async move { this.0.closed.wait().await }
    }
}

impl Waiting {
    fn head(&self) -> Option<Sent> {
        self.requests.values().next().map(|entry| entry.sent)
    }
}

impl Requests {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request in flight, until it is dropped. It resolves when the request fails.
pub(crate) struct Request<'a> {
    requests: &'a Requests,
    id: u64,
    /// See [`Sent`].
    pub(crate) extended_since: Progress,
}

impl Future for Request<'_> {
    type Output = NoReply;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<NoReply> {
        let mut waiting = self.requests.lock();
        // Checked under the lock: `close` wakes the requests after it has set the latch.
        if self.requests.closed.is_set() {
            return Poll::Ready(NoReply::Closed);
        }
        let Some(entry) = waiting.requests.get_mut(&self.id) else {
            return Poll::Pending;
        };
        if entry.is_overdue {
            return Poll::Ready(NoReply::Overdue);
        }
        let new = context.waker();
        if !entry.waker.as_ref().is_some_and(|known| known.will_wake(new)) {
            entry.waker = Some(new.clone());
        }
        Poll::Pending
    }
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        // The waker is dropped after the lock.
        let _entry = self.requests.lock().requests.remove(&self.id);
        self.requests.count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::redis::connection::watchdog::{Action, Watchdog};

    #[test]
    fn a_request_behind_a_long_one_keeps_the_time_of_both_after_the_first_reply() {
        let (in_flight, start) = (InFlight::new(), Instant::now());
        let mut watchdog = Watchdog::new(Duration::from_secs(5), start);
        // The operating system has taken all bytes at once.
        let progress = Progress {
            written: 4 << 20,
            ..Progress::default()
        };
        let mut long = Some(in_flight.enter(start, Progress::default()));
        let _short = in_flight.enter(start, progress);
        let mut is_closed = |seconds| {
            if seconds == 60 {
                long = None;
            }
            let now = start + Duration::from_secs(seconds);
            watchdog.tick(now, progress, in_flight.head(), true) == Action::Close
        };
        assert_eq!((0..100).find(|seconds| is_closed(*seconds)), Some(70));
    }
}
