//! Connections that carry reads only: one for each runtime that reads often, one for all sync callers, and one for the other
//! callers while the steps already carry a read.
//!
//! A group owns its [`Readers`]. A reader is an optimization: whenever it cannot serve a read, or its reply is doubtful, the
//! background reads. Nothing is ever repeated here.
//!
//! Modules, top first: `async_reader`, `sync_reader`, `queue`, `stream`, `login`, `frame`, `health`, `admission`.

mod admission;
mod async_reader;
mod frame;
mod health;
mod login;
mod queue;
mod stream;
mod sync_reader;
#[cfg(test)]
mod tests;

use crate::rt::clock::Instant;
use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Duration;

use bytes::Bytes;
use foldhash::fast::RandomState;
use tokio::runtime::{Handle, Id};
use tokio::sync::Notify;

use self::admission::Admission;
use self::async_reader::Driver;
use self::health::{End, silence};
use self::queue::Queue;
use self::sync_reader::{SyncReader, Unread};
use crate::rt::process::Owned;
use crate::rt::{background, blocking};
use crate::store::api::{CallerRead, Doubt};

pub(crate) use self::login::Server;
pub(crate) use self::stream::Endpoint;

/// Ticks are at least this far apart, in milliseconds, with some tolerance of timers.
const TICK: u64 = 95;

/// The readers of one server process.
pub(crate) struct Readers(Arc<Shared>);

struct Shared {
    endpoint: Arc<Endpoint>,
    by_runtime: RwLock<HashMap<Id, Arc<Queue>, RandomState>>,
    sync: SyncReader,
    /// `None` stands for the sync callers.
    admissions: Mutex<HashMap<Option<Id>, Admission, RandomState>>,
    created_at: Instant,
    /// The time of the last tick, in milliseconds since `created_at`.
    now: AtomicU64,
    /// Notified when a caller is admitted.
    started: Notify,
    /// Notified when a reader is open or has ended.
    changed: Notify,
    is_closed: AtomicBool,
}

