//! The parameters of a Redis server, of Sentinel or of a cluster, with the names of py-dspinlock and of Python's redis package.
//!
//! The pool checks them when it is opened. This module opens no connection.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::address::{Address, Place, login};
use super::parts::is_host;
use super::target::Target;
use crate::error::Error;
use crate::store::redis::timeouts::Timeouts;
use crate::tls::Tls;

/// The parameters of one Redis server, of Sentinel or of a Redis Cluster. The fields have the names of py-dspinlock and of
/// Python's redis package, and each setter has the name of its field.
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
    /// The path of a unix socket, instead of `redis_host` and `port`. Default: none.
    pub unix_socket_path: Option<PathBuf>,
    /// The hosts and ports of sentinels, instead of `redis_host` and `port` (feature `sentinel`). Default: none.
    ///
    /// `username` and `password` are the login at the master.
    pub sentinels: Vec<(String, u16)>,
    /// The name that the sentinels have for the master. Default: none.
    pub service_name: Option<String>,
    /// The ACL user at the sentinels. Default: none.
    pub sentinel_username: Option<String>,
    /// The password at the sentinels. Default: none. `Debug` does not show it.
    pub sentinel_password: Option<String>,
    /// The hosts and ports of some nodes of a Redis Cluster, instead of `redis_host` and `port` (feature `cluster`).
    /// Default: none.
    pub startup_nodes: Vec<(String, u16)>,
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
            unix_socket_path: None,
            sentinels: Vec::new(),
            service_name: None,
            sentinel_username: None,
            sentinel_password: None,
            startup_nodes: Vec::new(),
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

    /// Sets [`unix_socket_path`](Self#structfield.unix_socket_path).
    ///
    /// ```
    /// # use dspinlock_runtime::RedisParameters;
    /// let parameters = RedisParameters::new().unix_socket_path("/run/redis.sock");
    /// ```
    #[must_use]
    pub fn unix_socket_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.unix_socket_path = Some(path.into());
        self
    }

    /// Sets [`sentinels`](Self#structfield.sentinels).
    ///
    /// ```
    /// # use dspinlock_runtime::RedisParameters;
    /// let parameters = RedisParameters::new()
    ///     .sentinels([("one.example", 26379), ("two.example", 26379)])
    ///     .service_name("main");
    /// ```
    #[must_use]
    pub fn sentinels<H: Into<String>>(mut self, hosts: impl IntoIterator<Item = (H, u16)>) -> Self {
        self.sentinels = list(hosts);
        self
    }

    /// Sets [`service_name`](Self#structfield.service_name).
    ///
    /// ```
    /// # use dspinlock_runtime::RedisParameters;
    /// let parameters = RedisParameters::new().sentinels([("localhost", 26379)]).service_name("main");
    /// ```
    #[must_use]
    pub fn service_name(mut self, name: impl Into<String>) -> Self {
        self.service_name = Some(name.into());
        self
    }

    /// Sets [`sentinel_username`](Self#structfield.sentinel_username).
    ///
    /// ```
    /// # use dspinlock_runtime::RedisParameters;
    /// let parameters = RedisParameters::new().sentinel_username("app").sentinel_password("secret");
    /// ```
    #[must_use]
    pub fn sentinel_username(mut self, username: impl Into<String>) -> Self {
        self.sentinel_username = Some(username.into());
        self
    }

    /// Sets [`sentinel_password`](Self#structfield.sentinel_password).
    ///
    /// ```
    /// # use dspinlock_runtime::RedisParameters;
    /// let parameters = RedisParameters::new().sentinel_password("secret");
    /// assert!(!format!("{parameters:?}").contains("secret"));
    /// ```
    #[must_use]
    pub fn sentinel_password(mut self, password: impl Into<String>) -> Self {
        self.sentinel_password = Some(password.into());
        self
    }

    /// Sets [`startup_nodes`](Self#structfield.startup_nodes).
    ///
    /// ```
    /// # use dspinlock_runtime::RedisParameters;
    /// let parameters = RedisParameters::new().startup_nodes([("one.example", 6379), ("two.example", 6379)]);
    /// ```
    #[must_use]
    pub fn startup_nodes<H: Into<String>>(mut self, hosts: impl IntoIterator<Item = (H, u16)>) -> Self {
        self.startup_nodes = list(hosts);
        self
    }
}

