//! Which pool a call uses: `pool = ...`, a scope, a binding, or the global pool.

use std::thread;

use dspinlock::{Error, HashDSpinlock, Pool, dspinlock};

use crate::stores::Backend;

#[dspinlock(cached_if_computed)]
fn value(_id: u64) -> Result<u64, Error> {
    Ok(fastrand::u64(..))
}

#[dspinlock(cached_if_computed)]
async fn value_async(_id: u64) -> Result<u64, Error> {
    Ok(fastrand::u64(..))
}

struct Service {
    pool: Pool,
}

impl Service {
    #[dspinlock(key = id, cached_if_computed, pool = &self.pool)]
    async fn value(&self, id: u64) -> Result<u64, Error> {
        Ok(id ^ fastrand::u64(..))
    }

    #[dspinlock(key = id, cached_if_computed, near_cache = "1m", pool = &self.pool)]
    fn near(&self, id: u64) -> Result<u64, Error> {
        Ok(id ^ fastrand::u64(..))
    }
}

fn pools() -> [Pool; 2] {
    [(); 2].map(|()| Backend::Embedded.pool(""))
}

#[tokio::test(flavor = "multi_thread")]
async fn two_pools_share_nothing() {
    let [a, b] = pools();
    let [in_a, in_b] =
        [a.scope(value_async(1)).await, b.scope(value_async(1)).await].map(|value| value.expect("a value"));
    assert_ne!(in_a, in_b);
    assert_eq!(a.scope(value_async(1)).await.expect("a value"), in_a);
    let [first, second] = [a, b].map(|pool| Service { pool });
    let [in_a, in_b] = [first.value(1).await, second.value(1).await].map(|value| value.expect("a value"));
    assert_ne!(in_a, in_b);
    assert_eq!(first.value(1).await.expect("a value"), in_a);
    let near = first.near(1).expect("a value");
    assert_eq!(first.near(1).expect("a value"), near);
    assert_ne!(second.near(1).expect("a value"), near);
}

#[test]
fn the_innermost_scope_counts_and_includes_bodies() {
    #[dspinlock(cached_if_computed)]
    fn outer() -> Result<u64, Error> {
        value(2)
    }
    let [a, b] = pools();
    let expected = a.scope_blocking(|| value(2)).expect("a value");
    a.scope_blocking(|| {
        assert_eq!(outer().expect("a value"), expected, "the body is in the scope");
        assert_ne!(b.scope_blocking(|| value(2)).expect("a value"), expected);
        assert_eq!(value(2).expect("a value"), expected);
    });
}

#[test]
fn a_binding_of_a_runtime_includes_its_tasks_and_ends_with_its_guard() {
    let [a, b] = pools();
    let other = thread::spawn(|| Pool::open("sqlite::memory:").expect("a pool").bind());
    drop(other.join());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let bound = a.bind();
        let expected = value(3).expect("a value");
        let in_a_task = tokio::spawn(async { (value_async(4).await, value(3)) })
            .await
            .expect("a task");
        assert_eq!(in_a_task.1.expect("a value"), expected);
        let on_a_thread = tokio::task::spawn_blocking(|| value(3)).await.expect("a task");
        assert_eq!(on_a_thread.expect("a value"), expected);
        let inner = b.bind();
        assert_ne!(value(3).expect("a value"), expected, "the last binding counts");
        drop(inner);
        assert_eq!(value(3).expect("a value"), expected);
        assert_eq!(a.scope_blocking(|| value(3)).expect("a value"), expected);
        drop(bound);
    });
    let _bound = a.bind();
    let held = HashDSpinlock::new("a").acquire_blocking().expect("a lock");
    assert!(
        HashDSpinlock::new("a")
            .pool(&a)
            .is_held_blocking()
            .expect("a reply")
    );
    drop(held);
}
