//! Decides, tick by tick, whether a connection is dead. It counts ticks instead of elapsed time, because a starved
//! runtime is not a dead connection. It does no I/O; `connection` calls it.

/// How many ticks without a byte are too many while a reply is due. Together they are the response timeout.
pub(crate) const SILENT_TICKS: u32 = 5;
/// How many ticks without a complete reply are too many while bytes arrive: a long value, or pushes.
const UNANSWERED_TICKS: u32 = 4 * SILENT_TICKS;
/// After how many idle ticks the connection gets a `PING`.
const IDLE_TICKS: u32 = 15;

/// The counters of a connection at one tick.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) bytes: u64,
    pub(crate) replies: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Watchdog {
    seen: Progress,
    silent: u32,
    unanswered: u32,
    idle: u32,
}

/// What to do after a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Nothing,
    /// The connection is idle: send a `PING`.
    Ping,
    /// A reply is overdue.
    Close,
}

impl Watchdog {
    /// `is_due` says whether a request waits for its reply.
    pub(crate) fn tick(&mut self, now: Progress, is_due: bool) -> Action {
        let count = |ticks: u32, counts: bool| if counts { ticks + 1 } else { 0 };
        self.silent = count(self.silent, is_due && now.bytes == self.seen.bytes);
        self.unanswered = count(self.unanswered, is_due && now.replies == self.seen.replies);
        self.idle = count(self.idle, !is_due && now == self.seen);
        self.seen = now;
        if self.silent >= SILENT_TICKS || self.unanswered >= UNANSWERED_TICKS {
            return Action::Close;
        }
        if self.idle >= IDLE_TICKS {
            self.idle = 0;
            return Action::Ping;
        }
        Action::Nothing
    }

    /// Whether a reply is due and no byte has arrived since the last tick.
    #[cfg(feature = "cluster")]
    pub(crate) fn is_silent(&self) -> bool {
        self.silent > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(
        watchdog: &mut Watchdog,
        is_due: bool,
        mut progress: impl FnMut(u64) -> Progress,
    ) -> Option<(u64, Action)> {
        (1..=100)
            .map(|tick| (tick, watchdog.tick(progress(tick), is_due)))
            .find(|(_, action)| *action != Action::Nothing)
    }

    #[test]
    fn a_silent_connection_is_closed_when_a_reply_is_due() {
        let still = |_| Progress::default();
        assert_eq!(
            ticks(&mut Watchdog::default(), true, still),
            Some((5, Action::Close))
        );
    }

    #[test]
    fn bytes_without_a_reply_are_not_enough_for_ever() {
        let bytes = |bytes| Progress { bytes, replies: 0 };
        assert_eq!(
            ticks(&mut Watchdog::default(), true, bytes),
            Some((20, Action::Close))
        );
    }

    #[test]
    fn an_idle_connection_is_pinged_and_not_closed() {
        let mut watchdog = Watchdog::default();
        let still = |_| Progress::default();
        for _ in 0..3 {
            assert_eq!(ticks(&mut watchdog, false, still), Some((15, Action::Ping)));
        }
    }

    #[test]
    fn a_connection_that_answers_is_left_alone() {
        let answers = |tick| Progress {
            bytes: tick,
            replies: tick,
        };
        assert_eq!(ticks(&mut Watchdog::default(), true, answers), None);
    }
}
