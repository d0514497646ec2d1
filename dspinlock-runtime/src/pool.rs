//! The pool: one store with its connections, the flights and the near cache of its keys, and its secret.
//!
//! Users open it; `engine`, `lease` and `lock` send their requests through it. It decides nothing about a lock.

mod builder;
pub(crate) mod closing;
pub(crate) mod flight;
mod namespace;
pub(crate) mod near_cache;
mod open;
mod outage;
pub(crate) mod request;
mod secret;
#[cfg(feature = "testing")]
pub(crate) mod testing;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use once_cell::sync::OnceCell;
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use self::closing::Closing;
use self::flight::{Flights, Found};
use self::namespace::Namespace;
use self::near_cache::NearCache;
use self::open::{Location, Settings};
use self::outage::Outages;
use self::request::{Reading, Requests};
use self::secret::{SIGNATURE_SIZE, Secret};
use crate::error::Error;
use crate::key::{Key, base64};
use crate::protocol::header::{Check, Hit, MAX_LINE};
use crate::protocol::tag::{Head, Tag};
use crate::protocol::{Publish, Read, Reply, Request};
use crate::rt::handle::Handle;
use crate::rt::op::Op;
use crate::rt::process::{self, Owned, PerProcess};
use crate::rt::thread_end;
use crate::rt::timers::Timers;
use crate::rt::{background, blocking};
use crate::store::unopened::{TryOpen, Unopened};
use crate::store::{Failure, Health, RedisParameters, SharedStore};

pub use self::builder::PoolBuilder;

static GLOBAL: PerProcess<Global> = PerProcess::new(Global::inherit);

/// The pause before each probe of a server that is away.
const PROBE_PAUSE: Duration = Duration::from_millis(250);

/// The default of `Store::server`.
const SERVER_OF_UNOPENED: usize = 0;

/// The global pool of one process.
struct Global {
    pool: OnceCell<Pool>,
    /// What a forked child opens again.
    of_parent: Option<Source>,
    /// Stands for the pool while its store cannot be opened.
    unopened: OnceCell<Pool>,
    /// The calls that wait for the thread that opens the pool. `None` if there is no such thread. A list and no lock across
    /// an await: the call that started the thread may never be polled again.
    waiting: Mutex<Option<Vec<oneshot::Sender<Opened>>>>,
}

type Opened = Result<&'static Pool, Error>;

/// What a pool is opened from.
#[derive(Clone)]
struct Source {
    settings: Settings,
    secret: Option<Secret>,
    namespace: Option<Namespace>,
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
            unopened: OnceCell::new(),
            waiting: Mutex::default(),
        }
    }

    /// Opens the pool on a separate thread, because a file may block for seconds: the runtime of the caller drives other
    /// tasks, and the background thread renews leases.
    async fn open_elsewhere(&'static self) -> Opened {
        let (send, opened) = oneshot::channel();
        let is_first = {
            let mut waiting = self.waiting();
            // A thread sets the pool before it takes the list.
            if let Some(pool) = self.pool.get() {
                return Ok(pool);
            }
            let is_first = waiting.is_none();
            waiting.get_or_insert_default().push(send);
            is_first
        };
        if is_first {
            let opener = Opener {
                global: self,
                outcome: None,
            };
            // Without threads the pool cannot be opened either. The error of `open_here` says so.
            let _ = std::thread::Builder::new()
                .name("dspinlock-open".into())
                .spawn(move || opener.run());
        }
        opened.await.unwrap_or_else(|_| self.open_here())
    }

    fn open_here(&'static self) -> Opened {
        self.pool.get_or_try_init(|| self.open())
    }

    fn waiting(&self) -> MutexGuard<'_, Option<Vec<oneshot::Sender<Opened>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> Result<Pool, Error> {
        match &self.of_parent {
            Some(source) => Pool::from_source(source.clone()),
            None => {
                let pool = Pool::new(Settings::from_environment()?).map_err(open::name_variable)?;
                pool.log_namespace();
                Ok(pool)
            }
        }
    }

    /// A pool whose requests fail until the global pool is open.
    fn unopened(&self) -> Result<&Pool, Error> {
        let try_open: TryOpen = || {
            Box::pin(async {
                match Pool::opened().await {
                    Ok(_) => Ok(()),
                    Err(Error::EmbeddedNotInitialized { path, reason }) => {
                        Err(Failure::FileNotReady { path, reason })
                    }
                    Err(error) => Err(Failure::FileNotReady {
                        path: String::new(),
                        reason: error.to_string(),
                    }),
                }
            })
        };
        self.unopened.get_or_try_init(|| {
            let source = match &self.of_parent {
                Some(source) => source.clone(),
                None => Source::new(Settings::from_environment()?)?,
            };
            Ok(Pool::of_shared(Shared::new(
                source,
                Arc::new(Unopened(try_open)),
                Timers::default(),
            )))
        })
    }
}

