//! Which errors of the store a waiting call outlasts.
//!
//! `acquire` calls it. It is pure: it reads no clock and does no I/O.

use std::time::Duration;

use crate::error::{Error, StoreFailure};
use crate::rt::clock::Instant;

/// How long a waiting call tolerates a store that refuses to write. The store may be in a failover, or short of memory for a
/// moment.
const REFUSED_FOR: Duration = Duration::from_secs(5);

/// The failures of one waiting call since its last reply.
#[derive(Debug, Default)]
pub(super) struct Failures {
    /// When the store began to refuse.
    refused_since: Option<Instant>,
}

impl Failures {
    /// The store has replied.
    pub(super) fn succeeded(&mut self) {
        self.refused_since = None;
    }

    /// Whether the call tries again after this error. A permission is not granted by waiting for it.
    pub(super) fn may_pass(&mut self, error: &Error, now: Instant) -> bool {
        match error {
            Error::Store {
                reason: StoreFailure::Unavailable(code),
                ..
            } if !is_outage(code) => return self.refuses(now),
            Error::RedisNotInitialized { .. } | Error::EmbeddedNotInitialized { .. } => {}
            Error::Store {
                reason: StoreFailure::Timeout | StoreFailure::Disconnected | StoreFailure::Unavailable(_),
                ..
            } => {}
            _ => return false,
        }
        // Refusals before an outage do not count: another server may be the master now.
        self.refused_since = None;
        true
    }

    fn refuses(&mut self, now: Instant) -> bool {
        let since = *self.refused_since.get_or_insert(now);
        now.saturating_duration_since(since) < REFUSED_FOR
    }
}

/// Whether the server cannot execute anything now, so that it says nothing about this call.
fn is_outage(code: &str) -> bool {
    matches!(
        code,
        "LOADING" | "BUSY" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::KeyName;

    fn error(reason: StoreFailure) -> Error {
        Error::Store {
            operation: "acquire",
            key: KeyName::new("", "key"),
            reason,
        }
    }

    /// How long the call tries again, looking once a second for a minute.
    fn tolerated(reason: StoreFailure) -> usize {
        let (mut failures, error, start) = (Failures::default(), error(reason), Instant::now());
        (0..60)
            .take_while(|second| failures.may_pass(&error, start + Duration::from_secs(*second)))
            .count()
    }

    #[test]
    fn a_refusal_ends_a_waiting_call() {
        assert_eq!(tolerated(StoreFailure::PermissionDenied("evalsha".into())), 0);
        assert_eq!(tolerated(StoreFailure::Refused("ERR".into())), 0);
        for code in ["READONLY", "OOM", "MISCONF", "NOREPLICAS"] {
            assert_eq!(tolerated(StoreFailure::Unavailable(code.into())), 5, "{code}");
        }
    }

    #[test]
    fn an_outage_is_outlasted() {
        assert_eq!(tolerated(StoreFailure::Timeout), 60);
        assert_eq!(tolerated(StoreFailure::Disconnected), 60);
        for code in ["LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN"] {
            assert_eq!(tolerated(StoreFailure::Unavailable(code.into())), 60, "{code}");
        }
    }

    #[test]
    fn a_reply_between_two_refusals_restarts_the_five_seconds() {
        let (mut failures, start) = (Failures::default(), Instant::now());
        let readonly = error(StoreFailure::Unavailable("READONLY".into()));
        assert!(failures.may_pass(&readonly, start));
        failures.succeeded();
        assert!(failures.may_pass(&readonly, start + Duration::from_secs(6)));
    }
}
