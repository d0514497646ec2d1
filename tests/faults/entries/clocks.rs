//! Clients whose clocks are an hour off: among Rust workers nobody's wall clock is asked.

use std::thread::{self, sleep};
use std::time::{Duration, Instant, SystemTime};

use dspinlock_runtime::internals::protocol::state::State;
use dspinlock_testkit::{History, Job, Journal, Redis, Worker, begin, finish, wrong_clock};

/// A lock that is an hour old would be taken over by the default `max_block_time`, and values live for an hour.
const CLOCKS: [(&str, i64); 3] = [("+0", 0), ("+1h", 3600), ("-1h", -3600)];

/// A worker whose clock is so wrong.
fn worker(server: &Redis, (by, seconds): (&str, i64)) -> Worker {
    let clock = wrong_clock(by);
    let clock: Vec<_> = clock
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let worker = Worker::with(&server.url(), &clock);
    let call = worker.call(&Job::new("each", "clock").with("body", "clock"));
    call.began();
    let told = call.event().expect("its clock");
    let told = told.strip_prefix("clock ").and_then(|time| time.parse().ok());
    let off: i64 = told.map_or(0, |told: i64| told - now());
    assert!((off - seconds).abs() < 60, "a clock of {by} is {off} s off");
    drop(call);
    worker
}

fn workers(server: &Redis) -> Vec<Worker> {
    CLOCKS.map(|clock| worker(server, clock)).into()
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.expect("a time after 1970").as_secs() as i64
}

#[test]
fn wrong_clocks_compute_once_and_in_turn() {
    let server = Redis::start();
    let workers = workers(&server);
    for round in 0..20 {
        let job = Job::new("cached", &format!("round{round}")).with("body", "sleep:20");
        let (bodies, values, errors) = finish(&begin(&workers, 4, &job));
        assert_eq!((bodies, values.len(), errors), (1, 1, vec![]), "round {round}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let journal = Journal::within(&folder);
    let job = Job::new("each", "in-turn")
        .with("body", "sleep:2")
        .with("sleep", 20)
        .with("journal", journal.path().display());
    let (bodies, _, errors) = finish(&begin(&workers, 10, &job));
    assert_eq!((bodies, errors), (30, vec![]));
    let history = History::of(&journal);
    history.check();
    history.check_exclusion();
}

#[test]
fn a_lock_of_a_wrong_clock_is_kept_for_its_lease_and_no_longer() {
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
                let first = held.began();
                let waiting = waiter.call(&job);
                // A state that looks old and is the same for five seconds would be taken over.
                sleep(Duration::from_millis(5600));
                assert!(waiting.is_quiet(), "the lease was not kept");
                drop(held);
                let start = Instant::now();
                holder.kill();
                let second = waiting.began();
                let took = start.elapsed();
                println!("the next body after {took:?}");
                assert!(took <= LEASE + Duration::from_millis(500), "{took:?}");
                assert!(second > first, "fences grow");
            });
        }
    });
}

#[test]
fn a_value_of_a_wrong_clock_lives_for_its_ttl_and_no_longer() {
    const TTL: Duration = Duration::from_millis(1000);
    let server = Redis::start();
    let workers = workers(&server);
    for writer in &workers {
        for function in ["cached", "near"] {
            let job = Job::new(function, &format!("{}", writer.id())).with("ttl", TTL.as_millis());
            let start = Instant::now();
            let value = writer.call(&job).end();
            // The second read of a near cache is served by the process itself.
            for reader in workers.iter().chain(&workers) {
                let found = reader.call(&job).story();
                assert!(found == (0, value.clone()) || start.elapsed() >= TTL, "{found:?}");
            }
            sleep((TTL + Duration::from_millis(100)).saturating_sub(start.elapsed()));
            let (bodies, values, errors) = finish(&begin(&workers, 1, &job));
            assert_eq!((bodies, values.len(), errors), (1, 1, vec![]), "{function}");
            assert!(
                !values.contains(&value.unwrap_or_default()),
                "{function}: its time was over"
            );
        }
    }
}

#[test]
fn a_state_bears_the_servers_time_whatever_the_callers_clock() {
    let far = [("+400d", 400 * 86_400), ("-400d", -400 * 86_400)];
    for clock in CLOCKS.into_iter().chain(far) {
        let server = Redis::start();
        let worker = worker(&server, clock);
        server.raw(&["FLUSHALL"]);
        worker.call(&Job::new("cached", "key")).end().expect("a value");
        let name = server.keys().into_iter().find(|key| !key.starts_with('{'));
        let bytes = server.bytes(&name.expect("a state")).expect("a state");
        let state = State::parse(&bytes).expect("a state of ours");
        let off = state.timestamp / 1_000_000 - now();
        assert!(off.abs() < 60, "by a clock of {}: {off} s", clock.0);
    }
}
