//! The thread-local state that the combinators set around a call. `fresh`, `served` and the pool of a scope are fields of it.
//!
//! A combinator sets its field for each poll of its call, and restores the outer value afterwards. While a body runs, all fields
//! but the pool are cleared: they count for the locked calls that the combinator's call begins itself.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

use super::how::Served;
use crate::pool::Pool;

/// Whether the process has ever used a combinator, a scope or a binding. Every call looks at it, and most programs use none.
static IN_USE: AtomicBool = AtomicBool::new(false);

thread_local! {
    static CONTEXT: Context = const {
        Context {
            pool: Cell::new(None),
            is_fresh: Cell::new(false),
            recorder: Cell::new(Recorder::Off),
        }
    };
}

/// What is set around the calls that begin or end now.
pub(super) struct Context {
    pub(super) pool: Cell<Option<Pool>>,
    pub(super) is_fresh: Cell<bool>,
    pub(super) recorder: Cell<Recorder>,
}

/// What a `served` around a call has recorded.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Recorder {
    /// There is no `served`.
    #[default]
    Off,
    /// No call has ended yet.
    Empty,
    /// How the last call was served. `None` if it failed with an error of the lock.
    Ended(Option<Served>),
}

#[inline]
pub(super) fn is_in_use() -> bool {
    IN_USE.load(Ordering::Relaxed)
}

pub(super) fn begin_use() {
    IN_USE.store(true, Ordering::Relaxed);
}

/// The pool of the scope.
pub(super) fn pool() -> Option<Pool> {
    let copy = |context: &Context| {
        let pool = context.pool.take();
        context.pool.set(pool.clone());
        pool
    };
    CONTEXT.try_with(copy).ok().flatten()
}

/// Whether the call that begins now computes anew.
#[inline]
pub(crate) fn is_fresh() -> bool {
    is_in_use() && CONTEXT.try_with(|context| context.is_fresh.get()) == Ok(true)
}

/// Records how a call was served that ends now. `None`: it failed with an error of the lock.
#[inline]
pub(crate) fn record(served: impl FnOnce() -> Option<Served>) {
    if is_in_use() {
        ended(served);
    }
}

#[cold]
fn ended(served: impl FnOnce() -> Option<Served>) {
    // Without the context, because the thread ends, nobody reads the record.
    let _ = CONTEXT.try_with(|context| {
        if !matches!(context.recorder.get(), Recorder::Off) {
            context.recorder.set(Recorder::Ended(served()));
        }
    });
}

/// Runs or polls a body, whose calls are not those of the combinators around it.
#[inline]
pub(crate) fn around_body<T>(body: impl FnOnce() -> T) -> T {
    if !is_in_use() {
        return body();
    }
    let body = || with(|context| &context.recorder, Recorder::Off, body).0;
    with(|context| &context.is_fresh, false, body).0
}

/// Runs `body` with this value of a field. Also returns the value of the field at its end.
pub(super) fn with<T: Default, R>(
    field: fn(&Context) -> &Cell<T>,
    value: T,
    body: impl FnOnce() -> R,
) -> (R, T) {
    begin_use();
    let mut restore = Restore {
        field,
        outer: replace(field, value),
    };
    let result = body();
    (result, restore.restore().unwrap_or_default())
}

/// `None` if the thread ends and has no context any more.
fn replace<T>(field: fn(&Context) -> &Cell<T>, value: T) -> Option<T> {
    CONTEXT.try_with(|context| field(context).replace(value)).ok()
}

/// Restores the outer value of a field, also if the body panics.
struct Restore<T> {
    field: fn(&Context) -> &Cell<T>,
    /// `None` after that.
    outer: Option<T>,
}

impl<T> Restore<T> {
    fn restore(&mut self) -> Option<T> {
        replace(self.field, self.outer.take()?)
    }
}

impl<T> Drop for Restore<T> {
    fn drop(&mut self) {
        self.restore();
    }
}
