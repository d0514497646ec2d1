//! Many callers of one cold key.

use std::time::{Duration, Instant};

use redis::Commands;
use tokio::task::JoinSet;

use crate::functions::{now, slow};
use crate::measure::{Row, median};
use crate::worker;

const PROCESSES: usize = 8;
const CALLERS: usize = 32;
const ROUNDS: u64 = 40;

pub(crate) fn rounds(url: &str) -> Vec<Row> {
    let workers: Vec<_> = (0..PROCESSES).map(|_| worker::start(url)).collect();
    let mut redis = redis::Client::open(url)
        .and_then(|client| client.get_connection())
        .expect("a connection");
    let (mut pairs, mut computed, mut commands) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let before = calls(&mut redis);
        workers
            .iter()
            .for_each(|worker| worker.say(&format!("slow {} {CALLERS} 300", 20_000_000 + round)));
        let mut last = 0;
        let (mut made, mut bodies) = (0, 0);
        for worker in &workers {
            let words: Vec<u64> = verdict(worker)
                .split(' ')
                .map(|word| word.parse().expect("a number"))
                .collect();
            last = last.max(words[0]);
            made = words[1];
            bodies += words[2];
        }
        commands.push((calls(&mut redis) - before) as f64 / (PROCESSES * CALLERS) as f64);
        computed.push(bodies);
        pairs.push(((last - made) as f64, sketch(&workers, &mut redis)));
    }
    let once = computed.iter().filter(|bodies| **bodies == 1).count();
    vec![
        Row::micros(
            "stampede 8 × 32, last caller after the body",
            "push sketch",
            "≤ 3",
            &pairs,
        ),
        Row::fact(
            "the same, rounds with 1 computation",
            format!("{once} of {ROUNDS}"),
            "all",
        ),
        Row::fact(
            "the same, Redis commands a caller",
            format!("{:.2}", median(commands)),
            "≤ 0.5",
        ),
    ]
}

/// A worker's last word on a round.
fn verdict(worker: &dspinlock_testkit::Lines) -> String {
    loop {
        match worker.hear() {
            begun if begun == "begun" => {}
            verdict => return verdict,
        }
    }
}

/// The bare sketch: from a PUBLISH until the last of as many tasks is awake.
fn sketch(workers: &[dspinlock_testkit::Lines], redis: &mut redis::Connection) -> f64 {
    workers
        .iter()
        .for_each(|worker| worker.say(&format!("listen bare {CALLERS}")));
    workers
        .iter()
        .for_each(|worker| assert_eq!(worker.hear(), "listening"));
    let sent = now();
    let _: u64 = redis.publish("bare", "x").expect("a reply");
    let last = workers
        .iter()
        .map(|worker| worker.hear().parse::<u64>().expect("a time"))
        .max();
    (last.expect("a worker") - sent) as f64
}

/// Commands that clients have sent: a script is one, and what it calls is none.
fn calls(redis: &mut redis::Connection) -> u64 {
    let stats: String = redis::cmd("INFO")
        .arg("commandstats")
        .query(redis)
        .expect("statistics");
    let count = |name: &str| -> u64 {
        let line = stats
            .lines()
            .find(|line| line.starts_with(&format!("cmdstat_{name}:")));
        line.and_then(|line| line.split(['=', ',']).nth(1)?.parse().ok())
            .unwrap_or(0)
    };
    // Inside of a script are a TIME and one GETRANGE at the most; outside, reads and registrations.
    count("evalsha") + count("client|caching") + count("getrange")
}

/// 10,000 waiters in this process on one key that another process computes.
pub(crate) fn waiters(url: &str) -> Vec<Row> {
    let holder = worker::start(url);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let mut times = Vec::new();
    let mut redis = redis::Client::open(url)
        .and_then(|client| client.get_connection())
        .expect("a connection");
    let mut commands = Vec::new();
    for round in 0..5 {
        let key = 30_000_000 + round;
        holder.say(&format!("slow {key} 1 1500"));
        assert_eq!(holder.hear(), "begun");
        let before = calls(&mut redis);
        runtime.block_on(async {
            let mut callers = JoinSet::new();
            for _ in 0..10_000 {
                callers.spawn(async move {
                    let made = slow(key, 0, || panic!("a waiter computed"))
                        .await
                        .expect("a value");
                    now() - made
                });
            }
            let started = Instant::now();
            let served = callers.join_all().await;
            assert!(
                started.elapsed() < Duration::from_secs(10),
                "the waiters came too late"
            );
            times.push(*served.iter().max().expect("a waiter") as f64 / 1000.0);
        });
        holder.hear();
        commands.push((calls(&mut redis) - before) as f64);
    }
    vec![
        Row::fact(
            "10,000 waiters, all served after",
            format!("{:.0} ms", median(times)),
            "≤ 100 ms",
        ),
        Row::fact(
            "the same, Redis commands in all",
            format!("{:.0}", median(commands)),
            "",
        ),
    ]
}
