//! What a call does that finds its key busy, or its key used for something else: `on_busy` and `validate`.

use std::thread;
use std::time::Duration;

use dspinlock::{Error, Pool, dspinlock};
use dspinlock_testkit::Redis;

use crate::keeping::Runs;
use crate::stores::Backend;

/// Runs `call` while another call, in another pool of the same store, holds the key.
fn while_held<T>(pools: &[Pool; 2], holds: impl FnOnce() + Send, call: impl FnOnce() -> T) -> T {
    thread::scope(|threads| {
        threads.spawn(|| pools[0].scope_blocking(holds));
        thread::sleep(Duration::from_millis(300));
        pools[1].scope_blocking(call)
    })
}

const BODY: Duration = Duration::from_millis(1200);

#[dspinlock(key = id, on_busy = skip)]
fn unit(id: u64, runs: &Runs) -> Result<(), Error> {
    runs.add();
    thread::sleep(BODY);
    Ok(())
}

#[dspinlock(key = id, on_busy = skip, on_error = panic, name = "steer::unit")]
fn plain_unit(id: u64) {
    let _ = id;
    unreachable!("the key is held")
}

#[dspinlock(key = id, on_busy = skip, wait = "2s", fail_if_key_exists, entry = job_entry)]
async fn job(id: u64, runs: &Runs) -> Result<Option<usize>, Error> {
    Ok(Some(runs.add()))
}

#[dspinlock(key = id, on_busy = skip, on_error = panic)]
fn optional(id: u64, runs: &Runs) -> Option<usize> {
    thread::sleep(BODY);
    Some(runs.add())
}

#[test]
fn a_busy_key_is_skipped_at_once() {
    for backend in Backend::all() {
        let runs = Runs::default();
        let pools = backend.pools("is_skipped");
        while_held(
            &pools,
            || unit(1, &runs).expect("a run"),
            || {
                let start = std::time::Instant::now();
                unit(1, &runs).expect("nothing");
                assert!(start.elapsed() < BODY / 2, "{backend:?}: {:?}", start.elapsed());
            },
        );
        assert_eq!(runs.count(), 1, "{backend:?}");
        while_held(
            &pools,
            || assert_eq!(optional(2, &runs), Some(2)),
            || assert_eq!(optional(2, &runs), None),
        );
    }
}

#[tokio::test]
async fn a_job_that_is_done_is_skipped_and_a_store_error_is_not() {
    for backend in Backend::all() {
        let runs = Runs::default();
        let [pool, _] = backend.pools("that_is_done");
        assert_eq!(pool.scope(job(1, &runs)).await.expect("a run"), Some(1));
        assert_eq!(pool.scope(job(1, &runs)).await.expect("nothing"), None);
        assert_eq!(runs.count(), 1);
    }
    let away = Pool::open("redis://127.0.0.1:1").expect("a pool");
    let error = away.scope(job(1, &Runs::default())).await.expect_err("no server");
    assert!(matches!(error, Error::RedisNotInitialized { .. }), "{error:?}");
    let panicked = thread::spawn(move || away.scope_blocking(|| plain_unit(1))).join();
    assert!(panicked.is_err());
}

#[dspinlock(key = id, validate = (amount, currency), cached_if_computed, entry = pay_entry)]
fn pay(id: &str, amount: u64, currency: &str, runs: &Runs) -> Result<usize, Error> {
    thread::sleep(BODY);
    Ok(runs.add())
}

#[dspinlock(key = id, validate = amount, cached_if_computed, near_cache = "1m")]
async fn pay_near(id: &str, amount: u64, runs: &Runs) -> Result<usize, Error> {
    Ok(runs.add())
}

#[dspinlock(key = id, validate = amount, fail_if_key_exists)]
async fn pay_once(id: &str, amount: u64, runs: &Runs) -> Result<usize, Error> {
    Ok(runs.add())
}

#[dspinlock(key = id, validate = "{order}: {memo:>4}", cached_if_computed)]
fn pay_for(id: u64, order: &str, memo: &str, runs: &Runs) -> Result<usize, Error> {
    Ok(runs.add())
}

