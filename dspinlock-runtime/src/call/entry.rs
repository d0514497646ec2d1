//! A key of a function, without a call of it. The function that `entry = ...` generates creates it, and so do programs that
//! know the name of the site.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use super::keeping::{Keeping, Ttl};
use super::order::put_version;
use super::part::KeyPart;
use super::storable::{Cached, Disposition, Storable};
use crate::codec::{Undecodable, Unencodable};
use crate::engine::{CallSpec, entry};
use crate::error::Error;
use crate::key::{Format, Key, KeyDigest, KeyHasher};
use crate::lease::held::Caller;
use crate::lease::{Kept, Publication};
use crate::options::Options;
use crate::pool::Pool;
use crate::pool::flight::Found;
use crate::protocol::header::Flag;
use crate::protocol::status::{Status, Stored};
use crate::rt::blocking;
use crate::rt::op::Op;

/// One key of an annotated function: what the store keeps for one set of arguments.
///
/// The function that `entry = name` generates returns it. `R` is the return type of the annotated function. Creating an entry
/// runs nothing and sends nothing.
///
/// ```
/// # use dspinlock_runtime as dspinlock;
/// use dspinlock::{Entry, Pool};
///
/// let pool = Pool::open("sqlite::memory:")?;
/// let entry = Entry::of::<u64>("price").part(&7).pool(&pool);
/// entry.prime_blocking(&21)?;
/// assert_eq!(entry.peek_blocking()?.map(|stored| stored.value), Some(21));
/// assert!(entry.invalidate_blocking()?);
/// assert!(entry.peek_blocking()?.is_none());
/// # Ok::<(), dspinlock::Error>(())
/// ```
#[must_use = "an entry does nothing until one of its methods is called"]
pub struct Entry<R> {
    target: Box<Target>,
    encode: fn(&R) -> Disposition,
    decode: fn(&[u8]) -> Result<R, Undecodable>,
    keeping: Option<Keeping<R>>,
}

/// Which key, in which pool. Not generic: compiled once.
#[derive(Clone)]
struct Target {
    key: Source,
    site: Cow<'static, str>,
    label: Option<Box<str>>,
    /// A digest of what the site validates beside its key.
    validated: Option<Box<[u8; 32]>>,
    options: Options,
    /// `ttl` was set, so that neither the value nor the error decides.
    has_ttl: bool,
    pool: Option<Pool>,
}

#[derive(Clone)]
enum Source {
    /// The key of a generated entry.
    Known(Result<Key, Error>),
    /// The parts so far.
    Parts(Box<Parts>),
}

#[derive(Clone)]
struct Parts {
    key: KeyHasher,
    /// What the site validates beside its key.
    validated: Option<KeyHasher>,
    version: Option<u32>,
}

impl Target {
    fn of_spec(spec: Result<Box<CallSpec>, Error>) -> Self {
        match spec {
            Ok(spec) => Self {
                key: Source::Known(Ok(spec.key)),
                site: spec.caller.site,
                label: spec.caller.label,
                validated: spec.validated,
                options: spec.options,
                has_ttl: false,
                pool: spec.pool,
            },
            Err(error) => Self {
                key: Source::Known(Err(error)),
                site: Cow::Borrowed(""),
                label: None,
                validated: None,
                options: Options::DEFAULT,
                has_ttl: false,
                pool: None,
            },
        }
    }

    /// Changes the parts of the key. The key of a generated entry is complete.
    fn change(&mut self, setter: &str, change: impl FnOnce(&mut Parts)) {
        match &mut self.key {
            Source::Parts(parts) => change(parts),
            Source::Known(key) => {
                let reason = format!(
                    "`{setter}` has no effect on the entry of a function, whose arguments are its key: use `Entry::of`"
                );
                *key = Err(Error::option(reason).at(&self.site));
            }
        }
    }

    fn key(&self) -> Result<Key, Error> {
        self.options
            .check_prefix()
            .map_err(|error| error.at(&self.site))?;
        let parts = match &self.key {
            Source::Known(key) => return key.clone(),
            Source::Parts(_) if self.site.is_empty() => {
                return Err(Error::option(
                    "`Entry::of` needs the `name` of a function: use `HashDSpinlock` for `name = \"\"`",
                ));
            }
            Source::Parts(parts) => parts,
        };
        let digest = parts.key.clone().digest(None, |hash| {
            sha2::Digest::update(hash, &*self.site);
            if let Some(version) = parts.version {
                put_version(version, hash);
            }
            Some(())
        });
        let digest = self.hashed(digest)?;
        Ok(Key::new(Format::Single, self.options.prefix.clone(), digest))
    }

