//! Opening a pool: URLs, parameters, the pool of the process.

use std::time::Duration;

use dspinlock::{Acquired, Error, HashDSpinlock, Pool, PoolBuilder, RedisParameters};
use dspinlock_testkit::{Job, Python, Redis, Worker, eventually};

use crate::common::lock::{lock, locked};
use crate::common::logs::{self, assert_error};
use crate::common::store::init_in_memory;

#[test]
fn an_invalid_url_is_refused() {
    logs::capture();
    for url in [
        "",
        "secret",
        "http://user:secret@localhost",
        "redis://user:secret@localhost:99999",
        "redis://user:secret@localhost/secret",
        "redis://user:secret@",
        "redis+other://secret@localhost",
        "redis://localhost?protocol=secret",
        "redis+unix:///socket?db=secret",
        "redis:/localhost",
        "localhost:6379",
        "redis://localhost?socket_timeouts=secret",
        "redis://localhost?db=secret",
        "redis://user:p@secret#word@localhost",
        "redis://:p?secret@localhost",
        "rediss+cluster://a:secret@one,a:secret@two",
        "redis://secret@localhost",
        "sqlite://secret",
        "redis+cluster://localhost?misspelled=secret",
        "redis+sentinel://localhost/main?sentinel_pass=secret",
        "sqlite::memory:?mode=secret",
        "sqlite:/tmp/secret?",
    ] {
        let error = Pool::open(url).map(|_| ()).expect_err(url);
        assert_error(&error, "InvalidUrl");
    }
    let worker = Worker::start("http://user:secret@localhost");
    assert_eq!(
        worker.call(&Job::new("cached", "a")).outcome(),
        (0, Err("InvalidUrl".to_owned()))
    );
}

#[test]
fn parameters_have_the_defaults_of_python() {
    let defaults = RedisParameters::default();
    assert_eq!(
        (
            defaults.redis_host.as_str(),
            defaults.rdb,
            defaults.port,
            defaults.ssl
        ),
        ("localhost", 0, 6379, false)
    );
    assert_eq!(defaults.socket_connect_timeout, Duration::from_secs(2));
    let server = Redis::with_args(&["--requirepass", "right"]);
    let pool = Pool::connect(
        RedisParameters::new()
            .redis_host("127.0.0.1")
            .port(server.port())
            .rdb(3)
            .password("right"),
    )
    .unwrap();
    let _lease = locked(lock(&pool).acquire_blocking());
    assert!(server.keys().is_empty(), "the keys are in database 0");
    let used: String = format!("{:?}", server.raw(&["INFO", "keyspace"]));
    assert!(used.contains("db3:keys=1"), "{used}");
}

#[test]
fn every_kind_of_url_reaches_its_server() {
    let server = Redis::start();
    server.raw(&[
        "ACL",
        "SETUSER",
        "worker",
        "on",
        ">pass word",
        "~dspinlock*",
        "+@all",
    ]);
    let (port, socket) = (server.port(), server.socket());
    for url in [
        format!("redis://127.0.0.1:{port}"),
        format!("valkey://127.0.0.1:{port}"),
        format!(" Redis://127.0.0.1:{port}?db=2&username=worker&password=pass+word\n"),
        format!("redis://localhost:{port}/2"),
        format!("redis://worker:pass%20word@127.0.0.1:{port}"),
        format!("redis+unix://{}", socket.display()),
        format!(
            "redis+unix://{}?db=2&user=worker&pass=pass%20word",
            socket.display()
        ),
        format!("unix://worker:pass%20word@{}?db=2", socket.display()),
    ] {
        let pool = Pool::open(&url).unwrap();
        let lease = locked(lock(&pool).acquire_blocking());
        lease
            .release_blocking()
            .unwrap_or_else(|error| panic!("{url}: {error}"));
        assert!(lock(&pool).delete_state_blocking().unwrap());
    }
}

