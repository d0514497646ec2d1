//! Decides, tick by tick, whether a connection is dead. It does no I/O and reads no clock; `connection` calls it.

use crate::rt::clock::Instant;
use std::time::Duration;

use crate::store::redis::timeouts::transfer_time;

/// How often a connection is checked while a request is in flight.
pub(crate) const TICK: Duration = Duration::from_millis(100);
/// A NAT or a proxy may have dropped a connection that was quiet for so long.
const QUIET: Duration = Duration::from_secs(5);
/// The longest wait for the first byte after the quiet.
const FIRST_BYTE: Duration = Duration::from_millis(500);
/// Ticks that are further apart are late.
const STARVED: Duration = Duration::from_secs(2);
/// An idle connection is asked for its role.
const IDLE: Duration = Duration::from_secs(15);
/// What a connection could not learn at its start is asked again.
const RELEARN: Duration = Duration::from_secs(10);

/// The bytes that a connection has moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Without pushes.
    pub(crate) replied: u64,
    pub(crate) read: u64,
    pub(crate) written: u64,
}

impl Progress {
    /// By how long the bytes that were moved since then extend a time limit.
    pub(crate) fn extension_since(self, earlier: Self) -> Duration {
        let replied = self.replied.saturating_sub(earlier.replied);
        transfer_time(replied + self.written.saturating_sub(earlier.written))
    }
}

/// A request in flight.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    /// When it began, maybe on another connection.
    pub(crate) since: Instant,
    /// When it was sent on this connection.
    pub(crate) at: Instant,
    pub(crate) progress: Progress,
    /// The bytes since then extend its time limit: the oldest request that was in flight was sent then. Its bytes are before
    /// those of this request, also after its reply.
    pub(crate) extended_since: Progress,
}

/// What to do after a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Nothing,
    /// The connection is idle, or has something to learn: send `INFO`.
    Learn,
    /// No byte came after a long quiet: the connection may be dead.
    Replace,
    /// A reply is overdue.
    Close,
}

#[derive(Debug)]
pub(crate) struct Watchdog {
    response: Duration,
    read: u64,
    /// When a byte arrived last, to the precision of a tick.
    read_at: Instant,
    asked_at: Instant,
    ticked_at: Instant,
    /// The last tick was late: replies may have arrived that were not read yet.
    was_starved: bool,
}

impl Watchdog {
    /// `response` is the time limit of a request.
    pub(crate) fn new(response: Duration, now: Instant) -> Self {
        Self {
            response,
            read: 0,
            read_at: now,
            asked_at: now,
            ticked_at: now,
            was_starved: false,
        }
    }

    /// `head` is the oldest request in flight. `knows_all`: there is nothing to learn.
    pub(crate) fn tick(
        &mut self,
        now: Instant,
        progress: Progress,
        head: Option<Sent>,
        knows_all: bool,
    ) -> Action {
        if progress.read != self.read {
            (self.read, self.read_at) = (progress.read, now);
        }
        // The process was starved, or the machine suspended.
        self.was_starved = now.saturating_duration_since(self.ticked_at) > STARVED;
        self.ticked_at = now;
        match head {
            Some(_) if self.was_starved => Action::Nothing,
            Some(head) => match self.check(now, progress, head) {
                Action::Nothing if !knows_all => self.idle(now, knows_all),
                action => action,
            },
            None => self.idle(now, knows_all),
        }
    }

    /// Whether a request that began at `since` must fail at this tick, because earlier attempts have used up its time. It says
    /// nothing about the connection. The bytes before it extend its time, so they count from the oldest request on.
    pub(crate) fn is_overdue(&self, now: Instant, progress: Progress, head: Sent, since: Instant) -> bool {
        !self.was_starved && self.is_over(now.saturating_duration_since(since), progress, head)
    }

    fn is_over(&self, waited: Duration, progress: Progress, head: Sent) -> bool {
        let extension = progress.extension_since(head.extended_since);
        waited >= self.response.saturating_add(extension)
    }

    fn check(&self, now: Instant, progress: Progress, head: Sent) -> Action {
        let waited = now.saturating_duration_since(head.at);
        if self.is_over(waited, progress, head) {
            return Action::Close;
        }
        let is_after_quiet = head.at.saturating_duration_since(self.read_at) >= QUIET;
        if is_after_quiet && waited >= FIRST_BYTE {
            return Action::Replace;
        }
        Action::Nothing
    }

