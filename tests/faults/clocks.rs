//! Clients whose clocks are an hour off: among Rust workers nobody's wall clock is asked.

use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use dspinlock_testkit::{History, Job, Journal, Redis, Worker, begin, finish, wrong_clock};

/// One worker with the right time, one that is an hour ahead, and one that is an hour behind. A lock that is an hour
/// old would be taken over by the default `max_block_time`, and values live for an hour.
fn workers(server: &Redis) -> Vec<Worker> {
    ["+0", "+1h", "-1h"]
        .map(|by| {
            let clock = wrong_clock(by);
            let clock: Vec<_> = clock
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            let worker = Worker::with(&server.url(), &clock);
            let call = worker.call(&Job::new("each", "clock").with("body", "clock"));
            call.began();
            let told = call.event().expect("its clock");
            let told: i64 = told
                .strip_prefix("clock ")
                .and_then(|time| time.parse().ok())
                .expect("seconds");
            let off = told - now();
            let expected = match by {
                "+1h" => 3600,
                "-1h" => -3600,
                _ => 0,
            };
            assert!((off - expected).abs() < 60, "the clock of {by} is {off} s off");
            worker
        })
        .into()
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
    let job = Job::new("each", "in turn")
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
    for (holder, waiter) in [(1, 2), (2, 1), (0, 1), (2, 0)] {
        let server = Redis::start();
        let mut workers = workers(&server);
        let job = Job::new("cached", "key")
            .with("lease", LEASE.as_millis())
            .with("sleep", 50);
        let held = workers[holder].call(&job.clone().with("body", "gate"));
        let first = held.began();
        let mut taker = workers.remove(waiter);
        let holder = workers.remove(if waiter < holder { holder - 1 } else { holder });
        drop(held);
        let waiting = taker.call(&job);
        sleep(2 * LEASE);
        assert!(waiting.is_quiet(), "the lease was not kept");
        let (start, mut holder) = (Instant::now(), holder);
        holder.kill();
        let second = waiting.began();
        println!("the next body after {:?}", start.elapsed());
        assert!(
            start.elapsed() <= LEASE + Duration::from_millis(500),
            "{:?}",
            start.elapsed()
        );
        assert!(second > first, "fences grow");
        drop(waiting);
        taker.kill();
    }
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
