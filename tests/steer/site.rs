//! `dspinlock::site`: the attribute as a block, on Redis, a cluster and the embedded store, sync and async.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dspinlock::{Entry, Error, Pool, Status, dspinlock, site};
use dspinlock_testkit::eventually;

use crate::stores::Backend;
use crate::table::cell::{Body, Cell, DEFAULT_WAIT, Failed, HOUR, ok, peek, runtime, timed_out};

/// The table. Each row is a setter, a block, its body, and a check of what the setter does. The macro runs the check on
/// `run_blocking` and on `run`. In the check, `call(pool, id, other, body)` runs the block.
macro_rules! table {
    ($($setter:ident |$block:ident, $other:ident, $body:ident| {$configured:expr} -> $output:ty {$work:expr} $check:expr)*) => {
        $(mod $setter {
            table!(kind blocking, |block, body| block.run_blocking(|| body()), $setter
                ($block, $other, $body) $configured, $output, $work, $check);
            table!(kind polled, |block, body| runtime().block_on(block.run(async { body() })), $setter
                ($block, $other, $body) $configured, $output, $work, $check);
        })*

        /// The setters, and the checks of the sync and of the async block.
        const TABLE: &[(&str, [fn(&Cell); 2])] =
            &[$((stringify!($setter), [$setter::blocking::check, $setter::polled::check])),*];
    };
    (kind $kind:ident, |$started:ident, $closure:ident| $run:expr, $setter:ident
        ($block:ident, $other:ident, $body:ident) $configured:expr, $output:ty, $work:expr, $check:expr) => {
        pub(super) mod $kind {
            #[allow(unused_imports, reason = "no row uses all of it")]
            use super::super::*;

            const SITE: &str = concat!(module_path!(), "::block");

            #[allow(unused_variables, reason = "most rows do not need all of it")]
            fn call(pool: &Pool, id: u64, $other: u64, $body: &Body) -> $output {
                let $block = site(SITE).part(&id).pool(pool);
                let ($started, $closure) = ($configured, || -> $output { $work });
                $run
            }

            #[allow(dead_code, unused_variables, reason = "most rows do not need it")]
            fn entry(pool: &Pool, id: u64, $other: u64, $body: &Body) -> Entry<$output> {
                let $block = site(SITE).part(&id).pool(pool);
                $configured.entry()
            }

            pub(crate) fn check(cell: &Cell) {
                let check: fn(&Cell) = $check;
                check(cell);
            }
        }
    };
}

