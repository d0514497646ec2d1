#![deny(warnings, clippy::all)]

use std::fmt::Debug;

use dspinlock::dspinlock;
use serde::Serialize;
use serde::de::DeserializeOwned;

type Result<T = u64> = std::result::Result<T, anyhow::Error>;

#[derive(Serialize)]
pub struct Point {
    x: u64,
    y: u64,
}

#[dspinlock]
pub async fn tuple((a, mut b): (u64, u64), [c, d]: [u8; 2]) -> Result {
    b += a;
    Ok(b + u64::from(c + d))
}

#[dspinlock]
pub fn tuple_sync((a, mut b): (u64, u64), [c, d]: [u8; 2]) -> Result {
    b += a;
    Ok(b + u64::from(c + d))
}

#[dspinlock]
pub fn fields(Point { x, y: up }: Point, &z: &u64) -> Result {
    Ok(x + up + z)
}

#[dspinlock(key = "{x}")]
pub fn some_fields(Point { x, .. }: Point, _: &std::cell::Cell<u8>) -> Result {
    Ok(x)
}

#[dspinlock]
pub fn whole(all @ (_, b): (u64, u64)) -> Result<(u64, u64)> {
    Ok((all.0, b))
}

#[dspinlock]
pub async fn mutable(mut n: u64, mut text: String, list: &mut Vec<u64>) -> Result<String> {
    n += 1;
    text.push('!');
    list.push(n);
    Ok(text)
}

#[dspinlock]
pub fn mutable_sync(mut n: u64, mut text: String, list: &mut Vec<u64>) -> Result<String> {
    n += 1;
    text.push('!');
    list.push(n);
    Ok(text)
}

#[dspinlock(key = (&value, list.as_slice()), cached_if_computed)]
pub async fn generic<T, const N: usize>(value: T, list: [u8; N]) -> Result<(T, usize)>
where
    T: Serialize + DeserializeOwned,
{
    Ok((value, list.len()))
}

#[dspinlock(cached_if_computed, skip(T, N))]
pub fn skipped<T: Debug, const N: usize>(list: &[u8]) -> Result<usize> {
    Ok(list.len() + N)
}

#[dspinlock(on_error = panic, cached_if_computed)]
pub fn plain<T>(value: T) -> T
where
    T: Serialize + DeserializeOwned,
{
    value
}

#[dspinlock]
pub async fn lifetimes<'a, 'b: 'a>(a: &'a str, b: &'b str) -> Result<&'a str> {
    Ok(if a.is_empty() { b } else { a })
}

#[dspinlock]
pub async fn impl_trait(part: impl Serialize + Debug, list: &[impl Serialize]) -> Result<usize> {
    Ok(format!("{part:?}").len() + list.len())
}

#[dspinlock(key = list.len())]
pub fn called(list: &[u64], mut each: impl FnMut(u64), boxed: Box<dyn FnOnce() -> u64>) -> Result {
    list.iter().copied().for_each(&mut each);
    Ok(boxed())
}

pub struct Holder<T>(T);

impl<T: Serialize + DeserializeOwned + Clone> Holder<T> {
    #[dspinlock(key = &self.0, cached_if_computed)]
    pub async fn hold<U: Serialize>(&self, _other: U) -> Result<T> {
        Ok(self.0.clone())
    }
}

pub trait Source {
    type Output;
    fn get(&self) -> Self::Output;
}

#[dspinlock(key = (), on_error = run_unlocked, cached_if_computed)]
pub fn associated<S: Source>(source: S) -> S::Output
where
    S::Output: Serialize + DeserializeOwned,
{
    source.get()
}

#[dspinlock(skip(list), cached_if_computed)]
pub fn skipped_mutable(id: u64, list: &mut Vec<u64>) -> Result<u64> {
    list.push(id);
    Ok(id)
}

#[dspinlock(skip(callback, pointer, change), cached_if_computed)]
pub fn called_with_mutable(
    id: u64,
    callback: impl Fn(&mut u64),
    pointer: fn(&mut u64),
    change: &dyn Fn(&mut u64),
) -> Result<u64> {
    let mut id = id;
    callback(&mut id);
    pointer(&mut id);
    change(&mut id);
    Ok(id)
}

#[dspinlock]
pub fn uncached_mutable(list: &mut Vec<u64>) -> Result<()> {
    list.push(1);
    Ok(())
}

fn main() {}
