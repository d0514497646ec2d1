//! The first part of a call: read the value, or follow another call of this process. If neither gives a value, `acquire`
//! continues. This module never sends an ACQUIRE.

use std::ops::ControlFlow;
use std::time::Duration;

use tokio::sync::oneshot;

use super::attempt::{Attempt, Outcome};
use super::lookup::Joined;
use super::wait::Next;
use crate::error::Error;
use crate::lease::claim::Claim;
use crate::pool::flight::{FIRST_PROBE, Handoff, Leader, Probe, Role};

/// Runs a call to its outcome.
pub(super) async fn run(mut attempt: Attempt, mut joined: Option<Joined>) -> Result<Outcome, Error> {
    let site = attempt.spec.caller.site.clone();
    loop {
        let again = attempt
            .spec
            .runs_unlocked
            .then(|| (attempt.pool.clone(), attempt.spec.clone(), attempt.policy.clone()));
        let begun = attempt.begin(joined.take()).await;
        let place = attempt.place.take();
        let outcome = match begun {
            Ok(ControlFlow::Break(outcome)) => Ok(outcome),
            Ok(ControlFlow::Continue(leader)) => {
                let claim = Claim::new(&attempt.pool, &attempt.key, attempt.lease, leader);
                attempt.acquire(claim).await
            }
            Err(error) => Err(error),
        };
        match (outcome, again) {
            // The leader that it has probed computes.
            (Ok(Outcome::Alone(alone)), Some((pool, spec, policy))) if alone.is_probe() => {
                drop(alone);
                attempt = Attempt::new(pool, spec, true)?;
                attempt.policy = policy;
                joined = place.map(Joined::Follower);
            }
            (outcome, _) => return outcome.map_err(|error| error.at(&site)),
        }
    }
}

impl Attempt {
    /// Ends with a value, or with the leader of the flight that the call leads, if any.
    async fn begin(&mut self, joined: Option<Joined>) -> Result<ControlFlow<Outcome, Option<Leader>>, Error> {
        self.check_refusals()?;
        if self.spec.is_fresh {
            match self.look_first().await {
                // The store is asked again below.
                Err(error) if self.spec.runs_unlocked && error.is_of_store() => {}
                looked => looked?,
            }
        }
        let role = match joined {
            Some(Joined::Leader(leader, missed)) => {
                if let Some(error) = &missed.failure {
                    self.pool.went_away(&self.key, error);
                    return self.alone(Some(leader)).map(ControlFlow::Break);
                }
                self.has_missed(missed)?;
                return Ok(ControlFlow::Continue(Some(leader)));
            }
            // A closed pool still serves what is stored, but its calls wait for nothing.
            _ if self.pool.closing().is_closed() => None,
            Some(Joined::Follower(handoff)) => Some(Role::Follower(handoff)),
            // While the store is away, the flight alone keeps bodies apart.
            None if self.spec.runs_unlocked && self.pool.is_away(&self.key) => Some(self.join()),
            // A call with `fail_if_key_exists`, or with `wait = "0s"`, sends its own ACQUIRE.
            None if self.spec.options.fail_if_key_exists || !self.spec.options.waits() => None,
            None => Some(self.join()),
        };
        let mut leader = match role {
            // It asks the store itself, which knows what the holder of the key has validated.
            None | Some(Role::Stranger) => None,
            Some(Role::Leader(leader, asked)) => Some((leader, asked)),
            Some(Role::Follower(handoff)) => match self.follow(handoff).await? {
                None => None,
                Some(Handoff::Value(found)) => {
                    return Ok(ControlFlow::Break(Outcome::Followed(found)));
                }
                Some(Handoff::Lead(mut leader)) => {
                    let asked = leader.ask();
                    Some((leader, asked))
                }
            },
        };
        if self.spec.runs_unlocked && self.pool.is_away(&self.key) {
            let leader = leader.map(|(leader, _)| leader);
            return self.alone(leader).map(ControlFlow::Break);
        }
        let is_absent = leader.as_ref().is_some_and(|(leader, _)| leader.knows_absent());
        let reads = self.want_value && !self.spec.options.fail_if_key_exists && self.spec.refuse.is_none();
        if reads
            && !is_absent
            && let Some((found, placeholder)) = match self.read().await {
                Err(error) if self.spec.runs_unlocked && error.is_of_store() => {
                    self.pool.went_away(&self.key, &error);
                    let leader = leader.map(|(leader, _)| leader);
                    return self.alone(leader).map(ControlFlow::Break);
                }
                read => read?,
            }
        {
            if let Some((leader, asked)) = leader.take() {
                leader.complete(asked, &found);
            }
            return Ok(ControlFlow::Break(Outcome::Hit(found, placeholder)));
        }
        Ok(ControlFlow::Continue(leader.map(|(leader, _)| leader)))
    }

    fn join(&self) -> Role {
        let accepts_value = self.want_value && self.spec.refuse.is_none();
        let check = self.spec.caller.check;
        self.pool.flights().join(&self.key, accepts_value, check)
    }

    /// Waits for the leader's value or its leadership. `None` if the next flight is one of calls that validate other values. If the leader makes no progress, one follower at a time probes the store.
    async fn follow(&mut self, mut handoff: oneshot::Receiver<Handoff>) -> Result<Option<Handoff>, Error> {
        let (mut seen, mut pause) = (None, FIRST_PROBE);
        loop {
            let rest = match self.policy.following(self.pool.timers().now()) {
                Next::Sleep(rest) => rest,
                Next::TakeOver(_) => Duration::ZERO,
                Next::TimedOut(waited) => return Err(self.timed_out(waited, None)),
            };
            tokio::select! {
                biased;
                received = &mut handoff => match received {
                    Ok(received) => return Ok(Some(received)),
                    // The flight has ended without this follower: join the next one.
                    Err(_) => match self.join() {
                        Role::Leader(leader, _) => return Ok(Some(Handoff::Lead(leader))),
                        Role::Follower(next) => handoff = next,
                        Role::Stranger => return Ok(None),
                    },
                },
                () = self.pool.closing().closed() => return Err(Error::Closed),
                () = self.pool.timers().wait(rest.min(pause)) => {}
            }
            let longest = self.spec.options.spinlock_sleep_thresh;
            match self.pool.flights().probe(&self.key, &mut seen, longest) {
                // The leader computes without the lock, so there is nothing to ask.
                Probe::Lead(probe) if self.spec.runs_unlocked && self.pool.is_away(&self.key) => {
                    drop(probe);
                    pause = longest;
                }
                Probe::Lead(probe) => {
                    self.place = Some(handoff);
                    return Ok(Some(Handoff::Lead(probe)));
                }
                Probe::Later(time) => pause = time,
            }
        }
    }
}
