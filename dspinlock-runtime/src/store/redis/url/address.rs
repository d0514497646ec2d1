//! The address of one server and the login to it. `Display` and `Debug` never show the login.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use redis::RedisConnectionInfo;

use super::query::Query;
use crate::error::Error;
use crate::store::credentials::Credentials;
use crate::store::redis::client_name::Purpose;
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
    /// The login of the URL.
    pub(crate) login: RedisConnectionInfo,
    /// The user and the password of each login, instead of those of the URL.
    pub(crate) credentials: Option<Credentials>,
    pub(crate) resp: SharedResp,
    /// The beginning of the names of the connections, if the URL sets it.
    pub(crate) client_name: Option<Box<str>>,
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
    /// The server at a host and a port.
    #[cfg(test)]
    pub(crate) fn tcp(
        host: &str,
        port: u16,
        tls: Option<Tls>,
        login: RedisConnectionInfo,
    ) -> Result<Self, Error> {
        let host = host.into();
        Self::new(Place::Tcp { host, port }, tls, login)
    }

    pub(crate) fn new(place: Place, tls: Option<Tls>, login: RedisConnectionInfo) -> Result<Self, Error> {
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
            credentials: None,
            resp: SharedResp::new(None),
            client_name: None,
        })
    }

    /// The login with the user and the password of now.
    ///
    /// # Errors
    ///
    /// The function of the program panicked.
    pub(crate) fn current_login(&self) -> Result<RedisConnectionInfo, String> {
        let Some(credentials) = &self.credentials else {
            return Ok(self.login.clone());
        };
        let (user, password) = credentials.get()?;
        let login = RedisConnectionInfo::default()
            .set_db(self.login.db())
            .set_password(password)
            .set_skip_set_lib_name();
        Ok(match user {
            Some(user) => login.set_username(user),
            None => login,
        })
    }

    /// The name of a connection in `CLIENT LIST`.
    pub(crate) fn name_for(&self, purpose: Purpose) -> String {
        purpose.client_name(self.client_name.as_deref())
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

/// The version of RESP that a URL asks for.
pub(crate) fn resp(query: &Query) -> Result<SharedResp, Error> {
    Ok(SharedResp::new(match query.get("protocol") {
        None => None,
        Some("2" | "resp2") => Some(Resp::V2),
        Some("3" | "resp3") => Some(Resp::V3),
        Some(_) => return Err(Error::url("`protocol` must be `2` or `3`")),
    }))
}

/// The content of the file that a parameter names.
#[cfg(feature = "tls")]
pub(crate) fn file(parameter: &str, path: &str) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|error| Error::url(format!("cannot read the file of `{parameter}`: {error}")))
}

/// The login of a user in a database. Without a password no login is sent, so a user alone would have no effect.
pub(crate) fn login(
    user: Option<&str>,
    password: Option<&str>,
    database: i64,
) -> Result<RedisConnectionInfo, String> {
    let mut login = RedisConnectionInfo::default().set_db(database);
    if let Some(password) = password {
        login = login.set_password(password);
    }
    match user {
        Some(_) if password.is_none() => Err(
            "the login has a user and no password: add it; a password alone is written `:password@`".into(),
        ),
        Some(user) => Ok(login.set_username(user)),
        None => Ok(login),
    }
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
