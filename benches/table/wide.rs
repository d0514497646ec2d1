//! Many callers in one process.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use redis::aio::MultiplexedConnection;

use crate::functions::{value, value_sync};
use crate::measure::Row;
use crate::single::{bare, get, set};

const ROUNDS: usize = 9;
const CALLS: usize = 20_000;

pub(crate) fn tasks(url: &str) -> Vec<Row> {
    let many = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    many.block_on(async {
        let connection = bare(url).await;
        set(&connection, 100).await;
        let mut pairs = Vec::new();
        for _ in 0..ROUNDS {
            pairs.push((ours(64, 64).await, theirs(&connection, 64).await));
        }
        let mut hot = Vec::new();
        for _ in 0..ROUNDS {
            hot.push((ours(64, 1).await, theirs(&connection, 64).await));
        }
        vec![
            Row::rate("warm, 64 tasks, 64 keys", "multiplexed GET", "≥ 0.85", &pairs),
            Row::rate("warm, 64 tasks, one key", "multiplexed GET", "", &hot),
        ]
    })
}

/// 1,000 different keys in flight at once.
pub(crate) fn keys(url: &str) -> Vec<Row> {
    let many = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    many.block_on(async {
        let connection = bare(url).await;
        set(&connection, 100).await;
        let mut pairs = Vec::new();
        for _ in 0..ROUNDS {
            pairs.push((ours(1_000, 1_000).await, theirs(&connection, 1_000).await));
        }
        let clients = redis::cmd("CLIENT")
            .arg("LIST")
            .query_async::<String>(&mut connection.clone())
            .await;
        let clients = clients.expect("a list").lines().count();
        vec![
            Row::rate("warm, 1,000 keys in flight", "multiplexed GET", "as 64", &pairs),
            Row::fact(
                "connections meanwhile, the bare ones included",
                clients.to_string(),
                "not per key",
            ),
        ]
    })
}

async fn ours(tasks: usize, keys: usize) -> f64 {
    for key in 0..keys {
        value(key as u64, 100).await.expect("a value");
    }
    rate(tasks, move |turn| async move {
        drop(value((turn % keys) as u64, 100).await.expect("a hit"))
    })
    .await
}

async fn theirs(connection: &MultiplexedConnection, tasks: usize) -> f64 {
    let connection = connection.clone();
    rate(tasks, move |_| {
        let connection = connection.clone();
        async move { drop(get(&connection, 100).await) }
    })
    .await
}

/// Calls a second of so many tasks.
async fn rate<F>(tasks: usize, call: impl Fn(usize) -> F + Clone + Send + 'static) -> f64
where
    F: Future<Output = ()> + Send,
{
    let start = Instant::now();
    let each = CALLS / tasks;
    let tasks: Vec<_> = (0..tasks)
        .map(|task| {
            let call = call.clone();
            tokio::spawn(async move {
                for _ in 0..each {
                    call(task).await;
                }
            })
        })
        .collect();
    let count = tasks.len() * each;
    for task in tasks {
        task.await.expect("a task");
    }
    count as f64 / start.elapsed().as_secs_f64()
}

pub(crate) fn threads(url: &str) -> Vec<Row> {
    let client = redis::Client::open(url).expect("a url");
    let pool = r2d2::Pool::builder().max_size(64).build(client).expect("a pool");
    let mut connection = pool.get().expect("a connection");
    let _: () = redis::cmd("SET")
        .arg("bare:100")
        .arg("x".repeat(100))
        .query(&mut connection)
        .expect("set");
    drop(connection);
    for key in 0..64 {
        value_sync(key, 100).expect("a value");
    }
    let get = || {
        drop(
            redis::cmd("GET")
                .arg("bare:100")
                .query::<String>(&mut pool.get().expect("a connection")),
        )
    };
    let pairs: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let ours = rate_of_threads(|thread| drop(value_sync(thread, 100).expect("a hit")));
            (ours, rate_of_threads(|_| get()))
        })
        .collect();
    vec![Row::rate(
        "warm, 64 threads",
        "r2d2, 64 connections",
        "≥ 1.5",
        &pairs,
    )]
}

fn rate_of_threads(call: impl Fn(u64) + Sync) -> f64 {
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
