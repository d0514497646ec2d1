//! The near cache, on real servers. The age is ten minutes where a test does not say otherwise: whatever is seen to
//! change has changed for another reason.

use std::thread::sleep;
use std::time::{Duration, Instant};

use dspinlock_testkit::{Job, Proxy, Python, Redis, Worker, eventually};

const A_WHILE: Duration = Duration::from_millis(300);

struct Scene {
    server: Redis,
    proxy: Proxy,
    worker: Worker,
}

impl Scene {
    fn new() -> Self {
        Self::on(Redis::start())
    }

    fn on(server: Redis) -> Self {
        let proxy = Proxy::before(server.port());
        let worker = Worker::start(&proxy.url());
        Self {
            server,
            proxy,
            worker,
        }
    }

    /// Computes the value, and reads it into the near cache.
    fn warm(&self, job: &Job) -> String {
        let value = self.worker.call(job).end().expect("a value");
        assert_eq!(self.worker.call(job).story(), (0, Ok(value.clone())));
        self.settle(job);
        value
    }

    /// Reads what is there into the near cache.
    fn warm_again(&self, job: &Job) -> String {
        let value = self.worker.call(job).end().expect("a value");
        self.settle(job);
        value
    }

    /// The push of the call's own ACQUIRE may come behind the next read's start, which it then voids: the value is kept
    /// after one of the next reads.
    fn settle(&self, job: &Job) {
        eventually("a value in the near cache", || self.is_near(job).then_some(()));
    }

    /// Whether a call is answered without the server.
    fn is_near(&self, job: &Job) -> bool {
        self.proxy.reset();
        assert_eq!(self.worker.call(job).story().0, 0);
        self.proxy.trips().is_empty()
    }

    /// Waits until a call computes anew.
    fn computes(&self, job: &Job, before: &str) {
        let start = Instant::now();
        let value = eventually("a new value", || match self.worker.call(job).story() {
            (1, value) => Some(value.expect("a value")),
            _ => None,
        });
        assert_ne!(value, before);
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }

    fn unlink_all(&self) {
        for key in self.server.keys() {
            self.server.raw(&["UNLINK", &key]);
        }
    }
}

const FUNCTIONS: [&str; 3] = ["near", "near_sync", "near_shared"];

#[test]
fn a_value_that_was_read_is_not_read_again() {
    let scene = Scene::new();
    for function in FUNCTIONS {
        let job = Job::new(function, "key");
        let value = scene.warm(&job);
        scene.proxy.reset();
        for _ in 0..50 {
            assert_eq!(scene.worker.call(&job).story(), (0, Ok(value.clone())));
        }
        assert!(scene.proxy.trips().is_empty(), "{:?}", scene.proxy.trips());
    }
}

#[test]
fn a_read_into_the_near_cache_is_one_round_trip() {
    let scene = Scene::new();
    for function in FUNCTIONS {
        let job = Job::new(function, "key");
        scene.worker.call(&job).end().unwrap();
        scene.proxy.reset();
        scene.worker.call(&job).end().unwrap();
        assert_eq!(scene.proxy.trips().len(), 1, "{:?}", scene.proxy.trips());
    }
}

#[test]
fn whoever_removes_a_key_removes_it_here_too() {
    let scene = Scene::new();
    for function in FUNCTIONS {
        let job = Job::new(function, "key");
        let value = scene.warm(&job);
        scene.unlink_all();
        scene.computes(&job, &value);
        let value = scene.warm_again(&job);
        scene.server.raw(&["FLUSHALL"]);
        scene.computes(&job, &value);
    }
}

#[test]
fn another_process_deletes_and_computes() {
    let scene = Scene::new();
    let other = Worker::start(&scene.server.url());
    let job = Job::new("near_shared", "key");
    for _ in 0..3 {
        scene.worker.call(&job).end().unwrap();
        let before = scene.warm_again(&job);
        other.call(&Job::new("forget", "key")).end().unwrap();
        let (bodies, after) = other.call(&job).story();
        assert!(bodies <= 1);
        eventually("the other's value", || {
            (scene.worker.call(&job).story() == (0, after.clone())).then_some(())
        });
        assert_ne!(Ok(before), after);
    }
}

#[test]
fn a_python_worker_takes_the_key() {
    let scene = Scene::new();
    let python = Python::start(
        include_str!("../common/peer.py"),
        &[&scene.server.port().to_string()],
    );
    assert_eq!(python.ask("new a key=example"), "ok");
    let job = Job::new("near_shared", "example");
    let value = scene.warm(&job);
    assert_eq!(python.ask("acquire a"), "ok");
    assert_eq!(python.ask("release a"), "ok");
    scene.computes(&job, &value);
}

