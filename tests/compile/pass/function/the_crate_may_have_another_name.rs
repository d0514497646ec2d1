#![deny(warnings, clippy::all)]

/// The prelude of a company.
pub mod common {
    pub use dspinlock;

    /// Locks a function, and needs no `dspinlock` at its caller.
    #[macro_export]
    macro_rules! report {
        ($name:ident) => {
            #[$crate::common::dspinlock::dspinlock(
                crate = $crate::common::dspinlock, cached_if_computed, on_error = run_unlocked
            )]
            pub async fn $name(id: u64) -> u64 {
                id
            }
        };
    }
}

/// Here `::dspinlock` is another crate.
pub mod renamed {
    use crate::common::dspinlock as lock;

    #[lock::dspinlock(crate = lock, key = "{id}", cached_if_computed, near_cache = "1s", ttl = "1m")]
    pub async fn price(id: u64) -> Result<u64, lock::Error> {
        Ok(id)
    }

    #[lock::dspinlock(
        crate = lock,
        key = id,
        version = 2,
        label = "{id}",
        validate = amount,
        cached_if_computed,
        ttl = |_| Some(std::time::Duration::from_secs(1)),
        err_ttl = "1s",
        on_busy = skip,
        pool = pool,
        map_err = |error| error.to_string(),
        entry = steered_entry,
    )]
    pub async fn steered(id: u64, amount: u64, pool: &lock::Pool) -> Result<Option<u64>, String> {
        let _ = pool;
        Ok(id.checked_sub(amount))
    }

    pub fn entry(pool: &lock::Pool) -> lock::Entry<Result<Option<u64>, String>> {
        steered_entry(1, 2, pool)
    }

    #[lock::dspinlock(crate = super::common::dspinlock, on_error = panic)]
    pub fn nothing(id: u64) {
        let _ = id;
    }
}

pub struct Shop;

#[async_trait::async_trait]
pub trait Sells {
    async fn sell(&self, id: u64) -> Result<u64, dspinlock::Error>;
}

#[async_trait::async_trait]
impl Sells for Shop {
    #[common::dspinlock::dspinlock(crate = crate::common::dspinlock, skip(self))]
    async fn sell(&self, id: u64) -> Result<u64, dspinlock::Error> {
        Ok(id)
    }
}

report!(weekly);

fn main() {}
