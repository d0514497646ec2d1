//! URLs with several hosts: `scheme://user:password@host:port,host:port/path?query`.

use super::Address;
use crate::error::Error;

/// A URL taken apart. Credentials stay as they are written, for the URL of each single host.
pub(super) struct Several<'a> {
    scheme: &'static str,
    credentials: &'a str,
    hosts: &'a str,
    pub(super) path: &'a str,
    #[cfg(feature = "sentinel")]
    query: &'a str,
}

impl<'a> Several<'a> {
    pub(super) fn parse(url: &'a str) -> Self {
        let (scheme, rest) = url.split_once("://").unwrap_or((url, ""));
        let scheme = if scheme.starts_with("rediss") {
            "rediss"
        } else {
            "redis"
        };
        let (rest, _query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (credentials, hosts) = match authority.rfind('@') {
            Some(at) => authority.split_at(at + 1),
            None => ("", authority),
        };
        Self {
            scheme,
            credentials,
            hosts,
            path,
            #[cfg(feature = "sentinel")]
            query: _query,
        }
    }

    /// One address per host, with the credentials of the URL.
    #[cfg(feature = "cluster")]
    pub(super) fn addresses(&self, port: u16) -> Result<Vec<Address>, Error> {
        self.addresses_for(self.credentials, port)
    }

    /// One address per host, with `user:password@` or nothing.
    pub(super) fn addresses_for(&self, credentials: &str, port: u16) -> Result<Vec<Address>, Error> {
        let address = |host: &str| {
            // An IPv6 address has colons of its own, in brackets.
            let has_port = host.rsplit(']').next().is_some_and(|end| end.contains(':'));
            let port = if has_port {
                String::new()
            } else {
                format!(":{port}")
            };
            Address::parse(&format!("{}://{credentials}{host}{port}", self.scheme))
        };
        self.hosts.split(',').map(address).collect()
    }

    /// The login and the database of a server that is not named here.
    #[cfg(feature = "sentinel")]
    pub(super) fn template(&self, database: &str) -> Result<Address, Error> {
        let credentials = self.credentials;
        Address::parse(&format!("{}://{credentials}localhost/{database}", self.scheme))
    }

    #[cfg(feature = "sentinel")]
    pub(super) fn parameter(&self, name: &str) -> Option<&'a str> {
        let value = |pair: &'a str| pair.strip_prefix(name)?.strip_prefix('=');
        self.query.split('&').find_map(value)
    }
}
