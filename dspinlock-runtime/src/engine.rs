//! hit | lead | follow. (stub; the interface is final)

use crate::error::Error;
use crate::key::Key;
use crate::site::Options;
use bytes::Bytes;

/// A future of the engine: it knows nothing of the user's types.
pub(crate) use crate::store::Boxed;

/// One call on its way to the store.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub key: Key,
    /// The site's readable name, for the record of who holds what.
    pub site: Cow<'static, str>,
    pub options: Options,
    /// A Python worker may know this key (`name = ""`).
    pub shared: bool,
    /// The tag of a stored value that this caller could not decode.
    pub refuse: Option<String>,
}
use std::borrow::Cow;

/// What the engine found for a call.
#[derive(Debug)]
pub(crate) enum Entered {
    /// The computed value, and the tag it was published under.
    Hit { payload: Bytes, tag: String },
    /// This caller computes, under this lease.
    Lead(Lead),
}

/// Takes the lock of the global pool, waits for another's result, or reads it. Checks for recursion when first polled.
pub(crate) fn enter(_order: Order) -> Boxed<Result<Entered, Error>> {
    unimplemented!()
}

/// The right to compute: dropping it aborts at once, from the background.
#[derive(Debug)]
pub(crate) struct Lead;

impl Lead {
    /// Polls or runs `body` with this lease as `dspinlock::current()`.
    pub(crate) fn scope<T>(&self, body: impl FnOnce() -> T) -> T {
        body()
    }
    /// Publishes and leaves COMPUTED; `None` where no value is kept. Resolves to nothing to fail for: a lost lease or a
    /// store that is away means that the value is not kept, which is logged here.
    /// `Err` only where the payload is larger than the pool's `max_value_size`.
    pub(crate) fn publish(self, _payload: Option<Bytes>) -> Boxed<Result<(), Error>> {
        unimplemented!()
    }
    pub(crate) fn key(&self) -> &Key {
        unimplemented!()
    }
}
