//! Decides when a caller, which is a runtime or all sync callers, gets a reader. It reads no clock; `reader` calls it.

/// Reads within [`WINDOW`] that are worth a connection. Short-lived runtimes make none.
const READS: u32 = 8;
/// In milliseconds, as all times here.
const WINDOW: u64 = 10_000;
/// How long a caller gets no reader after a useless one. It doubles with each further one.
const BAN: u64 = 10_000;
const MAX_DOUBLINGS: u32 = 6;

#[derive(Debug, Default)]
pub(crate) struct Admission {
    /// Reads without a reader since `since`.
    reads: u32,
    since: u64,
    /// A reader is connecting or open.
    is_admitted: bool,
    banned_until: u64,
    bans: u32,
}

impl Admission {
    /// Counts a read that had no reader. Returns whether to connect one now; then [`ended`](Self::ended) must follow.
    pub(crate) fn admit(&mut self, now: u64) -> bool {
        if self.is_admitted || now < self.banned_until {
            return false;
        }
        if self.reads == 0 || now >= self.since + WINDOW {
            (self.reads, self.since) = (0, now);
        }
        self.reads += 1;
        self.is_admitted = self.reads >= READS;
        self.is_admitted
    }

    /// [`admit`](Self::admit) for a caller that gets a reader with its first read.
    pub(crate) fn admit_at_once(&mut self, now: u64) -> bool {
        if self.is_admitted || now < self.banned_until {
            return false;
        }
        self.is_admitted = true;
        true
    }

    pub(crate) fn is_admitted(&self) -> bool {
        self.is_admitted
    }

    /// The reader has ended. `is_useless`: it could not connect, served nothing, or was not driven.
    pub(crate) fn ended(&mut self, now: u64, is_useless: bool) {
        (self.is_admitted, self.reads) = (false, 0);
        if !is_useless {
            self.bans = 0;
            return;
        }
        self.banned_until = now + (BAN << self.bans);
        self.bans = (self.bans + 1).min(MAX_DOUBLINGS);
    }

    /// Whether nothing needs to be remembered.
    pub(crate) fn is_over(&self, now: u64) -> bool {
        !self.is_admitted && now >= self.since.max(self.banned_until) + WINDOW
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The time at which a caller that reads every `step` milliseconds gets a reader.
    fn admitted(admission: &mut Admission, from: u64, step: usize) -> Option<u64> {
        (from..from + 300_000)
            .step_by(step)
            .find(|now| admission.admit(*now))
    }

    #[test]
    fn eight_reads_within_ten_seconds_get_a_reader() {
        assert_eq!(
            admitted(&mut Admission::default(), 500, 1400),
            Some(500 + 7 * 1400)
        );
        assert_eq!(admitted(&mut Admission::default(), 500, 1500), None);
    }

    #[test]
    fn a_caller_has_one_reader_at_a_time() {
        let mut admission = Admission::default();
        assert_eq!(admitted(&mut admission, 0, 1), Some(7));
        assert_eq!(admitted(&mut admission, 8, 100), None);
        admission.ended(9000, false);
        assert_eq!(admitted(&mut admission, 9000, 1), Some(9007));
    }

    #[test]
    fn after_a_useless_reader_there_is_none_for_ten_seconds_and_then_twice_as_long() {
        let mut admission = Admission::default();
        let mut ended = admitted(&mut admission, 0, 1).expect("a reader");
        for ban in [10_000, 20_000, 40_000] {
            admission.ended(ended, true);
            let next = admitted(&mut admission, ended, 1).expect("a reader");
            assert_eq!(next, ended + ban + 7);
            ended = next;
        }
        admission.ended(ended, false);
        assert_eq!(admitted(&mut admission, ended, 1), Some(ended + 7));
    }

    #[test]
    fn an_entry_is_forgotten_when_its_ban_is_over() {
        let mut admission = Admission::default();
        assert!(!admission.is_over(9_999) && admission.is_over(10_000));
        assert!(admitted(&mut admission, 0, 1).is_some());
        assert!(!admission.is_over(50_000));
        admission.ended(50_000, true);
        assert!(!admission.is_over(69_999) && admission.is_over(70_000));
    }
}
