//! A lock that many callers want: how it is handed on in a process and between processes, and what waiting costs.

use std::collections::HashMap;
use std::thread::sleep;
use std::time::Duration;

use dspinlock_testkit::{Action, Call, Job, Redis, Stage, Worker, eventually};

use crate::common::proxied::Proxied;

/// A call that only a change of its key wakes.
fn job() -> Job {
    Job::new("uncached", "key")
        .with("sleep", 60_000)
        .with("lease", 60_000)
}

/// A call that holds the lock until its gate is opened, and `count` calls that follow it.
fn held(worker: &Worker, count: usize) -> (Call<'_>, Vec<Call<'_>>) {
    let held = worker.call(&job().with("body", "gate"));
    held.started();
    let next = (0..count).map(|_| worker.call(&job())).collect();
    // They send nothing while they follow. After 100 ms each looks how far the holder has come, and then not for a minute.
    sleep(Duration::from_millis(250));
    (held, next)
}

#[test]
fn the_next_acquire_travels_behind_the_release() {
    let Proxied {
        server: _server,
        proxy,
        worker,
    } = Proxied::new().connected();
    let (held, next) = held(&worker, 1);
    proxy.intercept("RELEASE", Stage::Reply, Action::Hold);
    let before = proxy.requests("ACQUIRE");
    held.open_gate();
    eventually("an ACQUIRE before the reply to the RELEASE", || {
        (proxy.requests("ACQUIRE") > before).then_some(())
    });
    assert!(held.is_pending());
    proxy.resume();
    assert!(held.result().is_ok());
    assert_eq!(next[0].outcome().0, 1);
}

/// The keys of Python are polled: a waiter that polls would never see the gap between two holders.
#[test]
fn a_shared_lock_is_not_handed_on() {
    let Proxied {
        server: _server,
        proxy,
        worker,
    } = Proxied::new().connected();
    let job = Job::new("shared_uncached", "key");
    let held = worker.call(&job.clone().with("body", "gate"));
    held.started();
    let next = worker.call(&job);
    sleep(Duration::from_millis(50));
    proxy.intercept("PUBLISH", Stage::Reply, Action::Hold);
    let before = proxy.requests("ACQUIRE");
    held.open_gate();
    proxy.wait_matched();
    sleep(Duration::from_millis(50));
    assert_eq!(proxy.requests("ACQUIRE"), before);
    proxy.resume();
    assert!(held.result().is_ok() && next.result().is_ok());
}

/// If the RELEASE is lost, the next caller waits for its second copy.
#[test]
fn a_lost_release_is_sent_again_and_no_two_callers_hold_the_lock() {
    for stage in [Stage::Request, Stage::Reply] {
        let Proxied {
            server: _server,
            proxy,
            worker,
        } = Proxied::new().connected();
        let (held, next) = held(&worker, 3);
        proxy.intercept("RELEASE", stage, Action::Disconnect);
        held.open_gate();
        assert!(held.result().is_ok(), "{stage:?}");
        let mut fences: Vec<_> = next.iter().map(|call| call.started()).collect();
        assert!(next.iter().all(|call| call.result().is_ok()), "{stage:?}");
        fences.sort_unstable();
        fences.dedup();
        assert_eq!(fences.len(), 3, "{stage:?}");
    }
}

/// A server that has lost its scripts does not execute the RELEASE, but it may execute the ACQUIRE behind it.
#[test]
fn a_release_without_its_script_is_sent_again() {
    let server = Redis::start();
    let worker = Worker::start(&server.url());
    for _ in 0..5 {
        let (held, next) = held(&worker, 3);
        server.raw(&["SCRIPT", "FLUSH"]);
        held.open_gate();
        assert!(held.result().is_ok());
        assert!(next.iter().all(|call| matches!(call.outcome(), (1, Ok(_)))));
    }
}

#[test]
fn each_look_of_a_waiter_is_five_commands() {
    let server = Redis::start();
    let workers = Worker::start_many(2, &server.url());
    let held = workers[0].call(&job().with("body", "gate"));
    held.started();
    let waiting = workers[1].call(&job());
    let looks = || server.command_count(Some("client|caching"));
    eventually("the first look", || (looks() == 1).then_some(()));
    let sent = || -> u64 {
        let commands = ["client|caching", "evalsha", "time", "set", "getrange", "pttl"];
        commands.iter().map(|name| server.command_count(Some(name))).sum()
    };
    let key = server.keys().pop().expect("the lock");
    for round in 1..=3 {
        // Longer than the quiet time that ends the pauses.
        sleep(Duration::from_millis(150));
        let before = sent();
        server.raw(&["PEXPIRE", &key, "60000"]);
        eventually("the next look", || (looks() == 1 + round).then_some(()));
        sleep(Duration::from_millis(20));
        assert_eq!(sent() - before, 5);
    }
    held.open_gate();
    assert!(held.result().is_ok());
    assert!(waiting.result().is_ok());
}

/// A process that knows of another one watches the key after its turn, before it asks again. A process that is alone asks at
/// once. No other request of an uncached call is a plain read.
#[test]
fn a_turn_ends_after_eight_hand_overs_if_another_process_was_seen() {
    for is_alone in [true, false] {
        let Proxied {
            server,
            proxy,
            worker,
        } = Proxied::new().connected();
        let other = Worker::start(&server.url());
        let holder = if is_alone { &worker } else { &other };
        let held = holder.call(&job().with("body", "gate"));
        held.started();
        let callers: Vec<_> = (0..12).map(|_| worker.call(&job())).collect();
        sleep(Duration::from_millis(100));
        let before = proxy.requests("GETRANGE");
        held.open_gate();
        assert!(held.result().is_ok());
        assert!(callers.iter().all(|call| call.result().is_ok()));
        let rests = proxy.requests("GETRANGE") - before;
        assert_eq!(rests == 0, is_alone, "{rests} rests");
    }
}

/// No two grants have one fence, and no process waits until the other one has served all its callers.
#[test]
fn a_process_leaves_the_lock_to_another_one_after_its_turn() {
    const CALLERS: usize = 60;
    let server = Redis::start();
    let workers = Worker::start_many(2, &server.url());
    let held = workers[0].call(&job().with("body", "gate"));
    held.started();
    let calls: Vec<_> = (0..CALLERS)
        .flat_map(|_| [0, 1])
        .map(|worker| (worker, workers[worker].call(&job())))
        .collect();
    eventually("the other process waits", || {
        (server.command_count(Some("client|caching")) >= 1).then_some(())
    });
    held.open_gate();
    let mut grants: Vec<_> = calls
        .iter()
        .map(|(worker, call)| (call.started(), *worker))
        .collect();
    grants.sort_unstable();
    let counts = grants
        .iter()
        .fold(HashMap::<_, usize>::new(), |mut counts, (fence, _)| {
            *counts.entry(fence).or_default() += 1;
            counts
        });
    assert!(
        counts.values().all(|count| *count == 1),
        "two grants have one fence"
    );
    let runs: Vec<_> = grants.chunk_by(|a, b| a.1 == b.1).map(<[_]>::len).collect();
    println!("{runs:?}");
    // A run may consist of several turns if the other process is slow.
    assert!(runs.len() >= 4, "{runs:?}");
    assert!(runs[0] <= CALLERS / 2, "{runs:?}");
}
