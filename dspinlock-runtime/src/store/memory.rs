//! The store in the memory of one process: a map, and [`protocol::apply`] on its entries. `store` opens it. It needs neither
//! a server nor a file nor a thread, so it is for tests, and for programs with one process.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use foldhash::fast::RandomState;

#[cfg(feature = "inspect")]
use super::api::Names;
use super::api::{Boxed, Change, Failure, SharedStore, Store};
use super::watch::Watch;
use crate::error::Error;
use crate::key::Key;
use crate::protocol::record::Entry;
use crate::protocol::{self, Reply, Request};
use crate::rt::background;
use crate::rt::clock::Instant;

/// Opens an empty store, and the background thread.
pub(crate) fn open() -> Result<SharedStore, Error> {
    background::start().map_err(|error| Error::EmbeddedNotInitialized {
        path: ":memory:".into(),
        reason: format!(
            "cannot start a thread ({}): raise the limits of the process",
            error.kind()
        ),
    })?;
    Ok(Arc::new(Memory::open()))
}

/// Microseconds since 1970.
type Clock = Box<dyn Fn() -> u64 + Send + Sync>;

/// A store in memory. It is empty when it is opened. Clones share the entries.
#[derive(Clone)]
pub struct Memory(Arc<Shared>);

struct Shared {
    entries: Mutex<Entries>,
    clock: Clock,
    watch: Arc<Watch>,
    /// An entry ends when its time is over. On a server it ends up to a millisecond later.
    #[cfg(feature = "testing")]
    ends_on_time: bool,
}

#[derive(Default)]
struct Entries {
    by_name: HashMap<String, Entry, RandomState>,
    /// The number of writes before the next sweep.
    until_sweep: usize,
}

/// The fewest writes between two sweeps.
const SWEEP_AFTER: usize = 64;

impl Memory {
    /// A store that counts time by a clock that is never set.
    pub fn open() -> Self {
        let (start, since) = (Instant::now(), SystemTime::now());
        let start_time = since
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        Self::with_clock(Box::new(move || {
            (start_time + start.elapsed()).as_micros() as u64
        }))
    }

    /// A store with a custom clock, for tests.
    pub fn with_clock(clock: Clock) -> Self {
        Self(Arc::new(Shared::new(clock)))
    }

    /// [`with_clock`](Self::with_clock), for the tests of users: after `advance(ttl)` a value is gone.
    #[cfg(feature = "testing")]
    pub(crate) fn on_time(clock: Clock) -> Self {
        Self(Arc::new(Shared {
            ends_on_time: true,
            ..Shared::new(clock)
        }))
    }
}

impl Memory {
    /// Executes a step. Returns its reply, and whether it has written.
    pub(crate) fn apply(&self, key: &Key, request: &Request) -> (Reply, bool) {
        self.0.apply(key, request)
    }

    /// Resolves at the next change after this call, also if it precedes the first poll.
    pub(crate) fn changed(&self) -> impl Future<Output = ()> + Send + 'static {
        Watch::wait(&self.0.watch)
    }

    /// Removes every entry.
    #[cfg(feature = "testing")]
    pub(crate) fn clear(&self) {
        self.0.entries().by_name.clear();
        self.0.watch.wake();
    }
}

impl Shared {
    fn new(clock: Clock) -> Self {
        Self {
            entries: Mutex::default(),
            clock,
            watch: Arc::default(),
            #[cfg(feature = "testing")]
            ends_on_time: false,
        }
    }

    fn apply(&self, key: &Key, request: &Request) -> (Reply, bool) {
        let mut entries = self.entries();
        let (now, name) = ((self.clock)(), key.name());
        let before = entries.by_name.get(&name).cloned().unwrap_or_default().at(now);
        #[cfg(feature = "testing")]
        let before = self.without_ended(before, now);
        let (after, reply) = protocol::apply(key, &before, now, request);
        let Some(after) = after else { return (reply, false) };
        match after {
            Entry::Absent => drop(entries.by_name.remove(&name)),
            after => entries.write(name, after, now),
        }
        drop(entries);
        // A renewal frees no key, and holders renew often.
        if !matches!(request, Request::Renew(_)) && self.watch.is_watched() {
            self.watch.wake();
        }
        (reply, true)
    }

    /// Nothing instead of an entry that ends at this moment, if entries end on time.
    #[cfg(feature = "testing")]
    fn without_ended(&self, entry: Entry, now: u64) -> Entry {
        match entry.until() {
            Some(until) if self.ends_on_time && until <= now / 1000 => Entry::Absent,
            _ => entry,
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    /// Removes the expired entries after as many writes as there are entries: a write costs the same on average.
    fn write(&mut self, name: String, entry: Entry, now: u64) {
        if self.until_sweep == 0 {
            self.by_name
                .retain(|_, entry| entry.until().is_none_or(|until| until >= now / 1000));
            self.until_sweep = self.by_name.len().max(SWEEP_AFTER);
        }
        self.until_sweep -= 1;
        self.by_name.insert(name, entry);
    }
}

impl Store for Memory {
    fn step(&self, key: &Key, request: Request, _: Instant) -> Boxed<Result<Reply, Failure>> {
        let (memory, key) = (self.clone(), key.clone());
        Box::pin(async move { Ok(memory.apply(&key, &request).0) })
    }

    fn step_watched(
        &self,
        key: &Key,
        request: Request,
        since: Instant,
    ) -> Boxed<Result<(Reply, Change), Failure>> {
        let changed = self.changed();
        let reply = self.step(key, request, since);
        Box::pin(async move { Ok((reply.await?, Box::pin(changed) as Change)) })
    }

    /// All at once: a store in memory is small.
    #[cfg(feature = "inspect")]
    fn names(&self, prefix: &str, _: &str, _: Instant) -> Boxed<Result<Names, Failure>> {
        let now = (self.0.clock)();
        let entries = self.0.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let live = entries.by_name.iter().filter(|(name, entry)| {
            name.starts_with(prefix) && entry.until().is_none_or(|until| until >= now / 1000)
        });
        let names = live.map(|(name, _)| name.clone()).collect();
        Box::pin(std::future::ready(Ok(Names { names, rest: None })))
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::key::Format;
    use crate::protocol::Acquire;
    use crate::protocol::header::Origin;
    use crate::protocol::tag::Tag;
    use crate::rt::blocking::wait;

    #[test]
    fn expired_entries_are_removed() {
        static NOW: AtomicU64 = AtomicU64::new(1);
        let store = Memory::with_clock(Box::new(|| NOW.load(Ordering::Relaxed)));
        let request = Request::Acquire(Acquire {
            tag: Tag::parse(b"tag-of-16-bytes_").expect("a tag"),
            lease: 1,
            max_block: 1,
            cached: false,
            fail_if_key_exists: false,
            seize: false,
            refuse: None,
            stale: None,
            origin: Origin::new(1, "host", "site"),
            bound: 0,
        });
        let mut digest = [0; 32];
        for number in 0..10_000_u32 {
            NOW.fetch_add(1000, Ordering::Relaxed);
            digest[..4].copy_from_slice(&number.to_be_bytes());
            let key = Key::new(Format::Single, "memory".into(), digest);
            wait(store.step(&key, request.clone(), Instant::now())).expect("a reply");
        }
        let count = store.0.entries.lock().expect("no step panics").by_name.len();
        assert!(count <= 2 * SWEEP_AFTER, "{count} entries");
    }
}
