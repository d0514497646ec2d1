//! Every error of the crate. Every module may import it.
//!
//! A message says what failed, why, and what to do. It never contains an argument, a value or a password,
//! except what a program puts into a label or the name of a block.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// The error of a call, a lock or a pool.
///
/// A variant with the name of a py-dspinlock exception has the same meaning.
///
/// ```
/// # use dspinlock_runtime as dspinlock;
/// use dspinlock::Error;
///
/// fn is_retryable(error: &Error) -> bool {
///     matches!(error, Error::SpinlockTriesExceeded { .. } | Error::Store { .. })
/// }
/// # assert!(!is_retryable(&dspinlock::Pool::open("nonsense").unwrap_err()));
/// ```
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The state in the store has a number other than 0 (BLOCKED) and 1 (COMPUTED). It was not changed.
    #[error(
        "the state of {key} is neither BLOCKED (0) nor COMPUTED (1): another program wrote it; delete the key or use another `prefix`"
    )]
    #[doc(alias = "AtomicQueryInvalidStateException")]
    #[non_exhaustive]
    AtomicQueryInvalidState {
        /// The lock.
        key: KeyName,
    },
    /// A lease was released after the key was deleted or taken over.
    #[error(
        "cannot release {key}: the key was deleted or taken over; if a second holder does harm, check `Lease::fence`"
    )]
    #[non_exhaustive]
    InvalidMutexReleaseEncountered {
        /// The lock.
        key: KeyName,
    },
    /// No connection to the Redis server could be opened: the name is unknown, no server listens, or the login was refused. Or the
    /// background thread could not be started.
    #[error("cannot connect to `{address}`: {reason}")]
    #[doc(alias = "RedisNotInitializedException")]
    #[non_exhaustive]
    RedisNotInitialized {
        /// Host and port, or the path of a socket. Never a user or password.
        address: String,
        /// Why the connection failed.
        reason: String,
    },
    /// The file of the embedded store cannot be used.
    #[error("cannot use the embedded store `{path}`: {reason}")]
    #[non_exhaustive]
    EmbeddedNotInitialized {
        /// The path of the file.
        path: String,
        /// Why it cannot be used.
        reason: String,
    },
    /// Another caller held the lock for longer than this call waits.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use std::time::Duration;
    ///
    /// use dspinlock::{Error, HashDSpinlock, Pool, Wait};
    ///
    /// let pool = Pool::open("sqlite::memory:")?;
    /// let lock = HashDSpinlock::new("report").wait(Wait::AtMost(Duration::ZERO)).pool(&pool);
    /// let held = lock.acquire_blocking()?;
    /// match lock.acquire_blocking() {
    ///     Err(Error::SpinlockTriesExceeded { waited, .. }) => println!("busy for {waited:?}: try later"),
    ///     other => drop(other?),
    /// }
    /// # assert!(matches!(lock.acquire_blocking(), Err(Error::SpinlockTriesExceeded { .. })));
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    #[error(
        "timed out after {} waiting for {key}{}{}; raise `wait` or `max_spinlock_tries` if the holder needs longer{}",
        Rounded(*waited), Holding(holding), HeldBy(holder), Advice(holding)
    )]
    #[non_exhaustive]
    SpinlockTriesExceeded {
        /// The lock.
        key: KeyName,
        /// How long this call waited.
        waited: Duration,
        /// The caller that holds the lock. `None` if it is unknown, for example a Python worker or a call of this process.
        holder: Option<Holder>,
        /// The locks of the bodies that made this call, the innermost first. If the holder waits for one of them, the two
        /// calls wait for each other. An explicit lock that such a body has acquired is not listed.
        holding: Box<[KeyName]>,
    },
    /// The entry in the store is not one of dspinlock. It was not changed.
    #[error(
        "the entry of {key} is neither a state nor a value of dspinlock: another program wrote it; delete the key or use another `prefix`"
    )]
    #[non_exhaustive]
    InvalidValueEncounteredDuringUnpacking {
        /// The lock.
        key: KeyName,
    },
    /// The key exists and `fail_if_key_exists` is set.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{Error, HashDSpinlock, Pool};
    ///
    /// let pool = Pool::open("sqlite::memory:")?;
    /// let lock = HashDSpinlock::new("import").fail_if_key_exists(true).pool(&pool);
    /// let held = lock.acquire_blocking()?;
    /// match lock.acquire_blocking() {
    ///     Err(Error::FailIfKeyExistsIsEnabled { remaining, .. }) => println!("expires in {remaining:?}"),
    ///     other => drop(other?),
    /// }
    /// # assert!(matches!(lock.acquire_blocking(), Err(Error::FailIfKeyExistsIsEnabled { .. })));
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    #[error("{key} already exists and `fail_if_key_exists` is set{}{}", HeldBy(holder), Expiry(*remaining, holder))]
    #[non_exhaustive]
    FailIfKeyExistsIsEnabled {
        /// The lock.
        key: KeyName,
        /// The time until the key expires. `None` if the key has no expiry.
        remaining: Option<Duration>,
        /// The caller that holds or has computed the key. `None` if it is unknown, for example a Python worker.
        holder: Option<Holder>,
    },
    /// The key could not be hashed, because the `Serialize` implementation of a part returned an error.
    #[error(
        "cannot hash the key of `{site}`: a `Serialize` implementation returned an error; fix it, or leave its part out of the key"
    )]
    #[non_exhaustive]
    ProvidedObjectIsNotHashable {
        /// The function, or `explicit lock`.
        site: String,
    },
    /// The lease was lost before the lock was released: it was not renewed in time, or the key was deleted or taken over.
    #[error(
        "lost the lease on {key}: it was not renewed in time, or the key was deleted or taken over; raise `lease` if the process is often paused or disconnected for longer"
    )]
    #[non_exhaustive]
    LeaseLost {
        /// The lock.
        key: KeyName,
    },
    /// The store refused a step or did not reply.
    #[error("`{operation}` failed for {key}: {reason}")]
    #[non_exhaustive]
    Store {
        /// The step: `read`, `acquire`, `renew`, `publish`, `release`, `abort`, `delete` or `describe`; or `check`.
        operation: &'static str,
        /// The lock.
        key: KeyName,
        /// Why the step failed.
        #[source]
        reason: StoreFailure,
    },
    /// The value of `Entry::prime` could not be encoded, or its encoding could not be decoded. It was not
    /// stored. A call returns such a value without storing it.
    #[error("cannot store the value of {key}: {reason}; change the type, or remove `cached_if_computed`")]
    #[non_exhaustive]
    Codec {
        /// The lock.
        key: KeyName,
        /// Why it was not stored. Never contains a value.
        reason: String,
    },
    /// The value of `Entry::prime` is larger than the pool's `max_value_size`. It was not stored. A call
    /// returns such a value without storing it.
    #[error(
        "cannot store the value of {key}: its encoding has {size} bytes, but `max_value_size` is {limit}; raise the limit with `Pool::builder`"
    )]
    #[non_exhaustive]
    ValueTooLarge {
        /// The lock.
        key: KeyName,
        /// The encoded size in bytes.
        size: usize,
        /// The pool's `max_value_size` in bytes.
        limit: usize,
    },
    /// The body of a locked function tried to acquire its own key, so it would have waited for itself.
    #[error(
        "cannot acquire {key}: the body that tries to acquire it already holds it, so it would wait for itself; use another key"
    )]
    #[non_exhaustive]
    Recursion {
        /// The lock.
        key: KeyName,
    },
    /// The key is in use, or was used, with other values in `validate`.
    ///
    /// With `key = payment_id` and `validate = amount`, a second payment with the id of the first one and another amount gets
    /// this error, while the first one runs and as long as its result is kept.
    #[error(
        "{key} was used before with other values in `validate`; use a new key, or repeat the call with the same values"
    )]
    #[non_exhaustive]
    KeyReused {
        /// The lock.
        key: KeyName,
    },
    /// The pool is closed: `Pool::close` was called.
    #[error(
        "the pool is closed: `Pool::close` was called, because the program ends; make the call before that, or in another pool"
    )]
    Closed,
    /// The global pool already exists with another URL or other settings.
    #[error("the global pool is already initialized; call `init` once, before the first locked call")]
    AlreadyInitialized,
    /// The pool, or the call, belongs to the parent process: it was opened or started before a `fork`.
    ///
    /// The connections and the threads of a pool cannot be used in two processes. The global pool opens itself again in the
    /// child. Two cases return this error: another pool of the parent, and a future that was polled before the `fork`.
    #[error(
        "the pool or the call belongs to the parent process: after `fork`, open a new pool in the child, and start the call there"
    )]
    Forked,
    /// A store URL cannot be used.
    #[error("invalid store URL: {reason}")]
    #[non_exhaustive]
    InvalidUrl {
        /// Why the URL cannot be used. Never contains its user or password.
        reason: String,
    },
    /// An option of a function, a lock or a pool has a value that cannot be used.
    #[error("{reason}")]
    #[non_exhaustive]
    InvalidOption {
        /// The option, and the values that it may have.
        reason: String,
    },
}

