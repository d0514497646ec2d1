//! Free functions, async and sync, with every way of spelling a result.
#![deny(warnings, clippy::all, missing_docs)]

use std::collections::HashMap;

use dspinlock::dspinlock;

/// What something costs.
#[derive(serde::Serialize, serde::Deserialize)]
pub struct Price {
    /// In cents.
    pub amount: u64,
}

/// An error of the user's.
#[derive(Debug)]
pub enum Failure {
    /// The lock failed.
    Lock(dspinlock::Error),
    /// The number was too large.
    Number(std::num::TryFromIntError),
}

impl From<dspinlock::Error> for Failure {
    fn from(error: dspinlock::Error) -> Self {
        Self::Lock(error)
    }
}

impl From<std::num::TryFromIntError> for Failure {
    fn from(error: std::num::TryFromIntError) -> Self {
        Self::Number(error)
    }
}

type Fallible<T = u64> = Result<T, Failure>;

/// No arguments to the attribute: all arguments of the function are the key.
#[dspinlock]
pub async fn price(id: u64, region: &str) -> Result<Price, dspinlock::Error> {
    let _ = region;
    Ok(Price { amount: id })
}

/// `?` and early returns behave.
#[dspinlock(cached_if_computed)]
pub async fn question_mark(id: i64) -> Result<u64, Failure> {
    if id == 0 {
        return Ok(0);
    }
    let id = u64::try_from(id)?;
    Ok(id)
}

/// In sync functions too.
#[dspinlock(key = "price:{id}", cached_if_computed, ttl = "1m")]
pub fn price_now(id: u64) -> anyhow::Result<Price> {
    anyhow::ensure!(id > 0, "zero");
    if id == 7 {
        return Ok(Price { amount: 0 });
    }
    let amount = u64::try_from(i128::from(id))?;
    Ok(Price { amount })
}

/// An alias with a default.
#[dspinlock(cached_if_computed)]
pub fn aliased(id: u64) -> Fallible {
    Ok(id)
}

/// An optional value.
#[dspinlock(cached_if_computed)]
pub async fn maybe(id: u64) -> Result<Option<HashMap<String, Price>>, Failure> {
    Ok((id > 0).then(HashMap::new))
}

/// A lock error is mapped.
#[dspinlock(map_err = Failure::Lock)]
pub async fn mapped(id: u64) -> Fallible<()> {
    let _ = id;
    Ok(())
}

/// A lock error is mapped by a closure, to a borrowed error.
#[dspinlock(map_err = |_| "locked", cached_if_computed)]
pub fn mapped_here(id: u64) -> Result<u64, &'static str> {
    if id == 0 { Err("zero") } else { Ok(id) }
}

/// A plain value.
#[dspinlock(key = id, on_error = run_unlocked, cached_if_computed)]
pub async fn plain(mut id: u64, _unused: u8) -> u64 {
    id += 1;
    id
}

/// Nothing to return.
#[dspinlock(on_error = panic)]
pub fn unit(id: &[u8]) {
    drop(id.to_vec());
}

/// Nothing to return, in time.
#[dspinlock(on_error = panic, cached_if_computed)]
pub async fn unit_async(id: &[u8]) {
    if id.is_empty() {
        return;
    }
    std::future::ready(()).await;
}

/// `on_error` where there is a `Result`: the error type need not know of locks.
#[dspinlock(on_error = run_unlocked, cached_if_computed)]
pub fn unlocked(id: u64) -> Result<u64, std::num::TryFromIntError> {
    u64::try_from(i128::from(id))
}

/// An error of any type.
#[dspinlock]
pub async fn any_error(text: &str) -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
    Ok(text.parse()?)
}

/// A coercion in the body.
#[dspinlock(key = 1)]
pub async fn coerced(id: u64) -> Result<Box<dyn Fn() -> u64 + Send>, Failure> {
    if id == 0 {
        return Ok(Box::new(|| 0));
    }
    Ok(Box::new(move || id))
}

/// A body that is not `Send`.
#[dspinlock]
pub async fn not_send(id: u64) -> Result<u64, Failure> {
    let local = std::rc::Rc::new(id);
    std::future::ready(()).await;
    Ok(*local)
}

/// A body that never ends in its value.
#[dspinlock(on_error = panic)]
pub fn diverges(id: u64) -> u64 {
    panic!("{id}")
}

/// A recursive function with another key.
#[dspinlock(on_error = run_unlocked, cached_if_computed)]
pub fn factorial(n: u64) -> u64 {
    if n == 0 { 1 } else { n * factorial(n - 1) }
}

/// A locked function within another.
#[dspinlock]
pub async fn outer(id: u64) -> Result<u64, Failure> {
    #[dspinlock]
    async fn price(id: u64) -> Result<u64, Failure> {
        Ok(id)
    }
    price(id).await
}

/// Attributes stay, and those at the head of the body move out of it.
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

/// A borrowed result that is not kept.
#[dspinlock]
pub fn borrowed<'a>(id: u64, text: &'a str, more: &mut Vec<u64>) -> Result<&'a str, Failure> {
    more.push(id);
    Ok(&text[1..])
}

/// With elided lifetimes.
#[dspinlock]
pub fn elided(text: &str) -> Result<std::borrow::Cow<'_, str>, Failure> {
    Ok(text.into())
}

/// A mutable borrow in the result.
#[dspinlock(key = 1)]
pub async fn borrowed_mutably(vec: &mut Vec<u64>) -> Result<&mut u64, Failure> {
    vec.push(1);
    Ok(&mut vec[0])
}

/// The same in a sync function.
#[dspinlock(key = 1)]
pub fn borrowed_mutably_now(vec: &mut Vec<u64>) -> Result<&mut u64, Failure> {
    vec.push(1);
    Ok(&mut vec[0])
}

/// A raw name.
#[dspinlock]
pub async fn r#type(r#fn: u64) -> Result<u64, Failure> {
    Ok(r#fn)
}

fn is_send<T: Send>(_: T) {}

fn main() {
    // Only compiled: nothing is polled.
    is_send(price(1, "eu"));
    is_send(coerced(1));
    is_send(outer(1));
}
