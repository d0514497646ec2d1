//! Every argument of the attribute on Redis, a cluster and the embedded store, on a sync and an async function.

pub(crate) mod cell;

use std::thread;
use std::time::{Duration, Instant};

use dspinlock::{Entry, Error, HashDSpinlock, Pool, Status, dspinlock};
use dspinlock_testkit::eventually;

use crate::stores::Backend;
use cell::{Body, Cell, DEFAULT_WAIT, Failed, HOUR, ok, peek, runtime, timed_out};

/// The table. Each row is an argument, the arguments of the attribute, a function, and a check of what the argument does. The
/// macro makes a sync and an async function of it, and runs the check on both. `async`: the compiler refuses the argument on a
/// sync function.
///
/// In the check, `call(pool, id, other, body)` calls the function in the scope of a pool. `entry` is the function of
/// `entry = entry`.
macro_rules! table {
    ($($module:ident $option:literal $($only:ident)? [$($argument:tt)*] |$id:ident, $other:ident, $body:ident|
        -> $output:ty {$work:expr} $check:expr)*) => {
        $(mod $module {
            table!(function $($only)? blocking, fn, |pool, call| pool.scope_blocking(|| call()), $option
                [$($argument)*] ($id, $other, $body) $output, $work, $check);
            table!(function polled, async fn, |pool, call| runtime().block_on(pool.scope(call())), $option
                [$($argument)*] ($id, $other, $body) $output, $work, $check);
        })*

        /// The arguments, and the checks of the sync and of the async function.
        const TABLE: &[(&str, [fn(&Cell); 2])] = &[$(($option, [$module::blocking::check, $module::polled::check])),*];
    };
    (function async $kind:ident, $fn:ident, |$pool:ident, $call:ident| $run:expr, $option:literal $($function:tt)*) => {
        pub(super) mod $kind {
            use super::super::*;

            pub(crate) fn check(_: &Cell) {
                let expected = format!("`{}` needs an `async fn`", $option);
                assert!(REFUSED.contains(&expected), "{expected}");
            }
        }
    };
    (function $kind:ident, $($fn:ident)+, |$pool:ident, $call:ident| $run:expr, $option:literal [$($argument:tt)*]
        ($id:ident, $other:ident, $body:ident) $output:ty, $work:expr, $check:expr) => {
        pub(super) mod $kind {
            #[allow(unused_imports, reason = "no row uses all of it")]
            use super::super::*;

            /// The name of the function.
            #[allow(dead_code, reason = "most rows do not need it")]
            const SITE: &str = concat!(module_path!(), "::function");

            #[dspinlock($($argument)*)]
            $($fn)+ function($id: u64, $other: u64, $body: Body) -> $output {
                let _ = ($id, $other);
                $work
            }

            #[allow(dead_code, reason = "some checks poll the function")]
            fn call($pool: &Pool, id: u64, other: u64, body: &Body) -> $output {
                let $call = || function(id, other, body.clone());
                $run
            }

            pub(crate) fn check(cell: &Cell) {
                let check: fn(&Cell) = $check;
                check(cell);
            }
        }
    };
}

/// The messages for sync functions.
const REFUSED: &str =
    include_str!("../compile/fail/function/a_sync_body_is_neither_detached_nor_stopped.stderr");

