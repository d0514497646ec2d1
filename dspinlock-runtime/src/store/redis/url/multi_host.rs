//! URLs with more than one host: `scheme://user:password@host:port,host:port/path?query`. `cluster` and `sentinel` parse
//! them.

use super::address::Address;
use crate::error::Error;
use crate::tls::Tls;

/// The parts of a URL. The credentials stay percent-encoded: each host gets a URL that contains them.
pub(crate) struct MultiHost<'a> {
    scheme: &'static str,
    credentials: &'a str,
    hosts: &'a str,
    pub(crate) path: &'a str,
    query: &'a str,
    tls: Tls,
}

impl<'a> MultiHost<'a> {
    pub(crate) fn parse(url: &'a str, tls: Tls) -> Self {
        let (scheme, rest) = url.split_once("://").unwrap_or((url, ""));
        let scheme = if scheme.starts_with("rediss") {
            "rediss"
        } else {
            "redis"
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
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
            query,
            tls,
        }
    }

    /// One address per host, with the login of the URL.
    #[cfg(feature = "cluster")]
    pub(crate) fn addresses(&self, port: u16) -> Result<Vec<Address>, Error> {
        self.addresses_for(self.credentials, port)
    }

    /// One address per host. `credentials` is `user:password@` or empty.
    pub(crate) fn addresses_for(&self, credentials: &str, port: u16) -> Result<Vec<Address>, Error> {
        let template = self.parse_one(credentials, "localhost")?;
        let address = |host: &str| {
            // An IPv6 address has colons inside its brackets.
            let has_port = host.rsplit(']').next().is_some_and(|end| end.contains(':'));
            let port = if has_port { "" } else { &format!(":{port}") };
            let place = Address::parse(&format!("redis://{host}{port}"), Tls::default())?.place;
            Ok(Address {
                place,
                ..template.clone()
            })
        };
        self.hosts.split(',').map(address).collect()
    }

    /// The login and the database of a server that the URL does not name.
    #[cfg(feature = "sentinel")]
    pub(crate) fn template(&self, database: &str) -> Result<Address, Error> {
        self.parse_one(self.credentials, &format!("localhost/{database}"))
    }

    fn parse_one(&self, credentials: &str, rest: &str) -> Result<Address, Error> {
        let url = format!("{}://{credentials}{rest}?{}", self.scheme, self.query);
        Address::parse(&url, self.tls.clone())
    }

    #[cfg(feature = "sentinel")]
    pub(crate) fn parameter(&self, name: &str) -> Option<&'a str> {
        let value = |pair: &'a str| pair.strip_prefix(name)?.strip_prefix('=');
        self.query.split('&').find_map(value)
    }
}

#[cfg(all(test, feature = "cluster"))]
mod tests {
    use super::*;

    #[test]
    fn every_host_has_an_address_with_the_login_of_the_url() {
        let url = MultiHost::parse(
            "redis+cluster://me:p%40ss@one:7000,two,[::1]:7002,[::2]/",
            Tls::default(),
        );
        let addresses = url.addresses(6379).unwrap();
        let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["one:7000", "two:6379", "::1:7002", "::2:6379"]);
        for address in &addresses {
            assert_eq!(address.login.username(), Some("me"));
            assert_eq!(address.login.password(), Some("p@ss"));
        }
    }
}
