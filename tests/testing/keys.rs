//! What a test does to one key, and what it counts.

use std::thread;
use std::time::Duration;

use dspinlock::{Acquired, Error, HashDSpinlock, Pool, Status, current, dspinlock};
use tokio::sync::oneshot;

#[dspinlock(cached_if_computed, entry = price_entry)]
async fn price(id: u64) -> Result<u64, Error> {
    Ok(id * 3)
}

#[tokio::test]
async fn a_holder_that_loses_its_lease_stores_nothing_and_the_next_call_computes() {
    #[dspinlock(key = id, cached_if_computed, entry = report_entry)]
    async fn report(id: u64, value: u64, gate: oneshot::Receiver<()>) -> Result<u64, Error> {
        let _ = gate.await;
        Ok(value + u64::from(current().is_some_and(|current| current.is_lost())))
    }
    let pool = Pool::for_test();
    let _bound = pool.bind();
    let entry = |id| {
        let (_, gate) = oneshot::channel();
        report_entry(id, 0, gate)
    };
    let (open, gate) = oneshot::channel();
    let dying = tokio::spawn(report(7, 100, gate));
    while pool.computes("report") == 0 {
        tokio::task::yield_now().await;
    }
    // A call of the same process follows it, and one of another process waits for it.
    let next = [pool.clone(), pool.another_process()].map(|pool| {
        let (_, gate) = oneshot::channel();
        tokio::spawn(async move { pool.scope(report(7, 200, gate)).await })
    });
    pool.waiting(2).await;
    pool.lose_lease(&entry(7));
    for call in next {
        assert_eq!(call.await.expect("no panic").expect("a value"), 200);
    }
    open.send(()).expect("the first body still runs");
    assert_eq!(dying.await.expect("no panic").expect("its own value"), 101);
    let stored = entry(7).peek().await.expect("a reply").expect("a value");
    assert_eq!(stored.value.expect("a value"), 200);
    assert_eq!(pool.computes("report"), 2);
}

#[tokio::test]
async fn a_cancelled_body_stops_and_its_caller_gets_the_value_of_the_next_holder() {
    #[dspinlock(key = id, cached_if_computed, on_lease_lost = cancel, entry = report_entry)]
    async fn report(id: u64, body: Option<u64>) -> Result<u64, Error> {
        match body {
            Some(value) => Ok(value),
            None => std::future::pending().await,
        }
    }
    let pool = Pool::for_test();
    let _bound = pool.bind();
    let stopped = tokio::spawn(report(7, None));
    while pool.computes("report") == 0 {
        tokio::task::yield_now().await;
    }
    let next = tokio::spawn(report(7, Some(200)));
    pool.waiting(1).await;
    pool.lose_lease(&report_entry(7, None));
    for call in [stopped, next] {
        assert_eq!(call.await.expect("no panic").expect("a value"), 200);
    }
    assert_eq!(pool.computes("report"), 2);
}

#[test]
fn a_lease_is_lost_in_sync_code_too() {
    let pool = Pool::for_test();
    let lock = HashDSpinlock::new("report").pool(&pool);
    let Acquired::Locked(lease) = lock.acquire_blocking().expect("a lease") else {
        panic!("the key is computed")
    };
    thread::scope(|threads| {
        let next = threads.spawn(|| lock.acquire_blocking().map(drop));
        pool.waiting_blocking(1);
        pool.lose_lease(&lock);
        assert!(next.join().expect("no panic").is_ok());
    });
    assert!(matches!(lease.release_blocking(), Err(Error::LeaseLost { .. })));
}

#[test]
#[should_panic(expected = "no call of this pool holds")]
fn a_lease_that_nobody_has_cannot_be_lost() {
    let pool = Pool::for_test();
    let lock = HashDSpinlock::new("report");
    let _held = pool.another_process().hold(&lock);
    pool.lose_lease(&lock);
}

#[tokio::test]
async fn a_value_that_expires_is_computed_again() {
    let pool = Pool::for_test();
    let _bound = pool.bind();
    for id in [7, 8] {
        price(id).await.expect("a value");
    }
    pool.expire(&price_entry(7));
    for id in [7, 8] {
        price(id).await.expect("a value");
    }
    assert_eq!(pool.computes("price"), 3);
}

#[test]
fn a_holder_learns_from_its_next_heartbeat_that_its_lock_has_expired() {
    let pool = Pool::for_test();
    let lock = HashDSpinlock::new("report").pool(&pool);
    let lease = pool.hold(&lock);
    pool.expire(&lock);
    assert!(!lease.is_lost());
    assert_eq!(lock.status_blocking().expect("a reply"), Status::Free);
    pool.advance(Duration::from_secs(5));
    assert!(lease.is_lost());
}

