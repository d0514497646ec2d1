//! What a program sets around a call: its pool, whether it computes anew, and whether it records how it was served.
//!
//! The pool of a call that names none is that of the scope, else the one that its runtime or thread is bound to, else the
//! global pool. Users and `call`, `lock` call this module.

mod context;
mod fresh;
mod how;
mod served;

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread::{self, ThreadId};

use pin_project_lite::pin_project;
use tokio::runtime::{Handle, Id};

pub(crate) use self::context::{around_body, is_fresh, record};
pub use self::fresh::{Fresh, fresh, fresh_blocking};
pub use self::how::{How, Served};
pub use self::served::{Observed, served, served_blocking};
use crate::pool::Pool;
use crate::rt::process::PerProcess;

/// The numbered bindings of each place, oldest first.
type Bindings = HashMap<Place, Vec<(u64, Pool)>>;

static BOUND: PerProcess<Mutex<Bindings>> = PerProcess::new(|_| Mutex::default());

fn bound() -> MutexGuard<'static, Bindings> {
    BOUND.get().lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a pool is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    Runtime(Id),
    /// A thread outside of a runtime.
    Thread(ThreadId),
}

impl Place {
    fn current() -> Self {
        match Handle::try_current() {
            Ok(runtime) => Self::Runtime(runtime.id()),
            Err(_) => Self::Thread(thread::current().id()),
        }
    }
}

impl Pool {
    /// Makes this the default pool of the calls in `future` and in their bodies. A call that names a pool keeps that one. Tasks and
    /// threads that the future spawns do not see it; use [`bind`](Self::bind) for them.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{HashDSpinlock, Pool, Status};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), dspinlock::Error> {
    /// let pool = Pool::open("sqlite::memory:")?;
    /// let lock = HashDSpinlock::new("report");
    /// let held = pool.scope(async { lock.acquire().await }).await?;
    /// assert_ne!(pool.scope(async { lock.status().await }).await?, Status::Free);
    /// # drop(held);
    /// # Ok(())
    /// # }
    /// ```
    pub fn scope<F: Future>(&self, future: F) -> Scope<F> {
        Scope::new(self.clone(), future)
    }

    /// [`scope`](Self::scope) for a closure.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{HashDSpinlock, Pool};
    ///
    /// let pool = Pool::open("sqlite::memory:")?;
    /// pool.scope_blocking(|| {
    ///     let held = HashDSpinlock::new("report").acquire_blocking()?;
    ///     assert!(HashDSpinlock::new("report").pool(&pool).is_held_blocking()?);
    ///     drop(held);
    ///     Ok::<(), dspinlock::Error>(())
    /// })?;
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    pub fn scope_blocking<T>(&self, body: impl FnOnce() -> T) -> T {
        self.enter(body)
    }

    /// Makes this the default pool of the current tokio runtime, or of the current thread outside of one, until the result is
    /// dropped: every call that names no pool and is in no [`scope`](Self::scope) uses it, also in tasks that the code under
    /// test spawns. The last of several bindings counts.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{HashDSpinlock, Pool};
    ///
    /// let pool = Pool::open("sqlite::memory:")?;
    /// let _bound = pool.bind();
    /// let held = HashDSpinlock::new("report").acquire_blocking()?;
    /// assert!(HashDSpinlock::new("report").pool(&pool).is_held_blocking()?);
    /// # drop(held);
    /// # Ok::<(), dspinlock::Error>(())
    /// ```
    pub fn bind(&self) -> Bound {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        context::begin_use();
        let (place, number) = (Place::current(), NEXT.fetch_add(1, Ordering::Relaxed));
        bound().entry(place).or_default().push((number, self.clone()));
        Bound { place, number }
    }

    /// The pool of the scope, or the one that is bound to the runtime or the thread.
    #[inline]
    pub(crate) fn chosen() -> Option<Self> {
        match context::is_in_use() {
            true => Self::find_chosen(),
            false => None,
        }
    }

    #[cold]
    fn find_chosen() -> Option<Self> {
        context::pool().or_else(|| Some(bound().get(&Place::current())?.last()?.1.clone()))
    }

    /// Runs `body` with this pool as the pool of the scope.
    fn enter<T>(&self, body: impl FnOnce() -> T) -> T {
        context::with(|context| &context.pool, Some(self.clone()), body).0
    }
}

/// A pool that is bound to a runtime or a thread, from [`Pool::bind`]. Dropping it ends the binding.
///
/// ```
/// # use dspinlock_runtime as dspinlock;
/// use dspinlock::{HashDSpinlock, Pool};
///
/// let pool = Pool::open("sqlite::memory:")?;
/// let bound = pool.bind();
/// let held = HashDSpinlock::new("report").acquire_blocking()?; // in `pool`
/// drop(bound);
/// assert!(HashDSpinlock::new("report").pool(&pool).is_held_blocking()?);
/// # drop(held);
/// # Ok::<(), dspinlock::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "the pool is bound until this is dropped"]
pub struct Bound {
    place: Place,
    number: u64,
}

impl Drop for Bound {
    fn drop(&mut self) {
        // The pool is dropped after the lock is released.
        let _pool = {
            let mut bound = bound();
            let Some(pools) = bound.get_mut(&self.place) else {
                return;
            };
            let position = pools.iter().position(|(number, _)| *number == self.number);
            let pool = position.map(|position| pools.remove(position));
            if pools.is_empty() {
                bound.remove(&self.place);
            }
            pool
        };
    }
}

pin_project! {
    /// A future in the scope of a pool, from [`Pool::scope`].
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::{HashDSpinlock, Pool};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), dspinlock::Error> {
    /// let pool = Pool::open("sqlite::memory:")?;
    /// let scope = pool.scope(async { HashDSpinlock::new("report").acquire().await }); // runs nothing yet
    /// let held = scope.await?;
    /// assert!(HashDSpinlock::new("report").pool(&pool).is_held().await?);
    /// # drop(held);
    /// # Ok(())
    /// # }
    /// ```
    #[derive(Debug)]
    #[must_use = "futures do nothing unless awaited"]
    pub struct Scope<F> {
        // `None` after completion.
        #[pin]
        future: Option<F>,
        pool: Pool,
    }
}

impl<F> Scope<F> {
    fn new(pool: Pool, future: F) -> Self {
        Self {
            future: Some(future),
            pool,
        }
    }
}

impl<F: Future> Future for Scope<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        this.pool.enter(|| {
            let future = this.future.as_mut().as_pin_mut();
            let polled = future
                .expect("a scope is not polled after completion")
                .poll(context);
            // The future is dropped in its scope.
            if polled.is_ready() {
                this.future.set(None);
            }
            polled
        })
    }
}
