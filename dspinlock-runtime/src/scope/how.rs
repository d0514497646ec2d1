//! How a call was served: plain data of the public API.

use std::fmt;
use std::time::Duration;

/// How a call of a locked function was served, from [`served`](crate::served).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Served {
    /// Where the outcome comes from.
    pub how: How,
    /// The time since the outcome was stored; zero if this call has computed it.
    ///
    /// `None` if it is not known without another round trip: after a [`Hit`](How::Hit) on a server (unless the site has a
    /// `near_cache`), for a key that Python may know (`name = ""`), and for a call that follows one of them.
    pub age: Option<Duration>,
    /// The fence of the lease under which the outcome was computed; see [`Lease::fence`](crate::Lease::fence).
    ///
    /// `None` if the body ran without the lock, and for a result of a key that Python may know, whose entry a hit does not
    /// read.
    pub fence: Option<u64>,
}

/// Where the outcome of a call comes from.
///
/// ```
/// # use dspinlock_runtime as dspinlock;
/// assert_eq!(dspinlock::How::ReplayedError.to_string(), "replayed_error");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum How {
    /// From the near cache of this process.
    Near,
    /// The value was stored when the call began.
    Hit,
    /// Another call, of this process or another one, computed it while this call waited, or read it for both.
    Followed,
    /// The body ran in this call, with the lock or (`run_unlocked`) without it.
    Computed,
    /// An error of the body that `err_ttl` has stored.
    ReplayedError,
}

impl How {
    /// The name, as [`Display`](fmt::Display) shows it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Near => "near",
            Self::Hit => "hit",
            Self::Followed => "followed",
            Self::Computed => "computed",
            Self::ReplayedError => "replayed_error",
        }
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
