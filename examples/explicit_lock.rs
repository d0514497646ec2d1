//! A lock without a function around it, and a key scheme of one's own.
//!
//! `cargo run --example explicit_lock` (embedded store) or with `DSPINLOCK_URL=redis://host`.

use std::time::Duration;

use dspinlock::{Acquired, DSpinlockBase, Error, HashDSpinlock, Options, Pool};

struct Migration(u32);

impl DSpinlockBase for Migration {
    fn key(&self) -> String {
        format!("migration,{}", self.0)
    }

    fn options(&self) -> Options {
        Options {
            cached_if_computed: true,
            ttl: Duration::from_secs(60),
            ..Options::default()
        }
    }
}

fn main() -> Result<(), Error> {
    let url = std::env::var("DSPINLOCK_URL").unwrap_or_else(|_| "sqlite::memory:".into());
    let pool = Pool::open(&url)?;
    dspinlock::init(pool.clone())?;

    let lock = HashDSpinlock::new("example")?
        .pool(&pool)
        .lease(Duration::from_secs(5));
    println!("  {}", lock.key()); // as py-dspinlock's HashDSpinlock("example").get_key()
    match lock.acquire_blocking()? {
        Acquired::Locked(lease) => {
            println!("  locked, fence {}", lease.fence());
            lease.release_blocking()?; // leaves COMPUTED; dropping it instead would leave nothing
        }
        Acquired::Computed => unreachable!("only with cached_if_computed"),
    }
    println!("  deleted: {}", lock.delete_state_blocking()?);

    for attempt in 1..=2 {
        match Migration(7).acquire_blocking()? {
            Acquired::Locked(lease) => {
                println!("  attempt {attempt}: migrating");
                lease.release_blocking()?;
            }
            Acquired::Computed => println!("  attempt {attempt}: done already"),
        }
    }
    Migration(7).delete_state_blocking()?;
    Ok(())
}
