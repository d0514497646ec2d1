//! Measures a near-cache hit: its duration, how it scales to two threads, and the duration of hashing the key.
//!
//! The baseline is a hit of `moka`. `cargo bench --bench near` starts its own Redis server.

use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group};
use dspinlock::{Error, Pool, dspinlock};
use dspinlock_runtime::internals::key::{Key, KeyHasher, KeyPart};
use dspinlock_testkit::Redis;
use serde::Serialize;

const REGION: &str = "region-of-ten";

#[dspinlock(cached_if_computed, near_cache = "10m")]
async fn price(id: u64, region: &str) -> Result<String, Error> {
    Ok(format!("{id} in {region}: ").repeat(10)[..100].to_owned())
}

#[dspinlock(cached_if_computed, near_cache = "10m")]
fn price_now(id: u64, region: &str) -> Result<String, Error> {
    Ok(format!("{id} in {region}: ").repeat(10)[..100].to_owned())
}

#[derive(Serialize)]
struct Query {
    country: &'static str,
    page: u32,
    size: u32,
    sorted: bool,
    limit: Option<f64>,
}

const QUERY: Query = Query {
    country: "eu",
    page: 3,
    size: 50,
    sorted: true,
    limit: Some(9.5),
};

/// Polls a future that is ready at the first poll.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => panic!("a hit must not wait"),
    }
}

fn near_async() -> String {
    ready(price(black_box(7), black_box(REGION))).expect("the call succeeds")
}

fn near_sync() -> String {
    price_now(black_box(7), black_box(REGION)).expect("the call succeeds")
}

type Moka = moka::future::Cache<(u64, String), String>;

fn moka() -> Moka {
    let cache = moka::future::Cache::builder()
        .max_capacity(10_000)
        .time_to_live(Duration::from_secs(600))
        .build();
    futures_executor::block_on(cache.insert((7, REGION.to_owned()), "x".repeat(100)));
    cache
}

/// A hit of moka for a caller that has a `&str`. The key type requires an owned `String`.
fn moka_hit(cache: &Moka) -> String {
    let key = (black_box(7), black_box(REGION).to_owned());
    ready(cache.get(&key)).expect("the call succeeds")
}

/// A hit of moka with an existing key.
fn moka_hit_by(cache: &Moka, key: &(u64, String)) -> String {
    ready(cache.get(black_box(key))).expect("the call succeeds")
}

fn key() -> Key {
    let mut hasher = KeyHasher::new(false);
    black_box(7u64).feed(&mut hasher);
    black_box(REGION).feed(&mut hasher);
    black_box(&QUERY).feed(&mut hasher);
    hasher
        .finish("dspinlock".into(), "near::price")
        .expect("the key can be serialized")
}

fn hits(criterion: &mut Criterion) {
    let cache = moka();
    let owned = (7, REGION.to_owned());
    let mut group = criterion.benchmark_group("hit");
    group.bench_function("near, async", |bench| bench.iter(near_async));
    group.bench_function("near, sync", |bench| bench.iter(near_sync));
    group.bench_function("moka, async", |bench| bench.iter(|| moka_hit(&cache)));
    group.bench_function("moka, async, key at hand", |bench| {
        bench.iter(|| moka_hit_by(&cache, &owned))
    });
    group.finish();
    criterion.bench_function("key of (u64, &str, struct of 5 fields)", |bench| bench.iter(key));
}

/// Compares the rate of two threads with the rate of one, in pairs.
fn scaling() {
    const CALLS: u32 = 500_000;
    let cache = moka();
    let rate = |threads: u32, hit: &(dyn Fn() -> String + Sync)| {
        let start = Instant::now();
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| (0..CALLS).for_each(|_| drop(black_box(hit()))));
            }
        });
        f64::from(threads * CALLS) / start.elapsed().as_secs_f64()
    };
    let report = |name: &str, hit: &(dyn Fn() -> String + Sync)| {
        let mut rounds: Vec<(f64, f64)> = (0..11).map(|_| (rate(1, hit), rate(2, hit))).collect();
        rounds.sort_by(|a, b| (a.1 / a.0).total_cmp(&(b.1 / b.0)));
        let (one, two) = rounds[rounds.len() / 2];
        let speedup = two / one;
        println!(
            "{name}: 1 thread {:.1} M/s, 2 threads {:.1} M/s, speedup {speedup:.2}",
            one / 1e6,
            two / 1e6
        );
    };
    report("near, async", &near_async);
    report("near, sync", &near_sync);
    report("moka, async", &|| moka_hit(&cache));
}

criterion_group!(benches, hits);

fn main() {
    let server = Redis::start();
    dspinlock::init(Pool::open(&server.url()).expect("the pool opens"))
        .expect("no other pool is initialized");
    futures_executor::block_on(async {
        // The first call computes, the second fills the near cache.
        for _ in 0..2 {
            price(7, REGION).await.expect("the call succeeds");
            price_now(7, REGION).expect("the call succeeds");
        }
    });
    benches();
    Criterion::default().configure_from_args().final_summary();
    scaling();
}
