//! The process: it deletes one key, reads all, and counts.

use std::env;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use dspinlock::{Error, HashDSpinlock, dspinlock};
use redis::aio::MultiplexedConnection;
use tokio::runtime::Builder;
use tokio::task::JoinHandle;

use super::Play;

/// A push needs its time to another process, more on a busy machine. A value that is not pushed away stays for the ten
/// minutes of the near cache.
const PUSHED: Duration = Duration::from_secs(2);

/// Over loopback a round trip takes longer.
const NO_TRIP: Duration = Duration::from_micros(25);

/// Not a test: the process. Without a role it does nothing.
#[test]
fn main() {
    let Ok(role) = env::var("DSPINLOCK_TEST_TRUTH") else {
        return;
    };
    // The test harness has begun a line of its own.
    println!();
    crate::common::logs::listen();
    let numbers: Vec<u64> = role
        .split(' ')
        .map(|word| word.parse().expect("a number"))
        .collect();
    let [keys, actors, rounds, own] = numbers[..] else {
        panic!("{role}")
    };
    let play = Play { keys, actors, rounds };
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        // The key of its own it reads in both ways; those of others either nearby or not, as a process that computes
        // a key itself would soon be rid of what it did not hear of.
        let readers: Vec<_> = (0..2 * keys)
            .map(|at| (at / 2, at % 2 == 0))
            .filter(|(key, nearby)| *key == own || *nearby == (own % 2 == 0))
            .map(|(key, nearby)| tokio::spawn(read(play, key, nearby)))
            .collect();
        delete(play, own).await;
        let done: u64 = ask(&mut connect().await, "INCR", "done").await;
        // The last one to be done sends all readers home.
        assert!(done <= keys);
        // A Python worker may have left its lock on any key, and nobody else may be here any more to delete it.
        while !readers.iter().all(JoinHandle::is_finished) {
            for key in 0..keys {
                let lock = HashDSpinlock::new(&key.to_string()).expect("a text is a key");
                lock.delete_state().await.expect("the server is there");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        for reader in readers {
            reader.await.expect("no reader panics");
        }
    });
    let kept = crate::common::logs::lines()
        .iter()
        .filter(|line| line.contains("is not kept"))
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

#[dspinlock(key = key, name = "", cached_if_computed, lease = "10s", wait = "60s")]
async fn plain(key: &str) -> Result<u64, Error> {
    body(key).await
}

#[dspinlock(key = key, name = "", cached_if_computed, near_cache = "10m", lease = "10s", wait = "60s")]
async fn near(key: &str) -> Result<u64, Error> {
    body(key).await
}

async fn body(key: &str) -> Result<u64, Error> {
    let truth = ask(&mut connect().await, "GET", &format!("truth:{key}")).await;
    pause(2000).await;
    BODIES.fetch_add(1, Relaxed);
    LOST.fetch_add(
        u64::from(dspinlock::current().is_some_and(|lease| lease.is_lost())),
        Relaxed,
    );
    Ok(truth)
}

/// Makes the truth grow and deletes, whoever is computing; now and then it reads at once what must not be older, from
/// the near cache too.
async fn delete(play: Play, own: u64) {
    let (mut server, key) = (connect().await, own.to_string());
    let lock = HashDSpinlock::new(&key).expect("a text is a key");
    for round in 0..play.rounds {
        if round % 500 == 0 {
            // A sign of life.
            println!("round {round}");
        }
        let truth: u64 = ask(&mut server, "INCR", &format!("truth:{key}")).await;
        lock.delete_state().await.expect("the server is there");
        let acknowledged = format!("acknowledged:{key}:0");
        let mut tell = redis::cmd("SET");
        let tell = tell.arg(acknowledged).arg(truth).exec_async(&mut server);
        tell.await.expect("the server is there");
        match fastrand::u8(..8) {
            0 => {
                // A Python worker may have left its lock behind.
                let read = tokio::time::timeout(Duration::from_secs(1), near(&key)).await;
                let read = read.map(|read| read.expect("the server is there"));
                STALE.fetch_add(u64::from(read.is_ok_and(|read| read < truth)), Relaxed);
            }
            1..3 => pause(3000).await,
            _ => {}
        }
    }
}

/// Reads a key again and again, and knows before each time what was acknowledged.
async fn read(play: Play, key: u64, nearby: bool) {
    let (mut server, key) = (connect().await, key.to_string());
    while ask::<u64>(&mut server, "GET", "done").await < play.keys {
        let least = acknowledged(&mut server, play, &key).await;
        // Twice, where the second may find what the first has left in the process.
        for _ in 0..1 + u8::from(nearby) {
            let start = Instant::now();
            let mut read = call(&key, nearby).await;
            NEAR.fetch_add(u64::from(start.elapsed() < NO_TRIP), Relaxed);
            READS.fetch_add(1, Relaxed);
            if nearby {
                while read < least && start.elapsed() < PUSHED {
                    tokio::time::sleep(Duration::from_micros(100)).await;
                    read = call(&key, nearby).await;
                    LAG.fetch_max(start.elapsed().as_micros() as u64, Relaxed);
                }
            }
            STALE.fetch_add(u64::from(read < least), Relaxed);
        }
        // Now and then, so that a value is read for the second time before it is gone.
        if fastrand::bool() {
            pause(3000).await;
        }
    }
}

async fn call(key: &str, nearby: bool) -> u64 {
    let read = if nearby { near(key).await } else { plain(key).await };
    read.expect("the server is there")
}

async fn acknowledged(server: &mut MultiplexedConnection, play: Play, key: &str) -> u64 {
    let mut command = redis::cmd("MGET");
    (0..play.actors).for_each(|actor| {
        command.arg(format!("acknowledged:{key}:{actor}"));
    });
    let all: Vec<Option<u64>> = command.query_async(server).await.expect("numbers");
    all.into_iter().flatten().max().unwrap_or(0)
}

/// A number of the server's; 0 where there is none.
async fn ask<T: redis::FromRedisValue + Default>(
    server: &mut MultiplexedConnection,
    command: &str,
    key: &str,
) -> T {
    let answer: Option<T> = redis::cmd(command)
        .arg(key)
        .query_async(server)
        .await
        .expect("a number");
    answer.unwrap_or_default()
}

/// The one connection of this process that is not under test.
async fn connect() -> MultiplexedConnection {
    static ONE: tokio::sync::OnceCell<MultiplexedConnection> = tokio::sync::OnceCell::const_new();
    let url = env::var("DSPINLOCK_URL").expect("a store");
    let connected = ONE.get_or_init(async || {
        let client = redis::Client::open(url).expect("a URL");
        // A busy machine may take its time: the redis crate's own limit is half a second.
        let patient = redis::AsyncConnectionConfig::new().set_response_timeout(None);
        client
            .get_multiplexed_async_connection_with_config(&patient)
            .await
            .expect("the server is there")
    });
    connected.await.clone()
}

async fn pause(most: u64) {
    tokio::time::sleep(Duration::from_micros(fastrand::u64(..most))).await;
}
