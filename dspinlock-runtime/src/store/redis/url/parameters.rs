//! The parameters of a Redis server, with the names of py-dspinlock.
//!
//! The pool checks them when it is opened. This module opens no connection.

use std::fmt;
use std::time::Duration;

use super::address::{Address, login};
use crate::error::Error;
use crate::store::redis::timeouts::Timeouts;
use crate::tls::Tls;

/// The parameters of one Redis server. The fields have the names of py-dspinlock, and each setter has the name of its field.
///
/// ```no_run
/// # use dspinlock_runtime as dspinlock;
/// use dspinlock::{Pool, RedisParameters};
///
/// let parameters = RedisParameters::new()
///     .redis_host("redis.example")
///     .port(6380)
///     .username("app")
///     .password("secret");
/// let pool = Pool::connect(parameters)?;
/// # Ok::<(), dspinlock::Error>(())
/// ```
///
/// A [`PoolBuilder`](crate::PoolBuilder) can be made from parameters. It adds the settings of the pool:
///
/// ```no_run
/// # use dspinlock_runtime as dspinlock;
/// use dspinlock::{PoolBuilder, RedisParameters};
///
/// let pool = PoolBuilder::from(RedisParameters::new().redis_host("redis.example"))
///     .secret("32 random bytes from your secrets")
///     .open()?;
/// # Ok::<(), dspinlock::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisParameters {
    /// The host. Default: `localhost`.
    pub redis_host: String,
    /// The database number. Default: 0.
    pub rdb: i64,
    /// The port. Default: 6379.
    pub port: u16,
    /// Whether the connection uses TLS, which needs the feature `tls`. Default: `false`.
    pub ssl: bool,
    /// The TLS settings, if `ssl` is set. Default: [`Tls::new`].
    pub tls: Tls,
    /// The time limit of an attempt to connect, from the lookup of the host name to the end of the login. Default: 2 s.
    pub socket_connect_timeout: Duration,
    /// The time limit of a request, from its beginning to its reply. Default: 5 s. It includes connecting; see
    /// [`PoolBuilder::request_timeout`](crate::PoolBuilder::request_timeout).
    pub response_timeout: Duration,
    /// The ACL user. Default: none.
    pub username: Option<String>,
    /// The password. Default: none. `Debug` does not show it.
    pub password: Option<String>,
}

impl Default for RedisParameters {
    fn default() -> Self {
        let timeouts = Timeouts::default();
        Self {
            redis_host: "localhost".into(),
            rdb: 0,
            port: 6379,
            ssl: false,
            tls: Tls::default(),
            socket_connect_timeout: timeouts.connect,
            response_timeout: timeouts.response,
            username: None,
            password: None,
        }
    }
}

impl RedisParameters {
    /// Creates the default parameters.
    ///
    /// ```
    /// # use dspinlock_runtime::RedisParameters;
    /// let parameters = RedisParameters::new();
    /// assert_eq!((&*parameters.redis_host, parameters.port), ("localhost", 6379));
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets [`redis_host`](Self#structfield.redis_host).
    ///
    /// ```
    /// # use dspinlock_runtime::RedisParameters;
    /// let parameters = RedisParameters::new().redis_host("redis.example");
    /// ```
    #[must_use]
    pub fn redis_host(mut self, host: impl Into<String>) -> Self {
        self.redis_host = host.into();
        self
    }

    /// Sets [`rdb`](Self#structfield.rdb).
    ///
    /// ```
    /// # use dspinlock_runtime::RedisParameters;
    /// let parameters = RedisParameters::new().rdb(1);
    /// ```
    #[must_use]
    pub fn rdb(mut self, database: i64) -> Self {
        self.rdb = database;
        self
    }

    /// Sets [`port`](Self#structfield.port).
    ///
    /// ```
    /// # use dspinlock_runtime::RedisParameters;
    /// let parameters = RedisParameters::new().port(6380);
    /// ```
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Sets [`ssl`](Self#structfield.ssl).
    ///
    /// ```
    /// # use dspinlock_runtime::RedisParameters;
    /// let parameters = RedisParameters::new().redis_host("redis.example").ssl(true);
    /// ```
    #[must_use]
    pub fn ssl(mut self, on: bool) -> Self {
        self.ssl = on;
        self
    }

    /// Sets [`tls`](Self#structfield.tls).
    ///
    /// ```no_run
    /// # use dspinlock_runtime::{RedisParameters, Tls};
    /// let tls = Tls::new().authorities(std::fs::read("/etc/redis/ca.pem")?);
    /// let parameters = RedisParameters::new().ssl(true).tls(tls);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = tls;
        self
    }

    /// Sets [`socket_connect_timeout`](Self#structfield.socket_connect_timeout).
    ///
    /// ```
    /// # use dspinlock_runtime::RedisParameters;
    /// # use std::time::Duration;
    /// let parameters = RedisParameters::new().socket_connect_timeout(Duration::from_secs(1));
    /// ```
    #[must_use]
    pub fn socket_connect_timeout(mut self, timeout: Duration) -> Self {
        self.socket_connect_timeout = timeout;
        self
    }

    /// Sets [`response_timeout`](Self#structfield.response_timeout).
    ///
    /// ```
    /// # use dspinlock_runtime::RedisParameters;
    /// # use std::time::Duration;
    /// let parameters = RedisParameters::new().response_timeout(Duration::from_secs(2));
    /// ```
    #[must_use]
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.response_timeout = timeout;
        self
    }

    /// Sets [`username`](Self#structfield.username).
    ///
    /// ```
    /// # use dspinlock_runtime::RedisParameters;
    /// let parameters = RedisParameters::new().username("app").password("secret");
    /// ```
    #[must_use]
    pub fn username(mut self, username: impl Into<String>) -> Self {
        self.username = Some(username.into());
        self
    }

    /// Sets [`password`](Self#structfield.password).
    ///
    /// ```
    /// # use dspinlock_runtime::RedisParameters;
    /// let parameters = RedisParameters::new().password("secret");
    /// assert!(!format!("{parameters:?}").contains("secret"));
    /// ```
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
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

impl RedisParameters {
    /// Returns the address and the time limits, or the parameter that cannot be used.
    pub(crate) fn resolve(self) -> Result<(Address, Timeouts), Error> {
        for (name, timeout) in [
            ("socket_connect_timeout", self.socket_connect_timeout),
            ("response_timeout", self.response_timeout),
        ] {
            if timeout.is_zero() {
                return Err(Error::option(format!("`{name}` must be > 0")));
            }
        }
        if !self.ssl && self.tls != Tls::default() {
            return Err(Error::option(
                "`tls` is set, but `ssl` is off: set `ssl`, or remove `tls`",
            ));
        }
        let login = login(self.username.as_deref(), self.password.as_deref(), self.rdb);
        let tls = self.ssl.then_some(self.tls);
        let timeouts = Timeouts {
            connect: self.socket_connect_timeout,
            response: self.response_timeout,
            readers: true,
        };
        Ok((Address::tcp(&self.redis_host, self.port, tls, login)?, timeouts))
    }
}
