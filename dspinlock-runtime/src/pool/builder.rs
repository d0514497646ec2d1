//! The builder of a pool: its settings, with their documentation. `pool` opens it.

use std::fmt;
use std::time::Duration;

use super::open::{Location, Settings};
use crate::store::RedisParameters;
use crate::store::credentials::Credentials;
use crate::tls::Tls;

/// Builder of a [`Pool`](crate::Pool) with custom settings. Returned by [`Pool::builder`](crate::Pool::builder).
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
pub struct PoolBuilder(pub(super) Settings);

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
    /// [`secrets`](Self::secrets) rotates the secret of signatures.
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

    /// The secrets that sign values: values are signed with the first one, and read if they have the signature of any. Default:
    /// the [`secret`](Self::secret) alone. At least 16 bytes each.
    ///
    /// The `secret` must be set too. It names the keys, and signs nothing any more. It stays the same: two processes that name a
    /// key differently do not exclude each other, and do not find each other's results.
    ///
    /// So signatures are rotated without a stampede, one step at a time. Two neighbouring steps may run at once:
    ///
    /// | step | settings |
    /// |---|---|
    /// | before | `.secret(a)` |
    /// | every process can read the new signatures | `.secret(a).secrets([a, b])` |
    /// | values are signed with `b` | `.secret(a).secrets([b, a])` |
    /// | after the longest `ttl`: `a` forges nothing any more | `.secret(a).secrets([b])` |
    ///
    /// A process that does not know the secret of a value computes the value again. So if one step is skipped, each value may be
    /// computed once more. No job runs twice, and locks are not affected.
    ///
    /// ```
    /// # use dspinlock_runtime::Pool;
    /// # let (names, old, new) = ([7; 32], [7; 32], [8; 32]);
    /// let pool = Pool::builder("sqlite::memory:").secret(names).secrets([new, old]).open()?;
    /// # Ok::<(), dspinlock_runtime::Error>(())
    /// ```
    pub fn secrets<S: AsRef<[u8]>>(mut self, secrets: impl IntoIterator<Item = S>) -> Self {
        let secrets = secrets.into_iter().map(|secret| secret.as_ref().into());
        self.0.secrets = Some(secrets.collect());
        self
    }

    /// The namespace of annotated functions without `name`. Default: the environment variable `DSPINLOCK_NAMESPACE`, or else none.
    /// The default file of the embedded store (`sqlite:`) has the path of the executable by default.
    ///
    /// Without a namespace, two programs share the results of functions with the same path, for example of `app::price`. With
    /// one, programs share them only if they have the same namespace, for example one for staging and one for production. A
    /// function with a `name` and a `HashDSpinlock` have the same key in every namespace.
    ///
    /// `namespace("")` turns the namespace off, also that of the variable and of the default file. A variable that is empty or
    /// blank counts as not set.
    ///
    /// ```
    /// # use dspinlock_runtime::Pool;
    /// let pool = Pool::builder("sqlite::memory:").namespace("billing").open()?;
    /// # Ok::<(), dspinlock_runtime::Error>(())
    /// ```
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.0.namespace = Some(namespace.into());
        self
    }

    /// The greatest size of an encoded value in bytes. Default: 8 MiB.
    ///
    /// A larger value is not stored, and the call fails with [`Error::ValueTooLarge`](crate::Error::ValueTooLarge).
    /// A larger value that another process stored counts as absent.
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

    /// The user and the password of each login, from a function. They replace those of the URL. Default: those of the URL.
    ///
    /// Use it if the password changes while the program runs, for example the token of a managed server. The function is called
    /// at each login: when a connection is opened, and when it is opened again. An open connection keeps its login. An empty
    /// user means the password alone.
    ///
    /// The function is called on the background thread, and on threads of tokio runtimes that make calls. So it must not block:
    /// return a token that another task has fetched. If it panics, the attempt to connect fails. Neither the user nor the
    /// password is logged.
    ///
    /// Sentinels have the login of the URL. The embedded store has no login, and ignores the function.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use std::sync::{Arc, RwLock};
    ///
    /// use dspinlock::Pool;
    ///
    /// // Another task replaces the token before it expires.
    /// let token = Arc::new(RwLock::new(String::from("first token")));
    /// let current = token.clone();
    /// let pool = Pool::builder("redis://redis.example:6379")
    ///     .credentials(move || ("app".into(), current.read().unwrap().clone()))
    ///     .open()?;
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    pub fn credentials(mut self, credentials: impl Fn() -> (String, String) + Send + Sync + 'static) -> Self {
        self.0.credentials = Some(Credentials::new(credentials));
        self
    }

    /// The time limit of an attempt to connect, from the lookup of the host name to the end of the login. Default: 2 s.
    ///
    /// A request does not wait longer than its [`request_timeout`](Self::request_timeout). The attempt then continues for later
    /// requests.
    ///
    /// `socket_connect_timeout` in the URL, in seconds, replaces it. The embedded store does not connect, and ignores it.
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
    /// the bytes of its connection take at 64 KiB/s. A call that finds no value sends several requests: a read, an acquire and
    /// a publish.
    ///
    /// `socket_timeout` in the URL, in seconds, replaces it. In the embedded store it limits how long a request waits for other
    /// processes.
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
    /// request travels on the connections of the background thread. The embedded store has no such connections, and ignores it.
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
