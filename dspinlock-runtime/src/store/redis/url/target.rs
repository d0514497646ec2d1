//! The addresses that a URL or parameters lead to: one server, the sentinels of a master, or nodes of a cluster. `redis` opens
//! them.

#[cfg(any(feature = "sentinel", feature = "cluster"))]
use super::address::HostPort;
#[cfg(feature = "tls")]
use super::address::file;
use super::address::{Address, Place, login, resp};
use super::parts::Parts;
#[cfg(feature = "tls")]
use super::query::Query;
use super::scheme::Scheme;
use crate::error::Error;
use crate::store::credentials::Credentials;
use crate::tls::Tls;

/// What a pool connects to.
pub(crate) enum Target {
    Server(Address),
    #[cfg(feature = "sentinel")]
    Sentinels {
        sentinels: Vec<Address>,
        /// The name that the sentinels have for the master.
        name: String,
        /// The login to the master. A sentinel names the host and the port.
        template: Address,
    },
    /// Some of the nodes.
    #[cfg(feature = "cluster")]
    Cluster(Vec<Address>),
}

const PORT: u16 = 6379;
#[cfg(feature = "sentinel")]
const SENTINEL_PORT: u16 = 26379;

impl Target {
    /// The target of a URL. Certificates that the URL names replace those of `tls`.
    pub(crate) fn of(parts: &Parts, tls: Tls) -> Result<Self, Error> {
        let tls = tls_of(parts, tls)?;
        let path = parts.path.strip_prefix('/').unwrap_or_default();
        match parts.scheme {
            Scheme::Unix if path.is_empty() || path.ends_with('/') => Err(Error::url(
                "the path of the unix socket is missing: write `redis+unix:///path`",
            )),
            Scheme::Unix => {
                let place = Place::Unix(parts.path.clone().into());
                address(parts, place, "", tls).map(Self::Server)
            }
            Scheme::Server => {
                let (host, port) = parts.host_ports(PORT).remove(0);
                address(parts, Place::Tcp { host, port }, path, tls).map(Self::Server)
            }
            #[cfg(feature = "sentinel")]
            Scheme::Sentinel => {
                let (name, database) = path.split_once('/').unwrap_or((path, ""));
                let template = address(parts, any(), database, tls)?;
                let (user, password) = (
                    parts.query.get("sentinel_user"),
                    parts.query.get("sentinel_password"),
                );
                let hosts = parts.host_ports(SENTINEL_PORT);
                Self::sentinels(hosts, name.into(), (user, password), template).map_err(Error::url)
            }
            #[cfg(feature = "cluster")]
            Scheme::Cluster => {
                let template = address(parts, any(), path, tls)?;
                Self::cluster(parts.host_ports(PORT), template).map_err(Error::url)
            }
        }
    }

    /// The same target with another login to its servers. The login to sentinels remains.
    pub(crate) fn with_credentials(mut self, credentials: Option<Credentials>) -> Self {
        let servers: &mut [Address] = match &mut self {
            Self::Server(server) => std::slice::from_mut(server),
            #[cfg(feature = "sentinel")]
            Self::Sentinels { template, .. } => std::slice::from_mut(template),
            #[cfg(feature = "cluster")]
            Self::Cluster(seeds) => seeds,
        };
        for server in servers {
            server.credentials = credentials.clone();
        }
        self
    }

    /// The master `name` of sentinels with a separate login.
    #[cfg(feature = "sentinel")]
    pub(crate) fn sentinels(
        hosts: Vec<HostPort>,
        name: String,
        (user, password): (Option<&str>, Option<&str>),
        template: Address,
    ) -> Result<Self, String> {
        if name.is_empty() {
            return Err("the name of the master is missing: use `redis+sentinel://host,host/master`".into());
        }
        let mut sentinel = template.clone();
        sentinel.login = login(user, password, 0)?;
        let sentinels = hosts.into_iter().map(|host| sentinel.at(host)).collect();
        Ok(Self::Sentinels {
            sentinels,
            name,
            template,
        })
    }

    #[cfg(feature = "cluster")]
    pub(crate) fn cluster(hosts: Vec<HostPort>, template: Address) -> Result<Self, String> {
        if template.login.db() != 0 {
            return Err("Redis Cluster supports only database 0: remove the number of the database".into());
        }
        Ok(Self::Cluster(
            hosts.into_iter().map(|host| template.at(host)).collect(),
        ))
    }
}

