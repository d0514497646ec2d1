#![deny(warnings, clippy::all)]

use std::fmt::Debug;
use std::pin::Pin;

use dspinlock::dspinlock;

type Result<T = u64> = std::result::Result<T, dspinlock::Error>;

#[dspinlock]
pub async fn recursive(n: u64) -> Result {
    if n == 0 {
        return Ok(1);
    }
    Ok(n * Box::pin(recursive(n - 1)).await?)
}

#[dspinlock]
pub async fn boxed_future(n: u64) -> Result {
    let future: Pin<Box<dyn Future<Output = Result> + Send>> = Box::pin(recursive(n));
    future.await
}

#[dspinlock(key = text)]
pub async fn callbacks(
    text: &str,
    borrows: impl for<'a> Fn(&'a str) -> &'a str,
    changes: &mut dyn FnMut(u64),
    shows: &(dyn Debug + Sync),
) -> Result<String> {
    changes(1);
    Ok(format!("{}{shows:?}", borrows(text)))
}

#[dspinlock(key = *text)]
pub fn unsized_key(text: Box<str>) -> Result<Box<str>> {
    Ok(text)
}

#[dspinlock(key = "{{{id:>5}}}")]
pub fn escaped(id: u64) -> Result {
    Ok(id)
}

#[dspinlock(key = ())]
pub fn iterator(list: &mut [u8]) -> Result<std::slice::IterMut<'_, u8>> {
    Ok(list.iter_mut())
}

#[dspinlock(key = ())]
pub fn coerced_sync(list: Vec<u8>) -> Result<Box<dyn Iterator<Item = u8>>> {
    Ok(Box::new(list.into_iter()))
}

#[dspinlock(key = ())]
pub async fn coerced(id: u64) -> Result<Box<dyn Fn() -> u64 + Send>> {
    if id == 0 {
        return Ok(Box::new(|| 0));
    }
    Ok(Box::new(move || id))
}

#[dspinlock]
pub async fn not_send(id: u64) -> Result {
    let local = std::rc::Rc::new(id);
    std::future::ready(()).await;
    Ok(*local)
}

#[dspinlock(on_error = panic)]
pub fn diverges(id: u64) -> u64 {
    panic!("{id}")
}

#[dspinlock(on_error = run_unlocked, cached_if_computed)]
pub fn factorial(n: u64) -> u64 {
    if n == 0 { 1 } else { n * factorial(n - 1) }
}

#[dspinlock]
pub async fn outer(id: u64) -> Result {
    #[dspinlock]
    async fn inner(id: u64) -> Result {
        Ok(id)
    }
    inner(id).await
}

#[dspinlock(key = (), cached_if_computed)]
pub async fn breaks(mut list: Vec<u8>) -> Result<u8> {
    loop {
        match list.pop() {
            Some(large) if large > 3 => break Ok(large),
            Some(_) => continue,
            None => return Ok(0),
        }
    }
}

/// The names of the expansion and of the arguments never shadow each other.
#[dspinlock]
pub async fn names(site: u64, call: u64, run: u64, body: u64, dspinlock: u64) -> Result {
    Ok(site + call + run + body + dspinlock)
}

mod core {}
mod std_ {
    pub use ::std::*;
}

#[dspinlock(key = "{id}", cached_if_computed, ttl = "1s", map_err = std_::convert::identity)]
pub async fn shadowed_crates(id: u64) -> Result {
    Ok(id)
}

fn is_send<T: Send>(_: T) {}

fn main() {
    is_send(boxed_future(1));
    is_send(breaks(Vec::new()));
    is_send(coerced(1));
    is_send(outer(1));
}
