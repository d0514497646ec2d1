//! The first part of a call: read the value, or follow another call of this process. If neither gives a value, `acquire`
//! continues. This module never sends an ACQUIRE.

use std::time::Duration;

use tokio::sync::oneshot;

use super::attempt::{Attempt, AttemptOutcome};
use super::wait::Next;
use crate::error::Error;
use crate::lease::claim::Claim;
use crate::pool::flight::{FIRST_PROBE, Found, Handoff, Leader, Probe, Role};
use crate::pool::near_cache::Placeholder;
use crate::rt::background;
use crate::rt::clock::Instant;

/// Outcome of [`Attempt::begin`].
enum Begun {
    Found(Found, Option<Placeholder>),
    /// Acquire the lock, as the leader of a flight or without one.
    Acquire(Option<Leader>),
}

/// Runs a call to its outcome. What a hit does not need is boxed, so that its future is small.
#[expect(
    clippy::manual_async_fn,
    reason = "an async fn would contain the attempt twice"
)]
pub(super) fn run(mut attempt: Attempt) -> impl Future<Output = Result<AttemptOutcome, Error>> {
    async move {
        match attempt.begin().await {
            Ok(Begun::Found(found, placeholder)) => {
                Ok(AttemptOutcome::Found(found, placeholder, attempt.spec))
            }
            Ok(Begun::Acquire(leader)) => {
                let claim = Claim::new(&attempt.pool, &attempt.key, attempt.lease, leader);
                let site = attempt.spec.site.clone();
                let acquired = Box::pin(attempt.acquire(claim)).await;
                acquired.map_err(|error| error.at(&site))
            }
            Err(error) => Err(error.at(&attempt.spec.site)),
        }
    }
}

impl Attempt {
    async fn begin(&mut self) -> Result<Begun, Error> {
        self.check_refusals()?;
        let mut leader = None;
        // A call with `fail_if_key_exists`, or with `wait = "0s"`, does not join a flight: it sends its own ACQUIRE.
        if !self.spec.options.fail_if_key_exists && self.policy.waits() {
            leader = Some(match self.join() {
                // No `begin_request`: a new flight has no followers that the read could serve.
                Role::Leader(leader) => leader,
                Role::Follower(handoff) => match Box::pin(self.follow(handoff)).await? {
                    Handoff::Value(found) => return Ok(Begun::Found(found, None)),
                    Handoff::Lead(mut leader) => {
                        leader.begin_request();
                        leader
                    }
                },
            });
        }
        let reads = self.want_value && !self.spec.options.fail_if_key_exists && self.spec.refuse.is_none();
        if reads
            && !leader.as_ref().is_some_and(Leader::knows_absent)
            && let Some((found, placeholder)) = self.read().await?
        {
            if let Some(leader) = leader {
                leader.complete(&found);
            }
            return Ok(Begun::Found(found, placeholder));
        }
        Ok(Begun::Acquire(leader))
    }

    fn join(&self) -> Role {
        let accepts_value = self.want_value && self.spec.refuse.is_none();
        self.pool.flights().join(&self.key, accepts_value)
    }

    /// Waits for the leader's value or its leadership. If the leader makes no progress, one follower at a time probes the store.
    async fn follow(&mut self, mut handoff: oneshot::Receiver<Handoff>) -> Result<Handoff, Error> {
        let (mut seen, mut pause) = (None, FIRST_PROBE);
        loop {
            let rest = match self.policy.following(Instant::now()) {
                Next::Sleep(rest) => rest,
                Next::TakeOver(_) => Duration::ZERO,
                Next::TimedOut(waited) => return Err(self.timed_out(waited, None)),
            };
            tokio::select! {
                biased;
                received = &mut handoff => match received {
                    Ok(received) => return Ok(received),
                    // The flight has ended without this follower: join the next one.
                    Err(_) => match self.join() {
                        Role::Leader(leader) => return Ok(Handoff::Lead(leader)),
                        Role::Follower(next) => handoff = next,
                    },
                },
                () = background::sleep(rest.min(pause)) => {}
            }
            let longest = self.spec.options.spinlock_sleep_thresh;
            match self.pool.flights().probe(&self.key, &mut seen, longest) {
                Probe::Lead(probe) => return Ok(Handoff::Lead(probe)),
                Probe::Later(time) => pause = time,
            }
        }
    }
}
