//! Decides, tick by tick, whether a reader is idle, silent or undriven. It does no I/O and reads no clock; `queue` calls it.

use std::time::Duration;

use crate::store::redis::timeouts::transfer_time;

/// The time between two ticks of the background.
const TICK: Duration = Duration::from_millis(100);
/// Ticks in a second.
const SECOND: u32 = 10;
/// How long a reader may be silent while a reply is due, if the time limit of a request is long.
const SILENT: Duration = Duration::from_secs(1);
/// Fewer bytes in a tick are no progress.
pub(crate) const MIN_BYTES: u64 = 64;
/// How long an undriven reader is kept.
const UNDRIVEN: u32 = 5 * SECOND;
/// How long an unused reader is kept.
const IDLE: u32 = 10 * SECOND;

/// The counters of a reader at one tick. They only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) bytes: u64,
    pub(crate) reads: u64,
    pub(crate) replies: u64,
    /// How often the driver was polled.
    pub(crate) polls: u64,
}

/// When a read was sent: the older one is less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sent {
    /// The number of ticks before it.
    ticks: u64,
    /// The bytes that had arrived before it.
    pub(crate) bytes: u64,
}

/// Why a reader is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Nobody reads.
    Idle,
    /// It is driven, and the server sends nothing, or too slowly.
    Silent,
    /// Its runtime does not poll the driver.
    Undriven,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Healthy,
    /// The driver was not polled since the last tick woke it. The waiting reads must not wait for it.
    Undriven,
    Close(End),
}

#[derive(Debug)]
pub(crate) struct Health {
    /// The time limit of a request.
    response: Duration,
    /// The number of ticks.
    ticks: u64,
    seen: Progress,
    /// Whether a reply was due at the last tick, which then woke the driver.
    is_woken: bool,
    undriven: u32,
    silent: u32,
    idle: u32,
}

impl Health {
    pub(crate) fn new(response: Duration) -> Self {
        Self {
            response,
            ticks: 0,
            seen: Progress::default(),
            is_woken: false,
            undriven: 0,
            silent: 0,
            idle: 0,
        }
    }

    /// A read that is sent now, after so many bytes have arrived.
    pub(crate) fn sent(&self, bytes: u64) -> Sent {
        Sent {
            ticks: self.ticks,
            bytes,
        }
    }

    /// Ticks must be at least 100 ms apart. `oldest` is the first read whose reply is due, if any; then the caller wakes the
    /// driver after this call.
    pub(crate) fn tick(&mut self, now: Progress, oldest: Option<Sent>) -> Verdict {
        self.ticks += 1;
        let is_due = oldest.is_some();
        let is_driven = now.polls != self.seen.polls;
        let count = |ticks: u32, counts: bool| if counts { ticks + 1 } else { 0 };
        self.undriven = count(self.undriven, is_due && self.is_woken && !is_driven);
        let has_moved = now.replies != self.seen.replies || now.bytes >= self.seen.bytes + MIN_BYTES;
        self.silent = count(self.silent, is_due && is_driven && !has_moved);
        let is_late = oldest.is_some_and(|sent| self.is_late(sent, now.bytes));
        self.idle = count(self.idle, !is_due && now.reads == self.seen.reads);
        (self.seen, self.is_woken) = (now, is_due);
        match () {
            () if self.undriven >= UNDRIVEN => Verdict::Close(End::Undriven),
            () if self.undriven > 0 => Verdict::Undriven,
            // The first tick may follow the request immediately.
            () if TICK * self.silent > silence(self.response) || is_late => Verdict::Close(End::Silent),
            () if self.idle >= IDLE => Verdict::Close(End::Idle),
            () => Verdict::Healthy,
        }
    }

    fn is_late(&self, sent: Sent, bytes: u64) -> bool {
        let ticks = u32::try_from(self.ticks - sent.ticks).unwrap_or(u32::MAX);
        let extension = transfer_time(bytes.saturating_sub(sent.bytes));
        TICK * ticks > self.response.saturating_add(extension)
    }
}