#[test]
#[should_panic(expected = "has no entry that could expire")]
fn a_key_without_an_entry_cannot_expire() {
    Pool::for_test().expire(&HashDSpinlock::new("report"));
}

#[test]
#[should_panic(expected = "cannot hold the key")]
fn a_key_that_is_held_cannot_be_held_again() {
    let pool = Pool::for_test();
    let lock = HashDSpinlock::new("report");
    let _held = pool.hold(&lock);
    let _second = pool.hold(&lock);
}

#[tokio::test]
async fn a_held_key_names_its_site() {
    let pool = Pool::for_test();
    let _held = pool.hold(&price_entry(7));
    let status = price_entry(7).pool(&pool).status().await.expect("a reply");
    let Status::Held { holder, .. } = status else {
        panic!("{status:?}")
    };
    let holder = holder.expect("a holder of this program");
    assert!(holder.to_string().contains("price"), "{holder}");
}

#[tokio::test]
async fn a_cleared_pool_is_empty_and_its_holders_lose_their_leases() {
    #[dspinlock(cached_if_computed, near_cache = "1h", ttl = "2h")]
    async fn near(id: u64) -> Result<u64, Error> {
        Ok(id * 3)
    }
    let pool = Pool::for_test();
    let _bound = pool.bind();
    let lock = HashDSpinlock::new("report").pool(&pool);
    let lease = pool.hold(&lock);
    for _ in 0..3 {
        near(7).await.expect("a value");
    }
    let waiting = tokio::spawn(lock.acquire());
    pool.waiting(1).await;
    pool.clear();
    assert_eq!(pool.computes("near"), 0);
    assert!(
        waiting.await.expect("no panic").is_ok(),
        "the waiting call is woken"
    );
    near(7).await.expect("a value");
    assert_eq!(pool.computes("near"), 1);
    pool.advance(Duration::from_secs(5));
    assert!(lease.is_lost());
}

#[tokio::test]
async fn another_process_shares_the_store_and_the_counts_and_no_flight() {
    let pool = Pool::for_test();
    let there = pool.another_process();
    there.scope(price(7)).await.expect("a value");
    pool.scope(price(7)).await.expect("a value");
    assert_eq!((pool.computes("price"), there.computes("price")), (1, 1));
    let _held = pool.hold(&price_entry(8));
    let call = there.scope(price(8));
    let (call, ()) = tokio::join!(call, async {
        there.waiting(1).await; // they have one clock
        pool.lose_lease(&price_entry(8));
    });
    call.expect("a value");
    assert_eq!(pool.computes("price"), 2);
}

mod shop {
    use super::{Error, dspinlock};

    #[dspinlock(cached_if_computed)]
    pub(super) fn stock(id: u64) -> Result<u64, Error> {
        Ok(id)
    }
}

#[test]
fn bodies_are_counted_by_the_name_of_their_site() {
    #[dspinlock(name = "in stock", cached_if_computed)]
    fn named(id: u64) -> Result<u64, Error> {
        Ok(id)
    }
    #[dspinlock]
    fn stock(id: u64) -> Result<u64, Error> {
        Ok(id)
    }
    let pool = Pool::for_test();
    let _bound = pool.bind();
    for id in [1, 1, 2] {
        shop::stock(id).expect("a value");
        named(id).expect("a value");
        stock(id).expect("a value");
    }
    let counts = ["stock", "shop::stock", "in stock", "tock", "named"].map(|site| pool.computes(site));
    assert_eq!(counts, [5, 2, 2, 0, 0]);
}

#[test]
fn a_waiting_call_outlasts_writes_of_other_keys() {
    let pool = Pool::for_test();
    let entry = |id: u64| dspinlock::Entry::of::<u64>("other").part(&id).pool(&pool);
    let held = pool.another_process();
    let held = HashDSpinlock::new("awaited").pool(&held).acquire_blocking();
    let Ok(Acquired::Locked(lease)) = held else {
        panic!("free")
    };
    let waiting = thread::spawn({
        let pool = pool.clone();
        move || {
            HashDSpinlock::new("awaited")
                .pool(&pool)
                .acquire_blocking()
                .map(drop)
        }
    });
    pool.waiting_blocking(1);
    for id in 0..20 {
        entry(id).prime_blocking(&id).expect("primed");
        pool.waiting_blocking(1);
    }
    drop(lease);
    waiting.join().expect("no panic").expect("acquired");
}