/// The place of a template.
#[cfg(any(feature = "sentinel", feature = "cluster"))]
fn any() -> Place {
    Place::Tcp {
        host: "localhost".into(),
        port: PORT,
    }
}

/// The address with the login and the other settings of the URL. `database` is a part of its path.
fn address(parts: &Parts, place: Place, database: &str, tls: Option<Tls>) -> Result<Address, Error> {
    let (user, password) = parts.login();
    let login = login(user, password, parts.database(database)?).map_err(Error::url)?;
    let mut address = Address::new(place, tls, login)?;
    address.resp = resp(&parts.query)?;
    address.client_name = match parts.query.get("client_name") {
        Some(name) if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) => {
            return Err(Error::url(
                "`client_name` must have printable ASCII characters and no blanks",
            ));
        }
        name => name.map(Into::into),
    };
    Ok(address)
}

/// The TLS options of a URL; `None` for a scheme without TLS.
fn tls_of(parts: &Parts, tls: Tls) -> Result<Option<Tls>, Error> {
    if !parts.is_secure {
        if tls != Tls::default() {
            return Err(Error::option(
                "TLS options were given, but the URL scheme is not TLS: use `rediss://`",
            ));
        }
        return Ok(None);
    }
    #[cfg(not(feature = "tls"))]
    return Err(Error::url(
        "a `rediss:` URL needs the feature `tls` of dspinlock: enable it",
    ));
    #[cfg(feature = "tls")]
    tls_of_query(&parts.query, tls).map(Some)
}