/// How long a reader may be silent: the connection for steps needs the rest of the time limit of a request.
pub(crate) fn silence(response: Duration) -> Duration {
    SILENT.min(response / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESPONSE: Duration = Duration::from_secs(5);

    /// The verdicts other than `Healthy`, with the first tick of each.
    fn verdicts(is_due: bool, progress: impl Fn(u64) -> Progress) -> Vec<(u64, Verdict)> {
        verdicts_of(RESPONSE, is_due, progress)
    }

    /// The next read is sent when the last one has its reply.
    fn verdicts_of(
        response: Duration,
        is_due: bool,
        progress: impl Fn(u64) -> Progress,
    ) -> Vec<(u64, Verdict)> {
        let mut health = Health::new(response);
        let (mut oldest, mut replies) = (health.sent(0), 0);
        let mut verdict = |tick| {
            let now = progress(tick);
            if now.replies != replies {
                (oldest, replies) = (health.sent(now.bytes), now.replies);
            }
            (tick, health.tick(now, is_due.then_some(oldest)))
        };
        let mut verdicts: Vec<_> = (1..=100)
            .map(&mut verdict)
            .filter(|(_, verdict)| *verdict != Verdict::Healthy)
            .collect();
        verdicts.dedup_by_key(|(_, verdict)| *verdict);
        verdicts
    }

    fn driven(tick: u64) -> Progress {
        Progress {
            polls: tick,
            ..Progress::default()
        }
    }

    #[test]
    fn a_reader_is_undriven_after_one_tick_and_closes_after_five_seconds() {
        assert_eq!(
            verdicts(true, |_| Progress::default()),
            [(2, Verdict::Undriven), (51, Verdict::Close(End::Undriven))]
        );
    }

    #[test]
    fn a_driven_reader_that_gets_no_byte_closes_after_a_second() {
        assert_eq!(verdicts(true, driven)[0], (11, Verdict::Close(End::Silent)));
        let dripping = |tick| Progress {
            bytes: tick,
            ..driven(tick)
        };
        assert_eq!(verdicts(true, dripping)[0], (11, Verdict::Close(End::Silent)));
    }

    #[test]
    fn a_slow_reader_is_kept() {
        let slow = |tick| Progress {
            bytes: tick / 10 * MIN_BYTES,
            reads: tick / 40,
            replies: tick / 40,
            polls: tick,
        };
        assert_eq!(verdicts(true, slow), []);
        let long_reply = |tick| Progress {
            bytes: tick * 256 * 1024 / 10,
            ..driven(tick)
        };
        assert_eq!(verdicts(true, long_reply), []);
        let short_replies = |tick| Progress {
            bytes: tick,
            reads: tick,
            replies: tick / 10,
            polls: tick,
        };
        assert_eq!(verdicts(true, short_replies), []);
    }

    #[test]
    fn a_reader_whose_reply_comes_too_slowly_closes_after_five_seconds() {
        let too_slow = |tick| Progress {
            bytes: tick * MIN_BYTES,
            ..driven(tick)
        };
        assert_eq!(verdicts(true, too_slow)[0], (51, Verdict::Close(End::Silent)));
    }

    #[test]
    fn a_short_time_limit_leaves_half_of_it_for_the_steps() {
        let short =
            |progress: fn(u64) -> Progress| verdicts_of(Duration::from_millis(500), true, progress)[0];
        assert_eq!(short(driven), (3, Verdict::Close(End::Silent)));
        let too_slow = |tick| Progress {
            bytes: tick * MIN_BYTES,
            ..driven(tick)
        };
        assert_eq!(short(too_slow), (6, Verdict::Close(End::Silent)));
    }

    #[test]
    fn a_read_behind_many_late_ones_closes_the_reader() {
        // Each reply is in time for its own read, but the oldest read waits too long.
        let mut health = Health::new(RESPONSE);
        let oldest = health.sent(0);
        let late = (1..=100).find(|tick| {
            let now = Progress {
                replies: tick / 5,
                ..driven(*tick)
            };
            health.tick(now, Some(oldest)) != Verdict::Healthy
        });
        assert_eq!(late, Some(51));
    }

    #[test]
    fn an_unused_reader_closes_after_ten_seconds_and_not_before() {
        let idle = (100, Verdict::Close(End::Idle));
        assert_eq!(verdicts(false, |_| Progress::default()), [idle]);
    }
}