/// The text and each hole are separate parts.
#[test]
fn a_format_string_is_validated() {
    for backend in Backend::all() {
        let pool = backend.pool(&format!("a_format_string {}", fastrand::u64(..)));
        let runs = Runs::default();
        let pay_id = |id, order, memo| pool.scope_blocking(|| pay_for(id, order, memo, &runs));
        let pay = |order, memo| pay_id(1, order, memo);
        assert_eq!(pay("12345", "a").expect("a run"), 1);
        assert_eq!(pay("12345", "   a").expect("the same text"), 1);
        is_reused(pay("12345", "b"));
        is_reused(pay("12346", "a"));
        assert_eq!(pay_id(2, "12345: x", "a").expect("a run"), 2);
        // The whole text is the same.
        is_reused(pay_id(2, "12345", "x:    a"));
        assert_eq!(runs.count(), 2, "{backend:?}");
    }
}

fn is_reused<T: std::fmt::Debug>(outcome: Result<T, Error>) {
    let error = outcome.expect_err("the key is used for another value");
    assert!(matches!(error, Error::KeyReused { .. }), "{error:?}");
    let message = error.to_string();
    assert!(!message.contains("12345"), "{message}");
}

#[test]
fn a_key_that_is_used_for_another_value_is_refused_at_once() {
    for backend in Backend::all() {
        let runs = Runs::default();
        let pools = backend.pools("is_refused");
        while_held(
            &pools,
            || assert_eq!(pay("a", 12345, "EUR", &runs).expect("a run"), 1),
            || {
                let start = std::time::Instant::now();
                is_reused(pay("a", 12346, "EUR", &runs));
                is_reused(pays_in_the_same_pool(&pools[0], &runs));
                assert!(start.elapsed() < BODY / 2, "{backend:?}: {:?}", start.elapsed());
                assert_eq!(pay("a", 12345, "EUR", &runs).expect("a replay"), 1);
            },
        );
        for pool in &pools {
            pool.scope_blocking(|| {
                assert_eq!(pay("a", 12345, "EUR", &runs).expect("a replay"), 1);
                is_reused(pay("a", 12345, "USD", &runs));
                assert!(
                    pay_entry("a", 12345, "EUR", &runs)
                        .peek_blocking()
                        .expect("a reply")
                        .is_some()
                );
            });
        }
        assert_eq!(runs.count(), 1);
    }
}

/// A follower of the same flight.
fn pays_in_the_same_pool(pool: &Pool, runs: &Runs) -> Result<usize, Error> {
    pool.scope_blocking(|| pay("a", 12347, "EUR", runs))
}

#[tokio::test]
async fn near_hits_and_jobs_are_validated_too() {
    for backend in Backend::all() {
        let runs = Runs::default();
        let [pool, _] = backend.pools("validated_too");
        for _ in 0..5 {
            let value = pool.scope(pay_near("a", 12345, &runs)).await;
            assert_eq!(value.expect("a value"), 1);
            is_reused(pool.scope(pay_near("a", 1, &runs)).await);
        }
        pool.scope(pay_once("b", 12345, &runs)).await.expect("a run");
        is_reused(pool.scope(pay_once("b", 1, &runs)).await);
        let again = pool.scope(pay_once("b", 12345, &runs)).await;
        assert!(
            matches!(again, Err(Error::FailIfKeyExistsIsEnabled { .. })),
            "{again:?}"
        );
    }
}

#[test]
fn with_a_secret_the_check_is_an_hmac() {
    let server = Redis::start();
    let checks = ["a secret of sixteen bytes", "another secret of sixteen"].map(|secret| {
        let pool = Pool::builder(&server.url())
            .secret(secret)
            .open()
            .expect("a pool");
        pool.scope_blocking(|| pay("a", 12345, "EUR", &Runs::default()))
            .expect("a run");
        is_reused(pool.scope_blocking(|| pay("a", 1, "EUR", &Runs::default())));
        let name = pay_entry("a", 0, "", &Runs::default())
            .pool(&pool)
            .key()
            .expect("a name");
        let redis::Value::BulkString(entry) = server.raw(&["GET", &name]) else {
            panic!("{name} has an entry")
        };
        let text = String::from_utf8_lossy(&entry).into_owned();
        let line = text.lines().next().expect("a line");
        line.split(',').rev().nth(2).expect("a check").to_owned()
    });
    assert!(
        checks.iter().all(|check| check.len() == 22) && checks[0] != checks[1],
        "{checks:?}"
    );
}

