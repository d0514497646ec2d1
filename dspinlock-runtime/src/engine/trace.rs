//! The span of a call, and when the call began. `enter` opens it. `call` writes into it how the call was served.

use std::time::Duration;

use tracing::Span;
use tracing::field::Empty;

use crate::key::Key;
use crate::rt::clock::Instant;

/// The record of one call.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    span: Span,
    since: Instant,
}

impl Trace {
    /// A call with a span, if spans are enabled.
    pub(super) fn open(since: Instant, site: &str, key: &Key) -> Self {
        let span = tracing::debug_span!(
            target: "dspinlock",
            "dspinlock.call",
            site,
            key = %key.digits(),
            served = Empty,
            wait_us = Empty,
            compute_us = Empty,
            fence = Empty,
        );
        Self { span, since }
    }

    /// A call without a span: it has not entered the engine.
    pub(crate) fn without_span(since: Instant) -> Self {
        let span = Span::none();
        Self { span, since }
    }

    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    /// The time from the beginning of the call to `later`.
    pub(crate) fn until(&self, later: Instant) -> Duration {
        later - self.since
    }
}
