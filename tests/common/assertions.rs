//! Assertions that several tests share.

use dspinlock_testkit::{Call, Job, Worker};

/// Opens the gate of a body whose lease is lost and whose value is `old`.
///
/// Its caller gets `old`, and the value is not stored: the next call, in `worker`, computes.
#[track_caller]
pub(crate) fn assert_publish_is_lost(held: &Call<'_>, worker: &Worker, job: &Job) {
    held.open_gate();
    assert_eq!(
        held.result().as_deref(),
        Ok("old"),
        "the caller does not get its own value"
    );
    let next = worker.call(&job.clone().with("value", "new"));
    assert_eq!(
        next.outcome(),
        (1, Ok("new".to_owned())),
        "the lost result was stored"
    );
}
