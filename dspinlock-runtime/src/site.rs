//! The compile-time facts of one annotated function.

use std::borrow::Cow;
use std::time::Duration;

/// What the attribute says of one function, kept in a `const`.
///
/// The setters are `const fn`s and bear the names of the attribute's arguments.
#[derive(Debug, Clone)]
pub struct Site {
    /// `module_path!()::function`, the name of a free function.
    pub path: &'static str,
    /// `name = "..."`: in the place of the path; `""` leaves the key to the object alone.
    pub name: Option<&'static str>,
    /// Positions of the generic parameters that `skip(T)` leaves out of the key.
    pub skipped_generics: &'static [usize],
    /// How to lock.
    pub options: Options,
}

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
        max_block_time: Duration::from_secs(1800),
        lease: None,
    };
}

impl Default for Options {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Site {
    /// x
    pub const fn new(path: &'static str) -> Self {
        Self {
            path,
            name: None,
            skipped_generics: &[],
            options: Options::DEFAULT,
        }
    }
}
