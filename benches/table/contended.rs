//! One lock that 16 tasks of two processes want all the time.

use std::time::Duration;

use redis::aio::MultiplexedConnection;

use crate::measure::{Row, median};
use crate::single::{bare, runtime};
use crate::worker;

const MILLISECONDS: u64 = 2_000;

pub(crate) fn row(url: &str) -> Vec<Row> {
    let workers = [worker::start(url), worker::start(url)];
    let (mut pairs, mut spreads) = (Vec::new(), Vec::new());
    for round in 0..5 {
        workers
            .iter()
            .for_each(|worker| worker.say(&format!("owned {} 8 {MILLISECONDS}", 40_000_000 + round)));
        let mut grants = Vec::new();
        let mut counts = Vec::new();
        for (process, worker) in workers.iter().enumerate() {
            for line in worker.hear().split(' ') {
                let numbers: Vec<u64> = line
                    .split(',')
                    .map(|number| number.parse().expect("a number"))
                    .collect();
                let (task, fences) = numbers.split_first().expect("a task");
                counts.push(fences.len() as f64);
                grants.extend(fences.iter().map(|fence| (*fence, process, *task)));
            }
        }
        grants.sort_unstable();
        let changes = grants
            .windows(2)
            .filter(|pair| (pair[0].1, pair[0].2) != (pair[1].1, pair[1].2))
            .count();
        let seconds = MILLISECONDS as f64 / 1000.0;
        pairs.push((changes as f64 / seconds, runtime().block_on(tokens(url))));
        let (most, least) = counts
            .iter()
            .fold((0.0, f64::MAX), |(most, least): (f64, f64), count| {
                (most.max(*count), least.min(*count))
            });
        spreads.push(most / least);
    }
    vec![
        Row::rate(
            "contended mutex, 16 tasks, hand-overs",
            "BLPOP token",
            "≥ 0.25",
            &pairs,
        ),
        Row::fact(
            "the same, most/least of a task",
            format!("{:.2}", median(spreads)),
            "≤ 2",
        ),
    ]
}

/// Bare hand-overs a second: 16 connections that pass one token on.
async fn tokens(url: &str) -> f64 {
    let mut connection = bare(url).await;
    let _: u64 = redis::cmd("DEL")
        .arg("token")
        .query_async(&mut connection)
        .await
        .expect("a reply");
    let _: u64 = redis::cmd("RPUSH")
        .arg("token")
        .arg("x")
        .query_async(&mut connection)
        .await
        .expect("a reply");
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let connection = bare(url).await;
        tasks.spawn(tokio::time::timeout(
            Duration::from_millis(MILLISECONDS),
            pass(connection),
        ));
    }
    let counter = |mut connection: MultiplexedConnection| async move {
        let count: u64 = redis::cmd("GET")
            .arg("passed")
            .query_async(&mut connection)
            .await
            .unwrap_or(0);
        count
    };
    let before = counter(connection.clone()).await;
    tasks.join_all().await;
    (counter(connection).await - before) as f64 * 1000.0 / MILLISECONDS as f64
}

async fn pass(mut connection: MultiplexedConnection) {
    connection.set_response_timeout(Duration::from_secs(60));
    loop {
        let _: (String, String) = redis::cmd("BLPOP")
            .arg("token")
            .arg(0)
            .query_async(&mut connection)
            .await
            .expect("a token");
        let mut pair = redis::pipe();
        pair.cmd("INCR")
            .arg("passed")
            .ignore()
            .cmd("RPUSH")
            .arg("token")
            .arg("x")
            .ignore();
        let _: () = pair.query_async(&mut connection).await.expect("a reply");
    }
}
