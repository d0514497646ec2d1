//! Locks without the attribute. `HashDSpinlock` hashes a value to a key, and `DSpinlockBase` takes a custom key.
//!
//! Run it: `cargo run --example explicit_lock`.
//! The store is in memory. Set `DSPINLOCK_URL`, for example to `redis://127.0.0.1`, to use a server.
//!
//! Async code uses `acquire().await` and `release().await` instead of the blocking methods.

use std::time::Duration;

use dspinlock::{Acquired, DSpinlockBase, Error, HashDSpinlock, Options, Pool};

fn main() -> Result<(), Error> {
    let url = std::env::var("DSPINLOCK_URL").unwrap_or_else(|_| "sqlite::memory:".into());
    let pool = Pool::open(&url)?;
    dspinlock::init(pool.clone())?;
    hashed_key(&pool)?;
    custom_key()
}

/// `HashDSpinlock("example")` in Python has the same key.
fn hashed_key(pool: &Pool) -> Result<(), Error> {
    let lock = HashDSpinlock::new("example").pool(pool);
    println!("key {}", lock.key()?);
    if let Acquired::Locked(lease) = lock.acquire_blocking()? {
        println!("acquired, fence {}", lease.fence());
        lease.release_blocking()?; // marks the key as computed; a dropped lease frees it
    }
    println!("deleted: {}", lock.delete_state_blocking()?);
    Ok(())
}

struct Migration(u32);

impl DSpinlockBase for Migration {
    fn key(&self) -> String {
        format!("migration,{}", self.0)
    }

    fn options(&self) -> Options {
        Options::new()
            .cached_if_computed(true)
            .ttl(Duration::from_secs(60))
    }
}

/// The first attempt acquires the lock. Because of `cached_if_computed`, the second attempt finds that the migration is done.
fn custom_key() -> Result<(), Error> {
    for attempt in 1..=2 {
        match Migration(7).acquire_blocking()? {
            Acquired::Locked(lease) => {
                println!("attempt {attempt}: migrates");
                lease.release_blocking()?;
            }
            Acquired::Computed => println!("attempt {attempt}: already done"),
        }
    }
    Migration(7).delete_state_blocking()?;
    Ok(())
}
