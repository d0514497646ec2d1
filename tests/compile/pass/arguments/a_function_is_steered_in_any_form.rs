//! `entry`, `version`, `label`, `validate`, `err_ttl`, a closure of `ttl`, `on_busy` and `pool` on every kind of function.
#![deny(warnings, clippy::all)]

use std::time::Duration;

use dspinlock::{Entry, Pool, dspinlock};
use serde::{Deserialize, Serialize};
use serde::de::DeserializeOwned;

#[derive(Debug, Serialize, Deserialize)]
pub enum Failed {
    Closed,
    Lock(String),
}

impl From<dspinlock::Error> for Failed {
    fn from(error: dspinlock::Error) -> Self {
        Self::Lock(error.to_string())
    }
}

type Outcome<T> = Result<T, Failed>;

pub struct Token {
    pool: Pool,
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("token")
    }
}

const SHORT: Duration = Duration::from_secs(1);

#[dspinlock(
    key = id,
    version = 2,
    label = "user:{id:>8}",
    validate = (amount, "{currency}"),
    cached_if_computed,
    ttl = |value| Duration::from_secs(*value),
    err_ttl = "1s",
    pool = pool,
    entry = sync_entry,
)]
pub fn sync(id: u64, amount: u64, currency: &str, pool: &Pool) -> Outcome<u64> {
    let _ = (pool, currency);
    if id == 0 { Err(Failed::Closed) } else { Ok(amount) }
}

#[dspinlock(
    key = id,
    version = 0,
    label = "{id}",
    validate = amount,
    cached_if_computed,
    near_cache = "1s",
    ttl = |value: &Option<u64>| value.map(Duration::from_secs),
    err_ttl = |error: &Failed| match error {
        Failed::Closed => Some(SHORT),
        Failed::Lock(_) => None,
    },
    on_busy = skip,
    pool = &pool,
    entry = r#async,
)]
pub async fn asynchronous(id: u64, amount: u64, pool: Pool) -> Outcome<Option<u64>> {
    drop(pool);
    std::future::ready(Ok(Some(amount))).await
}

/// Names inside of the closure are not those of the arguments.
#[dspinlock(cached_if_computed, ttl = |id| Duration::from_secs(*id), on_error = run_unlocked, entry = shadowed_entry)]
pub fn shadowed(id: u64) -> u64 {
    id
}

#[dspinlock(cached_if_computed, err_ttl = "0s", map_err = |error| error.to_string())]
pub async fn for_waiters(id: u64) -> Result<u64, String> {
    Ok(id)
}

#[dspinlock(fail_if_key_exists, ttl = |done| done.then_some(SHORT), on_error = panic, version = 1)]
pub fn job(day: &str) -> bool {
    day.is_empty()
}

#[dspinlock(fail_if_key_exists, on_busy = skip, wait = "1s", on_error = panic)]
pub async fn nightly(day: &str) {
    println!("{day}");
}

#[dspinlock(on_busy = skip, max_spinlock_tries = 3, name = "")]
pub fn shared(id: u64) -> Result<Option<u64>, anyhow::Error> {
    Ok(Some(id))
}

#[dspinlock(label = "constant", on_busy = skip, on_error = run_unlocked)]
pub fn optional(id: u64) -> Option<u64> {
    Some(id)
}

/// A locked function without stored values has an entry, too.
#[dspinlock(entry = uncached_entry)]
pub async fn uncached(id: u64) -> Result<Token, anyhow::Error> {
    anyhow::bail!("no pool for {id}")
}

#[dspinlock(key = "{id:?}", cached_if_computed, version = 3, label = "{id:?}", entry = generic_entry)]
pub fn generic<T: std::fmt::Debug + Serialize + DeserializeOwned, const N: usize>(id: T) -> Outcome<Vec<T>> {
    Ok(vec![id])
}

#[dspinlock(cached_if_computed, err_ttl = |_| SHORT, ttl = |_| None, entry = generic_async_entry)]
pub async fn generic_async<T>(id: T) -> Result<T, Failed>
where
    T: Serialize + DeserializeOwned + Send,
{
    Ok(id)
}

#[dspinlock(key = lookup(id)?, validate = lookup(id).ok(), cached_if_computed, entry = fallible_entry)]
pub fn fallible(id: u64) -> Outcome<u64> {
    Ok(id)
}

#[dspinlock(key = lookup_async(id).await?, cached_if_computed, entry = awaited_entry)]
pub async fn awaited(id: u64) -> Outcome<u64> {
    Ok(id)
}

fn lookup(id: u64) -> Outcome<u64> {
    Ok(id)
}

async fn lookup_async(id: u64) -> Outcome<u64> {
    Ok(id)
}

