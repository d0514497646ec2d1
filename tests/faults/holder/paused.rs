//! Holders that block or are paused.

use std::thread;

use dspinlock_testkit::{Job, Worker};

use crate::common::store::Store;

#[test]
fn a_body_that_blocks_its_thread_for_three_leases_keeps_its_lock() {
    let blocks = |store: &Store, function: &str| {
        let (holder, waiter) = (Worker::start(&store.url()), Worker::start(&store.url()));
        let job = Job::new(function, function).with("lease", 1500);
        let held = holder.call(&job.clone().with("body", "block:4500").with("value", "first"));
        held.started();
        let waiting = waiter.call(&job.clone().with("value", "second"));
        assert_eq!(held.result().as_deref(), Ok("first"));
        assert_eq!(
            waiting.outcome(),
            (0, Ok("first".to_owned())),
            "{function} on {}",
            store.url()
        );
    };
    Store::on_each(|store| {
        thread::scope(|scope| {
            scope.spawn(|| blocks(&store, "cached"));
            blocks(&store, "cached_sync");
        });
    });
}

#[test]
fn a_holder_paused_past_its_lease_never_overwrites_a_newer_value() {
    for store in Store::each() {
        let (holder, other) = (Worker::start(&store.url()), Worker::start(&store.url()));
        let job = Job::new("cached", "key").with("lease", 1000);
        let held = holder.call(&job.clone().with("body", "lost+gate").with("value", "old"));
        let first = held.started();
        holder.pause();
        let next = other.call(&job.clone().with("value", "new"));
        let second = next.started();
        assert!(second > first, "fences grow");
        assert_eq!(next.result().as_deref(), Ok("new"));
        holder.resume();
        assert_eq!(
            held.event().as_deref(),
            Some("lost"),
            "the body does not see the loss"
        );
        held.open_gate();
        assert_eq!(
            held.result().as_deref(),
            Ok("old"),
            "the caller does not get its own value"
        );
        assert_eq!(holder.call(&job).result().as_deref(), Ok("new"));
    }
}
