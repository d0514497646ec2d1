//! Measures a near-cache hit. The baseline is a hit of `moka`.

use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use dspinlock::{Error, dspinlock};
use dspinlock_runtime::internals::key::{KeyHasher, KeyPart};
use serde::Serialize;

use crate::measure::{Row, median};

const ROUNDS: usize = 15;
const CALLS: u32 = 50_000;
const REGION: &str = "region-of-ten";

#[dspinlock(cached_if_computed, near_cache = "10m")]
async fn price(id: u64, region: &str) -> Result<String, Error> {
    Ok(format!("{id} in {region}: ").repeat(10)[..100].to_owned())
}

#[dspinlock(cached_if_computed, near_cache = "10m")]
fn price_now(id: u64, region: &str) -> Result<String, Error> {
    Ok(format!("{id} in {region}: ").repeat(10)[..100].to_owned())
}

/// Polls a future that is ready at the first poll.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => panic!("a hit must not wait"),
    }
}

fn hit() {
    drop(black_box(
        ready(price(black_box(7), black_box(REGION))).expect("the call succeeds"),
    ));
}

fn hit_sync() {
    drop(black_box(
        price_now(black_box(7), black_box(REGION)).expect("the call succeeds"),
    ));
}

type Moka = moka::future::Cache<(u64, String), String>;

/// The first call computes, the second fills the near cache.
fn warm() -> Moka {
    for _ in 0..2 {
        futures_executor::block_on(price(7, REGION)).expect("the call succeeds");
        price_now(7, REGION).expect("the call succeeds");
    }
    let cache = Moka::builder()
        .max_capacity(10_000)
        .time_to_live(Duration::from_secs(600))
        .build();
    futures_executor::block_on(cache.insert((7, REGION.to_owned()), "x".repeat(100)));
    cache
}

/// A hit of moka for a caller that has a `&str`. The key type requires an owned `String`.
fn moka_hit(cache: &Moka) {
    let key = (black_box(7), black_box(REGION).to_owned());
    drop(black_box(ready(cache.get(&key)).expect("the key is cached")));
}

/// Microseconds per call.
fn time(call: impl Fn()) -> f64 {
    let start = Instant::now();
    (0..CALLS).for_each(|_| call());
    start.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS)
}

pub(crate) fn rows(_: &str) -> Vec<Row> {
    let cache = warm();
    let key = (7, REGION.to_owned());
    let with_key = || {
        drop(black_box(
            ready(cache.get(black_box(&key))).expect("the key is cached"),
        ))
    };
    let owned = || moka_hit(&cache);
    let row = |name: &str, baseline, target, ours: fn(), bare: &dyn Fn()| {
        let pairs: Vec<_> = (0..ROUNDS).map(|_| (time(ours), time(bare))).collect();
        Row::micros(name, baseline, target, &pairs)
    };
    vec![
        row(
            "near hit, key of (u64, &str)",
            "moka, owned key",
            "≤ 0.9",
            hit,
            &owned,
        ),
        row(
            "near hit, key of (u64, &str)",
            "moka, key at hand",
            "",
            hit,
            &with_key,
        ),
        row("near hit, sync caller", "moka, owned key", "", hit_sync, &owned),
        row(
            "hash of a key of (u64, &str, struct of 5)",
            "moka, owned key",
            "",
            hash_key,
            &owned,
        ),
    ]
}

/// Compares the rate of two threads with that of one.
pub(crate) fn two_threads(_: &str) -> Vec<Row> {
    let cache = warm();
    let rate = |threads: u32, hit: &(dyn Fn() + Sync)| {
        let start = Instant::now();
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| (0..4 * CALLS).for_each(|_| hit()));
            }
        });
        f64::from(threads * 4 * CALLS) / start.elapsed().as_secs_f64()
    };
    let speedup = |hit: &(dyn Fn() + Sync)| rate(2, hit) / rate(1, hit);
    let rounds: Vec<_> = (0..ROUNDS)
        .map(|_| (speedup(&hit), speedup(&|| moka_hit(&cache))))
        .collect();
    let show = |side: fn(&(f64, f64)) -> f64| format!("{:.2} ×", median(rounds.iter().map(side).collect()));
    vec![Row::facts(
        "near hits of two threads / of one",
        "moka, owned key",
        "",
        [show(|round| round.0), show(|round| round.1)],
    )]
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

fn hash_key() {
    let mut hasher = KeyHasher::new(false);
    black_box(7u64).feed(&mut hasher);
    black_box(REGION).feed(&mut hasher);
    black_box(&QUERY).feed(&mut hasher);
    let key = hasher.finish("dspinlock".into(), "near::price");
    drop(black_box(key.expect("the key can be serialized")));
}
