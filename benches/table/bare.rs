//! The baseline: plain commands of the `redis` crate over ordinary connections.

use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, Commands};
use tokio::runtime::Runtime;

/// A key as long as those of dspinlock's values, so that both sides send the same number of bytes.
pub(crate) fn name(number: usize) -> String {
    format!("bare:{number:0>77}")
}

/// Stores `count` values of `bytes` bytes each and returns their keys.
pub(crate) fn values(url: &str, count: usize, bytes: usize) -> Vec<String> {
    let mut connection = sync(url);
    let names: Vec<String> = (0..count).map(|number| name(bytes * 10_000 + number)).collect();
    for name in &names {
        let _: () = connection.set(name, "x".repeat(bytes)).expect("a reply to SET");
    }
    names
}

pub(crate) async fn get(connection: &mut MultiplexedConnection, name: &str) -> String {
    connection.get(name).await.expect("a reply to GET")
}

pub(crate) fn client(url: &str) -> redis::Client {
    redis::Client::open(url).expect("a valid URL")
}

pub(crate) fn sync(url: &str) -> redis::Connection {
    client(url)
        .get_connection()
        .expect("the server accepts a connection")
}

pub(crate) async fn multiplexed(url: &str) -> MultiplexedConnection {
    let connection = client(url).get_multiplexed_async_connection().await;
    connection.expect("the server accepts a connection")
}

/// A runtime on the calling thread.
pub(crate) fn one_thread() -> Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("the runtime starts")
}

/// A runtime with `count` threads, by default one per CPU.
pub(crate) fn threads(count: Option<usize>) -> Runtime {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(count) = count {
        runtime.worker_threads(count);
    }
    runtime.enable_all().build().expect("the runtime starts")
}