    fn hashed(&self, digest: Option<KeyDigest>) -> Result<[u8; 32], Error> {
        let bytes = digest.map(|KeyDigest(bytes)| bytes);
        bytes.ok_or_else(|| Error::ProvidedObjectIsNotHashable {
            site: self.site.clone().into_owned(),
        })
    }

    fn validated(&self) -> Result<Option<Box<[u8; 32]>>, Error> {
        let Source::Parts(parts) = &self.key else {
            return Ok(self.validated.clone());
        };
        let Some(mut hasher) = parts.validated.clone() else {
            return Ok(None);
        };
        let digest = self.hashed(hasher.digest(None, |_| Some(())))?;
        Ok(Some(Box::new(digest)))
    }

    fn pool(&self) -> Option<Pool> {
        self.pool.clone().or_else(Pool::chosen)
    }

    fn name(&self) -> Result<String, Error> {
        let key = self.key()?;
        let pool = blocking::wait(Pool::of_call(self.pool()))?;
        Ok(pool.store_key(key).name())
    }

    fn status(&self) -> Op<Status> {
        let (key, site, pool) = (self.key(), self.site.clone(), self.pool());
        Op::new(async move { entry::status(key?, &site, pool).await })
    }

    fn peek(&self) -> Op<Option<Stored<Found>>> {
        let (key, site, pool) = (self.key(), self.site.clone(), self.pool());
        let validated = self.validated();
        Op::new(async move { entry::peek(key?, &site, validated?, pool).await })
    }

    fn invalidate(&self) -> Op<bool> {
        let (key, site, pool) = (self.key(), self.site.clone(), self.pool());
        let replicas = self.options.replicas;
        Op::new(async move { entry::delete(key?, &site, replicas, pool).await })
    }

    fn prime(&self, publication: Result<Publication, Refusal>) -> Op<()> {
        let (key, site, pool) = (self.key(), self.site.clone(), self.pool());
        let (label, validated) = (self.label.clone(), self.validated());
        let mut options = self.options.clone();
        let keeps_mark = options.fail_if_key_exists;
        // Neither of them lets the request replace what is there.
        (options.fail_if_key_exists, options.cached_if_computed) = (false, false);
        Op::new(async move {
            let key = key?;
            let refuse = |reason: &str| Err(Error::option(reason).at(&site));
            let publication = match publication {
                _ if key.is_shared() => {
                    return refuse("`prime` cannot replace a key that Python may hold: drop `name = \"\"`");
                }
                Ok(publication) if publication.payload.is_none() && !keeps_mark => {
                    return refuse("`prime` has nothing to store: add `cached_if_computed`");
                }
                Ok(publication) => publication,
                Err(Refusal::NotKept) => {
                    return refuse("`prime` cannot store a result that the function would not keep");
                }
                Err(Refusal::Unencodable(reason)) => {
                    let (key, reason) = (Caller::new(site).name(&key), reason.to_string());
                    return Err(Error::Codec { key, reason });
                }
            };
            let caller = Caller {
                label,
                ..Caller::new(site)
            };
            let mut spec = CallSpec::new(key, caller, options, pool);
            (spec.keeps_mark, spec.validated) = (keeps_mark, validated?);
            entry::prime(Box::new(spec), publication).await
        })
    }
}

/// Why a result cannot be primed.
enum Refusal {
    /// An `Err` that is not recorded, or a result whose `ttl` is none.
    NotKept,
    Unencodable(Unencodable),
}

impl Entry<()> {
    /// The entry of a site with this name whose values are `T`s: for a function with `name = "..."`, also of another program.
    /// Call [`part`](Self::part) for each part of its key, in order. If the function is generic, its name ends with the type
    /// arguments, as in the messages: `price<u8>`.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::Entry;
    ///
    /// // #[dspinlock(name = "price", key = (id, region), cached_if_computed)]
    /// // async fn price(id: u64, region: &str) -> Result<u64, Error>
    /// let entry = Entry::of::<u64>("price").part(&7_u64).part("eu");
    /// # let _ = entry;
    /// ```
    pub fn of<T: Storable<Cached>>(site: impl Into<Cow<'static, str>>) -> Entry<T> {
        Entry {
            target: Box::new(Target {
                key: Source::Parts(Box::new(Parts {
                    key: KeyHasher::new(false),
                    validated: None,
                    version: None,
                })),
                site: site.into(),
                label: None,
                validated: None,
                options: Options::DEFAULT,
                has_ttl: false,
                pool: None,
            }),
            encode: T::encode,
            decode: T::decode,
            keeping: None,
        }
    }
}

