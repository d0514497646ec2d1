//! Restarts, flushes, and lost replies.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use dspinlock_testkit::{Action, Job, Stage};

use crate::fixture::Fixture;

/// Long enough for a waiter to query the store.
const SHORT_PAUSE: Duration = Duration::from_millis(100);

#[test]
fn a_step_whose_reply_is_lost_takes_effect_once() {
    for step in ["ACQUIRE", "RENEW", "PUBLISH", "RELEASE", "ABORT"] {
        for fate in [Action::Disconnect, Action::Hold] {
            let fixture = Fixture::new();
            let (proxy, worker) = fixture.proxied_worker();
            let function = if step == "RELEASE" { "uncached" } else { "cached" };
            let job = fixture.job(function, step).with("lease", 900);
            let body = match step {
                "RENEW" => "sleep:700",
                "ABORT" => "err",
                _ => "",
            };
            let (grants, publishes) = fixture.written();
            proxy.intercept(step, Stage::Reply, fate);
            let call = worker.call(&job.with("body", body));
            if fate == Action::Hold {
                proxy.wait_matched();
                // The held reply is lost with its connection.
                proxy.disconnect();
            }
            let (ran, outcome) = call.outcome();
            assert_eq!(
                (ran, outcome.is_ok()),
                (1, step != "ABORT"),
                "{step}: {outcome:?}"
            );
            fixture.check();
            let logs = worker.logs();
            assert!(
                !logs.iter().any(|line| line.contains("not published")),
                "{logs:?}"
            );
            let kept = usize::from(!matches!(step, "RELEASE" | "ABORT"));
            assert_eq!(fixture.written(), (grants + 1, publishes + kept), "{step}");
        }
    }
}

