//! One time limit includes everything that a request needs: connecting, the reader, the connection for steps, and retries.

use std::thread::scope;
use std::time::{Duration, Instant};

use dspinlock_testkit::{Attack, BareClient, Hostile, Job, Redis, Target, Worker, eventually};

/// The time limit of a request.
const LIMIT: Duration = Duration::from_secs(2);
/// The limit, two ticks, and a margin for a loaded machine. If each attempt had its own limit, a call would take longer.
const MAX: Duration = Duration::from_millis(2700);

/// Makes a call that fails with one of these errors, before `max` and what a loaded machine delays a bare client.
fn fails_in_time(worker: &Worker, job: &Job, name: &str, errors: &[&str], max: Duration) {
    let (start, bare) = (Instant::now(), BareClient::start());
    let result = worker.call(job).result();
    let (elapsed, delay) = (start.elapsed(), bare.delay());
    println!("{name}: {result:?} after {elapsed:.1?}, a bare client waits {delay:.1?}");
    assert!(
        matches!(&result, Err(error) if errors.contains(&error.as_str())),
        "{name}: {result:?}"
    );
    assert!(elapsed < max + delay, "{name}: {elapsed:?}, {delay:?}");
}

/// What a request fails with at its limit.
const AT_LIMIT: [&str; 2] = ["Store", "RedisNotInitialized"];

fn limited(url: &str) -> Worker {
    Worker::start(&format!("{url}?socket_timeout={}", LIMIT.as_secs()))
}

/// A worker whose async and sync callers have readers, and its server.
fn with_readers(server: &Redis) -> (Hostile, Worker) {
    let hostile = Hostile::start(server.port());
    let worker = limited(&hostile.url());
    hostile.attack(Target::Reader, Attack::Nothing);
    for function in ["cached", "cached_sync"] {
        let before = hostile.attacks();
        eventually("a reader", || {
            worker
                .call(&Job::new(function, "warm"))
                .result()
                .expect("an honest server");
            (hostile.attacks() > before).then_some(())
        });
    }
    (hostile, worker)
}

/// The attacks that a request can only end by its limit.
const ATTACKS: [Attack; 3] = [
    Attack::Mute,
    Attack::Drip,
    Attack::Hang(Duration::from_millis(1500)),
];

#[test]
fn a_read_by_a_reader_and_then_with_the_steps_has_one_limit() {
    let server = &Redis::start();
    scope(|threads| {
        for (attack, function) in ATTACKS
            .iter()
            .flat_map(|attack| [(*attack, "cached"), (*attack, "cached_sync")])
        {
            threads.spawn(move || {
                let name = format!("{attack:?} to {function}");
                let (hostile, worker) = with_readers(server);
                hostile.attack(Target::Reply("GETRANGE"), attack);
                fails_in_time(&worker, &Job::new(function, "warm"), &name, &AT_LIMIT, MAX);
            });
        }
    });
}

#[test]
fn a_step_that_is_sent_again_has_one_limit() {
    let server = &Redis::start();
    scope(|threads| {
        for (attack, function) in ATTACKS
            .iter()
            .flat_map(|attack| [(*attack, "uncached"), (*attack, "uncached_sync")])
        {
            threads.spawn(move || {
                let name = format!("{attack:?} to {function}");
                let hostile = Hostile::start(server.port());
                let worker = limited(&hostile.url());
                let job = |key: &str| Job::new(function, &format!("{}-{key}", worker.id()));
                worker.call(&job("first")).result().expect("an honest server");
                hostile.attack(Target::Reply("ACQUIRE"), attack);
                fails_in_time(&worker, &job("second"), &name, &AT_LIMIT, MAX);
            });
        }
    });
}

