//! Tests that run at the same time do not meet.

use std::process::{Command, Stdio};
use std::thread;

use dspinlock::{HashDSpinlock, Pool};

const RUNS: usize = 100;

/// The program of docs/testing.md, which is `user.rs`, in its own processes. Each runs its three tests in parallel.
#[test]
fn the_three_tests_of_a_user_pass_a_hundred_times() {
    let program = std::env::current_exe().expect("this program");
    let run = || {
        let mut command = Command::new(&program);
        command.args(["user::", "--test-threads=3"]).stdin(Stdio::null());
        command.output().expect("the program starts")
    };
    thread::scope(|threads| {
        // So many at once.
        let workers = [(); 5].map(|()| threads.spawn(|| [(); RUNS / 5].map(|()| run())));
        for output in workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("no panic"))
        {
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && text.contains("3 passed"), "{text}");
        }
    });
}

#[test]
fn the_page_has_the_three_tests_of_the_user_in_less_than_40_lines() {
    let (page, program) = (include_str!("../../docs/testing.md"), include_str!("user.rs"));
    assert!(
        page.contains(&format!("```rust\n{program}```\n")),
        "docs/testing.md differs from user.rs"
    );
    assert_eq!(program.matches("#[tokio::test]").count(), 3);
    assert!(program.lines().count() < 40);
}

/// In one process, with the same sites and the same keys.
#[test]
fn a_hundred_threads_with_a_pool_each_do_not_meet() {
    thread::scope(|threads| {
        for number in 0..RUNS {
            threads.spawn(move || {
                let pool = Pool::for_test();
                let lock = HashDSpinlock::new("report").pool(&pool);
                let lease = pool.hold(&lock);
                let moved = std::time::Duration::from_secs(number as u64 * 20);
                pool.advance(moved);
                // After 30 minutes the lease is not renewed any more.
                assert_eq!(lease.is_lost(), moved.as_secs() > 1800 + 15, "{moved:?}");
                assert_eq!(pool.computes("price"), 0);
                drop(lease);
                assert!(!lock.is_held_blocking().expect("a reply"));
            });
        }
    });
}

/// Pools of other kinds read the clock of the process.
#[test]
fn a_moved_clock_moves_no_other_pool() {
    let (pool, other) = (Pool::for_test(), Pool::open("sqlite::memory:").expect("a pool"));
    let lock = HashDSpinlock::new("report")
        .lease(std::time::Duration::from_secs(60))
        .pool(&other);
    let lease = lock.acquire_blocking().expect("a lease");
    pool.advance(std::time::Duration::from_secs(3600));
    let dspinlock::Acquired::Locked(lease) = lease else {
        panic!("the key is computed")
    };
    assert!(!lease.is_lost() && lease.remaining() > std::time::Duration::from_secs(30));
    assert!(lock.is_held_blocking().expect("a reply"));
}