table! {
    key "key" [key = id, cached_if_computed]
    |id, other, body| -> Result<usize, Error> { Ok(body.run()) }
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        assert_eq!(ok(call(&cell.pool, id, 1, &body)), 1);
        assert_eq!(ok(call(&cell.peer, id, 2, &body)), 1);
        assert_eq!(ok(call(&cell.peer, cell.id(), 2, &body)), 2);
    }

    skip "skip" [skip(other, body), cached_if_computed]
    |id, other, body| -> Result<usize, Error> { Ok(body.run()) }
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        assert_eq!(ok(call(&cell.pool, id, 1, &body)), 1);
        assert_eq!(ok(call(&cell.peer, id, 2, &body)), 1);
        assert_eq!(ok(call(&cell.peer, cell.id(), 2, &body)), 2);
    }

    name "name" [name = "", key = id, wait = "0s"]
    |id, other, body| -> Result<usize, Error> { Ok(body.run()) }
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        let held = HashDSpinlock::new(id).pool(&cell.pool).acquire_blocking().expect("a lock");
        timed_out(call(&cell.peer, id, 0, &body));
        drop(held);
        // The drop does not wait until the lock is released.
        eventually("the lock", || call(&cell.peer, id, 0, &body).ok());
    }

    prefix "prefix" [key = id, prefix = "steer", cached_if_computed, entry = entry]
    |id, other, body| -> Result<usize, Error> { Ok(body.run()) }
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        assert_eq!(ok(call(&cell.pool, id, 0, &body)), 1);
        let entry = entry(id, 0, body.clone()).pool(&cell.peer);
        assert!(entry.key().expect("a key").starts_with("steer,"));
        assert_eq!(ok(peek(&entry).value), 1);
    }

    version "version" [key = id, version = 2, cached_if_computed]
    |id, other, body| -> Result<usize, Error> { Ok(body.run()) }
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        let entry = |version| Entry::of::<usize>(SITE).version(version).part(&id).pool(&cell.peer);
        entry(1).prime_blocking(&5).expect("a reply");
        assert_eq!(ok(call(&cell.pool, id, 0, &body)), 1);
        entry(2).prime_blocking(&6).expect("a reply");
        assert_eq!(ok(call(&cell.pool, id, 0, &body)), 6);
    }

    label "label" [key = id, label = "user:{other}", entry = entry]
    |id, other, body| -> Result<usize, Error> { Ok(body.run()) }
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        let held = || ok(call(&cell.pool, id, 77, &body));
        body.while_held(held, || match entry(id, 0, body.clone()).pool(&cell.peer).status_blocking() {
            Ok(Status::Held { holder: Some(holder), .. }) => assert_eq!(holder.label(), Some("user:77")),
            other => panic!("{other:?}"),
        });
    }

    validate "validate" [key = id, validate = other, cached_if_computed]
    |id, other, body| -> Result<usize, Error> { Ok(body.run()) }
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        assert_eq!(ok(call(&cell.pool, id, 1, &body)), 1);
        assert_eq!(ok(call(&cell.peer, id, 1, &body)), 1);
        let reused = call(&cell.peer, id, 2, &body);
        assert!(matches!(reused, Err(Error::KeyReused { .. })), "{reused:?}");
    }

    err_ttl "err_ttl" [key = id, cached_if_computed, err_ttl = "1m"]
    |id, other, body| -> Result<(), Failed> { Err(Failed::Body(body.run())) }
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        assert_eq!(call(&cell.pool, id, 0, &body), Err(Failed::Body(1)));
        assert_eq!(call(&cell.peer, id, 0, &body), Err(Failed::Body(1)));
    }

    on_busy "on_busy" [key = id, on_busy = skip]
    |id, other, body| -> Result<Option<usize>, Error> { Ok(Some(body.run())) }
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        let held = || assert_eq!(ok(call(&cell.pool, id, 0, &body)), Some(1));
        body.while_held(held, || assert_eq!(ok(call(&cell.peer, id, 0, &body)), None));
    }

    on_store_error "on_store_error" [key = id, cached_if_computed, on_store_error = run_unlocked]
    |id, other, body| -> Result<usize, Error> { Ok(body.run()) }
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        assert_eq!(ok(call(&cell.away, id, 0, &body)), 1);
        assert_eq!(ok(call(&cell.away, id, 0, &body)), 2);
    }

    on_lease_lost "on_lease_lost" async [key = id, cached_if_computed, lease = "600ms", on_lease_lost = cancel, entry = entry]
    |id, other, body| -> Result<usize, Error> { Ok(body.run_async().await) }
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        let held = || assert_eq!(ok(call(&cell.pool, id, 0, &body)), 2);
        body.while_held(held, || {
            entry(id, 0, body.clone()).pool(&cell.peer).invalidate_blocking().expect("a reply");
            assert_eq!(ok(call(&cell.peer, id, 0, &body)), 2);
            eventually("the stop of the first body", || body.is_stopped().then_some(()));
        });
    }

    detach "detach" async [key = id, cached_if_computed, detach]
    |id, other, body| -> Result<usize, Error> { Ok(body.run_async().await) }
    |cell| {
        let (id, body, runtime) = (cell.id(), cell.body(), runtime());
        body.hold();
        runtime.block_on(async {
            tokio::select! {
                outcome = cell.pool.scope(function(id, 0, body.clone())) => panic!("{outcome:?}"),
                () = body.started() => {}
            }
        });
        body.release();
        let value = runtime.block_on(cell.peer.scope(function(id, 0, body.clone())));
        assert_eq!(ok(value), 1);
    }

    entry "entry" [key = id, cached_if_computed, entry = entry]
    |id, other, body| -> Result<usize, Error> { Ok(body.run()) }
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        assert_eq!(ok(call(&cell.pool, id, 0, &body)), 1);
        let entry = entry(id, 0, body.clone()).pool(&cell.peer);
        assert_eq!(ok(peek(&entry).value), 1);
        assert!(entry.invalidate_blocking().expect("a reply"));
        assert_eq!(ok(call(&cell.pool, id, 0, &body)), 2);
        entry.prime_blocking(&Ok(7)).expect("a reply");
        assert_eq!(ok(call(&cell.pool, id, 0, &body)), 7);
    }

    pool "pool" [key = id, cached_if_computed, pool = &body.pool]
    |id, other, body| -> Result<usize, Error> { Ok(body.run()) }
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        ok(call(&cell.elsewhere, id, 0, &body));
        ok(call(&cell.peer, id, 0, &body));
        assert_eq!(body.runs(), 1);
        let other = Body::new(&cell.elsewhere);
        ok(call(&cell.pool, id, 0, &other));
        assert_eq!(other.runs(), 1);
    }

    cached_if_computed "cached_if_computed" [key = id, cached_if_computed]
    |id, other, body| -> Result<usize, Error> { Ok(body.run()) }
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        assert_eq!(ok(call(&cell.pool, id, 0, &body)), 1);
        assert_eq!(ok(call(&cell.peer, id, 0, &body)), 1);
    }

    near_cache "near_cache" [key = id, cached_if_computed, near_cache = "1m", entry = entry]
    |id, other, body| -> Result<usize, Error> { Ok(body.run()) }
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        // The second call reads the store.
        for _ in 0..2 {
            assert_eq!(ok(call(&cell.pool, id, 0, &body)), 1);
        }
        let name = entry(id, 0, body.clone()).pool(&cell.pool).key().expect("a key");
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(2100) {
            assert_eq!(ok(call(&cell.pool, id, 0, &body)), 1);
            thread::sleep(Duration::from_millis(20));
        }
        // The embedded store has no near cache.
        assert!(cell.idle_seconds(&name).is_none_or(|idle| idle >= 1), "the calls have read the store");
        assert!(entry(id, 0, body.clone()).pool(&cell.pool).invalidate_blocking().expect("a reply"));
        assert_eq!(ok(call(&cell.pool, id, 0, &body)), 2);
    }

    fail_if_key_exists "fail_if_key_exists" [key = id, fail_if_key_exists]
    |id, other, body| -> Result<usize, Error> { Ok(body.run()) }
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        assert_eq!(ok(call(&cell.pool, id, 0, &body)), 1);
        let again = call(&cell.peer, id, 0, &body);
        assert!(matches!(again, Err(Error::FailIfKeyExistsIsEnabled { .. })), "{again:?}");
    }

    max_spinlock_tries "max_spinlock_tries" [key = id, max_spinlock_tries = 2]
    |id, other, body| -> Result<usize, Error> { Ok(body.run()) }
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        body.while_held(|| ok(call(&cell.pool, id, 0, &body)), || {
            let waited = timed_out(call(&cell.peer, id, 0, &body));
            assert!(waited >= Duration::from_secs(1) && waited < DEFAULT_WAIT, "{waited:?}");
        });
    }

    spinlock_sleep_thresh "spinlock_sleep_thresh" [key = id, max_spinlock_tries = 1, spinlock_sleep_thresh = "1500ms"]
    |id, other, body| -> Result<usize, Error> { Ok(body.run()) }
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        body.while_held(|| ok(call(&cell.pool, id, 0, &body)), || {
            let waited = timed_out(call(&cell.peer, id, 0, &body));
            assert!(waited >= Duration::from_millis(1500) && waited < DEFAULT_WAIT, "{waited:?}");
        });
    }

    wait "wait" [key = id, wait = "300ms"]
    |id, other, body| -> Result<usize, Error> { Ok(body.run()) }
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        body.while_held(|| ok(call(&cell.pool, id, 0, &body)), || {
            let waited = timed_out(call(&cell.peer, id, 0, &body));
            assert!(waited >= Duration::from_millis(300) && waited < DEFAULT_WAIT, "{waited:?}");
        });
    }

    ttl "ttl" [key = id, cached_if_computed, ttl = "2h", entry = entry]
    |id, other, body| -> Result<usize, Error> { Ok(body.run()) }
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        ok(call(&cell.pool, id, 0, &body));
        let remaining = peek(&entry(id, 0, body.clone()).pool(&cell.peer)).remaining;
        assert!(remaining > HOUR && remaining <= 2 * HOUR, "{remaining:?}");
    }

    expire_at_timedelta "expire_at_timedelta" [key = id, cached_if_computed, expire_at_timedelta = "2h", entry = entry]
    |id, other, body| -> Result<usize, Error> { Ok(body.run()) }
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        ok(call(&cell.pool, id, 0, &body));
        let remaining = peek(&entry(id, 0, body.clone()).pool(&cell.peer)).remaining;
        assert!(remaining > HOUR && remaining <= 2 * HOUR, "{remaining:?}");
    }

    max_block_time "max_block_time" [key = id, max_block_time = "600ms", lease = "300ms", wait = "1m"]
    |id, other, body| -> Result<usize, Error> { Ok(body.run()) }
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        // The second body runs while the first one still does.
        let held = || assert_eq!(ok(call(&cell.pool, id, 0, &body)), 1);
        body.while_held(held, || assert_eq!(ok(call(&cell.peer, id, 0, &body)), 2));
    }

    lease "lease" [key = id, lease = "4s", entry = entry]
    |id, other, body| -> Result<usize, Error> { Ok(body.run()) }
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        let held = || ok(call(&cell.pool, id, 0, &body));
        body.while_held(held, || match entry(id, 0, body.clone()).pool(&cell.peer).status_blocking() {
            Ok(Status::Held { lease_left: Some(left), .. }) => assert!(left <= Duration::from_secs(4), "{left:?}"),
            other => panic!("{other:?}"),
        });
    }

    replicas "replicas" [key = id, replicas = other as u32]
    |id, other, body| -> Result<usize, Error> { Ok(body.run()) }
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        let text = format!("{:?}", call(&cell.pool, id, 2, &body).expect_err("no store has two replicas"));
        assert!(text.contains("TooFewReplicas") && body.runs() == 0, "{text}");
        // Each master of the cluster has one.
        let is_cluster = matches!(cell.backend, Backend::Cluster(_));
        assert_eq!(call(&cell.pool, id, 1, &body).is_ok(), is_cluster);
    }

    map_err "map_err" [key = id, map_err = Failed::of_lock, wait = "0s"]
    |id, other, body| -> Result<usize, Failed> { Ok(body.run()) }
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        let held = || assert_eq!(call(&cell.pool, id, 0, &body), Ok(1));
        body.while_held(held, || match call(&cell.peer, id, 0, &body) {
            Err(Failed::Mapped(text)) => assert!(text.contains("timed out"), "{text}"),
            other => panic!("{other:?}"),
        });
    }

    on_error "on_error" [key = id, on_error = run_unlocked, wait = "0s"]
    |id, other, body| -> usize { body.run() }
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        let held = || assert_eq!(call(&cell.pool, id, 0, &body), 1);
        body.while_held(held, || assert_eq!(call(&cell.peer, id, 0, &body), 2));
    }

    renamed_crate "crate" [key = id, cached_if_computed, crate = crate::table::renamed]
    |id, other, body| -> Result<usize, Error> { Ok(body.run()) }
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        assert_eq!(ok(call(&cell.pool, id, 0, &body)), 1);
        assert_eq!(ok(call(&cell.peer, id, 0, &body)), 1);
    }
}