table! {
    part |block, other, body| {block.part(&other).cached()} -> Result<usize, Error> {Ok(body.run())}
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        assert_eq!(ok(call(&cell.pool, id, 1, &body)), 1);
        assert_eq!(ok(call(&cell.peer, id, 1, &body)), 1);
        assert_eq!(ok(call(&cell.peer, id, 2, &body)), 2);
        assert_eq!(ok(call(&cell.peer, cell.id(), 1, &body)), 3);
    }

    prefix |block, other, body| {block.prefix("steer").cached()} -> Result<usize, Error> {Ok(body.run())}
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        assert_eq!(ok(call(&cell.pool, id, 0, &body)), 1);
        let entry = entry(&cell.peer, id, 0, &body);
        assert!(entry.key().expect("a key").starts_with("steer,"));
        assert_eq!(ok(peek(&entry).value), 1);
    }

    version |block, other, body| {block.version(2).cached()} -> Result<usize, Error> {Ok(body.run())}
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        let entry = |version| Entry::of::<usize>(SITE).version(version).part(&id).pool(&cell.peer);
        entry(1).prime_blocking(&5).expect("a reply");
        assert_eq!(ok(call(&cell.pool, id, 0, &body)), 1);
        entry(2).prime_blocking(&6).expect("a reply");
        assert_eq!(ok(call(&cell.pool, id, 0, &body)), 6);
    }

    label |block, other, body| {block.label(format!("user:{other}"))} -> Result<usize, Error> {Ok(body.run())}
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        let held = || ok(call(&cell.pool, id, 77, &body));
        body.while_held(held, || match entry(&cell.peer, id, 0, &body).status_blocking() {
            Ok(Status::Held { holder: Some(holder), .. }) => {
                assert_eq!((holder.site(), holder.label()), (SITE, Some("user:77")));
            }
            other => panic!("{other:?}"),
        });
    }

    pool |block, other, body| {block.pool(&body.pool).cached()} -> Result<usize, Error> {Ok(body.run())}
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        ok(call(&cell.elsewhere, id, 0, &body));
        assert_eq!(ok(peek(&entry(&cell.elsewhere, id, 0, &body)).value), 1);
        let away = Body::new(&cell.away);
        assert!(call(&cell.pool, id, 0, &away).is_err() && away.runs() == 0);
    }

    validating |block, other, body| {block.validating(&other).cached()} -> Result<usize, Error> {Ok(body.run())}
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        assert_eq!(ok(call(&cell.pool, id, 1, &body)), 1);
        assert_eq!(ok(call(&cell.peer, id, 1, &body)), 1);
        let reused = call(&cell.peer, id, 2, &body);
        assert!(matches!(reused, Err(Error::KeyReused { .. })), "{reused:?}");
        let by_name = |other: u64| Entry::of::<usize>(SITE).part(&id).validating(&other).pool(&cell.peer);
        assert_eq!(peek(&by_name(1)).value, 1);
        assert!(by_name(2).peek_blocking().expect("a reply").is_none());
        by_name(2).prime_blocking(&7).expect("a reply");
        assert_eq!(ok(call(&cell.pool, id, 2, &body)), 7);
        assert!(matches!(call(&cell.peer, id, 1, &body), Err(Error::KeyReused { .. })));
    }

    cached |block, other, body| {block.cached()} -> Result<usize, Error> {Ok(body.run())}
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        assert_eq!(ok(call(&cell.pool, id, 0, &body)), 1);
        assert_eq!(ok(call(&cell.peer, id, 0, &body)), 1);
    }

    ttl |block, other, body| {block.ttl(2 * HOUR).cached()} -> Result<usize, Error> {Ok(body.run())}
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        ok(call(&cell.pool, id, 0, &body));
        let remaining = peek(&entry(&cell.peer, id, 0, &body)).remaining;
        assert!(remaining > HOUR && remaining <= 2 * HOUR, "{remaining:?}");
    }

    ttl_with |block, other, body| {block.cached().ttl_with(move |run: &usize| (*run > 1).then_some(2 * HOUR))}
        -> Result<usize, Error> {Ok(body.run())}
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        assert_eq!(ok(call(&cell.pool, id, 0, &body)), 1);
        assert_eq!(ok(call(&cell.peer, id, 0, &body)), 2);
        assert_eq!(ok(call(&cell.pool, id, 0, &body)), 2);
        let entry = entry(&cell.peer, id, 0, &body);
        let remaining = peek(&entry).remaining;
        assert!(remaining > HOUR && remaining <= 2 * HOUR, "{remaining:?}");
        assert!(entry.prime_blocking(&Ok(1)).is_err(), "the rule keeps no 1");
    }

    err_ttl |block, other, body| {block.cached().err_ttl(2 * HOUR)} -> Result<(), Failed> {Err(Failed::Body(body.run()))}
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        assert_eq!(call(&cell.pool, id, 0, &body), Err(Failed::Body(1)));
        assert_eq!(call(&cell.peer, id, 0, &body), Err(Failed::Body(1)));
        let stored = peek(&entry(&cell.peer, id, 0, &body));
        assert_eq!(stored.value, Err(Failed::Body(1)));
        assert!(stored.remaining > HOUR && stored.remaining <= 2 * HOUR, "{:?}", stored.remaining);
    }

    err_ttl_with |block, other, body| {
        block.cached().err_ttl_with(move |error: &Failed| (*error != Failed::Body(1)).then_some(2 * HOUR))
    } -> Result<(), Failed> {Err(Failed::Body(body.run()))}
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        assert_eq!(call(&cell.pool, id, 0, &body), Err(Failed::Body(1)));
        let entry = entry(&cell.peer, id, 0, &body);
        // An error that is not kept stays for the calls that have waited.
        eventually("the second error", || (call(&cell.peer, id, 0, &body) == Err(Failed::Body(2))).then_some(()));
        assert_eq!(call(&cell.pool, id, 0, &body), Err(Failed::Body(2)));
        let stored = peek(&entry);
        assert!(stored.remaining > HOUR && stored.remaining <= 2 * HOUR, "{:?}", stored.remaining);
    }

    near_cache |block, other, body| {block.cached().near_cache(Duration::from_secs(60))} -> Result<usize, Error> {Ok(body.run())}
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        // The second call reads the store.
        for _ in 0..2 {
            assert_eq!(ok(call(&cell.pool, id, 0, &body)), 1);
        }
        let entry = entry(&cell.pool, id, 0, &body);
        let name = entry.key().expect("a key");
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(2100) {
            assert_eq!(ok(call(&cell.pool, id, 0, &body)), 1);
            thread::sleep(Duration::from_millis(20));
        }
        // The embedded store has no near cache.
        assert!(cell.idle_seconds(&name).is_none_or(|idle| idle >= 1), "the calls have read the store");
        assert!(entry.invalidate_blocking().expect("a reply"));
        assert_eq!(ok(call(&cell.pool, id, 0, &body)), 2);
    }

    wait |block, other, body| {block.wait(Duration::from_millis(300))} -> Result<usize, Error> {Ok(body.run())}
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        body.while_held(|| ok(call(&cell.pool, id, 0, &body)), || {
            let waited = timed_out(call(&cell.peer, id, 0, &body));
            assert!(waited >= Duration::from_millis(300) && waited < DEFAULT_WAIT, "{waited:?}");
        });
    }

    // Without it, the call would not wait.
    wait_forever |block, other, body| {block.wait(Duration::ZERO).wait_forever()} -> Result<usize, Error> {Ok(body.run())}
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        let second = thread::scope(|threads| {
            let mut second = None;
            body.while_held(|| ok(call(&cell.pool, id, 0, &body)), || {
                let waits = threads.spawn(|| ok(call(&cell.peer, id, 0, &body)));
                thread::sleep(Duration::from_millis(300));
                assert!(!waits.is_finished());
                second = Some(waits);
            });
            second.expect("a thread").join().expect("no panic")
        });
        assert_eq!(second, 2);
    }

    max_spinlock_tries |block, other, body| {block.max_spinlock_tries(2)} -> Result<usize, Error> {Ok(body.run())}
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        body.while_held(|| ok(call(&cell.pool, id, 0, &body)), || {
            let waited = timed_out(call(&cell.peer, id, 0, &body));
            assert!(waited >= Duration::from_secs(1) && waited < DEFAULT_WAIT, "{waited:?}");
        });
    }

    spinlock_sleep_thresh |block, other, body| {
        block.max_spinlock_tries(1).spinlock_sleep_thresh(Duration::from_millis(1500))
    } -> Result<usize, Error> {Ok(body.run())}
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        body.while_held(|| ok(call(&cell.pool, id, 0, &body)), || {
            let waited = timed_out(call(&cell.peer, id, 0, &body));
            assert!(waited >= Duration::from_millis(1500) && waited < DEFAULT_WAIT, "{waited:?}");
        });
    }

    lease |block, other, body| {block.lease(Duration::from_secs(4))} -> Result<usize, Error> {Ok(body.run())}
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        let held = || ok(call(&cell.pool, id, 0, &body));
        body.while_held(held, || match entry(&cell.peer, id, 0, &body).status_blocking() {
            Ok(Status::Held { lease_left: Some(left), .. }) => assert!(left <= Duration::from_secs(4), "{left:?}"),
            other => panic!("{other:?}"),
        });
    }

    max_block_time |block, other, body| {
        block.max_block_time(Duration::from_millis(600)).lease(Duration::from_millis(300)).wait(Duration::from_secs(60))
    } -> Result<usize, Error> {Ok(body.run())}
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        // The second body runs while the first one still does.
        let held = || assert_eq!(ok(call(&cell.pool, id, 0, &body)), 1);
        body.while_held(held, || assert_eq!(ok(call(&cell.peer, id, 0, &body)), 2));
    }

    replicas |block, other, body| {block.replicas(other as u32)} -> Result<usize, Error> {Ok(body.run())}
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        let text = format!("{:?}", call(&cell.pool, id, 2, &body).expect_err("no store has two replicas"));
        assert!(text.contains("TooFewReplicas") && body.runs() == 0, "{text}");
        // Each master of the cluster has one.
        let is_cluster = matches!(cell.backend, Backend::Cluster(_));
        assert_eq!(call(&cell.pool, id, 1, &body).is_ok(), is_cluster);
    }

    fail_if_key_exists |block, other, body| {block.fail_if_key_exists()} -> Result<usize, Error> {Ok(body.run())}
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        assert_eq!(ok(call(&cell.pool, id, 0, &body)), 1);
        let again = call(&cell.peer, id, 0, &body);
        assert!(matches!(again, Err(Error::FailIfKeyExistsIsEnabled { .. })), "{again:?}");
    }

    skip_if_busy |block, other, body| {block.skip_if_busy()} -> Result<Option<usize>, Error> {Ok(Some(body.run()))}
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        let held = || assert_eq!(ok(call(&cell.pool, id, 0, &body)), Some(1));
        body.while_held(held, || {
            let start = Instant::now();
            assert_eq!(ok(call(&cell.peer, id, 0, &body)), None);
            assert!(start.elapsed() < DEFAULT_WAIT, "it has waited");
        });
    }

    run_unlocked_on_store_error |block, other, body| {block.cached().run_unlocked_on_store_error()} -> Result<usize, Error> {Ok(body.run())}
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        assert_eq!(ok(call(&cell.away, id, 0, &body)), 1);
        assert_eq!(ok(call(&cell.away, id, 0, &body)), 2);
    }

    map_err |block, other, body| {block.map_err(Failed::of_lock).wait(Duration::ZERO)} -> Result<usize, Failed> {Ok(body.run())}
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        let held = || assert_eq!(call(&cell.pool, id, 0, &body), Ok(1));
        body.while_held(held, || match call(&cell.peer, id, 0, &body) {
            Err(Failed::Mapped(text)) => assert!(text.contains("timed out"), "{text}"),
            other => panic!("{other:?}"),
        });
    }

    run_unlocked |block, other, body| {block.run_unlocked().wait(Duration::ZERO)} -> Result<usize, std::convert::Infallible> {Ok(body.run())}
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        let held = || assert_eq!(call(&cell.pool, id, 0, &body), Ok(1));
        body.while_held(held, || assert_eq!(call(&cell.peer, id, 0, &body), Ok(2)));
    }

    panic_on_error |block, other, body| {block.panic_on_error().wait(Duration::ZERO)} -> Result<usize, std::convert::Infallible> {Ok(body.run())}
    |cell| {
        let (id, body) = (cell.id(), cell.body());
        let held = || assert_eq!(call(&cell.pool, id, 0, &body), Ok(1));
        body.while_held(held, || {
            let panicked = thread::scope(|threads| threads.spawn(|| call(&cell.peer, id, 0, &body)).join());
            let panicked = panicked.expect_err("a panic");
            let text = panicked.downcast_ref::<String>().expect("a message");
            assert!(text.contains("timed out") && body.runs() == 1, "{text}");
        });
    }
}

