//! The state of one call in the engine. `follow` and `acquire` add their steps to it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::lookup::Missed;
use super::wait::WaitPolicy;
use crate::error::{Error, KeyName, StoreFailure};
use crate::key::Key;
use crate::lease::current::Frame;
use crate::lease::held::Caller;
use crate::lease::{Lease, Publication};
use crate::options::{Options, check_length};
use crate::pool::Pool;
use crate::pool::flight::{Found, Handoff, Leader, Role};
use crate::pool::near_cache::Placeholder;
use crate::protocol::header::{Flag, Hit, check, differs};
use crate::protocol::tag::{Head, Tag};
use crate::protocol::{Existing, Read, Reply, Request, encoding};

/// What a call asks for.
#[derive(Debug, Clone)]
pub(crate) struct CallSpec {
    pub key: Key,
    pub caller: Caller,
    pub options: Options,
    /// The greatest age of a value in the near cache, if the site has one.
    pub near_cache: Option<Duration>,
    /// The tag of a stored value that this call does not accept, because it is damaged or cannot be decoded.
    pub refuse: Option<Tag>,
    /// How many values this call has refused.
    pub refusals: u8,
    /// The lock is taken from any holder, and replaces any value.
    pub seizes: bool,
    /// Whether the key stays COMPUTED without a value.
    pub keeps_mark: bool,
    /// Whether the call accepts an error that another one has recorded.
    pub accepts_errors: bool,
    /// `on_store_error = run_unlocked`.
    pub runs_unlocked: bool,
    /// The call accepts no value that was stored before it looked.
    pub is_fresh: bool,
    /// A digest of what the site validates beside its key.
    pub validated: Option<Box<[u8; 32]>>,
    /// `None`: the global pool.
    pub pool: Option<Pool>,
}

impl CallSpec {
    pub(crate) fn new(key: Key, caller: Caller, options: Options, pool: Option<Pool>) -> Self {
        Self {
            key,
            caller,
            options,
            near_cache: None,
            refuse: None,
            refusals: 0,
            seizes: false,
            keeps_mark: false,
            accepts_errors: false,
            runs_unlocked: false,
            is_fresh: false,
            validated: None,
            pool,
        }
    }

    /// Excludes the stored value with this tag.
    pub(crate) fn refuse(&mut self, tag: Option<Tag>) {
        self.refuse = tag;
        self.refusals = self.refusals.saturating_add(1);
    }
}

/// How many values a call refuses at most. A store does not return a value that the call has refused, so more of them are a
/// fault of the store.
const MAX_REFUSALS: u8 = 3;

/// What becomes of a call.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A stored value, which is already complete for the followers of the call.
    Hit(Found, Option<Placeholder>),
    /// A value that another call computed while this one waited, or that it read for both.
    Followed(Found),
    /// The lock is held: the call computes.
    Lead(Lease),
    /// The store cannot be asked: the call computes without the lock, as the only one of this process.
    Alone(Alone),
}

/// The key of a call that computes without the lock.
#[derive(Debug)]
pub(crate) struct Alone {
    /// `None` after the end.
    pub leader: Option<Leader>,
    pub pool: Pool,
    pub key: Key,
    pub name: KeyName,
}

impl Alone {
    pub(super) fn is_probe(&self) -> bool {
        self.leader.as_ref().is_some_and(Leader::is_probe)
    }

    /// Passes the result to the calls of this process that wait for it.
    pub(super) fn complete(mut self, publication: Publication) {
        if self.pool.is_inherited() {
            return;
        }
        if let Some(payload) = publication.payload
            && let Some(mut leader) = self.leader.take()
        {
            let asked = leader.ask();
            let found = Found {
                payload,
                id: None,
                flag: publication.flag,
                age: Some(Duration::ZERO),
            };
            leader.complete(asked, &found);
        }
    }
}

/// A forked child has a copy of a leader, whose locks threads of the parent may hold.
impl Drop for Alone {
    fn drop(&mut self) {
        if self.pool.is_inherited() {
            std::mem::forget(self.leader.take());
        }
    }
}

/// A call that has entered the engine.
pub(super) struct Attempt {
    pub(super) pool: Pool,
    /// The key's name in the store.
    pub(super) key: Key,
    pub(super) spec: Box<CallSpec>,
    pub(super) want_value: bool,
    /// The length of the lease.
    pub(super) lease: Duration,
    pub(super) policy: WaitPolicy,
    /// The body that made the call, and the bodies that wait for that one. A call may wait on another thread.
    caller: Option<Arc<Frame>>,
    /// The place of a call that probes among the followers.
    pub(super) place: Option<oneshot::Receiver<Handoff>>,
    /// The tag of the last holder that the call has met.
    waited_for: Option<Tag>,
    /// A read has found a value above the bound. Later reads look at the head alone.
    is_too_long: bool,
}

impl Attempt {
    /// `is_annotated`: the call wants the value if the site caches it. The explicit API never does.
    pub(super) fn new(pool: Pool, mut spec: Box<CallSpec>, is_annotated: bool) -> Result<Self, Error> {
        // The specification keeps the key of the user, because the call may enter again.
        let key = pool.store_key(spec.key.clone());
        spec.caller.check = spec
            .validated
            .as_ref()
            .map(|validated| pool.check_of(&key, validated));
        let lease = spec
            .options
            .check()
            .map_err(|error| error.at(&spec.caller.site))?;
        if let Some(age) = spec.near_cache {
            check_length("near_cache", age).map_err(|error| error.at(&spec.caller.site))?;
        }
        let caller = Frame::current();
        if caller.as_ref().is_some_and(|caller| caller.holds(&pool, &key)) {
            let key = spec.caller.name(&key);
            return Err(Error::Recursion { key });
        }
        let want_value = is_annotated && spec.options.cached_if_computed;
        let policy = WaitPolicy::new(&spec.options);
        Ok(Self {
            pool,
            key,
            spec,
            want_value,
            lease,
            policy,
            caller,
            place: None,
            waited_for: None,
            is_too_long: false,
        })
    }

