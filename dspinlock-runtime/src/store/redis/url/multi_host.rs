//! URLs with several hosts: `scheme://user:password@host:port,host:port/path?query`.

use crate::error::Error;
use crate::store::redis::Address;
use crate::tls::Tls;

/// A URL taken apart. Credentials stay as they are written, for the URL of each single host.
pub(in crate::store::redis) struct Several<'a> {
    scheme: &'static str,
    credentials: &'a str,
    hosts: &'a str,
    pub(in crate::store::redis) path: &'a str,
    query: &'a str,
    tls: Tls,
}

impl<'a> Several<'a> {
    pub(in crate::store::redis) fn parse(url: &'a str, tls: Tls) -> Self {
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

    /// One address per host, with the credentials of the URL.
    #[cfg(feature = "cluster")]
    pub(in crate::store::redis) fn addresses(&self, port: u16) -> Result<Vec<Address>, Error> {
        self.addresses_for(self.credentials, port)
    }

    /// One address per host, with `user:password@` or nothing.
    pub(in crate::store::redis) fn addresses_for(
        &self,
        credentials: &str,
        port: u16,
    ) -> Result<Vec<Address>, Error> {
        let address = |host: &str| {
            // An IPv6 address has colons of its own, in brackets.
            let has_port = host.rsplit(']').next().is_some_and(|end| end.contains(':'));
            let port = if has_port {
                String::new()
            } else {
                format!(":{port}")
            };
            let files = self.files();
            let url = format!("{}://{credentials}{host}{port}?{files}", self.scheme);
            Address::parse(&url, self.tls.clone())
        };
        self.hosts.split(',').map(address).collect()
    }

    /// What the URL says of certificates.
    fn files(&self) -> String {
        let files: Vec<&str> = self
            .query
            .split('&')
            .filter(|pair| pair.starts_with("ssl"))
            .collect();
        files.join("&")
    }

    /// The login and the database of a server that is not named here.
    #[cfg(feature = "sentinel")]
    pub(in crate::store::redis) fn template(&self, database: &str) -> Result<Address, Error> {
        let (credentials, files) = (self.credentials, self.files());
        let url = format!("{}://{credentials}localhost/{database}?{files}", self.scheme);
        Address::parse(&url, self.tls.clone())
    }

    #[cfg(feature = "sentinel")]
    pub(in crate::store::redis) fn parameter(&self, name: &str) -> Option<&'a str> {
        let value = |pair: &'a str| pair.strip_prefix(name)?.strip_prefix('=');
        self.query.split('&').find_map(value)
    }
}

#[cfg(all(test, feature = "sentinel", feature = "cluster"))]
mod tests {
    use super::*;
    use crate::store::redis::cluster::Cluster;
    use crate::store::redis::failover::sentinel::Sentinels;

    fn shown(addresses: &[Address]) -> Vec<String> {
        addresses.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_host_is_an_address_with_the_credentials_of_all() {
        let several = Several::parse(
            "redis+cluster://me:p%40ss@one:7000,two,[::1]:7002,[::2]/",
            Tls::default(),
        );
        let addresses = several.addresses(6379).unwrap();
        assert_eq!(
            shown(&addresses),
            ["one:7000", "two:6379", "::1:7002", "::2:6379"]
        );
        for address in &addresses {
            assert_eq!(address.login.username(), Some("me"));
            assert_eq!(address.login.password(), Some("p@ss"));
        }
    }

    #[test]
    fn sentinels_have_a_login_of_their_own_and_the_master_its_database() {
        let url = "redis+sentinel://me:pass@one,two:5/main/7?sentinel_user=s&sentinel_password=t%2F";
        let sentinels = Sentinels::parse(url, Tls::default()).unwrap();
        assert_eq!(sentinels.to_string(), "main of the sentinels at one:26379, two:5");
        let [asked, master] = sentinels.logins();
        assert_eq!((asked.username(), asked.password()), (Some("s"), Some("t/")));
        assert_eq!((master.username(), master.password()), (Some("me"), Some("pass")));
        assert_eq!((asked.db(), master.db()), (0, 7));
    }

    #[test]
    fn what_cannot_be_used_is_said_without_the_password() {
        for url in [
            "redis+sentinel://:secret@one,two",
            "redis+sentinel://:secret@one,two/",
            "redis+sentinel://:secret@one,,two/main",
            "redis+sentinel://:secret@one:port/main",
            "redis+sentinel://:secret@one/main/base",
            "redis+cluster://:secret@one,two/1",
            "redis+cluster://:secret@",
            "redis+cluster://:secret@one:70000",
            "redis+cluster:",
        ] {
            let refused = match url.contains("sentinel:") {
                true => Sentinels::parse(url, Tls::default()).err(),
                false => Cluster::open(url, Tls::default()).err(),
            };
            let Some(Error::Configuration(message)) = refused else {
                panic!("{url} is taken")
            };
            assert!(!message.contains("secret"), "{message}");
        }
    }
}
