//! How long to wait for another's result, and when to take a key over. Pure: the clock is passed in.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::options::{Options, Wait};
use crate::protocol::Busy;
use crate::protocol::state::State;

/// For so long the same stale bytes must have been seen before a key is taken over: a holder whose clock was set
/// wrong when it wrote its stamp has that time to show a sign of life.
const SEEN: Duration = Duration::from_secs(5);

/// One caller's patience with one key.
#[derive(Debug)]
pub(crate) struct Patience {
    sleep: Duration,
    /// How long to wait in all; `None` is for ever.
    budget: Option<Duration>,
    max_block: Duration,
    since: Option<Instant>,
    seen: Option<(Bytes, Instant)>,
}

/// What a waiter does next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Look again after this time, or when woken.
    Sleep(Duration),
    /// Ask for the lock in the place of the holder whose state these bytes are.
    TakeOver(Bytes),
    /// It took too long.
    GiveUp(Duration),
}

impl Patience {
    pub(crate) fn new(options: &Options) -> Self {
        let budget = match options.wait {
            Some(Wait::Forever) => None,
            Some(Wait::AtMost(budget)) => Some(budget),
            None => Some(
                options
                    .spinlock_sleep_thresh
                    .saturating_mul(options.max_spinlock_tries),
            ),
        };
        let (sleep, max_block) = (options.spinlock_sleep_thresh, options.max_block_time);
        Self {
            sleep,
            budget,
            max_block,
            since: None,
            seen: None,
        }
    }

    /// Another holds the key.
    pub(crate) fn busy(&mut self, now: Instant, busy: &Busy) -> Next {
        if self.is_stale(now, busy) {
            return Next::TakeOver(busy.raw.clone());
        }
        // Servers announce expiry late: look when the holder's time is over.
        let expiry = busy
            .remaining
            .map_or(Duration::MAX, |remaining| Duration::from_millis(remaining + 1));
        self.sleep(now, expiry)
    }

    /// The store did not answer a caller that was waiting already.
    pub(crate) fn failed(&mut self, now: Instant) -> Next {
        self.sleep(now, Duration::MAX)
    }

    /// Another call of this process is after the same key.
    pub(crate) fn following(&mut self, now: Instant) -> Next {
        self.sleep(now, Duration::MAX)
    }

    /// Whether this caller waits at all.
    pub(crate) fn waits(&self) -> bool {
        self.budget.is_none_or(|budget| !budget.is_zero())
    }

    /// Whether this caller has seen another hold the key.
    pub(crate) fn has_begun(&self) -> bool {
        self.seen.is_some()
    }

    /// A full sleep uses up a try, a wake-up does not: what counts is the time.
    fn sleep(&mut self, now: Instant, at_most: Duration) -> Next {
        let waited = now - *self.since.get_or_insert(now);
        let rest = self
            .budget
            .map_or(Duration::MAX, |budget| budget.saturating_sub(waited));
        if rest.is_zero() {
            Next::GiveUp(waited)
        } else {
            Next::Sleep(self.sleep.min(at_most).min(rest))
        }
    }

