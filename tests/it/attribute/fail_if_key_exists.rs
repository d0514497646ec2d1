//! A job that must run once, whoever asks for it.

use dspinlock_testkit::{Job, Worker, begin, finish};

use crate::common::store::Store;

#[test]
fn of_a_hundred_callers_one_runs_and_the_others_are_told() {
    for store in Store::each() {
        let workers = Worker::several(4, &store.url());
        for round in 0..50 {
            let job = Job::new("once", &format!("round{round}"));
            let (bodies, values, errors) = finish(&begin(&workers, 25, &job));
            assert_eq!(
                (bodies, values.len(), errors.len()),
                (1, 1, 99),
                "on {}",
                store.url()
            );
            assert!(
                errors.iter().all(|error| error == "FailIfKeyExistsIsEnabled"),
                "{errors:?}"
            );
        }
    }
}

#[test]
fn a_key_that_has_expired_may_run_again() {
    for store in Store::each() {
        let worker = Worker::start(&store.url());
        let job = Job::new("once", "a").with("ttl", 300);
        assert!(worker.call(&job).end().is_ok());
        assert_eq!(
            worker.call(&job).end(),
            Err("FailIfKeyExistsIsEnabled".to_owned())
        );
        std::thread::sleep(std::time::Duration::from_millis(350));
        assert!(worker.call(&job).end().is_ok(), "on {}", store.url());
    }
}

#[test]
fn a_job_that_failed_may_run_again() {
    for store in Store::each() {
        let worker = Worker::start(&store.url());
        let job = Job::new("once", "a");
        assert_eq!(
            worker.call(&job.clone().with("body", "err")).end(),
            Err("Body".to_owned())
        );
        // The abort is sent from the background; it is behind nothing but its own round trip.
        dspinlock_testkit::eventually("the job to run", || worker.call(&job).end().ok());
    }
}
