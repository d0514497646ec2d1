//! The options of a lock, their defaults and their limits. Every module may import them.

use std::borrow::Cow;
use std::time::Duration;

use crate::error::Error;

/// The options of an annotated function or an explicit lock. The setters have the names of the attribute's arguments.
///
/// ```
/// # use dspinlock_runtime as dspinlock;
/// use std::time::Duration;
///
/// use dspinlock::Options;
///
/// let options = Options::new()
///     .ttl(Duration::from_secs(600))
///     .fail_if_key_exists(true);
/// assert_eq!(options.ttl, Duration::from_secs(600));
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// The first part of every key in the store. Default: `dspinlock`.
    #[doc(alias = "_key_prefix")]
    pub prefix: Cow<'static, str>,
    /// Whether a computed result is returned without taking the lock. Default: `false`.
    pub cached_if_computed: bool,
    /// Whether an existing key is an error. Default: `false`.
    pub fail_if_key_exists: bool,
    /// The time to wait, in multiples of `spinlock_sleep_thresh`, if `wait` is `None`. Default: 10.
    pub max_spinlock_tries: u32,
    /// The longest sleep between two tries to acquire the lock. Default: 500 ms.
    pub spinlock_sleep_thresh: Duration,
    /// The total time to wait. Default: `None`, which means `max_spinlock_tries` × `spinlock_sleep_thresh`, 5 s by default.
    ///
    /// The attribute has another default: 30 s, and at least 5 s longer than the lease.
    pub wait: Option<Wait>,
    /// How long a key stays computed after its result is published. Default: 1 h.
    #[doc(alias = "expire_at_timedelta")]
    pub ttl: Duration,
    /// How long one holder may block other callers. Default: 30 min.
    ///
    /// After this time the heartbeat stops, and the lock expires within one lease.
    pub max_block_time: Duration,
    /// How long the lock outlives a holder that stopped renewing it. Default: `None`, which means 15 s, or `max_block_time`
    /// if that is shorter.
    pub lease: Option<Duration>,
    /// How many Redis replicas must acknowledge a lock before it is held, and a delete before it succeeds. Default: 0.
    pub replicas: u32,
    /// Whether `wait: None` means [`ATTRIBUTE_WAIT`]: an annotated function without `wait` and `max_spinlock_tries`.
    pub(crate) outlasts_lease: bool,
}

/// How long a call waits for another caller.
///
/// ```
/// # use dspinlock_runtime as dspinlock;
/// use std::time::Duration;
///
/// use dspinlock::{Options, Wait};
///
/// let patient = Options::new().wait(Wait::Forever);
/// let brief = Options::new().wait(Wait::AtMost(Duration::from_millis(200)));
/// # let _ = (patient, brief);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// At most this long. With zero the call does not wait. `Duration::MAX` means [`Wait::Forever`].
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
    /// assert!(matches!(lock.acquire_blocking(), Err(Error::SpinlockTriesExceeded { .. })));
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    AtMost(Duration),
    /// Without a limit.
    ///
    /// ```
    /// # use dspinlock_runtime::{HashDSpinlock, Wait};
    /// let lock = HashDSpinlock::new("report").wait(Wait::Forever);
    /// ```
    Forever,
}

/// The longest duration of any option: 100 years of 366 days.
pub const MAX_DURATION: Duration = Duration::from_secs(100 * 366 * 86_400);
/// The shortest lease: long enough for a renewal by a thread that wakes late.
pub const MIN_LEASE: Duration = Duration::from_millis(100);
/// The longest prefix in bytes.
pub const MAX_PREFIX: usize = 64;
/// The default of `max_block_time`.
pub const DEFAULT_MAX_BLOCK_TIME: Duration = Duration::from_secs(1800);
/// The default of `ttl`.
pub const DEFAULT_TTL: Duration = Duration::from_secs(3600);
/// The default of `lease`.
const DEFAULT_LEASE: Duration = Duration::from_secs(15);
/// The default of `wait` in the attribute.
const ATTRIBUTE_WAIT: Duration = Duration::from_secs(30);
/// How much longer than the lease a call of the attribute waits, so that it outlasts a killed holder.
const BEYOND_LEASE: Duration = Duration::from_secs(5);

impl Options {
    /// The total time to wait; `None` is unlimited.
    pub(crate) fn budget(&self) -> Option<Duration> {
        match self.wait {
            Some(Wait::Forever | Wait::AtMost(Duration::MAX)) => None,
            Some(Wait::AtMost(budget)) => Some(budget),
            None if self.outlasts_lease => {
                Some(ATTRIBUTE_WAIT.max(self.lease_length().saturating_add(BEYOND_LEASE)))
            }
            None => Some(self.spinlock_sleep_thresh.saturating_mul(self.max_spinlock_tries)),
        }
    }

