//! The near cache, on real servers. The maximum age is ten minutes unless a test sets it, so that no value changes because
//! of its age.

use std::thread::sleep;
use std::time::{Duration, Instant};

use dspinlock_testkit::{Job, Redis, Worker, eventually};

use crate::common::proxied::Proxied;

const SHORT_PAUSE: Duration = Duration::from_millis(300);

impl Proxied {
    /// Computes the value and reads it into the near cache.
    fn warm(&self, job: &Job) -> String {
        let value = self.worker.call(job).result().expect("a value");
        assert_eq!(self.worker.call(job).outcome(), (0, Ok(value.clone())));
        self.wait_near(job);
        value
    }

    /// Reads the current value into the near cache.
    fn warm_again(&self, job: &Job) -> String {
        let value = self.worker.call(job).result().expect("a value");
        self.wait_near(job);
        value
    }

    /// Waits until the value is in the near cache. The push of the call's own ACQUIRE may invalidate the next read.
    fn wait_near(&self, job: &Job) {
        eventually("a value in the near cache", || self.is_near(job).then_some(()));
    }

    /// Whether a call returns without a request to the server.
    fn is_near(&self, job: &Job) -> bool {
        self.proxy.clear_round_trips();
        assert_eq!(self.worker.call(job).outcome().0, 0);
        self.proxy.round_trips().is_empty()
    }

    /// Waits until a call computes a new value.
    fn wait_recomputed(&self, job: &Job, before: &str) {
        let start = Instant::now();
        let value = eventually("a new value", || match self.worker.call(job).outcome() {
            (1, value) => Some(value.expect("a value")),
            _ => None,
        });
        assert_ne!(value, before);
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }
}

const FUNCTIONS: [&str; 2] = ["near", "near_sync"];

#[test]
fn a_near_hit_sends_no_request() {
    let fixture = Proxied::new();
    for function in FUNCTIONS {
        let job = Job::new(function, "key");
        let value = fixture.warm(&job);
        fixture.proxy.clear_round_trips();
        for _ in 0..50 {
            assert_eq!(fixture.worker.call(&job).outcome(), (0, Ok(value.clone())));
        }
        assert!(
            fixture.proxy.round_trips().is_empty(),
            "{:?}",
            fixture.proxy.round_trips()
        );
    }
}

#[test]
fn a_read_into_the_near_cache_is_one_round_trip() {
    let fixture = Proxied::new();
    for function in FUNCTIONS {
        let job = Job::new(function, "key");
        fixture.worker.call(&job).result().unwrap();
        fixture.proxy.clear_round_trips();
        fixture.worker.call(&job).result().unwrap();
        assert_eq!(
            fixture.proxy.round_trips().len(),
            1,
            "{:?}",
            fixture.proxy.round_trips()
        );
    }
}

#[test]
fn a_removed_key_is_invalidated() {
    let fixture = Proxied::new();
    for function in FUNCTIONS {
        let job = Job::new(function, "key");
        let value = fixture.warm(&job);
        fixture.server.unlink_all();
        fixture.wait_recomputed(&job, &value);
        let value = fixture.warm_again(&job);
        fixture.server.raw(&["FLUSHALL"]);
        fixture.wait_recomputed(&job, &value);
    }
}

#[test]
fn a_delete_by_another_process_invalidates() {
    let fixture = Proxied::new();
    let other = Worker::start(&fixture.server.url());
    let job = Job::new("near", "key");
    for _ in 0..3 {
        fixture.worker.call(&job).result().unwrap();
        let before = fixture.warm_again(&job);
        other.call(&Job::new("delete_near", "key")).result().unwrap();
        let (bodies, after) = other.call(&job).outcome();
        assert!(bodies <= 1);
        eventually("the value of the other process", || {
            (fixture.worker.call(&job).outcome() == (0, after.clone())).then_some(())
        });
        assert_ne!(Ok(before), after);
    }
}

#[test]
fn a_lost_connection_clears_the_near_cache() {
    let fixture = Proxied::new();
    for function in FUNCTIONS {
        let job = Job::new(function, "key");
        let value = fixture.warm(&job);
        // Without a connection there is no push.
        fixture.proxy.disconnect();
        fixture.server.unlink_all();
        sleep(SHORT_PAUSE);
        assert_ne!(fixture.worker.call(&job).result(), Ok(value));
        fixture.warm_again(&job);
    }
}

