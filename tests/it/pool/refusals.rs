//! Servers and proxies that refuse commands: a working call, or a typed error that names the command.

use std::time::Duration;

use dspinlock::{Acquired, Error, HashDSpinlock, Pool};
use dspinlock_testkit::{Haproxy, Job, Redis, Twemproxy, Worker, eventually};

use crate::common::lock::{lock, locked};

/// Locks, publishes, is refused, and deletes.
fn use_every_step(pool: &Pool) -> Result<(), Error> {
    let lock = lock(pool).cached_if_computed(true);
    let Acquired::Locked(lease) = lock.acquire_blocking()? else {
        panic!("the key is already computed");
    };
    lease.release_blocking()?;
    assert!(matches!(lock.acquire_blocking()?, Acquired::Computed));
    assert!(lock.delete_state_blocking()?);
    drop(locked(lock.acquire_blocking()));
    lock.delete_state_blocking().map(drop)
}

/// A cold call, a hit and a second process, with a waiting call.
fn call_and_wait(url: &str) -> Worker {
    let (holder, waiter) = (Worker::start(url), Worker::start(url));
    let job = Job::new("cached", "key").with("sleep", 50);
    let holding = holder.call(&job.clone().with("body", "gate"));
    holding.started();
    let waiting = waiter.call(&job);
    std::thread::sleep(Duration::from_millis(200));
    assert!(waiting.is_pending());
    holding.open_gate();
    assert_eq!(waiting.outcome(), (0, holding.result()));
    drop(waiting);
    assert_eq!(holder.call(&job).outcome().0, 0);
    waiter
}

fn warnings_about(worker: &Worker, word: &str) -> usize {
    worker.logs().iter().filter(|line| line.contains(word)).count()
}

#[test]
fn redis_5_serves_calls_without_pushes_and_warns_once() {
    let server = Redis::five();
    let worker = call_and_wait(&server.url());
    for function in ["near", "shared", "uncached", "cached_sync"] {
        assert_eq!(
            worker.call(&Job::new(function, function)).outcome().0,
            1,
            "{function}"
        );
    }
    server.raw(&["CLIENT", "KILL", "TYPE", "normal"]);
    assert_eq!(worker.call(&Job::new("cached", "other")).outcome().0, 1);
    assert_eq!(
        warnings_about(&worker, "refuses `HELLO`"),
        1,
        "{:?}",
        worker.logs()
    );
    use_every_step(&Pool::open(&server.url()).unwrap()).unwrap();
}

#[test]
fn a_url_with_protocol_2_is_served_without_a_warning() {
    for server in [Redis::five(), Redis::start()] {
        let worker = call_and_wait(&format!("{}/3?protocol=2", server.url()));
        let warnings = worker.warnings();
        assert!(warnings.is_empty(), "{warnings:?}");
        let hellos = server.command_count(Some("hello"));
        assert_eq!(hellos, 0);
    }
}

#[test]
fn a_url_with_protocol_3_does_not_fall_back() {
    let server = Redis::five();
    let pool = Pool::open(&format!("{}?protocol=3", server.url())).unwrap();
    let message = lock(&pool).acquire_blocking().unwrap_err().to_string();
    assert!(
        message.contains("`HELLO`") && message.contains("protocol=3"),
        "{message}"
    );
}

#[test]
fn redis_6_pushes_changes() {
    let server = Redis::six();
    let worker = call_and_wait(&server.url());
    let warnings = worker.warnings();
    assert!(warnings.is_empty(), "{warnings:?}");
    use_every_step(&Pool::open(&server.url()).unwrap()).unwrap();
}

#[test]
fn a_wrong_password_of_an_old_server_is_an_error() {
    let server = Redis::five();
    server.raw(&["CONFIG", "SET", "requirepass", "right"]);
    for (url, code) in [(server.url(), "NOAUTH"), (server.url_for("", "wrong"), "AUTH")] {
        let message = lock(&Pool::open(&url).unwrap())
            .acquire_blocking()
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("`AUTH` failed") && message.contains(code),
            "{message}"
        );
    }
    use_every_step(&Pool::open(&server.url_for("app", "right")).unwrap()).unwrap();
}

#[test]
fn a_renamed_command_is_not_needed_or_named() {
    for name in ["HELLO", "EVALSHA", "CLIENT", "INFO", "SCRIPT", "GETRANGE", "EVAL"] {
        let server = Redis::with_args(&["--rename-command", name, ""]);
        let pool = Pool::open(&server.url()).unwrap();
        let outcome = use_every_step(&pool);
        println!("without {name}: {outcome:?}");
        if name == "EVAL" {
            // The scripts are loaded.
            server.raw(&["SCRIPT", "FLUSH"]);
        }
        let used = use_every_step(&pool).and_then(|()| read(&pool));
        match name {
            "EVAL" | "GETRANGE" => assert_names(&used.expect_err(name), name),
            _ => used.unwrap_or_else(|error| panic!("without {name}: {error}")),
        }
    }
}