impl<R> Entry<R> {
    /// The key, before a pool renames it.
    #[cfg(feature = "testing")]
    pub(crate) fn checked_key(&self) -> Result<Key, Error> {
        self.target.key()
    }

    /// The name of the site.
    #[cfg(feature = "testing")]
    pub(crate) fn site(&self) -> &str {
        &self.target.site
    }

    /// The entry of a call.
    pub(super) fn of_spec(
        spec: Result<Box<CallSpec>, Error>,
        encode: fn(&R) -> Disposition,
        decode: fn(&[u8]) -> Result<R, Undecodable>,
        keeping: Option<Keeping<R>>,
    ) -> Self {
        Self {
            target: Box::new(Target::of_spec(spec)),
            encode,
            decode,
            keeping,
        }
    }

    /// The next part of the key, for [`Entry::of`]. The type counts: `7_u64` is another key than `7_u32`.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{Entry, Pool};
    ///
    /// let pool = Pool::open("sqlite::memory:")?;
    /// let key = |entry: Entry<u64>| entry.pool(&pool).key();
    /// let price = || Entry::of::<u64>("price");
    /// assert_ne!(key(price().part(&7_u64).part("eu"))?, key(price().part(&7_u64).part("us"))?);
    /// assert_ne!(key(price().part(&7_u64))?, key(price().part(&7_u32))?);
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    pub fn part(mut self, part: &(impl KeyPart + ?Sized)) -> Self {
        self.target.change("part", |parts| part.feed(&mut parts.key));
        self
    }

    /// A part of `validate = ...` of the function, for [`Entry::of`]. Call it for each part, in order. Then
    /// [`peek`](Self::peek) accepts only a value of a call with the same values, and [`prime`](Self::prime) stores a value that
    /// calls with these values accept. Default: none.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{Entry, Pool};
    ///
    /// let pool = Pool::open("sqlite::memory:")?;
    /// let payment = |amount: u64| Entry::of::<u64>("pay").part("c0ffee").validating(&amount).pool(&pool);
    /// payment(100).prime_blocking(&21)?;
    /// assert!(payment(100).peek_blocking()?.is_some());
    /// assert!(payment(999).peek_blocking()?.is_none());
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    pub fn validating(mut self, part: &(impl KeyPart + ?Sized)) -> Self {
        self.target.change("validating", |parts| {
            part.feed(parts.validated.get_or_insert_default());
        });
        self
    }

    /// `version = ...` of the function, for [`Entry::of`]. Default: none.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{Entry, Pool};
    ///
    /// let pool = Pool::open("sqlite::memory:")?;
    /// let price = || Entry::of::<u64>("price").part(&7_u64).pool(&pool);
    /// assert_ne!(price().version(2).key()?, price().version(3).key()?);
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    pub fn version(mut self, version: u32) -> Self {
        self.target
            .change("version", |parts| parts.version = Some(version));
        self
    }

    /// `prefix = "..."` of the function, for [`Entry::of`]. Default: `dspinlock`.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{Entry, Pool};
    ///
    /// let pool = Pool::open("sqlite::memory:")?;
    /// let entry = Entry::of::<u64>("price").prefix("shop").part(&7_u64).pool(&pool);
    /// assert!(entry.key()?.starts_with("shop,"));
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    pub fn prefix(mut self, prefix: impl Into<Cow<'static, str>>) -> Self {
        let prefix = prefix.into();
        self.target.change("prefix", |_| {});
        self.target.options.prefix = prefix;
        self
    }

