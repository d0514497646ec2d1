//! `fail_if_key_exists`: a job that runs once.

use dspinlock_testkit::{Job, Worker, join_calls, start_calls};

use crate::common::store::Store;

#[test]
fn of_a_hundred_callers_one_runs_and_the_others_fail() {
    for store in Store::each() {
        let workers = Worker::start_many(4, &store.url());
        for round in 0..50 {
            let job = Job::new("once", &format!("round{round}"));
            let (bodies, values, errors) = join_calls(&start_calls(&workers, 25, &job));
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
fn a_job_runs_again_after_its_ttl() {
    for store in Store::each() {
        let worker = Worker::start(&store.url());
        let job = Job::new("once", "a").with("ttl", 300);
        assert!(worker.call(&job).result().is_ok());
        assert_eq!(
            worker.call(&job).result(),
            Err("FailIfKeyExistsIsEnabled".to_owned())
        );
        std::thread::sleep(std::time::Duration::from_millis(350));
        assert!(worker.call(&job).result().is_ok(), "on {}", store.url());
    }
}

#[test]
fn a_failed_job_runs_again() {
    for store in Store::each() {
        let worker = Worker::start(&store.url());
        let job = Job::new("once", "a");
        assert_eq!(
            worker.call(&job.clone().with("body", "err")).result(),
            Err("Body".to_owned())
        );
        // The background thread sends the abort.
        dspinlock_testkit::eventually("the job to run", || worker.call(&job).result().ok());
    }
}
