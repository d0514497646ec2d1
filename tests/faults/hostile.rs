//! A server that lies. A call gets its value or a typed error in time, memory stays bounded, and nothing panics.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use dspinlock_testkit::{Attack, Hostile, Job, Proxy, Redis, Target, Worker, eventually};

use crate::common::worker::SECRET;

/// The time limit of a request, five seconds, and a margin for a loaded machine.
const DEADLINE: Duration = Duration::from_secs(8);
/// What an attack may use, in KiB.
const MAX_MEMORY: usize = 16 << 10;
/// The errors that a hostile server may cause.
const ERRORS: [&str; 4] = [
    "Store",
    "RedisNotInitialized",
    "SpinlockTriesExceeded",
    "LeaseLost",
];

/// The attacks that fit every reply.
const ANY: [Attack; 11] = [
    Attack::Mute,
    Attack::Drip,
    Attack::EndlessBulk,
    Attack::EndlessLine,
    Attack::HugeArray,
    Attack::NestedArrays,
    Attack::Replies,
    Attack::Pushes,
    Attack::HugePush,
    Attack::WrongType,
    Attack::Noise,
];

/// A server, an honest worker on it, and the value `stored` under the key `hit` of each function in [`hits`].
///
/// Victims share nothing else: a victim that is killed may hold a lock for its lease.
struct Scene {
    server: Redis,
    honest: Worker,
}

impl Scene {
    fn new() -> Self {
        let server = Redis::start();
        let honest = Worker::start(&server.url());
        for job in hits() {
            honest.call(&job).result().expect("an honest server");
        }
        Self { server, honest }
    }

    /// A worker behind a hostile server that is still honest. Its connections are open, and its readers have read.
    fn victim(&self, environment: &[(&str, &str)]) -> Victim {
        let hostile = Hostile::start(self.server.port());
        let worker = Worker::with_env(&hostile.url(), environment);
        for function in ["cached", "cached_sync"] {
            for _ in 0..10 {
                let warm = worker.call(&Job::new(function, "warm").with("value", "warm"));
                assert_eq!(warm.result().as_deref(), Ok("warm"));
            }
        }
        Victim { hostile, worker }
    }
}

struct Victim {
    hostile: Hostile,
    worker: Worker,
}

impl Victim {
    /// Makes calls under attack. Each returns `value` or an error that `ERRORS` has, within `DEADLINE` and `extra`. Returns
    /// the results.
    fn suffer(
        &self,
        (target, attack): (Target, Attack),
        jobs: &[Job],
        value: &str,
        extra: Duration,
    ) -> Vec<String> {
        let name = format!("{attack:?} at {target:?}");
        let before = self.worker.usage().memory;
        self.hostile.attack(target, attack);
        let start = Instant::now();
        let (over, worker) = (AtomicBool::new(false), &self.worker);
        let (results, peak) = scope(|threads| {
            let peak = threads.spawn(|| {
                let mut peak = 0;
                while !over.load(Ordering::Relaxed) {
                    peak = peak.max(worker.usage().memory);
                    sleep(Duration::from_millis(10));
                }
                peak
            });
            let results: Vec<_> = {
                // Also if a call does not return.
                let _over = Set(&over);
                let calls: Vec<_> = jobs.iter().map(|job| worker.call(job)).collect();
                calls.iter().map(|call| call.result()).collect()
            };
            (results, peak.join().expect("no thread panicked"))
        });
        let (elapsed, grown) = (start.elapsed(), peak.saturating_sub(before));
        let attacks = self.hostile.attacks();
        println!("{name}: {results:?} after {elapsed:.1?}, {attacks} attacks, {grown} KiB");
        for result in &results {
            match result {
                Ok(found) => assert_eq!(found, value, "{name}"),
                Err(error) => assert!(ERRORS.contains(&error.as_str()), "{name}: {error}"),
            }
        }
        assert!(elapsed < DEADLINE + extra, "{name}: {elapsed:?}");
        assert!(grown < MAX_MEMORY, "{name}: {grown} KiB");
        assert!(attacks > 0, "{name}: nothing was attacked");
        results
            .into_iter()
            .map(|result| result.unwrap_or_else(|error| error))
            .collect()
    }

    /// The server is honest again: a call that returns `value` succeeds.
    fn recover(&self, job: &Job, value: &str) {
        self.hostile.reform();
        eventually("the server to be used again", || {
            (self.worker.call(job).result().as_deref() == Ok(value)).then_some(())
        });
    }
}

/// Sets a flag when it is dropped.
struct Set<'a>(&'a AtomicBool);

