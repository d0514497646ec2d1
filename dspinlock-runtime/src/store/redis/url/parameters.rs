//! From a URL, or from parameters, to a server, its sentinels or its cluster.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::store::SharedStore;
#[cfg(feature = "cluster")]
use crate::store::redis::cluster::Cluster;
use crate::store::redis::{Address, Limits, RedisStore, login};
use crate::tls::Tls;

pub(crate) fn open(url: &str, tls: Tls) -> Result<SharedStore, Error> {
    Ok(match url.split_once(':').map_or("", |(scheme, _)| scheme) {
        "redis" | "rediss" | "valkey" | "valkeys" | "redis+unix" | "valkey+unix" | "unix" => {
            Arc::new(RedisStore::open_tls(url, tls)?)
        }
        #[cfg(feature = "sentinel")]
        "redis+sentinel" | "rediss+sentinel" => Arc::new(RedisStore::by_sentinels(url, tls)?),
        #[cfg(feature = "cluster")]
        "redis+cluster" | "rediss+cluster" => Arc::new(Cluster::open(url, tls)?),
        #[cfg(not(feature = "sentinel"))]
        "redis+sentinel" | "rediss+sentinel" => {
            return Err(Error::Configuration(
                "redis+sentinel: needs the feature `sentinel` of dspinlock".into(),
            ));
        }
        #[cfg(not(feature = "cluster"))]
        "redis+cluster" | "rediss+cluster" => {
            return Err(Error::Configuration(
                "redis+cluster: needs the feature `cluster` of dspinlock".into(),
            ));
        }
        // The text is not shown: what stands before the first colon may be anything.
        _ => {
            return Err(Error::Configuration(
                "a store's URL begins with redis:, rediss:, valkey:, valkeys:, redis+unix: or sqlite:".into(),
            ));
        }
    })
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

impl RedisParameters {
    pub(crate) fn open(self) -> Result<SharedStore, Error> {
        let limits = Limits {
            connect: self.socket_connect_timeout,
            respond: self.response_timeout,
        };
        if limits.connect.is_zero() || limits.respond.is_zero() {
            return Err(Error::Configuration("a time limit is longer than nothing".into()));
        }
        if !self.ssl && self.tls != Tls::default() {
            return Err(Error::Configuration("`tls` is told of, but `ssl` is off".into()));
        }
        let login = login(self.username.as_deref(), self.password.as_deref(), self.rdb);
        let tls = self.ssl.then_some(self.tls);
        let address = Address::tcp(&self.redis_host, self.port, tls, login)?;
        Ok(Arc::new(RedisStore::new(address, limits)?))
    }
}
