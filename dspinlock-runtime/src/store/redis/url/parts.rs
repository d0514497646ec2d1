//! The parts of a URL: `scheme://user:password@host:port,host:port/path?parameters`. `target` makes addresses of them.
//!
//! A password with `/`, `?`, `#` or `@` that is not percent-encoded would put its end into the host, which is looked up and
//! logged. So these characters are refused wherever a URL needs none of them, and no message shows any text of the URL but
//! the name of a parameter.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::query::{Query, decode};
use super::scheme::Scheme;
use crate::error::Error;

/// A host, and its port if the URL names one.
type Host = (String, Option<u16>);

/// The parts, percent-decoded.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) scheme: Scheme,
    pub(crate) is_secure: bool,
    /// Not empty, except for a unix socket.
    hosts: Vec<Host>,
    /// The text behind the hosts, with its slash.
    pub(crate) path: String,
    pub(crate) query: Query,
    user: Option<String>,
    password: Option<String>,
}

impl Parts {
    pub(crate) fn parse(url: &str) -> Result<Self, Error> {
        let (scheme, is_secure, rest) = Scheme::split(url)?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = match place.strip_prefix("//") {
            Some(place) => place.split_at(place.find('/').unwrap_or(place.len())),
            None => ("", place),
        };
        let (credentials, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let is_unix = scheme == Scheme::Unix;
        if scheme.has_list() && credentials.contains('@') && credentials.contains(',') {
            return Err(Error::url(
                "it has two logins: write one, before the first host, for all of them, and `%40` for `@` in a password",
            ));
        }
        if is_secure && rest.ends_with("#insecure") {
            return Err(Error::url(
                "`#insecure` is not supported: call `Tls::dangerously_accept_any_server` to skip verification",
            ));
        }
        let is_ambiguous = rest.contains('#')
            || credentials.contains('@')
            || query.contains('@')
            // The path of a unix socket may contain it, because slashes before the path are refused.
            || (path.contains('@') && !is_unix);
        if is_ambiguous {
            return Err(Error::url(
                "`/`, `?`, `#` and `@` in a user, a password or a value must be percent-encoded: write `%2F`, `%3F`, `%23` and `%40`",
            ));
        }
        let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
        let hosts = match is_unix {
            true if hosts.is_empty() => Vec::new(),
            true => {
                return Err(Error::url(
                    "the URL of a unix socket has no host: write `redis+unix:///path`",
                ));
            }
            false => hosts.split(',').map(host).collect::<Result<_, _>>()?,
        };
        if hosts.len() > 1 && !scheme.has_list() {
            return Err(Error::url(
                "this scheme has one host: use `redis+cluster:` or `redis+sentinel:` for several",
            ));
        }
        let query = Query::parse(query, is_secure, scheme.has_sentinels())?;
        Ok(Self {
            user: either("username", user, &query)?,
            password: either("password", password, &query)?,
            path: decode(path)?,
            scheme,
            is_secure,
            hosts,
            query,
        })
    }

    /// The hosts, each with its port or this one.
    pub(crate) fn host_ports(&self, port: u16) -> Vec<(String, u16)> {
        let hosts = self.hosts.iter().cloned();
        hosts.map(|(host, own)| (host, own.unwrap_or(port))).collect()
    }

    /// The user and the password, from before the host or from the parameters.
    pub(crate) fn login(&self) -> (Option<&str>, Option<&str>) {
        (self.user.as_deref(), self.password.as_deref())
    }

    /// The database, from the text behind the host and its slash, or from the parameter.
    pub(crate) fn database(&self, text: &str) -> Result<i64, Error> {
        let text = text.trim_end_matches('/');
        let in_query = self.query.get("db").filter(|db| !db.is_empty());
        if in_query.is_some_and(|db| !text.is_empty() && db != text) {
            return Err(Error::url(
                "the database is given twice: remove the path, or `db`",
            ));
        }
        let text = in_query.unwrap_or(text);
        if text.is_empty() {
            return Ok(0);
        }
        let number = text.parse().ok().filter(|number| *number >= 0);
        number.ok_or_else(|| Error::url("the database must be a number: write `redis://host/0` or `?db=0`"))
    }
}

/// A part of the login, which stands before the host or in the query.
fn either(name: &str, text: &str, query: &Query) -> Result<Option<String>, Error> {
    let in_query = query.get(name).filter(|value| !value.is_empty());
    match (text, in_query) {
        ("", value) => Ok(value.map(String::from)),
        (text, None) => decode(text).map(Some),
        (_, Some(_)) => Err(Error::url(format!(
            "the login is given twice: remove the text before `@`, or `{name}`"
        ))),
    }
}

/// Whether the text is a host name or an address. Other text may be a URL with a password, and a host is looked up and logged.
pub(crate) fn is_host(text: &str) -> bool {
    let is_name = |text: &str| text.chars().all(|c| c.is_alphanumeric() || "-._".contains(c));
    // An address may have a zone behind a percent sign.
    let (address, zone) = text.split_once('%').unwrap_or((text, ""));
    !text.is_empty() && (is_name(text) || (address.parse::<Ipv6Addr>().is_ok() && is_name(zone)))
}

fn host(text: &str) -> Result<Host, Error> {
    let invalid = || {
        Error::url("a host is not valid: write `host` or `host:port`, with brackets around an IPv6 address")
    };
    // An IPv6 address has colons inside its brackets.
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or_else(invalid)?;
            let address: Ipv6Addr = address.parse().map_err(|_| invalid())?;
            (address.to_string(), port)
        }
        None => {
            let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            (name.to_owned(), port)
        }
    };
    if name.is_empty() {
        return Err(Error::url("the host is missing: write `redis://host:port`"));
    }
    if !is_host(&name) {
        return Err(invalid());
    }
    if name == Ipv4Addr::UNSPECIFIED.to_string() || name == Ipv6Addr::UNSPECIFIED.to_string() {
        return Err(Error::url(
            "`0.0.0.0` and `[::]` are no addresses of a server: write its host name",
        ));
    }
    let port = match port {
        "" => None,
        port => {
            let port = port.strip_prefix(':').ok_or_else(invalid)?;
            let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
            let invalid = || match is_number {
                true => Error::url("a port must be <= 65535: correct it, or add the `@` behind a password"),
                false => invalid(),
            };
            Some(port.parse().map_err(|_| invalid())?)
        }
    };
    Ok((name, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Parts {
        Parts::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    fn refusal(url: &str) -> String {
        let error = Parts::parse(url).and_then(|parts| parts.database(parts.path.trim_start_matches('/')));
        error.expect_err(url).to_string()
    }

    #[test]
    fn the_login_stands_before_the_host_or_in_the_query() {
        let login = (Some("me"), Some("p@s:s/#+"));
        for url in [
            "redis://me:p%40s:s%2F%23+@host",
            "Redis://me:p%40s:s%2F%23+@host:1/3",
            "valkeys://host/3?username=me&password=p%40s:s/%23%2B",
            "redis://me@host?password=p%40s:s/%23%2B",
            "unix://me:p%40s:s%2F%23+@/run/socket?db=3",
            "redis+unix:///run/socket?db=3&user=me&pass=p%40s%3As%2F%23%2B",
        ] {
            assert_eq!(parse(url).login(), login, "{url}");
        }
        assert_eq!(parse("redis://:p@host").login(), (None, Some("p")));
        assert_eq!(parse("redis://:@host").login(), (None, None));
        for url in [
            "redis://a:b@host?username=secret",
            "redis://:a@host?password=secret",
        ] {
            assert!(refusal(url).contains("given twice"), "{url}");
        }
    }

    #[test]
    fn the_database_stands_in_the_path_or_in_the_query() {
        for (url, database) in [
            ("redis://host", 0),
            ("redis://host/", 0),
            ("redis://host/3", 3),
            ("redis://host/3/", 3),
            ("redis://host?db=3", 3),
            ("redis://host/?db=3", 3),
            ("redis://host/3?db=3", 3),
            ("redis://host/3?db=", 3),
        ] {
            let parts = parse(url);
            let path = parts.path.trim_start_matches('/').to_owned();
            assert_eq!(parts.database(&path).expect(url), database, "{url}");
        }
        assert!(refusal("redis://host/1?db=3").contains("given twice"));
        for url in [
            "redis://host/secret",
            "redis://host?db=secret",
            "redis://host/-1",
            "redis://host?db=1.5",
        ] {
            let message = refusal(url);
            assert!(
                message.contains("must be a number") && !message.contains("secret"),
                "{message}"
            );
        }
    }

    #[test]
    fn the_fragment_of_the_redis_crate_is_refused_with_its_counterpart() {
        assert!(refusal("rediss://host#insecure").contains("`Tls::dangerously_accept_any_server`"));
    }

    #[test]
    fn a_host_has_its_port() {
        for (url, host, port) in [
            ("redis://host", "host", None),
            (
                "redis://my_host-1.example:6380/1",
                "my_host-1.example",
                Some(6380),
            ),
            ("redis://[::1]:7000", "::1", Some(7000)),
            ("redis://[::2]", "::2", None),
            ("redis://127.0.0.1:1", "127.0.0.1", Some(1)),
        ] {
            assert_eq!(parse(url).hosts, [(host.to_owned(), port)], "{url}");
        }
        for url in [
            "redis://",
            "redis:///1",
            "redis://:6379",
            "redis://host:secret",
            "redis://host:",
            "redis://host:1:2",
            "redis://host:70000",
            "redis://se cret",
            "redis://se%63ret",
            "redis://secret\\",
            "redis://[secret]",
            "redis://[::1",
            "redis://[::1]secret",
            "redis://secret,two",
            "redis://0.0.0.0",
            "redis://[::]",
            "redis+unix://secret",
            "redis+unix://secret/path",
        ] {
            let message = refusal(url);
            assert!(!message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn a_missing_host_and_a_large_port_have_their_own_messages() {
        for url in ["redis://", "redis:///0", "redis://:6379", "rediss://:pw@/0"] {
            assert!(refusal(url).contains("the host is missing"), "{url}");
        }
        for url in [
            "redis://host:70000",
            "redis://[::1]:65536",
            "redis://h:99999999999999999999",
        ] {
            assert!(refusal(url).contains("a port must be <= 65535"), "{url}");
        }
    }

    /// The characters of a password that would end the login early, for each kind of scheme and each part of the login.
    #[test]
    fn a_character_that_is_not_percent_encoded_is_refused_and_nothing_is_shown() {
        let mut schemes = vec!["redis", "rediss", "valkey", "valkeys", "redis+unix", "unix"];
        if cfg!(all(feature = "sentinel", feature = "cluster")) {
            schemes.extend([
                "redis+sentinel",
                "rediss+sentinel",
                "redis+cluster",
                "rediss+cluster",
            ]);
        }
        let passwords = [
            "qx@qx",
            "qx#qx",
            "qx?qx",
            "qx/qx",
            "@",
            "qx@qx#qx",
            "1#qx",
            "1?qx",
            "1/qx",
            "1/1",
            "1?db=1",
            "1?qx=qx",
            "1?/",
            "1?timeout=1",
            "1/?db=1",
        ];
        for scheme in schemes {
            let host = if scheme.ends_with("unix") {
                ""
            } else {
                "qx.example"
            };
            for password in passwords {
                for login in [
                    format!(":{password}"),
                    format!("qx:{password}"),
                    format!("qx{password}:qx"),
                ] {
                    for tail in ["/1", "/run?db=1", ""] {
                        let url = format!("{scheme}://{login}@{host}{tail}");
                        let message = Parts::parse(&url).expect_err(&url).to_string();
                        assert!(!message.contains("qx"), "{url}: {message}");
                    }
                }
            }
        }
    }

    #[cfg(all(feature = "sentinel", feature = "cluster"))]
    #[test]
    fn a_list_of_hosts_has_one_login() {
        let parts = parse("redis+cluster://me:p%40,ss@one:7000,two,[::1]:7002");
        assert_eq!(parts.login(), (Some("me"), Some("p@,ss")));
        let hosts = [("one", Some(7000)), ("two", None), ("::1", Some(7002))];
        assert_eq!(parts.hosts, hosts.map(|(host, port)| (host.to_owned(), port)));
        for url in [
            "redis+cluster://a:b@one,a:b@two",
            "rediss+sentinel://:secret@one,:secret@two/main",
        ] {
            let message = refusal(url);
            assert!(
                message.contains("two logins") && !message.contains("secret"),
                "{message}"
            );
        }
        for url in [
            "redis+cluster://one,,two",
            "redis+sentinel://,one/main",
            "redis+cluster://",
        ] {
            assert!(refusal(url).contains("the host is missing"), "{url}");
        }
    }
}