    fn idle(&mut self, now: Instant, knows_all: bool) -> Action {
        let (since, pause) = match knows_all {
            true => (self.asked_at.max(self.read_at), IDLE),
            false => (self.asked_at, RELEARN),
        };
        if now.saturating_duration_since(since) < pause {
            return Action::Nothing;
        }
        self.asked_at = now;
        Action::Learn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESPONSE: Duration = Duration::from_secs(5);

    /// Ticks until something happens. `read` gives the bytes that have arrived after so many milliseconds.
    fn first_action(sent_after: u64, read: impl Fn(u64) -> u64) -> Option<(u64, Action)> {
        let start = Instant::now();
        let mut watchdog = Watchdog::new(RESPONSE, start);
        let at = start + Duration::from_millis(sent_after);
        let sent = Sent {
            since: at,
            at,
            progress: Progress::default(),
            extended_since: Progress::default(),
        };
        (sent_after..sent_after + 60_000).step_by(100).find_map(|at| {
            let read = read(at);
            let progress = Progress {
                replied: read,
                read,
                written: 0,
            };
            let now = start + Duration::from_millis(at);
            match watchdog.tick(now, progress, Some(sent), true) {
                Action::Nothing => None,
                action => Some((at, action)),
            }
        })
    }

    #[test]
    fn a_mute_or_dripping_server_is_given_up_at_the_deadline() {
        assert_eq!(first_action(0, |_| 0), Some((5000, Action::Close)));
        assert_eq!(first_action(0, |at| at / 1000), Some((5000, Action::Close)));
    }

    #[test]
    fn a_long_reply_that_makes_progress_is_not_given_up() {
        assert_eq!(first_action(0, |at| at * 400), None);
    }

    #[test]
    fn a_connection_that_stays_silent_after_a_quiet_time_is_replaced() {
        assert_eq!(first_action(30_000, |_| 0), Some((30_500, Action::Replace)));
        assert_eq!(first_action(4_000, |_| 0), Some((9_000, Action::Close)));
    }

    #[test]
    fn a_request_whose_first_attempt_took_its_time_is_overdue_on_a_good_connection() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut watchdog = Watchdog::new(RESPONSE, start);
        let request = Sent {
            since: start,
            at: at(4000),
            progress: Progress::default(),
            extended_since: Progress::default(),
        };
        let mut tick = |ms, replied| {
            let progress = Progress {
                replied,
                read: replied,
                written: 0,
            };
            let action = watchdog.tick(at(ms), progress, Some(request), true);
            (action, watchdog.is_overdue(at(ms), progress, request, start))
        };
        assert_eq!(tick(4900, 0), (Action::Nothing, false));
        assert_eq!(tick(5000, 0), (Action::Nothing, true));
        assert_eq!(
            tick(6000, 1 << 20),
            (Action::Nothing, false),
            "the bytes take four seconds"
        );
    }

    #[test]
    fn a_request_behind_a_long_one_has_the_time_of_both() {
        let start = Instant::now();
        let mut watchdog = Watchdog::new(RESPONSE, start);
        // The operating system has taken all bytes at once.
        let progress = Progress {
            written: 4 << 20,
            ..Progress::default()
        };
        let long = Sent {
            since: start,
            at: start,
            progress: Progress::default(),
            extended_since: Progress::default(),
        };
        let mut is_overdue = |seconds| {
            let now = start + Duration::from_secs(seconds);
            let action = watchdog.tick(now, progress, Some(long), true);
            action == Action::Close || watchdog.is_overdue(now, progress, long, start)
        };
        assert_eq!((0..100).find(|seconds| is_overdue(*seconds)), Some(70));
    }

    #[test]
    fn a_reply_may_arrive_after_the_machine_was_suspended() {
        let start = Instant::now();
        let mut watchdog = Watchdog::new(RESPONSE, start);
        let sent = Sent {
            since: start,
            at: start,
            progress: Progress::default(),
            extended_since: Progress::default(),
        };
        let mut tick = |seconds| {
            let now = start + Duration::from_millis(seconds);
            let action = watchdog.tick(now, Progress::default(), Some(sent), true);
            (action, watchdog.is_overdue(now, Progress::default(), sent, start))
        };
        assert_eq!(tick(12_000), (Action::Nothing, false));
        assert_eq!(tick(12_100), (Action::Close, true));
    }

    #[test]
    fn a_busy_connection_learns_what_is_missing() {
        let start = Instant::now();
        let mut watchdog = Watchdog::new(RESPONSE, start);
        let learns = |at: &u64| {
            let now = start + Duration::from_secs(*at);
            let progress = Progress::default();
            let head = Some(Sent {
                since: now,
                at: now,
                progress,
                extended_since: progress,
            });
            watchdog.tick(now, progress, head, false) == Action::Learn
        };
        assert_eq!((0..60).find(learns), Some(10));
    }

    #[test]
    fn an_idle_connection_learns_its_role_and_what_is_missing_sooner() {
        for (knows_all, expected) in [(true, 15), (false, 10)] {
            let start = Instant::now();
            let mut watchdog = Watchdog::new(RESPONSE, start);
            let learns = |at: &u64| {
                let now = start + Duration::from_secs(*at);
                watchdog.tick(now, Progress::default(), None, knows_all) == Action::Learn
            };
            assert_eq!((0..60).find(learns), Some(expected));
        }
    }
}