mod renamed {
    pub(super) use dspinlock::*;
}

#[test]
fn every_argument_works_on_every_store_and_kind_of_function() {
    let cells = Backend::all().map(Cell::new);
    let failed: Vec<String> = thread::scope(|threads| {
        let rows = TABLE.iter().map(|(argument, checks)| {
            let cells = &cells;
            threads.spawn(move || failures(argument, checks, cells))
        });
        let rows: Vec<_> = rows.collect();
        rows.into_iter()
            .flat_map(|row| row.join().expect("no panic"))
            .collect()
    });
    assert!(failed.is_empty(), "failed: {failed:?}");
}

/// The cells of a row that fail. Their panics are in the output.
pub(crate) fn failures(argument: &str, checks: &[fn(&Cell); 2], cells: &[Cell]) -> Vec<String> {
    let mut failed = Vec::new();
    for cell in cells {
        for (kind, check) in ["sync", "async"].iter().zip(checks) {
            let checked = thread::scope(|threads| threads.spawn(|| check(cell)).join());
            if checked.is_err() {
                failed.push(format!("{argument}, {:?}, {kind}", cell.backend));
            }
        }
    }
    failed
}

#[test]
fn the_table_has_every_argument_of_the_macro() {
    let source = include_str!("../../dspinlock-macros/src/parse/names.rs");
    let (_, list) = source.split_once("const ARGUMENTS").expect("the list");
    let (list, _) = list.split_once("];\n").expect("the end of the list");
    let mut arguments: Vec<_> = list
        .lines()
        .filter_map(|line| line.trim().strip_prefix("(\"")?.split('"').next())
        .collect();
    let mut rows: Vec<_> = TABLE.iter().map(|(argument, _)| *argument).collect();
    arguments.sort_unstable();
    rows.sort_unstable();
    assert_eq!(rows, arguments);
}