impl Drop for Set<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs a test for each attack at the same time, because it mostly waits.
fn for_each(attacks: &[Attack], test: impl Fn(&Scene, Attack) + Sync) {
    let (scene, test) = (&Scene::new(), &test);
    scope(|threads| {
        for attack in attacks {
            threads.spawn(move || test(scene, *attack));
        }
    });
}

/// The attacks that fit the reply of a script.
const SCRIPTS: [Attack; 5] = [
    Attack::Nil,
    Attack::Computed,
    Attack::Done,
    Attack::Exists,
    Attack::DeadHolder,
];

fn hits() -> [Job; 2] {
    ["cached", "cached_sync"].map(|function| Job::new(function, "hit").with("value", "stored"))
}

#[test]
fn a_hostile_reply_to_a_read_is_an_error_in_time() {
    let more = [Attack::Nil, Attack::Computed];
    for_each(&[&ANY[..], &more].concat(), |scene, attack| {
        let victim = scene.victim(&[]);
        victim.suffer(
            (Target::Reply("GETRANGE"), attack),
            &hits(),
            "stored",
            Duration::ZERO,
        );
        victim.recover(&hits()[0], "stored");
    });
}

#[test]
fn a_hostile_reader_delays_a_read_and_harms_none() {
    let more = [Attack::Nil, Attack::Computed];
    for_each(&[&ANY[..], &more].concat(), |scene, attack| {
        let victim = scene.victim(&[]);
        victim.hostile.attack(Target::Reader, Attack::Nothing);
        for job in hits() {
            let before = victim.hostile.attacks();
            eventually("a reader", || {
                victim.worker.call(&job).result().expect("an honest server");
                (victim.hostile.attacks() > before).then_some(())
            });
        }
        let results = victim.suffer((Target::Reader, attack), &hits(), "stored", Duration::ZERO);
        assert_eq!(results, ["stored"; 2], "{attack:?}: the background reads again");
    });
}

#[test]
fn a_hostile_reply_to_a_step_is_an_error_in_time() {
    for_each(&[&ANY[..], &SCRIPTS].concat(), |scene, attack| {
        let victim = scene.victim(&[]);
        let jobs = ["cached", "cached_sync", "uncached"]
            .map(|function| Job::new(function, &format!("{attack:?}-{function}")).with("value", "own"));
        let jobs = jobs.map(|job| job.with("tries", 4));
        victim.suffer((Target::Reply("ACQUIRE"), attack), &jobs, "own", Duration::ZERO);
        victim.recover(
            &Job::new("cached", &format!("{attack:?}-after")).with("value", "own"),
            "own",
        );
    });
}

#[test]
fn a_hostile_reply_to_a_heartbeat_harms_no_call() {
    let body = Duration::from_secs(2);
    for_each(&ANY, |scene, attack| {
        let victim = scene.victim(&[]);
        let job = Job::new("cached", &format!("{attack:?}-beat")).with("value", "own");
        let job = job.with("lease", 1000).with("body", "sleep:2000");
        let results = victim.suffer((Target::Reply("RENEW"), attack), &[job], "own", body);
        assert_eq!(results, ["own"], "{attack:?}: the caller has computed its value");
        victim.recover(&hits()[0], "stored");
    });
}

#[test]
fn a_hostile_reply_to_a_waiting_call_is_an_error_in_time() {
    // Longer than the five seconds before a takeover.
    let wait = Duration::from_secs(7);
    for_each(&[&ANY[..], &SCRIPTS].concat(), |scene, attack| {
        let victim = scene.victim(&[]);
        let key = format!("{attack:?}-wait");
        let held = scene.honest.call(&Job::new("cached", &key).with("body", "gate"));
        held.started();
        let job = Job::new("cached", &key)
            .with("sleep", 500)
            .with("tries", 14)
            .with("value", "own");
        victim.suffer((Target::Watched("ACQUIRE"), attack), &[job], "own", wait);
        held.open_gate();
        held.result().expect("an honest server");
        victim.recover(&hits()[0], "stored");
    });
}

#[test]
fn a_hostile_login_is_an_error_in_time() {
    for target in [Target::Accept, Target::Reply("HELLO"), Target::Reply("INFO")] {
        for_each(&ANY, |scene, attack| {
            let hostile = Hostile::start(scene.server.port());
            let worker = Worker::start(&hostile.url());
            let victim = Victim { hostile, worker };
            // The worker is up.
            victim.worker.logs();
            victim.suffer((target, attack), &hits(), "stored", Duration::ZERO);
            victim.recover(&hits()[0], "stored");
        });
    }
}

