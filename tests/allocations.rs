//! A near-cache hit and a key allocate nothing. A hit in the store allocates what its request and its reply need.
//!
//! This test has its own binary, because a global allocator counts the allocations of the whole process.

use std::alloc::System;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::thread::sleep;
use std::time::Duration;

use dspinlock::{Error, Pool, dspinlock};
use dspinlock_runtime::internals::key::{KeyHasher, KeyPart};
use dspinlock_testkit::Redis;
use serde::Serialize;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// A value that can be copied without an allocation.
type Value = [u8; 16];

#[dspinlock(cached_if_computed, near_cache = "10m")]
async fn free(id: u64, region: &str) -> Result<Value, Error> {
    Ok([id as u8 + region.len() as u8; 16])
}

#[dspinlock(cached_if_computed, near_cache = "10m")]
fn free_now(id: u64, region: &str) -> Result<Value, Error> {
    Ok([id as u8 + region.len() as u8; 16])
}

#[dspinlock(key = "{id} in {region}", cached_if_computed, near_cache = "10m")]
fn formatted(id: u64, region: &str) -> Result<Value, Error> {
    Ok([id as u8 + region.len() as u8; 16])
}

#[dspinlock(cached_if_computed, near_cache = "10m")]
fn generic<T: Serialize>(part: T) -> Result<Value, Error> {
    black_box(part);
    Ok([1; 16])
}

#[dspinlock(key = region, name = "shared", cached_if_computed, near_cache = "10m")]
fn shared(region: &str) -> Result<Value, Error> {
    Ok([region.len() as u8; 16])
}

#[dspinlock(cached_if_computed)]
async fn stored(id: u64) -> Result<Value, Error> {
    Ok([id as u8; 16])
}

#[dspinlock(cached_if_computed)]
async fn stored_generic<T: Serialize>(part: T) -> Result<Value, Error> {
    black_box(part);
    Ok([1; 16])
}

#[dspinlock(cached_if_computed)]
fn stored_now(id: u64) -> Result<Value, Error> {
    Ok([id as u8; 16])
}

struct Shop(u64);

impl Shop {
    #[dspinlock(key = self.0, cached_if_computed, near_cache = "10m")]
    async fn method(&self) -> Result<Value, Error> {
        Ok([self.0 as u8; 16])
    }
}

#[derive(Serialize)]
struct Query {
    country: &'static str,
    page: u32,
    size: u32,
    sorted: bool,
    limit: Option<f64>,
}

fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => panic!("a near-cache hit was pending"),
    }
}

fn allocations(work: impl Fn()) -> usize {
    const ROUNDS: usize = 1000;
    // Allocations of other threads count too, but these threads are idle.
    let region = Region::new(ALLOCATOR);
    (0..ROUNDS).for_each(|_| work());
    let change = region.change();
    (change.allocations + change.reallocations) / ROUNDS
}

/// So many allocations with the feature `metrics`, for the labels of a call; otherwise none.
fn labels(count: usize) -> usize {
    if cfg!(feature = "metrics") { count } else { 0 }
}

/// The allocations of a hit in the store. Change a number only with a reason.
fn assert_hits_of_the_store() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let hit = || drop(runtime.block_on(stored(black_box(7))));
    let generic_hit = || drop(runtime.block_on(stored_generic(black_box(7))));
    let sync_hit = || drop(stored_now(black_box(7)));
    // After eight reads the runtime and the sync callers have readers.
    for _ in 0..10 {
        hit();
        generic_hit();
        sync_hit();
        sleep(Duration::from_millis(10));
    }
    runtime.block_on(async { tokio::time::sleep(Duration::from_millis(100)).await });
    hit();
    assert_eq!(allocations(hit), 1 + labels(4), "an async hit: its payload");
    assert_eq!(
        allocations(generic_hit),
        1 + labels(6),
        "a hit of a generic function"
    );
    assert_eq!(allocations(sync_hit), 1 + labels(4), "a sync hit");
}

#[test]
fn a_near_hit_and_a_key_allocate_nothing_and_a_hit_little() {
    let server = Redis::start();
    dspinlock::init(Pool::open(&server.url()).unwrap()).unwrap();
    let shop = Shop(7);
    // The first call computes, the second fills the near cache.
    for _ in 0..2 {
        futures_executor::block_on(free(7, "eu")).unwrap();
        futures_executor::block_on(shop.method()).unwrap();
        free_now(7, "eu").unwrap();
        formatted(7, "eu").unwrap();
        generic((7, "eu")).unwrap();
        shared("eu").unwrap();
    }
    // The background work of the last reads finishes.
    sleep(Duration::from_millis(100));
    assert_eq!(
        allocations(|| drop(ready(free(black_box(7), "eu")))),
        labels(2),
        "async"
    );
    assert_eq!(allocations(|| drop(ready(shop.method()))), labels(2), "a method");
    assert_eq!(
        allocations(|| drop(free_now(black_box(7), "eu"))),
        labels(2),
        "sync"
    );
    assert_eq!(
        allocations(|| drop(formatted(black_box(7), "eu"))),
        labels(2),
        "a format string"
    );
    assert_eq!(
        allocations(|| drop(generic(black_box((7, "eu"))))),
        labels(4),
        "a generic function"
    );
    assert_eq!(
        allocations(|| drop(shared(black_box("eu")))),
        labels(2),
        "a shared key"
    );
    let key = || {
        let query = Query {
            country: "eu",
            page: 3,
            size: 50,
            sorted: true,
            limit: Some(9.5),
        };
        let mut hasher = KeyHasher::new(false);
        black_box(7u64).feed(&mut hasher);
        black_box("eu").feed(&mut hasher);
        black_box(&query).feed(&mut hasher);
        drop(black_box(hasher.finish("dspinlock".into(), "m::f")));
    };
    assert_eq!(allocations(key), 0, "a key");
    assert_hits_of_the_store();
}
