//! A server that forgets which keys its clients watch. It then pushes an invalidation for each of them.

use std::thread::{scope, sleep};
use std::time::Duration;

use dspinlock::{HashDSpinlock, Lease, Pool, Wait};
use dspinlock_testkit::Redis;

use crate::common::lock::locked;

const WAITERS: usize = 50;

const MEASURED: Duration = Duration::from_secs(2);

/// Each look at a key is two commands, without the five of its script. With pauses of 50 ms, 50 waiters look 1,000 times a
/// second; the rest is for a loaded machine, whose waiters may be quiet for 100 ms and begin with short pauses again. Without
/// pauses there are 25,000.
const MAX_COMMANDS_PER_SECOND: u64 = 2_500;

#[test]
fn waiters_on_a_server_with_a_small_tracking_table_send_few_commands() {
    let server = Redis::with_args(&["--tracking-table-max-keys", "1"]);
    let pool = Pool::open(&server.url()).unwrap();
    let lock = |at: usize| {
        HashDSpinlock::new(("watched", at))
            .wait(Wait::Forever)
            .pool(&pool)
    };
    let held: Vec<Lease> = (0..WAITERS)
        .map(|at| locked(lock(at).acquire_blocking()))
        .collect();
    scope(|threads| {
        for at in 0..WAITERS {
            let lock = lock(at);
            threads.spawn(move || drop(locked(lock.acquire_blocking())));
        }
        sleep(Duration::from_secs(1));
        let before = commands(&server);
        sleep(MEASURED);
        let rate = (commands(&server) - before) / MEASURED.as_secs();
        println!("{WAITERS} waiters: {rate} commands per second");
        drop(held);
        assert!(rate <= MAX_COMMANDS_PER_SECOND, "{rate} commands per second");
    });
}

/// The commands of the library, without those of its scripts.
fn commands(server: &Redis) -> u64 {
    let sent = ["client|caching", "evalsha"].map(|command| server.command_count(Some(command)));
    sent.into_iter().sum()
}