#[test]
fn script_flushes_cause_no_error() {
    let fixture = Fixture::new();
    let workers = [fixture.worker(), fixture.worker()];
    let stop = AtomicBool::new(false);
    scope(|threads| {
        threads.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                fixture.server.raw(&["SCRIPT", "FLUSH"]);
            }
        });
        for round in 0..200 {
            let calls: Vec<_> = workers
                .iter()
                .flat_map(|worker| {
                    ["cached", "uncached", "cached_sync"].map(|function| {
                        worker.call(&fixture.job(function, format_args!("{function}{round}")))
                    })
                })
                .collect();
            for call in calls {
                assert!(call.result().is_ok(), "round {round}");
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    fixture.check().check_exclusion();
}

#[test]
fn after_a_flush_the_old_publish_is_lost() {
    for round in 0..20 {
        let fixture = Fixture::new();
        let (holder, waiter) = (fixture.worker(), fixture.worker());
        let job = fixture.job("cached", "key").with("sleep", 10_000);
        let held = holder.call(&job.clone().with("body", "gate").with("value", "old"));
        held.started();
        let waiting = waiter.call(&job.with("value", "new"));
        sleep(SHORT_PAUSE);
        let start = Instant::now();
        fixture.server.raw(&["FLUSHALL"]);
        waiting.started();
        let elapsed = start.elapsed();
        assert!(elapsed < Duration::from_secs(1), "round {round}: {elapsed:?}");
        assert_eq!(waiting.result().as_deref(), Ok("new"));
        held.open_gate();
        assert_eq!(
            held.result().as_deref(),
            Ok("old"),
            "the caller does not get its own value"
        );
        let again = waiter.call(&fixture.job("cached", "key"));
        assert_eq!(again.outcome(), (0, Ok("new".to_owned())), "round {round}");
    }
}

/// Restarts the server while a body runs. If the data is lost, the publish is LOST.
fn restart_during_a_body(options: &[&str], keeps_data: bool) {
    let mut fixture = Fixture::with(options);
    let (holder, waiter) = (fixture.worker(), fixture.worker());
    let job = Job::new("cached", "key").with("lease", 30_000).with("sleep", 500);
    let held = holder.call(&job.clone().with("body", "gate").with("value", "old"));
    held.started();
    let waiting = waiter.call(&job.clone().with("value", "new"));
    sleep(SHORT_PAUSE);
    // By now the log is on disk, if the server keeps one.
    sleep(Duration::from_millis(1200));
    fixture.restart();
    let restarted = Instant::now();
    if !keeps_data {
        waiting.started();
        let elapsed = restarted.elapsed();
        assert!(elapsed < Duration::from_secs(1), "{elapsed:?} after the restart");
        assert_eq!(waiting.result().as_deref(), Ok("new"));
    }
    held.open_gate();
    assert_eq!(held.result().as_deref(), Ok("old"));
    if keeps_data {
        // The publish is LOST, because the holder cannot know what the server has lost. The key is aborted.
        let (_, value) = waiting.outcome();
        let elapsed = restarted.elapsed();
        assert!(
            value.is_ok() && elapsed < Duration::from_secs(2),
            "{elapsed:?}, {value:?}"
        );
    }
    let last = fixture.worker().call(&job.with("value", "third")).outcome();
    assert_eq!(last.0, 0, "no result is kept: {last:?}");
}

#[test]
fn after_a_restart_without_data_the_old_publish_is_lost() {
    restart_during_a_body(&[], false);
}

#[test]
fn after_a_restart_with_data_waiters_get_a_result() {
    restart_during_a_body(&["--appendonly", "yes", "--appendfsync", "always"], true);
}

/// The abort is repeated when the server is back.
#[test]
fn a_call_that_fails_during_an_outage_frees_its_key_afterwards() {
    let mut fixture = Fixture::with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let (holder, waiter) = (fixture.worker(), fixture.worker());
    let job = fixture.job("cached", "key").with("lease", 30_000);
    let held = holder.call(&job.clone().with("body", "gate+err"));
    held.started();
    fixture.server.kill();
    held.open_gate();
    assert_eq!(held.result(), Err("Body".to_owned()));
    fixture.restart();
    let start = Instant::now();
    let (ran, outcome) = waiter.call(&job.with("sleep", 10_000)).outcome();
    let elapsed = start.elapsed();
    println!("failed while the server was away: free after {elapsed:.1?}");
    assert!(ran == 1 && outcome.is_ok(), "{outcome:?}");
    assert!(elapsed < Duration::from_secs(5), "{elapsed:?}");
}

/// The network delivers the ACQUIRE again after the key was deleted. The lock is granted with a greater fence, so that the
/// first body cannot publish.
#[test]
fn a_repeated_acquire_after_a_delete_makes_the_old_publish_lost() {
    let fixture = Fixture::new();
    let (proxy, holder) = fixture.proxied_worker();
    let next = fixture.worker();
    let before = fixture.server.keys();
    let job = fixture.job("cached", "key").with("sleep", 10_000);
    let held = holder.call(&job.clone().with("body", "gate").with("value", "old"));
    let first = held.started();
    let old = proxy
        .last_request("ACQUIRE")
        .expect("the holder has sent an ACQUIRE");
    for name in fixture.server.keys().iter().filter(|name| !before.contains(name)) {
        fixture.server.raw(&["DEL", name]);
    }
    let mut stream =
        TcpStream::connect(("127.0.0.1", fixture.server.port())).expect("the server accepts connections");
    stream.write_all(&old).expect("the server accepts commands");
    let mut reply = [0; 256];
    let length = stream.read(&mut reply).expect("a reply");
    let reply = String::from_utf8_lossy(&reply[..length]);
    assert!(reply.starts_with("$33\r\nB"), "no grant: {reply}");
    let waiting = next.call(&job.clone().with("value", "new"));
    sleep(SHORT_PAUSE);
    assert!(waiting.is_pending(), "the key is not locked");
    held.open_gate();
    assert_eq!(
        held.result().as_deref(),
        Ok("old"),
        "the caller does not get its own value"
    );
    let second = waiting.started();
    assert!(second > first, "fences grow");
    assert_eq!(waiting.result().as_deref(), Ok("new"), "the old value was kept");
    let again = holder.call(&job.with("value", "third"));
    assert_eq!(again.outcome(), (0, Ok("new".to_owned())));
}
