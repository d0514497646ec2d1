//! The first part of a call: read the value, or follow another call of this process. If neither gives a value, the call
//! asks for the lock.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::attempt::{Attempt, Granted};
use super::wait::Next;
use crate::error::Error;
use crate::lease::claim::Claim;
use crate::pool::flight::{Found, Handoff, Leader, Role};
use crate::pool::near_cache::Placeholder;
use crate::rt::background;

/// How far a call gets without asking for the lock.
enum Begun {
    Found(Found, Option<Placeholder>),
    /// Ask for the lock, as the leader of a flight or without one.
    Ask(Option<Leader>),
}

/// The future of a hit is small: what only some calls need is boxed.
#[expect(
    clippy::manual_async_fn,
    reason = "an async fn would contain the attempt twice"
)]
pub(super) fn run(mut attempt: Attempt) -> impl Future<Output = Result<Granted, Error>> {
    async move {
        match attempt.begin().await? {
            Begun::Found(found, placeholder) => Ok(Granted::Found(found, placeholder, attempt.spec)),
            Begun::Ask(leader) => {
                let claim = Claim::new(&attempt.pool, &attempt.key, attempt.lease, leader);
                Box::pin(attempt.acquire(claim)).await
            }
        }
    }
}

impl Attempt {
    async fn begin(&mut self) -> Result<Begun, Error> {
        let mut leader = None;
        // A call with `fail_if_key_exists`, or with `wait = "0s"`, does not join a flight: it sends its own ACQUIRE.
        if !self.spec.options.fail_if_key_exists && self.policy.waits() {
            leader = Some(match self.join() {
                // A new flight has no followers yet, so there is none that this request could serve.
                Role::Leader(leader) => leader,
                Role::Follower(handoff) => match Box::pin(self.follow(handoff)).await? {
                    Handoff::Value(found) => return Ok(Begun::Found(found, None)),
                    Handoff::Lead(mut leader) => {
                        leader.sends();
                        leader
                    }
                },
            });
        }
        let reads = self.want_value && !self.spec.options.fail_if_key_exists && self.spec.refuse.is_none();
        if reads
            && !leader.as_ref().is_some_and(Leader::knows_absent)
            && let Some((hit, placeholder)) = self.read(&self.pool).await?
            && let Some(found) = self.verified(hit)
        {
            if let Some(leader) = leader {
                leader.complete(&found);
            }
            return Ok(Begun::Found(found, placeholder));
        }
        Ok(Begun::Ask(leader))
    }

    fn join(&self) -> Role {
        let accepts_value = self.want_value && self.spec.refuse.is_none();
        self.pool.flights().join(&self.key, accepts_value)
    }

    /// Waits for the leader. If that takes long, one follower at a time probes the store.
    async fn follow(&mut self, mut handoff: oneshot::Receiver<Handoff>) -> Result<Handoff, Error> {
        loop {
            let rest = match self.policy.following(Instant::now()) {
                Next::Sleep(rest) => rest,
                Next::TakeOver(_) => Duration::ZERO,
                Next::TimedOut(waited) => return Err(self.timed_out(waited)),
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
                () = background::sleep(rest) => {}
            }
            if let Some(probe) = self.pool.flights().probe(&self.key) {
                return Ok(Handoff::Lead(probe));
            }
        }
    }
}
