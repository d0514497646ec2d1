//! A pool with a secret, on a server that others can write to.

use std::time::Duration;

use dspinlock::{DSpinlockBase, Error, HashDSpinlock, Pool};
use dspinlock_runtime::internals::protocol::header::Hit;
use dspinlock_testkit::{Job, Redis, Worker, eventually};

use crate::common::lock::locked;
use crate::common::logs;
use crate::common::store::Store;
use crate::common::worker::{SECRET, SECRETS};

const ONE: &str = "a secret of the tests";
const OTHER: &str = "another secret of the tests";
const FUNCTIONS: [&str; 3] = ["cached", "cached_sync", "near"];

fn worker(server: &Redis, secret: &str) -> Worker {
    Worker::with_env(&server.url(), &[(SECRET, secret)])
}

fn stored(server: &Redis, name: &str) -> Hit {
    let bytes = server.bytes(name).expect("a value");
    Hit::parse(bytes.into()).expect("the value can be parsed")
}

/// Replaces the payload of a value. The checksum is right; the secret is not used.
fn forge(server: &Redis, name: &str, payload: Vec<u8>) {
    let hit = stored(server, name);
    let header = String::from_utf8(hit.header().to_vec()).expect("a header is text");
    let old = format!("{:08x}", hit.facts().expect("the header can be parsed").checksum);
    let length = payload.len().saturating_sub(32);
    let new = format!("{:08x}", crc32fast::hash(&payload[..length]));
    let entry = [
        format!("V{}", hit.id).as_bytes(),
        header.replace(&old, &new).as_bytes(),
        &payload,
    ]
    .concat();
    server.raw(&[b"SET".as_ref(), name.as_bytes(), &entry, b"KEEPTTL"]);
}

#[test]
fn only_processes_with_the_same_secret_share_results() {
    let server = Redis::start();
    for function in FUNCTIONS {
        let job = Job::new(function, "key");
        let (first, second) = (worker(&server, ONE), worker(&server, ONE));
        let (bodies, value) = first.call(&job).outcome();
        assert_eq!((bodies, value.is_ok()), (1, true), "{function}: {value:?}");
        assert_eq!(second.call(&job).outcome(), (0, value.clone()), "{function}");
        for stranger in [worker(&server, OTHER), Worker::start(&server.url())] {
            assert_eq!(stranger.call(&job).outcome().0, 1, "{function}");
        }
        assert_eq!(server.keys().len(), 3, "one name per secret, and one without");
        server.raw(&["FLUSHALL"]);
    }
}

#[test]
fn a_forged_value_is_not_used() {
    let server = Redis::start();
    for function in FUNCTIONS {
        let writer = worker(&server, ONE);
        let job = Job::new(function, "key");
        let other = Job::new(function, "other");
        // A signed payload of another key.
        writer.call(&other).result().unwrap();
        let foreign = stored(&server, &server.only_name()).payload().to_vec();
        server.raw(&["FLUSHALL"]);
        writer.call(&job).result().unwrap();
        let name = server.only_name();
        let signed = stored(&server, &name).payload().to_vec();
        let mut flipped = signed.clone();
        flipped[2] ^= 1;
        let unsigned = &signed[..signed.len() - 32];
        let forgeries = [
            ("of another key", foreign),
            ("altered", flipped),
            ("truncated", signed[..signed.len() - 1].to_vec()),
            ("without a seal", unsigned.to_vec()),
            ("empty", Vec::new()),
        ];
        for (what, payload) in forgeries {
            forge(&server, &name, payload);
            // A new worker, whose near cache is empty.
            let reader = worker(&server, ONE);
            let (bodies, value) = reader.call(&job).outcome();
            assert_eq!(
                (bodies, value.is_ok()),
                (1, true),
                "{function}: {what}: {value:?}"
            );
            // The computed value has replaced it.
            assert_eq!(writer.call(&job).outcome(), (0, value), "{function}: {what}");
        }
        server.raw(&["FLUSHALL"]);
    }
}

