//! A method: the key says what of `self` matters.
//!
//! `cargo run --example method` (embedded store) or with `DSPINLOCK_URL=redis://host`.

use std::time::Duration;

use dspinlock::dspinlock;
use serde::{Deserialize, Serialize};

struct Client {
    tenant: String,
    connection: &'static str, // not part of any key
}

#[derive(Debug, Serialize, Deserialize)]
struct Invoice {
    tenant: String,
    month: u32,
    total: u64,
}

#[derive(Debug, thiserror::Error)]
enum ClientError {
    #[error("there is no month {0}")]
    NoSuchMonth(u32),
    #[error(transparent)]
    Lock(#[from] dspinlock::Error), // how a lock error reaches the caller
}

impl Client {
    #[dspinlock(key = (self.tenant, month), cached_if_computed, ttl = "1h", lease = "5s")]
    async fn invoice(&self, month: u32) -> Result<Invoice, ClientError> {
        if month > 12 {
            return Err(ClientError::NoSuchMonth(month)); // never kept
        }
        println!("  asking {} ...", self.connection);
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok(Invoice {
            tenant: self.tenant.clone(),
            month,
            total: 100 * u64::from(month),
        })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), ClientError> {
    if std::env::var_os("DSPINLOCK_URL").is_none() {
        dspinlock::init(dspinlock::Pool::open("sqlite::memory:")?)?;
    }
    let [one, other] = ["first", "second"].map(|connection| Client {
        tenant: "acme".into(),
        connection,
    });
    println!("  {:?}", one.invoice(11).await?);
    println!("  {:?}", other.invoice(11).await?); // another client of the same tenant: the same key
    println!("  {}", one.invoice(13).await.unwrap_err());
    Ok(())
}
