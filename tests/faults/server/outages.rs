//! Servers that forget, scripts that are forgotten, and replies that are lost.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use dspinlock_testkit::{At, Fate, Job};

use crate::fixture::Scene;

/// For a waiter to have asked the store.
const A_WHILE: Duration = Duration::from_millis(100);

#[test]
fn whichever_reply_is_lost_the_step_was_taken_once() {
    for step in ["ACQUIRE", "RENEW", "PUBLISH", "ABORT"] {
        for fate in [Fate::Cut, Fate::Hold] {
            let scene = Scene::new();
            let (proxy, worker) = scene.behind_a_proxy();
            let job = scene.job("cached", step).with("lease", 900);
            let body = match step {
                "RENEW" => "sleep:700",
                "ABORT" => "err",
                _ => "",
            };
            let (grants, publishes) = scene.written();
            proxy.on(step, At::Reply, fate);
            let call = worker.call(&job.with("body", body));
            if fate == Fate::Hold {
                proxy.met();
                // What is kept back is lost with its connection.
                proxy.cut();
            }
            let (ran, outcome) = call.story();
            assert_eq!(
                (ran, outcome.is_ok()),
                (1, step != "ABORT"),
                "{step}: {outcome:?}"
            );
            scene.check();
            let kept = usize::from(step != "ABORT");
            assert_eq!(scene.written(), (grants + 1, publishes + kept), "{step}");
        }
    }
}

#[test]
fn scripts_that_are_forgotten_all_the_time_are_no_error() {
    let scene = Scene::new();
    let workers = [scene.worker(), scene.worker()];
    let over = AtomicBool::new(false);
    scope(|threads| {
        threads.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                scene.server.raw(&["SCRIPT", "FLUSH"]);
            }
        });
        for round in 0..200 {
            let calls: Vec<_> = workers
                .iter()
                .flat_map(|worker| {
                    ["cached", "each", "cached_sync"]
                        .map(|function| worker.call(&scene.job(function, format_args!("{function}{round}"))))
                })
                .collect();
            for call in calls {
                assert!(call.end().is_ok(), "round {round}");
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    scene.check().check_exclusion();
}

#[test]
fn a_server_that_forgets_everything_keeps_nothing_of_who_held_before() {
    for round in 0..20 {
        let scene = Scene::new();
        let (holder, waiter) = (scene.worker(), scene.worker());
        let job = scene.job("cached", "key").with("sleep", 10_000);
        let held = holder.call(&job.clone().with("body", "gate").with("value", "old"));
        held.began();
        let waiting = waiter.call(&job.with("value", "new"));
        sleep(A_WHILE);
        let start = Instant::now();
        scene.server.raw(&["FLUSHALL"]);
        waiting.began();
        let took = start.elapsed();
        assert!(took < Duration::from_secs(1), "round {round}: {took:?}");
        assert_eq!(waiting.end().as_deref(), Ok("new"));
        held.go();
        assert_eq!(
            held.end().as_deref(),
            Ok("old"),
            "its own value, which is not kept"
        );
        let again = waiter.call(&scene.job("cached", "key"));
        assert_eq!(again.story(), (0, Ok("new".to_owned())), "round {round}");
    }
}

/// A publish that meets a new server is LOST, or kept where the lock was: never wrong.
fn restarted(options: &[&str], remembers: bool) {
    let mut scene = Scene::with(options);
    let (holder, waiter) = (scene.worker(), scene.worker());
    let job = Job::new("cached", "key").with("lease", 30_000).with("sleep", 500);
    let held = holder.call(&job.clone().with("body", "gate").with("value", "old"));
    held.began();
    let waiting = waiter.call(&job.clone().with("value", "new"));
    sleep(A_WHILE);
    // What was written is on the disk by now, where anything is kept.
    sleep(Duration::from_millis(1200));
    scene.restart();
    let up = Instant::now();
    if !remembers {
        waiting.began();
        let took = up.elapsed();
        assert!(took < Duration::from_secs(1), "{took:?} after it was up");
        assert_eq!(waiting.end().as_deref(), Ok("new"));
    }
    held.go();
    assert_eq!(held.end().as_deref(), Ok("old"));
    if remembers {
        // Its publish is LOST, as it cannot know what the server forgot, and gives the key up.
        let (_, value) = waiting.story();
        let took = up.elapsed();
        assert!(
            value.is_ok() && took < Duration::from_secs(2),
            "{took:?}, {value:?}"
        );
    }
    let last = scene.worker().call(&job.with("value", "third")).story();
    assert_eq!(last.0, 0, "a result is kept: {last:?}");
}

#[test]
fn after_a_restart_without_data_waiters_go_on_and_the_old_publish_is_lost() {
    restarted(&[], false);
}

#[test]
fn after_a_restart_with_its_data_nothing_is_wrong() {
    restarted(&["--appendonly", "yes", "--appendfsync", "always"], true);
}

/// Nobody could be told that the key is free: it is said again when the server is back.
#[test]
fn a_call_that_fails_while_the_server_is_away_frees_the_key_when_it_is_back() {
    let mut scene = Scene::with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let (holder, waiter) = (scene.worker(), scene.worker());
    let job = scene.job("cached", "key").with("lease", 30_000);
    let held = holder.call(&job.clone().with("body", "gate+err"));
    held.began();
    scene.server.kill();
    held.go();
    assert_eq!(held.end(), Err("Body".to_owned()));
    scene.restart();
    let start = Instant::now();
    let (ran, outcome) = waiter.call(&job.with("sleep", 10_000)).story();
    let took = start.elapsed();
    println!("failed while the server was away: free after {took:.1?}");
    assert!(ran == 1 && outcome.is_ok(), "{outcome:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

/// What a network kept back arrives when the key was deleted: the lock is granted anew, under a greater fence, and the
/// body that had it before can no longer publish.
#[test]
fn an_old_acquire_that_arrives_after_a_delete_makes_the_old_publish_lost() {
    let scene = Scene::new();
    let (proxy, holder) = scene.behind_a_proxy();
    let next = scene.worker();
    let before = scene.server.keys();
    let job = scene.job("cached", "key").with("sleep", 10_000);
    let held = holder.call(&job.clone().with("body", "gate").with("value", "old"));
    let first = held.began();
    let old = proxy.request("ACQUIRE").expect("it asked for the lock");
    for name in scene.server.keys().iter().filter(|name| !before.contains(name)) {
        scene.server.raw(&["DEL", name]);
    }
    let mut stream = TcpStream::connect(("127.0.0.1", scene.server.port())).expect("the server listens");
    stream.write_all(&old).expect("the server takes commands");
    let mut reply = [0; 256];
    let length = stream.read(&mut reply).expect("an answer");
    let reply = String::from_utf8_lossy(&reply[..length]);
    assert!(reply.contains("ACQUIRED"), "{reply}");
    let waiting = next.call(&job.clone().with("value", "new"));
    sleep(A_WHILE);
    assert!(waiting.is_quiet(), "the key is held again");
    held.go();
    assert_eq!(held.end().as_deref(), Ok("old"), "its own value");
    let second = waiting.began();
    assert!(second > first, "fences grow");
    assert_eq!(waiting.end().as_deref(), Ok("new"), "the old value was not kept");
    let again = holder.call(&job.with("value", "third"));
    assert_eq!(again.story(), (0, Ok("new".to_owned())));
}
