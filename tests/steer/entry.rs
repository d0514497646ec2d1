//! `entry = name`: the key of a call, without the call.

use std::sync::atomic::{AtomicU32, Ordering};

use dspinlock::{Entry, Error, Pool, Status, dspinlock};

use crate::stores::Backend;

static RUNS: AtomicU32 = AtomicU32::new(0);

fn run() -> u32 {
    RUNS.fetch_add(1, Ordering::SeqCst)
}

/// A call, and the entry that must have its key.
type Pair = (Box<dyn Fn() -> Result<u32, Error>>, Entry<Result<u32, Error>>);

#[dspinlock(cached_if_computed, entry = free_entry)]
fn free(_id: u64, _region: &str) -> Result<u32, Error> {
    Ok(run())
}

#[dspinlock(cached_if_computed, entry = generic_entry)]
fn generic<T: serde::Serialize, const N: usize>(_id: T) -> Result<u32, Error> {
    Ok(run())
}

struct Shop<T>(T);

impl<T: serde::Serialize> Shop<T> {
    #[dspinlock(key = (&self.0, id), cached_if_computed, entry = price_entry)]
    fn price<U: serde::Serialize>(&self, id: U) -> Result<u32, Error> {
        let _ = id;
        Ok(run())
    }
}

#[dspinlock(name = "steer::named", version = 3, prefix = "other", cached_if_computed, entry = r#type)]
fn named(_id: u64) -> Result<u32, Error> {
    Ok(run())
}

fn nested() -> Pair {
    #[dspinlock(cached_if_computed, entry = inner_entry)]
    fn inner((_a, _b): (u8, u8)) -> Result<u32, Error> {
        Ok(run())
    }
    (Box::new(|| inner((1, 2))), inner_entry((1, 2)))
}

fn in_a_closure() -> Pair {
    let pair = || {
        #[dspinlock(cached_if_computed, entry = inner_entry)]
        fn inner(_id: u8) -> Result<u32, Error> {
            Ok(run())
        }
        let pair: Pair = (Box::new(|| inner(1)), inner_entry(1));
        pair
    };
    pair()
}