#[test]
fn a_value_with_another_tag_or_header_is_not_used() {
    let server = Redis::start();
    let writer = worker(&server, ONE);
    let job = Job::new("cached", "key");
    for at in [1, 40] {
        writer.call(&job).result().unwrap();
        let name = server.only_name();
        let mut entry = server.bytes(&name).expect("a value");
        entry[at] = if entry[at] == b'x' { b'y' } else { b'x' };
        server.raw(&[b"SET".as_ref(), name.as_bytes(), &entry, b"KEEPTTL"]);
        assert_eq!(writer.call(&job).outcome().0, 1, "byte {at}");
    }
}

#[test]
fn a_near_cache_with_a_secret_is_invalidated() {
    let server = Redis::start();
    let worker = worker(&server, ONE);
    for function in ["near", "near_sync"] {
        let job = Job::new(function, "key");
        let value = worker.call(&job).result();
        assert_eq!(worker.call(&job).outcome(), (0, value));
        server.unlink_all();
        eventually("a new value", || {
            (worker.call(&job).outcome().0 == 1).then_some(())
        });
    }
}

fn pool(server: &Redis, secret: &str) -> Pool {
    Pool::builder(&server.url()).secret(secret).open().unwrap()
}

/// A custom key scheme.
struct Reports(Pool);

impl DSpinlockBase for Reports {
    fn key(&self) -> String {
        "reports,nightly".into()
    }

    fn pool(&self) -> Option<Pool> {
        Some(self.0.clone())
    }
}

#[test]
fn explicit_locks_with_a_secret_hide_their_names() {
    let server = Redis::start();
    let pool = pool(&server, ONE);
    let lock = HashDSpinlock::new("example")
        .pool(&pool)
        .wait(dspinlock::Wait::AtMost(Duration::ZERO));
    let by_trait: &dyn DSpinlockBase = &lock;
    let lease = locked(lock.acquire_blocking());
    let busy = by_trait.acquire_blocking().unwrap_err();
    logs::assert_error(&busy, "SpinlockTriesExceeded");
    assert!(!server.keys().contains(&lock.key().unwrap()));
    lease.release_blocking().unwrap();
    assert!(by_trait.delete_state_blocking().unwrap() && server.keys().is_empty());

    let reports = Reports(pool);
    let lease = locked(reports.acquire_blocking());
    assert!(
        server.keys().iter().all(|key| !key.contains("nightly")),
        "{:?}",
        server.keys()
    );
    drop(lease);
    eventually("the abort of the dropped lease", || {
        server.keys().is_empty().then_some(())
    });
    locked(reports.acquire_blocking()).release_blocking().unwrap();
    assert!(reports.delete_state_blocking().unwrap() && server.keys().is_empty());
}

#[test]
fn a_value_of_the_maximum_size_has_room_for_its_signature() {
    let server = Redis::start();
    let worker = worker(&server, ONE);
    // Of the 8 MiB, one byte is the format, and five bytes are the length of the string.
    let job = Job::new("cached", "key").with("value", "x".repeat((8 << 20) - 6));
    assert_eq!(worker.call(&job).outcome().0, 1);
    assert_eq!(worker.call(&job).outcome().0, 0);
}

#[test]
fn a_short_secret_is_refused_and_a_secret_never_printed() {
    let open = |secret: &str| Pool::builder("sqlite::memory:").secret(secret).open();
    let error = open("in secrecy").unwrap_err();
    assert!(
        matches!(&error, Error::InvalidOption { reason, .. } if !reason.contains("secrecy")),
        "{error}"
    );
    let pool = open(&"in secrecy".repeat(2)).unwrap();
    assert!(!format!("{pool:?}").contains("secrecy"));
}

/// The steps of a rotation: the secrets of signatures. The secret of names remains [`ONE`].
const STEPS: [&[&str]; 4] = [&[ONE], &[ONE, OTHER], &[OTHER, ONE], &[OTHER]];

/// A process in a step of a rotation. The first step may also be without a list.
fn in_step(url: &str, step: usize) -> Worker {
    let secrets = STEPS[step].join(",");
    let environment = [(SECRET, ONE), (SECRETS, &secrets)];
    Worker::with_env(
        url,
        if step == 0 {
            &environment[..1]
        } else {
            &environment
        },
    )
}

