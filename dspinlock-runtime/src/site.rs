//! The compile-time facts of one annotated function.

use std::borrow::Cow;
use std::time::Duration;

use crate::call::Call;

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

impl Site {
    /// A function with every option at its default.
    pub const fn new(path: &'static str) -> Self {
        Self {
            path,
            name: None,
            skipped_generics: &[],
            options: Options::DEFAULT,
        }
    }

    /// One call of this function.
    pub fn call(&'static self) -> Call {
        Call::new(self)
    }

    /// The readable name: the given one, or the path where none was given.
    pub fn label(&self) -> &'static str {
        match self.name {
            Some(name) if !name.is_empty() => name,
            _ => self.path,
        }
    }

    /// `name = ""`: the key is the object alone, which a Python worker may know too.
    pub(crate) fn is_shared(&self) -> bool {
        self.name == Some("")
    }

    /// `name = "..."`.
    pub const fn name(mut self, name: &'static str) -> Self {
        self.name = Some(name);
        self
    }

    /// `skip(T)`, by position among the type and const parameters.
    pub const fn skipped_generics(mut self, positions: &'static [usize]) -> Self {
        self.skipped_generics = positions;
        self
    }

    /// `prefix = "..."`.
    pub const fn prefix(mut self, prefix: &'static str) -> Self {
        // Forgotten, as a constant cannot drop a `Cow`; it is the borrowed default and owns nothing.
        std::mem::forget(std::mem::replace(&mut self.options.prefix, Cow::Borrowed(prefix)));
        self
    }

    /// `fail_if_key_exists`.
    pub const fn fail_if_key_exists(mut self) -> Self {
        self.options.fail_if_key_exists = true;
        self
    }

    /// `max_spinlock_tries = 10`.
    pub const fn max_spinlock_tries(mut self, tries: u32) -> Self {
        self.options.max_spinlock_tries = tries;
        self
    }

    /// `spinlock_sleep_thresh = "500ms"`.
    pub const fn spinlock_sleep_thresh(mut self, sleep: Duration) -> Self {
        self.options.spinlock_sleep_thresh = sleep;
        self
    }

    /// `wait = "2m"`.
    pub const fn wait(mut self, most: Duration) -> Self {
        self.options.wait = Some(Wait::AtMost(most));
        self
    }

    /// `wait = forever`.
    pub const fn wait_forever(mut self) -> Self {
        self.options.wait = Some(Wait::Forever);
        self
    }

    /// `ttl = "1h"`.
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.options.ttl = ttl;
        self
    }

    /// `max_block_time = "30m"`.
    pub const fn max_block_time(mut self, most: Duration) -> Self {
        self.options.max_block_time = most;
        self
    }

    /// `lease = "15s"`.
    pub const fn lease(mut self, lease: Duration) -> Self {
        self.options.lease = Some(lease);
        self
    }
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
