//! From a URL, or from parameters, to a pool.

use std::fmt;
use std::time::Duration;

use super::Pool;
use crate::error::Error;
#[cfg(feature = "cluster")]
use crate::store::redis::Cluster;
use crate::store::redis::{Address, Limits, RedisStore, login};
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
        match url.split_once(':') {
            Some(("sqlite", path)) if tls == Tls::default() => open_embedded(path),
            Some(("redis" | "rediss" | "valkey" | "valkeys" | "redis+unix" | "valkey+unix" | "unix", _)) => {
                Ok(Self::new(RedisStore::open_tls(url, tls)?))
            }
            #[cfg(feature = "sentinel")]
            Some(("redis+sentinel" | "rediss+sentinel", _)) => {
                Ok(Self::new(RedisStore::by_sentinels(url, tls)?))
            }
            #[cfg(not(feature = "sentinel"))]
            Some(("redis+sentinel" | "rediss+sentinel", _)) => Err(Error::Configuration(
                "redis+sentinel: needs the feature `sentinel` of dspinlock".into(),
            )),
            #[cfg(feature = "cluster")]
            Some(("redis+cluster" | "rediss+cluster", _)) => Ok(Self::new(Cluster::open(url, tls)?)),
            #[cfg(not(feature = "cluster"))]
            Some(("redis+cluster" | "rediss+cluster", _)) => Err(Error::Configuration(
                "redis+cluster: needs the feature `cluster` of dspinlock".into(),
            )),
            // The text is not shown: what stands before the first colon may be anything.
            _ => Err(Error::Configuration(
                "a store's URL begins with redis:, rediss:, valkey:, valkeys:, redis+unix: or sqlite:".into(),
            )),
        }
    }

    /// The Redis server that the parameters name. Connects with the first request.
    ///
    /// # Errors
    ///
    /// [`Error::Configuration`] for `ssl` without the feature `tls`, for certificates that cannot be used, and for a time
    /// limit of zero; [`Error::RedisNotInitialized`] where the process is out of threads or descriptors.
    pub fn connect(parameters: RedisParameters) -> Result<Self, Error> {
        let limits = Limits {
            connect: parameters.socket_connect_timeout,
            respond: parameters.response_timeout,
        };
        if limits.connect.is_zero() || limits.respond.is_zero() {
            return Err(Error::Configuration("a time limit is longer than nothing".into()));
        }
        let login = login(
            parameters.username.as_deref(),
            parameters.password.as_deref(),
            parameters.rdb,
        );
        if !parameters.ssl && parameters.tls != Tls::default() {
            return Err(Error::Configuration("`tls` is told of, but `ssl` is off".into()));
        }
        let tls = parameters.ssl.then_some(parameters.tls);
        let address = Address::tcp(&parameters.redis_host, parameters.port, tls, login)?;
        Ok(Self::new(RedisStore::new(address, limits)?))
    }
}

/// Where a Redis server is, under the names that py-dspinlock gives.
#[derive(Clone)]
pub struct RedisParameters {
    /// The host, `localhost` by default.
    pub redis_host: String,
    /// The database number, 0 by default.
    pub rdb: i64,
    /// The port, 6379 by default.
    pub port: u16,
    /// TLS, off by default; needs the feature `tls`.
    pub ssl: bool,
    /// Certificates of one's own, where `ssl` is on.
    pub tls: Tls,
    /// From the name's lookup to the end of the login, 2 s by default.
    pub socket_connect_timeout: Duration,
    /// From a request to its answer, 5 s by default.
    pub response_timeout: Duration,
    /// The ACL user, none by default.
    pub username: Option<String>,
    /// The password, none by default. `Debug` does not show it.
    pub password: Option<String>,
}

impl Default for RedisParameters {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            redis_host: "localhost".into(),
            rdb: 0,
            port: 6379,
            ssl: false,
            tls: Tls::default(),
            socket_connect_timeout: limits.connect,
            response_timeout: limits.respond,
            username: None,
            password: None,
        }
    }
}

impl fmt::Debug for RedisParameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisParameters")
            .field("redis_host", &self.redis_host)
            .field("rdb", &self.rdb)
            .field("port", &self.port)
            .field("ssl", &self.ssl)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
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
    open_embedded("")
}

#[cfg(not(feature = "embedded"))]
fn without_url() -> Result<Pool, Error> {
    Err(Error::RedisNotInitialized {
        address: URL.into(),
        reason: "not set, and there is no embedded store".into(),
    })
}

#[cfg(feature = "embedded")]
fn open_embedded(path: &str) -> Result<Pool, Error> {
    use crate::store::embedded::{Embedded, default_path};
    let limit = Limits::default().respond;
    crate::background::start(format_args!("sqlite:{path}"))?;
    Ok(Pool::new(match path {
        ":memory:" => Embedded::memory()?,
        "" => Embedded::open(&default_path()?, limit)?,
        // Else a slip of the pen, or what only a shell understands, would make a file of that name.
        path if path.starts_with([':', '~']) => {
            return Err(Error::Configuration(
                "sqlite: takes a path, `:memory:`, or nothing for the default path; `~` is not understood"
                    .into(),
            ));
        }
        path => Embedded::open(std::path::Path::new(path), limit)?,
    }))
}

#[cfg(not(feature = "embedded"))]
fn open_embedded(_: &str) -> Result<Pool, Error> {
    Err(Error::Configuration(
        "sqlite: needs the feature `embedded` of dspinlock".into(),
    ))
}