impl Source {
    fn new(settings: Settings) -> Result<Self, Error> {
        let secret = settings.secret()?;
        let namespace = settings.namespace()?;
        let settings = settings.with_hashed_secrets();
        Ok(Self {
            settings,
            secret,
            namespace,
        })
    }
}

/// Opens the global pool. Its drop replies to the calls that wait, also after a panic: then each of them opens the pool
/// itself.
struct Opener {
    global: &'static Global,
    outcome: Option<Opened>,
}

impl Opener {
    fn run(mut self) {
        self.outcome = Some(self.global.open_here());
    }
}

impl Drop for Opener {
    fn drop(&mut self) {
        let waiting = self.global.waiting().take();
        if let Some(outcome) = &self.outcome {
            for call in waiting.into_iter().flatten() {
                // A call may have been dropped.
                let _ = call.send(outcome.clone());
            }
        }
    }
}

/// Sets the global pool, which annotated functions use. Call it once, before the first locked call.
///
/// Without `init`, the first locked call opens the URL in the environment variable `DSPINLOCK_URL`. Without that variable
/// it opens the embedded store of this user on this machine. [`PoolBuilder::namespace`] says which programs share results.
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
        Ok(pool) => {
            pool.log_namespace();
            Ok(())
        }
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
    shared: Handle<Owned<Shared>>,
}

struct Shared {
    source: Source,
    requests: Requests,
    flights: Flights,
    near_cache: Arc<NearCache>,
    outages: Outages,
    closing: Closing,
    timers: Timers,
    #[cfg(feature = "testing")]
    testing: Option<testing::Testing>,
}

impl Shared {
    fn new(source: Source, store: SharedStore, timers: Timers) -> Self {
        let near_cache = Arc::new(NearCache::new(source.settings.near_cache_size));
        store.listen(near_cache.clone());
        Self {
            source,
            requests: Requests::new(store, near_cache.clone(), timers.clone()),
            flights: Flights::default(),
            near_cache,
            outages: Outages::default(),
            closing: Closing::default(),
            timers,
            #[cfg(feature = "testing")]
            testing: None,
        }
    }
}

