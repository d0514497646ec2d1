//! The part of a call before the engine: it hashes the key, reads the near cache and builds the engine's specification.
//!
//! `call` and `future` call it. It is not generic, so that it is compiled once.

use std::any::Any;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::site::Site;
use super::site_name::{site_name, site_name_pieces};
use crate::engine::{self, CallSpec, Entered};
use crate::error::Error;
use crate::key::{Format, Key, KeyHasher};
use crate::options::Options;
use crate::pool::Pool;
use crate::protocol::tag::Tag;
use crate::rt::clock::Instant;
use crate::rt::in_flight::InFlight;

/// A call whose options and key are being set.
pub(super) struct Draft {
    pub(super) site: &'static Site,
    pub(super) hasher: KeyHasher,
    pub(super) cached: bool,
    pub(super) near_cache: Option<Duration>,
    /// Set if an option is an expression. Boxed, because every future contains it and few calls have one.
    pub(super) options: Option<Box<Options>>,
}

impl Draft {
    #[inline]
    pub(super) fn new(site: &'static Site) -> Self {
        Self {
            site,
            hasher: KeyHasher::new(site.format() == Format::Shared),
            cached: false,
            near_cache: site.near_cache,
            options: None,
        }
    }

    pub(super) fn options(&mut self) -> &mut Options {
        let site = &self.site.options;
        self.options.get_or_insert_with(|| Box::new(site.clone()))
    }

    /// `body_type` is the `type_name` of the body.
    pub(super) fn start(&mut self, body_type: &'static str) -> Start {
        let site = self.site;
        let name = |hash: &mut Sha256| site_name_pieces(site, body_type, |piece| hash.update(piece));
        Start {
            site,
            digest: self.hasher.digest(name),
            cached: self.cached,
            near_cache: self.near_cache,
            options: self.options.take(),
        }
    }
}

/// A call with its key. It has sent nothing yet.
pub(super) struct Start {
    site: &'static Site,
    /// `None` if a part of the key could not be serialized.
    digest: Option<[u8; 32]>,
    cached: bool,
    near_cache: Option<Duration>,
    options: Option<Box<Options>>,
}

impl Start {
    /// The value in the near cache. Allocates nothing and takes no lock.
    pub(super) fn near_hit<R>(&self, from_entry: fn(&(dyn Any + Send + Sync)) -> Option<R>) -> Option<R> {
        let age = self.near_cache?;
        let key = Key::new(Format::Single, self.site.options.prefix.clone(), self.digest?);
        let now = Instant::now();
        let pool = Pool::global_if_open()?;
        pool.near_cache().get(&pool.store_key(key), now, age, from_entry)
    }

    /// Enters the engine.
    pub(super) fn enter(self, body_type: &'static str) -> Entering {
        match self.into_spec(body_type) {
            Ok(spec) => Entering {
                future: InFlight::new(engine::enter(spec)),
            },
            Err(error) => Entering::ready(Err(error)),
        }
    }

    fn into_spec(self, body_type: &'static str) -> Result<Box<CallSpec>, Error> {
        let site = site_name(self.site, body_type);
        let Some(digest) = self.digest else {
            let site = site.into_owned();
            return Err(Error::ProvidedObjectIsNotHashable { site });
        };
        let mut options = match self.options {
            Some(options) => *options,
            None => self.site.options.clone(),
        };
        options.cached_if_computed = self.cached;
        Ok(Box::new(CallSpec {
            key: Key::new(self.site.format(), options.prefix.clone(), digest),
            site,
            options,
            near_cache: self.near_cache,
            refuse: None,
            refusals: 0,
        }))
    }
}

/// A call that waits for the engine's outcome.
pub(super) struct Entering {
    pub(super) future: InFlight<'static, Entered>,
}

impl Entering {
    /// A call whose outcome is known.
    pub(super) fn ready(outcome: Result<Entered, Error>) -> Self {
        Self {
            future: InFlight::new(Box::pin(std::future::ready(outcome))),
        }
    }

    /// Enters the engine again, and refuses the value with this tag, because it could not be decoded.
    pub(super) fn refuse(&mut self, mut spec: Box<CallSpec>, tag: Option<Tag>) {
        spec.refuse(tag);
        self.future = InFlight::new(engine::enter(spec));
    }
}
