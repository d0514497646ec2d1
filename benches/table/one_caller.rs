//! Measures the duration of single calls: a hit, a cold call, and a lock without a cached value.
//!
//! One caller. The client and the server are pinned to the same CPU.

use redis::Commands;

use crate::bare;
use crate::functions::{locked, value, value_sync};
use crate::measure::{Row, median, times, times_async};

const ROUNDS: usize = 15;
const CALLS: usize = 2_000;

pub(crate) fn warm_async(url: &str) -> Vec<Row> {
    [100, 10 * 1024].map(|bytes| warm_async_of(url, bytes)).into()
}

fn warm_async_of(url: &str, bytes: usize) -> Row {
    let pairs: Vec<_> = hits(url, bytes, ROUNDS, CALLS)
        .into_iter()
        .map(|(ours, bare)| (median(ours), median(bare)))
        .collect();
    Row::micros(
        format!("hit, one async caller, {bytes} B"),
        "async GET",
        "≤ 1.15",
        &pairs,
    )
}

/// Durations of hits and of bare GETs. Each round measures `calls` of both.
pub(crate) fn hits(url: &str, bytes: usize, rounds: usize, calls: usize) -> Vec<(Vec<f64>, Vec<f64>)> {
    let name = &bare::values(url, 1, bytes)[0];
    bare::one_thread().block_on(async {
        let connection = bare::multiplexed(url).await;
        value(1, bytes).await.expect("the call succeeds");
        let mut pairs = Vec::new();
        for _ in 0..rounds {
            let ours = times_async(calls, || async {
                value(1, bytes).await.expect("the call succeeds")
            })
            .await;
            let get = || {
                let mut connection = connection.clone();
                async move { bare::get(&mut connection, name).await }
            };
            pairs.push((ours, times_async(calls, get).await));
        }
        pairs
    })
}

pub(crate) fn warm_sync(url: &str) -> Vec<Row> {
    let name = &bare::values(url, 1, 100)[0];
    let mut connection = bare::sync(url);
    value_sync(1, 100).expect("the call succeeds");
    let pairs: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let ours = times(CALLS, || drop(value_sync(1, 100).expect("the call succeeds")));
            let get = || drop(connection.get::<_, String>(name).expect("the call succeeds"));
            (median(ours), median(times(CALLS, get)))
        })
        .collect();
    vec![Row::micros(
        "hit, one sync caller, 100 B",
        "sync GET",
        "≤ 1.7",
        &pairs,
    )]
}

pub(crate) fn cold(url: &str) -> Vec<Row> {
    let mut id = 0;
    let next = move || {
        id += 1;
        async move { drop(value(1_000_000 + id, 100).await.expect("the call succeeds")) }
    };
    vec![against_scripts(url, "cold call, cached (3 round trips)", 3, next)]
}

pub(crate) fn uncached(url: &str) -> Vec<Row> {
    let mut id = 0;
    let next = move || {
        id += 1;
        async move { locked(2_000_000 + id).await.expect("the call succeeds") }
    };
    vec![against_scripts(url, "lock and unlock (2 round trips)", 2, next)]
}

/// Compares `ours` with `trips` calls of a script that writes one key.
fn against_scripts<F: Future<Output = ()>>(
    url: &str,
    name: &'static str,
    trips: usize,
    mut ours: impl FnMut() -> F,
) -> Row {
    let script = &redis::Script::new("return redis.call('SET', KEYS[1], ARGV[1], 'PX', 60000)");
    let pairs: Vec<_> = bare::one_thread().block_on(async {
        let connection = &bare::multiplexed(url).await;
        let bare = || async {
            for _ in 0..trips {
                let mut connection = connection.clone();
                let mut call = script.key(bare::name(0));
                let reply = call.arg("x").invoke_async::<()>(&mut connection).await;
                reply.expect("a reply to EVALSHA");
            }
        };
        bare().await;
        ours().await;
        let mut pairs = Vec::new();
        for _ in 0..ROUNDS {
            pairs.push((
                median(times_async(CALLS / 2, &mut ours).await),
                median(times_async(CALLS / 2, bare).await),
            ));
        }
        pairs
    });
    Row::micros(name, "EVALSHA", "≤ 1.25", &pairs)
}
