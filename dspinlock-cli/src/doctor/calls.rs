//! Makes locked calls, as a program does: every step, and the wake-up of a caller that waits.

use std::io;
use std::time::Duration;

use dspinlock::{Acquired, Entry, Error, HashDSpinlock, Lease, Pool, Wait};
use tokio::time::Instant;

use super::Args;
use super::report::{Finding, Report};

/// A waiting call without pushes looks again after this time. A push arrives much earlier.
const POLL: Duration = Duration::from_secs(3);

/// A lease that outlives a lost doctor by seconds.
const LEASE: Duration = Duration::from_secs(15);

const ROUND_TRIPS: usize = 50;

/// Three round trips of this time make a cold call slow.
const SLOW: Duration = Duration::from_millis(20);

pub(super) async fn check(args: &Args, pool: &Pool, report: &mut Report) -> io::Result<()> {
    let lock = HashDSpinlock::new(("dspinlock doctor", std::process::id(), unique()))
        .prefix(args.prefix.clone())
        .lease(LEASE)
        .ttl(LEASE)
        .spinlock_sleep_thresh(POLL);
    let entry = Entry::of::<u32>("dspinlock doctor")
        .part(&(std::process::id(), unique()))
        .prefix(args.prefix.clone())
        .ttl(LEASE)
        .pool(pool);
    let lock_here = lock.clone().pool(pool);
    let lease = match lock_here.acquire().await {
        Ok(Acquired::Locked(lease)) => lease,
        Ok(Acquired::Computed) => unreachable!("the lock does not ask for a result"),
        Err(error) => return report.add(Finding::fail("acquire", error)),
    };
    report.add(Finding::ok("acquire", "a lock was granted"))?;
    report.add(step("renew", "its lease was renewed", lease.extend(LEASE).await))?;
    report.add(wake_up(args, &lock, lease).await)?;
    let deleted = lock_here.delete_state().await;
    report.add(step("delete", "its entry was deleted", deleted))?;

    let stored = entry.prime(&7).await;
    let is_stored = stored.is_ok();
    report.add(step("publish", "a result was stored", stored))?;
    if is_stored {
        let read = match entry.peek().await {
            Ok(None) => Finding::fail(
                "read",
                "the result was lost at once: another program deletes entries, or the server evicts them",
            ),
            read => step("read", "the result was read", read),
        };
        report.add(read)?;
        report.add(round_trip(&entry).await)?;
        if let Err(error) = entry.invalidate().await {
            report.add(Finding::fail("delete", error))?;
        }
    }
    Ok(())
}

/// No other doctor uses this number at the same time.
fn unique() -> u128 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.unwrap_or_default().as_nanos()
}

fn step<T>(check: &'static str, success: &str, result: Result<T, Error>) -> Finding {
    match result {
        Ok(_) => Finding::ok(check, success),
        Err(error) => Finding::fail(check, error),
    }
}

/// Releases the lock while another connection waits for it.
async fn wake_up(args: &Args, lock: &HashDSpinlock, lease: Lease) -> Finding {
    let waiter = match args.store.open_apart() {
        Ok(pool) => lock.clone().wait(Wait::AtMost(3 * POLL)).pool(&pool),
        Err(error) => return Finding::fail("wake-up", error),
    };
    let waiting = async {
        let granted = waiter.acquire().await;
        (granted, Instant::now())
    };
    let releasing = async {
        // Until the waiter has asked for the lock.
        tokio::time::sleep(Duration::from_millis(500)).await;
        // The waiter may be granted the lock before the reply to its release arrives.
        let start = Instant::now();
        (lease.give_up().await, start)
    };
    let ((granted, woken), (released, start)) = tokio::join!(waiting, releasing);
    match (granted, released) {
        (Ok(granted), Ok(_)) => {
            drop(granted);
            let elapsed = woken.saturating_duration_since(start);
            match elapsed < POLL / 2 {
                true => Finding::ok(
                    "wake-up",
                    format_args!(
                        "a caller that waits on another connection got the released lock within {elapsed:.1?}"
                    ),
                ),
                false => Finding::warn(
                    "wake-up",
                    format_args!(
                        "a caller that waits polls: it got the released lock after {elapsed:.1?}; allow `CLIENT TRACKING` and `CLIENT CACHING` with RESP3, or lower `spinlock_sleep_thresh`"
                    ),
                ),
            }
        }
        (Err(error), _) | (_, Err(error)) => Finding::fail("wake-up", error),
    }
}

/// The median time of a step.
async fn round_trip(entry: &Entry<u32>) -> Finding {
    let mut times = Vec::with_capacity(ROUND_TRIPS);
    for _ in 0..ROUND_TRIPS {
        let start = Instant::now();
        if let Err(error) = entry.status().await {
            return Finding::fail("round trip", error);
        }
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let median = times[ROUND_TRIPS / 2];
    match median > SLOW {
        true => Finding::warn(
            "round trip",
            format_args!(
                "{median:.1?}, the median of {ROUND_TRIPS}: a call that computes takes three of them; use a server that is nearer"
            ),
        ),
        false => Finding::ok(
            "round trip",
            format_args!("{median:.1?}, the median of {ROUND_TRIPS}"),
        ),
    }
}
