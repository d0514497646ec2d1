//! The store of a test: the store in memory, as several processes see it over a network that a test disturbs. It pushes changes,
//! as a server does. `pool` opens it.

use std::fmt;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

#[cfg(feature = "inspect")]
use super::api::Names;
use super::api::{Boxed, Change, Failure, Listener, Store, Tracked};
use super::memory::Memory;
use crate::error::StoreFailure;
use crate::key::Key;
use crate::protocol::{Read, Reply, Request};
use crate::rt::clock::Instant;
use crate::rt::timers::Timers;
use crate::rt::timers::manual::Manual;

/// The time limit of a request, which is the default of a server.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// The store of one process. Clones share everything.
#[derive(Clone)]
pub(crate) struct TestStore {
    memory: Memory,
    processes: Arc<Mutex<Vec<Arc<Process>>>>,
    own: Arc<Process>,
    timers: Timers,
}

/// How one process sees the store.
#[derive(Default)]
struct Process {
    faults: Mutex<Faults>,
    listener: Mutex<Option<Arc<dyn Listener>>>,
}

/// What the test wants.
#[derive(Default)]
struct Faults {
    /// So many requests fail.
    failures: usize,
    /// The next request takes so long.
    delay: Option<Duration>,
    /// Pushes are lost.
    drops_pushes: bool,
}

impl TestStore {
    pub(crate) fn new(clock: &Arc<Manual>) -> Self {
        let begun = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let begun = begun.unwrap_or(Duration::ZERO);
        let of_store = clock.clone();
        Self {
            memory: Memory::on_time(Box::new(move || (begun + of_store.moved()).as_micros() as u64)),
            processes: Arc::default(),
            own: Arc::default(),
            timers: Timers::by_hand(clock),
        }
        .registered()
    }

    /// The same store as another process sees it.
    pub(crate) fn of_another_process(&self) -> Self {
        Self {
            own: Arc::default(),
            ..self.clone()
        }
        .registered()
    }

    fn registered(self) -> Self {
        lock(&self.processes).push(self.own.clone());
        self
    }

    /// The next requests of this process fail, and no later ones.
    pub(crate) fn fail_next(&self, requests: usize) {
        self.own.faults().failures = requests;
    }

    /// The reply to the next request of this process takes so long.
    pub(crate) fn delay_next(&self, by: Duration) {
        self.own.faults().delay = Some(by);
    }

    /// No push reaches this process any more.
    pub(crate) fn drop_pushes(&self) {
        self.own.faults().drops_pushes = true;
    }

    /// Removes the entry, as at its expiry. Returns whether there was one.
    pub(crate) fn remove(&self, key: &Key) -> bool {
        let (reply, _) = self.memory.apply(key, &Request::Delete);
        self.push(key);
        reply == Reply::Deleted(true)
    }

    /// Removes every entry.
    pub(crate) fn clear(&self) {
        self.memory.clear();
        for listener in self.listeners(|_| true) {
            listener.all_changed();
        }
    }

    async fn execute(&self, key: &Key, request: Request) -> Result<Reply, Failure> {
        let delay = self.own.begin()?;
        let (reply, has_changed) = self.memory.apply(key, &request);
        if has_changed {
            self.push(key);
        }
        if let Some(delay) = delay {
            self.timers.sleep(delay.min(TIME_LIMIT)).await;
            if delay > TIME_LIMIT {
                return Err(Failure::Unknown(StoreFailure::Timeout));
            }
        }
        Ok(reply)
    }

    /// Tells the near caches of every process.
    fn push(&self, key: &Key) {
        for listener in self.listeners(|process| !process.faults().drops_pushes) {
            listener.changed(key.name().as_bytes());
        }
    }

    /// Without the locks, because a value that the listener drops may call this store.
    fn listeners(&self, is_told: impl Fn(&Process) -> bool) -> Vec<Arc<dyn Listener>> {
        let processes = lock(&self.processes);
        let told = processes.iter().filter(|process| is_told(process));
        told.filter_map(|process| lock(&process.listener).clone())
            .collect()
    }
}

impl Process {
    /// Returns the delay of a request, or its failure.
    fn begin(&self) -> Result<Option<Duration>, Failure> {
        let mut faults = self.faults();
        if faults.failures > 0 {
            faults.failures -= 1;
            return Err(Failure::NotReady {
                address: "test".into(),
                reason: "the test lets this request fail: see `TestPool::fail_next`".into(),
            });
        }
        Ok(faults.delay.take())
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        lock(&self.faults)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store for TestStore {
    fn step(&self, key: &Key, request: Request, _: Instant) -> Boxed<Result<Reply, Failure>> {
        let (store, key) = (self.clone(), key.clone());
        Box::pin(async move { store.execute(&key, request).await })
    }

    fn step_watched(
        &self,
        key: &Key,
        request: Request,
        _: Instant,
    ) -> Boxed<Result<(Reply, Change), Failure>> {
        let (store, key) = (self.clone(), key.clone());
        let changed = self.memory.changed();
        Box::pin(async move {
            let reply = store.execute(&key, request).await?;
            let pushed = async move {
                changed.await;
                if store.own.faults().drops_pushes {
                    pending().await
                }
            };
            Ok((reply, Box::pin(pushed) as Change))
        })
    }

    fn read_tracked(&self, key: &Key, read: Read, since: Instant) -> Boxed<Result<Option<Tracked>, Failure>> {
        let reply = self.step(key, Request::Read(read), since);
        Box::pin(async move {
            Ok(Some(Tracked {
                reply: reply.await?,
                registered: true,
            }))
        })
    }

    fn listen(&self, listener: Arc<dyn Listener>) {
        lock(&self.own.listener).get_or_insert(listener);
    }

    #[cfg(feature = "inspect")]
    fn names(&self, prefix: &str, cursor: &str, since: Instant) -> Boxed<Result<Names, Failure>> {
        self.memory.names(prefix, cursor, since)
    }
}

impl fmt::Debug for TestStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TestStore")
    }
}