    /// How long a value of [`prime`](Self::prime) is kept. Default: the `ttl` of the function, or 1 h for [`Entry::of`]. If the
    /// function has a closure as `ttl`, the closure decides.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{Entry, Pool};
    ///
    /// let pool = Pool::open("sqlite::memory:")?;
    /// let entry = Entry::of::<u64>("price").part(&7_u64).pool(&pool);
    /// let entry = entry.ttl(std::time::Duration::from_secs(60));
    /// entry.prime_blocking(&21)?;
    /// let stored = entry.peek_blocking()?.expect("a value is stored");
    /// assert!(stored.remaining.as_secs() <= 60);
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.target.options.ttl = ttl;
        self.target.has_ttl = true;
        self
    }

    /// The pool of the entry. Default: as for a call, the pool of the scope, of the runtime or of the process.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{Entry, Pool, Status};
    ///
    /// let pool = Pool::open("sqlite::memory:")?;
    /// let entry = Entry::of::<u64>("price").part(&7_u64).pool(&pool);
    /// assert_eq!(entry.status_blocking()?, Status::Free);
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    pub fn pool(mut self, pool: &Pool) -> Self {
        self.target.pool = Some(pool.clone());
        self
    }

    /// The exact name of the key in the store. Opens the global pool if that is needed, because a namespace or a secret is
    /// a part of the name. Opening a file may block the thread for some milliseconds.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{Entry, Pool};
    ///
    /// let pool = Pool::open("sqlite::memory:")?;
    /// let entry = Entry::of::<u64>("price").part(&7_u64).pool(&pool);
    /// println!("redis-cli DEL '{}'", entry.key()?);
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`Error::ProvidedObjectIsNotHashable`] if the `Serialize` implementation of a part returned an error.
    /// - [`Error::InvalidOption`] if another function of this program has the same name, or if the prefix cannot be used.
    /// - The errors of [`Pool::open`] if this call opens the global pool.
    pub fn key(&self) -> Result<String, Error> {
        self.target.name()
    }

    /// The state of the key: free, held by a call, or computed. Never computes and never waits for a lock.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{Entry, Pool, Status};
    ///
    /// let pool = Pool::open("sqlite::memory:")?;
    /// let entry = Entry::of::<u64>("price").part(&7_u64).pool(&pool);
    /// # tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
    /// match entry.status().await? {
    ///     Status::Free => println!("nothing is stored"),
    ///     Status::Held { holder: Some(holder), .. } => println!("held by {holder}"),
    ///     Status::Computed { age: Some(age), .. } => println!("stored {age:?} ago"),
    ///     other => println!("{other:?}"),
    /// }
    /// # Ok::<(), dspinlock::Error>(())
    /// # })?;
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of [`key`](Self::key), and:
    ///
    /// - [`Error::AtomicQueryInvalidState`] or [`Error::InvalidValueEncounteredDuringUnpacking`] if another program wrote
    ///   the entry.
    /// - [`Error::Store`], [`Error::RedisNotInitialized`] or [`Error::EmbeddedNotInitialized`] if the store fails.
    ///
    /// # Cancellation safety
    ///
    /// This method is cancel safe: a dropped future changes nothing.
    pub fn status(&self) -> Op<Status> {
        self.target.status()
    }

    /// [`status`](Self::status) for callers without an executor. This method blocks the thread.
    ///
    /// # Errors
    ///
    /// See [`status`](Self::status).
    pub fn status_blocking(&self) -> Result<Status, Error> {
        blocking::wait(self.status())
    }

    /// What the store keeps, as the function would return it, with its age and the time until it expires. `None` if it keeps
    /// nothing that a call would accept. Never computes and never waits for a lock. Reads the store, not the near cache.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{Entry, Pool};
    ///
    /// let pool = Pool::open("sqlite::memory:")?;
    /// let entry = Entry::of::<u64>("price").part(&7_u64).pool(&pool);
    /// # tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
    /// assert!(entry.peek().await?.is_none());
    /// entry.prime(&21).await?;
    /// assert_eq!(entry.peek().await?.map(|stored| stored.value), Some(21));
    /// # Ok::<(), dspinlock::Error>(())
    /// # })?;
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of [`status`](Self::status).
    ///
    /// # Cancellation safety
    ///
    /// This method is cancel safe: a dropped future changes nothing.
    pub async fn peek(&self) -> Result<Option<Stored<R>>, Error> {
        Ok(self.decoded(self.target.peek().await?))
    }

    /// [`peek`](Self::peek) for callers without an executor. This method blocks the thread.
    ///
    /// # Errors
    ///
    /// See [`peek`](Self::peek).
    pub fn peek_blocking(&self) -> Result<Option<Stored<R>>, Error> {
        Ok(self.decoded(blocking::wait(self.target.peek())?))
    }

    fn decoded(&self, stored: Option<Stored<Found>>) -> Option<Stored<R>> {
        let stored = stored?;
        let decode = match stored.value.flag {
            Flag::Value => self.decode,
            Flag::Error => self.keeping.as_ref()?.errors.as_ref()?.decode,
            // Only for the calls that have waited.
            Flag::ErrorForWaiters => return None,
        };
        Some(Stored {
            value: decode(&stored.value.payload).ok()?,
            age: stored.age,
            remaining: stored.remaining,
        })
    }

    /// Deletes what the store keeps. The next call computes. Returns whether there was something to delete.
    ///
    /// A body that runs meanwhile has lost its lease: its caller receives its value, but the value is not stored. When this
    /// method returns, no call of this process returns the deleted value any more. Other processes with a `near_cache` forget
    /// their copies when the server's push arrives.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{Entry, Pool};
    ///
    /// let pool = Pool::open("sqlite::memory:")?;
    /// let entry = Entry::of::<u64>("price").part(&7_u64).pool(&pool);
    /// # tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
    /// entry.prime(&21).await?;
    /// assert!(entry.invalidate().await?); // deleted
    /// assert!(!entry.invalidate().await?); // there was nothing to delete
    /// # Ok::<(), dspinlock::Error>(())
    /// # })?;
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of [`key`](Self::key), and [`Error::Store`], [`Error::RedisNotInitialized`] or
    /// [`Error::EmbeddedNotInitialized`] if the store fails.
    ///
    /// # Cancellation safety
    ///
    /// If the future is dropped, the key may or may not be deleted.
    #[doc(alias = "delete_state")]
    pub fn invalidate(&self) -> Op<bool> {
        self.target.invalidate()
    }

    /// [`invalidate`](Self::invalidate) for callers without an executor. This method blocks the thread.
    ///
    /// # Errors
    ///
    /// See [`invalidate`](Self::invalidate).
    pub fn invalidate_blocking(&self) -> Result<bool, Error> {
        blocking::wait(self.invalidate())
    }

    /// Stores `value` as the result of the function, for its `ttl`, whatever the store keeps. The next calls return it.
    ///
    /// A body that runs meanwhile has lost its lease: its caller receives its own value, which is not stored.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{Entry, Pool};
    ///
    /// let pool = Pool::open("sqlite::memory:")?;
    /// let entry = Entry::of::<u64>("price").part(&7_u64).pool(&pool);
    /// # tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
    /// entry.prime(&21).await?;
    /// entry.prime(&22).await?; // replaces the value
    /// assert_eq!(entry.peek().await?.map(|stored| stored.value), Some(22));
    /// # Ok::<(), dspinlock::Error>(())
    /// # })?;
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of [`status`](Self::status), and:
    ///
    /// - [`Error::Codec`] or [`Error::ValueTooLarge`] if the value cannot be stored.
    /// - [`Error::InvalidOption`] for a result that the function would not keep, such as an `Err`, for a function that stores
    ///   nothing, and for a key that Python may hold.
    /// - [`Error::LeaseLost`] if another program has replaced or deleted the entry meanwhile.
    /// - [`Error::Recursion`] inside a body that holds the key.
    ///
    /// # Cancellation safety
    ///
    /// If the future is dropped, the value may or may not be stored. What was stored before is then deleted.
    pub fn prime(&self, value: &R) -> Op<()> {
        self.target.prime(self.publication(value))
    }

    fn publication(&self, value: &R) -> Result<Publication, Refusal> {
        let keeping = self.keeping.as_ref();
        let (payload, flag, ttl) = match (self.encode)(value) {
            Disposition::Unencodable(reason) => return Err(Refusal::Unencodable(reason)),
            Disposition::Publish(payload) => {
                let ttl = keeping.and_then(|keeping| keeping.ttl.as_ref()?.ttl(value));
                (payload, Flag::Value, ttl)
            }
            Disposition::Abort => {
                let errors = keeping.and_then(|keeping| keeping.errors.as_ref());
                let recorded = errors.and_then(|errors| errors.record(value));
                let (payload, ttl) = recorded.ok_or(Refusal::NotKept)?;
                let payload = payload.map_err(Refusal::Unencodable)?;
                (Some(payload), Flag::Error, Some(ttl))
            }
        };
        let kept = match ttl {
            _ if self.target.has_ttl => Kept::ForTtl,
            None => Kept::ForTtl,
            Some(Ttl::For(ttl)) => Kept::For(ttl),
            Some(Ttl::Nothing) => return Err(Refusal::NotKept),
        };
        Ok(Publication {
            payload: payload.map(Bytes::from),
            flag,
            kept,
        })
    }

    /// [`prime`](Self::prime) for callers without an executor. This method blocks the thread.
    ///
    /// # Errors
    ///
    /// See [`prime`](Self::prime).
    pub fn prime_blocking(&self, value: &R) -> Result<(), Error> {
        blocking::wait(self.prime(value))
    }
}

impl<R> Clone for Entry<R> {
    fn clone(&self) -> Self {
        Self {
            target: self.target.clone(),
            keeping: self.keeping.clone(),
            ..*self
        }
    }
}

impl<R> fmt::Debug for Entry<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.target.key().map(|key| key.to_string());
        f.debug_struct("Entry")
            .field("site", &self.target.site)
            .field("key", &key.ok())
            .finish_non_exhaustive()
    }
}
