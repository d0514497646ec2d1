//! The arguments of an attribute that are known at compile time.
//!
//! The shim builds a [`Site`] in a `static`; `order`, `names` and `site_name` read it.

use std::borrow::Cow;
use std::panic::Location;
use std::time::Duration;

use crate::key::Format;
use crate::options::{Options, Wait};

/// The arguments of one attribute, in a `static`: every attribute has a different address, also in a generic function.
///
/// The setters are `const fn`s with the names of the attribute's arguments.
#[derive(Debug, Clone)]
pub struct Site {
    /// `module_path!()::function`, the path of a free function.
    pub path: &'static str,
    /// The attribute's place in the source. It is not part of the key.
    pub place: &'static Location<'static>,
    /// `name = "..."` replaces the path; `""` leaves it out of the key.
    pub name: Option<&'static str>,
    /// `version = 2`: a part of the key.
    pub version: Option<u32>,
    /// The name of the function that `entry = ...` generates, in the site of that function. Its key is that of the annotated
    /// function, which stands beside it.
    pub entry: Option<&'static str>,
    /// `err_ttl = ...`: errors are recorded.
    pub records_errors: bool,
    /// `on_store_error = run_unlocked`.
    pub runs_unlocked: bool,
    /// The positions of the generic parameters that `skip(T)` leaves out of the key.
    pub skipped_generics: &'static [usize],
    /// `near_cache = "..."`: the greatest age of a value in the near cache.
    pub near_cache: Option<Duration>,
    /// The options of the lock.
    pub options: Options,
}

impl Site {
    /// A site with the default options of the attribute, at the place of the caller.
    #[track_caller]
    pub const fn new(path: &'static str) -> Self {
        let mut options = Options::DEFAULT;
        options.outlasts_lease = true;
        Self {
            path,
            place: Location::caller(),
            name: None,
            version: None,
            entry: None,
            records_errors: false,
            runs_unlocked: false,
            skipped_generics: &[],
            near_cache: None,
            options,
        }
    }

    /// `name = ""`: the key consists of the arguments alone, and a Python worker may use it too.
    pub(crate) fn format(&self) -> Format {
        match self.name {
            Some("") => Format::Shared,
            _ => Format::Single,
        }
    }

    /// `name = "..."`.
    pub const fn name(mut self, name: &'static str) -> Self {
        self.name = Some(name);
        self
    }

    /// `version = 2`.
    pub const fn version(mut self, version: u32) -> Self {
        self.version = Some(version);
        self
    }

    /// `err_ttl = ...`.
    pub const fn records_errors(mut self) -> Self {
        self.records_errors = true;
        self
    }

    /// `on_store_error = run_unlocked`.
    pub const fn runs_unlocked(mut self) -> Self {
        self.runs_unlocked = true;
        self
    }

    /// `entry = name`, for the site of the generated function.
    pub const fn entry(mut self, name: &'static str) -> Self {
        self.entry = Some(name);
        self
    }

    /// `skip(T)`, by position among the type and const parameters.
    pub const fn skipped_generics(mut self, positions: &'static [usize]) -> Self {
        self.skipped_generics = positions;
        self
    }

    /// `prefix = "..."`.
    pub const fn prefix(mut self, prefix: &'static str) -> Self {
        // A constant cannot drop a `Cow`. This one is the borrowed default and owns nothing, so it is forgotten.
        std::mem::forget(std::mem::replace(&mut self.options.prefix, Cow::Borrowed(prefix)));
        self
    }

    /// `near_cache = "10s"`.
    pub const fn near_cache(mut self, age: Duration) -> Self {
        self.near_cache = Some(age);
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
        self.options.outlasts_lease = false;
        self
    }

    /// `spinlock_sleep_thresh = "500ms"`.
    pub const fn spinlock_sleep_thresh(mut self, sleep: Duration) -> Self {
        self.options.spinlock_sleep_thresh = sleep;
        self
    }

    /// `wait = "2m"`.
    pub const fn wait(mut self, limit: Duration) -> Self {
        self.options.wait = Some(Wait::AtMost(limit));
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
    pub const fn max_block_time(mut self, limit: Duration) -> Self {
        self.options.max_block_time = limit;
        self
    }

    /// `replicas = 1`.
    pub const fn replicas(mut self, replicas: u32) -> Self {
        self.options.replicas = replicas;
        self
    }

    /// `lease = "15s"`.
    pub const fn lease(mut self, lease: Duration) -> Self {
        self.options.lease = Some(lease);
        self
    }
}
