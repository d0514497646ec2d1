use std::time::Duration;
use dspinlock::{Error, Pool, dspinlock};

#[dspinlock(cached_if_computed, ttl = "10m", entry = price_entry)]
async fn price(id: u64) -> Result<u64, Error> {
    tokio::task::yield_now().await; // an expensive query
    Ok(id * 3)
}

#[tokio::test]
async fn ten_callers_compute_once() {
    let pool = Pool::for_test();
    let _bound = pool.bind();
    for call in [(); 10].map(|()| tokio::spawn(price(7))) {
        assert_eq!(call.await.unwrap().unwrap(), 21);
    }
    assert_eq!(pool.computes("price"), 1);
}

#[tokio::test]
async fn the_next_caller_computes_if_the_holder_dies() {
    let pool = Pool::for_test();
    let _held = pool.hold(&price_entry(7)); // another process computes
    let death = async { pool.lose_lease(&price_entry(7)) };
    let (price, ()) = tokio::join!(pool.scope(price(7)), death);
    assert_eq!((price.unwrap(), pool.computes("price")), (21, 1));
}

#[tokio::test]
async fn an_outage_is_an_error_and_a_price_is_stored_for_ten_minutes() {
    let pool = Pool::for_test();
    let _bound = pool.bind();
    pool.fail_next(1);
    assert!(matches!(price(7).await, Err(Error::RedisNotInitialized { .. })));
    for computes in [1, 1, 2] {
        assert_eq!((price(7).await.unwrap(), pool.computes("price")), (21, computes));
        pool.advance(Duration::from_secs(300));
    }
}
