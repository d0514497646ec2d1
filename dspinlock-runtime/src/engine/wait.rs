//! How long a call waits for the result of another call, and when it takes over a stale key.
//!
//! `acquire` and `follow` call it. It is pure: it reads no clock and does no I/O.

use std::time::Duration;

use bytes::Bytes;

use crate::options::Options;
use crate::protocol::Existing;
use crate::protocol::state::State;
use crate::rt::clock::Instant;

/// The same stale bytes must be seen for this long before a key is taken over. A holder whose clock was wrong when it wrote
/// its timestamp has this time to renew or release.
const STALE_AFTER: Duration = Duration::from_secs(5);

/// The pauses after looks that found nothing new. A server with a small `tracking-table-max-keys` pushes an invalidation after
/// each look, and the embedded store wakes every waiter at each change of its file.
const MIN_PAUSE: Duration = Duration::from_millis(1);
const MAX_PAUSE: Duration = Duration::from_millis(50);

/// After so long without a wake-up the pauses begin anew.
const QUIET: Duration = Duration::from_millis(100);

/// The longest sleep after the store has failed.
const RETRY_AFTER: Duration = Duration::from_millis(250);

/// How one call waits for one key.
#[derive(Debug, Clone)]
pub(super) struct WaitPolicy {
    /// The longest sleep between two tries.
    max_sleep: Duration,
    /// The total time to wait; `None` is unlimited.
    budget: Option<Duration>,
    max_block: Duration,
    /// When the call began to wait.
    since: Option<Instant>,
    /// The bytes of the last state, and when they were first seen.
    seen: Option<(Bytes, Instant)>,
    /// The pause after the last look.
    pause: Duration,
    /// How long the call slept after its last pause, until it was woken.
    slept: Option<Duration>,
}

/// What a waiting call does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Try again after this time, or when woken.
    Sleep(Duration),
    /// Send an ACQUIRE that replaces the holder with these bytes.
    TakeOver(Bytes),
    /// Fail: the call has waited this long.
    TimedOut(Duration),
}

