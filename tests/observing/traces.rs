//! Each call is a span or an event, which says how it was served.

use std::time::Duration;

use dspinlock::{Error, Pool, dspinlock, served, served_blocking};
use tracing::{Instrument, Level};

use crate::collect::{self, Item, items_of};
use crate::stores::Backend;

const SECRET: &str = "secret of a user";

/// Asserts what is the same in each item, and its way.
#[track_caller]
fn assert_item(item: &Item, is_span: bool, how: &str, fence: Option<u64>) {
    assert_eq!((item.is_span, item.field("served")), (is_span, how), "{item:?}");
    assert_eq!(item.level, Some(Level::DEBUG));
    let key = item.field("key");
    assert!(
        key.len() == 12 && key.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)),
        "{key}"
    );
    let told = item
        .fields
        .get("fence")
        .map(|fence| fence.parse().expect("a number"));
    assert_eq!(told, fence, "{item:?}");
    let of_value = [
        "served",
        "site",
        "key",
        "fence",
        "wait_us",
        "compute_us",
        "message",
    ];
    assert!(
        item.fields.keys().all(|name| of_value.contains(&&**name)),
        "{item:?}"
    );
}

#[track_caller]
fn micros(item: &Item, field: &str) -> Duration {
    Duration::from_micros(item.field(field).parse().expect("a number"))
}

#[dspinlock(key = (id, user), cached_if_computed)]
async fn price(id: u64, user: &str) -> Result<String, Error> {
    tokio::time::sleep(Duration::from_millis(100)).await;
    collect::event("body_of_price");
    Ok(format!("{id} of {user}"))
}

#[dspinlock(key = (id, user), cached_if_computed, near_cache = "1m")]
fn near(id: u64, user: &str) -> Result<String, Error> {
    Ok(format!("{id} of {user}"))
}

#[tokio::test]
async fn a_computed_value_is_a_span_with_its_times_and_a_hit_an_event() {
    collect::start();
    for backend in Backend::all() {
        let before = items_of("::price").len();
        let id = fastrand::u64(..);
        let [pool, _] = backend.pools("observed");
        let (first, leads) = pool.scope(served(price(id, SECRET))).await;
        first.expect("a value");
        let (_, hits) = pool.scope(served(price(id, SECRET))).await;
        let items = &items_of("::price")[before..];
        let [computed, hit] = items else {
            panic!("{items:?}")
        };
        let fence = leads.expect("a call").fence;
        assert_item(computed, true, "computed", fence);
        assert_eq!(computed.name, "dspinlock.call");
        assert!(micros(computed, "compute_us") >= Duration::from_millis(100));
        assert!(micros(computed, "wait_us") < Duration::from_secs(10));
        assert_item(hit, false, "hit", hits.expect("a call").fence);
        assert_eq!(computed.field("key"), hit.field("key"));
        let body = items_of("body_of_price").pop().expect("an event of the body");
        assert_eq!(body.parent.as_deref(), Some("dspinlock.call"), "{backend:?}");
    }
    assert!(!collect::text().contains(SECRET), "{}", collect::text());
}

#[test]
fn a_near_hit_is_an_event() {
    collect::start();
    let backend = Backend::redis();
    let [pool, _] = backend.pools("observed near");
    let calls = [(); 3].map(|()| pool.scope_blocking(|| served_blocking(|| near(7, SECRET))).1);
    let items = items_of("::near");
    let ways: Vec<_> = items
        .iter()
        .map(|item| (item.is_span, item.field("served")))
        .collect();
    assert_eq!(ways, [(true, "computed"), (true, "hit"), (false, "near")]);
    for (item, call) in items.iter().zip(calls) {
        let call = call.expect("a call");
        assert_item(item, item.is_span, &call.how.to_string(), call.fence);
    }
}

#[dspinlock(key = id, cached_if_computed)]
async fn followed(id: u64) -> Result<u64, Error> {
    tokio::time::sleep(Duration::from_millis(200)).await;
    Ok(id)
}

#[tokio::test]
async fn a_follower_tells_its_wait() {
    collect::start();
    for backend in Backend::all() {
        let before = items_of("::followed").len();
        let id = fastrand::u64(..);
        let [pool, peer] = backend.pools("observed follower");
        let call = |pool: &Pool| pool.scope(followed(id));
        let (one, two, three) = tokio::join!(call(&pool), call(&pool), call(&peer));
        assert!(one.is_ok() && two.is_ok() && three.is_ok());
        let items = &items_of("::followed")[before..];
        let follows: Vec<_> = items
            .iter()
            .filter(|item| item.field("served") == "followed")
            .collect();
        assert_eq!((items.len(), follows.len()), (3, 2), "{backend:?}: {items:?}");
        for item in follows {
            assert!(
                item.is_span && micros(item, "wait_us") >= Duration::from_millis(100),
                "{item:?}"
            );
        }
    }
}

#[dspinlock(key = id, detach)]
async fn detached(id: u64) -> Result<u64, Error> {
    collect::event("body_of_detached");
    Ok(id)
}

#[tokio::test]
async fn the_span_of_the_caller_travels_with_a_detached_body() {
    collect::start();
    let pool = Pool::open("sqlite::memory:").expect("a pool");
    let caller = tracing::info_span!(target: "dspinlock", "caller");
    pool.scope(detached(1)).instrument(caller).await.expect("a value");
    let item = items_of("::detached").pop().expect("a span");
    assert_item(
        &item,
        true,
        "computed",
        item.fields.get("fence").and_then(|fence| fence.parse().ok()),
    );
    assert_eq!(item.parent.as_deref(), Some("caller"));
    let body = items_of("body_of_detached").pop().expect("an event of the body");
    assert_eq!(body.parent.as_deref(), Some("dspinlock.call"));
}

#[dspinlock(key = id, wait = "0s")]
fn busy(id: u64, inner: &dyn Fn()) -> Result<(), Error> {
    let _ = id;
    inner();
    Ok(())
}

#[test]
fn a_call_that_fails_is_an_event() {
    collect::start();
    let backend = Backend::redis();
    let pools = backend.pools("observed failure");
    let fails = || assert!(pools[1].scope_blocking(|| busy(1, &|| ())).is_err());
    pools[0].scope_blocking(|| busy(1, &fails)).expect("a run");
    let ways: Vec<_> = items_of("::busy")
        .iter()
        .filter_map(|item| Some((item.is_span, item.fields.get("served")?.clone())))
        .collect();
    assert_eq!(ways, [(false, "failed".into()), (true, "computed".into())]);
}

/// Panics when a call reports how it was served.
struct Panicking;

impl tracing::Subscriber for Panicking {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("dspinlock")
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {
        panic!("requested");
    }

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {}

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn a_subscriber_that_panics_loses_no_result() {
    #[dspinlock(key = id, fail_if_key_exists)]
    fn job(id: u64) -> Result<(), Error> {
        let _ = id;
        Ok(())
    }
    let pool = Pool::open("sqlite::memory:").expect("a pool");
    let id = fastrand::u64(..);
    let run = || pool.scope_blocking(|| job(id));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        tracing::subscriber::with_default(Panicking, run)
    }));
    assert!(panicked.is_err(), "the panic is the caller's");
    // The job has run. So its key is computed, and is not free for a moment.
    dspinlock_testkit::eventually("the publish", || match run() {
        Err(Error::FailIfKeyExistsIsEnabled { holder, .. }) => holder
            .is_none_or(|holder| !holder.to_string().contains(", for "))
            .then_some(()),
        other => panic!("the job runs again: {other:?}"),
    });
}
