//! The address of one server and the login to it, parsed from a URL. `Display` and `Debug` never show the login.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use redis::{ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo};

use super::query::pairs;
use crate::error::Error;
use crate::store::redis::redact::redact;
use crate::store::redis::resp::{Resp, SharedResp};
#[cfg(feature = "tls")]
use crate::store::redis::tls;
use crate::tls::Tls;

/// The place of a server and its login. `Display` and `Debug` show the place alone.
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) place: Place,
    /// The address to connect to, if the name of the host is not to be looked up.
    pub(crate) peer: Option<SocketAddr>,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<tls::Connector>,
    pub(crate) login: RedisConnectionInfo,
    pub(crate) resp: SharedResp,
}

/// The host and port, or the socket path, of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Tcp {
        host: String,
        port: u16,
    },
    #[cfg_attr(not(unix), allow(dead_code))]
    Unix(PathBuf),
}

/// A host and a port.
#[cfg(any(feature = "sentinel", feature = "cluster"))]
pub(crate) type HostPort = (String, u16);

impl Address {
    /// Parses `redis://`, `rediss://`, `valkey://`, `valkeys://` and `redis+unix://`, each with `user:password@` and
    /// `/database`. Certificates that the URL names replace those of `tls`.
    pub(crate) fn parse(url: &str, tls: Tls) -> Result<Self, Error> {
        let (scheme, rest) = url.split_once(':').unwrap_or((url, ""));
        // The redis crate accepts the TLS schemes only with its own TLS stack, which is not built in.
        let (scheme, secure) = match scheme {
            "rediss" => ("redis", true),
            "valkeys" => ("valkey", true),
            other => (other, false),
        };
        let tls = tls_of(url, secure, tls)?;
        let info = format!("{scheme}:{rest}")
            .into_connection_info()
            .map_err(|error| invalid(&reason(&error)))?;
        let place = match info.addr() {
            ConnectionAddr::Tcp(host, port) => Place::Tcp {
                host: host.clone(),
                port: *port,
            },
            ConnectionAddr::Unix(path) => Place::Unix(path.clone()),
            _ => return Err(invalid("it names neither a host nor a unix socket")),
        };
        let mut address = Self::new(place, tls, info.redis_settings().clone())?;
        address.resp = SharedResp::new(resp_of(url));
        Ok(address)
    }

    /// The server at a host and a port.
    pub(crate) fn tcp(
        host: &str,
        port: u16,
        tls: Option<Tls>,
        login: RedisConnectionInfo,
    ) -> Result<Self, Error> {
        let host = host.into();
        Self::new(Place::Tcp { host, port }, tls, login)
    }

    fn new(place: Place, tls: Option<Tls>, login: RedisConnectionInfo) -> Result<Self, Error> {
        #[cfg(not(feature = "tls"))]
        if tls.is_some() {
            return Err(Error::option(
                "TLS needs the feature `tls` of dspinlock: enable it",
            ));
        }
        let login = login.set_skip_set_lib_name();
        Ok(Self {
            place,
            peer: None,
            #[cfg(feature = "tls")]
            tls: tls.as_ref().map(tls::Connector::new).transpose()?,
            login,
            resp: SharedResp::new(None),
        })
    }

    /// The same server and login by the address of an earlier connection, so that both lead to one server.
    pub(crate) fn pinned(&self, peer: Option<SocketAddr>) -> Self {
        Self { peer, ..self.clone() }
    }
}

#[cfg(any(feature = "sentinel", feature = "cluster"))]
impl Address {
    /// The same login at another host and port.
    pub(crate) fn at(&self, (host, port): HostPort) -> Self {
        let mut address = self.clone();
        address.place = Place::Tcp { host, port };
        address.peer = None;
        address
    }

    /// `None` for a unix socket.
    pub(crate) fn host_port(&self) -> Option<HostPort> {
        match &self.place {
            Place::Tcp { host, port } => Some((host.clone(), *port)),
            Place::Unix(_) => None,
        }
    }
}

/// The version of RESP that a URL asks for. The redis crate has refused other values.
fn resp_of(url: &str) -> Option<Resp> {
    let (_, version) = pairs(url).find(|(name, _)| name == "protocol")?;
    Some(if version.ends_with('2') {
        Resp::V2
    } else {
        Resp::V3
    })
}

/// The TLS options of a URL; `None` for a scheme without TLS. The parameters have the names of Python's redis package.
fn tls_of(url: &str, secure: bool, mut tls: Tls) -> Result<Option<Tls>, Error> {
    let (mut chain, mut key) = (None, None);
    for (name, path) in pairs(url) {
        match name.as_ref() {
            name if name.starts_with("ssl") && !secure => {
                return Err(invalid(
                    "it has `ssl_` parameters, but its scheme has no TLS (use `rediss://`)",
                ));
            }
            "ssl_ca_certs" => tls.authorities = Some(file(&name, &path)?),
            "ssl_certfile" => chain = Some(file(&name, &path)?),
            "ssl_keyfile" => key = Some(file(&name, &path)?),
            // This is the default of both packages.
            "ssl_cert_reqs" if path == "required" => {}
            name if name.starts_with("ssl") => {
                return Err(invalid(
                    "of the `ssl_` parameters it may have `ssl_ca_certs`, `ssl_certfile` and `ssl_keyfile` only",
                ));
            }
            _ => {}
        }
    }
    if secure && url.contains('#') {
        return Err(invalid(
            "it has a fragment: remove it, and call `Tls::dangerously_accept_any_server` to skip verification",
        ));
    }
    match (chain, key) {
        (None, None) => {}
        (Some(chain), Some(key)) => tls = tls.client_certificate(chain, key),
        (Some(_), None) => return Err(invalid("`ssl_certfile` needs `ssl_keyfile`: add it")),
        (None, Some(_)) => return Err(invalid("`ssl_keyfile` needs `ssl_certfile`: add it")),
    }
    if !secure && tls != Tls::default() {
        return Err(Error::option(
            "TLS options were given, but the URL scheme is not TLS: use `rediss://`",
        ));
    }
    Ok(secure.then_some(tls))
}

fn file(parameter: &str, path: &str) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|error| invalid(&format!("cannot read the file of `{parameter}`: {error}")))
}

fn invalid(reason: &str) -> Error {
    Error::InvalidUrl {
        reason: reason.into(),
    }
}

/// The message of the redis crate without its detail, because that may quote the password in the URL.
fn reason(error: &redis::RedisError) -> String {
    if error.detail().is_some() {
        return error.category().into();
    }
    let text = error.to_string();
    let description = text.split(" - ").next().unwrap_or_default();
    let mut rest = description.chars();
    let first = rest.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(rest).collect()
}

/// The login of a user in a database.
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
            // The host may be text from a sentinel or a cluster node.
            Place::Tcp { host, port } => write!(f, "{}:{port}", redact(host)),
            Place::Unix(path) => path.display().fmt(f),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_named_by_a_server_is_escaped_and_cut() {
        let login = RedisConnectionInfo::default();
        let host = format!("a\r\n{}", "x".repeat(1000));
        let shown = Address::tcp(&host, 1, None, login).expect("no TLS").to_string();
        assert!(shown.starts_with(r"a\r\nx") && shown.ends_with(":1"), "{shown}");
        assert_eq!(shown.len(), 202);
    }
}