/// Each permission is taken alone.
#[test]
fn a_missing_permission_is_not_needed_or_named() {
    let server = Redis::start();
    for command in [
        "hello",
        "select",
        "ping",
        "info",
        "client",
        "client|tracking",
        "client|caching",
        "client|setname",
        "script|load",
        "evalsha",
        "eval",
        "getrange",
        "set",
        "pttl",
        "exists",
        "unlink",
        "time",
    ] {
        let rule = format!("-{command}");
        server.raw(&[
            "ACL",
            "SETUSER",
            "app",
            "reset",
            "on",
            ">any",
            "~*",
            "&*",
            "+@all",
            rule.as_str(),
        ]);
        server.raw(&["SCRIPT", "FLUSH"]);
        server.raw(&["FLUSHALL"]);
        let pool = Pool::open(&format!("{}/1", server.url_for("app", "any"))).unwrap();
        let outcome = use_every_step(&pool).and_then(|()| read(&pool));
        println!("without {command}: {outcome:?}");
        match (command, outcome) {
            ("hello" | "ping" | "info" | "script|load" | "evalsha" | "eval", Ok(())) => {}
            (name, Ok(())) if name.starts_with("client") => {}
            (name, Ok(())) => panic!("`{name}` is not used"),
            (name, Err(error)) => assert_names(&error, name),
        }
    }
}

/// A plain read of a key that holds a value.
fn read(pool: &Pool) -> Result<(), Error> {
    let lock = HashDSpinlock::new("read").pool(pool).cached_if_computed(true);
    match lock.acquire_blocking()? {
        Acquired::Locked(lease) => lease.release_blocking(),
        Acquired::Computed => Ok(()),
    }
}

#[track_caller]
fn assert_names(error: &Error, command: &str) {
    let message = error.to_string();
    let named = message
        .to_lowercase()
        .contains(&format!("`{}`", command.to_lowercase()));
    assert!(named, "{command} is not named: {message}");
}

#[test]
fn twemproxy_serves_calls() {
    let server = Redis::start();
    let proxy = Twemproxy::start(server.port());
    let worker = call_and_wait(&proxy.url());
    assert_eq!(
        warnings_about(&worker, "refuses `HELLO`"),
        1,
        "{:?}",
        worker.logs()
    );
    use_every_step(&Pool::open(&proxy.url()).unwrap()).unwrap();
}

#[test]
fn haproxy_that_cuts_idle_connections_causes_no_error() {
    let server = Redis::start();
    let proxy = Haproxy::start(server.port(), Duration::from_millis(300));
    let worker = Worker::start(&proxy.url());
    let job = Job::new("cached", "key");
    assert_eq!(worker.call(&job).outcome().0, 1);
    for _ in 0..3 {
        // The proxy closes what is idle in this time.
        std::thread::sleep(Duration::from_millis(700));
        assert_eq!(worker.call(&job).outcome().0, 0);
    }
}

#[test]
fn connections_are_named_after_the_program_and_their_purpose() {
    let server = Redis::start();
    let worker = Worker::start(&server.url());
    for read in 0..20 {
        let executions = worker.call(&Job::new("cached", "key")).outcome().0;
        assert_eq!(executions, usize::from(read == 0));
    }
    eventually("three names", || {
        let clients = format!("{:?}", server.raw(&["CLIENT", "LIST"]));
        let names: Vec<_> = clients
            .split(' ')
            .filter_map(|field| field.strip_prefix("name=dspinlock:"))
            .filter_map(|name| name.rsplit_once(':'))
            .map(|(_, purpose)| purpose.to_owned())
            .collect();
        let has = |purpose: &str| names.iter().any(|name| name == purpose);
        (has("steps") && has("heartbeats") && has("reader")).then_some(())
    });
}

#[test]
fn the_limits_of_the_builder_and_the_url_hold() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", silent.local_addr().unwrap());
    let limit = Duration::from_millis(300);
    for pool in [
        Pool::builder(&url).connect_timeout(limit).open().unwrap(),
        Pool::open(&format!("{url}?socket_connect_timeout=0.3")).unwrap(),
    ] {
        let start = std::time::Instant::now();
        assert!(matches!(
            lock(&pool).acquire_blocking(),
            Err(Error::RedisNotInitialized { .. })
        ));
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    }
    let server = Redis::start();
    for pool in [
        Pool::builder(&server.url())
            .request_timeout(limit)
            .connect_timeout(limit)
            .readers(false)
            .open()
            .unwrap(),
        Pool::open(&format!(
            "{}?socket_timeout=0.3&socket_connect_timeout=0.3",
            server.url()
        ))
        .unwrap(),
    ] {
        drop(locked(lock(&pool).acquire_blocking()));
        server.pause();
        let start = std::time::Instant::now();
        let outcome = lock(&pool).acquire_blocking();
        server.resume();
        assert!(outcome.is_err());
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    }
    #[cfg(feature = "embedded")]
    for builder in [
        Pool::builder("sqlite::memory:").connect_timeout(limit),
        Pool::builder("sqlite::memory:").request_timeout(limit),
        Pool::builder("sqlite::memory:").readers(false),
    ] {
        drop(locked(lock(&builder.open().unwrap()).acquire_blocking()));
    }
    let zero = Pool::builder(&server.url())
        .connect_timeout(Duration::ZERO)
        .open();
    assert!(matches!(zero, Err(Error::InvalidOption { .. })));
}
