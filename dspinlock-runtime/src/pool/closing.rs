//! The end of a pool: whether it is closed, and how many locks it may still hold.
//!
//! `lease` counts its claims here, `engine` asks before a call goes on, and `close` waits. It sends no request.

use std::pin::Pin;

use tokio::sync::OnceCell;

use crate::error::{Error, KeyName};
use crate::rt::latch::Latch;
use crate::rt::sync::{Mutex, MutexGuard, Notify, PoisonError};

pub(crate) struct Closing {
    closed: Latch,
    /// The claims for which the store may hold a key, from the first ACQUIRE to the last reply.
    ///
    /// A claim looks at `closed` under this lock. `settled` takes the lock after `closed` was set. So each claim is refused, or
    /// `settled` waits for it.
    claims: Mutex<usize>,
    /// No claim is left.
    settled: Notify,
    /// What the end of the pool has given up.
    pub(crate) given_up: OnceCell<Vec<KeyName>>,
}

impl Default for Closing {
    fn default() -> Self {
        Self {
            closed: Latch::new(),
            claims: Mutex::new(0),
            settled: Notify::new(),
            given_up: OnceCell::new(),
        }
    }
}

impl Closing {
    /// No claim begins from now on.
    pub(crate) fn begin(&self) {
        self.closed.set();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.is_set()
    }

    /// # Errors
    ///
    /// [`Error::Closed`].
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.is_closed() {
            true => Err(Error::Closed),
            false => Ok(()),
        }
    }

    /// Resolves when the pool is closed.
    pub(crate) async fn closed(&self) {
        self.closed.wait().await;
    }

    /// Runs `future`, which acquires or waits, until the pool is closed. Pinned by its caller, so that it is stored once.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`].
    pub(crate) async fn or_closed<T>(
        &self,
        future: Pin<&mut impl Future<Output = Result<T, Error>>>,
    ) -> Result<T, Error> {
        tokio::select! {
            biased;
            () = self.closed() => Err(Error::Closed),
            outcome = future => outcome,
        }
    }

    /// Counts a claim that sends an ACQUIRE, until [`end_claim`](Self::end_claim).
    ///
    /// # Errors
    ///
    /// [`Error::Closed`].
    pub(crate) fn begin_claim(&self) -> Result<(), Error> {
        let mut claims = self.claims();
        self.check()?;
        *claims += 1;
        Ok(())
    }

    pub(crate) fn end_claim(&self) {
        let left = {
            let mut claims = self.claims();
            *claims -= 1;
            *claims
        };
        if left == 0 {
            self.settled.notify_waiters();
        }
    }

    /// Waits until no claim is left.
    pub(crate) async fn settled(&self) {
        loop {
            // Before the look, so that it misses no notification.
            let settled = self.settled.notified();
            if *self.claims() == 0 {
                return;
            }
            settled.await;
        }
    }

    fn claims(&self) -> MutexGuard<'_, usize> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
