#![deny(warnings, clippy::all, missing_docs)]
//! The attribute keeps docs and lints.

use dspinlock::dspinlock;

type Result<T = u64> = std::result::Result<T, dspinlock::Error>;

/// Attributes at the head of the body move in front of the function.
#[must_use]
#[inline(never)]
#[allow(unused_variables)]
#[dspinlock(on_error = panic)]
pub fn attributes(id: u64) -> u64 {
    #![allow(clippy::let_and_return)]
    #![doc = "More."]
    let unused = 1;
    let id = id;
    id
}

/// A value that is not cached may be borrowed.
#[dspinlock]
pub fn borrowed<'a>(id: u64, text: &'a str, more: &mut Vec<u64>) -> Result<&'a str> {
    more.push(id);
    Ok(&text[1..])
}

/// With elided lifetimes.
#[dspinlock]
pub fn elided(text: &str) -> Result<std::borrow::Cow<'_, str>> {
    Ok(text.into())
}

/// With a mutable borrow.
#[dspinlock(key = ())]
pub async fn borrowed_mutably(vec: &mut Vec<u64>) -> Result<&mut u64> {
    vec.push(1);
    Ok(&mut vec[0])
}

/// With a mutable borrow, in a sync function.
#[dspinlock(key = ())]
pub fn borrowed_mutably_sync(vec: &mut Vec<u64>) -> Result<&mut u64> {
    vec.push(1);
    Ok(&mut vec[0])
}

/// With raw identifiers.
#[dspinlock]
pub async fn r#type(r#fn: u64) -> Result {
    Ok(r#fn)
}

fn main() {}
