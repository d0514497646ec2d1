//! TLS on real servers: verification, client certificates, and errors.

use std::fs;
use std::path::Path;

use dspinlock::{Acquired, Error, HashDSpinlock, Pool, RedisParameters, Tls};
use dspinlock_testkit::{Identity, Job, Redis, Tls as Server, Worker};

use crate::common::logs;

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}

/// Options that trust the authority of the server.
fn trusting(server: &Redis) -> Tls {
    Tls::new().authorities(read(server.authority()))
}

fn with_client(tls: Tls, client: &Identity) -> Tls {
    tls.client_certificate(read(&client.certificate), read(&client.key))
}

fn lock(pool: &Pool) -> Result<Acquired, Error> {
    HashDSpinlock::new("example").pool(pool).acquire_blocking()
}

fn acquire(server: &Redis, tls: Tls) -> Result<Acquired, Error> {
    lock(&Pool::builder(&server.tls_url()).tls(tls).open()?)
}

/// The reason of the connection error.
fn reason(server: &Redis, tls: Tls) -> String {
    logs::capture();
    let error = acquire(server, tls).unwrap_err();
    logs::assert_error(&error, "RedisNotInitialized");
    assert!(server.keys().is_empty());
    match error {
        Error::RedisNotInitialized { reason, .. } => reason,
        _ => unreachable!(),
    }
}

#[test]
fn a_server_with_a_trusted_authority_is_used() {
    let server = Redis::tls(Server::default());
    assert!(matches!(
        acquire(&server, trusting(&server)),
        Ok(Acquired::Locked(_))
    ));
    let (_, port) = server
        .tls_url()
        .rsplit_once(':')
        .map(|(host, port)| (host.to_owned(), port.to_owned()))
        .unwrap();
    let parameters = RedisParameters::new()
        .port(port.parse().unwrap())
        .ssl(true)
        .tls(trusting(&server));
    let pool = Pool::connect(parameters).unwrap();
    assert!(matches!(lock(&pool), Ok(Acquired::Locked(_))));
}

#[test]
fn only_the_systems_authorities_are_trusted_by_default() {
    let server = Redis::tls(Server::default());
    let job = Job::new("cached", "key");
    // The system's authorities are set per process.
    let system = server.authority().display().to_string();
    let worker = Worker::with_env(&server.tls_url(), &[("SSL_CERT_FILE", &system)]);
    assert_eq!(worker.call(&job).outcome().0, 1);
    assert_eq!(worker.call(&job).outcome().0, 0);
    let untrusting = Worker::start(&server.tls_url());
    assert_eq!(
        untrusting.call(&job).outcome(),
        (0, Err("RedisNotInitialized".to_owned()))
    );
    let logs = untrusting.logs().join("\n");
    assert!(logs.contains("not trusted"), "{logs}");
}

#[test]
fn custom_authorities_replace_the_systems() {
    let server = Redis::tls(Server::default());
    let other = Tls::new().authorities(read(server.other_authority()));
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
    // The certificate is valid for the address.
    let by_address = server.tls_url().replace("localhost", "127.0.0.1");
    let pool = Pool::builder(&by_address).tls(trusting(&server)).open().unwrap();
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
fn only_an_explicit_call_disables_verification_and_logs_a_warning() {
    logs::capture();
    for certificate in [
        Server::default(),
        Server {
            host: "elsewhere.example",
            expired: true,
            mutual: false,
        },
    ] {
        let server = Redis::tls(certificate);
        assert!(acquire(&server, Tls::new().dangerously_accept_any_server()).is_ok());
    }
    let is_warning = |line: &String| line.starts_with("WARN") && line.contains("without verification");
    assert!(logs::lines().iter().any(is_warning));
    for url in [
        "rediss://localhost#insecure",
        "rediss://localhost?ssl_cert_reqs=none",
    ] {
        logs::assert_error(&Pool::open(url).unwrap_err(), "InvalidUrl");
    }
}

#[test]
fn a_client_certificate_is_sent() {
    let server = Redis::tls(Server {
        mutual: true,
        ..Server::default()
    });
    assert!(acquire(&server, with_client(trusting(&server), server.client())).is_ok());
    let server = Redis::tls(Server {
        mutual: true,
        ..Server::default()
    });
    assert_eq!(
        reason(&server, trusting(&server)),
        "the server requires a client certificate: add it with `Tls::client_certificate` or `ssl_certfile`"
    );
    let foreign = reason(&server, with_client(trusting(&server), server.untrusted_client()));
    assert!(
        foreign.starts_with("the server refused the client certificate"),
        "{foreign}"
    );
}

#[test]
fn a_url_can_name_the_certificate_files() {
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
    assert_eq!(worker.call(&job).outcome().0, 1);
    assert_eq!(worker.call(&job).outcome().0, 0);
}

#[test]
fn a_server_without_tls_is_refused() {
    let server = Redis::start();
    let url = server.url().replace("redis:", "rediss:");
    let error = lock(&Pool::open(&url).unwrap()).unwrap_err();
    logs::assert_error(&error, "RedisNotInitialized");
}

#[test]
fn invalid_tls_options_are_refused_by_open() {
    let server = Redis::tls(Server::default());
    let (certificate, key) = (read(&server.client().certificate), read(&server.client().key));
    let foreign_key = read(&server.untrusted_client().key);
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
        let error = Pool::builder("rediss://localhost").tls(tls).open().unwrap_err();
        logs::assert_error(&error, "InvalidOption");
    }
    let some = || Tls::new().authorities(read(server.authority()));
    let without = RedisParameters::new().tls(some());
    logs::assert_error(&Pool::connect(without).unwrap_err(), "InvalidOption");
    for url in ["redis://localhost", "redis+unix:///socket", "sqlite::memory:"] {
        logs::assert_error(
            &Pool::builder(url).tls(some()).open().unwrap_err(),
            "InvalidOption",
        );
    }
    for url in [
        "redis://localhost?ssl_ca_certs=/secret",
        "rediss://localhost?ssl_ca_certs=/secret/there/is/none",
        "rediss://localhost?ssl_certfile=/dev/null",
        "rediss://localhost?ssl_ca_cert=/secret",
    ] {
        logs::assert_error(&Pool::open(url).unwrap_err(), "InvalidUrl");
    }
}
