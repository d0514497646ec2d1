//! Clients with wrong wall clocks. Rust workers never use them.

use std::thread::{self, sleep};
use std::time::{Duration, Instant, SystemTime};

use dspinlock_runtime::internals::protocol::state::State;
use dspinlock_testkit::{History, Job, Journal, Redis, Worker, join_calls, shifted_clock, start_calls};

/// One hour is more than the default `max_block_time`, and the ttl of values.
const CLOCKS: [(&str, i64); 3] = [("+0", 0), ("+1h", 3600), ("-1h", -3600)];

/// A worker with this clock. Checks that the clock is shifted.
fn worker(server: &Redis, (by, seconds): (&str, i64)) -> Worker {
    let clock = shifted_clock(by);
    let clock: Vec<_> = clock
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let worker = Worker::with_env(&server.url(), &clock);
    let call = worker.call(&Job::new("uncached", "clock").with("body", "clock"));
    call.started();
    let clock = call.event().expect("the worker reports its clock");
    let told = clock.strip_prefix("clock ").and_then(|time| time.parse().ok());
    let off: i64 = told.map_or(0, |told: i64| told - now());
    assert!((off - seconds).abs() < 60, "the clock {by} is {off} s off");
    drop(call);
    worker
}

fn workers(server: &Redis) -> Vec<Worker> {
    CLOCKS.map(|clock| worker(server, clock)).into()
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.expect("the time is after 1970").as_secs() as i64
}

#[test]
fn with_wrong_clocks_bodies_run_once_and_in_turn() {
    let server = Redis::start();
    let workers = workers(&server);
    for round in 0..20 {
        let job = Job::new("cached", &format!("round{round}")).with("body", "sleep:20");
        let (bodies, values, errors) = join_calls(&start_calls(&workers, 4, &job));
        assert_eq!((bodies, values.len(), errors), (1, 1, vec![]), "round {round}");
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let journal = Journal::in_folder(&folder);
    let job = Job::new("uncached", "in-turn")
        .with("body", "sleep:2")
        .with("sleep", 20)
        .with("journal", journal.path().display());
    let (bodies, _, errors) = join_calls(&start_calls(&workers, 10, &job));
    assert_eq!((bodies, errors), (30, vec![]));
    let history = History::of(&journal);
    history.check();
    history.check_exclusion();
}

#[test]
fn a_lock_of_a_holder_with_a_wrong_clock_lasts_for_its_lease() {
    const LEASE: Duration = Duration::from_millis(1200);
    let [right, ahead, behind] = CLOCKS;
    thread::scope(|scope| {
        for (holder, waiter) in [(ahead, behind), (behind, ahead), (behind, right), (right, ahead)] {
            scope.spawn(move || {
                let server = Redis::start();
                let (mut holder, waiter) = (worker(&server, holder), worker(&server, waiter));
                let job = Job::new("cached", "key")
                    .with("lease", LEASE.as_millis())
                    .with("sleep", 50);
                let held = holder.call(&job.clone().with("body", "gate"));
                let first = held.started();
                let waiting = waiter.call(&job);
                // A state that looks old and does not change for five seconds would be taken over.
                sleep(Duration::from_millis(5600));
                assert!(waiting.is_pending(), "the lease was not renewed");
                drop(held);
                let start = Instant::now();
                holder.kill();
                let second = waiting.started();
                let elapsed = start.elapsed();
                println!("the next body after {elapsed:?}");
                assert!(elapsed <= LEASE + Duration::from_millis(500), "{elapsed:?}");
                assert!(second > first, "the fence does not grow");
            });
        }
    });
}

#[test]
fn a_value_of_a_writer_with_a_wrong_clock_lasts_for_its_ttl() {
    const TTL: Duration = Duration::from_millis(1000);
    let server = Redis::start();
    let workers = workers(&server);
    for writer in &workers {
        for function in ["cached", "near"] {
            let job = Job::new(function, &format!("{}", writer.id())).with("ttl", TTL.as_millis());
            let start = Instant::now();
            let value = writer.call(&job).result();
            // The second read is a near-cache hit.
            for reader in workers.iter().chain(&workers) {
                let found = reader.call(&job).outcome();
                assert!(found == (0, value.clone()) || start.elapsed() >= TTL, "{found:?}");
            }
            sleep((TTL + Duration::from_millis(100)).saturating_sub(start.elapsed()));
            let (bodies, values, errors) = join_calls(&start_calls(&workers, 1, &job));
            assert_eq!((bodies, values.len(), errors), (1, 1, vec![]), "{function}");
            assert!(
                !values.contains(&value.unwrap_or_default()),
                "{function}: the value outlived its ttl"
            );
        }
    }
}

#[test]
fn a_state_has_the_time_of_the_server() {
    let far = [("+400d", 400 * 86_400), ("-400d", -400 * 86_400)];
    for clock in CLOCKS.into_iter().chain(far) {
        let server = Redis::start();
        let worker = worker(&server, clock);
        server.raw(&["FLUSHALL"]);
        worker.call(&Job::new("shared", "key")).result().expect("a value");
        let bytes = server.bytes(&server.only_name()).expect("a state");
        let state = State::parse(&bytes).expect("the state can be parsed");
        let off = state.timestamp / 1_000_000 - now();
        assert!(off.abs() < 60, "written with the clock {}: {off} s off", clock.0);
    }
}