#[test]
fn every_setter_works_on_every_store_and_kind_of_block() {
    let cells = Backend::all().map(Cell::new);
    let failed: Vec<String> = thread::scope(|threads| {
        let rows = TABLE.iter().map(|(setter, checks)| {
            let cells = &cells;
            threads.spawn(move || crate::table::failures(setter, checks, cells))
        });
        let rows: Vec<_> = rows.collect();
        rows.into_iter()
            .flat_map(|row| row.join().expect("no panic"))
            .collect()
    });
    assert!(failed.is_empty(), "failed: {failed:?}");
}

#[test]
fn the_table_has_every_setter() {
    let source = include_str!("../../dspinlock-runtime/src/call/site_call.rs");
    let (setters, _) = source.split_once("/// The last step.").expect("the last step");
    let (_, setters) = setters
        .split_once("/// The arguments of the attribute.")
        .expect("the setters");
    let names = setters.lines().filter_map(|line| {
        let name = line.strip_prefix("    pub fn ")?;
        name.split(['(', '<']).next()
    });
    let rows: BTreeSet<_> = TABLE.iter().map(|(setter, _)| *setter).collect();
    assert_eq!(names.collect::<BTreeSet<_>>(), rows);
}

#[dspinlock(name = "steer::site::report", key = (id, region), version = 3, prefix = "other", cached_if_computed, entry = report_entry)]
fn report(id: u64, region: &str, runs: &AtomicUsize) -> Result<usize, Error> {
    Ok(runs.fetch_add(1, Ordering::SeqCst))
}