/// The TLS options with those of the parameters.
#[cfg(feature = "tls")]
fn tls_of_query(query: &Query, mut tls: Tls) -> Result<Tls, Error> {
    if query
        .get("ssl_cert_reqs")
        .is_some_and(|value| value != "required")
    {
        return Err(Error::url(
            "`ssl_cert_reqs` must be `required`: call `Tls::dangerously_accept_any_server` to skip verification",
        ));
    }
    let is_true = |value: &str| value.eq_ignore_ascii_case("true") || value == "1";
    if query
        .get("ssl_check_hostname")
        .is_some_and(|value| !is_true(value))
    {
        return Err(Error::url(
            "`ssl_check_hostname` must be `true`: the host name is always verified",
        ));
    }
    let read = |name| query.get(name).map(|path| file(name, path)).transpose();
    if let Some(authorities) = read("ssl_ca_certs")? {
        tls.authorities = Some(authorities);
    }
    match (read("ssl_certfile")?, read("ssl_keyfile")?) {
        (None, None) => {}
        (Some(chain), Some(key)) => tls = tls.client_certificate(chain, key),
        (Some(_), None) => return Err(Error::url("`ssl_certfile` needs `ssl_keyfile`: add it")),
        (None, Some(_)) => return Err(Error::url("`ssl_keyfile` needs `ssl_certfile`: add it")),
    }
    Ok(tls)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Result<Target, Error> {
        Target::of(&Parts::parse(url)?, Tls::default())
    }

    fn server(url: &str) -> Address {
        match target(url) {
            Ok(Target::Server(address)) => address,
            other => panic!("{url} does not lead to one server: {:?}", other.err()),
        }
    }

    #[cfg(feature = "sentinel")]
    #[test]
    fn sentinels_have_their_own_login_and_the_master_has_its_database() {
        for url in [
            "redis+sentinel://me:pass@one,two:5/main/7?sentinel_user=s&sentinel_password=t%2F",
            "redis+sentinel://one,two:5/main?db=7&username=me&password=pass&sentinel_user=s&sentinel_password=t%2F",
        ] {
            let Ok(Target::Sentinels {
                sentinels,
                name,
                template,
            }) = target(url)
            else {
                panic!("{url} does not lead to sentinels")
            };
            let shown: Vec<_> = sentinels.iter().map(ToString::to_string).collect();
            assert_eq!(
                (shown, &*name),
                (vec!["one:26379".into(), "two:5".to_owned()], "main")
            );
            let [asked, master] = [&sentinels[0].login, &template.login];
            assert_eq!((asked.username(), asked.password()), (Some("s"), Some("t/")));
            assert_eq!((master.username(), master.password()), (Some("me"), Some("pass")));
            assert_eq!((asked.db(), master.db()), (0, 7));
        }
    }

    #[cfg(feature = "cluster")]
    #[test]
    fn every_node_has_the_login_of_the_url() {
        let url = "redis+cluster://me:p%40ss@one:7000,two,[::1]:7002,[::2]/?client_name=billing";
        let Ok(Target::Cluster(nodes)) = target(url) else {
            panic!("{url} does not lead to a cluster")
        };
        let shown: Vec<String> = nodes.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["one:7000", "two:6379", "::1:7002", "::2:6379"]);
        for node in &nodes {
            assert_eq!(
                (node.login.username(), node.login.password()),
                (Some("me"), Some("p@ss"))
            );
            assert_eq!(node.client_name.as_deref(), Some("billing"));
        }
    }

    #[test]
    fn credentials_are_for_servers_and_not_for_sentinels() {
        let urls = [
            "redis://host",
            #[cfg(feature = "sentinel")]
            "redis+sentinel://one,two/main",
            #[cfg(feature = "cluster")]
            "redis+cluster://one,two",
        ];
        for url in urls {
            let credentials = Credentials::new(|| ("app".into(), "password".into()));
            let target = target(url).expect("a valid URL");
            let target = target.with_credentials(Some(credentials));
            let (servers, sentinels) = match target {
                Target::Server(server) => (vec![server], Vec::new()),
                #[cfg(feature = "sentinel")]
                Target::Sentinels {
                    sentinels, template, ..
                } => (vec![template], sentinels),
                #[cfg(feature = "cluster")]
                Target::Cluster(seeds) => (seeds, Vec::new()),
            };
            let user = |address: &Address| {
                let login = address.current_login().expect("no panic");
                login.username().map(str::to_owned)
            };
            assert!(
                servers
                    .iter()
                    .all(|server| user(server).as_deref() == Some("app")),
                "{url}"
            );
            assert!(sentinels.iter().all(|sentinel| user(sentinel).is_none()), "{url}");
        }
    }

    #[test]
    fn a_parameter_has_the_effect_that_it_has_in_python() {
        let address = server("redis://host:1?db=3&username=me&password=pw&protocol=2&client_name=billing");
        assert_eq!(address.to_string(), "host:1");
        let login = &address.login;
        assert_eq!(
            (login.username(), login.password(), login.db()),
            (Some("me"), Some("pw"), 3)
        );
        assert_eq!(address.resp.version(), crate::store::redis::resp::Resp::V2);
        assert_eq!(
            address.name_for(crate::store::redis::client_name::Purpose::Steps),
            "billing:steps"
        );
        let socket = server("unix://me:pw@/run/a%20b.sock?db=3");
        assert_eq!(socket.to_string(), "/run/a b.sock");
        assert_eq!((socket.login.username(), socket.login.db()), (Some("me"), 3));
        assert_eq!(server("unix:/run/me@host.sock").to_string(), "/run/me@host.sock");
    }

    #[test]
    fn a_value_that_a_parameter_does_not_have_is_refused_and_not_shown() {
        for (url, part) in [
            ("redis://host?protocol=secret", "`protocol`"),
            ("redis://host?protocol=12", "`protocol`"),
            ("redis://host?client_name=se+cret", "`client_name`"),
            ("redis://host?client_name=", "`client_name`"),
            ("rediss://host?ssl_cert_reqs=none", "`ssl_cert_reqs`"),
            ("rediss://host?ssl_cert_reqs=secret", "`ssl_cert_reqs`"),
            ("rediss://host?ssl_check_hostname=False", "`ssl_check_hostname`"),
            ("rediss://host?ssl_ca_certs=/no/secret", "`ssl_ca_certs`"),
            ("rediss://host?ssl_keyfile=/dev/null", "`ssl_certfile`"),
            ("redis://host?ssl_cert_reqs=required", "`rediss://`"),
            ("redis://secret@host", "no password"),
            ("redis://host?username=secret", "no password"),
            ("redis+unix:?db=1", "unix socket is missing"),
            ("unix:///", "unix socket is missing"),
            #[cfg(feature = "sentinel")]
            ("redis+sentinel://one/main?sentinel_user=secret", "no password"),
            #[cfg(feature = "cluster")]
            ("redis+cluster://one?db=1", "database 0"),
        ] {
            let Err(Error::InvalidUrl { reason }) = target(url) else {
                panic!("{url} is accepted")
            };
            assert!(
                reason.contains(part) && !reason.contains("secret"),
                "{url}: {reason}"
            );
        }
    }
}
