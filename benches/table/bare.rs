//! The other side: plain commands, over connections as users have them.

use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, Commands};
use tokio::runtime::Runtime;

/// A name as long as those of our values, so that both sides send as many bytes.
pub(crate) fn name(number: usize) -> String {
    format!("bare:{number:0>77}")
}

/// So many names, each with a value of so many bytes.
pub(crate) fn values(url: &str, count: usize, bytes: usize) -> Vec<String> {
    let mut connection = sync(url);
    let names: Vec<String> = (0..count).map(|number| name(bytes * 10_000 + number)).collect();
    for name in &names {
        let _: () = connection.set(name, "x".repeat(bytes)).expect("a reply");
    }
    names
}

pub(crate) async fn get(connection: &mut MultiplexedConnection, name: &str) -> String {
    connection.get(name).await.expect("a value")
}

pub(crate) fn client(url: &str) -> redis::Client {
    redis::Client::open(url).expect("a URL")
}

pub(crate) fn sync(url: &str) -> redis::Connection {
    client(url).get_connection().expect("a connection")
}

pub(crate) async fn multiplexed(url: &str) -> MultiplexedConnection {
    let connection = client(url).get_multiplexed_async_connection().await;
    connection.expect("a connection")
}

/// A runtime on the caller's own thread.
pub(crate) fn one_thread() -> Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime")
}

/// A runtime with a thread per CPU, or so many.
pub(crate) fn threads(count: Option<usize>) -> Runtime {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(count) = count {
        runtime.worker_threads(count);
    }
    runtime.enable_all().build().expect("a runtime")
}