fn every_kind_of_function() -> Vec<(&'static str, Pair)> {
    vec![
        ("free", (Box::new(|| free(7, "eu")), free_entry(7, "eu"))),
        (
            "generic",
            (Box::new(|| generic::<_, 3>(7_u8)), generic_entry::<_, 3>(7_u8)),
        ),
        (
            "inherent",
            (Box::new(|| Shop('x').price("a")), Shop('x').price_entry("a")),
        ),
        ("named", (Box::new(|| named(1)), r#type(1))),
        ("nested", nested()),
        ("in a closure", in_a_closure()),
    ]
}

#[test]
fn an_entry_has_the_key_of_its_function() {
    for backend in Backend::all() {
        let pool = backend.pool("an_entry_has_the_key");
        for (kind, (call, entry)) in every_kind_of_function() {
            let entry = entry.pool(&pool);
            entry.invalidate_blocking().expect("a reply");
            assert_eq!(entry.status_blocking().expect("a reply"), Status::Free, "{kind}");
            let value = pool.scope_blocking(&call).expect("a value");
            let stored = entry.peek_blocking().expect("a reply");
            let stored = stored.unwrap_or_else(|| panic!("{backend:?}, {kind}: nothing is stored"));
            assert_eq!(stored.value.ok(), Some(value), "{kind}");
            assert!(
                stored.age.as_secs() < 60 && stored.remaining.as_secs() > 3000,
                "{kind}"
            );
            assert!(entry.invalidate_blocking().expect("a reply"), "{kind}");
            assert!(!entry.invalidate_blocking().expect("a reply"), "{kind}");
            assert_ne!(pool.scope_blocking(&call).expect("a value"), value, "{kind}");
            entry.prime_blocking(&Ok(1_000_000)).expect("a reply");
            assert_eq!(pool.scope_blocking(&call).expect("a value"), 1_000_000, "{kind}");
        }
    }
}

#[test]
fn two_keys_have_two_entries() {
    let pool = Backend::Embedded.pool("");
    let keys = [
        free_entry(7, "eu").pool(&pool).key(),
        free_entry(7, "us").pool(&pool).key(),
        generic_entry::<_, 3>(7_u8).pool(&pool).key(),
        generic_entry::<_, 4>(7_u8).pool(&pool).key(),
        r#type(1).pool(&pool).key(),
        Entry::of::<u32>("steer::named").part(&1_u64).pool(&pool).key(),
    ]
    .map(|key| key.expect("a key"));
    for (at, key) in keys.iter().enumerate() {
        assert!(!keys[at + 1..].contains(key), "{keys:?}");
    }
    assert!(keys[4].starts_with("other,"), "{keys:?}");
}

#[test]
fn an_entry_of_a_name_has_the_key_of_the_function_with_this_name() {
    // The server ends with the last backend that has it.
    let backend = Backend::redis();
    let pool = backend.pool("");
    let by_name = || {
        let entry = Entry::of::<u32>("steer::named").part(&77_u64);
        entry.version(3).prefix("other").pool(&pool)
    };
    let by_function = r#type(77).pool(&pool);
    assert_eq!(by_name().key().expect("a key"), by_function.key().expect("a key"));
    by_name().prime_blocking(&5).expect("a reply");
    let stored = by_function.peek_blocking().expect("a reply").expect("a value");
    assert_eq!(stored.value.ok(), Some(5));
    assert_eq!(pool.scope_blocking(|| named(77)).expect("a value"), 5);
}

#[dspinlock(key = lookup(id).await?, cached_if_computed, entry = awaited_entry)]
async fn awaited(id: u64) -> Result<u32, Error> {
    let _ = id;
    Ok(run())
}

async fn lookup(id: u64) -> Result<u64, Error> {
    match id {
        0 => Err(Error::AlreadyInitialized),
        id => Ok(id * 2),
    }
}

#[dspinlock(key = parse(text)?, cached_if_computed, entry = parsed_entry)]
fn parsed(text: &str) -> Result<u32, Error> {
    Ok(run())
}

#[dspinlock(key = text.parse::<u64>().ok()?, cached_if_computed, on_error = panic, entry = optional_entry)]
fn optional(text: &str) -> Option<u32> {
    Some(run())
}

fn parse(text: &str) -> Result<u64, Error> {
    text.parse().map_err(|_| Error::AlreadyInitialized)
}

#[tokio::test]
async fn the_expressions_of_a_key_may_wait_and_fail() {
    let pool = Backend::Embedded.pool("");
    pool.scope(async {
        let value = awaited(3).await.expect("a value");
        let entry = awaited_entry(3).await.expect("a key");
        let stored = entry.peek().await.expect("a reply").expect("a value");
        assert_eq!(stored.value.ok(), Some(value));
        assert!(awaited_entry(0).await.is_err());
        assert!(parsed_entry("x").is_err());
        assert!(optional_entry("x").is_none());
        let value = optional("3");
        let entry = optional_entry("3").expect("a key");
        assert_eq!(
            entry.peek().await.expect("a reply").expect("a value").value,
            value
        );
        let value = parsed("3").expect("a value");
        let entry = parsed_entry("3").expect("a key");
        assert_eq!(
            entry.peek().await.expect("a reply").expect("a value").value.ok(),
            Some(value)
        );
    })
    .await;
}

#[dspinlock(cached_if_computed, label = "order:{id}, eu", entry = labelled_entry)]
fn labelled(id: u64) -> Result<String, Error> {
    Ok(format!("{:?}", labelled_entry(id).status_blocking()?))
}

#[test]
fn the_status_names_the_holder_and_the_call_that_has_computed() {
    for backend in Backend::all() {
        let pool = backend.pool("the_status");
        pool.scope_blocking(|| {
            let entry = labelled_entry(7);
            entry.invalidate_blocking().expect("a reply");
            let within = labelled(7).expect("a value");
            assert!(
                within.starts_with("Held") && within.contains("order:7? eu"),
                "{within}"
            );
            let Status::Computed {
                by: Some(by),
                took: Some(_),
                age: Some(age),
                remaining: Some(remaining),
                ..
            } = entry.status_blocking().expect("a reply")
            else {
                panic!("the key is computed")
            };
            assert!(by.site().ends_with("::labelled"), "{by}");
            assert_eq!(
                (by.label(), by.process_id()),
                (Some("order:7? eu"), std::process::id().into())
            );
            assert!(age.as_secs() < 60 && remaining.as_secs() > 3000);
        });
    }
}

#[dspinlock(name = "", key = id, cached_if_computed, entry = shared_entry)]
fn shared(id: &str) -> Result<(), Error> {
    run();
    Ok(())
}

#[dspinlock(entry = uncached_entry)]
fn uncached(_id: u64) -> Result<u32, Error> {
    Ok(run())
}

#[dspinlock(fail_if_key_exists, entry = job_entry)]
fn job(_id: u64) -> Result<u32, Error> {
    Ok(run())
}

fn refused<R>(entry: Entry<R>, pool: &Pool, value: R) -> String {
    let error = entry
        .pool(pool)
        .prime_blocking(&value)
        .expect_err("nothing to store");
    assert!(matches!(error, Error::InvalidOption { .. }), "{error:?}");
    error.to_string()
}

#[test]
fn what_a_key_cannot_keep_is_not_primed() {
    for backend in Backend::all() {
        let pool = backend.pool("what_a_key_cannot_keep");
        assert!(refused(shared_entry("steer"), &pool, Ok(())).contains("Python"));
        assert!(refused(uncached_entry(1), &pool, Ok(1)).contains("cached_if_computed"));
        assert!(refused(free_entry(1, ""), &pool, Err(Error::AlreadyInitialized)).contains("not keep"));
        assert!(refused(free_entry(1, "").part(&1), &pool, Ok(1)).contains("Entry::of"));
        pool.scope_blocking(|| {
            shared_entry("steer").invalidate_blocking().expect("a reply");
            shared("steer").expect("a run");
            assert!(matches!(
                shared_entry("steer").status_blocking(),
                Ok(Status::Computed { .. })
            ));
            assert!(shared_entry("steer").peek_blocking().expect("a reply").is_some());
            assert!(shared_entry("steer").invalidate_blocking().expect("a reply"));
            job_entry(1).invalidate_blocking().expect("a reply");
            job_entry(1).prime_blocking(&Ok(0)).expect("a mark");
            assert!(matches!(job(1), Err(Error::FailIfKeyExistsIsEnabled { .. })));
            assert!(job_entry(1).peek_blocking().expect("a reply").is_none());
            assert!(job_entry(1).invalidate_blocking().expect("a reply"));
            job(1).expect("a run");
            uncached(1).expect("a run");
        });
    }
}

/// A sync body that primes or invalidates its own key while it runs.
#[dspinlock(key = id, cached_if_computed, entry = steered_entry)]
fn steered(id: u64, meanwhile: fn(Entry<Result<u32, Error>>)) -> Result<u32, Error> {
    let pool = dspinlock::Pool::global_blocking();
    drop(pool);
    std::thread::scope(|scope| {
        let entry = steered_entry(id, meanwhile);
        scope.spawn(move || meanwhile(entry));
    });
    Ok(run())
}

#[test]
fn a_body_that_runs_meanwhile_keeps_its_own_value_and_stores_nothing() {
    for backend in Backend::all() {
        let pool = backend.pool("a_body_that_runs_meanwhile");
        pool.scope_blocking(|| {
            steered_entry(1, |_| {}).invalidate_blocking().expect("a reply");
            let own = steered(1, |entry| {
                assert!(matches!(entry.status_blocking(), Ok(Status::Held { .. })));
                entry.prime_blocking(&Ok(2_000_000)).expect("a reply");
            });
            assert_ne!(own.expect("a value"), 2_000_000);
            assert_eq!(steered(1, |_| {}).expect("a value"), 2_000_000);
            steered_entry(1, |_| {}).invalidate_blocking().expect("a reply");
            let own = steered(1, |entry| {
                assert!(entry.invalidate_blocking().expect("a reply"));
            });
            let next = steered(1, |_| {}).expect("a value");
            assert_ne!(own.expect("a value"), next, "{backend:?}: the value was stored");
        });
    }
}
