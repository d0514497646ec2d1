//! Measures hits per second of many callers in one process: tasks and threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use redis::Commands;
use redis::aio::MultiplexedConnection;

use crate::bare;
use crate::functions::{value, value_sync};
use crate::measure::{Row, pairs};

const ROUNDS: usize = 9;
const CALLS: usize = 16_000;
/// Each task or thread makes at least this many.
const MIN_CALLS: usize = 32;

/// Tasks, keys, and the targets compared with the two baselines. Over TLS only the widths of [`TLS_TASKS`] are measured.
const WIDTHS: [(usize, usize, [&str; 2]); 8] = [
    (2, 2, ["", "≥ 0.95"]),
    (4, 4, ["", "≥ 0.95"]),
    (8, 8, ["", "≥ 0.95"]),
    (16, 16, ["", "≥ 0.9"]),
    (32, 32, ["", "≥ 0.9"]),
    (64, 64, ["≥ 1.3", "≥ 1.0"]),
    (1_000, 1_000, ["", "≥ 1.5"]),
    (64, 1, ["", "≥ 1.4"]),
];

const TLS_TASKS: [usize; 2] = [8, 64];

pub(crate) fn tasks(url: &str) -> Vec<Row> {
    let values = bare::values(url, 1_000, 100);
    let runtime = bare::threads(None);
    let (nodelay, nagle) =
        runtime.block_on(async { (bare::multiplexed(url).await, bare::with_nagle(url).await) });
    let mut rows = Vec::new();
    let is_tls = url.starts_with("rediss:");
    for (tasks, keys, targets) in WIDTHS
        .into_iter()
        .filter(|width| !is_tls || TLS_TASKS.contains(&width.0))
    {
        let names: Arc<[String]> = (0..tasks).map(|task| values[task % keys].clone()).collect();
        let rounds: Vec<_> = (0..ROUNDS)
            .map(|_| {
                runtime.block_on(async {
                    let ours = ours(tasks, keys).await;
                    [
                        ours,
                        baseline(&nodelay, &names).await,
                        baseline(&nagle, &names).await,
                    ]
                })
            })
            .collect();
        let name = format!(
            "hits, {tasks} tasks, {keys} key{}",
            if keys == 1 { "" } else { "s" }
        );
        rows.push(Row::rate(
            name.clone(),
            bare::NODELAY,
            targets[0],
            &pairs(&rounds, 1),
        ));
        rows.push(Row::rate(name, bare::NAGLE, targets[1], &pairs(&rounds, 2)));
    }
    let clients = redis::cmd("CLIENT")
        .arg("LIST")
        .query::<String>(&mut bare::sync(url));
    let clients = clients.expect("a reply to CLIENT LIST").lines().count();
    rows.push(Row::fact(
        "hits, 1,000 keys: all connections",
        clients.to_string(),
        "not per key",
    ));
    rows
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
    let each = (CALLS / tasks).max(MIN_CALLS);
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
