//! The pool of a test: users open it with `Pool::for_test`. It adds to a pool what only a test may do.

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use crate::call::Entry;
use crate::engine::{self, CallSpec, Outcome};
use crate::error::Error;
use crate::key::Key;
use crate::lease::held::Caller;
use crate::lease::{Lease, heartbeat};
use crate::lock::HashDSpinlock;
use crate::options::{Options, Wait};
use crate::pool::Pool;
use crate::pool::testing::Testing;
use crate::rt::blocking;

/// A pool for one test: it needs no server, its clock stands still until the test moves it, and the test can break what it uses.
///
/// [`Pool::for_test`] opens it. It is a [`Pool`] by `Deref`: [`bind`](Pool::bind) makes it the pool of the code under test, and
/// [`scope`](Pool::scope) or `pool = &pool` work too. `(*pool).clone()` is a `Pool`, for a struct that has one. The engine, the protocol and the heartbeat are those of every other pool. The
/// store is a map in memory that pushes changes as a server does. Clones share everything, and two pools share nothing.
///
/// The clock stands still: no value or lease expires, and no call times out, until the test calls [`advance`](Self::advance). Then
/// a test of an hour takes milliseconds. The clock is that of the pool: a body that sleeps or measures time has its own.
///
/// ```
/// # use dspinlock_runtime as dspinlock;
/// use std::time::Duration;
///
/// use dspinlock::{Entry, Pool};
///
/// let pool = Pool::for_test();
/// let price = Entry::of::<u64>("price").part(&7).pool(&pool).ttl(Duration::from_secs(600));
/// price.prime_blocking(&21)?;
/// pool.advance(Duration::from_secs(599));
/// assert_eq!(price.peek_blocking()?.map(|stored| stored.value), Some(21));
/// pool.advance(Duration::from_secs(1));
/// assert!(price.peek_blocking()?.is_none());
/// # Ok::<(), dspinlock::Error>(())
/// ```
#[derive(Clone)]
pub struct TestPool(Pool);

/// A key in the methods of [`TestPool`]: an [`Entry`] or a [`HashDSpinlock`].
pub trait TestKey: sealed::HasKey {}

impl<R> TestKey for Entry<R> {}
impl TestKey for HashDSpinlock {}

mod sealed {
    use super::{Entry, Error, HashDSpinlock, Key};

    pub trait HasKey {
        fn checked(&self) -> Result<Key, Error>;
        fn site(&self) -> &str;
    }

    impl<R> HasKey for Entry<R> {
        fn checked(&self) -> Result<Key, Error> {
            self.checked_key()
        }

        fn site(&self) -> &str {
            self.site()
        }
    }

    impl HasKey for HashDSpinlock {
        fn checked(&self) -> Result<Key, Error> {
            self.checked_key()
        }

        fn site(&self) -> &str {
            "explicit lock"
        }
    }
}

impl Pool {
    /// Opens a pool for one test, with an empty store in memory. See [`TestPool`].
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{HashDSpinlock, Pool};
    ///
    /// let pool = Pool::for_test();
    /// let _bound = pool.bind();
    /// let held = HashDSpinlock::new("report").acquire_blocking()?;
    /// assert!(HashDSpinlock::new("report").is_held_blocking()?);
    /// # drop(held);
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the process is out of threads.
    pub fn for_test() -> TestPool {
        TestPool(Self::of_test(Testing::new()))
    }
}

impl TestPool {
    /// Moves the clock of the pool. Everything that is due happens in order, each at its time: values and leases expire, leases are
    /// renewed, and waiting calls look again or time out. Blocks the thread until that is over: for some microseconds for each of
    /// these events.
    ///
    /// The code of the test goes on by itself: a call that has timed out returns when its task or thread runs again, so await
    /// it or join it. A call that begins after this method begins at the new time: [`waiting`](Self::waiting) waits until a call in
    /// another task has begun to wait.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use std::time::Duration;
    ///
    /// use dspinlock::{Error, HashDSpinlock, Pool, Wait};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// let pool = Pool::for_test();
    /// let lock = HashDSpinlock::new("report").wait(Wait::AtMost(Duration::from_secs(600))).pool(&pool);
    /// let held = lock.acquire().await?;
    /// // `join!` polls the call before the clock is moved.
    /// let (second, ()) = tokio::join!(lock.acquire(), async { pool.advance(Duration::from_secs(600)) });
    /// assert!(matches!(second, Err(Error::SpinlockTriesExceeded { .. })));
    /// # drop(held);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the clock would be moved by more than 500 billion years, or if a logger of the program panics meanwhile.
    pub fn advance(&self, by: Duration) {
        self.testing().clock.advance(by);
    }

