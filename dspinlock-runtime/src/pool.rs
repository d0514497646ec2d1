//! The pool: one store with its connections, the flights and the near cache of its keys, and its secret.
//!
//! Users open it; `engine`, `lease` and `lock` send their requests through it. It decides nothing about a lock.

pub(crate) mod flight;
pub(crate) mod near_cache;
mod open;
mod request;
mod secret;
mod tick;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use once_cell::sync::OnceCell;

use self::flight::Flights;
use self::near_cache::NearCache;
use self::open::{Location, Settings};
use self::request::Requests;
use self::secret::{SIGNATURE_SIZE, Secret};
use self::tick::Tick;
use crate::error::Error;
use crate::key::Key;
use crate::protocol::value::{Hit, MAX_HEADER};
use crate::protocol::{Reply, Request};
use crate::rt::clock::Instant;
use crate::rt::process::{self, Owned, PerProcess};
use crate::rt::thread_end;
use crate::store::RedisParameters;
use crate::tls::Tls;

static GLOBAL: PerProcess<Global> = PerProcess::new(Global::inherit);

/// The global pool of one process.
struct Global {
    pool: OnceCell<Pool>,
    /// What a forked child opens again.
    of_parent: Option<Source>,
}

/// What a pool is opened from.
#[derive(Clone)]
struct Source {
    settings: Settings,
    secret: Option<Secret>,
}

impl Global {
    fn inherit(parent: Option<&Self>) -> Self {
        let source = |parent: &Self| match parent.pool.get() {
            Some(pool) => Some(pool.shared.source.clone()),
            None => parent.of_parent.clone(),
        };
        Self {
            pool: OnceCell::new(),
            of_parent: parent.and_then(source),
        }
    }

    fn open(&self) -> Result<Pool, Error> {
        match &self.of_parent {
            Some(source) => Pool::from_source(source.clone()),
            None => Pool::new(Settings::from_environment()?).map_err(open::name_variable),
        }
    }
}

/// Sets the global pool, which annotated functions use. Call it once, before the first locked call.
///
/// Without `init`, the first locked call opens the URL in the environment variable `DSPINLOCK_URL`. Without that variable
/// it opens the embedded store of this machine.
///
/// ```
/// # use dspinlock_runtime as dspinlock;
/// use dspinlock::Pool;
///
/// dspinlock::init(Pool::open("sqlite::memory:")?)?;
/// # Ok::<(), dspinlock::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::AlreadyInitialized`] if the global pool already exists with another URL or other settings. A second call with
/// the same URL and settings does nothing.
pub fn init(pool: Pool) -> Result<(), Error> {
    match GLOBAL.get().pool.try_insert(pool.own()?) {
        Ok(_) => Ok(()),
        Err((global, pool)) if global.shared.source.settings == pool.shared.source.settings => Ok(()),
        Err(_) => Err(Error::AlreadyInitialized),
    }
}

/// A store with its connections. Clones are cheap and share everything.
///
/// A pool may be used from every thread, runtime and executor.
///
/// ```
/// # use dspinlock_runtime as dspinlock;
/// use dspinlock::{Acquired, HashDSpinlock, Pool};
///
/// let pool = Pool::open("sqlite::memory:")?; // or "redis://host"
/// let acquired = HashDSpinlock::new("report").pool(&pool).acquire_blocking()?;
/// assert!(matches!(acquired, Acquired::Locked(_)));
/// # Ok::<(), dspinlock::Error>(())
/// ```
#[derive(Clone)]
pub struct Pool {
    shared: Arc<Owned<Shared>>,
}

struct Shared {
    source: Source,
    requests: Requests,
    flights: Flights,
    near_cache: Arc<NearCache>,
    tick: Arc<Tick>,
}

