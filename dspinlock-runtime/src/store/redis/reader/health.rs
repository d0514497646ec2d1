//! Decides, tick by tick, whether a reader is idle, silent or undriven. It does no I/O and reads no clock; `queue` calls it.

/// Ticks of the background in a second.
const SECOND: u32 = 10;
/// How long a reader may be silent while a reply is due. The first tick may follow the request immediately.
const SILENT: u32 = SECOND + 1;
/// Fewer bytes in a tick are no progress.
pub(crate) const MIN_BYTES: u64 = 64;
/// How long a reply may take, and how many bytes buy one more tick: 256 KiB/s.
const REPLY: u32 = 5 * SECOND;
const BYTES_PER_TICK: u64 = 256 * 1024 / SECOND as u64;
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

#[derive(Debug, Default)]
pub(crate) struct Health {
    seen: Progress,
    /// Whether a reply was due at the last tick, which then woke the driver.
    is_woken: bool,
    undriven: u32,
    silent: u32,
    /// The ticks for which the first reply is due, and the bytes that had arrived before them.
    unanswered: u32,
    bytes_before: u64,
    idle: u32,
}

impl Health {
    /// Ticks must be at least 100 ms apart. `is_due` says whether a reply is due; then the caller wakes the driver after
    /// this call.
    pub(crate) fn tick(&mut self, now: Progress, is_due: bool) -> Verdict {
        let is_driven = now.polls != self.seen.polls;
        let count = |ticks: u32, counts: bool| if counts { ticks + 1 } else { 0 };
        self.undriven = count(self.undriven, is_due && self.is_woken && !is_driven);
        let has_moved = now.replies != self.seen.replies || now.bytes >= self.seen.bytes + MIN_BYTES;
        self.silent = count(self.silent, is_due && is_driven && !has_moved);
        self.unanswered = count(self.unanswered, is_due && now.replies == self.seen.replies);
        if self.unanswered == 0 {
            self.bytes_before = now.bytes;
        }
        let bought = (now.bytes - self.bytes_before) / BYTES_PER_TICK;
        let is_late = u64::from(self.unanswered) >= u64::from(REPLY) + bought;
        self.idle = count(self.idle, now.reads == self.seen.reads);
        (self.seen, self.is_woken) = (now, is_due);
        match () {
            () if self.undriven >= UNDRIVEN => Verdict::Close(End::Undriven),
            () if self.undriven > 0 => Verdict::Undriven,
            () if self.silent >= SILENT || is_late => Verdict::Close(End::Silent),
            () if self.idle >= IDLE => Verdict::Close(End::Idle),
            () => Verdict::Healthy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The verdicts other than `Healthy`, with the first tick of each.
    fn verdicts(is_due: bool, progress: impl Fn(u64) -> Progress) -> Vec<(u64, Verdict)> {
        let mut health = Health::default();
        let ticks = (1..=100).map(|tick| (tick, health.tick(progress(tick), is_due)));
        let mut verdicts: Vec<_> = ticks
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
            bytes: tick * BYTES_PER_TICK,
            reads: tick / 50,
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
        assert_eq!(verdicts(true, too_slow)[0], (50, Verdict::Close(End::Silent)));
    }

    #[test]
    fn an_unused_reader_closes_after_ten_seconds_and_not_before() {
        let idle = (100, Verdict::Close(End::Idle));
        assert_eq!(verdicts(false, |_| Progress::default()), [idle]);
    }
}
