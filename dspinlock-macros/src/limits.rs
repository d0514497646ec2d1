//! The limits that the attribute checks at compile time. They equal the limits that the runtime checks at each call:
//! an assertion compares them when the tests are compiled.

use std::time::Duration;

/// The longest duration of any argument: 100 years of 366 days.
pub(crate) const MAX_DURATION: Duration = Duration::from_secs(100 * 366 * 86_400);

/// The shortest `lease`.
pub(crate) const MIN_LEASE: Duration = Duration::from_millis(100);

/// The default of `max_block_time`, which limits `lease`.
pub(crate) const DEFAULT_MAX_BLOCK_TIME: Duration = Duration::from_secs(30 * 60);

/// The default of `ttl`, which limits `near_cache`.
pub(crate) const DEFAULT_TTL: Duration = Duration::from_secs(60 * 60);

/// The longest `prefix`, in bytes.
pub(crate) const MAX_PREFIX: usize = 64;

#[cfg(test)]
const _: () = {
    use dspinlock_runtime::internals::limits;

    assert!(MAX_DURATION.as_nanos() == limits::MAX_DURATION.as_nanos());
    assert!(MIN_LEASE.as_nanos() == limits::MIN_LEASE.as_nanos());
    assert!(DEFAULT_MAX_BLOCK_TIME.as_nanos() == limits::DEFAULT_MAX_BLOCK_TIME.as_nanos());
    assert!(DEFAULT_TTL.as_nanos() == limits::DEFAULT_TTL.as_nanos());
    assert!(MAX_PREFIX == limits::MAX_PREFIX);
};