impl Pool {
    /// Opens the store behind `url` with default settings. The first request connects to the server.
    ///
    /// The schemes are `redis://`, `rediss://` (feature `tls`), `valkey://`, `valkeys://`, `redis+unix://`,
    /// `redis+sentinel://` (feature `sentinel`), `redis+cluster://` (feature `cluster`), and `sqlite:PATH`, `sqlite:` or
    /// `sqlite::memory:` (feature `embedded`).
    ///
    /// A request times out 5 s after it began, plus the time that its bytes take at 256 KiB/s. This includes connecting. An
    /// attempt to connect times out after 2 s. If the connection of a request is lost, the request is sent again over another
    /// connection within the same time limit. It still takes effect only once.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// let pool = dspinlock::Pool::open("sqlite::memory:")?;
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`Error::InvalidUrl`] if the URL cannot be used. No message contains its password.
    /// - [`Error::InvalidOption`] if a certificate cannot be used, or the feature `tls` is off.
    /// - [`Error::EmbeddedNotInitialized`] if the file cannot be opened.
    /// - [`Error::RedisNotInitialized`] if the process is out of threads or descriptors.
    pub fn open(url: &str) -> Result<Self, Error> {
        Self::builder(url).open()
    }

    /// Returns a builder of a pool for the store behind `url`. See [`open`](Self::open) for the schemes.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::Pool;
    ///
    /// let pool = Pool::builder("sqlite::memory:")
    ///     .secret("32 random bytes from your secrets")
    ///     .max_value_size(1 << 20)
    ///     .open()?;
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    pub fn builder(url: &str) -> PoolBuilder {
        PoolBuilder(Settings::new(Location::Url(url.into())))
    }

    /// Opens the Redis server of these parameters with default settings. The first request connects to the server.
    ///
    /// ```no_run
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{Pool, RedisParameters};
    ///
    /// let pool = Pool::connect(RedisParameters::new().redis_host("redis.example").port(6380))?;
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`Error::InvalidOption`] if a parameter cannot be used.
    /// - [`Error::RedisNotInitialized`] if the process is out of threads or descriptors.
    pub fn connect(parameters: RedisParameters) -> Result<Self, Error> {
        PoolBuilder::from(parameters).open()
    }

    fn new(settings: Settings) -> Result<Self, Error> {
        let secret = settings.secret.as_deref().map(Secret::new).transpose()?;
        let settings = settings.with_hashed_secret();
        Self::from_source(Source { settings, secret })
    }

    fn from_source(source: Source) -> Result<Self, Error> {
        thread_end::register(process::id());
        let store = source.settings.open_store()?;
        let near_cache = Arc::new(NearCache::new(source.settings.near_cache_size));
        store.listen(near_cache.clone());
        let shared = Shared {
            source,
            requests: Requests::new(store, near_cache.clone()),
            flights: Flights::default(),
            near_cache,
            tick: Tick::new(),
        };
        Ok(Self {
            shared: Arc::new(Owned::new(shared)),
        })
    }

    /// The global pool. Opens it if `init` was not called.
    pub(crate) fn global() -> Result<&'static Self, Error> {
        let global = GLOBAL.get();
        global.pool.get_or_try_init(|| global.open())
    }

    /// The global pool, if it is open.
    pub(crate) fn global_if_open() -> Option<&'static Self> {
        GLOBAL.get().pool.get()
    }

    /// The global pool, if it is open and this process opened it, or its parent less than 250 ms ago: a near hit does not
    /// pay for the process id. A near hit uses nothing but memory, and takes no lock.
    #[inline]
    pub(crate) fn global_for_near_hit(now: Instant) -> Option<&'static Self> {
        let pool = GLOBAL.newest()?.pool.get()?;
        (pool.shared.tick.is_recent(now) || pool.start_tick()).then_some(pool)
    }

    /// `false` if the pool is inherited.
    #[cold]
    fn start_tick(&self) -> bool {
        let is_own = !self.is_inherited();
        if is_own {
            self.shared.tick.start();
        }
        is_own
    }

    /// Whether the pool belongs to the parent of this process: then nothing in it may be used.
    pub(crate) fn is_inherited(&self) -> bool {
        self.shared.is_inherited()
    }

    /// This pool, for its own process.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`] in a forked child.
    pub(crate) fn own(self) -> Result<Self, Error> {
        if self.is_inherited() {
            Err(Error::Forked)
        } else {
            Ok(self)
        }
    }

    pub(crate) fn near_cache(&self) -> &Arc<NearCache> {
        &self.shared.near_cache
    }

    pub(crate) fn flights(&self) -> &Flights {
        &self.shared.flights
    }

    /// See [`Requests::send`].
    pub(crate) fn send(&self, key: &Key, request: Request) -> impl Future<Output = Result<Reply, Error>> {
        self.shared.requests.send(key, request)
    }

    /// See [`Requests::send_noting`].
    pub(crate) fn send_noting(
        &self,
        key: &Key,
        request: Request,
        is_lost: &mut bool,
    ) -> impl Future<Output = Result<Reply, Error>> {
        self.shared.requests.send_noting(key, request, is_lost)
    }

    /// The requests to the store.
    pub(crate) fn requests(&self) -> &Requests {
        &self.shared.requests
    }

    /// The number of names whose next change a call waits for.
    pub(crate) fn watches(&self) -> usize {
        self.shared.requests.watched_names()
    }

    pub(crate) fn max_value_size(&self) -> usize {
        self.shared.source.settings.max_value_size
    }

    /// The key in the store: a pool with a secret renames keys.
    #[inline]
    pub(crate) fn store_key(&self, key: Key) -> Key {
        match &self.shared.source.secret {
            None => key,
            Some(secret) => secret.rename(&key),
        }
    }

    /// The payload to store, signed if the pool has a secret.
    pub(crate) fn sign(&self, key: &Key, tag: &str, fence: u64, payload: &Bytes) -> Bytes {
        match &self.shared.source.secret {
            None => payload.clone(),
            Some(secret) => secret.sign(key, tag, fence, payload),
        }
    }

    /// Whether the payload is the one that was published: its checksum and its signature are valid. Removes the signature.
    #[inline]
    pub(crate) fn verify(&self, key: &Key, hit: &mut Hit) -> bool {
        hit.is_intact()
            && self
                .shared
                .source
                .secret
                .as_ref()
                .is_none_or(|secret| secret.verify(key, hit))
    }

    /// The greatest size of header and payload together.
    pub(crate) fn bound(&self) -> usize {
        let signature = self.shared.source.secret.as_ref().map_or(0, |_| SIGNATURE_SIZE);
        self.max_value_size()
            .saturating_add(MAX_HEADER + signature)
            .min(i64::MAX as usize)
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("max_value_size", &self.max_value_size())
            .finish_non_exhaustive()
    }
}

