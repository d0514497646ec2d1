//! Where a server is and how to log in to it.

use std::fmt;
use std::path::PathBuf;

use redis::{ConnectionAddr, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo};

use crate::error::Error;

/// A server's place and its login. `Display` and `Debug` show the place alone.
#[derive(Clone)]
pub(crate) struct Address {
    pub(super) place: Place,
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "always off"))]
    pub(super) tls: bool,
    pub(super) login: RedisConnectionInfo,
}

#[derive(Clone)]
pub(super) enum Place {
    Tcp {
        host: String,
        port: u16,
    },
    #[cfg_attr(not(unix), allow(dead_code))]
    Unix(PathBuf),
    /// Wherever the sentinels say; looked up whenever a connection is made.
    #[cfg(feature = "sentinel")]
    Sentinels(std::sync::Arc<super::sentinel::Sentinels>),
}

impl Address {
    /// `redis://`, `rediss://`, `valkey://`, `valkeys://`, `redis+unix://`, each with `user:password@` and `/database`.
    pub(crate) fn parse(url: &str) -> Result<Self, Error> {
        let (scheme, rest) = url.split_once(':').unwrap_or((url, ""));
        // The redis crate knows the TLS schemes only with a TLS stack of its own, which we do not use.
        let (scheme, tls) = match scheme {
            "rediss" => ("redis", true),
            "valkeys" => ("valkey", true),
            other => (other, false),
        };
        let info = format!("{scheme}:{rest}")
            .into_connection_info()
            .map_err(|error| {
                // A message with a detail may quote the URL, and so a password.
                let flaw = error
                    .detail()
                    .map_or_else(|| error.to_string(), |_| error.category().into());
                Error::Configuration(format!("the store's URL cannot be used: {flaw}"))
            })?;
        let place = match info.addr() {
            ConnectionAddr::Tcp(host, port) => Place::Tcp {
                host: host.clone(),
                port: *port,
            },
            ConnectionAddr::Unix(path) => Place::Unix(path.clone()),
            _ => {
                return Err(Error::Configuration(
                    "the store's URL is of no supported kind".into(),
                ));
            }
        };
        Self::new(place, tls, info.redis_settings().clone())
    }

    /// `redis+sentinel://` and `rediss+sentinel://`, see [`Sentinels`](super::sentinel::Sentinels).
    #[cfg(feature = "sentinel")]
    pub(crate) fn sentinels(url: &str) -> Result<Self, Error> {
        let sentinels = super::sentinel::Sentinels::parse(url)?;
        let place = Place::Sentinels(std::sync::Arc::new(sentinels));
        // TLS and login are those of the master that is found.
        Self::new(place, false, RedisConnectionInfo::default())
    }

    /// The same login at another place.
    #[cfg(feature = "cluster")]
    pub(super) fn elsewhere(&self, host: &str, port: u16) -> Self {
        let mut address = self.clone();
        address.place = Place::Tcp {
            host: host.into(),
            port,
        };
        address
    }

    #[cfg(feature = "cluster")]
    pub(super) fn host(&self) -> Option<(&str, u16)> {
        match &self.place {
            Place::Tcp { host, port } => Some((host, *port)),
            _ => None,
        }
    }

    /// A server at a host and port.
    pub(crate) fn tcp(host: &str, port: u16, tls: bool, login: RedisConnectionInfo) -> Result<Self, Error> {
        Self::new(
            Place::Tcp {
                host: host.into(),
                port,
            },
            tls,
            login,
        )
    }

    fn new(place: Place, tls: bool, login: RedisConnectionInfo) -> Result<Self, Error> {
        if tls && cfg!(not(feature = "tls")) {
            return Err(Error::Configuration(
                "TLS needs the feature `tls` of dspinlock".into(),
            ));
        }
        let login = login.set_protocol(ProtocolVersion::RESP3).set_skip_set_lib_name();
        Ok(Self { place, tls, login })
    }
}

/// The login of a user with a password in a database, each as far as it is given.
pub(crate) fn login(user: Option<&str>, password: Option<&str>, database: i64) -> RedisConnectionInfo {
    let mut login = RedisConnectionInfo::default().set_db(database);
    if let Some(user) = user {
        login = login.set_username(user);
    }
    if let Some(password) = password {
        login = login.set_password(password);
    }
    login
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Tcp { host, port } => write!(f, "{host}:{port}"),
            Place::Unix(path) => path.display().fmt(f),
            #[cfg(feature = "sentinel")]
            Place::Sentinels(sentinels) => sentinels.fmt(f),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}
