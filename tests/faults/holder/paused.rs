//! Holders that fail, die, hang, or lose their lock.

use std::thread::sleep;
use std::time::Duration;

use dspinlock_testkit::{Job, Redis, Worker};

use crate::common::store::Store;

/// Long enough for a call to have asked the store once.
const A_WHILE: Duration = Duration::from_millis(300);

#[test]
fn a_body_that_blocks_its_thread_for_three_leases_keeps_the_lock() {
    for store in Store::each() {
        for function in ["cached", "cached_sync"] {
            let (holder, waiter) = (Worker::start(&store.url()), Worker::start(&store.url()));
            let job = Job::new(function, function).with("lease", 1500);
            let held = holder.call(&job.clone().with("body", "block:4500").with("value", "first"));
            held.began();
            let waiting = waiter.call(&job.clone().with("value", "second"));
            assert_eq!(held.end().as_deref(), Ok("first"));
            assert_eq!(
                waiting.story(),
                (0, Ok("first".to_owned())),
                "{function} on {}",
                store.url()
            );
        }
    }
}

#[test]
fn a_holder_that_was_paused_for_too_long_never_overwrites_a_newer_value() {
    for store in Store::each() {
        let (holder, other) = (Worker::start(&store.url()), Worker::start(&store.url()));
        let job = Job::new("cached", "key").with("lease", 1000);
        let held = holder.call(&job.clone().with("body", "lost+gate").with("value", "old"));
        let first = held.began();
        holder.pause();
        let next = other.call(&job.clone().with("value", "new"));
        let second = next.began();
        assert!(second > first, "fences grow");
        assert_eq!(next.end().as_deref(), Ok("new"));
        holder.resume();
        assert_eq!(held.event().as_deref(), Some("lost"), "the body is told");
        held.go();
        assert_eq!(held.end().as_deref(), Ok("old"), "a caller gets its own value");
        assert_eq!(holder.call(&job).end().as_deref(), Ok("new"));
    }
}

#[test]
fn a_body_whose_state_was_deleted_stores_nothing() {
    let server = Redis::start();
    let worker = Worker::start(&server.url());
    let job = Job::new("cached", "key");
    let held = worker.call(&job.clone().with("body", "gate").with("value", "old"));
    held.began();
    server.raw(&["DEL", &state_name(&server)]);
    held.go();
    assert_eq!(held.end().as_deref(), Ok("old"));
    let next = worker.call(&job.clone().with("value", "new"));
    assert_eq!(next.story(), (1, Ok("new".to_owned())), "nothing was stored");
}

#[test]
fn a_body_whose_state_was_deleted_leaves_a_newer_value_alone() {
    let server = Redis::start();
    let (holder, other) = (Worker::start(&server.url()), Worker::start(&server.url()));
    let job = Job::new("cached", "key");
    let held = holder.call(&job.clone().with("body", "gate").with("value", "old"));
    held.began();
    server.raw(&["DEL", &state_name(&server)]);
    assert_eq!(
        other.call(&job.clone().with("value", "new")).end().as_deref(),
        Ok("new")
    );
    held.go();
    assert_eq!(held.end().as_deref(), Ok("old"));
    assert_eq!(holder.call(&job).end().as_deref(), Ok("new"));
}

#[test]
fn a_body_whose_state_was_stolen_leaves_the_thief_alone() {
    let server = Redis::start();
    let worker = Worker::start(&server.url());
    let job = Job::new("cached", "key");
    let held = worker.call(&job.clone().with("body", "gate").with("value", "old"));
    held.began();
    let state = state_name(&server);
    let foreign = "0d9ef2f7-33a5-4d5a-8a86-ef4a4f6a2c7f,2026-01-02T03:04:05.000006+00:00";
    let theft = format!("{foreign},0");
    server.raw(&["SET", &state, &theft, "EX", "3600"]);
    held.go();
    assert_eq!(held.end().as_deref(), Ok("old"), "a caller gets its own value");
    // Long enough for an abort from the background, which must not touch it either.
    sleep(A_WHILE);
    assert_eq!(server.get(&state), Some(theft));
    server.raw(&["SET", &state, &format!("{foreign},1"), "EX", "3600"]);
    let next = worker.call(&job.clone().with("value", "new"));
    assert_eq!(
        next.story(),
        (1, Ok("new".to_owned())),
        "the old value is not shown under a foreign state"
    );
}

/// The only state there is.
fn state_name(server: &Redis) -> String {
    let states: Vec<String> = server
        .keys()
        .into_iter()
        .filter(|key| !key.starts_with('{'))
        .collect();
    assert_eq!(states.len(), 1, "{states:?}");
    states.into_iter().next().unwrap_or_default()
}
