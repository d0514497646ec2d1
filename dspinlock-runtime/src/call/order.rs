//! A call before its body: its key, the near cache, and its way through the engine.
//!
//! `call` and `future` use it. It is not generic, so that it is compiled once. An order borrows its site; the engine's
//! specification, which copies names and options, is built only for a call that does more than a read.

use std::any::Any;
use std::borrow::Cow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::block::{Beside, Block};
use super::names::{self, Body};
use super::site::Site;
use super::site_name::{site_name, site_name_pieces};
use crate::engine::{self, Boxed, CallSpec, Joined, Lookup, Outcome, Trace};
use crate::error::{Error, KeyName};
use crate::key::{Format, Key, KeyDigest, KeyHasher, Owner};
use crate::lease::held::Caller;
use crate::options::{Options, Wait};
use crate::pool::Pool;
use crate::pool::flight::Found;
use crate::pool::near_cache::{AnyValue, Near};
use crate::protocol::header::Check;
use crate::protocol::tag::Tag;
use crate::rt::clock::Instant;
use crate::rt::in_flight::InFlight;
use crate::rt::timers::Timers;
use crate::scope;

/// A call whose options and key are being set.
pub(super) struct Draft {
    pub(super) site: &'static Site,
    pub(super) hasher: KeyHasher,
    pub(super) cached: bool,
    pub(super) near_cache: Option<Duration>,
    /// What is set for this call alone.
    pub(super) own: Option<Box<Own>>,
}

/// What is set for one call. Boxed, because every future contains it and few calls have one.
pub(super) struct Own {
    pub(super) options: Options,
    pub(super) pool: Option<Pool>,
    pub(super) label: Option<Box<str>>,
    /// The hash of what the site validates.
    pub(super) validated: Option<KeyHasher>,
    /// `err_ttl = expr`.
    pub(super) err_ttl: Option<Duration>,
    /// The call accepts no value that was stored before it.
    pub(super) is_fresh: bool,
    /// The name and arguments of a block, which has no separate site.
    pub(super) block: Option<Block>,
}

impl Own {
    fn new(options: Options) -> Self {
        Self {
            options,
            pool: None,
            label: None,
            validated: None,
            err_ttl: None,
            is_fresh: false,
            block: None,
        }
    }

    /// Refuses arguments of a block that contradict each other.
    fn check(&self, cached: bool, near_cache: Option<Duration>) -> Result<(), Error> {
        let Some(block) = &self.block else { return Ok(()) };
        block.check(&Beside {
            options: &self.options,
            cached,
            near_cache,
            err_ttl: self.err_ttl,
            validates: self.validated.is_some(),
        })
    }
}

/// A value in the near cache, with what its call has validated.
struct Checked {
    check: Check,
    value: AnyValue,
}

impl Draft {
    #[inline]
    pub(super) fn new(site: &'static Site) -> Self {
        Self {
            site,
            hasher: KeyHasher::new(site.format() == Format::Shared),
            cached: false,
            near_cache: site.near_cache,
            own: None,
        }
    }

    pub(super) fn own(&mut self) -> &mut Own {
        let site = &self.site.options;
        self.own.get_or_insert_with(|| Box::new(Own::new(site.clone())))
    }

    pub(super) fn options(&mut self) -> &mut Options {
        &mut self.own().options
    }

    /// `F` is the type of the function's body.
    #[inline]
    pub(super) fn order<F>(&mut self) -> Order {
        self.order_of(Body::of::<F>().owner(self.site), Body::of::<F>)
    }

    fn order_of(&mut self, owner: Owner, body: fn() -> Body) -> Order {
        let digest = match self.own.as_deref() {
            Some(Own { block: Some(_), .. }) => self.digest_of_block(),
            _ => self.digest_of_site(owner, body),
        };
        if self.cached && scope::is_fresh() {
            self.own().is_fresh = true;
        }
        if let Some(pool) = Pool::chosen() {
            self.own().pool.get_or_insert(pool);
        }
        Order {
            site: self.site,
            digest: digest.map(|KeyDigest(digest)| digest),
            body,
            cached: self.cached,
            near_cache: self.near_cache,
            own: self.own.take(),
            refused: None,
            refusals: 0,
            since: None,
        }
    }