impl Readers {
    /// Nothing connects before it is worth it. The background thread must run.
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        Self(Arc::new(Shared {
            endpoint: Arc::new(endpoint),
            by_runtime: RwLock::default(),
            sync: SyncReader::default(),
            admissions: Mutex::default(),
            created_at: Instant::now(),
            now: AtomicU64::new(0),
            started: Notify::new(),
            changed: Notify::new(),
            is_closed: AtomicBool::new(false),
        }))
    }

    /// Sends a read of at most `bound` bytes and one more, if the caller has a reader. `None`: the background has to read. In
    /// a blocking call the calling thread waits here.
    pub(crate) fn read(&self, name: &str, bound: usize) -> Option<CallerRead> {
        if !self.0.endpoint.timeouts.readers {
            // Nothing of the caller's runtime is touched.
            return None;
        }
        if blocking::is_waiting() {
            return self.read_sync(name, bound);
        }
        let runtime = Handle::try_current().ok()?;
        let id = runtime.id();
        if let Some(reading) = self.0.read(id, name, bound) {
            return reading;
        }
        if id != background::handle().id()
            && let Some(registration) = self.0.admit(Some(id), Admission::admit)
        {
            // A forked child may go on with this runtime, but must not touch the parent's socket.
            runtime.spawn(Owned::new(Box::pin(registration.open_async(id))));
        }
        None
    }

    /// Reads on the reader of the background, which is opened if necessary. The read waits for that no longer than for a
    /// silent server. The error is by how long the bytes of the read extend its time limit.
    pub(crate) async fn read_on_background(
        &self,
        name: &str,
        bound: usize,
    ) -> Result<Option<Bytes>, Duration> {
        let id = background::handle().id();
        let mut limit = pin!(background::time_limit(silence(self.0.endpoint.timeouts.response)));
        loop {
            let mut changed = pin!(self.0.changed.notified());
            changed.as_mut().enable();
            match self.0.read(id, name, bound) {
                Some(Some(mut reading)) => {
                    return (&mut reading).await.map_err(|Doubt| reading.extension());
                }
                Some(None) => return Err(Duration::ZERO),
                None => {}
            }
            if let Some(registration) = self.0.admit(Some(id), Admission::admit_at_once) {
                background::spawn(registration.open_async(id));
            } else if !self.0.is_admitted(Some(id)) {
                return Err(Duration::ZERO);
            }
            tokio::select! {
                () = changed => {}
                () = &mut limit => return Err(Duration::ZERO),
            }
        }
    }

    fn read_sync(&self, name: &str, bound: usize) -> Option<CallerRead> {
        match self.0.sync.read(name, bound) {
            Ok(outcome) => return Some(CallerRead::arrived(outcome, Duration::ZERO)),
            Err(Unread::Busy) => return None,
            Err(Unread::Lost { extension }) => {
                self.0.ended(None, false);
                return Some(CallerRead::arrived(Err(Doubt), extension));
            }
            Err(Unread::Absent) => {}
        }
        if let Some(registration) = self.0.admit(None, Admission::admit) {
            background::spawn(registration.open_sync());
        }
        None
    }

    /// Sets the server process of the group, once it is known. Readers that were opened before are closed: they may lead to
    /// another one.
    pub(crate) fn identify(&self, server: impl FnOnce() -> Server) {
        let known = &self.0.endpoint.server;
        if known.get().is_none() && known.set(server()).is_ok() {
            self.0.reset();
        }
    }

    /// Whether [`tick`](Self::tick) is needed every 100 ms.
    pub(crate) fn is_open(&self) -> bool {
        self.0.admissions().values().any(Admission::is_admitted)
    }

    /// Resolves when [`is_open`](Self::is_open) has become true. It does not keep the readers open.
    pub(crate) fn started(&self) -> impl Future<Output = ()> + Send + use<> {
        let shared = Arc::downgrade(&self.0);
        async move {
            if let Some(shared) = shared.upgrade() {
                shared.started.notified().await;
            }
        }
    }

    /// The tick of the background. One that follows another within less than 100 ms has no effect.
    pub(crate) fn tick(&self, now: Instant) {
        let now = now.saturating_duration_since(self.0.created_at).as_millis() as u64;
        if now >= self.0.now.load(Ordering::Relaxed) + TICK {
            self.0.now.store(now, Ordering::Relaxed);
            self.0.tick(now);
        }
    }

    /// Closes all readers: one of them gave the reply to another read. Callers may have new ones.
    pub(crate) fn reset(&self) {
        self.0.reset();
    }

    /// For ever. Waiting reads fail with [`Doubt`].
    pub(crate) fn close(&self) {
        self.0.close();
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    /// Sends a read on the reader of a runtime. `None` if it has no reader; `Some(None)` if that does not serve now.
    fn read(&self, id: Id, name: &str, bound: usize) -> Option<Option<CallerRead>> {
        let by_runtime = self.by_runtime.read().unwrap_or_else(PoisonError::into_inner);
        by_runtime.get(&id).map(|queue| queue.read(name, bound))
    }

    /// Counts a read that had no reader. `Some` if `admit` gives the caller one now.
    fn admit(
        self: &Arc<Self>,
        caller: Option<Id>,
        admit: fn(&mut Admission, u64) -> bool,
    ) -> Option<Registration> {
        let now = self.now.load(Ordering::Relaxed);
        if self.is_closed.load(Ordering::Relaxed) || !admit(self.admissions().entry(caller).or_default(), now)
        {
            return None;
        }
        self.started.notify_one();
        Some(Registration {
            shared: Arc::downgrade(self),
            endpoint: self.endpoint.clone(),
            caller,
            reader: Opened::No,
        })
    }

    /// Whether a reader of this caller is connecting or open.
    fn is_admitted(&self, caller: Option<Id>) -> bool {
        self.admissions().get(&caller).is_some_and(Admission::is_admitted)
    }

    fn ended(&self, caller: Option<Id>, is_useless: bool) {
        let now = self.now.load(Ordering::Relaxed);
        self.admissions()
            .entry(caller)
            .or_default()
            .ended(now, is_useless);
        self.changed.notify_waiters();
    }

    /// Adds a reader. `false` if the group has ended, or has learnt its server process in the meantime.
    fn add(&self, id: Id, queue: &Arc<Queue>, is_checked: bool) -> bool {
        let mut by_runtime = self.by_runtime.write().unwrap_or_else(PoisonError::into_inner);
        let is_open = !self.is_closed.load(Ordering::Relaxed) && self.endpoint.accepts(is_checked);
        if is_open {
            by_runtime.insert(id, queue.clone());
        }
        drop(by_runtime);
        self.changed.notify_waiters();
        is_open
    }

    /// Removes a reader that has ended, once.
    fn remove(&self, id: Id, queue: &Arc<Queue>, is_useless: bool) {
        let mut by_runtime = self.by_runtime.write().unwrap_or_else(PoisonError::into_inner);
        if by_runtime.get(&id).is_some_and(|known| Arc::ptr_eq(known, queue)) {
            by_runtime.remove(&id);
            drop(by_runtime);
            self.ended(Some(id), is_useless);
        }
    }

    fn tick(&self, now: u64) {
        for (id, queue) in self.queues() {
            if let Some(end) = queue.tick() {
                self.remove(id, &queue, end == End::Undriven || !queue.has_received());
            }
        }
        if self.sync.tick() {
            self.ended(None, false);
        }
        self.admissions().retain(|_, admission| !admission.is_over(now));
    }

    fn reset(&self) {
        for (id, queue) in self.queues() {
            queue.close();
            self.remove(id, &queue, false);
        }
        if self.sync.reset() {
            self.ended(None, false);
        }
    }

    fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        for (_, queue) in self.queues() {
            queue.close();
        }
        self.sync.close();
    }

    fn queues(&self) -> Vec<(Id, Arc<Queue>)> {
        let by_runtime = self.by_runtime.read().unwrap_or_else(PoisonError::into_inner);
        by_runtime
            .iter()
            .map(|(id, queue)| (*id, queue.clone()))
            .collect()
    }

    fn admissions(&self) -> MutexGuard<'_, HashMap<Option<Id>, Admission, RandomState>> {
        self.admissions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reader from its admission to its end. It is dropped when the reader ends, also if its runtime shuts down.