fn list<H: Into<String>>(hosts: impl IntoIterator<Item = (H, u16)>) -> Vec<(String, u16)> {
    hosts
        .into_iter()
        .map(|(host, port)| (host.into(), port))
        .collect()
}

impl fmt::Debug for RedisParameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisParameters")
            .field("redis_host", &self.redis_host)
            .field("rdb", &self.rdb)
            .field("port", &self.port)
            .field("ssl", &self.ssl)
            .field("tls", &self.tls)
            .field("unix_socket_path", &self.unix_socket_path)
            .field("sentinels", &self.sentinels)
            .field("service_name", &self.service_name)
            .field("startup_nodes", &self.startup_nodes)
            .finish_non_exhaustive()
    }
}

impl RedisParameters {
    /// Returns the target and the time limits, or the parameter that cannot be used.
    pub(crate) fn resolve(self) -> Result<(Target, Timeouts), Error> {
        self.check()?;
        let login =
            login(self.username.as_deref(), self.password.as_deref(), self.rdb).map_err(Error::option)?;
        let place = match self.unix_socket_path {
            Some(path) => Place::Unix(path),
            None => Place::Tcp {
                host: self.redis_host,
                port: self.port,
            },
        };
        let timeouts = Timeouts {
            connect: self.socket_connect_timeout,
            response: self.response_timeout,
            readers: true,
        };
        let address = Address::new(place, self.ssl.then_some(self.tls), login)?;
        let target = match (&*self.sentinels, &*self.startup_nodes) {
            ([], []) => Target::Server(address),
            #[cfg(feature = "sentinel")]
            (sentinels, []) => Target::sentinels(
                sentinels.to_vec(),
                self.service_name.unwrap_or_default(),
                (
                    self.sentinel_username.as_deref(),
                    self.sentinel_password.as_deref(),
                ),
                address,
            )
            .map_err(Error::option)?,
            #[cfg(feature = "cluster")]
            ([], nodes) => Target::cluster(nodes.to_vec(), address).map_err(Error::option)?,
            #[allow(unreachable_patterns)]
            _ => {
                return Err(Error::option(
                    "`sentinels` needs the feature `sentinel` of dspinlock, and `startup_nodes` the feature `cluster`: enable it",
                ));
            }
        };
        Ok((target, timeouts))
    }

