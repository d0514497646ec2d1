//! From a URL, or from parameters, to a pool.

use super::Pool;
use crate::error::Error;
use crate::store::{self, RedisParameters};
use crate::tls::Tls;

/// The environment variable that names the store of a process.
const URL: &str = "DSPINLOCK_URL";

impl Pool {
    /// The store behind a URL: `redis://`, `rediss://` (feature `tls`), `valkey://`, `valkeys://`, `redis+unix://`,
    /// each with `user:password@` and `/database` as needed; `sqlite:PATH`, `sqlite:` for the default path, or
    /// `sqlite::memory:` (feature `embedded`).
    ///
    /// `redis+sentinel://user:password@host:port,host:port/master/database` (feature `sentinel`; `rediss+sentinel:` over
    /// TLS) is the master that the sentinels at these hosts name, with its login; the sentinels' own is
    /// `?sentinel_user=..&sentinel_password=..`. They are asked at each connect, and another master is gone to as soon as
    /// one of them announces it.
    ///
    /// `redis+cluster://user:password@host:port,host:port` (feature `cluster`; `rediss+cluster:` over TLS) is a Redis
    /// Cluster, of which some nodes are named.
    ///
    /// A server is connected to with the first request, within 2 s. A request that is not answered within 5 s has failed;
    /// where its connection broke, it is sent once more over a new one.
    ///
    /// # Errors
    ///
    /// [`Error::Configuration`] for a URL that cannot be used and for a file that is not, or is no longer, this
    /// version's; [`Error::RedisNotInitialized`] for a file that cannot be opened, and where the process is out of threads
    /// or descriptors. No message holds the password.
    pub fn open(url: &str) -> Result<Self, Error> {
        Self::open_tls(url, Tls::default())
    }

    /// The store behind a `rediss://` or `valkeys://` URL, with certificates of one's own (feature `tls`). What the URL
    /// names on top is added.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); also where a certificate or a key cannot be used, and where `tls` says something and the
    /// URL is one without TLS.
    pub fn open_tls(url: &str, tls: Tls) -> Result<Self, Error> {
        store::open(url, tls).map(Self::new)
    }

    /// The Redis server that the parameters name. Connects with the first request.
    ///
    /// # Errors
    ///
    /// [`Error::Configuration`] for `ssl` without the feature `tls`, for certificates that cannot be used, and for a time
    /// limit of zero; [`Error::RedisNotInitialized`] where the process is out of threads or descriptors.
    pub fn connect(parameters: RedisParameters) -> Result<Self, Error> {
        parameters.open().map(Self::new)
    }
}

pub(super) fn from_environment() -> Result<Pool, Error> {
    match std::env::var(URL) {
        Ok(url) => Pool::open(&url),
        Err(std::env::VarError::NotPresent) => without_url(),
        Err(std::env::VarError::NotUnicode(_)) => Err(Error::Configuration(format!("{URL} is not UTF-8"))),
    }
}

#[cfg(feature = "embedded")]
fn without_url() -> Result<Pool, Error> {
    log::warn!(target: "dspinlock", "{URL} is not set: locks are held on this machine only, in the embedded store");
    Pool::open("sqlite:")
}

#[cfg(not(feature = "embedded"))]
fn without_url() -> Result<Pool, Error> {
    Err(Error::RedisNotInitialized {
        address: URL.into(),
        reason: "not set, and there is no embedded store".into(),
    })
}