    fn digest_of_site(&mut self, owner: Owner, body: fn() -> Body) -> Option<KeyDigest> {
        let site = self.site;
        self.hasher.digest(Some(owner), |hash| {
            names::check(site, body()).ok()?;
            site_name_pieces(site, body().name, |piece| hash.update(piece));
            if let Some(version) = site.version {
                put_version(version, hash);
            }
            Some(())
        })
    }

    /// The same digest as that of a function with this `name`.
    #[inline(never)]
    fn digest_of_block(&mut self) -> Option<KeyDigest> {
        let own = self.own.as_deref()?;
        let block = own.block.as_ref()?;
        own.check(self.cached, self.near_cache).ok()?;
        self.hasher.digest(None, |hash| {
            hash.update(&*block.name);
            if let Some(version) = block.version {
                put_version(version, hash);
            }
            Some(())
        })
    }
}

/// What a call asks for.
pub(super) struct Order {
    site: &'static Site,
    body: fn() -> Body,
    /// `None` if a part of the key could not be serialized, if another site has the same name, or if the arguments of a block
    /// contradict each other.
    digest: Option<[u8; 32]>,
    cached: bool,
    near_cache: Option<Duration>,
    own: Option<Box<Own>>,
    /// The tag of the last value that could not be decoded, and the number of such values.
    refused: Option<Tag>,
    refusals: u8,
    /// When the call began to wait, so that a refused value does not restart its `wait`.
    since: Option<Instant>,
}

impl Order {
    fn options(&self) -> &Options {
        self.own.as_deref().map_or(&self.site.options, |own| &own.options)
    }

    /// The pool of the call, if it is open. `None` also for a pool of the parent of this process.
    #[inline]
    fn pool(&self) -> Option<Pool> {
        match self.own.as_deref().and_then(|own| own.pool.clone()) {
            Some(pool) => pool.own().ok(),
            None => Pool::global_if_open(),
        }
    }

    /// The clock of the call.
    pub(super) fn timers(&self) -> Timers {
        self.pool()
            .map_or_else(Timers::default, |pool| pool.timers().clone())
    }

    // Inlined: a key that is moved costs some nanoseconds.
    #[inline]
    fn key(&self) -> Option<Key> {
        let key = Key::new(self.site.format(), self.options().prefix.clone(), self.digest?);
        Some(match self.site.name {
            Some(_) => key,
            None => key.unnamed(),
        })
    }

    /// The value in the near cache, after `report`. Allocates nothing and takes no lock.
    ///
    /// # Errors
    ///
    /// The call validates other values than the one that has stored it.
    pub(super) fn near_hit<R>(
        &self,
        from_entry: fn(&(dyn Any + Send + Sync)) -> Option<R>,
        report: fn(&Self, &Near<'_>),
    ) -> Option<Result<R, Error>> {
        let age = self.near_cache?;
        if self.is_fresh() {
            return None;
        }
        let key = self.key()?;
        let pool = self.pool()?;
        let now = pool.timers().now();
        let key = pool.store_key(key);
        let wanted = match self.validates() {
            false => None,
            true => Some(pool.check_of(&key, &self.validated().ok()??)),
        };
        pool.near_cache().get(&key, now, age, |near| {
            let mut value = near.value();
            if let Some(wanted) = &wanted {
                let checked: &Checked = value.downcast_ref()?;
                if checked.check != *wanted {
                    let key = Caller::new(self.site_name()).name(&key);
                    return Some(Err(Error::KeyReused { key }));
                }
                value = &*checked.value;
            }
            let value = from_entry(value)?;
            report(self, &near);
            Some(Ok(value))
        })
    }

    /// What the near cache keeps of a value.
    pub(super) fn near_value(&self, value: AnyValue) -> Option<AnyValue> {
        let Some(validated) = self.validated().ok()? else {
            return Some(value);
        };
        let pool = self.pool()?;
        let check = pool.check_of(&pool.store_key(self.key()?), &validated);
        Some(Arc::new(Checked { check, value }))
    }

    /// The first digits of the key, for traces.
    pub(super) fn key_digits(&self) -> Option<String> {
        let key = self.pool()?.store_key(self.key()?);
        Some(key.digits())
    }

    fn validates(&self) -> bool {
        self.own.as_deref().is_some_and(|own| own.validated.is_some())
    }

    fn is_fresh(&self) -> bool {
        self.own.as_deref().is_some_and(|own| own.is_fresh)
    }

    /// The digest of what the site validates.
    ///
    /// # Errors
    ///
    /// A part cannot be serialized.
    fn validated(&self) -> Result<Option<[u8; 32]>, Error> {
        let hasher = self.own.as_deref().and_then(|own| own.validated.clone());
        let Some(mut hasher) = hasher else { return Ok(None) };
        match hasher.digest(None, |_| Some(())) {
            Some(KeyDigest(digest)) => Ok(Some(digest)),
            None => Err(Error::ProvidedObjectIsNotHashable {
                site: self.site_name().into_owned(),
            }),
        }
    }

    fn block(&self) -> Option<&Block> {
        self.own.as_deref()?.block.as_ref()
    }

    pub(super) fn site_name(&self) -> Cow<'static, str> {
        match self.block() {
            Some(block) => block.name.clone(),
            None => site_name(self.site, (self.body)().name),
        }
    }