impl Error {
    pub(crate) fn url(reason: impl Into<String>) -> Self {
        Self::InvalidUrl {
            reason: reason.into(),
        }
    }

    pub(crate) fn option(reason: impl Into<String>) -> Self {
        Self::InvalidOption {
            reason: reason.into(),
        }
    }

    /// Whether another call holds the key, or has computed it.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(
            self,
            Self::SpinlockTriesExceeded { .. } | Self::FailIfKeyExistsIsEnabled { .. }
        )
    }

    /// Whether the store could not be asked.
    pub(crate) fn is_of_store(&self) -> bool {
        matches!(
            self,
            Self::Store { .. } | Self::RedisNotInitialized { .. } | Self::EmbeddedNotInitialized { .. }
        )
    }

    /// Whether the store did not reply. Otherwise it refused one request.
    pub(crate) fn is_outage(&self) -> bool {
        use StoreFailure::{Disconnected, Timeout, Unavailable};
        match self {
            Self::Store { reason, .. } => matches!(reason, Disconnected | Timeout | Unavailable(_)),
            error => error.is_of_store(),
        }
    }

    /// Adds the site's name to an error about a key or an option.
    pub(crate) fn at(mut self, site: &str) -> Self {
        match &mut self {
            Self::AtomicQueryInvalidState { key }
            | Self::InvalidMutexReleaseEncountered { key }
            | Self::SpinlockTriesExceeded { key, .. }
            | Self::InvalidValueEncounteredDuringUnpacking { key }
            | Self::FailIfKeyExistsIsEnabled { key, .. }
            | Self::LeaseLost { key }
            | Self::Store { key, .. }
            | Self::Codec { key, .. }
            | Self::ValueTooLarge { key, .. }
            | Self::KeyReused { key }
            | Self::Recursion { key } => *key = KeyName::new(site.to_owned(), key.name()),
            Self::InvalidOption { reason } => *reason = format!("{reason} (`{site}`)"),
            Self::RedisNotInitialized { .. }
            | Self::EmbeddedNotInitialized { .. }
            | Self::ProvidedObjectIsNotHashable { .. }
            | Self::AlreadyInitialized
            | Self::Closed
            | Self::Forked
            | Self::InvalidUrl { .. } => {}
        }
        self
    }
}