#[test]
fn the_holder_of_the_key_decides_and_not_the_first_call_of_a_process() {
    for backend in Backend::all() {
        let runs = Runs::default();
        let pools = backend.pools("the_holder_decides");
        pools[1]
            .scope_blocking(|| pay("a", 10, "EUR", &runs))
            .expect("a run");
        for _ in 0..5 {
            let outcomes: Vec<_> = thread::scope(|threads| {
                let (pools, runs) = (&pools, &runs);
                let calls: Vec<_> = (0..9)
                    .map(|at| {
                        // The first call is a wrong one.
                        let amount = if at % 3 == 0 { 20 } else { 10 };
                        threads.spawn(move || {
                            (amount, pools[0].scope_blocking(|| pay("a", amount, "EUR", runs)))
                        })
                    })
                    .collect();
                calls
                    .into_iter()
                    .map(|call| call.join().expect("no panic"))
                    .collect()
            });
            for (amount, outcome) in outcomes {
                match amount {
                    10 => assert_eq!(outcome.expect("a replay"), 1, "{backend:?}"),
                    _ => is_reused(outcome),
                }
            }
        }
    }
}

#[dspinlock(key = id, validate = amount, cached_if_computed, name = "steer::busy::mixed")]
fn mixed(id: u64, amount: u64, time: Duration) -> Result<u64, Error> {
    let _ = id;
    thread::sleep(time);
    Ok(amount)
}

#[dspinlock(key = id, cached_if_computed, name = "steer::busy::mixed")]
fn unchecked(id: u64) -> Result<u64, Error> {
    Ok(id)
}

#[test]
fn a_call_that_validates_follows_none_that_does_not() {
    for backend in [Backend::redis(), Backend::Embedded] {
        let pools = backend.pools("follows_none");
        let id = fastrand::u64(..);
        thread::scope(|threads| {
            let pools = &pools;
            threads.spawn(move || pools[1].scope_blocking(|| mixed(id, 10, BODY)).expect("a run"));
            thread::sleep(Duration::from_millis(300));
            let leader = threads.spawn(move || pools[0].scope_blocking(|| unchecked(id)));
            thread::sleep(Duration::from_millis(100));
            is_reused(pools[0].scope_blocking(|| mixed(id, 20, Duration::ZERO)));
            assert_eq!(leader.join().expect("no panic").expect("a value"), 10);
        });
    }
}

#[test]
fn a_primed_value_is_validated_and_a_peek_too() {
    for backend in Backend::all() {
        let [pool, _] = backend.pools("a_primed_value");
        let runs = Runs::default();
        pool.scope_blocking(|| {
            pay_entry("p", 10, "EUR", &runs)
                .prime_blocking(&Ok(7))
                .expect("a reply");
            assert_eq!(pay("p", 10, "EUR", &runs).expect("a value"), 7);
            is_reused(pay("p", 11, "EUR", &runs));
            let of_others = pay_entry("p", 11, "EUR", &runs).peek_blocking();
            assert!(of_others.expect("a reply").is_none());
        });
    }
}

#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
enum Refused {
    Amount(u64),
    Lock(String),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Lock(error.to_string())
    }
}

#[dspinlock(key = id, validate = amount, cached_if_computed, err_ttl = "0s")]
fn pay_or_fail(id: u64, amount: u64) -> Result<u64, Refused> {
    let _ = id;
    if amount < 20 {
        Err(Refused::Amount(amount))
    } else {
        Ok(amount)
    }
}

#[test]
fn an_error_for_waiters_alone_does_not_use_the_key() {
    for backend in Backend::all() {
        let [pool, _] = backend.pools("does_not_use_the_key");
        pool.scope_blocking(|| {
            assert_eq!(pay_or_fail(1, 10), Err(Refused::Amount(10)));
            assert_eq!(pay_or_fail(1, 20), Ok(20), "{backend:?}");
        });
    }
}