    fn lease_length(&self) -> Duration {
        self.lease.unwrap_or(DEFAULT_LEASE.min(self.max_block_time))
    }

    /// Whether a call may wait at all.
    pub(crate) fn waits(&self) -> bool {
        self.budget().is_none_or(|budget| !budget.is_zero())
    }

    /// The default options, as a constant.
    ///
    /// ```
    /// # use dspinlock_runtime::Options;
    /// const OPTIONS: Options = Options::DEFAULT;
    /// assert_eq!(OPTIONS.prefix, "dspinlock");
    /// ```
    pub const DEFAULT: Self = Self {
        prefix: Cow::Borrowed("dspinlock"),
        cached_if_computed: false,
        fail_if_key_exists: false,
        max_spinlock_tries: 10,
        spinlock_sleep_thresh: Duration::from_millis(500),
        wait: None,
        ttl: DEFAULT_TTL,
        max_block_time: DEFAULT_MAX_BLOCK_TIME,
        lease: None,
        replicas: 0,
        outlasts_lease: false,
    };

    /// Creates the default options.
    ///
    /// ```
    /// # use dspinlock_runtime::Options;
    /// # use std::time::Duration;
    /// let options = Options::new();
    /// assert_eq!(options.ttl, Duration::from_secs(3600));
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::DEFAULT
    }

    /// Sets [`prefix`](Self#structfield.prefix): 1 to 64 bytes without braces, commas or control characters.
    ///
    /// ```
    /// # use dspinlock_runtime::Options;
    /// let options = Options::new().prefix("billing");
    /// ```
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<Cow<'static, str>>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets [`cached_if_computed`](Self#structfield.cached_if_computed).
    ///
    /// ```
    /// # use dspinlock_runtime::Options;
    /// let options = Options::new().cached_if_computed(true);
    /// ```
    #[must_use]
    pub fn cached_if_computed(mut self, on: bool) -> Self {
        self.cached_if_computed = on;
        self
    }

    /// Sets [`fail_if_key_exists`](Self#structfield.fail_if_key_exists).
    ///
    /// ```
    /// # use dspinlock_runtime::Options;
    /// let options = Options::new().fail_if_key_exists(true);
    /// ```
    #[must_use]
    pub fn fail_if_key_exists(mut self, on: bool) -> Self {
        self.fail_if_key_exists = on;
        self
    }

    /// Sets [`max_spinlock_tries`](Self#structfield.max_spinlock_tries), at least 1.
    ///
    /// ```
    /// # use dspinlock_runtime::Options;
    /// let options = Options::new().max_spinlock_tries(20);
    /// ```
    #[must_use]
    pub fn max_spinlock_tries(mut self, tries: u32) -> Self {
        self.max_spinlock_tries = tries;
        self
    }

    /// Sets [`spinlock_sleep_thresh`](Self#structfield.spinlock_sleep_thresh).
    ///
    /// ```
    /// # use dspinlock_runtime::Options;
    /// # use std::time::Duration;
    /// let options = Options::new().spinlock_sleep_thresh(Duration::from_millis(100));
    /// ```
    #[must_use]
    pub fn spinlock_sleep_thresh(mut self, sleep: Duration) -> Self {
        self.spinlock_sleep_thresh = sleep;
        self
    }

    /// Sets [`wait`](Self#structfield.wait).
    ///
    /// ```
    /// # use dspinlock_runtime::{Options, Wait};
    /// # use std::time::Duration;
    /// let options = Options::new().wait(Wait::AtMost(Duration::from_secs(30)));
    /// ```
    #[must_use]
    pub fn wait(mut self, wait: Wait) -> Self {
        self.wait = Some(wait);
        self
    }

    /// Sets [`ttl`](Self#structfield.ttl).
    ///
    /// ```
    /// # use dspinlock_runtime::Options;
    /// # use std::time::Duration;
    /// let options = Options::new().ttl(Duration::from_secs(600));
    /// ```
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Sets [`max_block_time`](Self#structfield.max_block_time).
    ///
    /// ```
    /// # use dspinlock_runtime::Options;
    /// # use std::time::Duration;
    /// let options = Options::new().max_block_time(Duration::from_secs(300));
    /// ```
    #[must_use]
    pub fn max_block_time(mut self, limit: Duration) -> Self {
        self.max_block_time = limit;
        self
    }

    /// Sets [`lease`](Self#structfield.lease), at least 100 ms.
    ///
    /// ```
    /// # use dspinlock_runtime::Options;
    /// # use std::time::Duration;
    /// let options = Options::new().lease(Duration::from_secs(5));
    /// ```
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = Some(lease);
        self
    }

    /// Sets [`replicas`](Self#structfield.replicas).
    ///
    /// ```
    /// # use dspinlock_runtime::Options;
    /// let options = Options::new().replicas(1);
    /// ```
    #[must_use]
    pub fn replicas(mut self, replicas: u32) -> Self {
        self.replicas = replicas;
        self
    }

    /// Checks every option. Returns the length of the lease.
    pub(crate) fn check(&self) -> Result<Duration, Error> {
        let durations = [
            ("ttl", self.ttl),
            ("max_block_time", self.max_block_time),
            ("spinlock_sleep_thresh", self.spinlock_sleep_thresh),
            ("lease", self.lease.unwrap_or(DEFAULT_LEASE)),
        ];
        for (name, duration) in durations {
            check_length(name, duration)?;
        }
        let is_too_long = |wait| wait > MAX_DURATION && wait != Duration::MAX;
        if matches!(self.wait, Some(Wait::AtMost(wait)) if is_too_long(wait)) {
            return Err(Error::option(
                "`wait` must be <= 100 years; use `Wait::Forever` for no limit",
            ));
        }
        if self.max_spinlock_tries == 0 {
            return Err(Error::option(
                "`max_spinlock_tries` must be >= 1; set `wait` to zero for a call that does not wait",
            ));
        }
        let lease = self.lease_length();
        check_lease(lease, self.max_block_time)?;
        self.check_prefix()?;
        Ok(lease)
    }

    /// Braces in a prefix would put the entries of a key into different cluster slots. A comma separates the digest.
    pub(crate) fn check_prefix(&self) -> Result<(), Error> {
        let reserved = |c: char| matches!(c, '{' | '}' | ',') || c.is_control();
        if self.prefix.is_empty() || self.prefix.len() > MAX_PREFIX || self.prefix.contains(reserved) {
            return Err(Error::option(format!(
                "`prefix` must have 1 to {MAX_PREFIX} bytes without braces, commas or control characters"
            )));
        }
        Ok(())
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Checks that a duration is positive and not too long.
pub(crate) fn check_length(name: &str, duration: Duration) -> Result<(), Error> {
    if duration.is_zero() || duration > MAX_DURATION {
        return Err(Error::option(format!(
            "`{name}` must be > 0 and <= 100 years, not {duration:?}"
        )));
    }
    Ok(())
}

/// Checks the length of a lease.
pub(crate) fn check_lease(lease: Duration, max_block_time: Duration) -> Result<(), Error> {
    if lease > max_block_time {
        return Err(Error::option(format!(
            "`lease` ({lease:?}) must be <= `max_block_time` ({max_block_time:?}); shorten it, or raise `max_block_time`"
        )));
    }
    if lease < MIN_LEASE {
        return Err(Error::option(format!(
            "`lease` must be >= {MIN_LEASE:?}, not {lease:?}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(lease: Option<Duration>, max_block_time: Duration) -> Option<Duration> {
        let options = Options {
            lease,
            max_block_time,
            outlasts_lease: true,
            ..Options::DEFAULT
        };
        options.budget()
    }

    #[test]
    fn an_annotated_function_waits_for_30_s_and_longer_than_the_lease() {
        let seconds = Duration::from_secs;
        for (lease, max_block_time, expected) in [
            (None, seconds(1800), seconds(30)),
            (None, seconds(2), seconds(30)),
            (Some(seconds(25)), seconds(1800), seconds(30)),
            (Some(seconds(60)), seconds(1800), seconds(65)),
            (Some(Duration::MAX), seconds(1800), Duration::MAX),
        ] {
            assert_eq!(budget(lease, max_block_time), Some(expected), "{lease:?}");
        }
    }

    #[test]
    fn an_explicit_lock_waits_for_its_tries() {
        assert_eq!(Options::new().budget(), Some(Duration::from_secs(5)));
        assert_eq!(
            Options::new().max_spinlock_tries(3).budget(),
            Some(Duration::from_millis(1500))
        );
    }

    #[test]
    fn the_longest_duration_is_forever() {
        let options = Options::new().wait(Wait::AtMost(Duration::MAX));
        assert!(options.check().is_ok());
        assert_eq!(options.budget(), None);
        let too_long = MAX_DURATION + Duration::from_nanos(1);
        assert!(Options::new().wait(Wait::AtMost(too_long)).check().is_err());
    }
}
