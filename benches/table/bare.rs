//! The baselines: plain commands of the `redis` crate over ordinary connections.

use dspinlock_testkit::Redis;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncCommands, AsyncConnectionConfig, Client, Commands, IntoConnectionInfo, TlsCertificates};
use tokio::runtime::Runtime;

/// What the baselines of a hit are.
pub(crate) const NODELAY: &str = "GET, TCP_NODELAY";
pub(crate) const NAGLE: &str = "GET, redis 1.x default";

/// A key as long as those of dspinlock's values, so that both sides send the same number of bytes.
pub(crate) fn name(number: usize) -> String {
    format!("bare:{number:0>38}")
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

/// The URL of a server's TLS port, as dspinlock reads it.
pub(crate) fn tls_url(server: &Redis) -> String {
    format!(
        "{}?ssl_ca_certs={}",
        server.tls_url(),
        server.authority().display()
    )
}

/// A client whose connections have `TCP_NODELAY`.
pub(crate) fn client(url: &str) -> Client {
    with_settings(url, TcpSettings::default().set_nodelay(true))
}

fn with_settings(url: &str, settings: TcpSettings) -> Client {
    let (url, authority) = url.split_once("?ssl_ca_certs=").unwrap_or((url, ""));
    let info = url
        .into_connection_info()
        .expect("a valid URL")
        .set_tcp_settings(settings);
    let client = if authority.is_empty() {
        Client::open(info)
    } else {
        let authority = std::fs::read(authority).expect("the authority is a file");
        let certificates = TlsCertificates {
            client_tls: None,
            root_cert: Some(authority),
        };
        Client::build_with_tls(info, certificates)
    };
    client.expect("a valid URL")
}

pub(crate) fn sync(url: &str) -> redis::Connection {
    client(url)
        .get_connection()
        .expect("the server accepts a connection")
}

pub(crate) async fn multiplexed(url: &str) -> MultiplexedConnection {
    connect(client(url)).await
}

/// A connection with the default settings of redis 1.x.
pub(crate) async fn with_nagle(url: &str) -> MultiplexedConnection {
    connect(with_settings(url, TcpSettings::default())).await
}

async fn connect(client: Client) -> MultiplexedConnection {
    // On a busy machine 1,000 requests may take longer than the default timeout.
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let connection = client.get_multiplexed_async_connection_with_config(&config).await;
    connection.expect("the server accepts a connection")
}

/// How often the server executed commands, also in scripts, and for how many microseconds. INFO does not count.
pub(crate) fn executed(redis: &mut redis::Connection, counts: impl Fn(&str) -> bool) -> (f64, f64) {
    let stats = redis::cmd("INFO").arg("commandstats").query::<String>(redis);
    let stats = stats.expect("a reply to INFO");
    let lines = stats
        .lines()
        .filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(':'));
    let lines = lines.filter(|(name, _)| *name != "info" && counts(name));
    let numbers = lines.map(|(_, facts)| {
        let mut fields = facts.split([',', '=']).skip(1).step_by(2);
        let mut next = || {
            fields
                .next()
                .and_then(|number| number.parse().ok())
                .unwrap_or(0.0)
        };
        (next(), next())
    });
    numbers.fold((0.0, 0.0), |sum: (f64, f64), line| {
        (sum.0 + line.0, sum.1 + line.1)
    })
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
