//! Several locks at once.

use std::fs;
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Waker};
use std::thread::sleep;
use std::time::Duration;

use dspinlock::{DSpinlockBase, Error, HashDSpinlock, Lease, Pool, Wait};
use dspinlock_testkit::{ChildProcess, eventually};

use super::{Nightly, on_each};
use crate::common::lock::{lock, locked};
use crate::common::store::Store;

const NAMES: [&str; 3] = ["one", "two", "three"];

fn locks(pool: &Pool) -> [HashDSpinlock; 3] {
    NAMES.map(|name| HashDSpinlock::new(name).pool(pool))
}

fn is_free(lock: &HashDSpinlock) -> bool {
    lock.try_acquire_blocking().unwrap().is_some()
}

#[test]
fn leases_have_the_order_of_the_arguments_and_hold_every_key() {
    on_each(|pool| {
        let locks = locks(pool);
        for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0], [2, 1, 0]] {
            let leases = dspinlock::acquire_all_blocking(order.map(|at| &locks[at])).unwrap();
            for (lease, at) in leases.into_iter().zip(order) {
                assert!(!is_free(&locks[at]));
                lease.give_up_blocking().unwrap();
                assert!(is_free(&locks[at]), "the lease of another key was given up");
            }
        }
        let none = dspinlock::acquire_all_blocking(&[] as &[HashDSpinlock]);
        assert!(none.unwrap().is_empty());
    });
}

#[test]
fn locks_of_different_types_are_acquired_together() {
    on_each(|pool| {
        struct Weekly(Pool);
        impl DSpinlockBase for Weekly {
            fn key(&self) -> String {
                "reports,weekly".into()
            }
            fn pool(&self) -> Option<Pool> {
                Some(self.0.clone())
            }
        }
        let (weekly, example) = (Weekly(pool.clone()), lock(pool));
        let locks: [&dyn DSpinlockBase; 2] = [&weekly, &example];
        let leases = futures_executor::block_on(dspinlock::acquire_all(locks)).unwrap();
        assert_eq!(leases.len(), 2);
        assert!(weekly.try_acquire_blocking().unwrap().is_none() && !is_free(&example));
    });
}

#[test]
fn one_key_twice_is_an_error_and_nothing_is_acquired() {
    on_each(|pool| {
        let [one, two, three] = locks(pool);
        let again = HashDSpinlock::new("one").pool(&Pool::open("sqlite::memory:").unwrap());
        for again in [&one, &again] {
            let error = dspinlock::acquire_all_blocking([&one, &two, again, &three]).unwrap_err();
            assert!(
                error.to_string().contains("the locks 1 and 3 of `acquire_all`"),
                "{error}"
            );
        }
        assert!([one, two, three].iter().all(is_free));
    });
}

#[test]
fn a_lock_that_may_be_computed_or_has_no_key_is_refused() {
    struct Unserializable;
    impl serde::Serialize for Unserializable {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("never"))
        }
    }
    on_each(|pool| {
        let one = lock(pool);
        let locks: [&dyn DSpinlockBase; 2] = [&one, &Nightly(pool.clone())];
        let error = dspinlock::acquire_all_blocking(locks).unwrap_err();
        assert!(error.to_string().contains("`cached_if_computed`"), "{error}");
        let broken = HashDSpinlock::new(Unserializable).pool(pool);
        let error = dspinlock::acquire_all_blocking([&one, &broken, &broken]).unwrap_err();
        assert!(
            matches!(error, Error::ProvidedObjectIsNotHashable { .. }),
            "{error}"
        );
        assert!(is_free(&one));
    });
}

#[test]
fn if_one_lock_fails_the_others_are_free() {
    on_each(|pool| {
        let all = locks(pool).map(|lock| lock.wait(Wait::AtMost(Duration::ZERO)));
        for held in 0..3 {
            let _held = locked(all[held].acquire_blocking());
            let error = dspinlock::acquire_all_blocking(&all).unwrap_err();
            assert!(matches!(error, Error::SpinlockTriesExceeded { .. }), "{error}");
            for (at, lock) in all.iter().enumerate() {
                assert_eq!(is_free(lock), at != held, "{at}");
            }
        }
    });
}

/// The keys before the one that is held, in the order in which they are acquired.
fn before<'a>(all: &'a [HashDSpinlock; 3], held: &HashDSpinlock) -> Vec<&'a HashDSpinlock> {
    let held = held.key().unwrap();
    all.iter().filter(|lock| lock.key().unwrap() < held).collect()
}

