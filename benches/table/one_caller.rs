//! Measures the duration of single calls: a hit, a cold call, and a lock without a cached value. There is one caller.

use redis::Commands;

use crate::bare;
use crate::functions::{done, explicit_locked, locked, value, value_sync};
use crate::measure::{Row, median, pairs, times, times_async};

const ROUNDS: usize = 15;
const CALLS: usize = 1_000;

pub(crate) fn warm_async(url: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    for bytes in [100, 10 * 1024] {
        let rounds = hits(url, bytes, ROUNDS, CALLS);
        let medians: Vec<_> = rounds.into_iter().map(|round| round.map(median)).collect();
        let name = format!("hit, one async caller, {bytes} B");
        rows.push(Row::micros(
            name.clone(),
            bare::NODELAY,
            "≤ 1.0",
            &pairs(&medians, 1),
        ));
        rows.push(Row::micros(name, bare::NAGLE, "", &pairs(&medians, 2)));
    }
    rows.push(shared_hit(url));
    rows
}

/// Durations of hits, of bare GETs, and of GETs with Nagle's algorithm. Each round measures `calls` of each.
pub(crate) fn hits(url: &str, bytes: usize, rounds: usize, calls: usize) -> Vec<[Vec<f64>; 3]> {
    let name = &bare::values(url, 1, bytes)[0];
    bare::one_thread().block_on(async {
        let connections = [bare::multiplexed(url).await, bare::with_nagle(url).await];
        value(1, bytes).await.expect("the call succeeds");
        let mut figures = Vec::new();
        for _ in 0..rounds {
            let ours = times_async(calls, || async {
                value(1, bytes).await.expect("the call succeeds")
            })
            .await;
            let get = |connection: usize| {
                let mut connection = connections[connection].clone();
                async move { bare::get(&mut connection, name).await }
            };
            let nodelay = times_async(calls, || get(0)).await;
            figures.push([ours, nodelay, times_async(calls, || get(1)).await]);
        }
        figures
    })
}

/// A computed key has no value in the shared encoding. Its entry is about as long as the value of the baseline.
fn shared_hit(url: &str) -> Row {
    let name = &bare::values(url, 1, 60)[0];
    let rounds = bare::one_thread().block_on(async {
        let connection = bare::multiplexed(url).await;
        let hit = || async { done(1).await.expect("the call succeeds") };
        let get = || {
            let mut connection = connection.clone();
            async move { bare::get(&mut connection, name).await }
        };
        hit().await;
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let ours = median(times_async(CALLS, hit).await);
            rounds.push((ours, median(times_async(CALLS, get).await)));
        }
        rounds
    });
    Row::micros(
        "hit, one async caller, shared encoding",
        bare::NODELAY,
        "",
        &rounds,
    )
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
        "≤ 1.0",
        &pairs,
    )]
}

/// New keys: each call has its own.
fn ids() -> impl FnMut() -> u64 {
    let mut id = 1_000_000;
    move || {
        id += 1;
        id
    }
}

pub(crate) fn cold(url: &str) -> Vec<Row> {
    let (mut single, mut shared) = (ids(), ids());
    let single = || {
        let id = single();
        async move { drop(value(id, 100).await.expect("the call succeeds")) }
    };
    let shared = || {
        let id = shared();
        async move { done(id).await.expect("the call succeeds") }
    };
    [
        against_scripts(url, "cold call, cached", 3, ["≤ 1.4", "7"], single),
        against_scripts(url, "cold call, shared encoding", 3, ["", ""], shared),
    ]
    .concat()
}

pub(crate) fn uncached(url: &str) -> Vec<Row> {
    let (mut single, mut shared) = (ids(), ids());
    let single = || {
        let id = single();
        async move { locked(id).await.expect("the call succeeds") }
    };
    [
        against_scripts(url, "lock and unlock", 2, ["≤ 1.6", ""], single),
        against_scripts(url, "lock and unlock, explicit lock", 2, ["", ""], || {
            explicit_locked(shared())
        }),
    ]
    .concat()
}

/// Compares `ours` with `trips` calls of a script that writes one key, and counts the commands of `ours`. The targets are
/// those of the ratio and of the commands.
fn against_scripts<F: Future<Output = ()>>(
    url: &str,
    name: &'static str,
    trips: usize,
    targets: [&'static str; 2],
    mut ours: impl FnMut() -> F,
) -> Vec<Row> {
    let script = &redis::Script::new("return redis.call('SET', KEYS[1], ARGV[1], 'PX', 60000)");
    let mut redis = bare::sync(url);
    bare::one_thread().block_on(async {
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
        // After a few calls the runtime has a reader.
        times_async(CALLS, &mut ours).await;
        let (mut pairs, mut commands) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let before = bare::executed(&mut redis, |_| true).0;
            let ours = median(times_async(CALLS, &mut ours).await);
            commands.push((bare::executed(&mut redis, |_| true).0 - before) / CALLS as f64);
            pairs.push((ours, median(times_async(CALLS, bare).await)));
        }
        let baseline = if trips == 2 {
            "2 × EVALSHA(SET)"
        } else {
            "3 × EVALSHA(SET)"
        };
        let commands = format!("{:.1}", median(commands));
        vec![
            Row::micros(name, baseline, targets[0], &pairs),
            Row::fact(format!("{name}: commands"), commands, targets[1]),
        ]
    })
}