#[test]
fn a_lost_connection_empties_it() {
    let scene = Scene::new();
    for function in FUNCTIONS {
        let job = Job::new(function, "key");
        let value = scene.warm(&job);
        // With no connection there is nobody to tell.
        scene.proxy.cut();
        scene.unlink_all();
        sleep(A_WHILE);
        assert_ne!(scene.worker.call(&job).end(), Ok(value));
        scene.warm_again(&job);
    }
}

#[test]
fn a_restarted_server_empties_it() {
    let mut scene = Scene::new();
    let job = Job::new("near", "key");
    let value = scene.warm(&job);
    scene.server.restart();
    scene.computes(&job, &value);
    scene.warm_again(&job);
}

#[test]
fn what_has_changed_since_it_was_read_is_not_kept() {
    let scene = Scene::new();
    for function in FUNCTIONS {
        let job = Job::new(function, "key");
        let value = scene.worker.call(&job).end();
        scene.proxy.stall_replies();
        let reading = scene.worker.call(&job);
        sleep(A_WHILE);
        // The server has answered, and what it answered is outdated before it arrives.
        scene.unlink_all();
        scene.proxy.resume();
        assert_eq!(reading.story(), (0, value.clone()));
        // Kept in spite of the push, it would stay for ten minutes.
        scene.computes(&job, &value.unwrap());
    }
}

#[test]
fn nothing_is_older_than_the_greatest_age() {
    let scene = Scene::new();
    let job = Job::new("near", "key");
    scene.warm(&job);
    let young = job.with("near", 2000);
    sleep(Duration::from_secs(2));
    assert!(!scene.is_near(&young), "older than two seconds");
    assert!(scene.is_near(&young), "read anew");
    sleep(Duration::from_secs(2));
    assert!(!scene.is_near(&young));
}

#[test]
fn nothing_outlives_its_own_end() {
    // A server that does not look for expired keys: it will not say that one is gone.
    let scene = Scene::on(Redis::with(&["--enable-debug-command", "yes"]));
    scene.server.raw(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]);
    for function in FUNCTIONS {
        let job = Job::new(function, "key").with("ttl", 1000);
        let value = scene.worker.call(&job).end();
        // Published before, so that it ends within a second from now.
        let start = Instant::now();
        sleep(Duration::from_millis(600));
        // In the near cache with less than a half of its life to go.
        assert_eq!(scene.worker.call(&job).story(), (0, value.clone()));
        sleep(Duration::from_millis(1100).saturating_sub(start.elapsed()));
        let (bodies, after) = scene.worker.call(&job).story();
        assert_eq!(bodies, 1, "{function} at {:?}", start.elapsed());
        assert_ne!(after, value);
    }
}

#[test]
fn who_deletes_and_computes_sees_it_at_once() {
    let scene = Scene::new();
    let rewritten = scene.worker.call(&Job::new("rewrite", "key"));
    assert_eq!(rewritten.end(), Ok("0 stale".to_owned()));
}

#[test]
fn without_pushes_there_is_none() {
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
        let value = worker.call(&job).end();
        assert_eq!(worker.call(&job).story(), (0, value.clone()));
        for key in server.keys() {
            server.raw(&["UNLINK", &key]);
        }
        assert_eq!(worker.call(&job).story().0, 1, "{function} trusted a copy");
    }
    let said = worker
        .logs()
        .iter()
        .filter(|line| line.contains("near cache"))
        .count();
    assert_eq!(said, 1, "{:?}", worker.logs());
}

#[test]
fn a_registration_that_is_refused_keeps_nothing() {
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
    worker.call(&job).end().unwrap();
    worker.call(&job).end().unwrap();
    // A FLUSHALL would be pushed to every connection.
    for key in server.keys() {
        server.raw(&["UNLINK", &key]);
    }
    assert_eq!(worker.call(&job).story().0, 1);
}

#[test]
fn the_embedded_store_is_always_read() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/locks.db", folder.path().display());
    let (worker, other) = (Worker::start(&url), Worker::start(&url));
    let job = Job::new("near_shared", "key");
    let value = worker.call(&job).end();
    assert_eq!(worker.call(&job).story(), (0, value.clone()));
    assert_eq!(worker.call(&job).story(), (0, value));
    other.call(&Job::new("forget", "key")).end().unwrap();
    assert_eq!(worker.call(&job).story().0, 1);
}