impl Pool {
    /// Opens the store behind `url` with default settings. The first request connects to the server.
    ///
    /// The schemes are `redis://`, `rediss://` (feature `tls`), `valkey://`, `valkeys://`, `redis+unix://`,
    /// `redis+sentinel://` (feature `sentinel`), `redis+cluster://` (feature `cluster`), `sqlite:PATH` or `sqlite:` (feature
    /// `embedded`), and `sqlite::memory:`.
    ///
    /// A request times out 5 s after it began, plus the time that its bytes take at 64 KiB/s. This includes connecting. An
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
        Self::from_source(Source::new(settings)?)
    }

    fn from_source(source: Source) -> Result<Self, Error> {
        thread_end::register(process::generation());
        let store = source.settings.open_store()?;
        Ok(Self::of_shared(Shared::new(source, store, Timers::default())))
    }

    fn of_shared(shared: Shared) -> Self {
        Self {
            shared: Handle::new(Owned::new(shared)),
        }
    }

    /// The global pool, which annotated functions use unless another one is named. Opens it if `init` was not called.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{HashDSpinlock, Pool};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), dspinlock::Error> {
    /// # dspinlock::init(Pool::open("sqlite::memory:")?)?;
    /// let pool = Pool::global().await?;
    /// let lock = HashDSpinlock::new("report").pool(&pool);
    /// # let _ = lock;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of [`open`](Self::open) if this call opens the pool.
    ///
    /// # Cancellation safety
    ///
    /// This method is cancel safe: the pool opens, also if the future is dropped.
    pub fn global() -> Op<Self> {
        Op::new(Self::opened())
    }

    /// [`global`](Self::global) for callers without an executor. This method blocks the thread.
    ///
    /// # Errors
    ///
    /// See [`global`](Self::global).
    pub fn global_blocking() -> Result<Self, Error> {
        blocking::wait(Self::global())
    }

    /// Connects and asks the store for its state, for a health endpoint.
    ///
    /// A store that cannot be reached is an error. A replica is none, although calls that need a lock fail there: look at
    /// `Health::role`. In a cluster every master is asked. The request has the time limit of the pool: 5 s, unless [`PoolBuilder::request_timeout`] changes it. It needs no lock, so it also works on a closed
    /// pool.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), dspinlock::Error> {
    /// let pool = dspinlock::Pool::open("sqlite::memory:")?;
    /// let health = pool.check().await?;
    /// println!("{:?} in {:?}, pushes: {}", health.version, health.round_trip, health.pushes);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// - [`Error::RedisNotInitialized`] or [`Error::EmbeddedNotInitialized`] if the store cannot be reached.
    /// - [`Error::Store`] if it does not reply in time, or if the connection is lost.
    /// - [`Error::Forked`] in a forked child.
    ///
    /// # Cancellation safety
    ///
    /// This method is cancel safe: it changes nothing.
    pub fn check(&self) -> Op<Health> {
        let pool = self.clone();
        Op::new(async move { pool.own()?.requests().check().await })
    }

    /// [`check`](Self::check) for callers without an executor. This method blocks the thread.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// let pool = dspinlock::Pool::open("sqlite::memory:")?;
    /// assert!(pool.check_blocking().is_ok());
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// See [`check`](Self::check).
    pub fn check_blocking(&self) -> Result<Health, Error> {
        blocking::wait(self.check())
    }

    /// `pool` or, if it is `None`, the global pool, for a request of this process.
    pub(crate) async fn of_call(pool: Option<Self>) -> Result<Self, Error> {
        match pool {
            Some(pool) => pool.own(),
            None => Self::opened().await,
        }
    }

    /// The same for a call that runs without the lock if the store cannot be asked. If the global pool cannot be opened, each
    /// request of the returned pool fails.
    pub(crate) async fn of_unlocked_call(pool: Option<Self>) -> Result<Self, Error> {
        if pool.is_some() {
            return Self::of_call(pool).await;
        }
        let global = GLOBAL.get();
        if let Some(unopened) = global.unopened.get()
            && global.pool.get().is_none()
            && unopened.shared.outages.is_away(SERVER_OF_UNOPENED)
        {
            return Ok(unopened.clone());
        }
        match Self::opened().await {
            Err(error @ Error::EmbeddedNotInitialized { .. }) if background::start().is_ok() => {
                global.unopened().cloned().map_err(|_| error)
            }
            opened => opened,
        }
    }

    async fn opened() -> Result<Self, Error> {
        let global = GLOBAL.get();
        let pool = match global.pool.get() {
            Some(pool) => pool,
            None => Box::pin(global.open_elsewhere()).await?,
        };
        Ok(pool.of_static())
    }

    /// The global pool, if it is open.
    #[inline]
    pub(crate) fn global_if_open() -> Option<Self> {
        GLOBAL.get().pool.get().map(Self::of_static)
    }

    /// A pool whose clones cost nothing.
    #[inline]
    fn of_static(&'static self) -> Self {
        Self {
            shared: Handle::of_static(&self.shared),
        }
    }

    /// Logs which programs share the results of annotated functions.
    fn log_namespace(&self) {
        match &self.shared.source.namespace {
            Some(namespace) => {
                tracing::info!(target: "dspinlock", "functions without `name` share results in the namespace `{namespace}`")
            }
            None => {
                tracing::info!(target: "dspinlock", "there is no namespace: functions without `name` share results with every program that has the same paths")
            }
        }
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

    pub(crate) fn closing(&self) -> &Closing {
        &self.shared.closing
    }

    /// The clock of the pool.
    #[inline]
    pub(crate) fn timers(&self) -> &Timers {
        &self.shared.timers
    }

    pub(crate) fn flights(&self) -> Flights {
        match &self.shared {
            Handle::Counted(shared) => shared.flights.clone(),
            Handle::Static(shared) => shared.flights.of_static(),
        }
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

    /// See [`Requests::read`].
    pub(crate) fn read(&self, key: Key, read: Read) -> Reading {
        match &self.shared {
            Handle::Counted(shared) => shared.requests.read(key, read),
            Handle::Static(shared) => shared.requests.of_static().read(key, read),
        }
    }

    /// Whether the server of this key cannot be asked now, as far as is known.
    pub(crate) fn is_away(&self, key: &Key) -> bool {
        let outages = &self.shared.outages;
        outages.is_away(self.shared.requests.server(key))
    }

    /// A request for this key has failed, and its function runs without the lock. If the server is away, probes ask it until it is
    /// back. A request that was refused says nothing of the others.
    pub(crate) fn went_away(&self, key: &Key, error: &Error) {
        if !error.is_outage() {
            tracing::warn!(target: "dspinlock", "running a function without the lock: {error}");
            return;
        }
        let server = self.shared.requests.server(key);
        if !self.shared.outages.begin(server) {
            return;
        }
        tracing::warn!(target: "dspinlock", "functions with `on_store_error = run_unlocked` run without the lock until the store can be asked again: {error}");
        let (pool, key) = (self.clone(), key.clone());
        background::spawn(async move {
            loop {
                pool.timers().sleep(PROBE_PAUSE).await;
                let read = Request::Read(Read { bound: Head::LENGTH });
                if pool.send(&key, read).await.is_ok() {
                    pool.shared.outages.end(server);
                    tracing::warn!(target: "dspinlock", "the store can be asked again: functions with `on_store_error = run_unlocked` lock again");
                    return;
                }
                if !pool.shared.outages.goes_on(server) {
                    return;
                }
            }
        });
    }

    /// Whether the store pushes changes of this key now.
    pub(crate) fn pushes(&self, key: &Key) -> bool {
        self.shared.requests.pushes(key)
    }

    /// The requests to the store.
    pub(crate) fn requests(&self) -> &Requests {
        &self.shared.requests
    }

    /// The number of names whose next change a call waits for.
    pub(crate) fn watches(&self) -> usize {
        self.shared.requests.watches()
    }

    pub(crate) fn max_value_size(&self) -> usize {
        self.shared.source.settings.max_value_size
    }

    /// The key in the store: a pool with a namespace or a secret renames keys.
    #[inline]
    pub(crate) fn store_key(&self, key: Key) -> Key {
        let key = match &self.shared.source.namespace {
            None => key,
            Some(namespace) => key.in_namespace(namespace.digest()),
        };
        match &self.shared.source.secret {
            None => key,
            Some(secret) => secret.rename(&key),
        }
    }

    /// What a site validates, for the entry of this key: salted with the key, and with the secret if there is one.
    pub(crate) fn check_of(&self, key: &Key, validated: &[u8; 32]) -> Check {
        let digest: [u8; 32] = match &self.shared.source.secret {
            Some(secret) => secret.check(key, validated),
            None => {
                let salted = Sha256::new_with_prefix(key.name()).chain_update(validated);
                salted.finalize().into()
            }
        };
        let mut check = [0; 22];
        base64::encode(&digest[..16], &mut check);
        check
    }

    /// Signs the value of a publish if the pool has a secret.
    pub(crate) fn sign(&self, key: &Key, publish: &mut Publish) {
        if let Some(secret) = &self.shared.source.secret
            && !key.is_shared()
        {
            secret.sign(key, publish);
        }
    }

    /// The value or the error, if it is the one that was published for this key: its key check, its signature and its checksum
    /// are valid. Otherwise its tag. `remaining`: the milliseconds until it expires, if the reply says it.
    #[inline]
    pub(crate) fn verified(&self, key: &Key, mut hit: Hit, remaining: Option<u64>) -> Result<Found, Tag> {
        let is_signed = |secret: &Secret| secret.verify(key, &mut hit);
        let is_valid = self.shared.source.secret.as_ref().is_none_or(is_signed)
            && hit.is_of(&key.check())
            && hit.is_intact();
        let (id, facts) = (hit.id, hit.facts());
        match facts {
            Some(facts) if is_valid => Ok(Found {
                payload: hit.into_payload(),
                id: Some(id),
                flag: facts.flag,
                age: remaining.map(|remaining| facts.age(remaining)),
            }),
            _ => Err(id.tag),
        }
    }

    /// The greatest size of an entry.
    pub(crate) fn bound(&self) -> usize {
        let signature = self.shared.source.secret.as_ref().map_or(0, |_| SIGNATURE_SIZE);
        self.max_value_size()
            .saturating_add(MAX_LINE + signature)
            .min(i64::MAX as usize)
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.shared.is_same(&other.shared)
    }
}

#[cfg(feature = "testing")]
impl Pool {
    /// The pool of a test, with default settings.
    pub(crate) fn of_test(testing: testing::Testing) -> Self {
        thread_end::register(process::generation());
        let source = Source {
            settings: Settings::new(Location::Url("sqlite::memory:".into())),
            secret: None,
            namespace: None,
        };
        let (store, timers) = (Arc::new(testing.store.clone()), Timers::by_hand(&testing.clock));
        Self::of_shared(Shared {
            testing: Some(testing),
            ..Shared::new(source, store, timers)
        })
    }

    /// What the pool has if it is the pool of a test.
    pub(crate) fn testing(&self) -> Option<&testing::Testing> {
        self.shared.testing.as_ref()
    }
}

impl PoolBuilder {
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
    /// - [`Error::InvalidOption`] if a secret has less than 16 bytes, if `secrets` is empty or set without `secret`, or if a
    ///   time limit is zero.
    /// - [`Error::InvalidUrl`] or [`Error::InvalidOption`] if [`tls`](Self::tls) is set, but the URL or the parameters do
    ///   not use TLS.
    pub fn open(self) -> Result<Pool, Error> {
        Pool::new(self.0)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("max_value_size", &self.max_value_size())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "embedded"))]