/// The lock of an error: the site's name and the key's name in the store.
///
/// `Display` prints both, for example `` `app::price` (dspinlock,3f2a…) ``. Neither contains an argument.
///
/// ```
/// # use dspinlock_runtime as dspinlock;
/// use dspinlock::Error;
///
/// fn site(error: &Error) -> &str {
///     match error {
///         Error::SpinlockTriesExceeded { key, .. } => key.site(),
///         _ => "?",
///     }
/// }
/// # site(&dspinlock::Pool::open("nonsense").unwrap_err());
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct KeyName(Box<(Cow<'static, str>, String)>);

impl KeyName {
    pub(crate) fn new(site: impl Into<Cow<'static, str>>, name: impl Into<String>) -> Self {
        Self(Box::new((site.into(), name.into())))
    }

    /// The name of the annotated function, or `explicit lock`.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// # use dspinlock::{Error, HashDSpinlock, Pool};
    /// # let pool = Pool::open("sqlite::memory:")?;
    /// let lock = HashDSpinlock::new("import").fail_if_key_exists(true).pool(&pool);
    /// let held = lock.acquire_blocking()?;
    /// if let Err(Error::FailIfKeyExistsIsEnabled { key, .. }) = lock.acquire_blocking() {
    ///     assert_eq!(key.site(), "explicit lock");
    /// }
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    pub fn site(&self) -> &str {
        &self.0.0
    }

    /// The key's prefix and digest. For a custom key, a digest of its text.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// # use dspinlock::{Error, HashDSpinlock, Pool};
    /// # let pool = Pool::open("sqlite::memory:")?;
    /// let lock = HashDSpinlock::new("import").fail_if_key_exists(true).pool(&pool);
    /// let held = lock.acquire_blocking()?;
    /// if let Err(Error::FailIfKeyExistsIsEnabled { key, .. }) = lock.acquire_blocking() {
    ///     assert!(key.name().starts_with("dspinlock,"));
    /// }
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    pub fn name(&self) -> &str {
        &self.0.1
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.site(), self.name()) {
            ("", name) => f.write_str(name),
            (site, name) => write!(f, "`{site}` ({name})"),
        }
    }
}

impl fmt::Debug for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyName({self})")
    }
}

