//! TLS, on real servers: whom a pool trusts, what it shows, and what it says where it does not.

use std::fs;
use std::path::Path;

use dspinlock::{Acquired, Error, HashDSpinlock, Pool, RedisParameters, Tls};
use dspinlock_testkit::{Identity, Job, Redis, Tls as Server, Worker};

use crate::logs;

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}

/// Trusts the server's own authority.
fn trusting(server: &Redis) -> Tls {
    Tls::new().authorities(read(server.authority()))
}

fn showing(tls: Tls, client: &Identity) -> Tls {
    tls.client_certificate(read(&client.certificate), read(&client.key))
}

fn lock(pool: &Pool) -> Result<Acquired, Error> {
    HashDSpinlock::new("example")?.pool(pool).acquire_blocking()
}

fn reach(server: &Redis, tls: Tls) -> Result<Acquired, Error> {
    lock(&Pool::open_tls(&server.tls_url(), tls)?)
}

/// Why `server` is not used.
fn reason(server: &Redis, tls: Tls) -> String {
    logs::listen();
    let error = reach(server, tls).unwrap_err();
    logs::expect(&error, "RedisNotInitialized");
    assert!(server.keys().is_empty());
    match error {
        Error::RedisNotInitialized { reason, .. } => reason,
        _ => unreachable!(),
    }
}

#[test]
fn a_server_by_a_trusted_authority_is_used() {
    let server = Redis::tls(Server::default());
    assert!(matches!(
        reach(&server, trusting(&server)),
        Ok(Acquired::Locked(_))
    ));
    let (_, port) = server
        .tls_url()
        .rsplit_once(':')
        .map(|(host, port)| (host.to_owned(), port.to_owned()))
        .unwrap();
    let parameters = RedisParameters {
        port: port.parse().unwrap(),
        ssl: true,
        tls: trusting(&server),
        ..RedisParameters::default()
    };
    let pool = Pool::connect(parameters).unwrap();
    assert!(matches!(lock(&pool), Ok(Acquired::Locked(_))));
}

#[test]
fn the_systems_authorities_are_trusted_by_default_and_no_others() {
    let server = Redis::tls(Server::default());
    let job = Job::new("cached", "key");
    // What is a system's authority is a matter of a process.
    let system = server.authority().display().to_string();
    let worker = Worker::with(&server.tls_url(), &[("SSL_CERT_FILE", &system)]);
    assert_eq!(worker.call(&job).story().0, 1);
    assert_eq!(worker.call(&job).story().0, 0);
    let stranger = Worker::start(&server.tls_url());
    assert_eq!(
        stranger.call(&job).story(),
        (0, Err("RedisNotInitialized".to_owned()))
    );
    let said = stranger.logs().join("\n");
    assert!(said.contains("not trusted"), "{said}");
}

#[test]
fn own_authorities_take_the_place_of_the_systems() {
    let server = Redis::tls(Server::default());
    let other = Tls::new().authorities(read(server.stranger()));
    assert_eq!(
        reason(&server, other),
        "the server's certificate was issued by an authority that is not trusted: \
         add the authority with `Tls::authorities` or `ssl_ca_certs`"
    );
}

#[test]
fn a_certificate_of_another_host_is_refused() {
    let server = Redis::tls(Server {
        host: "elsewhere.example",
        ..Server::default()
    });
    assert_eq!(
        reason(&server, trusting(&server)),
        "the server's certificate is for another host: check the host name in the URL"
    );
    // The address is in it.
    let by_address = server.tls_url().replace("localhost", "127.0.0.1");
    let pool = Pool::open_tls(&by_address, trusting(&server)).unwrap();
    assert!(lock(&pool).is_ok());
}

#[test]
fn an_expired_certificate_is_refused() {
    let server = Redis::tls(Server {
        expired: true,
        ..Server::default()
    });
    assert_eq!(
        reason(&server, trusting(&server)),
        "the server's certificate has expired: renew it"
    );
}

