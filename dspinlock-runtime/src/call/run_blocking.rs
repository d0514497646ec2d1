//! The run of a sync call. `call` and `site_call` call it.

use super::keeping::Keep;
use super::order::Entering;
use super::steps::{Decision, Steps};
use crate::rt::blocking;
use crate::scope;

/// Runs a sync body under the lock, unless another call's result is returned. Blocks the thread.
pub(super) fn run_blocking<R, P, K: Keep<R>>(
    entering: &mut Entering,
    steps: &Steps<R, P, K>,
    body: impl FnOnce() -> R,
) -> R {
    if let Some(outcome) = steps.near_hit(entering) {
        return outcome;
    }
    let permit = loop {
        let entered = blocking::wait(&mut *entering);
        match steps.entered(entering, entered) {
            Decision::Retry => {}
            Decision::Return(outcome) => return outcome,
            Decision::RunBody(permit) => break permit,
        }
    };
    let outcome = match &permit {
        Some(permit) => scope::around_body(|| permit.scope(body)),
        None => scope::around_body(body),
    };
    if let Some(settling) = steps.settle(permit, &outcome) {
        // The caller has its value, whatever becomes of the publish.
        let _ = blocking::wait(settling);
    }
    outcome
}