    /// Resolves when this many calls wait for another one, each in its own task. So a test knows that a call has begun to wait.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use std::time::Duration;
    ///
    /// use dspinlock::{Error, HashDSpinlock, Pool};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// let pool = Pool::for_test();
    /// let lock = HashDSpinlock::new("report").pool(&pool);
    /// let held = lock.acquire().await?;
    /// let second = tokio::spawn(lock.acquire());
    /// pool.waiting(1).await;
    /// pool.advance(Duration::from_secs(5)); // the default of `wait`
    /// let second = second.await.expect("the task does not panic");
    /// assert!(matches!(second, Err(Error::SpinlockTriesExceeded { .. })));
    /// # drop(held);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancellation safety
    ///
    /// This method is cancel safe: a dropped future changes nothing.
    pub async fn waiting(&self, calls: usize) {
        self.testing().clock.until_waiting(calls).await;
    }

    /// [`waiting`](Self::waiting) for callers without an executor. This method blocks the thread.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{HashDSpinlock, Pool};
    ///
    /// let pool = Pool::for_test();
    /// let lock = HashDSpinlock::new("report").pool(&pool);
    /// let held = lock.acquire_blocking()?;
    /// let second = std::thread::spawn(move || lock.acquire_blocking().map(drop));
    /// pool.waiting_blocking(1);
    /// drop(held);
    /// second.join().expect("the thread does not panic")?; // it has the lock
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    pub fn waiting_blocking(&self, calls: usize) {
        blocking::wait(self.waiting(calls));
    }

    /// Holds the key as a call does whose body runs, until the lease is dropped. Calls of this pool wait for it as for another
    /// process. With [`advance`](Self::advance), its heartbeat renews it.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{Entry, Pool, Status};
    ///
    /// let pool = Pool::for_test();
    /// let price = Entry::of::<u64>("price").part(&7).pool(&pool);
    /// let held = pool.hold(&price);
    /// assert!(matches!(price.status_blocking()?, Status::Held { .. }));
    /// drop(held);
    /// assert_eq!(price.status_blocking()?, Status::Free);
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the key is held already, if it cannot be hashed, or if a request of [`fail_next`](Self::fail_next) fails.
    #[track_caller]
    pub fn hold(&self, key: &impl TestKey) -> Lease {
        let caller = Caller::new(key.site().to_owned());
        let options = Options::new().wait(Wait::AtMost(Duration::ZERO));
        let spec = match key.checked() {
            Ok(key) => CallSpec::new(key, caller, options, Some(self.0.clone())),
            Err(error) => panic!("{error}"),
        };
        match blocking::wait(engine::acquire(Box::new(spec))) {
            Ok(Outcome::Lead(lease)) => lease,
            Ok(_) => unreachable!("the call wants no value and runs no body"),
            Err(error) => panic!("cannot hold the key: {error}"),
        }
    }

    /// Lets the call of this pool that holds the key lose its lease at once, as if its process was killed or paused, and the lease
    /// had expired. The key is free, so another call may acquire it. What the old holder returns is not stored.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{HashDSpinlock, Pool};
    ///
    /// let pool = Pool::for_test();
    /// let lock = HashDSpinlock::new("report").pool(&pool);
    /// let lease = pool.hold(&lock);
    /// pool.lose_lease(&lock);
    /// assert!(lease.is_lost());
    /// assert!(!lock.is_held_blocking()?);
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if no call of this pool holds the key, or if the key cannot be hashed.
    #[track_caller]
    pub fn lose_lease(&self, key: &impl TestKey) {
        let key = self.key(key);
        let Some(held) = heartbeat::find(&self.0, &key) else {
            panic!("no call of this pool holds {key}: let its body begin before `lose_lease`");
        };
        self.testing().store.remove(&key);
        heartbeat::lose(&held);
    }

    /// Lets the entry of the key expire: a stored value at the end of its `ttl`, or a lock at the end of its lease. A holder loses
    /// its lease, and learns that from its next heartbeat, as if the clock of the store ran ahead.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{Entry, Pool};
    ///
    /// let pool = Pool::for_test();
    /// let price = Entry::of::<u64>("price").part(&7).pool(&pool);
    /// price.prime_blocking(&21)?;
    /// pool.expire(&price);
    /// assert!(price.peek_blocking()?.is_none());
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the key has no entry, or if it cannot be hashed.
    #[track_caller]
    pub fn expire(&self, key: &impl TestKey) {
        let key = self.key(key);
        let existed = self.testing().store.remove(&key);
        assert!(existed, "{key} has no entry that could expire");
    }

