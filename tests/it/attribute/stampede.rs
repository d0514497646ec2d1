//! Many callers of one cold key.

use dspinlock_testkit::{Job, Worker, join_calls, start_calls};

use crate::common::store::Store;

const PROCESSES: usize = 8;
const CALLERS: usize = 32;
const ROUNDS: usize = 50;

#[test]
fn eight_processes_with_32_callers_compute_once() {
    Store::on_each(|store| {
        let workers = Worker::start_many(PROCESSES, &store.url());
        for round in 0..ROUNDS {
            let job = Job::new("cached", &format!("round{round}")).with("body", "sleep:300");
            let calls = start_calls(&workers, CALLERS, &job);
            let (bodies, values, errors) = join_calls(&calls);
            assert_eq!(errors, Vec::<String>::new(), "round {round} on {}", store.url());
            assert_eq!((bodies, values.len()), (1, 1), "round {round} on {}", store.url());
        }
    });
}

#[test]
fn threads_of_sync_callers_compute_once() {
    Store::on_each(|store| {
        let workers = Worker::start_many(4, &store.url());
        for round in 0..5 {
            let job = Job::new("cached_sync", &format!("round{round}")).with("body", "block:100");
            let (bodies, values, errors) = join_calls(&start_calls(&workers, 8, &job));
            assert_eq!(
                (bodies, values.len(), errors),
                (1, 1, vec![]),
                "on {}",
                store.url()
            );
        }
    });
}
