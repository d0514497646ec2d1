//! How the leaders of a flight share a lock with other processes. A turn is a row of hand-overs from leader to leader, which no
//! other process can interrupt. `flight` calls this module.

use std::mem;
use std::time::Duration;

use crate::rt::sync::Instant;

/// The limits of a turn.
const MAX_HAND_OVERS: u32 = 8;
const MAX_TURN: Duration = Duration::from_millis(10);

/// A process that had a turn lets others that wait take the lock for so long, at each change.
const BACKOFF: Duration = Duration::from_millis(1);

/// The turn of this process, which each leader passes to the next one.
#[derive(Clone, Copy, Default)]
pub(super) struct Turn {
    /// The hand-overs since another process may have had the lock.
    hand_overs: u32,
    /// When the first of them was.
    since: Option<Instant>,
    /// The number of other processes that the leaders have seen since their last turn.
    seen: u32,
    /// The same number before their last turn: so many others probably wait.
    expected: u32,
    /// The turn is over: the next leader lets other processes take the lock before it asks.
    yields: bool,
}

impl Turn {
    /// Counts a hand-over. Returns whether the leadership is passed on: not if the turn is over and no other process is known
    /// to wait.
    pub(super) fn hand_on(&mut self) -> bool {
        self.hand_overs += 1;
        let since = *self.since.get_or_insert_with(Instant::now);
        if self.hand_overs <= MAX_HAND_OVERS && since.elapsed() < MAX_TURN {
            return true;
        }
        *self = Self {
            expected: self.seen,
            yields: self.seen + self.expected > 0,
            ..Self::default()
        };
        self.yields
    }

    /// Whether the turn has just ended, and other processes want the lock.
    pub(super) fn take_yield(&mut self) -> bool {
        mem::take(&mut self.yields)
    }

    /// Another process holds the lock. `is_new`: another one than at the last look.
    pub(super) fn saw_holder(&mut self, is_new: bool) {
        if self.hand_overs > 0 {
            // It took the lock in the middle of the turn, which is over.
            *self = Self {
                expected: self.seen,
                ..Self::default()
            };
        }
        self.seen += u32::from(is_new);
    }

    /// The time for other processes, so that each has a turn before this one has two.
    pub(super) fn backoff(&self) -> Duration {
        match self.seen < self.expected {
            true => BACKOFF,
            false => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands on until the turn is over. Returns the number of hand-overs.
    fn hand_on_all(turn: &mut Turn) -> u32 {
        for hand_overs in 0.. {
            if !turn.hand_on() {
                return hand_overs;
            }
            if turn.take_yield() {
                return hand_overs + 1;
            }
        }
        unreachable!("every turn ends")
    }

    #[test]
    fn a_turn_has_eight_hand_overs() {
        let mut turn = Turn::default();
        turn.saw_holder(true);
        assert_eq!(hand_on_all(&mut turn), MAX_HAND_OVERS + 1, "the last one yields");
        assert!(!turn.take_yield(), "a turn ends once");
        // Another process had the lock: the next turn is as long.
        turn.saw_holder(true);
        assert_eq!(hand_on_all(&mut turn), MAX_HAND_OVERS + 1);
    }

    #[test]
    fn another_process_begins_the_turn_anew() {
        let mut turn = Turn::default();
        assert!((0..MAX_HAND_OVERS).all(|_| turn.hand_on()));
        turn.saw_holder(false);
        assert_eq!(hand_on_all(&mut turn), MAX_HAND_OVERS);
    }

    #[test]
    fn a_process_that_knows_of_no_other_keeps_the_leadership_until_its_last_release_is_answered() {
        let mut turn = Turn::default();
        assert_eq!(hand_on_all(&mut turn), MAX_HAND_OVERS);
        assert_eq!(turn.backoff(), Duration::ZERO);
    }

    /// Otherwise two processes that take the lock from each other would each expect as many others as there were changes.
    #[test]
    fn one_process_that_interrupts_many_turns_is_one_process() {
        let mut turn = Turn::default();
        for _ in 0..50 {
            turn.saw_holder(true);
            assert!(turn.hand_on());
        }
        turn.saw_holder(true);
        hand_on_all(&mut turn);
        assert_eq!(turn.backoff(), BACKOFF);
        turn.saw_holder(true);
        assert_eq!(turn.backoff(), Duration::ZERO);
    }

    #[test]
    fn a_turn_ends_by_time() {
        let mut turn = Turn {
            since: Some(Instant::now()),
            seen: 1,
            ..Turn::default()
        };
        std::thread::sleep(MAX_TURN);
        assert!(turn.hand_on());
        assert!(turn.take_yield());
    }

    #[test]
    fn a_process_backs_off_until_as_many_others_had_their_turn_as_before() {
        let mut turn = Turn::default();
        for _ in 0..3 {
            turn.saw_holder(true);
            turn.saw_holder(false);
        }
        assert_eq!(turn.backoff(), Duration::ZERO, "it had no turn yet");
        hand_on_all(&mut turn);
        for _ in 0..3 {
            assert_eq!(turn.backoff(), BACKOFF);
            turn.saw_holder(false);
            assert_eq!(turn.backoff(), BACKOFF);
            turn.saw_holder(true);
        }
        assert_eq!(turn.backoff(), Duration::ZERO);
    }
}