/// Builder of a [`Pool`] with custom settings. Returned by [`Pool::builder`].
///
/// ```
/// # use dspinlock_runtime as dspinlock;
/// use dspinlock::Pool;
///
/// let pool = Pool::builder("sqlite::memory:").near_cache_size(1_000).open()?;
/// # Ok::<(), dspinlock::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing until `open` is called"]
pub struct PoolBuilder(Settings);

impl PoolBuilder {
    /// Binds keys and values to a secret of at least 16 bytes, by HMAC-SHA-256. 32 random bytes are best. Default: none.
    ///
    /// Without the secret, an attacker cannot guess a key's name or forge a value. A value counts as absent if it was
    /// written without the secret, altered, truncated or moved from another key. Processes share results only if they have
    /// the same secret. Python workers do not share keys with such a pool.
    ///
    /// An attacker that can write to the store can still:
    ///
    /// - delete results,
    /// - hold or release locks,
    /// - mark a key as computed for callers that want no value,
    /// - restore an older value of the same key.
    ///
    /// ```
    /// # use dspinlock_runtime::Pool;
    /// let secret = [7; 32]; // random bytes in production
    /// let pool = Pool::builder("sqlite::memory:").secret(secret).open()?;
    /// # Ok::<(), dspinlock_runtime::Error>(())
    /// ```
    pub fn secret(mut self, secret: impl AsRef<[u8]>) -> Self {
        self.0.secret = Some(secret.as_ref().into());
        self
    }

    /// The greatest size of an encoded value in bytes. Default: 8 MiB.
    ///
    /// A larger value is not stored, and the call fails with [`Error::ValueTooLarge`]. A larger value that another process
    /// stored counts as absent.
    ///
    /// ```
    /// # use dspinlock_runtime::Pool;
    /// let pool = Pool::builder("sqlite::memory:").max_value_size(1 << 20).open()?;
    /// # Ok::<(), dspinlock_runtime::Error>(())
    /// ```
    pub fn max_value_size(mut self, bytes: usize) -> Self {
        self.0.max_value_size = bytes;
        self
    }

    /// The greatest number of values in the near cache of this process. Default: 10,000; 0 turns it off.
    ///
    /// The oldest value is evicted first, unless it was used recently. The sizes of values do not count. The near cache
    /// serves functions with `near_cache` if the server pushes invalidations. Otherwise each call reads the store.
    ///
    /// ```
    /// # use dspinlock_runtime::Pool;
    /// let pool = Pool::builder("sqlite::memory:").near_cache_size(1_000).open()?;
    /// # Ok::<(), dspinlock_runtime::Error>(())
    /// ```
    pub fn near_cache_size(mut self, entries: usize) -> Self {
        self.0.near_cache_size = entries;
        self
    }

