#![deny(warnings, clippy::all)]

use std::num::TryFromIntError;

use dspinlock::dspinlock;

pub enum Failure {
    Lock(dspinlock::Error),
    Number(TryFromIntError),
}

impl From<dspinlock::Error> for Failure {
    fn from(error: dspinlock::Error) -> Self {
        Self::Lock(error)
    }
}

impl From<TryFromIntError> for Failure {
    fn from(error: TryFromIntError) -> Self {
        Self::Number(error)
    }
}

type Fallible<T = u64> = Result<T, Failure>;

#[dspinlock]
pub async fn itself(id: u64, region: &str) -> Result<usize, dspinlock::Error> {
    Ok(id as usize + region.len())
}

#[dspinlock(cached_if_computed)]
pub async fn from(id: i64) -> Result<u64, Failure> {
    if id == 0 {
        return Ok(0);
    }
    let id = u64::try_from(id)?;
    Ok(id)
}

#[dspinlock(cached_if_computed)]
pub fn alias(id: u64) -> Fallible {
    Ok(id)
}

#[dspinlock(cached_if_computed)]
pub fn anyhow(id: u64) -> anyhow::Result<u64> {
    anyhow::ensure!(id > 0, "zero");
    Ok(u64::try_from(i128::from(id))?)
}

#[dspinlock]
pub async fn boxed(text: &str) -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
    Ok(text.parse()?)
}

#[dspinlock(map_err = Failure::Lock)]
pub async fn mapped(id: u64) -> Fallible<()> {
    let _ = id;
    Ok(())
}

#[dspinlock(map_err = |_| "locked", cached_if_computed)]
pub fn mapped_by_a_closure(id: u64) -> Result<u64, &'static str> {
    if id == 0 { Err("zero") } else { Ok(id) }
}

#[dspinlock(map_err = |error| error.to_string())]
pub fn text(id: u64) -> Result<u64, String> {
    Ok(id)
}

fn main() {}