#[test]
fn any_server_is_trusted_by_an_explicit_call_alone_and_that_is_logged() {
    logs::listen();
    for flaw in [
        Server::default(),
        Server {
            host: "elsewhere.example",
            expired: true,
            mutual: false,
        },
    ] {
        let server = Redis::tls(flaw);
        assert!(reach(&server, Tls::new().dangerously_accept_any_server()).is_ok());
    }
    let warned = |line: &String| line.starts_with("WARN") && line.contains("without verification");
    assert!(logs::lines().iter().any(warned));
    for url in [
        "rediss://localhost#insecure",
        "rediss://localhost?ssl_cert_reqs=none",
    ] {
        logs::expect(&Pool::open(url).unwrap_err(), "Configuration");
    }
}

#[test]
fn a_client_shows_its_certificate() {
    let server = Redis::tls(Server {
        mutual: true,
        ..Server::default()
    });
    assert!(reach(&server, showing(trusting(&server), server.client())).is_ok());
    let server = Redis::tls(Server {
        mutual: true,
        ..Server::default()
    });
    assert_eq!(
        reason(&server, trusting(&server)),
        "the server requires a client certificate: add it with `Tls::client_certificate` or `ssl_certfile`"
    );
    let foreign = reason(&server, showing(trusting(&server), server.foreign_client()));
    assert!(
        foreign.starts_with("the server refused the client certificate"),
        "{foreign}"
    );
}

#[test]
fn a_url_names_the_files() {
    let server = Redis::tls(Server {
        mutual: true,
        ..Server::default()
    });
    let client = server.client();
    let url = format!(
        "{}?ssl_cert_reqs=required&ssl_ca_certs={}&ssl_certfile={}&ssl_keyfile={}",
        server.tls_url(),
        server.authority().display(),
        client.certificate.display(),
        client.key.display()
    );
    let worker = Worker::start(&url);
    let job = Job::new("cached", "key");
    assert_eq!(worker.call(&job).story().0, 1);
    assert_eq!(worker.call(&job).story().0, 0);
}

#[test]
fn a_server_without_tls_is_told_from_one_with() {
    let server = Redis::start();
    let url = server.url().replace("redis:", "rediss:");
    let error = lock(&Pool::open(&url).unwrap()).unwrap_err();
    logs::expect(&error, "RedisNotInitialized");
}

#[test]
fn what_cannot_be_used_is_refused_at_once() {
    let server = Redis::tls(Server::default());
    let (certificate, key) = (read(&server.client().certificate), read(&server.client().key));
    let foreign_key = read(&server.foreign_client().key);
    let secret = b"-----BEGIN PRIVATE KEY-----\nsecret!\n-----END PRIVATE KEY-----\n";
    let damaged = b"-----BEGIN CERTIFICATE-----\nsecret\n-----END CERTIFICATE-----\n";
    for tls in [
        Tls::new().authorities("secret"),
        Tls::new().authorities(damaged),
        Tls::new().authorities(key.clone()),
        Tls::new().client_certificate("secret", key.clone()),
        Tls::new().client_certificate(certificate.clone(), "secret"),
        Tls::new().client_certificate(certificate.clone(), secret),
        Tls::new().client_certificate(certificate.clone(), foreign_key),
    ] {
        assert!(!format!("{tls:?}").contains("secret"));
        let error = Pool::open_tls("rediss://localhost", tls).unwrap_err();
        logs::expect(&error, "Configuration");
    }
    let some = || Tls::new().authorities(read(server.authority()));
    let without = RedisParameters {
        tls: some(),
        ..RedisParameters::default()
    };
    logs::expect(&Pool::connect(without).unwrap_err(), "Configuration");
    for url in ["redis://localhost", "redis+unix:///socket", "sqlite::memory:"] {
        logs::expect(&Pool::open_tls(url, some()).unwrap_err(), "Configuration");
    }
    for url in [
        "redis://localhost?ssl_ca_certs=/secret",
        "rediss://localhost?ssl_ca_certs=/secret/there/is/none",
        "rediss://localhost?ssl_certfile=/dev/null",
        "rediss://localhost?ssl_ca_cert=/secret",
    ] {
        logs::expect(&Pool::open(url).unwrap_err(), "Configuration");
    }
}
