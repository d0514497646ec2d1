//! The end of a call: the one place that reports how it was served, to `served`, to its span and to the metrics.
//!
//! `steps` and `task` call it. A call that has no enabled span is one event. Nothing reported is an argument or a value, except what a
//! program puts into the name of a block.

use std::borrow::Cow;
use std::time::Duration;

use tracing::Span;

use super::order::Order;
use super::policy::Fate;
use crate::engine::{Permit, Trace};
use crate::pool::flight::Found;
use crate::pool::near_cache::{Near, Written};
use crate::protocol::header::Flag;
use crate::rt::clock::Instant;
use crate::rt::metrics;
use crate::scope::{self, How, Served};

/// The field `served` of a call that ends with an error of the lock, and of one that finds its key busy with `on_busy = skip`.
const FAILED: &str = "failed";
const SKIPPED: &str = "skipped";

/// A value of the near cache.
pub(super) fn near(order: &Order, near: &Near<'_>) {
    scope::record(|| {
        let Written { fence, age } = near.written();
        let how = How::Near;
        Some(Served { how, age, fence })
    });
    let name = How::Near.as_str();
    tracing::debug!(
        target: "dspinlock",
        site = %order.site_name(),
        key = order.key_digits(),
        served = name,
        fence = near.written().fence,
        "a call was served"
    );
    if metrics::ENABLED {
        metrics::call(&order.site_name(), name);
    }
}

/// A stored value or error. `how`: if it is a value.
pub(super) fn found(order: &Order, trace: &Trace, how: How, found: &Found) {
    let served = Served {
        how: match found.flag {
            Flag::Value => how,
            Flag::Error | Flag::ErrorForWaiters => How::ReplayedError,
        },
        age: found.age,
        fence: found.fence(),
    };
    scope::record(|| Some(served));
    let name = served.how.as_str();
    // A call that finds a value does not wait for another one.
    let wait = || (how == How::Followed).then(|| trace.until(Instant::now()));
    if trace.span().is_disabled() {
        tracing::debug!(
            target: "dspinlock",
            site = %order.site_name(),
            key = order.key_digits(),
            served = name,
            wait_us = wait().map(micros),
            fence = served.fence,
            "a call was served"
        );
    } else {
        record(trace.span(), name, wait(), served.fence);
    }
    if metrics::ENABLED {
        let (site, time) = (order.site_name(), trace.until(Instant::now()));
        metrics::call(&site, name);
        match how {
            How::Followed => metrics::wait(&site, time),
            _ => metrics::hit(&site, time),
        }
    }
}

/// The body has run. Without a permit, the lock had failed before.
pub(super) fn computed(permit: Option<&Permit>) {
    computed_under(permit.and_then(Permit::fence));
    let Some(permit) = permit else { return };
    let (trace, name) = (permit.trace(), How::Computed.as_str());
    let (wait, compute) = (trace.until(permit.since()), permit.since().elapsed());
    let fence = permit.fence();
    if trace.span().is_disabled() {
        tracing::debug!(
            target: "dspinlock",
            site = permit.key().site(),
            key = permit.key_digits(),
            served = name,
            wait_us = micros(wait),
            compute_us = micros(compute),
            fence,
            "a call was served"
        );
    } else {
        record(trace.span(), name, Some(wait), fence);
        trace.span().record("compute_us", micros(compute));
    }
    if metrics::ENABLED {
        let key = permit.key();
        metrics::call(key.site(), name);
        metrics::wait(key.site(), wait);
        metrics::compute(key.site(), compute);
    }
}

/// The body of this call has run in another task, which has reported the rest.
pub(super) fn computed_under(fence: Option<u64>) {
    scope::record(|| {
        Some(Served {
            how: How::Computed,
            age: Some(Duration::ZERO),
            fence,
        })
    });
}

/// An error of the lock. The body may still run, without the lock.
pub(super) fn without_value(fate: Fate, site: impl Fn() -> Cow<'static, str>) {
    scope::record(|| None);
    let name = match fate {
        Fate::Skipped => {
            tracing::debug!(target: "dspinlock", site = %site(), served = SKIPPED, "a call was skipped");
            SKIPPED
        }
        Fate::Failed => {
            tracing::debug!(target: "dspinlock", site = %site(), served = FAILED, "a call has failed");
            FAILED
        }
    };
    if metrics::ENABLED {
        metrics::call(&site(), name);
    }
}

fn record(span: &Span, served: &'static str, wait: Option<Duration>, fence: Option<u64>) {
    span.record("served", served);
    if let Some(wait) = wait {
        span.record("wait_us", micros(wait));
    }
    if let Some(fence) = fence {
        span.record("fence", fence);
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