    /// The TLS settings for a TLS URL (feature `tls`). Files that the URL names replace those of `tls`. Default:
    /// [`Tls::new`].
    ///
    /// ```no_run
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{Pool, Tls};
    ///
    /// let tls = Tls::new().authorities(std::fs::read("/etc/redis/ca.pem")?);
    /// let pool = Pool::builder("rediss://redis.example:6380").tls(tls).open()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn tls(mut self, tls: Tls) -> Self {
        self.0.tls = tls;
        self
    }

    /// The time limit of an attempt to connect, from the lookup of the host name to the end of the login. Default: 2 s.
    ///
    /// A request does not wait longer than its [`request_timeout`](Self::request_timeout). The attempt then continues for later
    /// requests.
    ///
    /// `socket_connect_timeout` in the URL, in seconds, replaces it.
    ///
    /// ```
    /// # use dspinlock_runtime::Pool;
    /// # use std::time::Duration;
    /// let pool = Pool::builder("redis://localhost").connect_timeout(Duration::from_millis(500)).open()?;
    /// # Ok::<(), dspinlock_runtime::Error>(())
    /// ```
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.0.limits.connect = Some(timeout);
        self
    }

    /// The time limit of a request, from its beginning to its reply. Default: 5 s.
    ///
    /// The limit includes the lookup of the host name, connecting, and sending the request again. It is longer by the time that
    /// the bytes of its connection take at 256 KiB/s. A call that finds no value sends several requests: a read, an acquire and
    /// a publish.
    ///
    /// `socket_timeout` in the URL, in seconds, replaces it.
    ///
    /// ```
    /// # use dspinlock_runtime::Pool;
    /// # use std::time::Duration;
    /// let pool = Pool::builder("redis://localhost").request_timeout(Duration::from_secs(1)).open()?;
    /// # Ok::<(), dspinlock_runtime::Error>(())
    /// ```
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.0.limits.request = Some(timeout);
        self
    }

    /// Whether tokio runtimes and sync callers may open connections for reads, which make hits faster. Default: `true`.
    ///
    /// Set it to `false` if calls are made on a tokio runtime without IO (`enable_time()` alone). Otherwise a task of that
    /// runtime panics after eight reads: calls still succeed, but with `panic = "abort"` the process aborts. With `false` every
    /// request travels on the connections of the background thread. The option is for servers; `sqlite:` URLs refuse it.
    ///
    /// ```
    /// # use dspinlock_runtime::Pool;
    /// let pool = Pool::builder("redis://localhost").readers(false).open()?;
    /// # Ok::<(), dspinlock_runtime::Error>(())
    /// ```
    pub fn readers(mut self, on: bool) -> Self {
        self.0.limits.readers = on;
        self
    }

    /// Opens the store. The first request connects to the server.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{Error, Pool};
    ///
    /// let builder = Pool::builder("sqlite::memory:").secret("too short");
    /// assert!(matches!(builder.open(), Err(Error::InvalidOption { .. })));
    /// ```
    ///
    /// # Errors
    ///
    /// - The errors of [`Pool::open`] and [`Pool::connect`].
    /// - [`Error::InvalidOption`] if the secret has less than 16 bytes, if a time limit is zero, or if an option of a
    ///   connection is set for a `sqlite:` URL.
    /// - [`Error::InvalidUrl`] or [`Error::InvalidOption`] if [`tls`](Self::tls) is set, but the URL or the parameters do
    ///   not use TLS.
    pub fn open(self) -> Result<Pool, Error> {
        Pool::new(self.0)
    }
}

/// For a pool with custom settings for the server of these parameters.
///
/// ```no_run
/// # use dspinlock_runtime as dspinlock;
/// use dspinlock::{PoolBuilder, RedisParameters};
///
/// let parameters = RedisParameters::new().redis_host("redis.example");
/// let pool = PoolBuilder::from(parameters).near_cache_size(1_000).open()?;
/// # Ok::<(), dspinlock::Error>(())
/// ```
impl From<RedisParameters> for PoolBuilder {
    fn from(parameters: RedisParameters) -> Self {
        Self(Settings::new(Location::Redis(Box::new(parameters))))
    }
}

impl fmt::Debug for PoolBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolBuilder").finish_non_exhaustive()
    }
}