#[test]
fn a_tracked_read_has_one_limit() {
    let server = &Redis::start();
    scope(|threads| {
        for attack in ATTACKS {
            threads.spawn(move || {
                let name = format!("{attack:?}");
                let hostile = Hostile::start(server.port());
                let worker = limited(&hostile.url());
                let job = |key| Job::new("near", &format!("{attack:?}-{key}"));
                worker.call(&job("first")).result().expect("an honest server");
                hostile.attack(Target::Watched("GETRANGE"), attack);
                fails_in_time(&worker, &job("second"), &name, &AT_LIMIT, MAX);
            });
        }
    });
}

#[test]
fn a_look_of_a_waiting_call_has_one_limit() {
    let server = &Redis::start();
    let holder = &Worker::start(&server.url());
    scope(|threads| {
        for attack in ATTACKS {
            threads.spawn(move || {
                let key = format!("{attack:?}");
                let held = holder.call(&Job::new("uncached", &key).with("body", "gate"));
                held.started();
                let hostile = Hostile::start(server.port());
                let worker = limited(&hostile.url());
                worker
                    .call(&Job::new("uncached", &format!("{key}-first")))
                    .result()
                    .expect("an honest server");
                hostile.attack(Target::Watched("ACQUIRE"), attack);
                // The first look that fails comes after the end of the wait.
                let job = Job::new("uncached", &key).with("sleep", 100).with("tries", 1);
                let max = MAX + Duration::from_millis(100);
                fails_in_time(&worker, &job, &key, &["SpinlockTriesExceeded"], max);
                held.open_gate();
                held.result().expect("an honest server");
            });
        }
    });
}

#[test]
fn the_bytes_of_a_lost_attempt_extend_the_limit() {
    let server = &Redis::start();
    scope(|threads| {
        for function in ["cached", "cached_sync"] {
            threads.spawn(move || {
                let hostile = Hostile::start(server.port());
                let worker = Worker::start(&format!("{}?socket_timeout=1", hostile.url()));
                let large = Job::new(function, "large").with("size", 1_000_000);
                worker.call(&large).result().expect("an honest server");
                hostile.attack(Target::Reply("GETRANGE"), Attack::Break);
                let start = Instant::now();
                let outcome = worker.call(&large).outcome();
                let elapsed = start.elapsed();
                println!("{function}: {outcome:?} after {elapsed:.1?}");
                assert!(outcome.0 == 0 && outcome.1.is_ok(), "{function}: {outcome:?}");
                assert!(elapsed > Duration::from_secs(1), "{function}: {elapsed:?}");
            });
        }
    });
}

#[test]
fn a_frozen_server_is_an_error_at_the_limit_of_a_request() {
    // Much less than the two seconds that an attempt to connect may take.
    const MAX: Duration = Duration::from_millis(1500);
    let frozen = |worker: &Worker, job: &Job, name: &str| fails_in_time(worker, job, name, &AT_LIMIT, MAX);
    let server = &Redis::start();
    let url = &format!("{}?socket_timeout=0.5", server.url());
    let worker = |function| {
        let worker = Worker::start(url);
        for _ in 0..12 {
            worker
                .call(&Job::new(function, function))
                .result()
                .expect("a good server");
        }
        worker
    };
    let functions = ["cached", "cached_sync", "uncached", "uncached_sync", "near"];
    let workers = functions.map(|function| (function, worker(function), Worker::start(url)));
    for (_, _, cold) in &workers {
        // It is up.
        cold.logs();
    }
    server.pause();
    scope(|threads| {
        for (function, warm, cold) in &workers {
            let job = Job::new(function, "frozen");
            let second = job.clone();
            threads.spawn(move || frozen(warm, &job, &format!("{function} on open connections")));
            threads.spawn(move || frozen(cold, &second, &format!("{function} as the first call")));
        }
    });
    server.resume();
    for (function, warm, cold) in &workers {
        for worker in [warm, cold] {
            eventually("the server to be used again", || {
                worker.call(&Job::new(function, "after")).result().ok()
            });
        }
    }
}