#[test]
fn a_block_has_the_key_of_a_function_with_its_name() {
    for backend in Backend::all() {
        let pool = backend.pool("a_block_has_the_key");
        let runs = AtomicUsize::new(1);
        let block = |id: u64| {
            let block = site("steer::site::report").part(&id).part("eu");
            block.version(3).prefix("other").cached().pool(&pool)
        };
        let by_name = Entry::of::<usize>("steer::site::report").part(&7_u64).part("eu");
        let by_name = by_name.version(3).prefix("other").pool(&pool);
        let by_function = report_entry(7, "eu", &runs).pool(&pool);
        let by_block = block(7).entry::<usize, Error>();
        let key = by_block.key().expect("a key");
        assert_eq!(key, by_function.key().expect("a key"));
        assert_eq!(key, by_name.key().expect("a key"));
        by_block.invalidate_blocking().expect("a reply");
        let call = |id| pool.scope_blocking(|| ok(report(id, "eu", &runs)));
        let run = |id| ok(block(id).run_blocking(|| Ok::<_, Error>(runs.fetch_add(1, Ordering::SeqCst))));
        assert_eq!([call(7), run(7), call(7)], [1; 3], "{backend:?}");
        assert_eq!([run(8), call(8), run(8)], [2; 3], "{backend:?}");
        assert!(by_name.invalidate_blocking().expect("a reply"));
        assert_eq!([run(7), call(7)], [3; 2], "{backend:?}");
    }
}