/// The caller that holds a lock, or has computed its key.
///
/// ```
/// # use dspinlock_runtime as dspinlock;
/// use dspinlock::{Error, HashDSpinlock, Pool};
///
/// let pool = Pool::open("sqlite::memory:")?;
/// let lock = HashDSpinlock::new("import").fail_if_key_exists(true).pool(&pool);
/// let held = lock.acquire_blocking()?;
/// match lock.acquire_blocking() {
///     Err(Error::FailIfKeyExistsIsEnabled { holder: Some(holder), .. }) => {
///         println!("held by {holder}");
///         assert_eq!(holder.process_id(), u64::from(std::process::id()));
///     }
///     other => drop(other?),
/// }
/// # Ok::<(), dspinlock::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder(Box<HolderFields>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HolderFields {
    pub site: String,
    pub label: String,
    pub host: String,
    pub process_id: u64,
    pub held_for: Duration,
    pub lease_left: Option<Duration>,
    pub is_computed: bool,
}

impl Holder {
    pub(crate) fn new(fields: HolderFields) -> Self {
        Self(Box::new(fields))
    }

    /// The name of the annotated function. Empty for a key that Python may know, because its entry has no room for it.
    pub fn site(&self) -> &str {
        &self.0.site
    }

    /// The `label` of the function, if it has one: what the call is about.
    pub fn label(&self) -> Option<&str> {
        (!self.0.label.is_empty()).then_some(&*self.0.label)
    }

    /// The name of the holder's host.
    pub fn host(&self) -> &str {
        &self.0.host
    }

    /// The id of the holder's process.
    pub fn process_id(&self) -> u64 {
        self.0.process_id
    }

    /// The time since the holder acquired the lock, by the store's clock. For a computed key that Python may know, the time
    /// since it was computed.
    pub fn held_for(&self) -> Duration {
        self.0.held_for
    }

    /// The time until the lease, or the result, expires. `None` if it has no expiry.
    pub fn lease_left(&self) -> Option<Duration> {
        self.0.lease_left
    }
}

/// For example `` `app::price`, process 4711 on `web-1`, for 1.2s ``. The time is that of a lock that is held.
impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = &*self.0;
        if !fields.site.is_empty() {
            write!(f, "`{}`", fields.site)?;
            match self.label() {
                Some(label) => write!(f, " ({label}), ")?,
                None => f.write_str(", ")?,
            }
        }
        let (process_id, host) = (fields.process_id, &fields.host);
        write!(f, "process {process_id} on `{host}`")?;
        match fields.is_computed {
            true => Ok(()),
            false => write!(f, ", for {}", Rounded(fields.held_for)),
        }
    }
}