struct Registration {
    shared: Weak<Shared>,
    endpoint: Arc<Endpoint>,
    /// `None` stands for the sync callers.
    caller: Option<Id>,
    reader: Opened,
}

enum Opened {
    No,
    Async(Id, Arc<Queue>),
    Sync,
}

impl Registration {
    /// Connects and drives the reader of the current runtime, whose id is `id`.
    async fn open_async(mut self, id: Id) {
        let Some(connection) = self.endpoint.connect().await else {
            return;
        };
        let is_checked = connection.is_checked;
        let driver = Driver::new(connection, self.endpoint.timeouts.response);
        if self
            .shared
            .upgrade()
            .is_some_and(|shared| shared.add(id, driver.queue(), is_checked))
        {
            self.reader = Opened::Async(id, driver.queue().clone());
            driver.await;
        }
    }

    /// Connects the reader of the sync callers, on the background.
    async fn open_sync(mut self) {
        let Some(connection) = self.endpoint.connect().await else {
            return;
        };
        let Some(shared) = self.shared.upgrade() else {
            return;
        };
        if shared.sync.open(connection, &self.endpoint).is_ok() {
            self.reader = Opened::Sync;
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let Some(shared) = self.shared.upgrade() else {
            return;
        };
        match &self.reader {
            Opened::No => shared.ended(self.caller, true),
            Opened::Async(id, queue) => shared.remove(*id, queue, !queue.has_received()),
            Opened::Sync => {}
        }
    }
}