impl Token {
    #[dspinlock(
        key = id,
        validate = self.pool.namespace_of(),
        label = "{id}",
        version = 7,
        cached_if_computed,
        ttl = |value| Some(Duration::from_secs(*value)),
        err_ttl = "1s",
        pool = &self.pool,
        entry = value_entry,
    )]
    pub async fn value(&self, id: u64) -> Outcome<u64> {
        Ok(id)
    }

    #[dspinlock(skip(self), on_busy = skip, pool = &self.pool, entry = changed_entry)]
    pub(crate) fn changed(&mut self, id: u64) -> Outcome<()> {
        println!("{id}");
        Ok(())
    }

    #[dspinlock(key = (), cached_if_computed, entry = associated_entry)]
    pub fn associated() -> Outcome<u64> {
        Ok(1)
    }
}

trait Name {
    fn namespace_of(&self) -> u64;
}

impl Name for Pool {
    fn namespace_of(&self) -> u64 {
        1
    }
}

pub trait Sells {
    fn sell(&self, id: u64, amount: u64) -> Outcome<Option<u64>>;
}

impl Sells for Token {
    #[dspinlock(
        key = id,
        version = 1,
        label = "{id}",
        validate = amount,
        cached_if_computed,
        ttl = |value| value.map(Duration::from_secs),
        err_ttl = |_| SHORT,
        on_busy = skip,
        pool = &self.pool,
    )]
    fn sell(&self, id: u64, amount: u64) -> Outcome<Option<u64>> {
        Ok(id.checked_sub(amount))
    }
}

#[async_trait::async_trait]
pub trait Stocks {
    async fn stock(&self, id: u64, amount: u64) -> Outcome<Option<u64>>;
}

#[async_trait::async_trait]
impl Stocks for Token {
    #[dspinlock(
        key = id,
        name = "stock",
        version = 1,
        label = "{id} of {self:>8}",
        validate = (amount, "{amount}", format!("{{self}} {self}")),
        cached_if_computed,
        ttl = |value| value.map(Duration::from_secs),
        err_ttl = SHORT * id.min(2) as u32,
        on_busy = skip,
        pool = &self.pool,
    )]
    async fn stock(&self, id: u64, amount: u64) -> Outcome<Option<u64>> {
        Ok(id.checked_sub(amount))
    }
}

macro_rules! steered {
    ($name:ident, $entry:ident, $key:ident: $ty:ty, $validate:expr, $version:literal, $label:literal, $ttl:expr, $err_ttl:expr) => {
        #[dspinlock(
            key = $key,
            validate = $validate,
            version = $version,
            label = $label,
            cached_if_computed,
            ttl = $ttl,
            err_ttl = $err_ttl,
            entry = $entry,
        )]
        pub async fn $name($key: $ty) -> Outcome<u64> {
            Ok(u64::from($key))
        }
    };
}

steered!(by_macro, by_macro_entry, id: u32, 1 + 1, 2, "user", |value| Duration::from_secs(*value), |_| SHORT);
steered!(by_macro_of_literals, by_macro_of_literals_entry, id: u32, ("text", id), 2, "user", "1m", "1s");

pub fn nested() -> Entry<Outcome<u64>> {
    #[dspinlock(cached_if_computed, entry = inner_entry, version = 2, label = "{id}")]
    fn inner(id: u64) -> Outcome<u64> {
        Ok(id)
    }
    let _ = inner(1);
    inner_entry(1)
}

/// The entries have the return types of the functions.
pub async fn entries(token: &mut Token) -> Outcome<()> {
    let pool = &token.pool;
    let _: Entry<Outcome<u64>> = sync_entry(1, 2, "EUR", pool);
    let _: Entry<Outcome<Option<u64>>> = r#async(1, 2, pool.clone());
    let _: Entry<u64> = shadowed_entry(1);
    let _: Entry<Result<Token, anyhow::Error>> = uncached_entry(1);
    let _: Entry<Outcome<Vec<u8>>> = generic_entry::<u8, 3>(1);
    let _: Entry<Outcome<u8>> = generic_async_entry(1_u8);
    let _: Entry<Outcome<u64>> = fallible_entry(1)?;
    let _: Entry<Outcome<u64>> = awaited_entry(1).await?;
    let _: Entry<Outcome<u64>> = token.value_entry(1);
    let _: Entry<Outcome<()>> = token.changed_entry(1);
    let _: Entry<Outcome<u64>> = Token::associated_entry();
    let _: [Entry<Outcome<u64>>; 2] = [by_macro_entry(1), by_macro_of_literals_entry(1)];
    Ok(())
}

fn main() {}