    /// Looks at the value that a fresh call does not accept.
    pub(super) async fn look_first(&mut self) -> Result<(), Error> {
        let bound = Head::LENGTH;
        let request = Request::Describe(Read { bound });
        let line = match self.pool.send(&self.key, request).await? {
            Reply::Exists(existing) => existing.line,
            _ => return Ok(()),
        };
        self.spec.refuse = Head::parse(&line).map(|head| head.id.tag);
        Ok(())
    }

    /// Reads without a lock.
    pub(super) async fn read(&mut self) -> Result<Option<(Found, Option<Placeholder>)>, Error> {
        let request = Read {
            bound: match self.is_too_long {
                true => Head::LENGTH,
                false => self.pool.bound(),
            },
        };
        let (reply, placeholder) = match self.spec.near_cache {
            Some(_) => Box::pin(self.pool.requests().read_tracked(&self.key, request)).await?,
            None => (self.pool.read(self.key.clone(), request).await?, None),
        };
        match reply {
            Reply::Hit(hit, remaining) => {
                Ok(self.verified(hit, remaining)?.map(|found| (found, placeholder)))
            }
            Reply::Computed => Ok(Some((Found::NO_VALUE, placeholder))),
            reply => {
                self.is_too_long |= reply == Reply::TooLong;
                Ok(None)
            }
        }
    }

    /// The value of a hit. A damaged or forged value is refused from now on.
    ///
    /// # Errors
    ///
    /// The store has returned too many such values.
    pub(super) fn verified(&mut self, hit: Hit, remaining: Option<u64>) -> Result<Option<Found>, Error> {
        let check = self.spec.caller.check.and_then(|_| hit.check());
        match self.pool.verified(&self.key, hit, remaining) {
            Ok(found) if !self.accepts(&found) => {
                self.spec.refuse = found.tag();
                Ok(None)
            }
            Ok(_) if differs(self.spec.caller.check, check) => Err(self.reused()),
            Ok(found) => Ok(Some(found)),
            Err(tag) => {
                self.refuse(tag)?;
                Ok(None)
            }
        }
    }

    /// Whether this call returns what another one has published.
    fn accepts(&self, found: &Found) -> bool {
        match found.flag {
            Flag::Value => true,
            Flag::Error => self.spec.accepts_errors,
            Flag::ErrorForWaiters => self.spec.accepts_errors && self.waited_for == found.tag(),
        }
    }

    /// Another call holds the key, or has computed it.
    ///
    /// # Errors
    ///
    /// It validates other values.
    pub(super) fn meets(&mut self, existing: &Existing) -> Result<(), Error> {
        self.waited_for = Head::parse(&existing.line).map(|head| head.id.tag);
        match self.spec.caller.check {
            Some(_) if differs(self.spec.caller.check, check(&existing.line)) => Err(self.reused()),
            _ => Ok(()),
        }
    }

    pub(super) fn reused(&self) -> Error {
        Error::KeyReused { key: self.name() }
    }

    /// Accepts no value with this tag from now on.
    fn refuse(&mut self, tag: Tag) -> Result<(), Error> {
        self.spec.refuse(Some(tag));
        self.check_refusals()
    }

    /// Goes on after the read of a [`Lookup`](super::lookup::Lookup).
    pub(super) fn has_missed(&mut self, missed: Missed) -> Result<(), Error> {
        self.is_too_long = missed.is_too_long;
        missed.refuse.map_or(Ok(()), |tag| self.refuse(tag))
    }

    /// # Errors
    ///
    /// This call has refused too many values.
    pub(super) fn check_refusals(&self) -> Result<(), Error> {
        if self.spec.refusals < MAX_REFUSALS {
            return Ok(());
        }
        Err(self.refused("the store returns damaged values"))
    }

    /// Computes without the lock, as the leader of a flight.
    ///
    /// # Errors
    ///
    /// - [`Error::Closed`].
    /// - Another call of this process leads, and this one, which does not wait, has asked the store without a flight.
    pub(super) fn alone(&self, leader: Option<Leader>) -> Result<Outcome, Error> {
        self.pool.closing().check()?;
        let leader = match leader {
            Some(leader) => leader,
            None => match self.pool.flights().join(&self.key, false, None) {
                Role::Leader(leader, _) => leader,
                Role::Follower(_) | Role::Stranger => return Err(self.timed_out(Duration::ZERO, None)),
            },
        };
        Ok(Outcome::Alone(Alone {
            leader: Some(leader),
            pool: self.pool.clone(),
            key: self.key.clone(),
            name: self.name(),
        }))
    }

    pub(super) fn name(&self) -> KeyName {
        self.spec.caller.name(&self.key)
    }

    pub(super) fn timed_out(&self, waited: Duration, existing: Option<&Existing>) -> Error {
        Error::SpinlockTriesExceeded {
            key: self.name(),
            waited,
            holder: existing.and_then(|existing| encoding::holder(&self.key, existing)),
            holding: self
                .caller
                .as_ref()
                .map_or_else(Box::default, |caller| caller.held_keys()),
        }
    }

    pub(super) fn unexpected_reply(&self) -> Error {
        self.refused("unexpected reply from the store")
    }

    fn refused(&self, reason: &str) -> Error {
        Error::Store {
            operation: "acquire",
            key: self.name(),
            reason: StoreFailure::Refused(reason.into()),
        }
    }
}
