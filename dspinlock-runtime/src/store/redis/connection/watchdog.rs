//! Decides, tick by tick, whether a connection is dead. It does no I/O and reads no clock; `connection` calls it.

use crate::rt::clock::Instant;
use std::time::Duration;

/// How often a connection is checked while a request is in flight.
pub(crate) const TICK: Duration = Duration::from_millis(100);
/// A request may take longer by the time that the bytes of its connection need at this rate: 256 KiB/s.
const BYTES_PER_MILLISECOND: u64 = 256 * 1024 / 1000;
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
    fn moved_since(self, earlier: Self) -> u64 {
        let replied = self.replied.saturating_sub(earlier.replied);
        replied + self.written.saturating_sub(earlier.written)
    }
}

/// A request in flight.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) at: Instant,
    pub(crate) progress: Progress,
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
        let paused = now.saturating_duration_since(self.ticked_at);
        self.ticked_at = now;
        match head {
            // The process was starved, or the machine suspended: the reply may have arrived in this time.
            Some(_) if paused > STARVED => Action::Nothing,
            Some(head) => match self.check(now, progress, head) {
                Action::Nothing if !knows_all => self.idle(now, knows_all),
                action => action,
            },
            None => self.idle(now, knows_all),
        }
    }

    fn check(&self, now: Instant, progress: Progress, head: Sent) -> Action {
        let waited = now.saturating_duration_since(head.at);
        let moved = progress.moved_since(head.progress);
        if waited >= self.response + Duration::from_millis(moved / BYTES_PER_MILLISECOND) {
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
        let sent = Sent {
            at: start + Duration::from_millis(sent_after),
            progress: Progress::default(),
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
    fn a_reply_may_arrive_after_the_machine_was_suspended() {
        let start = Instant::now();
        let mut watchdog = Watchdog::new(RESPONSE, start);
        let sent = Sent {
            at: start,
            progress: Progress::default(),
        };
        let mut tick = |seconds| {
            let now = start + Duration::from_millis(seconds);
            watchdog.tick(now, Progress::default(), Some(sent), true)
        };
        assert_eq!(tick(12_000), Action::Nothing);
        assert_eq!(tick(12_100), Action::Close);
    }

    #[test]
    fn a_busy_connection_learns_what_is_missing() {
        let start = Instant::now();
        let mut watchdog = Watchdog::new(RESPONSE, start);
        let learns = |at: &u64| {
            let now = start + Duration::from_secs(*at);
            let progress = Progress::default();
            let head = Some(Sent { at: now, progress });
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
