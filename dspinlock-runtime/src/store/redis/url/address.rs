//! Where a server is and how to log in to it.

use std::fmt;
use std::path::PathBuf;

use redis::{ConnectionAddr, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo};
use url::Url;

use crate::error::Error;
#[cfg(feature = "tls")]
use crate::store::redis::tls;
use crate::tls::Tls;

/// A server's place and its login. `Display` and `Debug` show the place alone.
#[derive(Clone)]
pub(crate) struct Address {
    pub(in crate::store::redis) place: Place,
    #[cfg(feature = "tls")]
    pub(in crate::store::redis) tls: Option<tls::Client>,
    pub(in crate::store::redis) login: RedisConnectionInfo,
}

#[derive(Clone)]
pub(in crate::store::redis) enum Place {
    Tcp {
        host: String,
        port: u16,
    },
    #[cfg_attr(not(unix), allow(dead_code))]
    Unix(PathBuf),
    /// Wherever the sentinels say; looked up whenever a connection is made.
    #[cfg(feature = "sentinel")]
    Sentinels(std::sync::Arc<crate::store::redis::failover::sentinel::Sentinels>),
}

impl Address {
    /// `redis://`, `rediss://`, `valkey://`, `valkeys://`, `redis+unix://`, each with `user:password@` and `/database`.
    /// The TLS schemes' files come on top of `tls`.
    pub(crate) fn parse(url: &str, tls: Tls) -> Result<Self, Error> {
        let (scheme, rest) = url.split_once(':').unwrap_or((url, ""));
        // The redis crate knows the TLS schemes only with a TLS stack of its own, which we do not use.
        let (scheme, secure) = match scheme {
            "rediss" => ("redis", true),
            "valkeys" => ("valkey", true),
            other => (other, false),
        };
        let tls = by_url(url, secure, tls)?;
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

    /// `redis+sentinel://` and `rediss+sentinel://`, see [`Sentinels`](crate::store::redis::failover::sentinel::Sentinels).
    #[cfg(feature = "sentinel")]
    pub(crate) fn sentinels(url: &str, tls: Tls) -> Result<Self, Error> {
        let sentinels = crate::store::redis::failover::sentinel::Sentinels::parse(url, tls)?;
        let place = Place::Sentinels(std::sync::Arc::new(sentinels));
        // TLS and login are those of the master that is found.
        Self::new(place, None, RedisConnectionInfo::default())
    }

    pub(in crate::store::redis) fn is_secure(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        return false;
    }

    /// The same login at another place.
    #[cfg(feature = "cluster")]
    pub(in crate::store::redis) fn elsewhere(&self, host: &str, port: u16) -> Self {
        let mut address = self.clone();
        address.place = Place::Tcp {
            host: host.into(),
            port,
        };
        address
    }

    #[cfg(feature = "cluster")]
    pub(in crate::store::redis) fn host(&self) -> Option<(&str, u16)> {
        match &self.place {
            Place::Tcp { host, port } => Some((host, *port)),
            _ => None,
        }
    }

    /// A server at a host and port.
    pub(crate) fn tcp(
        host: &str,
        port: u16,
        tls: Option<Tls>,
        login: RedisConnectionInfo,
    ) -> Result<Self, Error> {
        Self::new(
            Place::Tcp {
                host: host.into(),
                port,
            },
            tls,
            login,
        )
    }

    fn new(place: Place, tls: Option<Tls>, login: RedisConnectionInfo) -> Result<Self, Error> {
        #[cfg(not(feature = "tls"))]
        if tls.is_some() {
            return Err(Error::Configuration(
                "TLS needs the feature `tls` of dspinlock".into(),
            ));
        }
        let login = login.set_protocol(ProtocolVersion::RESP3).set_skip_set_lib_name();
        Ok(Self {
            place,
            #[cfg(feature = "tls")]
            tls: tls.as_ref().map(tls::Client::new).transpose()?,
            login,
        })
    }
}

/// What a URL says about TLS: `None` for a scheme without it. The names of the files are those of Python's redis package.
fn by_url(url: &str, secure: bool, mut tls: Tls) -> Result<Option<Tls>, Error> {
    let flaw = |what: &str| {
        Err(Error::Configuration(format!(
            "the store's URL cannot be used: {what}"
        )))
    };
    // What is no URL at all, the redis crate refuses.
    let query = Url::parse(url).ok();
    let (mut chain, mut key) = (None, None);
    for (name, path) in query.iter().flat_map(|url| url.query_pairs()) {
        match name.as_ref() {
            name if name.starts_with("ssl") && !secure => {
                return flaw("it names certificates, but its scheme is one without TLS");
            }
            "ssl_ca_certs" => tls.authorities = Some(file(&name, &path)?),
            "ssl_certfile" => chain = Some(file(&name, &path)?),
            "ssl_keyfile" => key = Some(file(&name, &path)?),
            // The default there and here.
            "ssl_cert_reqs" if path == "required" => {}
            name if name.starts_with("ssl") => {
                return flaw("of TLS it may name ssl_ca_certs, ssl_certfile and ssl_keyfile only");
            }
            _ => {}
        }
    }
    if secure && query.is_some_and(|url| url.fragment().is_some()) {
        return flaw("it has a fragment; to trust any server takes a call, not a URL");
    }
    match (chain, key) {
        (None, None) => {}
        (Some(chain), Some(key)) => tls = tls.client_certificate(chain, key),
        _ => return flaw("ssl_certfile and ssl_keyfile go together"),
    }
    if !secure && tls != Tls::default() {
        return flaw("TLS is told of, but its scheme is one without TLS");
    }
    Ok(secure.then_some(tls))
}

fn file(name: &str, path: &str) -> Result<Vec<u8>, Error> {
    std::fs::read(path)
        .map_err(|error| Error::Configuration(format!("the file of {name} cannot be read: {error}")))
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