    /// By the store's clock against the stamp, and by ours against how long the same bytes stand there. A stamp from
    /// the future says nothing: then only our clock counts.
    fn is_stale(&mut self, now: Instant, busy: &Busy) -> bool {
        let first = match &self.seen {
            Some((raw, first)) if *raw == busy.raw => *first,
            _ => {
                self.seen = Some((busy.raw.clone(), now));
                now
            }
        };
        let Ok(state) = State::parse(&busy.raw) else {
            return false;
        };
        let age = i64::try_from(busy.now)
            .unwrap_or(i64::MAX)
            .saturating_sub(state.timestamp);
        let age = Duration::from_micros(u64::try_from(age).unwrap_or(0));
        let seen = now - first;
        age > self.max_block && seen >= SEEN.min(self.budget.unwrap_or(SEEN)) || seen > self.max_block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_416_240_000_000;

    fn busy(age: Duration, remaining: Option<u64>) -> Busy {
        let timestamp = NOW as i64 - age.as_micros() as i64;
        let raw = State {
            tag: "t",
            timestamp,
            computed: false,
        }
        .to_string()
        .into();
        Busy {
            raw,
            remaining,
            now: NOW,
            foreign: false,
        }
    }

    fn patience(change: impl FnOnce(&mut Options)) -> (Patience, Instant) {
        let mut options = Options::default();
        change(&mut options);
        (Patience::new(&options), Instant::now())
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn ten_sleeps_of_half_a_second_and_no_more() {
        let (mut patience, start) = patience(|_| {});
        let busy = busy(ms(1), Some(60_000));
        for at in 0..10 {
            assert_eq!(patience.busy(start + ms(500 * at), &busy), Next::Sleep(ms(500)));
        }
        assert_eq!(patience.busy(start + ms(5000), &busy), Next::GiveUp(ms(5000)));
    }

    #[test]
    fn a_wake_up_uses_no_try() {
        let (mut patience, start) = patience(|_| {});
        for at in 0..1000 {
            assert_eq!(
                patience.busy(start + ms(at), &busy(ms(at), None)),
                Next::Sleep(ms(500))
            );
        }
    }

    #[test]
    fn looks_when_the_holders_time_is_over_and_at_the_end_of_its_own() {
        let (mut patience, start) = patience(|options| options.wait = Some(Wait::AtMost(ms(300))));
        assert_eq!(patience.busy(start, &busy(ms(1), Some(70))), Next::Sleep(ms(71)));
        assert_eq!(
            patience.busy(start + ms(200), &busy(ms(1), None)),
            Next::Sleep(ms(100))
        );
        assert_eq!(patience.failed(start + ms(300)), Next::GiveUp(ms(300)));
    }

    #[test]
    fn waits_not_at_all_or_for_ever() {
        let (mut patience, start) =
            self::patience(|options| options.wait = Some(Wait::AtMost(Duration::ZERO)));
        assert!(!patience.waits());
        assert_eq!(
            patience.busy(start, &busy(ms(1), None)),
            Next::GiveUp(Duration::ZERO)
        );
        let (mut patience, start) = self::patience(|options| options.wait = Some(Wait::Forever));
        assert!(patience.waits());
        let fresh = busy(ms(1), None);
        assert!(matches!(patience.busy(start, &fresh), Next::Sleep(_)));
        assert!(matches!(
            patience.busy(start + ms(1_700_000), &fresh),
            Next::Sleep(_)
        ));
    }

    #[test]
    fn takes_over_what_is_stale_by_both_clocks() {
        let old = busy(ms(1_800_001), None);
        let (mut patience, start) = patience(|_| {});
        assert!(!patience.has_begun());
        assert!(matches!(patience.busy(start, &old), Next::Sleep(_)));
        assert!(patience.has_begun());
        assert!(matches!(patience.busy(start + ms(4999), &old), Next::Sleep(_)));
        assert_eq!(
            patience.busy(start + ms(5000), &old),
            Next::TakeOver(old.raw.clone())
        );
    }

    #[test]
    fn a_holder_has_all_of_max_block_time() {
        let (mut patience, start) = patience(|options| options.wait = Some(Wait::Forever));
        let last_moment = busy(ms(1_800_000), None);
        patience.busy(start, &last_moment);
        assert!(matches!(
            patience.busy(start + ms(5000), &last_moment),
            Next::Sleep(_)
        ));
    }

    #[test]
    fn a_sign_of_life_starts_the_watch_again() {
        let (mut patience, start) = patience(|options| options.wait = Some(Wait::Forever));
        patience.busy(start, &busy(ms(1_800_001), None));
        assert!(matches!(
            patience.busy(start + ms(5000), &busy(ms(1_800_002), None)),
            Next::Sleep(_)
        ));
    }

    #[test]
    fn a_stamp_from_the_future_is_judged_by_our_clock_alone() {
        let (mut patience, start) = patience(|options| options.wait = Some(Wait::Forever));
        let raw: Bytes = "t,9999-12-31T23:59:59Z,0".into();
        let future = Busy {
            raw: raw.clone(),
            remaining: None,
            now: NOW,
            foreign: false,
        };
        assert!(matches!(patience.busy(start, &future), Next::Sleep(_)));
        assert!(matches!(
            patience.busy(start + ms(1_800_000), &future),
            Next::Sleep(_)
        ));
        assert_eq!(patience.busy(start + ms(1_800_001), &future), Next::TakeOver(raw));
    }

    #[test]
    fn fresh_locks_are_never_taken_over_within_a_short_wait() {
        let (mut patience, start) = patience(|options| options.wait = Some(Wait::AtMost(ms(100))));
        let busy = busy(ms(1_700_000), None);
        patience.busy(start, &busy);
        assert_eq!(patience.busy(start + ms(100), &busy), Next::GiveUp(ms(100)));
    }
}
