//! Servers that do not permit a command, and servers that have become read-only.

use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use dspinlock::{Acquired, Error, HashDSpinlock, Pool, StoreFailure};
use dspinlock_testkit::{Call, Job, Proxy, Redis, Worker};

use crate::common::lock::lock;

/// Every command of the library and its scripts, and the outcomes without it: of a cold call, a hit, a call that needs
/// renewals, a waiter, a delete, and a call that replaces a large value.
const COMMANDS: &[(&str, [&str; 6])] = &[
    // Without it the identity of the master is unknown.
    ("info", ["computed", "ok", "computed", "ok", "ok", "computed"]),
    ("ping", ["computed", "ok", "computed", "ok", "ok", "computed"]),
    (
        "script|load",
        ["computed", "ok", "computed", "ok", "ok", "computed"],
    ),
    (
        "client|tracking",
        ["computed", "ok", "computed", "ok", "ok", "computed"],
    ),
    (
        "client|caching",
        ["computed", "ok", "computed", "ok", "ok", "computed"],
    ),
    ("evalsha", ["computed", "ok", "computed", "ok", "ok", "computed"]),
    ("eval", ["computed", "ok", "computed", "ok", "ok", "computed"]),
    ("getrange", ["Store", "Store", "lost", "Store", "ok", "Store"]),
    ("get", ["computed", "ok", "computed", "ok", "ok", "computed"]),
    ("set", ["Store", "ok", "Store", "ok", "ok", "Store"]),
    ("pttl", ["computed", "ok", "computed", "Store", "ok", "Store"]),
    ("pexpire", ["computed", "ok", "lost", "ok", "ok", "computed"]),
    (
        "unlink",
        ["computed", "ok", "computed", "ok", "Store", "computed"],
    ),
    ("exists", ["computed", "ok", "computed", "ok", "ok", "computed"]),
    ("strlen", ["computed", "ok", "computed", "ok", "ok", "computed"]),
    ("time", ["Store", "ok", "Store", "Store", "ok", "Store"]),
];

/// The maximum of commands per call, including scripts, a new connection and twenty renewals.
const MAX_COMMANDS: u64 = 150;

#[test]
fn a_forbidden_command_is_an_error_without_a_retry_loop() {
    let mismatches = thread::scope(|scope| {
        let parts = COMMANDS.chunks(COMMANDS.len() / 4);
        let tests: Vec<_> = parts.map(|part| scope.spawn(|| mismatches(part))).collect();
        let mismatches = tests
            .into_iter()
            .flat_map(|test| test.join().expect("no thread panicked"));
        mismatches.collect::<Vec<_>>()
    });
    assert!(mismatches.is_empty(), "{mismatches:#?}");
}