/// The same text leads to the same server, database and user.
#[test]
fn python_and_rust_read_a_url_alike() {
    let server = Redis::start();
    server.raw(&["ACL", "SETUSER", "me", "on", ">p@ss:w#rd+1", "~*", "+@all"]);
    let (port, socket) = (server.port(), server.socket());
    let socket = socket.display();
    for (url, database) in [
        (format!("redis://127.0.0.1:{port}"), 0),
        (format!("redis://127.0.0.1:{port}/1"), 1),
        (format!("redis://127.0.0.1:{port}?db=2"), 2),
        (
            format!("redis://127.0.0.1:{port}/?db=3&decode_responses=True&socket_timeout=2.5"),
            3,
        ),
        (format!("redis://me:p%40ss:w%23rd+1@127.0.0.1:{port}/4"), 4),
        (
            format!("redis://127.0.0.1:{port}?db=5&username=me&password=p%40ss:w%23rd%2B1"),
            5,
        ),
        (
            format!("redis://me@127.0.0.1:{port}/6?password=p%40ss:w%23rd%2B1&protocol=2"),
            6,
        ),
        (format!("unix://{socket}?db=7"), 7),
        (format!("unix://me:p%40ss:w%23rd+1@{socket}?db=8"), 8),
    ] {
        let pool = Pool::open(&url).unwrap();
        let lease = locked(HashDSpinlock::new("URL").pool(&pool).acquire_blocking());
        let script = "
import redis, sys
session = redis.from_url(sys.argv[1])
kwargs = session.connection_pool.connection_kwargs
print(len(session.keys('dspinlock*')), kwargs.get('db', 0))
";
        assert_eq!(Python::run(script, &[&url]), [format!("1 {database}")], "{url}");
        lease.release_blocking().unwrap();
    }
}

#[test]
fn a_unix_socket_by_parameters_reaches_its_server() {
    let server = Redis::start();
    let parameters = RedisParameters::new().unix_socket_path(server.socket()).rdb(3);
    let _lease = locked(lock(&Pool::connect(parameters).unwrap()).acquire_blocking());
    let used: String = format!("{:?}", server.raw(&["INFO", "keyspace"]));
    assert!(used.contains("db3:keys=1") && !used.contains("db0"), "{used}");
}

#[test]
fn the_database_and_the_name_of_a_url_are_those_of_its_parameters() {
    let server = Redis::start();
    let url = format!("redis://127.0.0.1:{}?db=3&client_name=billing", server.port());
    let _lease = locked(lock(&Pool::open(&url).unwrap()).acquire_blocking());
    let used: String = format!("{:?}", server.raw(&["INFO", "keyspace"]));
    assert!(used.contains("db3:keys=1") && !used.contains("db0"), "{used}");
    for name in ["name=billing:steps", "name=billing:heartbeats"] {
        let clients = || format!("{:?}", server.raw(&["CLIENT", "LIST"]));
        eventually("the name of the connection", || {
            clients().contains(name).then_some(())
        });
    }
}

#[test]
fn parameters_without_effect_are_logged_in_one_line() {
    logs::capture();
    let url = "redis://localhost?decode_responses=secret&db=1&max_connections=10&health_check_interval=1";
    let line = "these parameters of the store URL have no effect: `decode_responses`, `max_connections`, `health_check_interval`";
    Pool::open(url).unwrap();
    let found = logs::lines()
        .into_iter()
        .filter(|logged| logged.contains(line))
        .count();
    assert_eq!((found, logs::leaks(None)), (1, false));
}

#[test]
fn valkey_works_like_redis() {
    let server = Redis::valkey();
    let pool = Pool::open(&server.url().replace("redis:", "valkey:")).unwrap();
    locked(lock(&pool).acquire_blocking()).release_blocking().unwrap();
    let cached = lock(&pool).cached_if_computed(true);
    assert!(matches!(cached.acquire_blocking().unwrap(), Acquired::Computed));
}

#[test]
fn a_second_init_is_refused_unless_url_and_settings_are_the_same() {
    init_in_memory();
    let init = |builder: PoolBuilder| dspinlock::init(builder.open().unwrap());
    let memory = || Pool::builder("sqlite::memory:");
    assert!(init(memory()).is_ok());
    for other in [
        memory().secret("0123456789abcdef"),
        memory().max_value_size(1),
        memory().near_cache_size(1),
        Pool::builder("redis://127.0.0.1:1"),
        PoolBuilder::from(RedisParameters::new()),
    ] {
        assert!(matches!(init(other), Err(Error::AlreadyInitialized)));
    }
}