    fn runs_unlocked(&self) -> bool {
        self.site.runs_unlocked || self.block().is_some_and(|block| block.runs_unlocked)
    }

    fn records_errors(&self) -> bool {
        self.site.records_errors || self.block().is_some_and(|block| block.records_errors)
    }

    /// Why the site cannot be used.
    fn check(&self) -> Result<(), Error> {
        match self.own.as_deref() {
            Some(own) if own.block.is_some() => own.check(self.cached, self.near_cache),
            _ => names::check(self.site, (self.body)()),
        }
    }

    /// Reads in place, if this is a call that reads before anything else, and if its options are valid.
    fn lookup(&self) -> Option<Result<Lookup, Joined>> {
        let options = self.options();
        let reads = self.cached
            && self.near_cache.is_none()
            && self.refused.is_none()
            && !self.validates()
            && !self.is_fresh();
        if !reads || options.fail_if_key_exists || !options.waits() || options.check().is_err() {
            return None;
        }
        let (pool, key) = (self.pool()?, self.key()?);
        if self.runs_unlocked() && pool.is_away(&pool.store_key(key.clone())) {
            return None;
        }
        Lookup::start(pool, key)
    }

    /// # Errors
    ///
    /// The key cannot be hashed, another site has the same name, or the arguments of a block contradict each other.
    pub(super) fn spec(&mut self) -> Result<Box<CallSpec>, Error> {
        let site = self.site_name();
        let Some(key) = self.key() else {
            self.check()?;
            let site = site.into_owned();
            return Err(Error::ProvidedObjectIsNotHashable { site });
        };
        let mut options = self.options().clone();
        options.cached_if_computed = self.cached;
        let timers = self.timers();
        let since = *self.since.get_or_insert_with(|| timers.now());
        // After a refused value, the call waits for the rest of its time.
        if self.refusals > 0
            && let Some(budget) = options.budget()
        {
            options.wait = Some(Wait::AtMost(budget.saturating_sub(timers.elapsed(since))));
        }
        let own = self.own.as_deref();
        let caller = Caller {
            label: own.and_then(|own| own.label.clone()),
            ..Caller::new(site)
        };
        let pool = own.and_then(|own| own.pool.clone());
        Ok(Box::new(CallSpec {
            near_cache: self.near_cache,
            refuse: self.refused,
            refusals: self.refusals,
            accepts_errors: self.records_errors(),
            runs_unlocked: self.runs_unlocked(),
            // After a refused value, the call has looked already.
            is_fresh: self.is_fresh() && self.refusals == 0,
            validated: self.validated()?.map(Box::new),
            ..CallSpec::new(key, caller, options, pool)
        }))
    }
}

/// Ends a site's name, which has no such byte.
pub(super) fn put_version(version: u32, hash: &mut Sha256) {
    hash.update([0xFF]);
    hash.update(version.to_be_bytes());
}