#[test]
fn a_connection_that_closes_after_any_byte_of_a_reply_is_an_error_in_time() {
    // Longer than the replies: at their end, the calls succeed.
    const BYTES: usize = 240;
    const EACH: usize = 24;
    let attacks: Vec<_> = (0..BYTES).step_by(EACH).map(Attack::Cut).collect();
    for_each(&attacks, |scene, attack| {
        for step in ["GETRANGE", "ACQUIRE"] {
            let victim = scene.victim(&[]);
            let keys = (0..).map(|number| format!("{attack:?}-{step}-{number}"));
            for key in keys.take_while(|_| victim.hostile.attacks() < EACH) {
                let cold = Job::new("cached", &key)
                    .with("value", "stored")
                    .with("lease", 1000);
                let jobs = [hits()[0].clone(), cold];
                victim.suffer((Target::Reply(step), attack), &jobs, "stored", Duration::ZERO);
            }
            victim.recover(&hits()[0], "stored");
        }
    });
}

#[test]
fn a_flood_to_an_idle_client_fills_no_memory() {
    let attacks = [Attack::IdlePushes, Attack::IdleReplies, Attack::IdleBulk];
    for_each(&attacks, |scene, attack| {
        let victim = scene.victim(&[]);
        let before = victim.worker.usage().memory;
        victim.hostile.attack(Target::Reply("ACQUIRE"), attack);
        let job = Job::new("cached", &format!("{attack:?}-idle")).with("value", "own");
        let first = victim.worker.call(&job).result();
        let mut peak = 0_usize;
        for _ in 0..100 {
            peak = peak.max(victim.worker.usage().memory);
            sleep(Duration::from_millis(20));
        }
        let grown = peak.saturating_sub(before);
        println!("{attack:?}: {first:?}, {grown} KiB while idle");
        assert!(grown < MAX_MEMORY, "{attack:?}: {grown} KiB");
        // The cold calls are attacked too.
        let cold = ["cached", "cached_sync"]
            .map(|function| Job::new(function, &format!("{attack:?}-cold")).with("value", "stored"));
        victim.suffer(
            (Target::Reply("ACQUIRE"), attack),
            &[hits(), cold].concat(),
            "stored",
            Duration::ZERO,
        );
        victim.recover(&hits()[0], "stored");
    });
}

#[test]
fn a_damaged_value_for_ever_is_an_error_in_time() {
    let attacks = [Attack::Damaged, Attack::DamagedAnew];
    for_each(&attacks, |scene, attack| {
        let victim = scene.victim(&[]);
        let jobs = hits();
        victim.suffer(
            (Target::Reply("GETRANGE"), attack),
            &jobs,
            "stored",
            Duration::ZERO,
        );
        let attacks = victim.hostile.attacks();
        let jobs = jobs.map(|job| job.with("tries", 4));
        let cold = Job::new("cached", &format!("{attack:?}-cold")).with("tries", 4);
        let jobs = [&jobs[..], &[cold]].concat();
        let results = victim.suffer(
            (Target::Reply("ACQUIRE"), attack),
            &jobs,
            "stored",
            Duration::ZERO,
        );
        assert_eq!(results[2], "Store", "{attack:?}");
        let attacks = victim.hostile.attacks() - attacks;
        assert!(attacks < 20, "{attack:?}: {attacks} requests");
        // Every reply that may have the value has a damaged one.
        let repeated = Job::new("cached", &format!("{attack:?}-repeated")).with("value", "stored");
        scene.honest.call(&repeated).result().expect("an honest server");
        let before = victim.hostile.attacks();
        let jobs = [repeated.with("tries", 4)];
        let results = victim.suffer((Target::Value, attack), &jobs, "stored", Duration::ZERO);
        assert_eq!(results, ["Store"], "{attack:?}");
        let attacks = victim.hostile.attacks() - before;
        assert!(attacks < 20, "{attack:?}: {attacks} requests");
        victim.recover(&hits()[0], "stored");
    });
}

/// The log of a connection that is closed because it mixed up two replies.
const MIXED_UP: &str = "the reply of another one";

