//! Measures the time that the server takes for each step, as its command statistics state it.
//!
//! All leases of a round are acquired, renewed and released together. So each phase consists of one step, and the difference
//! of the statistics is its time. The baseline is a script that writes one key.

use std::sync::Arc;
use std::time::Duration;

use dspinlock::{Acquired, Error, HashDSpinlock, dspinlock};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::bare;
use crate::measure::{Row, pairs};

const ROUNDS: u64 = 7;
const LEASES: u64 = 1_000;
/// The heartbeat renews each lease after a third of it.
const LEASE: Duration = Duration::from_secs(3);

#[dspinlock(key = id, cached_if_computed, lease = LEASE)]
async fn cached(id: u64, gate: Arc<Semaphore>) -> Result<String, Error> {
    drop(gate.acquire().await);
    Ok("x".repeat(100))
}

#[dspinlock(key = id, lease = LEASE)]
async fn locked(id: u64, gate: Arc<Semaphore>) -> Result<(), Error> {
    drop(gate.acquire().await);
    Ok(())
}

async fn explicit(id: u64, gate: Arc<Semaphore>) {
    let lock = HashDSpinlock::new(id).prefix("time").lease(LEASE);
    let Ok(Acquired::Locked(lease)) = lock.acquire().await else {
        panic!("the lock is not acquired");
    };
    drop(gate.acquire().await);
    lease.release().await.expect("the lease is not lost");
}

pub(crate) fn rows(url: &str) -> Vec<Row> {
    let cached = |id, gate| async move { drop(cached(id, gate).await.expect("the call succeeds")) };
    let locked = |id, gate| async move { locked(id, gate).await.expect("the call succeeds") };
    let single = rounds(url, cached);
    let shared = rounds(url, explicit);
    let uncached = rounds(url, locked);
    let row = |step: &str, rounds: &[[f64; 4]], at: usize, target| {
        let steps: Vec<_> = rounds.iter().map(|round| [round[at], round[3]]).collect();
        Row::micros(
            format!("server time of {step}"),
            "EVALSHA(SET)",
            target,
            &pairs(&steps, 1),
        )
    };
    vec![
        row("ACQUIRE", &single, 0, "≤ 5 µs"),
        row("RENEW", &single, 1, "≤ 2.5 µs"),
        row("PUBLISH", &single, 2, "≤ 4.5 µs"),
        row("RELEASE", &uncached, 2, ""),
        row("ACQUIRE, explicit lock", &shared, 0, ""),
        row("RENEW, explicit lock", &shared, 1, ""),
        row("PUBLISH, explicit lock", &shared, 2, ""),
    ]
}

/// Microseconds of ACQUIRE, RENEW, PUBLISH or RELEASE, and the baseline.
fn rounds<F>(url: &str, call: impl Fn(u64, Arc<Semaphore>) -> F) -> Vec<[f64; 4]>
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut meter = Meter::new(url);
    let script = redis::Script::new("return redis.call('SET', KEYS[1], ARGV[1], 'PX', 60000)");
    bare::one_thread().block_on(async {
        let connection = bare::multiplexed(url).await;
        let set = |number: u64| {
            let (mut connection, script) = (connection.clone(), script.clone());
            async move {
                let mut call = script.key(bare::name(number as usize));
                let reply = call
                    .arg("x".repeat(100))
                    .invoke_async::<()>(&mut connection)
                    .await;
                reply.expect("a reply to EVALSHA");
            }
        };
        set(0).await;
        let mut rounds = Vec::new();
        for round in 0..ROUNDS {
            let gate = Arc::new(Semaphore::new(0));
            meter.reset();
            let first = 50_000_000 + round * LEASES;
            let calls: JoinSet<()> = (first..first + LEASES).map(|id| call(id, gate.clone())).collect();
            let acquire = meter.next().await;
            let renew = meter.next().await;
            gate.close();
            calls.join_all().await;
            let release = meter.next().await;
            (1..=LEASES).map(set).collect::<JoinSet<()>>().join_all().await;
            rounds.push([acquire, renew, release, meter.next().await]);
        }
        rounds
    })
}

/// Reads the command statistics of scripts.
struct Meter {
    redis: redis::Connection,
    /// Calls and microseconds so far.
    before: (f64, f64),
}

impl Meter {
    fn new(url: &str) -> Self {
        let mut meter = Self {
            redis: bare::sync(url),
            before: (0.0, 0.0),
        };
        meter.reset();
        meter
    }

    fn now(&mut self) -> (f64, f64) {
        bare::executed(&mut self.redis, |name| name == "evalsha")
    }

    fn reset(&mut self) {
        self.before = self.now();
    }

    /// Waits until the server has executed one step for each lease, and returns its time.
    async fn next(&mut self) -> f64 {
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let (calls, micros) = self.now();
            let done = calls - self.before.0;
            assert!(done <= LEASES as f64, "the phase has other steps too");
            if done == LEASES as f64 {
                let time = (micros - self.before.1) / done;
                self.before = (calls, micros);
                return time;
            }
        }
    }
}
