//! Many callers, one cold key.

use dspinlock_testkit::{Job, Worker, begin, finish};

use crate::common::store::Store;

const PROCESSES: usize = 8;
const CALLERS: usize = 32;
const ROUNDS: usize = 50;

#[test]
fn eight_processes_of_thirty_two_callers_compute_once_a_round() {
    for store in Store::each() {
        let workers = Worker::several(PROCESSES, &store.url());
        for round in 0..ROUNDS {
            let job = Job::new("cached", &format!("round{round}")).with("body", "sleep:300");
            let calls = begin(&workers, CALLERS, &job);
            let (bodies, values, errors) = finish(&calls);
            assert_eq!(errors, Vec::<String>::new(), "round {round} on {}", store.url());
            assert_eq!((bodies, values.len()), (1, 1), "round {round} on {}", store.url());
        }
    }
}

#[test]
fn threads_of_sync_callers_compute_once_too() {
    for store in Store::each() {
        let workers = Worker::several(4, &store.url());
        for round in 0..5 {
            let job = Job::new("cached_sync", &format!("round{round}")).with("body", "block:100");
            let (bodies, values, errors) = finish(&begin(&workers, 8, &job));
            assert_eq!(
                (bodies, values.len(), errors),
                (1, 1, vec![]),
                "on {}",
                store.url()
            );
        }
    }
}