mod tests {
    use std::pin::pin;
    use std::sync::mpsc;
    use std::task::{Context, Waker};
    use std::time::Duration;

    use super::*;
    use crate::key::Format;
    use crate::rt::blocking::wait;

    fn global(url: &str) -> &'static Global {
        let source = Source {
            settings: Settings::new(Location::Url(url.into())),
            secret: None,
            namespace: None,
        };
        Box::leak(Box::new(Global {
            pool: OnceCell::new(),
            of_parent: Some(source),
            unopened: OnceCell::new(),
            waiting: Mutex::default(),
        }))
    }

    /// Whether the pool is open in time for a call that blocks its thread.
    fn is_open_for_another(global: &'static Global) -> bool {
        let (send, opened) = mpsc::channel();
        std::thread::spawn(move || send.send(wait(global.open_elsewhere()).is_ok()));
        opened.recv_timeout(Duration::from_secs(10)).unwrap_or(false)
    }

    #[test]
    fn a_namespace_renames_the_keys_of_functions_without_a_name_alone() {
        let open = |namespace: &str| {
            Pool::builder("sqlite::memory:")
                .namespace(namespace)
                .open()
                .unwrap()
        };
        let key = |format| Key::new(format, "p".into(), [7; 32]);
        let (single, shared) = (key(Format::Single), key(Format::Shared));
        let name = |namespace: &str, key: &Key| open(namespace).store_key(key.clone()).name();
        for namespace in ["", "billing"] {
            assert_eq!(name(namespace, &single), single.name());
            assert_eq!(name(namespace, &shared), shared.name());
        }
        let unnamed = single.clone().unnamed();
        assert_eq!(name("", &unnamed), single.name());
        let names = [
            single.name(),
            name("billing", &unnamed),
            name("staging", &unnamed),
        ];
        assert!(
            names[0] != names[1] && names[1] != names[2] && names[0] != names[2],
            "{names:?}"
        );
        // A key is renamed once, also if it is passed through twice.
        let billing = open("billing");
        let once = billing.store_key(unnamed.clone());
        assert_eq!(billing.store_key(once.clone()), once);
        let secret = Pool::builder("sqlite::memory:").secret([7; 32]);
        let signed = secret.clone().open().unwrap().store_key(unnamed.clone());
        let both = secret.namespace("billing").open().unwrap().store_key(unnamed);
        assert_ne!(signed.name(), both.name());
    }

    #[test]
    fn a_pool_with_another_namespace_is_another_pool() {
        let settings = |namespace: &str| Pool::builder("sqlite::memory:").namespace(namespace).0;
        assert!(settings("a") == settings("a"));
        assert!(settings("a") != settings("b"));
    }

    #[test]
    fn a_pool_with_other_secrets_or_other_credentials_is_another_pool() {
        let builder = || Pool::builder("sqlite::memory:").secret([7; 16]);
        let secrets = |list: &[[u8; 16]]| builder().secrets(list).0.with_hashed_secrets();
        assert!(secrets(&[[7; 16]]) == secrets(&[[7; 16]]));
        assert!(secrets(&[[7; 16], [8; 16]]) != secrets(&[[8; 16], [7; 16]]));
        let with = builder().credentials(|| ("app".into(), "password".into()));
        assert!(with.0 == with.clone().0 && with.0 != builder().0);
    }

    #[test]
    fn a_first_call_that_is_not_polled_again_delays_no_other_one() {
        let global = global("sqlite::memory:");
        let mut first = pin!(global.open_elsewhere());
        // A blocking call on the same thread, for instance, lets nothing poll it.
        let _ = first.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(is_open_for_another(global));
    }

    #[test]
    fn a_first_call_that_is_dropped_delays_no_other_one() {
        let global = global("sqlite::memory:");
        {
            let mut first = pin!(global.open_elsewhere());
            let _ = first.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        }
        assert!(is_open_for_another(global));
    }

    #[test]
    fn a_pool_that_cannot_be_opened_is_tried_again_by_the_next_call() {
        let global = global("sqlite:~");
        for _ in 0..2 {
            assert!(matches!(
                wait(global.open_elsewhere()),
                Err(Error::InvalidUrl { .. })
            ));
        }
    }
}