/// The last one in the order of keys.
fn last(all: &[HashDSpinlock; 3]) -> &HashDSpinlock {
    all.iter().max_by_key(|lock| lock.key().unwrap()).unwrap()
}

#[test]
fn a_dropped_future_frees_every_lock() {
    on_each(|pool| {
        let all = locks(pool).map(|lock| lock.wait(Wait::Forever));
        let held = last(&all);
        let _held = locked(held.acquire_blocking());
        let earlier = before(&all, held);
        assert_eq!(earlier.len(), 2);
        {
            let mut waiting = pin!(dspinlock::acquire_all(&all));
            eventually("the locks before the busy one", || {
                let polled = waiting.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                assert!(polled.is_pending());
                earlier.iter().all(|lock| !is_free(lock)).then_some(())
            });
        }
        assert!(earlier.into_iter().all(is_free));
    });
}

#[test]
fn a_lease_that_is_lost_while_another_lock_is_busy_is_an_error() {
    on_each(|pool| {
        let all = locks(pool).map(|lock| lock.wait(Wait::Forever).lease(Duration::from_millis(500)));
        let busy = last(&all);
        let held = locked(busy.acquire_blocking());
        let earlier = before(&all, busy);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| dspinlock::acquire_all_blocking(&all));
            eventually("the locks before the busy one", || {
                earlier.iter().all(|lock| !is_free(lock)).then_some(())
            });
            assert!(earlier[0].delete_state_blocking().unwrap());
            // The heartbeat notices it.
            sleep(Duration::from_millis(700));
            held.give_up_blocking().unwrap();
            let error = waiting.join().unwrap().unwrap_err();
            assert!(matches!(error, Error::LeaseLost { .. }), "{error}");
        });
        assert!(all.iter().all(is_free));
    });
}

const PROCESS: &str = "DSPINLOCK_TEST_ALL";
const ROUNDS: u64 = 40;

/// Every process takes two of three accounts, in every order, without a time limit. A process that took them in the order
/// of its arguments would soon wait for another one that waits for it.
#[test]
fn processes_that_lock_the_same_keys_in_any_order_never_wait_for_each_other() {
    Store::on_each(|store| {
        let folder = tempfile::tempdir().unwrap();
        for name in NAMES {
            fs::write(folder.path().join(name), "0").unwrap();
        }
        let path = folder.path().display().to_string();
        let processes: Vec<_> = (0..4)
            .map(|process| {
                let process = process.to_string();
                ChildProcess::own_test(
                    "explicit::all::main",
                    &[
                        (PROCESS, &process),
                        ("DSPINLOCK_URL", &store.url()),
                        ("DSPINLOCK_TEST_FOLDER", &path),
                    ],
                )
            })
            .collect();
        for process in &processes {
            while process.recv() != ">end" {}
        }
        let total: u64 = NAMES.iter().map(|name| balance(folder.path(), name)).sum();
        assert_eq!(total, 2 * ROUNDS * processes.len() as u64);
    });
}

fn balance(folder: &Path, name: &str) -> u64 {
    fs::read_to_string(folder.join(name)).unwrap().parse().unwrap()
}

/// Not a test: the main function of a process that books on two accounts. In an ordinary run it returns at once.
#[test]
fn main() {
    let Ok(process) = std::env::var(PROCESS) else {
        return;
    };
    println!();
    let process: u64 = process.parse().unwrap();
    let folder = std::env::var("DSPINLOCK_TEST_FOLDER").unwrap();
    let folder = Path::new(&folder);
    let pool = Pool::open(&std::env::var("DSPINLOCK_URL").unwrap()).unwrap();
    let locks = locks(&pool).map(|lock| lock.wait(Wait::Forever));
    for round in 0..ROUNDS {
        let first = usize::try_from(round + process).unwrap() % 3;
        let second = (first + 1 + usize::try_from(round / 3 % 2).unwrap()) % 3;
        let accounts = [first, second];
        let leases: Vec<Lease> = match round % 2 {
            0 => dspinlock::acquire_all_blocking(accounts.map(|at| &locks[at])).unwrap(),
            _ => futures_executor::block_on(dspinlock::acquire_all(accounts.map(|at| &locks[at]))).unwrap(),
        };
        for at in accounts {
            let before = balance(folder, NAMES[at]);
            fs::write(folder.join(NAMES[at]), (before + 1).to_string()).unwrap();
        }
        leases
            .into_iter()
            .for_each(|lease| lease.give_up_blocking().unwrap());
    }
    println!(">end");
    std::process::exit(0);
}
