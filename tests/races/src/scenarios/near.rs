//! Reads through the near cache, and changes that overtake them.

use std::sync::Arc;
use std::time::Duration;

use shuttle::sync::atomic::{AtomicU64, Ordering};
use shuttle::thread;

use super::key;
use crate::clock::Instant;
use crate::key::{Format, Key};
use crate::pool::near_cache::{Near, NearCache};
use crate::store::Listener;

const AGE: Duration = Duration::from_secs(60);

struct World {
    cache: Arc<NearCache>,
    /// Version of the server's value.
    version: AtomicU64,
    /// The last version that this process was notified of.
    notified: AtomicU64,
}

impl World {
    fn new() -> Self {
        Self {
            cache: Arc::new(NearCache::new(10)),
            version: AtomicU64::new(0),
            notified: AtomicU64::new(0),
        }
    }

    fn entry(&self) -> Option<u64> {
        let version = |near: Near<'_>| near.value().downcast_ref().copied();
        self.cache.get(&key(), Instant::now(), AGE, version)
    }

    /// A call. Its value is not older than the last notification before the call.
    fn read(&self) {
        let notified = self.notified.load(Ordering::SeqCst);
        if let Some(entry) = self.entry() {
            return assert!(
                entry >= notified,
                "an entry of version {entry} after a change to {notified}"
            );
        }
        if let Some(placeholder) = self.cache.reserve(&key(), Instant::now()) {
            let version = self.version.load(Ordering::SeqCst);
            placeholder.fill(Arc::new(version));
        }
    }

    /// Changes the value and notifies this process.
    fn change(&self, notify: impl FnOnce(&NearCache)) {
        let version = self.version.fetch_add(1, Ordering::SeqCst) + 1;
        notify(&self.cache);
        self.notified.fetch_max(version, Ordering::SeqCst);
    }
}

fn run(notify: fn(&NearCache)) {
    let world = Arc::new(World::new());
    let readers = [(), ()].map(|()| {
        let world = world.clone();
        thread::spawn(move || {
            world.read();
            world.read();
        })
    });
    let writer = {
        let world = world.clone();
        thread::spawn(move || world.change(notify))
    };
    for thread in readers.into_iter().chain([writer]) {
        thread.join().expect("no read returns an outdated entry");
    }
    let (entry, version) = (world.entry(), world.version.load(Ordering::SeqCst));
    assert!(
        entry.is_none_or(|entry| entry == version),
        "an outdated entry remains"
    );
}

/// The key is invalidated by a push.
pub fn a_read_overtaken_by_a_push_is_not_cached() {
    run(|cache| cache.changed(key().name().as_bytes()));
}

/// The connection is lost.
pub fn a_read_overtaken_by_a_disconnect_is_not_cached() {
    run(NearCache::all_changed);
}

/// This process writes the key.
pub fn a_read_overtaken_by_a_local_write_is_not_cached() {
    run(|cache| cache.forget(&key()));
}

/// An entry that has lost its place in the queue of evictions would stay for ever.
pub fn the_number_of_entries_stays_within_the_size() {
    let key = |number| Key::new(Format::Single, "dspinlock".into(), [number; 32]);
    let cache = Arc::new(NearCache::new(1));
    let get = move |cache: &NearCache, number| {
        let value = |near: Near<'_>| near.value().downcast_ref::<u8>().copied();
        cache.get(&key(number), Instant::now(), AGE, value)
    };
    let fill = move |cache: &Arc<NearCache>, number: u8| {
        let placeholder = cache
            .reserve(&key(number), Instant::now())
            .expect("the cache is on");
        placeholder.fill(Arc::new(number));
    };
    let threads: [Box<dyn FnOnce(Arc<NearCache>) + Send>; 4] = [
        Box::new(move |cache| {
            fill(&cache, 1);
            get(&cache, 1);
            fill(&cache, 1);
        }),
        Box::new(move |cache| {
            fill(&cache, 2);
            get(&cache, 2);
        }),
        Box::new(move |cache| cache.changed(key(1).name().as_bytes())),
        Box::new(|cache| cache.all_changed()),
    ];
    let threads = threads.map(|thread| {
        let cache = cache.clone();
        thread::spawn(move || thread(cache))
    });
    for thread in threads {
        thread.join().expect("the threads only fill and remove");
    }
    let count = || (1..=2).filter_map(|number| get(&cache, number)).count();
    assert!(count() <= 1, "more entries than the size");
    cache.forget(&key(1));
    cache.forget(&key(2));
    fill(&cache, 3);
    assert_eq!(
        (count(), get(&cache, 3)),
        (0, Some(3)),
        "a place without an entry"
    );
}
