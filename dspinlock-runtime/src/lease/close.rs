//! The end of a pool. Users call it. It waits for the leases of the pool, then gives them up.

use std::time::Duration;

use super::heartbeat;
use crate::error::{Error, KeyName};
use crate::pool::Pool;
use crate::rt::blocking;
use crate::rt::op::Op;

/// The longest wait for the replies to the ABORTs.
const ABORT_LIMIT: Duration = Duration::from_secs(1);

impl Pool {
    /// Closes the pool, for example after SIGTERM: waits until its bodies and leases are finished, for at most `grace`, and then
    /// frees the keys of the others. Returns the keys whose locks were given up, for a log.
    ///
    /// From the first poll on, for all clones of the pool:
    ///
    /// - A call that needs a lock fails with [`Error::Closed`], also if it is waiting already, and if a running body makes it.
    ///   So does `prime`.
    /// - A stored value is still returned. `invalidate` and `delete_state` still delete, for requests that end after their write.
    /// - Bodies that run go on. Their leases are renewed, and their results are published.
    ///
    /// After `grace` the remaining leases are lost: `Current::lost` resolves, and the results are not
    /// stored. The keys are free when this method returns, unless the store does not reply within a second: then they are free
    /// when their leases expire, at the latest.
    ///
    /// A closed pool cannot be opened again. If several callers close it, all of them wait for the end and get the same keys;
    /// the `grace` of the first counts.
    ///
    /// Call it when the server has stopped accepting requests:
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use std::time::Duration;
    ///
    /// use dspinlock::Pool;
    ///
    /// # mod axum {
    /// #     pub async fn serve(_: (), shutdown: impl Future<Output = ()>) { shutdown.await }
    /// # }
    /// # async fn terminated() {}
    /// # async fn run(router: ()) -> Result<(), Box<dyn std::error::Error>> {
    /// # let pool = Pool::open("sqlite::memory:")?;
    /// # /*
    /// async fn terminated() {
    ///     let mut sigterm = tokio::signal::unix::signal(SignalKind::terminate()).expect("a handler");
    ///     sigterm.recv().await;
    /// }
    ///
    /// let pool = Pool::global().await?;
    /// # */
    /// axum::serve(router, terminated()).await;
    /// for key in pool.close(Duration::from_secs(2)).await? {
    ///     println!("stopped before {key} was computed");
    /// }
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Runtime::new()?.block_on(run(()))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Forked`] if the pool belongs to the parent process.
    ///
    /// # Cancellation safety
    ///
    /// If the future is dropped, the pool stays closed, but no lease is given up. Another call of this method continues, with
    /// its own `grace`.
    #[doc(alias = "shutdown")]
    pub fn close(&self, grace: Duration) -> Op<Vec<KeyName>> {
        let pool = self.clone();
        Op::new(async move {
            let pool = pool.own()?;
            let closing = pool.closing();
            closing.begin();
            let given_up = closing.given_up.get_or_init(|| end(&pool, grace));
            Ok(given_up.await.clone())
        })
    }

    /// [`close`](Self::close) for callers without an executor. This method blocks the thread.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// # use std::time::Duration;
    /// use dspinlock::{Error, HashDSpinlock, Pool};
    ///
    /// let pool = Pool::open("sqlite::memory:")?;
    /// let lock = HashDSpinlock::new("report").pool(&pool);
    /// let held = lock.acquire_blocking()?;
    /// let given_up = pool.close_blocking(Duration::from_millis(10))?;
    /// assert_eq!(given_up.len(), 1);
    /// assert!(matches!(lock.acquire_blocking(), Err(Error::Closed)));
    /// # drop(held);
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// See [`close`](Self::close).
    pub fn close_blocking(&self, grace: Duration) -> Result<Vec<KeyName>, Error> {
        blocking::wait(self.close(grace))
    }
}

/// Waits for the leases of a closed pool, and gives up those that are left.
async fn end(pool: &Pool, grace: Duration) -> Vec<KeyName> {
    if settles(pool, grace).await {
        return Vec::new();
    }
    let given_up = heartbeat::give_up(Some(pool));
    settles(pool, ABORT_LIMIT).await;
    given_up.iter().map(|held| held.name()).collect()
}

/// Whether no lock is left within this time.
async fn settles(pool: &Pool, limit: Duration) -> bool {
    tokio::select! {
        biased;
        () = pool.closing().settled() => true,
        () = pool.timers().sleep(limit) => false,
    }
}
