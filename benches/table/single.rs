//! One caller, everything on one CPU.

use redis::aio::MultiplexedConnection;
use tokio::runtime::Runtime;

use crate::functions::{locked, value, value_sync};
use crate::measure::{Row, p50, p50_async};

const ROUNDS: usize = 15;
const CALLS: usize = 2_000;

pub(crate) fn warm_async(url: &str) -> Vec<Row> {
    [100, 10 * 1024].map(|bytes| warm_async_of(url, bytes)).into()
}

fn warm_async_of(url: &str, bytes: usize) -> Row {
    let runtime = runtime();
    let connection = &runtime.block_on(bare(url));
    let pairs: Vec<_> = runtime.block_on(async {
        set(connection, bytes).await;
        value(1, bytes).await.expect("a value");
        let mut pairs = Vec::new();
        for _ in 0..ROUNDS {
            let ours = p50_async(CALLS, || async { value(1, bytes).await.expect("a hit") }).await;
            let get = || async { get(connection, bytes).await };
            pairs.push((ours, p50_async(CALLS, get).await));
        }
        pairs
    });
    Row::micros(
        format!("warm, one async caller, {bytes} B"),
        "async GET",
        "≤ 1.15",
        &pairs,
    )
}

pub(crate) fn warm_sync(url: &str) -> Vec<Row> {
    let client = redis::Client::open(url).expect("a url");
    let mut connection = client.get_connection().expect("a connection");
    let _: () = redis::cmd("SET")
        .arg("bare:100")
        .arg("x".repeat(100))
        .query(&mut connection)
        .expect("set");
    value_sync(1, 100).expect("a value");
    let pairs: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let ours = p50(CALLS, || drop(value_sync(1, 100).expect("a hit")));
            let get = || {
                drop(
                    redis::cmd("GET")
                        .arg("bare:100")
                        .query::<String>(&mut connection)
                        .expect("a value"),
                )
            };
            (ours, p50(CALLS, get))
        })
        .collect();
    vec![Row::micros(
        "warm, one sync caller, 100 B",
        "sync GET",
        "≤ 1.7",
        &pairs,
    )]
}

pub(crate) fn cold(url: &str) -> Vec<Row> {
    let mut id = 0;
    let next = move || {
        id += 1;
        async move { drop(value(1_000_000 + id, 100).await.expect("a value")) }
    };
    vec![against_scripts(
        url,
        "cold, one caller, cached (3 round trips)",
        3,
        next,
    )]
}

pub(crate) fn uncached(url: &str) -> Vec<Row> {
    let mut id = 0;
    let next = move || {
        id += 1;
        async move { locked(2_000_000 + id).await.expect("the lock") }
    };
    vec![against_scripts(
        url,
        "cold, one caller, not cached (2 round trips)",
        2,
        next,
    )]
}

/// Ours against so many calls of a script that writes one key.
fn against_scripts<F: Future<Output = ()>>(
    url: &str,
    name: &'static str,
    trips: usize,
    mut ours: impl FnMut() -> F,
) -> Row {
    let runtime = runtime();
    let connection = &runtime.block_on(bare(url));
    let script = redis::Script::new("return redis.call('SET', KEYS[1], ARGV[1], 'PX', 60000)");
    let script = &script;
    let pairs: Vec<_> = runtime.block_on(async {
        let bare = || async {
            for _ in 0..trips {
                let mut connection = connection.clone();
                let mut call = script.key("bare:script");
                let _: () = call
                    .arg("x")
                    .invoke_async(&mut connection)
                    .await
                    .expect("a reply");
            }
        };
        bare().await;
        ours().await;
        let mut pairs = Vec::new();
        for _ in 0..ROUNDS {
            pairs.push((
                p50_async(CALLS / 2, &mut ours).await,
                p50_async(CALLS / 2, bare).await,
            ));
        }
        pairs
    });
    Row::micros(name, "EVALSHA", "≤ 1.25", &pairs)
}

pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

pub(crate) async fn bare(url: &str) -> MultiplexedConnection {
    let client = redis::Client::open(url).expect("a url");
    client
        .get_multiplexed_async_connection()
        .await
        .expect("a connection")
}

pub(crate) async fn set(connection: &MultiplexedConnection, bytes: usize) {
    let mut set = redis::cmd("SET");
    set.arg(format!("bare:{bytes}")).arg("x".repeat(bytes));
    let _: () = set.query_async(&mut connection.clone()).await.expect("set");
}

pub(crate) async fn get(connection: &MultiplexedConnection, bytes: usize) -> String {
    let mut get = redis::cmd("GET");
    get.arg(format!("bare:{bytes}"));
    get.query_async(&mut connection.clone()).await.expect("a value")
}