/// A call on its way to the engine's outcome.
///
/// ```text
/// New ── cached ──> Reading ── no value ──> Waiting
///  └───── otherwise ──────────────────────────^
/// ```
pub(super) struct Entering {
    pub(super) order: Order,
    state: State,
}

#[expect(clippy::large_enum_variant, reason = "a hit allocates no box")]
enum State {
    New,
    Reading(InFlight<Lookup>),
    Waiting(InFlight<Boxed<Result<(Outcome, Trace), Error>>>),
}

impl Entering {
    pub(super) fn new(order: Order) -> Self {
        Self {
            order,
            state: State::New,
        }
    }

    /// Whether it was polled.
    pub(super) fn is_new(&self) -> bool {
        matches!(self.state, State::New)
    }

    /// The name of the site.
    pub(super) fn site(&self) -> Cow<'static, str> {
        self.order.site_name()
    }

    /// The body of the call begins. Only the pool of a test counts it.
    #[cfg(feature = "testing")]
    pub(super) fn count_body(&self) {
        let pool = self.order.pool();
        if let Some(testing) = pool.as_ref().and_then(Pool::testing) {
            testing.count_body(&self.site());
        }
    }

    /// The key, for messages.
    pub(super) fn key_name(&self) -> KeyName {
        let caller = Caller::new(self.order.site_name());
        let key = self.order.key().zip(self.order.pool());
        match key {
            Some((key, pool)) => caller.name(&pool.store_key(key)),
            None => KeyName::new(caller.site, ""),
        }
    }

    pub(super) fn max_block_time(&self) -> Duration {
        self.order.options().max_block_time
    }

    /// Waits for the result of another call, without asking for the lock: the body of this call is gone.
    pub(super) async fn witness(&mut self) -> Result<(Found, KeyName, Trace), Error> {
        let trace = Trace::without_span(Instant::now());
        let key = self.key_name();
        if !self.order.cached {
            return Err(Error::LeaseLost { key });
        }
        let spec = self.order.spec()?;
        let found = InFlight::new(engine::witness(spec)).await?;
        Ok((found, key, trace))
    }

    /// Enters the engine again, and refuses the value with this tag, because it could not be decoded.
    pub(super) fn refuse(&mut self, tag: Option<Tag>) {
        self.order.refused = tag;
        self.order.refusals = self.order.refusals.saturating_add(1);
        self.state = State::New;
    }

    fn enter(&mut self, joined: Option<Joined>) -> Result<(), Error> {
        self.state = State::Waiting(InFlight::new(engine::enter(self.order.spec()?, joined)));
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn ready(outcome: Result<Outcome, Error>) -> Self {
        static SITE: Site = Site::new("m::f");
        let order = Draft::new(&SITE).order::<()>();
        let entered = outcome.map(|outcome| (outcome, Trace::without_span(Instant::now())));
        let state = State::Waiting(InFlight::new(Box::pin(std::future::ready(entered))));
        Self { order, state }
    }
}

impl Future for Entering {
    type Output = Result<(Outcome, Trace), Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match &mut self.state {
                State::New => match self.order.lookup() {
                    Some(Ok(lookup)) => self.state = State::Reading(InFlight::new(lookup)),
                    Some(Err(joined)) => self.enter(Some(joined))?,
                    None => self.enter(None)?,
                },
                State::Reading(lookup) => match ready!(Pin::new(lookup).poll(context)) {
                    Ok(Ok((found, trace))) => {
                        return Poll::Ready(Ok((Outcome::Hit(found, None), trace)));
                    }
                    Ok(Err(joined)) => match joined.failure() {
                        Some(error) if !self.order.runs_unlocked() => {
                            return Poll::Ready(Err(error.clone().at(&self.site())));
                        }
                        _ => self.enter(Some(joined))?,
                    },
                    Err(error) => {
                        let site = self.site();
                        return Poll::Ready(Err(error.at(&site)));
                    }
                },
                State::Waiting(outcome) => return Pin::new(outcome).poll(context),
            }
        }
    }
}
