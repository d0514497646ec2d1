//! Measures hits per second of many callers in one process: tasks, threads, and 1,000 keys at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use redis::Commands;
use redis::aio::MultiplexedConnection;

use crate::bare;
use crate::functions::{value, value_sync};
use crate::measure::Row;

const ROUNDS: usize = 9;
const CALLS: usize = 64_000;

pub(crate) fn tasks(url: &str) -> Vec<Row> {
    let names: Arc<[String]> = bare::values(url, 64, 100).into();
    bare::threads(None).block_on(async {
        let connection = bare::multiplexed(url).await;
        let mut pairs = Vec::new();
        for _ in 0..ROUNDS {
            pairs.push((ours(64, 64).await, baseline(&connection, &names).await));
        }
        let one = (0..64).map(|_| names[0].clone()).collect();
        let mut hot = Vec::new();
        for _ in 0..ROUNDS {
            hot.push((ours(64, 1).await, baseline(&connection, &one).await));
        }
        vec![
            Row::rate("hits, 64 tasks, 64 keys", "multiplexed GET", "≥ 0.85", &pairs),
            Row::rate("hits, 64 tasks, one key", "multiplexed GET", "", &hot),
        ]
    })
}

/// 1,000 tasks, each with its own key.
pub(crate) fn keys(url: &str) -> Vec<Row> {
    let names: Arc<[String]> = bare::values(url, 1_000, 100).into();
    bare::threads(None).block_on(async {
        let mut connection = bare::multiplexed(url).await;
        let (mut pairs, mut widths) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let many = ours(1_000, 1_000).await;
            pairs.push((many, baseline(&connection, &names).await));
            widths.push((many, ours(64, 64).await));
        }
        let clients = redis::cmd("CLIENT")
            .arg("LIST")
            .query_async::<String>(&mut connection)
            .await;
        let clients = clients.expect("a reply to CLIENT LIST").lines().count();
        vec![
            Row::rate("hits, 1,000 keys at the same time", "multiplexed GET", "", &pairs),
            Row::rate(
                "hits, 1,000 keys, compared with 64 keys",
                "dspinlock, 64 tasks",
                "as 64",
                &widths,
            ),
            Row::fact(
                "hits, 1,000 keys: all connections",
                clients.to_string(),
                "not per key",
            ),
        ]
    })
}

async fn ours(tasks: usize, keys: usize) -> f64 {
    for key in 0..keys {
        value(key as u64, 100).await.expect("the call succeeds");
    }
    rate(tasks, move |turn, calls| async move {
        for _ in 0..calls {
            value((turn % keys) as u64, 100).await.expect("the call succeeds");
        }
    })
    .await
}

/// One task per key.
async fn baseline(connection: &MultiplexedConnection, names: &Arc<[String]>) -> f64 {
    rate(names.len(), |turn, calls| {
        let (mut connection, names) = (connection.clone(), names.clone());
        async move {
            for _ in 0..calls {
                bare::get(&mut connection, &names[turn]).await;
            }
        }
    })
    .await
}

/// Calls per second of `tasks` tasks. `run` receives the number of the task and the number of calls to make.
async fn rate<F>(tasks: usize, run: impl Fn(usize, usize) -> F) -> f64
where
    F: Future<Output = ()> + Send + 'static,
{
    let start = Instant::now();
    let each = CALLS / tasks;
    let tasks: Vec<_> = (0..tasks).map(|task| tokio::spawn(run(task, each))).collect();
    let count = tasks.len() * each;
    for task in tasks {
        task.await.expect("the task does not panic");
    }
    count as f64 / start.elapsed().as_secs_f64()
}

pub(crate) fn threads(url: &str) -> Vec<Row> {
    let names = bare::values(url, 64, 100);
    let pool = r2d2::Pool::builder().max_size(64).build(bare::client(url));
    let pool = pool.expect("the pool opens");
    for key in 0..64 {
        value_sync(key, 100).expect("the call succeeds");
    }
    let get = |thread: usize| {
        let value = pool.get().expect("a connection").get::<_, String>(&names[thread]);
        drop(value.expect("the call succeeds"));
    };
    let pairs: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let ours =
                rate_of_threads(|thread| drop(value_sync(thread as u64, 100).expect("the call succeeds")));
            (ours, rate_of_threads(get))
        })
        .collect();
    vec![Row::rate(
        "hits, 64 threads",
        "r2d2, 64 connections",
        "≥ 1.5",
        &pairs,
    )]
}

fn rate_of_threads(call: impl Fn(usize) + Sync) -> f64 {
    let (start, count) = (Instant::now(), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for thread in 0..64 {
            let (call, count) = (&call, &count);
            scope.spawn(move || {
                while count.fetch_add(1, Ordering::Relaxed) < CALLS {
                    call(thread);
                }
            });
        }
    });
    CALLS as f64 / start.elapsed().as_secs_f64()
}