    fn check(&self) -> Result<(), Error> {
        for (name, timeout) in [
            ("socket_connect_timeout", self.socket_connect_timeout),
            ("response_timeout", self.response_timeout),
        ] {
            if timeout.is_zero() {
                return Err(Error::option(format!("`{name}` must be > 0")));
            }
        }
        let hosts = self.sentinels.iter().chain(&self.startup_nodes);
        let mut hosts = hosts.map(|(host, _)| host).chain([&self.redis_host]);
        let has_sentinels = !self.sentinels.is_empty();
        let has_socket = self.unix_socket_path.is_some();
        let kinds = [has_socket, has_sentinels, !self.startup_nodes.is_empty()];
        let refusals = [
            (
                !hosts.all(|host| is_host(host)),
                "a host must be a host name or an address, without a port and a login: use `Pool::open` for a URL",
            ),
            (
                !self.ssl && self.tls != Tls::default(),
                "`tls` is set, but `ssl` is off: set `ssl`, or remove `tls`",
            ),
            (
                kinds.into_iter().filter(|is_set| *is_set).count() > 1,
                "`unix_socket_path`, `sentinels` and `startup_nodes` exclude each other: set one of them",
            ),
            (
                self.ssl && has_socket,
                "a unix socket has no TLS: remove `ssl`, or `unix_socket_path`",
            ),
            (
                has_sentinels != self.service_name.is_some(),
                "`sentinels` and `service_name` need each other: set both",
            ),
            (
                !has_sentinels && (self.sentinel_username.is_some() || self.sentinel_password.is_some()),
                "a login at sentinels is set, but `sentinels` is empty: set it",
            ),
        ];
        let refusal = refusals.into_iter().find(|(is_refused, _)| *is_refused);
        refusal.map_or(Ok(()), |(_, reason)| Err(Error::option(reason)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(parameters: RedisParameters) -> String {
        match parameters.resolve() {
            Ok(_) => panic!("the parameters are accepted"),
            Err(Error::InvalidOption { reason }) => reason,
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address() {
        for host in [
            "localhost",
            "redis_1.example.",
            "127.0.0.1",
            "::1",
            "fe80::1%eth0",
            "münchen.example",
        ] {
            assert!(
                RedisParameters::new().redis_host(host).resolve().is_ok(),
                "{host}"
            );
        }
    }

    #[test]
    fn a_unix_socket_replaces_the_host() {
        let parameters = RedisParameters::new().unix_socket_path("/run/redis.sock").rdb(3);
        let Ok((Target::Server(address), _)) = parameters.resolve() else {
            panic!("one server")
        };
        assert_eq!(
            (address.to_string().as_str(), address.login.db()),
            ("/run/redis.sock", 3)
        );
    }

    #[cfg(feature = "sentinel")]
    #[test]
    fn sentinels_have_their_own_login_and_name_the_master() {
        let parameters = RedisParameters::new()
            .sentinels([("one", 1), ("two", 2)])
            .service_name("main")
            .sentinel_password("at sentinels")
            .username("me")
            .password("at the master")
            .rdb(2);
        let Ok((
            Target::Sentinels {
                sentinels,
                name,
                template,
            },
            _,
        )) = parameters.resolve()
        else {
            panic!("sentinels")
        };
        let shown: Vec<_> = sentinels.iter().map(ToString::to_string).collect();
        assert_eq!(
            (shown, &*name),
            (vec!["one:1".to_owned(), "two:2".to_owned()], "main")
        );
        for sentinel in sentinels {
            assert_eq!(
                (sentinel.login.password(), sentinel.login.db()),
                (Some("at sentinels"), 0)
            );
        }
        assert_eq!(
            (template.login.password(), template.login.db()),
            (Some("at the master"), 2)
        );
    }

    #[cfg(feature = "cluster")]
    #[test]
    fn startup_nodes_are_a_cluster() {
        let nodes = || {
            RedisParameters::new()
                .startup_nodes([("one", 1), ("two", 2)])
                .password("p")
        };
        let Ok((Target::Cluster(seeds), _)) = nodes().resolve() else {
            panic!("a cluster")
        };
        let shown: Vec<_> = seeds.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["one:1", "two:2"]);
        assert!(seeds.iter().all(|seed| seed.login.password() == Some("p")));
        assert!(refusal(nodes().rdb(1)).contains("database 0"));
    }

    #[test]
    fn parameters_that_contradict_each_other_are_refused() {
        let new = RedisParameters::new;
        for (parameters, part) in [
            (
                new().unix_socket_path("/a").startup_nodes([("one", 1)]),
                "exclude each other",
            ),
            (
                new()
                    .sentinels([("one", 1)])
                    .service_name("m")
                    .unix_socket_path("/a"),
                "exclude each other",
            ),
            (new().unix_socket_path("/a").ssl(true), "no TLS"),
            (new().sentinels([("one", 1)]), "`service_name`"),
            (new().service_name("main"), "`sentinels`"),
            (new().sentinel_password("secret"), "`sentinels` is empty"),
            (new().username("secret"), "no password"),
            (new().redis_host("redis://:secret@host"), "use `Pool::open`"),
            (new().redis_host("host:6379"), "use `Pool::open`"),
            (new().startup_nodes([(":secret@host", 1)]), "use `Pool::open`"),
            (
                new().sentinels([("one", 1), ("", 1)]).service_name("main"),
                "use `Pool::open`",
            ),
        ] {
            let message = refusal(parameters);
            assert!(message.contains(part) && !message.contains("secret"), "{message}");
        }
    }
}
