//! The process id and the host name of this process.
//!
//! `lease` writes both into an entry, so that an operator sees which process holds a key. No decision depends on them.

use std::sync::LazyLock;

/// The host's name, read once.
pub(crate) fn host_name() -> &'static str {
    static HOST: LazyLock<String> =
        LazyLock::new(|| gethostname::gethostname().to_string_lossy().into_owned());
    &HOST
}

/// The process id. It is read each time, because it is different after a fork.
pub(crate) fn id() -> u32 {
    std::process::id()
}
