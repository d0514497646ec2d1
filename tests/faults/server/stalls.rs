//! Waiters under unkind conditions: a stale key, a crowded server, pushes that do not arrive.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use dspinlock_testkit::Worker;

use crate::fixture::Scene;

const A_WHILE: Duration = Duration::from_millis(200);

#[test]
fn fifty_waiters_on_one_stale_key_take_it_over_once() {
    let scene = Scene::new();
    let workers: Vec<Worker> = (0..5).map(|_| scene.worker()).collect();
    let job = scene
        .job("cached", "stale")
        .with("block", 1000)
        .with("lease", 1000)
        .with("sleep", 1000);
    // A first call tells the key's name.
    let before = scene.server.keys();
    assert!(workers[0].call(&job).end().is_ok());
    let state = scene
        .server
        .keys()
        .into_iter()
        .find(|name| !name.starts_with('{') && !before.contains(name))
        .expect("it left its state");
    let (grants, _) = scene.written();
    scene.server.raw(&["DEL", &format!("{{{state}}},value")]);
    let stale = "gone,2001-01-01T00:00:00+00:00,0";
    scene.server.raw(&["SET", state.as_str(), stale, "PX", "600000"]);
    let start = Instant::now();
    let calls: Vec<_> = (0..10)
        .flat_map(|_| workers.iter().map(|worker| worker.call(&job)))
        .collect();
    let mut bodies = 0;
    for call in calls {
        let (ran, outcome) = call.story();
        assert!(outcome.is_ok(), "{outcome:?}");
        bodies += ran;
    }
    println!("taken over after {:.1?}", start.elapsed());
    assert_eq!((bodies, scene.written().0), (1, grants + 1));
    scene.check().check_exclusion();
}

#[test]
fn among_200_000_other_keys_a_waiter_goes_on_when_the_lease_is_over() {
    let scene = Scene::new();
    let fill = "for i = 1, 200000 do redis.call('SET', 'other:' .. i, i, 'PX', 600000 + i) end";
    scene.server.raw(&["EVAL", fill, "0"]);
    let lease = Duration::from_millis(1500);
    let (mut holder, waiter) = (scene.worker(), scene.worker());
    let job = scene
        .job("cached", "key")
        .with("lease", lease.as_millis())
        .with("sleep", 10_000);
    let held = holder.call(&job.clone().with("body", "gate"));
    held.began();
    let waiting = waiter.call(&job);
    sleep(A_WHILE);
    drop(held);
    let start = Instant::now();
    holder.kill();
    waiting.began();
    let took = start.elapsed();
    println!("among 200,000 keys: the next body {took:.1?} after kill -9");
    assert!(took <= lease + Duration::from_millis(300), "{took:?}");
    assert!(waiting.end().is_ok());
}

#[test]
fn where_pushes_are_lost_a_waiter_goes_on_within_one_sleep() {
    let scene = Scene::new();
    let holder = scene.worker();
    let (proxy, waiter) = scene.behind_a_proxy();
    proxy.lose_pushes(true);
    goes_on_within_one_sleep(&scene, &holder, &waiter);
}

#[test]
fn where_connections_are_killed_all_the_time_a_waiter_goes_on_within_one_sleep() {
    let scene = Scene::new();
    let (holder, (proxy, waiter)) = (scene.worker(), scene.behind_a_proxy());
    let over = AtomicBool::new(false);
    scope(|threads| {
        threads.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                proxy.cut();
                sleep(Duration::from_millis(100));
            }
        });
        let _over = Over(&over);
        goes_on_within_one_sleep(&scene, &holder, &waiter);
    });
}

/// Also where the test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn goes_on_within_one_sleep(scene: &Scene, holder: &Worker, waiter: &Worker) {
    let pause = Duration::from_millis(500);
    for round in 0..10 {
        let job = scene
            .job("cached", round)
            .with("lease", 60_000)
            .with("block", 120_000)
            .with("sleep", pause.as_millis());
        let held = holder.call(&job.clone().with("body", "gate").with("value", "first"));
        held.began();
        let waiting = waiter.call(&job);
        sleep(A_WHILE);
        held.go();
        assert_eq!(held.end().as_deref(), Ok("first"));
        let start = Instant::now();
        assert_eq!(waiting.story(), (0, Ok("first".to_owned())), "round {round}");
        let took = start.elapsed();
        assert!(
            took <= pause + Duration::from_millis(500),
            "round {round}: {took:?}"
        );
    }
}

#[test]
fn a_waiter_whose_server_stalls_for_less_than_a_lease_keeps_its_place() {
    let scene = Scene::with(&["--enable-debug-command", "yes"]);
    let (holder, waiter) = (scene.worker(), scene.worker());
    let job = scene
        .job("cached", "short")
        .with("lease", 3000)
        .with("sleep", 10_000);
    let held = holder.call(&job.clone().with("body", "gate").with("value", "first"));
    held.began();
    let waiting = waiter.call(&job.with("value", "second"));
    sleep(A_WHILE);
    scene.server.raw(&["DEBUG", "SLEEP", "1"]);
    held.go();
    assert_eq!(held.end().as_deref(), Ok("first"), "the lease was kept");
    assert_eq!(waiting.story(), (0, Ok("first".to_owned())));
    scene.check();
}

#[test]
fn a_holder_whose_server_stalls_for_longer_than_its_lease_is_lost_and_one_result_is_kept() {
    let scene = Scene::with(&["--enable-debug-command", "yes"]);
    let (holder, waiter) = (scene.worker(), scene.worker());
    let job = scene
        .job("cached", "long")
        .with("lease", 1000)
        .with("sleep", 10_000);
    let (_, publishes) = scene.written();
    let held = holder.call(&job.clone().with("body", "gate").with("value", "old"));
    let first = held.began();
    let waiting = waiter.call(&job.clone().with("value", "new"));
    sleep(A_WHILE);
    scene.server.raw(&["DEBUG", "SLEEP", "3"]);
    assert!(waiting.began() > first, "fences grow");
    assert_eq!(waiting.end().as_deref(), Ok("new"));
    held.go();
    assert_eq!(held.end().as_deref(), Ok("old"), "its own value");
    let lost = holder.logs().iter().any(|line| line.contains("was lost"));
    assert!(lost, "it knows of its loss");
    let again = waiter.call(&job.with("value", "third"));
    assert_eq!(again.story(), (0, Ok("new".to_owned())));
    scene.check();
    assert_eq!(scene.written().1, publishes + 1);
}
