//! The process that deletes one key, reads all keys, and counts stale hits.

use std::env;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use dspinlock::{DSpinlockBase, Error, dspinlock};
use redis::aio::MultiplexedConnection;
use tokio::runtime::Builder;

use super::Plan;
use crate::common::lock::Named;

/// How long a push to another process may take on a loaded machine. A value that is not invalidated stays for ten minutes.
const PUSHED_WITHIN: Duration = Duration::from_secs(2);

/// A call that returns faster has made no round trip.
const NEAR_HIT_WITHIN: Duration = Duration::from_micros(25);

/// Not a test: the main function of the process. In an ordinary run it returns at once.
#[test]
fn main() {
    let Ok(role) = env::var("DSPINLOCK_TEST_STALENESS") else {
        return;
    };
    // The test harness has started a line.
    println!();
    crate::common::logs::capture();
    let numbers: Vec<u64> = role
        .split(' ')
        .map(|word| word.parse().expect("a number"))
        .collect();
    let [keys, writers, rounds, own] = numbers[..] else {
        panic!("{role}")
    };
    let plan = Plan {
        keys,
        writers,
        rounds,
    };
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        // Its own key is read with and without the near cache, other keys in one way only. A process that also computes a
        // key would hide a missed push.
        let readers: Vec<_> = (0..2 * keys)
            .map(|at| (at / 2, at % 2 == 0))
            .filter(|(key, near)| *key == own || *near == (own % 2 == 0))
            .map(|(key, near)| tokio::spawn(read(plan, key, near)))
            .collect();
        delete(plan, own).await;
        let done: u64 = query(&mut connect().await, "INCR", "done").await;
        // The readers stop when all processes are done.
        assert!(done <= keys);
        for reader in readers {
            reader.await.expect("no reader panics");
        }
    });
    let kept = crate::common::logs::lines()
        .iter()
        .filter(|line| line.contains("was not published"))
        .count() as u64;
    let count = |counter: &AtomicU64| counter.load(Relaxed);
    println!(
        ">{} {} {} {} {} {}",
        count(&BODIES),
        count(&LOST).max(kept),
        count(&READS),
        count(&NEAR),
        count(&STALE),
        count(&LAG)
    );
    process::exit(0);
}

static BODIES: AtomicU64 = AtomicU64::new(0);
static LOST: AtomicU64 = AtomicU64::new(0);
static READS: AtomicU64 = AtomicU64::new(0);
static NEAR: AtomicU64 = AtomicU64::new(0);
static STALE: AtomicU64 = AtomicU64::new(0);
static LAG: AtomicU64 = AtomicU64::new(0);

#[dspinlock(key = key, name = "staleness", cached_if_computed, lease = "10s", wait = "60s")]
async fn plain(key: &str) -> Result<u64, Error> {
    body(key).await
}

#[dspinlock(key = key, name = "staleness", cached_if_computed, near_cache = "10m", lease = "10s", wait = "60s")]
async fn near(key: &str) -> Result<u64, Error> {
    body(key).await
}

async fn body(key: &str) -> Result<u64, Error> {
    let version = query(&mut connect().await, "GET", &format!("version:{key}")).await;
    pause(2000).await;
    BODIES.fetch_add(1, Relaxed);
    LOST.fetch_add(
        u64::from(dspinlock::current().is_some_and(|lease| lease.is_lost())),
        Relaxed,
    );
    Ok(version)
}

/// Increments the version and deletes, at random times. Sometimes it reads at once and checks the version, with the near
/// cache.
async fn delete(plan: Plan, own: u64) {
    let (mut server, key) = (connect().await, own.to_string());
    let lock = Named::of("staleness", &key);
    for round in 0..plan.rounds {
        if round % 500 == 0 {
            // Shows progress to the test.
            println!("round {round}");
        }
        let version: u64 = query(&mut server, "INCR", &format!("version:{key}")).await;
        lock.delete_state().await.expect("the server is reachable");
        let acknowledged = format!("acknowledged:{key}:0");
        let mut set = redis::cmd("SET");
        let set = set.arg(acknowledged).arg(version).exec_async(&mut server);
        set.await.expect("the server is reachable");
        match fastrand::u8(..8) {
            0 => {
                let read = near(&key).await.expect("the server is reachable");
                STALE.fetch_add(u64::from(read < version), Relaxed);
            }
            1..3 => pause(3000).await,
            _ => {}
        }
    }
}

/// Reads a key repeatedly. The acknowledged version is read before each call.
async fn read(plan: Plan, key: u64, with_near_cache: bool) {
    let (mut server, key) = (connect().await, key.to_string());
    while query::<u64>(&mut server, "GET", "done").await < plan.keys {
        let oldest_valid = acknowledged(&mut server, plan, &key).await;
        // With the near cache twice: the second call may be a near-cache hit.
        for _ in 0..1 + u8::from(with_near_cache) {
            let start = Instant::now();
            let mut read = call(&key, with_near_cache).await;
            NEAR.fetch_add(u64::from(start.elapsed() < NEAR_HIT_WITHIN), Relaxed);
            READS.fetch_add(1, Relaxed);
            if with_near_cache {
                while read < oldest_valid && start.elapsed() < PUSHED_WITHIN {
                    tokio::time::sleep(Duration::from_micros(100)).await;
                    read = call(&key, with_near_cache).await;
                    LAG.fetch_max(start.elapsed().as_micros() as u64, Relaxed);
                }
            }
            STALE.fetch_add(u64::from(read < oldest_valid), Relaxed);
        }
        // Sometimes, so that a value is read twice before it is deleted.
        if fastrand::bool() {
            pause(3000).await;
        }
    }
}

async fn call(key: &str, with_near_cache: bool) -> u64 {
    let read = if with_near_cache {
        near(key).await
    } else {
        plain(key).await
    };
    read.expect("the server is reachable")
}

async fn acknowledged(server: &mut MultiplexedConnection, plan: Plan, key: &str) -> u64 {
    let mut command = redis::cmd("MGET");
    (0..plan.writers).for_each(|writer| {
        command.arg(format!("acknowledged:{key}:{writer}"));
    });
    let all: Vec<Option<u64>> = command.query_async(server).await.expect("numbers");
    all.into_iter().flatten().max().unwrap_or(0)
}

/// Sends a command with one key and returns the number; 0 if the key does not exist.
async fn query<T: redis::FromRedisValue + Default>(
    server: &mut MultiplexedConnection,
    command: &str,
    key: &str,
) -> T {
    let number: Option<T> = redis::cmd(command)
        .arg(key)
        .query_async(server)
        .await
        .expect("a number");
    number.unwrap_or_default()
}

/// The connection of this process that is not under test.
async fn connect() -> MultiplexedConnection {
    static ONE: tokio::sync::OnceCell<MultiplexedConnection> = tokio::sync::OnceCell::const_new();
    let url = env::var("DSPINLOCK_URL").expect("the URL is set");
    let connected = ONE.get_or_init(async || {
        let client = redis::Client::open(url).expect("the URL is valid");
        // No response timeout: the default of half a second is too short on a loaded machine.
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
        client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .expect("the server is reachable")
    });
    connected.await.clone()
}

async fn pause(max_micros: u64) {
    tokio::time::sleep(Duration::from_micros(fastrand::u64(..max_micros))).await;
}