/// A future can be moved to another thread, and holds nothing but what the block owns.
fn spawned(
    pool: &Pool,
    name: String,
    id: u64,
    runs: &'static AtomicUsize,
) -> tokio::task::JoinHandle<Result<usize, Error>> {
    let block = site(name).part(&id).pool(pool).cached();
    tokio::spawn(block.run(async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Ok(runs.fetch_add(1, Ordering::SeqCst) + 1)
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_compute_each_dynamic_name_once() {
    for backend in Backend::all() {
        let pool = backend.pool("");
        let runs: &'static AtomicUsize = Box::leak(Box::default());
        let unique = std::process::id();
        let name = |at: usize| format!("steer::site::dynamic {unique} {}", at % 4);
        let calls: Vec<_> = (0..64).map(|at| spawned(&pool, name(at), 1, runs)).collect();
        let mut values = [const { BTreeSet::new() }; 4];
        for (at, call) in calls.into_iter().enumerate() {
            values[at % 4].insert(call.await.expect("no panic").expect("a value"));
        }
        assert!(
            values.iter().all(|values| values.len() == 1),
            "{backend:?}: {values:?}"
        );
        assert_eq!(runs.load(Ordering::SeqCst), 4, "{backend:?}");
        // Sync callers of the same blocks receive the stored values.
        let stored = thread::scope(|threads| {
            let calls = (0..16).map(|at| {
                let (pool, name) = (&pool, name(at));
                threads.spawn(move || {
                    let block = site(name).part(&1_u64).pool(pool).cached();
                    block.run_blocking(|| Ok::<_, Error>(runs.fetch_add(1, Ordering::SeqCst)))
                })
            });
            let calls: Vec<_> = calls.collect();
            let values = calls.into_iter().map(|call| ok(call.join().expect("no panic")));
            values.collect::<Vec<_>>()
        });
        for (at, value) in stored.into_iter().enumerate() {
            assert!(values[at % 4].contains(&value), "{backend:?}");
        }
    }
}

trait Quotes {
    fn quote(&self, id: u64) -> Result<usize, Error>;
    fn later(&self, id: u64) -> impl Future<Output = Result<usize, Error>> + Send;
}

struct Bank<'a> {
    pool: &'a Pool,
    runs: AtomicUsize,
}

impl Quotes for Bank<'_> {
    fn quote(&self, id: u64) -> Result<usize, Error> {
        let block = site("steer::site::quote").part(&id).pool(self.pool).cached();
        block.run_blocking(|| Ok(self.runs.fetch_add(1, Ordering::SeqCst)))
    }

    async fn later(&self, id: u64) -> Result<usize, Error> {
        let block = site("steer::site::later").part(&id).pool(self.pool).cached();
        block
            .run(async { Ok(self.runs.fetch_add(1, Ordering::SeqCst)) })
            .await
    }
}

macro_rules! cached {
    ($pool:expr, $name:literal, $part:expr, $value:expr) => {
        site($name)
            .part(&$part)
            .pool($pool)
            .cached()
            .run_blocking(|| Ok::<_, Error>($value))
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_stands_in_a_trait_and_in_a_macro() {
    let pool = Backend::Embedded.pool("");
    let bank = Bank {
        pool: &pool,
        runs: AtomicUsize::new(1),
    };
    assert_eq!(
        [ok(bank.quote(1)), ok(bank.quote(1)), ok(bank.quote(2))],
        [1, 1, 2]
    );
    assert_eq!([ok(bank.later(1).await), ok(bank.later(1).await)], [3, 3]);
    let mut next = 0;
    let mut value = |name: bool, id: u64| {
        next += 1;
        match name {
            false => ok(cached!(&pool, "steer::site::macro 1", id, next)),
            true => ok(cached!(&pool, "steer::site::macro 2", id, next)),
        }
    };
    assert_eq!(
        [value(false, 1), value(true, 1), value(false, 1), value(false, 2)],
        [1, 2, 1, 4]
    );
}

#[test]
fn blocks_with_one_name_and_two_types_never_return_each_others_values() {
    let pool = Backend::Embedded.pool("");
    let block = || site("steer::site::types").pool(&pool).cached();
    for _ in 0..2 {
        assert_eq!(
            ok(block().run_blocking(|| Ok::<_, Error>("text".to_owned()))),
            "text"
        );
        assert_eq!(ok(block().run_blocking(|| Ok::<_, Error>(7_u64))), 7);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_goes_on_without_its_caller_or_stops_with_its_lease() {
    for backend in Backend::all() {
        let [pool, other] = backend.pools("");
        let body = Body::new(&pool);
        body.hold();
        let block = |pool: &Pool| {
            let block = site("steer::site::detached").part(&std::process::id()).pool(pool);
            block.cached()
        };
        let work = |body: &Body| {
            let body = body.clone();
            async move { Ok::<_, Error>(body.run_async().await) }
        };
        tokio::select! {
            outcome = block(&pool).run_detached(work(&body)) => panic!("{outcome:?}"),
            () = body.started() => {}
        }
        body.release();
        assert_eq!(
            ok(block(&other).run_detached(work(&body)).await),
            1,
            "{backend:?}"
        );

        let body = Body::new(&pool);
        body.hold();
        let block = |pool: &Pool| {
            let block = site("steer::site::cancelled")
                .part(&std::process::id())
                .pool(pool);
            block.cached().lease(Duration::from_millis(600))
        };
        let first = tokio::spawn(block(&pool).run_cancelled(work(&body)));
        body.started().await;
        let entry = block(&other).entry::<usize, Error>();
        entry.invalidate().await.expect("a reply");
        assert_eq!(ok(block(&other).run(work(&body)).await), 2, "{backend:?}");
        assert_eq!(ok(first.await.expect("no panic")), 2, "{backend:?}");
        assert!(body.is_stopped(), "{backend:?}");
        block(&other)
            .entry::<usize, Error>()
            .invalidate()
            .await
            .expect("a reply");
    }
}

/// The error of a block whose body must not run.
#[track_caller]
fn refused<T: std::fmt::Debug>(outcome: Result<T, Error>) -> String {
    match outcome {
        Err(error @ Error::InvalidOption { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_the_compiler_refuses_in_an_attribute_is_an_error_of_a_block() {
    let never = || -> Result<Option<u64>, Error> { panic!("the body runs") };
    let block = || site("steer::site::refused").pool(&Backend::Embedded.pool(""));
    let second = Duration::from_secs(1);
    let long = Duration::MAX - second;
    for (sentence, outcome) in [
        ("needs a name", site("").run_blocking(never)),
        (
            "both limit how long",
            block().wait(second).max_spinlock_tries(2).run_blocking(never),
        ),
        (
            "`near_cache` contradicts `fail_if_key_exists`",
            block()
                .cached()
                .near_cache(second)
                .fail_if_key_exists()
                .run_blocking(never),
        ),
        (
            "`near_cache` must be <= `ttl`",
            block().cached().near_cache(2 * HOUR).run_blocking(never),
        ),
        (
            "`near_cache` must be > 0",
            block().cached().near_cache(Duration::ZERO).run_blocking(never),
        ),
        (
            "`run_unlocked_on_store_error` could run a job twice",
            block()
                .fail_if_key_exists()
                .run_unlocked_on_store_error()
                .run_blocking(never),
        ),
        (
            "`run_unlocked_on_store_error` would run a reused key again",
            block()
                .validating(&1)
                .run_unlocked_on_store_error()
                .run_blocking(never),
        ),
        (
            "`skip_if_busy` has no effect",
            block().skip_if_busy().wait_forever().run_blocking(never),
        ),
        ("`ttl` has no effect", block().ttl(second).run_blocking(never)),
        (
            "`ttl` has no effect",
            block().ttl_with(|_: &Option<u64>| HOUR).run_blocking(never),
        ),
        (
            "both say how long a value is kept",
            block()
                .cached()
                .ttl(second)
                .ttl_with(|_: &Option<u64>| HOUR)
                .run_blocking(never),
        ),
        (
            "`ttl` must be > 0",
            block().cached().ttl(Duration::ZERO).run_blocking(never),
        ),
        (
            "`lease` must be >= 100ms",
            block().lease(second / 100).run_blocking(never),
        ),
        (
            "`lease` (1s) must be <= `max_block_time`",
            block()
                .lease(second)
                .max_block_time(second / 2)
                .run_blocking(never),
        ),
        (
            "`max_block_time` must be",
            block().max_block_time(long).run_blocking(never),
        ),
        (
            "`wait` must be <= 100 years",
            block().wait(long).run_blocking(never),
        ),
        (
            "`max_spinlock_tries` must be >= 1",
            block().max_spinlock_tries(0).run_blocking(never),
        ),
        (
            "`spinlock_sleep_thresh` must be > 0",
            block().spinlock_sleep_thresh(Duration::ZERO).run_blocking(never),
        ),
        (
            "`prefix` must have 1 to 64 bytes",
            block().prefix("a,b").run_blocking(never),
        ),
    ] {
        let text = refused(outcome);
        assert!(text.contains(sentence), "{sentence}: {text}");
    }
    let key = block()
        .wait(second)
        .max_spinlock_tries(2)
        .entry::<u64, Error>()
        .key();
    assert!(refused(key).contains("both limit"));
}

/// An error that a store can keep.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Text(String);

impl From<Error> for Text {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}

#[test]
fn wrong_rules_about_errors_are_refused() {
    let never = || -> Result<u64, Text> { panic!("the body runs") };
    let block = || {
        site("steer::site::refused")
            .pool(&Backend::Embedded.pool(""))
            .cached()
    };
    let second = Duration::from_secs(1);
    for (sentence, outcome) in [
        (
            "`err_ttl` contradicts `fail_if_key_exists`",
            block().err_ttl(second).fail_if_key_exists().run_blocking(never),
        ),
        (
            "`err_ttl` contradicts `fail_if_key_exists`",
            block()
                .err_ttl_with(|_: &Text| HOUR)
                .fail_if_key_exists()
                .run_blocking(never),
        ),
        (
            "`err_ttl` must be <= 100 years",
            block().err_ttl(Duration::MAX).run_blocking(never),
        ),
    ] {
        let Text(text) = outcome.expect_err("refused");
        assert!(text.contains(sentence), "{sentence}: {text}");
    }
    // An error of these would run the body.
    for (sentence, block) in [
        ("reused key", block().validating(&1).run_unlocked()),
        (
            "errors of the store",
            block().run_unlocked_on_store_error().run_unlocked(),
        ),
    ] {
        let panicked = thread::scope(|threads| threads.spawn(|| block.run_blocking(never)).join());
        let panicked = panicked.expect_err("a panic");
        let text = panicked.downcast_ref::<String>().expect("a message");
        assert!(text.contains(sentence), "{sentence}: {text}");
    }
    // It has no body to run.
    let cancelled = || runtime().block_on(block().run_unlocked().run_cancelled(async { never() }));
    let panicked = thread::scope(|threads| threads.spawn(cancelled).join());
    let panicked = panicked.expect_err("a panic");
    let text = panicked.downcast_ref::<String>().expect("a message");
    assert!(text.contains("cannot run it"), "{text}");
}
