//! An async method with its own error type. The key contains the fields of `self` that matter.
//!
//! Run it: `cargo run --example method`.
//! The store is in memory. Set `DSPINLOCK_URL`, for example to `redis://127.0.0.1`, to use a server.

use std::time::Duration;

use dspinlock::{Pool, dspinlock};
use serde::{Deserialize, Serialize};

struct Client {
    tenant: String,
    connection: &'static str,
}

/// A cached value implements `Serialize` and `Deserialize`.
#[derive(Debug, Serialize, Deserialize)]
struct Invoice {
    tenant: String,
    total: u64,
}

#[derive(Debug, thiserror::Error)]
enum ClientError {
    #[error("there is no month {0}")]
    NoSuchMonth(u32),
    /// `From` converts errors of the lock.
    #[error(transparent)]
    Lock(#[from] dspinlock::Error),
}

impl Client {
    /// `connection` is not part of the key, so all clients of a tenant share an invoice.
    #[dspinlock(key = (self.tenant, month), cached_if_computed, ttl = "1h")]
    async fn invoice(&self, month: u32) -> Result<Invoice, ClientError> {
        if month > 12 {
            return Err(ClientError::NoSuchMonth(month)); // an error is never cached
        }
        println!("the {} connection computes the invoice ...", self.connection);
        tokio::time::sleep(Duration::from_millis(100)).await; // the expensive part
        Ok(Invoice {
            tenant: self.tenant.clone(),
            total: 100 * u64::from(month),
        })
    }
}

#[tokio::main]
async fn main() -> Result<(), ClientError> {
    let url = std::env::var("DSPINLOCK_URL").unwrap_or_else(|_| "sqlite::memory:".into());
    dspinlock::init(Pool::open(&url)?)?;

    let [first, second] = ["first", "second"].map(|connection| Client {
        tenant: "acme".into(),
        connection,
    });
    println!("first:  {:?}", first.invoice(11).await?);
    println!("second: {:?}", second.invoice(11).await?); // the cached value
    println!("error:  {}", first.invoice(13).await.unwrap_err());
    Ok(())
}