impl WaitPolicy {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            max_sleep: options.spinlock_sleep_thresh,
            budget: options.budget(),
            max_block: options.max_block_time,
            since: None,
            seen: None,
            pause: Duration::ZERO,
            slept: None,
        }
    }

    /// Another caller holds the key.
    pub(super) fn busy(&mut self, now: Instant, existing: &Existing) -> Next {
        let first_seen = self.see(now, existing);
        if self.is_stale(now - first_seen, existing) {
            // A store that still has the same bytes afterwards has refused the takeover: the next one is not sent at once.
            self.seen = Some((existing.line.clone(), now));
            return Next::TakeOver(existing.line.clone());
        }
        // Servers push an expiry late, so the call does not wait for the push.
        let expiry = existing.remaining.map_or(Duration::MAX, |remaining| {
            Duration::from_millis(remaining.saturating_add(1))
        });
        self.sleep(now, expiry)
    }

    /// The store failed for a call that was waiting.
    pub(super) fn failed(&mut self, now: Instant) -> Next {
        self.sleep(now, RETRY_AFTER)
    }

    /// The part of the next sleep that no change of the key ends.
    pub(super) fn pause(&self) -> Duration {
        self.pause
    }

    /// The call was woken so long after its pause.
    pub(super) fn woken(&mut self, slept: Duration) {
        self.slept = Some(slept);
    }

    /// The call follows another call of this process.
    pub(super) fn following(&mut self, now: Instant) -> Next {
        self.sleep(now, Duration::MAX)
    }

    /// Whether the call has seen another holder of the key.
    pub(super) fn has_seen_holder(&self) -> bool {
        self.seen.is_some()
    }

    /// Sleeps at most the rest of the budget. A wake-up does not count as a try.
    fn sleep(&mut self, now: Instant, at_most: Duration) -> Next {
        let waited = now - *self.since.get_or_insert(now);
        let rest = self
            .budget
            .map_or(Duration::MAX, |budget| budget.saturating_sub(waited));
        if rest.is_zero() {
            Next::TimedOut(waited)
        } else {
            Next::Sleep(self.max_sleep.min(at_most).min(rest))
        }
    }

    /// Records the state that a look found, and chooses the pause after it. Returns when this state was first seen.
    fn see(&mut self, now: Instant, existing: &Existing) -> Instant {
        let known = self.seen.as_ref().filter(|(line, _)| *line == existing.line);
        let first_seen = known.map(|(_, first_seen)| *first_seen);
        self.pause = match (first_seen, self.slept.take()) {
            (Some(_), Some(slept)) if slept < QUIET => (self.pause * 2).clamp(MIN_PAUSE, MAX_PAUSE),
            // No wake-up preceded this look: the call begins to wait, or looks again after a failure.
            (Some(_), None) => self.pause,
            _ => Duration::ZERO,
        };
        first_seen.unwrap_or_else(|| {
            self.seen = Some((existing.line.clone(), now));
            now
        })
    }

    /// A state is stale if its timestamp is older than `max_block_time` by the store's clock and its bytes have not changed
    /// for [`STALE_AFTER`], or if they have not changed for `max_block_time`. The latter covers timestamps in the future.
    fn is_stale(&self, seen: Duration, existing: &Existing) -> bool {
        let Ok(state) = State::parse(&existing.line) else {
            return false;
        };
        let age = i64::try_from(existing.now)
            .unwrap_or(i64::MAX)
            .saturating_sub(state.timestamp);
        let age = Duration::from_micros(u64::try_from(age).unwrap_or(0));
        seen >= STALE_AFTER && age > self.max_block || seen > self.max_block.max(STALE_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Wait;

    const NOW: u64 = 1_795_416_240_000_000;

    fn busy(age: Duration, remaining: Option<u64>) -> Existing {
        let timestamp = NOW as i64 - age.as_micros() as i64;
        let raw = State {
            tag: "t",
            timestamp,
            computed: false,
        }
        .to_string()
        .into();
        Existing {
            line: raw,
            remaining,
            now: NOW,
        }
    }

    fn policy(change: impl FnOnce(&mut Options)) -> (WaitPolicy, Instant) {
        let mut options = Options::default();
        change(&mut options);
        (WaitPolicy::new(&options), Instant::now())
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_default_is_ten_sleeps_of_half_a_second() {
        let (mut policy, start) = policy(|_| {});
        let busy = busy(ms(1), Some(60_000));
        for at in 0..10 {
            assert_eq!(policy.busy(start + ms(500 * at), &busy), Next::Sleep(ms(500)));
        }
        assert_eq!(policy.busy(start + ms(5000), &busy), Next::TimedOut(ms(5000)));
    }

    #[test]
    fn a_wake_up_does_not_count_as_a_try() {
        let (mut policy, start) = policy(|_| {});
        for at in 0..1000 {
            assert_eq!(
                policy.busy(start + ms(at), &busy(ms(at), None)),
                Next::Sleep(ms(500))
            );
        }
    }

    #[test]
    fn a_waiter_tries_again_at_the_holders_expiry_and_at_its_own_deadline() {
        let (mut policy, start) = policy(|options| options.wait = Some(Wait::AtMost(ms(300))));
        assert_eq!(policy.busy(start, &busy(ms(1), Some(70))), Next::Sleep(ms(71)));
        assert_eq!(
            policy.busy(start + ms(200), &busy(ms(1), None)),
            Next::Sleep(ms(100))
        );
        assert_eq!(policy.failed(start + ms(300)), Next::TimedOut(ms(300)));
    }

    #[test]
    fn a_wait_may_be_zero_or_unlimited() {
        let (mut policy, start) = self::policy(|options| options.wait = Some(Wait::AtMost(Duration::ZERO)));
        assert_eq!(
            policy.busy(start, &busy(ms(1), None)),
            Next::TimedOut(Duration::ZERO)
        );
        let (mut policy, start) = self::policy(|options| options.wait = Some(Wait::Forever));
        let fresh = busy(ms(1), None);
        assert!(matches!(policy.busy(start, &fresh), Next::Sleep(_)));
        assert!(matches!(
            policy.busy(start + ms(1_700_000), &fresh),
            Next::Sleep(_)
        ));
    }

    #[test]
    fn a_key_is_taken_over_if_it_is_stale_by_both_clocks() {
        let old = busy(ms(1_800_001), None);
        let (mut policy, start) = policy(|_| {});
        assert!(!policy.has_seen_holder());
        assert!(matches!(policy.busy(start, &old), Next::Sleep(_)));
        assert!(policy.has_seen_holder());
        assert!(matches!(policy.busy(start + ms(4999), &old), Next::Sleep(_)));
        assert_eq!(
            policy.busy(start + ms(5000), &old),
            Next::TakeOver(old.line.clone())
        );
    }

    #[test]
    fn a_takeover_that_has_no_effect_is_not_repeated_at_once() {
        let (mut policy, start) = policy(|options| options.wait = Some(Wait::AtMost(ms(8000))));
        let stale = busy(ms(1_800_001), None);
        policy.busy(start, &stale);
        assert!(matches!(policy.busy(start + ms(5000), &stale), Next::TakeOver(_)));
        assert!(matches!(policy.busy(start + ms(5001), &stale), Next::Sleep(_)));
        assert_eq!(policy.busy(start + ms(8000), &stale), Next::TimedOut(ms(8000)));
    }

    #[test]
    fn a_holder_keeps_the_key_until_the_end_of_max_block_time() {
        let (mut policy, start) = policy(|options| options.wait = Some(Wait::Forever));
        let last_moment = busy(ms(1_800_000), None);
        policy.busy(start, &last_moment);
        assert!(matches!(
            policy.busy(start + ms(5000), &last_moment),
            Next::Sleep(_)
        ));
    }

    #[test]
    fn a_changed_state_restarts_the_five_seconds() {
        let (mut policy, start) = policy(|options| options.wait = Some(Wait::Forever));
        policy.busy(start, &busy(ms(1_800_001), None));
        assert!(matches!(
            policy.busy(start + ms(5000), &busy(ms(1_800_002), None)),
            Next::Sleep(_)
        ));
    }

    #[test]
    fn a_timestamp_from_the_future_is_judged_by_the_local_clock() {
        let (mut policy, start) = policy(|options| options.wait = Some(Wait::Forever));
        let raw: Bytes = "t,9999-12-31T23:59:59Z,0".into();
        let future = Existing {
            line: raw.clone(),
            remaining: None,
            now: NOW,
        };
        assert!(matches!(policy.busy(start, &future), Next::Sleep(_)));
        assert!(matches!(
            policy.busy(start + ms(1_800_000), &future),
            Next::Sleep(_)
        ));
        assert_eq!(policy.busy(start + ms(1_800_001), &future), Next::TakeOver(raw));
    }

    #[test]
    fn a_fresh_lock_is_not_taken_over_after_a_short_wait() {
        let (mut policy, start) = policy(|options| options.wait = Some(Wait::AtMost(ms(100))));
        let busy = busy(ms(1_700_000), None);
        policy.busy(start, &busy);
        assert_eq!(policy.busy(start + ms(100), &busy), Next::TimedOut(ms(100)));
    }

    #[test]
    fn a_stale_key_is_not_taken_over_before_five_seconds_even_by_a_short_wait() {
        for wait in [ms(0), ms(4000)] {
            let (mut policy, start) = policy(|options| options.wait = Some(Wait::AtMost(wait)));
            let stale = busy(ms(1_800_001), None);
            policy.busy(start, &stale);
            assert_eq!(policy.busy(start + wait, &stale), Next::TimedOut(wait));
        }
    }

    #[test]
    fn a_short_max_block_time_does_not_shorten_the_five_seconds() {
        let (mut policy, start) = policy(|options| {
            options.wait = Some(Wait::Forever);
            options.max_block_time = ms(2000);
        });
        for age in [ms(1), ms(2001)] {
            let stale = busy(age, None);
            policy.busy(start, &stale);
            assert!(matches!(policy.busy(start + ms(4999), &stale), Next::Sleep(_)));
            assert!(matches!(policy.busy(start + ms(5001), &stale), Next::TakeOver(_)));
        }
    }

    /// The pauses after looks that find these states, each woken after so many milliseconds.
    fn pauses(looks: &[(&Existing, u64)]) -> Vec<Duration> {
        let (mut policy, start) = policy(|_| {});
        policy.busy(start, looks[0].0);
        assert_eq!(policy.pause(), Duration::ZERO, "the first look");
        let pause = |&(busy, slept): &(&Existing, u64)| {
            policy.woken(ms(slept));
            policy.busy(start, busy);
            policy.pause()
        };
        looks.iter().map(pause).collect()
    }

    #[test]
    fn looks_that_find_the_same_holder_are_followed_by_doubling_pauses() {
        let same = busy(ms(1), None);
        let expected = [1, 2, 4, 8, 16, 32, 50, 50].map(ms);
        assert_eq!(pauses(&[(&same, 0); 8]), expected);
        assert_eq!(pauses(&[(&same, 99); 8]), expected);
    }

    #[test]
    fn another_holder_or_a_quiet_time_ends_the_pauses() {
        let (first, second) = (busy(ms(1), None), busy(ms(2), None));
        let looks = [(&first, 0), (&first, 0), (&second, 0), (&second, 0)];
        assert_eq!(pauses(&looks), [1, 2, 0, 1].map(ms));
        let looks = [(&first, 0), (&first, 0), (&first, 100), (&first, 0)];
        assert_eq!(pauses(&looks), [1, 2, 0, 1].map(ms));
    }

    #[test]
    fn a_look_without_a_wake_up_keeps_the_pause() {
        let (mut policy, start) = policy(|_| {});
        let same = busy(ms(1), None);
        policy.busy(start, &same);
        // The look that subscribes to changes follows at once.
        policy.busy(start, &same);
        assert_eq!(policy.pause(), Duration::ZERO);
        policy.woken(ms(0));
        policy.busy(start, &same);
        policy.busy(start, &same);
        assert_eq!(policy.pause(), ms(1));
    }

    #[test]
    fn a_failed_store_is_asked_again_after_a_quarter_of_a_second() {
        let (mut policy, start) = policy(|_| {});
        assert_eq!(policy.failed(start), Next::Sleep(ms(250)));
        let (mut policy, start) = self::policy(|options| options.wait = Some(Wait::AtMost(ms(100))));
        assert_eq!(policy.failed(start), Next::Sleep(ms(100)));
    }
}
