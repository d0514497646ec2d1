//! Keys that are deleted or overwritten while others compute, publish or read them.

use std::thread::sleep;
use std::time::{Duration, Instant};

use dspinlock_testkit::{Job, Redis, Worker};

use crate::common::assertions::assert_publish_is_lost;
use crate::staleness::{Plan, Report, start};

#[test]
fn ten_thousand_random_deletes_cause_no_stale_hit() {
    let server = Redis::start();
    let plan = Plan {
        keys: 3,
        writers: 1,
        rounds: 3334,
    };
    let start_time = Instant::now();
    let processes: Vec<_> = (0..plan.keys)
        .map(|key| start(&server.url(), plan, key))
        .collect();
    let report = Report::of(&processes);
    println!(
        "{} deletes in {:?}: {report:?}",
        plan.keys * plan.rounds,
        start_time.elapsed()
    );
    assert_eq!(report.stale, 0, "{report:?}");
    // The run was random enough.
    assert!(
        report.lost > 100 && report.near > 100 && report.bodies > plan.rounds,
        "{report:?}"
    );
}

#[test]
fn a_body_whose_entry_was_deleted_stores_nothing() {
    let server = Redis::start();
    let worker = Worker::start(&server.url());
    let job = Job::new("cached", "key");
    let held = worker.call(&job.clone().with("body", "gate").with("value", "old"));
    held.started();
    server.raw(&["DEL", &server.only_name()]);
    assert_publish_is_lost(&held, &worker, &job);
}

#[test]
fn a_body_whose_entry_was_deleted_keeps_a_newer_value() {
    let server = Redis::start();
    let (holder, other) = (Worker::start(&server.url()), Worker::start(&server.url()));
    let job = Job::new("cached", "key");
    let held = holder.call(&job.clone().with("body", "gate").with("value", "old"));
    held.started();
    server.raw(&["DEL", &server.only_name()]);
    assert_eq!(
        other.call(&job.clone().with("value", "new")).result().as_deref(),
        Ok("new")
    );
    held.open_gate();
    assert_eq!(held.result().as_deref(), Ok("old"));
    assert_eq!(holder.call(&job).result().as_deref(), Ok("new"));
}

#[test]
fn a_body_whose_entry_was_overwritten_keeps_the_foreign_one() {
    let server = Redis::start();
    let worker = Worker::start(&server.url());
    let job = Job::new("cached", "key");
    let held = worker.call(&job.clone().with("body", "gate").with("value", "old"));
    held.started();
    let name = server.only_name();
    let foreign = "tag-of-16-bytes_00000000000000071,host";
    let foreign_lock = format!("B{foreign},,,site\n");
    server.raw(&["SET", &name, &foreign_lock, "EX", "3600"]);
    held.open_gate();
    assert_eq!(
        held.result().as_deref(),
        Ok("old"),
        "the caller does not get its own value"
    );
    // Long enough for an abort by the background thread, which must not change it either.
    sleep(Duration::from_millis(300));
    assert_eq!(server.get(&name), Some(foreign_lock));
    let mark = format!("M{foreign},1,2,0,00000000,0123456789_,ok,,,site\n");
    server.raw(&["SET", &name, &mark, "EX", "3600"]);
    let next = worker.call(&job.clone().with("value", "new"));
    assert_eq!(
        next.outcome(),
        (1, Ok("new".to_owned())),
        "the old value was used with a foreign entry"
    );
}
