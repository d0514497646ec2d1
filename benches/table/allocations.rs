//! Counts the allocations of hits, as rows of the benchmark `table`. `tests/allocations.rs` states the exact numbers.
//!
//! It is a separate program, because a global allocator counts the allocations of the whole process.

#[expect(dead_code, reason = "the benchmark `table` uses all of it")]
mod measure;

use std::alloc::System;
use std::time::Duration;

use dspinlock::{Error, Pool, dspinlock};
use dspinlock_testkit::Redis;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

use crate::measure::Row;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const ROUNDS: usize = 1_000;

/// A value of 100 bytes, whose copy needs no allocation.
type Value = ([u8; 32], [u8; 32], [u8; 32], u32);

const VALUE: Value = ([1; 32], [2; 32], [3; 32], 4);

#[dspinlock(cached_if_computed)]
async fn stored(id: u64) -> Result<Value, Error> {
    Ok(VALUE)
}

#[dspinlock(cached_if_computed, near_cache = "10m")]
async fn near(id: u64) -> Result<Value, Error> {
    Ok(VALUE)
}

fn main() {
    let filter = std::env::args().skip(1).find(|argument| argument != "--bench");
    if !"allocations".contains(filter.as_deref().unwrap_or_default()) {
        return;
    }
    let server = Redis::start();
    dspinlock::init(Pool::open(&server.url()).expect("the pool opens"))
        .expect("no other pool is initialized");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("the runtime starts");
    let hit = || _ = runtime.block_on(stored(7)).expect("the call succeeds");
    let near_hit = || _ = runtime.block_on(near(7)).expect("the call succeeds");
    // After eight reads the runtime has a reader.
    for _ in 0..20 {
        hit();
        near_hit();
        runtime.block_on(async { tokio::time::sleep(Duration::from_millis(10)).await });
    }
    let row = |name, count: f64, target| Row::fact(name, format!("{count:.1}"), target).print("all", true);
    row("allocations of a hit, 100 B", allocations(hit), "≤ 3");
    row("allocations of a near hit", allocations(near_hit), "0");
}

/// Allocations per call. Those of other threads count too, but these threads are idle.
fn allocations(call: impl Fn()) -> f64 {
    let region = Region::new(ALLOCATOR);
    (0..ROUNDS).for_each(|_| call());
    let change = region.change();
    (change.allocations + change.reallocations) as f64 / ROUNDS as f64
}