/// The numbers of bodies of calls that two processes make at once.
fn stampede(workers: [&Worker; 2], job: &Job) -> u32 {
    let calls: Vec<_> = (0..8)
        .flat_map(|_| workers.map(|worker| worker.call(job)))
        .collect();
    let outcomes: Vec<_> = calls.iter().map(|call| call.outcome()).collect();
    let (_, value) = &outcomes[0];
    assert!(
        value.is_ok() && outcomes.iter().all(|(_, other)| other == value),
        "{outcomes:?}"
    );
    outcomes
        .iter()
        .map(|(bodies, _)| u32::try_from(*bodies).unwrap())
        .sum()
}

/// Processes of two neighbouring steps run at once, as during a deploy.
#[test]
fn a_rotation_computes_nothing_twice_and_runs_no_job_twice() {
    Store::on_each(|store| {
        let workers: Vec<_> = (0..4).map(|step| in_step(&store.url(), step)).collect();
        for step in 1..4 {
            let pair = [&workers[step - 1], &workers[step]];
            for [writer, reader] in [pair, [pair[1], pair[0]]] {
                let key = |function: &str| format!("{function}-{step}-{}", std::ptr::eq(writer, pair[0]));
                for function in FUNCTIONS {
                    let job = Job::new(function, &key(function));
                    let (bodies, value) = writer.call(&job).outcome();
                    assert_eq!((bodies, value.is_ok()), (1, true), "{step} {function}: {value:?}");
                    assert_eq!(reader.call(&job).outcome(), (0, value), "{step} {function}");
                }
                let once = Job::new("once", &key("once"));
                assert!(writer.call(&once).result().is_ok());
                let second = reader.call(&once).outcome();
                assert_eq!(second, (0, Err("FailIfKeyExistsIsEnabled".into())), "{step}");
                let lock = Job::new("uncached", &key("uncached"));
                let held = writer.call(&lock.clone().with("body", "gate"));
                held.started();
                let busy = reader.call(&lock.with("tries", 1).with("sleep", 100)).outcome();
                assert_eq!(busy, (0, Err("SpinlockTriesExceeded".into())), "{step}");
                held.open_gate();
                assert!(held.result().is_ok());
                let job = Job::new("cached", &key("stampede")).with("body", "sleep:200");
                assert_eq!(stampede([writer, reader], &job), 1, "{step}");
            }
        }
    });
}

/// A process that does not know the new secret replaces the value with one that both know.
#[test]
fn a_skipped_step_of_a_rotation_costs_one_computation() {
    Store::on_each(|store| {
        let [before, after] = [0, 2].map(|step| in_step(&store.url(), step));
        let job = Job::new("cached", "key");
        let (_, new) = after.call(&job).outcome();
        let (bodies, old) = before.call(&job).outcome();
        assert!(bodies == 1 && old != new, "{old:?}");
        for worker in [&after, &before, &after] {
            assert_eq!(worker.call(&job).outcome(), (0, old.clone()));
        }
    });
}

#[test]
fn after_a_rotation_the_former_secret_forges_nothing() {
    Store::on_each(|store| {
        let [attacker, last] = [0, 3].map(|step| in_step(&store.url(), step));
        let job = Job::new("cached", "key");
        let forged = attacker.call(&job).result();
        let (bodies, value) = last.call(&job).outcome();
        assert!(bodies == 1 && value != forged, "{value:?}");
    });
}

#[test]
fn secrets_of_signatures_need_a_secret_of_names() {
    let builder = || Pool::builder("sqlite::memory:");
    let refused = [
        builder().secrets([ONE]),
        builder().secret(ONE).secrets([""; 0]),
        builder().secret(ONE).secrets([OTHER, "in secrecy"]),
    ];
    for builder in refused {
        let error = builder.open().unwrap_err();
        assert!(
            matches!(&error, Error::InvalidOption { reason, .. } if !reason.contains("secrecy")),
            "{error}"
        );
    }
    let pool = builder().secrets([OTHER, ONE]).secret(ONE).open().unwrap();
    assert!(!format!("{pool:?}").contains(OTHER));
}
