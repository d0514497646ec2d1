//! Hits in the cache of a process.

use std::hint::black_box;
use std::time::{Duration, Instant};

use cached::{AsyncRedisCache, ConcurrentCachedAsync};
use dspinlock::dspinlock;

use crate::bare;
use crate::compare::{Comparison, Unit, rounds};
use crate::side::Side;
use crate::sides::{Error, text};

const ROUNDS: u64 = 15;
const CALLS: u32 = 20_000;
const REGION: &str = "region-of-ten";

#[dspinlock(cached_if_computed, near_cache = "10m")]
async fn near(id: u64, region: &str) -> Result<String, Error> {
    let _ = (id, region);
    Ok(text())
}

/// A key of a number and a text. `cached` needs a key that can be displayed, and makes a name of it.
fn name() -> String {
    format!("{}:{}", black_box(7), black_box(REGION))
}

pub(crate) fn hit(url: &str) -> Vec<Comparison> {
    let runtime = bare::one_thread();
    let (near_redis, moka) = runtime.block_on(async {
        let open = async |near| {
            let cache = AsyncRedisCache::<String, String>::builder("near").connection_string(url);
            let cache = cache
                .client_side_caching(near)
                .ttl(Duration::from_secs(600))
                .build()
                .await;
            cache.expect("the server accepts a connection")
        };
        // Another client writes the value: the own write of a client may leave its local copy empty.
        let written = open(false).await.async_cache_set(name(), text()).await;
        written.expect("a reply to PSETEX");
        let near_redis = open(true).await;
        let moka = moka::future::Cache::<(u64, String), String>::new(1_000);
        moka.insert((7, REGION.to_owned()), text()).await;
        for _ in 0..2 {
            near(7, REGION).await.expect("the call succeeds");
            near_redis.async_cache_get(&name()).await.expect("a reply to GET");
        }
        (near_redis, moka)
    });
    let rounds = rounds(ROUNDS, &[Side::Dspinlock, Side::Cached, Side::Moka], |side, _| {
        let call = async || match side {
            Side::Dspinlock => near(black_box(7), black_box(REGION))
                .await
                .expect("the call succeeds"),
            Side::Cached => {
                let value = near_redis.async_cache_get(&name()).await;
                value.expect("a reply").expect("the key is cached")
            }
            _ => {
                let key = (black_box(7), black_box(REGION).to_owned());
                moka.get(&key).await.expect("the key is cached")
            }
        };
        runtime.block_on(async {
            let start = Instant::now();
            for _ in 0..CALLS {
                drop(black_box(call().await));
            }
            start.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS)
        })
    });
    vec![Comparison::new(
        "near hit, key of (u64, &str)",
        Unit::Micros,
        &rounds,
    )]
}
