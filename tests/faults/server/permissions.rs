//! A server that does not permit a command, and one that takes no writes any more.

use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use dspinlock::{Acquired, Error, HashDSpinlock, Pool, StoreFailure};
use dspinlock_testkit::{Call, Job, Proxy, Redis, Worker};

/// Every command that the library sends or has a script send, and what becomes without it of a call that computes, one
/// that finds the value, one whose lease needs a heartbeat, a waiter, and a delete.
const COMMANDS: &[(&str, [&str; 5])] = &[
    // Without it nobody knows which master it is.
    ("info", ["computed", "ok", "computed", "ok", "ok"]),
    ("ping", ["computed", "ok", "computed", "ok", "ok"]),
    ("script|load", ["computed", "ok", "computed", "ok", "ok"]),
    ("client|tracking", ["computed", "ok", "computed", "ok", "ok"]),
    ("client|caching", ["computed", "ok", "computed", "ok", "ok"]),
    ("evalsha", ["Store", "ok", "Store", "Store", "Store"]),
    ("eval", ["computed", "ok", "computed", "ok", "ok"]),
    ("getrange", ["Store", "Store", "computed", "Store", "ok"]),
    ("get", ["computed", "ok", "computed", "ok", "ok"]),
    ("set", ["Store", "ok", "Store", "ok", "ok"]),
    ("pttl", ["computed", "ok", "computed", "Store", "ok"]),
    ("pexpireat", ["computed", "ok", "computed", "ok", "ok"]),
    ("unlink", ["computed", "ok", "computed", "ok", "Store"]),
    ("exists", ["Store", "ok", "Store", "Store", "Store"]),
    ("strlen", ["computed", "ok", "computed", "ok", "ok"]),
    ("time", ["Store", "ok", "Store", "Store", "ok"]),
];

/// So many commands one call makes at most, those of its scripts, a new connection and twenty heartbeats included.
const MOST: u64 = 150;

#[test]
fn a_command_that_is_not_permitted_is_an_error_and_no_loop() {
    let surprises = thread::scope(|scope| {
        let parts = COMMANDS.chunks(COMMANDS.len() / 4);
        let tests: Vec<_> = parts.map(|part| scope.spawn(|| surprises(part))).collect();
        let surprises = tests
            .into_iter()
            .flat_map(|test| test.join().expect("no limit was passed"));
        surprises.collect::<Vec<_>>()
    });
    assert!(surprises.is_empty(), "{surprises:#?}");
}

