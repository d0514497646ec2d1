//! A machine that was suspended. The clock of a worker process is moved on by hand, while the server's goes on as usual.

use std::time::{Duration, Instant};

use dspinlock_testkit::{Job, Worker, eventually};

use crate::common::proxied::Proxied;
use crate::common::store::Store;

const SUSPENDED: Duration = Duration::from_secs(12);

#[test]
fn a_lease_that_expired_in_the_meantime_is_lost_at_once_and_publishes_nothing() {
    Store::on_each(|store| {
        let (holder, other) = (Worker::start(&store.url()), Worker::start(&store.url()));
        let job = Job::new("cached", "key").with("lease", 6000);
        let body = format!("suspend:{}+lost", SUSPENDED.as_millis());
        let call = holder.call(&job.clone().with("body", body).with("value", "old"));
        call.started();
        assert_eq!(call.event().as_deref(), Some("is lost"));
        let start = Instant::now();
        assert_eq!(call.event().as_deref(), Some("lost"));
        assert!(
            start.elapsed() < Duration::from_millis(500),
            "{:?}",
            start.elapsed()
        );
        assert_eq!(call.result().as_deref(), Ok("old"));
        // By the store's clock the lease lasts for some seconds more, so a publish would succeed.
        let next = other.call(&job.with("value", "new"));
        assert_eq!(next.outcome(), (1, Ok("new".to_owned())));
    });
}

#[test]
fn a_waiter_gives_up_when_its_time_is_over() {
    Store::on_each(|store| {
        let (holder, waiter) = (Worker::start(&store.url()), Worker::start(&store.url()));
        let job = Job::new("cached", "key");
        let held = holder.call(&job.clone().with("body", "gate"));
        held.started();
        waiter
            .call(&Job::new("cached", "first"))
            .result()
            .expect("a value");
        let patient = job.with("tries", 1).with("sleep", 11_000);
        // One call waits for the other process, the other one for the first.
        let waiting = [waiter.call(&patient), waiter.call(&patient)];
        eventually("waiting calls", || {
            waiter.in_use().contains("flights: 1").then_some(())
        });
        std::thread::sleep(Duration::from_millis(300));
        let start = Instant::now();
        waiter.suspended(SUSPENDED);
        for call in waiting {
            assert_eq!(call.outcome(), (0, Err("SpinlockTriesExceeded".to_owned())));
        }
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
        held.open_gate();
        held.result().expect("a value");
    });
}

#[test]
fn a_near_value_is_not_older_than_its_age() {
    let fixture = Proxied::new();
    for (age, hits) in [(10_000, false), (20_000, true)] {
        let job = Job::new("near", &format!("{age}")).with("near", age);
        let value = fixture.worker.call(&job).result();
        let is_near = || {
            fixture.proxy.clear_round_trips();
            assert_eq!(fixture.worker.call(&job).outcome(), (0, value.clone()));
            fixture.proxy.round_trips().is_empty()
        };
        eventually("a near value", || is_near().then_some(()));
        fixture.worker.suspended(SUSPENDED);
        assert_eq!(is_near(), hits, "near_cache = {age} ms");
    }
}
