//! A fixed process id and host name: no process forks under the scheduler.

use std::sync::OnceLock;

use shuttle::lazy_static::Lazy;

pub fn host_name() -> &'static str {
    "host"
}

pub fn id() -> u32 {
    1
}

pub fn generation() -> u32 {
    1
}

/// A static that is created again for every schedule.
pub(crate) struct PerProcess<T: Send + Sync + 'static> {
    value: Lazy<OnceLock<T>>,
    make: fn(Option<&T>) -> T,
}

impl<T: Send + Sync> PerProcess<T> {
    pub(crate) const fn new(make: fn(Option<&T>) -> T) -> Self {
        Self {
            value: Lazy::new(OnceLock::new),
            make,
        }
    }

    pub(crate) fn get(&'static self) -> &'static T {
        self.value.get().get_or_init(|| (self.make)(None))
    }
}