#[test]
fn a_restarted_server_clears_the_near_cache() {
    let mut fixture = Proxied::new();
    let job = Job::new("near", "key");
    let value = fixture.warm(&job);
    fixture.server.restart();
    fixture.wait_recomputed(&job, &value);
    fixture.warm_again(&job);
}

#[test]
fn a_read_that_is_outdated_on_arrival_is_not_kept() {
    let fixture = Proxied::new();
    for function in FUNCTIONS {
        let job = Job::new(function, "key");
        let value = fixture.worker.call(&job).result();
        fixture.proxy.stall_replies();
        let reading = fixture.worker.call(&job);
        sleep(SHORT_PAUSE);
        // The server has replied, and the reply becomes outdated before it arrives.
        fixture.server.unlink_all();
        fixture.proxy.resume();
        assert_eq!(reading.outcome(), (0, value.clone()));
        // If it were kept in spite of the push, it would stay for ten minutes.
        fixture.wait_recomputed(&job, &value.unwrap());
    }
}

#[test]
fn a_near_value_is_never_older_than_its_maximum_age() {
    let fixture = Proxied::new();
    let job = Job::new("near", "key");
    fixture.warm(&job);
    let young = job.with("near", 2000);
    sleep(Duration::from_secs(2));
    assert!(!fixture.is_near(&young), "the value is older than two seconds");
    assert!(fixture.is_near(&young), "the value was not read again");
    sleep(Duration::from_secs(2));
    assert!(!fixture.is_near(&young));
}

#[test]
fn a_near_value_expires_with_its_ttl() {
    // A server that does not search for expired keys pushes no expiry.
    let fixture = Proxied::on(Redis::with_args(&["--enable-debug-command", "yes"]));
    fixture.server.raw(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]);
    for function in FUNCTIONS {
        let job = Job::new(function, "key").with("ttl", 1000);
        let value = fixture.worker.call(&job).result();
        // It was published before, so that it expires within a second from now.
        let start = Instant::now();
        sleep(Duration::from_millis(600));
        // It enters the near cache with less than half of its ttl remaining.
        assert_eq!(fixture.worker.call(&job).outcome(), (0, value.clone()));
        sleep(Duration::from_millis(1100).saturating_sub(start.elapsed()));
        let (bodies, after) = fixture.worker.call(&job).outcome();
        assert_eq!(bodies, 1, "{function} at {:?}", start.elapsed());
        assert_ne!(after, value);
    }
}

#[test]
fn a_process_sees_its_own_deletes_at_once() {
    let fixture = Proxied::new();
    let rewritten = fixture.worker.call(&Job::new("delete_and_compute", "key"));
    assert_eq!(rewritten.result(), Ok("0 stale".to_owned()));
}

#[test]
fn without_tracking_nothing_is_kept() {
    let server = Redis::start();
    server.raw(&[
        "ACL",
        "SETUSER",
        "quiet",
        "on",
        ">secret",
        "~*",
        "&*",
        "+@all",
        "-client|tracking",
    ]);
    let worker = Worker::start(&server.url_for("quiet", "secret"));
    for function in FUNCTIONS {
        let job = Job::new(function, "key");
        let value = worker.call(&job).result();
        assert_eq!(worker.call(&job).outcome(), (0, value.clone()));
        server.unlink_all();
        assert_eq!(worker.call(&job).outcome().0, 1, "{function} used the near cache");
    }
    let warnings = worker
        .logs()
        .iter()
        .filter(|line| line.contains("near cache"))
        .count();
    assert_eq!(warnings, 1, "{:?}", worker.logs());
}

#[test]
fn a_refused_registration_keeps_nothing() {
    let server = Redis::start();
    server.raw(&[
        "ACL",
        "SETUSER",
        "half",
        "on",
        ">secret",
        "~*",
        "&*",
        "+@all",
        "-client|caching",
    ]);
    let worker = Worker::start(&server.url_for("half", "secret"));
    let job = Job::new("near", "key");
    worker.call(&job).result().unwrap();
    worker.call(&job).result().unwrap();
    server.unlink_all();
    assert_eq!(worker.call(&job).outcome().0, 1);
}

#[test]
fn the_embedded_store_has_no_near_cache() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/locks.db", folder.path().display());
    let (worker, other) = (Worker::start(&url), Worker::start(&url));
    let job = Job::new("near", "key");
    let value = worker.call(&job).result();
    assert_eq!(worker.call(&job).outcome(), (0, value.clone()));
    assert_eq!(worker.call(&job).outcome(), (0, value));
    other.call(&Job::new("delete_near", "key")).result().unwrap();
    assert_eq!(worker.call(&job).outcome().0, 1);
}