/// What went otherwise than expected.
fn surprises(commands: &[(&'static str, [&str; 5])]) -> Vec<(&'static str, Vec<String>)> {
    let server = Redis::start();
    let holder = Worker::start(&server.url());
    let mut surprises = Vec::new();
    for (command, expected) in commands {
        let user = command.replace('|', "-");
        let rights = ["on", "nopass", "~*", "&*", "+@all", &format!("-{command}")];
        server.raw(&[&["ACL", "SETUSER", &user], &rights[..]].concat());
        let restricted = Worker::start(&server.url_for(&user, "any"));
        let mut before = server.asked(None);
        let outcomes = expected.iter().enumerate().map(|(at, _)| {
            let start = Instant::now();
            let outcome = SITUATIONS[at](&holder, &restricted, &user);
            let (asked, took) = (server.asked(None) - before, start.elapsed());
            assert!(
                asked <= MOST && took < Duration::from_secs(3),
                "{command}, situation {at}: {asked} requests in {took:?}"
            );
            before += asked;
            outcome
        });
        let outcomes: Vec<String> = outcomes.collect();
        println!("without {command}: {outcomes:?}");
        if outcomes != expected {
            surprises.push((*command, outcomes));
        }
        server.raw(&["ACL", "SETUSER", &user, "+@all"]);
        let start = Instant::now();
        let again = restricted
            .call(&Job::new("cached", &format!("{user}-again")))
            .end();
        assert!(
            again.is_ok() && start.elapsed() < Duration::from_secs(1),
            "{again:?}"
        );
    }
    surprises
}

type Situation = fn(&Worker, &Worker, &str) -> String;

const SITUATIONS: [Situation; 5] = [
    |_, restricted, key| short(&restricted.call(&Job::new("cached", key))),
    |holder, restricted, key| {
        let key = format!("{key}-hit");
        holder.call(&Job::new("cached", &key)).end().unwrap();
        short(&restricted.call(&Job::new("cached", &key)))
    },
    |_, restricted, key| {
        let job = Job::new("each", &format!("{key}-beat")).with("lease", 600);
        short(&restricted.call(&job.with("body", "sleep:900")))
    },
    |holder, restricted, key| {
        let job = Job::new("cached", &format!("{key}-wait")).with("sleep", 100);
        let held = holder.call(&job.clone().with("body", "sleep:300"));
        held.began();
        let outcome = short(&restricted.call(&job.with("tries", 10)));
        held.end().unwrap();
        outcome
    },
    |holder, restricted, key| {
        let job = Job::new("near_shared", &format!("{key}-shared"));
        holder.call(&job).end().unwrap();
        short(&restricted.call(&Job::new("forget", &format!("{key}-shared"))))
    },
];

/// `ok`, or the error's name; and whether the body ran.
fn short(call: &Call<'_>) -> String {
    match call.story() {
        (0, Ok(_)) => "ok".into(),
        (_, Ok(_)) => "computed".into(),
        (_, Err(error)) => error,
    }
}

#[test]
fn a_server_that_has_become_a_replica_refuses_once_and_is_used_again_at_once() {
    let (server, master) = (Redis::start(), Redis::start());
    let lock = lock(&server.url());
    cycle(&lock).unwrap();
    server.raw(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]);
    let (before, start) = (server.asked(Some("evalsha")), Instant::now());
    let error = cycle(&lock).unwrap_err();
    let (asked, took) = (server.asked(Some("evalsha")) - before, start.elapsed());
    println!("READONLY after {took:?} and {asked} requests");
    assert!(is_readonly(&error), "{error:?}");
    assert!(asked <= 2 && took < Duration::from_secs(1), "{asked} {took:?}");
    // However often it is asked, one connection lasts for half a second at least.
    let (calls, connections) = (200, connections(&server));
    for _ in 0..calls {
        assert!(is_readonly(&cycle(&lock).unwrap_err()));
    }
    let (asked, made) = (
        server.asked(Some("evalsha")) - before,
        self::connections(&server) - connections,
    );
    println!("{calls} calls: {asked} requests, {made} connections");
    server.raw(&["REPLICAOF", "NO", "ONE"]);
    let start = Instant::now();
    cycle(&lock).unwrap();
    println!("a master again: used after {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[test]
fn an_address_that_leads_to_the_new_master_is_followed_within_a_second() {
    let (old, new) = (Redis::start(), Redis::start());
    let proxy = Proxy::before(old.port());
    let lock = lock(&proxy.url());
    cycle(&lock).unwrap();
    // The old connection stays open, as it does where a name is given to another server.
    old.raw(&["REPLICAOF", "127.0.0.1", &new.port().to_string()]);
    proxy.turn_to(new.port());
    let (start, mut refused) = (Instant::now(), 0);
    while let Err(error) = cycle(&lock) {
        assert!(is_readonly(&error), "{error:?}");
        refused += 1;
        assert!(
            start.elapsed() < Duration::from_secs(1),
            "stuck to the old master"
        );
        sleep(Duration::from_millis(50));
    }
    println!(
        "at the new master after {:?} and {refused} refusals",
        start.elapsed()
    );
    assert!(!new.keys().is_empty());
}

fn lock(url: &str) -> HashDSpinlock {
    HashDSpinlock::new("example")
        .unwrap()
        .pool(&Pool::open(url).unwrap())
}

fn cycle(lock: &HashDSpinlock) -> Result<(), Error> {
    match lock.acquire_blocking()? {
        Acquired::Locked(lease) => lease.release_blocking(),
        Acquired::Computed => panic!("nothing is cached"),
    }
}

fn is_readonly(error: &Error) -> bool {
    matches!(error, Error::Store { reason: StoreFailure::Unavailable(code), .. } if code == "READONLY")
}

/// How many were made since the start, ours excluded: each of ours is one request.
fn connections(server: &Redis) -> u64 {
    server.asked(Some("client|tracking"))
}