/// The commands whose outcomes differ from the table.
fn mismatches(commands: &[(&'static str, [&str; 6])]) -> Vec<(&'static str, Vec<String>)> {
    let server = Redis::start();
    let holder = Worker::start(&server.url());
    let mut mismatches = Vec::new();
    for (command, expected) in commands {
        let user = command.replace('|', "-");
        let rights = ["on", "nopass", "~*", "&*", "+@all", &format!("-{command}")];
        server.raw(&[&["ACL", "SETUSER", &user], &rights[..]].concat());
        let restricted = Worker::start(&server.url_for(&user, "any"));
        let mut before = server.command_count(None);
        let outcomes = expected.iter().enumerate().map(|(at, _)| {
            let start = Instant::now();
            let outcome = SITUATIONS[at](&holder, &restricted, &user);
            let (requests, elapsed) = (server.command_count(None) - before, start.elapsed());
            assert!(
                requests <= MAX_COMMANDS && elapsed < Duration::from_secs(3),
                "{command}, situation {at}: {requests} requests in {elapsed:?}"
            );
            before += requests;
            outcome
        });
        let outcomes: Vec<String> = outcomes.collect();
        println!("without {command}: {outcomes:?}");
        if outcomes != expected {
            mismatches.push((*command, outcomes));
        }
        server.raw(&["ACL", "SETUSER", &user, "+@all"]);
        let start = Instant::now();
        let again = restricted
            .call(&Job::new("cached", &format!("{user}-again")))
            .result();
        assert!(
            again.is_ok() && start.elapsed() < Duration::from_secs(1),
            "{again:?}"
        );
    }
    mismatches
}

type Situation = fn(&Worker, &Worker, &str) -> String;

const SITUATIONS: [Situation; 6] = [
    |_, restricted, key| short(&restricted.call(&Job::new("cached", key))),
    |holder, restricted, key| {
        let key = format!("{key}-hit");
        holder.call(&Job::new("cached", &key)).result().unwrap();
        short(&restricted.call(&Job::new("cached", &key)))
    },
    |_, restricted, key| {
        let job = Job::new("uncached", &format!("{key}-beat")).with("lease", 600);
        // `suspend:0` reports whether the lease is lost.
        let call = restricted.call(&job.with("body", "sleep:900+suspend:0"));
        match call.event() {
            Some(event) if event.starts_with("started") => match call.event().as_deref() {
                Some("is lost") => "lost".into(),
                _ => short_of(1, call.result()),
            },
            Some(event) => event.trim_start_matches("err ").to_owned(),
            None => "the process has exited".into(),
        }
    },
    |holder, restricted, key| {
        // A waiter for a shared key learns from its ACQUIRE that it is computed.
        let job = Job::new("shared", &format!("{key}-wait")).with("sleep", 100);
        let held = holder.call(&job.clone().with("body", "sleep:300"));
        held.started();
        let outcome = short(&restricted.call(&job.with("tries", 10)));
        held.result().unwrap();
        outcome
    },
    |holder, restricted, key| {
        let job = Job::new("near", &format!("{key}-near"));
        holder.call(&job).result().unwrap();
        short(&restricted.call(&Job::new("delete_near", &format!("{key}-near"))))
    },
    |holder, restricted, key| {
        let key = format!("{key}-large");
        let large = Job::new("shared", &key).with("size", 6000);
        holder.call(&large).result().unwrap();
        short(&restricted.call(&Job::new("shared_uncached", &key)))
    },
];

/// `computed` if the body ran, `ok` for a hit, `lost` for a lost lease, or the name of the error.
fn short(call: &Call<'_>) -> String {
    let (bodies, result) = call.outcome();
    short_of(bodies, result)
}

fn short_of(bodies: usize, result: Result<String, String>) -> String {
    match (bodies, result) {
        (0, Ok(_)) => "ok".into(),
        (_, Ok(_)) => "computed".into(),
        (_, Err(error)) => error,
    }
}

#[test]
fn a_server_that_becomes_a_replica_is_used_again_after_its_promotion() {
    let (server, master) = (Redis::start(), Redis::start());
    let lock = lock(&Pool::open(&server.url()).unwrap());
    cycle(&lock).unwrap();
    server.raw(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]);
    let (before, start) = (server.command_count(Some("evalsha")), Instant::now());
    let error = cycle(&lock).unwrap_err();
    let (requests, elapsed) = (server.command_count(Some("evalsha")) - before, start.elapsed());
    println!("READONLY after {elapsed:?} and {requests} requests");
    assert!(is_readonly(&error), "{error:?}");
    assert!(
        requests <= 2 && elapsed < Duration::from_secs(1),
        "{requests} {elapsed:?}"
    );
    // However many calls are made, a connection is kept for at least half a second.
    let (calls, connections) = (200, connections(&server));
    for _ in 0..calls {
        assert!(is_readonly(&cycle(&lock).unwrap_err()));
    }
    let (requests, made) = (
        server.command_count(Some("evalsha")) - before,
        self::connections(&server) - connections,
    );
    println!("{calls} calls: {requests} requests, {made} connections");
    server.raw(&["REPLICAOF", "NO", "ONE"]);
    let start = Instant::now();
    cycle(&lock).unwrap();
    println!("a master again: used after {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[test]
fn a_redirected_address_is_followed_within_a_second() {
    let (old, new) = (Redis::start(), Redis::start());
    let proxy = Proxy::start(old.port());
    let lock = lock(&Pool::open(&proxy.url()).unwrap());
    cycle(&lock).unwrap();
    // The old connection stays open, as after a change of DNS.
    old.raw(&["REPLICAOF", "127.0.0.1", &new.port().to_string()]);
    proxy.redirect_to(new.port());
    let (start, mut refused) = (Instant::now(), 0);
    while let Err(error) = cycle(&lock) {
        assert!(is_readonly(&error), "{error:?}");
        refused += 1;
        assert!(
            start.elapsed() < Duration::from_secs(1),
            "the pool still uses the old master"
        );
        sleep(Duration::from_millis(50));
    }
    println!(
        "at the new master after {:?} and {refused} refusals",
        start.elapsed()
    );
    assert!(!new.keys().is_empty());
}

/// The longest wait: a call that is not refused fails the test.
const FOR_EVER: u32 = 1_000_000;

#[test]
fn a_permission_that_is_withdrawn_is_an_error_for_a_waiting_call() {
    let server = Redis::start();
    let rights = ["on", "nopass", "~*", "&*", "+@all"];
    server.raw(&[&["ACL", "SETUSER", "waiter"], &rights[..]].concat());
    let (holder, waiter) = (
        Worker::start(&server.url()),
        Worker::start(&server.url_for("waiter", "any")),
    );
    let job = Job::new("cached", "withdrawn").with("sleep", 100);
    let held = holder.call(&job.clone().with("body", "gate"));
    held.started();
    let waiting = waiter.call(&job.with("tries", FOR_EVER));
    sleep(Duration::from_millis(300));
    assert!(waiting.is_pending());
    server.raw(&["ACL", "SETUSER", "waiter", "-evalsha", "-eval"]);
    let start = Instant::now();
    assert_eq!(waiting.result(), Err("Store".into()));
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    held.open_gate();
    held.result().unwrap();
}

#[test]
fn a_server_that_stays_read_only_is_an_error_for_a_waiting_call() {
    let server = Redis::start();
    let (holder, waiter) = (Worker::start(&server.url()), Worker::start(&server.url()));
    let job = Job::new("cached", "readonly")
        .with("sleep", 100)
        .with("lease", 1000);
    let held = holder.call(&job.clone().with("body", "gate"));
    held.started();
    let waiting = waiter.call(&job.with("tries", FOR_EVER));
    sleep(Duration::from_millis(300));
    assert!(waiting.is_pending());
    server.raw(&["REPLICAOF", "127.0.0.1", "1"]);
    let start = Instant::now();
    assert_eq!(waiting.result(), Err("Store".into()));
    let elapsed = start.elapsed();
    println!("read-only: an error after {elapsed:?}");
    // The lease of the holder ends first: until then the server says who holds the key.
    assert!((4..9).contains(&elapsed.as_secs()), "{elapsed:?}");
    held.open_gate();
    held.result().unwrap();
}

fn cycle(lock: &HashDSpinlock) -> Result<(), Error> {
    match lock.acquire_blocking()? {
        Acquired::Locked(lease) => lease.release_blocking(),
        Acquired::Computed => panic!("the key is already computed"),
    }
}

fn is_readonly(error: &Error) -> bool {
    matches!(error, Error::Store { reason: StoreFailure::Unavailable(code), .. } if code == "READONLY")
}

/// The number of connections of the library since the start: each sends one such command.
fn connections(server: &Redis) -> u64 {
    server.command_count(Some("client|tracking"))
}