/// The part of a message that names the holder, and says when its lease ends.
struct HeldBy<'a>(&'a Option<Holder>);

impl fmt::Display for HeldBy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(holder) if holder.0.is_computed => write!(f, "; computed by {holder}"),
            Some(holder) => {
                write!(f, "; held by {holder}")?;
                holder.lease_left().map_or(Ok(()), |left| {
                    write!(f, "; its lease ends in {} unless it is renewed", Rounded(left))
                })
            }
            None => Ok(()),
        }
    }
}

/// The part of a message that names the locks which the call holds.
struct Holding<'a>(&'a [KeyName]);

impl fmt::Display for Holding<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(at, key)| {
            let before = if at == 0 { " while holding" } else { "," };
            write!(f, "{before} {key}")
        })
    }
}

/// The end of the message of a call that holds locks.
struct Advice<'a>(&'a [KeyName]);

impl fmt::Display for Advice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => Ok(()),
            _ => f.write_str(
                ", or acquire the locks in one order everywhere if the holder waits for this call",
            ),
        }
    }
}

/// A duration in whole milliseconds, or in whole seconds from ten on.
struct Rounded(Duration);

impl fmt::Display for Rounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanoseconds = match self.0.as_secs() {
            0..10 => self.0.subsec_millis() * 1_000_000,
            _ => 0,
        };
        match Duration::new(self.0.as_secs(), nanoseconds) {
            Duration::ZERO => f.write_str("0ms"),
            rounded => write!(f, "{rounded:?}"),
        }
    }
}

/// The end of the message about an existing key. [`HeldBy`] says when a lease ends.
struct Expiry<'a>(Option<Duration>, &'a Option<Holder>);

impl fmt::Display for Expiry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(_) if self.1.as_ref().is_some_and(|holder| !holder.0.is_computed) => Ok(()),
            Some(remaining) => write!(f, "; it expires in {}", Rounded(remaining)),
            None => f.write_str("; it has no expiry, so delete it to run again"),
        }
    }
}

/// Why a step failed. It is the [`source`](std::error::Error::source) of [`Error::Store`].
///
/// ```
/// # use dspinlock_runtime as dspinlock;
/// use dspinlock::{Error, StoreFailure};
///
/// fn timed_out(error: &Error) -> bool {
///     matches!(error, Error::Store { reason: StoreFailure::Timeout, .. })
/// }
/// # assert!(!timed_out(&dspinlock::Pool::open("nonsense").unwrap_err()));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreFailure {
    /// No reply arrived within the time limit. The step may have been executed.
    #[error("no reply within the time limit; check the store and the network")]
    Timeout,
    /// The connection was lost before the reply. The step may have been executed.
    #[error("the connection was lost before the reply; check the store and the network")]
    Disconnected,
    /// Fewer than `replicas` replicas acknowledged the step in time. A lock is aborted. A deleted key is deleted, but may
    /// reappear after a failover.
    #[error(
        "only {acknowledged} of {wanted} replicas acknowledged it in time; check them, or lower `replicas`"
    )]
    #[non_exhaustive]
    TooFewReplicas {
        /// The number that `replicas` asks for.
        wanted: u32,
        /// The number that acknowledged in time.
        acknowledged: u32,
    },
    /// The user has no permission for the step. The text says which one, and how to grant it.
    #[error("permission denied: {0}")]
    PermissionDenied(String),
    /// The store cannot execute the step now. For example, the server is a read-only replica, out of memory or still
    /// loading, or the disk is full. The text is the error code of the server or of SQLite.
    #[error("the store cannot execute it now ({0}); check the store, and try again")]
    Unavailable(String),
    /// The store refused the step for another reason: the server's error code, or the message of the embedded store.
    #[error("the store refused it ({0})")]
    Refused(String),
}