    /// Lets the next requests of this pool fail as if the store could not be reached: with
    /// [`Error::RedisNotInitialized`]. The store does not execute them. All later requests succeed: `usize::MAX` is an outage, and 0
    /// ends it.
    ///
    /// Every request counts, those of the heartbeat too. A call whose value is stored sends one request. Other calls send two to
    /// four. A call that waits outlasts failures, as with every store.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{Error, HashDSpinlock, Pool};
    ///
    /// let pool = Pool::for_test();
    /// let lock = HashDSpinlock::new("report").pool(&pool);
    /// pool.fail_next(1);
    /// assert!(matches!(lock.status_blocking(), Err(Error::RedisNotInitialized { .. })));
    /// assert!(lock.status_blocking().is_ok());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn fail_next(&self, requests: usize) {
        self.testing().store.fail_next(requests);
    }

    /// Lets the reply to the next request of this pool take so long, by the clock of the pool. The store executes the request at
    /// once. If the delay exceeds the time limit of a request, 5 s, the request fails with
    /// [`StoreFailure::Timeout`](crate::StoreFailure::Timeout) after that time.
    ///
    /// The reply waits until the clock is moved. So a method that blocks its thread needs another thread that moves it.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use std::time::Duration;
    ///
    /// use dspinlock::{HashDSpinlock, Pool};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let pool = Pool::for_test();
    /// let lock = HashDSpinlock::new("report").pool(&pool);
    /// pool.delay_next(Duration::from_secs(6));
    /// let (status, ()) = tokio::join!(lock.status(), async { pool.advance(Duration::from_secs(5)) });
    /// assert!(status.is_err()); // it has timed out
    /// # }
    /// ```
    pub fn delay_next(&self, by: Duration) {
        self.testing().store.delay_next(by);
    }

    /// From now on the pushes of the store to this pool are lost. So a call that waits for another process looks again after its
    /// `spinlock_sleep_thresh` only, and a `near_cache` keeps a value for its whole age.
    ///
    /// Calls of one pool that wait for each other need no pushes. A call that waits for [`hold`](Self::hold), or for
    /// [`another_process`](Self::another_process), does.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use std::time::Duration;
    ///
    /// use dspinlock::{HashDSpinlock, Pool};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), dspinlock::Error> {
    /// let pool = Pool::for_test();
    /// let lock = HashDSpinlock::new("report").pool(&pool);
    /// let held = pool.hold(&lock);
    /// pool.drop_wakeups();
    /// let waiting = tokio::spawn(lock.acquire());
    /// pool.waiting(1).await;
    /// drop(held); // no push tells the waiting call
    /// pool.advance(Duration::from_millis(500));
    /// waiting.await.expect("the task does not panic")?; // it has looked again
    /// # Ok(())
    /// # }
    /// ```
    pub fn drop_wakeups(&self) {
        self.testing().store.drop_pushes();
    }

    /// Returns how many bodies of this function or block have begun. The site is its `name`, or the end of its path.
    /// `"price"` counts the functions `shop::price` and `bank::price`, and `"shop::price"` only the first.
    ///
    /// Bodies that run without the lock count too, and so do those of [`another_process`](Self::another_process).
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::Pool;
    ///
    /// let pool = Pool::for_test();
    /// assert_eq!(pool.computes("price"), 0);
    /// ```
    pub fn computes(&self, site: &str) -> usize {
        self.testing().count(site)
    }

    /// Empties the store and the near caches, and sets the counts of [`computes`](Self::computes) to 0. A call that holds a key
    /// loses its lease, and learns that from its next heartbeat.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{Entry, Pool};
    ///
    /// let pool = Pool::for_test();
    /// let price = Entry::of::<u64>("price").part(&7).pool(&pool);
    /// price.prime_blocking(&21)?;
    /// pool.clear();
    /// assert!(price.peek_blocking()?.is_none());
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    pub fn clear(&self) {
        self.testing().clear();
    }

    /// Opens a pool on the same store as another process would: it has the same clock and the same counts, but waits for the calls
    /// of this pool as for those of another process, and has its own near cache, faults and pushes.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{HashDSpinlock, Pool};
    ///
    /// let pool = Pool::for_test();
    /// let lock = HashDSpinlock::new("report");
    /// let held = lock.clone().pool(&pool).acquire_blocking()?;
    /// let there = pool.another_process();
    /// assert!(lock.pool(&there).is_held_blocking()?);
    /// # drop(held);
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    pub fn another_process(&self) -> Self {
        Self(Pool::of_test(self.testing().of_another_process()))
    }

    #[track_caller]
    fn key(&self, key: &impl TestKey) -> Key {
        match key.checked() {
            Ok(key) => self.0.store_key(key),
            Err(error) => panic!("{error}"),
        }
    }

    fn testing(&self) -> &Testing {
        self.0.testing().expect("`for_test` opens it")
    }
}

impl Deref for TestPool {
    type Target = Pool;

    fn deref(&self) -> &Pool {
        &self.0
    }
}

impl fmt::Debug for TestPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestPool")
            .field("moved", &self.testing().clock.moved())
            .finish_non_exhaustive()
    }
}
