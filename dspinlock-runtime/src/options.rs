//! How to lock.

use std::borrow::Cow;
use std::time::Duration;

use crate::error::Error;

/// How to lock: every option of a site or of an explicit lock.
#[derive(Debug, Clone)]
pub struct Options {
    /// The first part of every key in the store.
    pub prefix: Cow<'static, str>,
    /// A computed result is returned without taking the lock.
    pub cached_if_computed: bool,
    /// An existing key is an error.
    pub fail_if_key_exists: bool,
    /// How often to look for a free key before giving up, one `spinlock_sleep_thresh` apart.
    pub max_spinlock_tries: u32,
    /// The longest sleep between two looks.
    pub spinlock_sleep_thresh: Duration,
    /// In the place of tries × sleep: how long to wait in all.
    pub wait: Option<Wait>,
    /// How long a computed result stays.
    pub ttl: Duration,
    /// The longest time that a holder may keep others out.
    pub max_block_time: Duration,
    /// How long a lock outlives a holder that stopped renewing it; `None` is 15 s, or `max_block_time` where that is
    /// shorter.
    pub lease: Option<Duration>,
    /// How many replicas must have heard of a grant before it counts, and of a delete.
    pub replicas: u32,
}

/// How long a caller waits for another's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// At most this long.
    AtMost(Duration),
    /// As long as it takes.
    Forever,
}

impl Options {
    /// The seed's defaults.
    pub const DEFAULT: Self = Self {
        prefix: Cow::Borrowed("dspinlock"),
        cached_if_computed: false,
        fail_if_key_exists: false,
        max_spinlock_tries: 10,
        spinlock_sleep_thresh: Duration::from_millis(500),
        wait: None,
        ttl: Duration::from_secs(3600),
        max_block_time: DEFAULT_MAX_BLOCK_TIME,
        lease: None,
        replicas: 0,
    };
}

impl Default for Options {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The longest duration of any option: 100 years of 366 days.
pub const MAX_DURATION: Duration = Duration::from_secs(100 * 366 * 86_400);
/// The shortest lease: a renewal must fit into it, even if the thread is late.
pub const MIN_LEASE: Duration = Duration::from_millis(100);
/// The longest prefix, in bytes.
pub const MAX_PREFIX: usize = 64;
/// The default of `max_block_time`.
pub const DEFAULT_MAX_BLOCK_TIME: Duration = Duration::from_secs(1800);
/// The lease where none is given.
const LEASE: Duration = Duration::from_secs(15);

impl Options {
    /// The length of the lease, or what is wrong.
    pub(crate) fn check(&self) -> Result<Duration, Error> {
        let durations = [
            ("ttl", self.ttl),
            ("max_block_time", self.max_block_time),
            ("spinlock_sleep_thresh", self.spinlock_sleep_thresh),
            ("lease", self.lease.unwrap_or(LEASE)),
        ];
        for (name, duration) in durations {
            check_length(name, duration)?;
        }
        if let Some(Wait::AtMost(wait)) = self
            .wait
            .filter(|wait| matches!(wait, Wait::AtMost(wait) if *wait > MAX_DURATION))
        {
            return refuse(format!(
                "wait is at most 100 years, not {wait:?}; `forever` has no end"
            ));
        }
        if self.max_spinlock_tries == 0 {
            return refuse("max_spinlock_tries is at least 1".into());
        }
        let lease = self.lease.unwrap_or(LEASE.min(self.max_block_time));
        if lease > self.max_block_time {
            return refuse(format!(
                "a lease of {lease:?} is longer than max_block_time, {:?}",
                self.max_block_time
            ));
        }
        if lease < MIN_LEASE {
            return refuse(format!("a lease is at least {MIN_LEASE:?}, not {lease:?}"));
        }
        self.check_prefix()?;
        Ok(lease)
    }

    /// A prefix must keep both entries of a key in one slot of a cluster, and the key apart from its digest.
    pub(crate) fn check_prefix(&self) -> Result<(), Error> {
        let reserved = |c: char| matches!(c, '{' | '}' | ',') || c.is_control();
        if self.prefix.is_empty() || self.prefix.len() > MAX_PREFIX || self.prefix.contains(reserved) {
            return refuse("a prefix has 1 to 64 bytes without braces, commas and control characters".into());
        }
        Ok(())
    }
}

/// A length of time must be one.
pub(crate) fn check_length(name: &str, duration: Duration) -> Result<(), Error> {
    if duration.is_zero() || duration > MAX_DURATION {
        return refuse(format!(
            "{name} is longer than nothing and at most 100 years, not {duration:?}"
        ));
    }
    Ok(())
}

fn refuse<T>(message: String) -> Result<T, Error> {
    Err(Error::Configuration(message))
}
