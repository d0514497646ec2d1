//! A body that is not polled by its caller alone: `detach` runs it as a task, and `on_lease_lost = cancel` stops it. `call` creates
//! these futures.

use std::future::poll_fn;
use std::panic::resume_unwind;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Handle;
use tracing::Instrument;

use super::ended;
use super::future::Run;
use super::keeping::Keep;
use super::order::Entering;
use super::steps::{Decision, Steps};
use crate::engine::Permit;
use crate::error::Error;
use crate::lease::current::Frame;
use crate::pool::Pool;
use crate::rt::timers::Timers;

/// What `detach` needs of the body's future and of its result: the task of the body may outlive the call and may run on any
/// thread.
#[diagnostic::on_unimplemented(
    message = "`detach` needs values that are `Send + 'static`, but `{Self}` is not",
    label = "this value moves to a task, which may outlive the call",
    note = "take and return owned values that are `Send`, such as `Arc<Self>`, or remove `detach`"
)]
pub trait Detachable: Send + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Send + 'static> Detachable for T {}

/// The way of a call to its body.
async fn enter<R, P, K: Keep<R>>(steps: &Steps<R, P, K>, entering: &mut Entering) -> Entered<R> {
    if let Some(outcome) = steps.near_hit(entering) {
        return Entered::Return(outcome);
    }
    loop {
        let entered = Pin::new(&mut *entering).await;
        match steps.entered(entering, entered) {
            Decision::Retry => {}
            Decision::Return(outcome) => return Entered::Return(outcome),
            Decision::RunBody(permit) => return Entered::RunBody(permit),
        }
    }
}

enum Entered<R> {
    Return(R),
    RunBody(Option<Box<Permit>>),
}

/// Runs the body as a task of the current runtime, which goes on if the call is dropped.
pub(super) async fn detached<F, R, P, K>(mut entering: Entering, steps: Steps<R, P, K>, body: F) -> R
where
    F: Future<Output = R> + Detachable,
    R: Detachable,
    P: Clone + Send + 'static,
    K: Keep<R> + Send + 'static,
{
    let Ok(runtime) = Handle::try_current() else {
        let reason = "`detach` needs a tokio runtime, because the body is a task of it: call the function inside of one";
        let error = Error::option(reason).at(&entering.site());
        return match steps.on_error(&entering.order, error) {
            Some(outcome) => outcome,
            None => {
                #[cfg(feature = "testing")]
                entering.count_body();
                Run::with_permit(None, steps, body).await
            }
        };
    };
    let call = Frame::of_call();
    let mut permit = match enter(&steps, &mut entering).await {
        Entered::Return(outcome) => return outcome,
        Entered::RunBody(permit) => permit,
    };
    if let (Some(call), Some(permit)) = (&call, &mut permit) {
        permit.called_by(call);
    }
    let key = entering.key_name();
    // A body without a lease blocks nobody.
    let fence = permit.as_ref().and_then(|permit| permit.fence());
    let has_lease = permit.as_ref().is_some_and(|permit| permit.has_lease());
    let limit = has_lease.then(|| entering.max_block_time());
    let timers = entering.order.timers();
    let run = Run::with_permit(permit, steps.clone(), body);
    let pool = Pool::chosen();
    let body = async move {
        match pool {
            Some(pool) => pool.scope(stopped_after(limit, timers, run)).await,
            None => stopped_after(limit, timers, run).await,
        }
    };
    let outcome = runtime.spawn(body.in_current_span()).await;
    // Until here the calling body waits.
    drop(call);
    match outcome {
        Ok(Some(outcome)) => {
            ended::computed_under(fence);
            outcome
        }
        Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
        // The body was stopped, or the runtime ends.
        Ok(None) | Err(_) => steps.fail(&entering.order, Error::LeaseLost { key }),
    }
}

/// Drops the body after the limit, which aborts the lock. A result that is being published is not stopped.
async fn stopped_after<F, R, P, K>(limit: Option<Duration>, timers: Timers, run: Run<F, R, P, K>) -> Option<R>
where
    F: Future<Output = R>,
    K: Keep<R>,
{
    let Some(limit) = limit else {
        return Some(run.await);
    };
    stopped_by(timers.sleep(limit), run).await
}

/// Polls a call until `stop` resolves while its body runs.
async fn stopped_by<F, R, P, K>(stop: impl Future<Output = ()>, run: Run<F, R, P, K>) -> Option<R>
where
    F: Future<Output = R>,
    K: Keep<R>,
{
    let (mut stop, mut run) = (pin!(stop), pin!(run));
    poll_fn(
        |context| match run.is_in_body() && stop.as_mut().poll(context).is_ready() {
            true => Poll::Ready(None),
            false => run.as_mut().poll(context).map(Some),
        },
    )
    .await
}

/// Drops the body if the lease is lost. A cached call then waits for the result of the new holder.
pub(super) async fn cancelled<F, R, P, K>(mut entering: Entering, steps: Steps<R, P, K>, body: F) -> R
where
    F: Future<Output = R>,
    P: Clone,
    K: Keep<R>,
{
    let permit = match enter(&steps, &mut entering).await {
        Entered::Return(outcome) => return outcome,
        Entered::RunBody(permit) => permit,
    };
    let lost = permit.as_ref().and_then(|permit| permit.loss());
    let run = Run::with_permit(permit, steps.clone(), body);
    let outcome = match lost {
        Some(lost) => stopped_by(lost, run).await,
        None => Some(run.await),
    };
    match outcome {
        Some(outcome) => outcome,
        None => {
            let witnessed = entering.witness().await;
            steps.witnessed(&entering.order, witnessed)
        }
    }
}