#[test]
fn a_connection_that_gives_a_call_the_value_of_another_key_is_closed() {
    let scene = Scene::new();
    let near = Job::new("near", "hit").with("near", 60_000).with("value", "near");
    scene.honest.call(&near).result().expect("an honest server");
    let cached = &hits()[0];
    let cold = Job::new("cached", "mixed-up").with("value", "own");
    // Each connection for steps sends one such command.
    let connections = || scene.server.command_count(Some("client|tracking"));
    // By the reads of the steps, by a read for the near cache, and by an ACQUIRE.
    let cases = [
        ("GETRANGE", Target::Reply("GETRANGE"), cached, "stored", 0),
        ("near", Target::Watched("GETRANGE"), &near, "near", 0),
        ("ACQUIRE", Target::Reply("ACQUIRE"), &cold, "own", 1),
    ];
    for (name, target, job, value, bodies) in cases {
        let hostile = Hostile::start(scene.server.port());
        let worker = Worker::start(&hostile.url());
        // The first attacked reply is honest: it has the value of another key.
        hostile.attack(
            match target {
                Target::Watched(_) => target,
                _ => Target::Reply("GETRANGE"),
            },
            Attack::ForeignOnce,
        );
        let function = if name == "near" { "near" } else { "cached" };
        let warm = Job::new(function, &format!("warm-{name}"));
        let warm = warm.with("near", 60_000).with("value", "foreign");
        scene.honest.call(&warm).result().expect("an honest server");
        worker.call(&warm).result().expect("an honest reply");
        assert_eq!(hostile.attacks(), 1, "{name}");
        hostile.attack(target, Attack::ForeignOnce);
        let before = connections();
        let outcome = worker.call(job).outcome();
        let logs = worker.logs().join("\n");
        println!("{name}: {outcome:?}, {} attacks\n{logs}", hostile.attacks());
        assert_eq!(outcome, (bodies, Ok(value.to_owned())), "{name}");
        assert!(logs.contains(MIXED_UP), "{name}: {logs}");
        assert_eq!(connections(), before + 1, "{name}: the connection is still used");
    }
}

#[test]
fn a_forged_value_costs_no_connection() {
    let scene = Scene::new();
    let hostile = Hostile::start(scene.server.port());
    let worker = Worker::start(&hostile.url());
    hostile.attack(Target::Reply("GETRANGE"), Attack::Foreign);
    worker.call(&hits()[0]).result().expect("its own value");
    for number in 0..3 {
        let job = Job::new("cached", &format!("forged-{number}")).with("value", "own");
        assert_eq!(worker.call(&job).outcome(), (1, Ok("own".to_owned())));
        let logs = worker.logs().join("\n");
        assert!(!logs.contains(MIXED_UP), "{logs}");
    }
}

#[test]
fn with_a_secret_no_call_gets_the_value_of_another_key() {
    let scene = Scene::new();
    let victim = scene.victim(&[(SECRET, "a secret of the worker")]);
    victim.hostile.attack(Target::Reply("GETRANGE"), Attack::Foreign);
    // The server gives the value of this key for every other one.
    let warm = victim.worker.call(&Job::new("cached", "warm"));
    assert_eq!(warm.result().as_deref(), Ok("warm"));
    for function in ["cached", "cached_sync"] {
        for key in ["one", "two"] {
            let call = victim.worker.call(&Job::new(function, key).with("value", key));
            let result = call.result().unwrap_or_else(|error| error);
            println!("{function} {key}: {result}");
            assert!(
                [key, "Store"].contains(&result.as_str()),
                "{function} {key}: {result}"
            );
        }
    }
}

#[test]
fn a_waiting_call_reads_a_value_above_its_bound_once() {
    let server = Redis::start();
    let proxy = Proxy::start(server.port());
    let [holder, waiter] = [server.url(), proxy.url()].map(|url| Worker::start(&url));
    let held = holder.call(&Job::new("cached", "long").with("body", "gate"));
    held.started();
    let job = Job::new("cached", "long").with("sleep", 50).with("value", "own");
    let waiting = waiter.call(&job);
    eventually("the call to wait", || {
        (proxy.requests("ACQUIRE") > 1).then_some(())
    });
    let long = format!(
        "Btag-of-16-bytes_00000000000000071,host,,,site\n{}",
        "x".repeat(9 << 20)
    );
    server.raw(&["SET", &server.only_name(), &long]);
    let reads = proxy.requests("GETRANGE");
    eventually("some reads", || {
        (proxy.requests("GETRANGE") > reads + 5).then_some(())
    });
    let sent = proxy.bytes_replied();
    let reads = proxy.requests("GETRANGE");
    eventually("more reads", || {
        (proxy.requests("GETRANGE") > reads + 5).then_some(())
    });
    let sent = proxy.bytes_replied() - sent;
    assert!(sent < 1 << 20, "{sent} bytes");
    held.open_gate();
    held.result().expect("an honest server");
    waiting.cancel();
}
