//! The lease of the body that runs on this thread.
//!
//! The engine enters a [`Frame`] around each poll of a body. `dspinlock::current()` finds the lease in it. A body that
//! acquires its own key is refused, because it would wait for itself.

use std::cell::RefCell;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::held::Held;
use crate::error::KeyName;
use crate::key::Key;
use crate::pool::Pool;

thread_local! {
    static CURRENT: RefCell<Option<Arc<Frame>>> = const { RefCell::new(None) };
}

/// Returns the lease under which the calling body runs, or `None` outside of a locked body.
///
/// The lease is visible only while the body is polled. A task or thread that the body spawns does not see it: pass a clone
/// to the task. The call takes a few nanoseconds.
///
/// ```
/// # use dspinlock_runtime as dspinlock;
/// assert!(dspinlock::current().is_none(), "no locked function runs here");
/// ```
pub fn current() -> Option<Current> {
    CURRENT.with_borrow(|current| match &current.as_ref()?.holds {
        Holds::Lease(held) => Some(Current(held.clone())),
        Holds::Key(..) => None,
    })
}

/// The lease of a running body, returned by [`current`].
///
/// ```
/// # use dspinlock_runtime as dspinlock;
/// struct Storage { fence: u64, report: String }
///
/// impl Storage {
///     /// Called in the body of a locked function. Refuses a holder that was paused.
///     fn write(&mut self, report: String) -> bool {
///         let lease = dspinlock::current().expect("the body runs under a lease");
///         let accepted = lease.fence() >= self.fence;
///         if accepted {
///             *self = Self { fence: lease.fence(), report };
///         }
///         accepted
///     }
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Current(Arc<Held>);

impl Current {
    /// The fencing token: a number that grows with every grant of this key, while the store's clock is not set back. A
    /// resource that stores the greatest fence it has seen can refuse a holder that was paused.
    ///
    /// ```no_run
    /// # use dspinlock_runtime as dspinlock;
    /// // In the body of a locked function:
    /// let lease = dspinlock::current().expect("the body runs under a lease");
    /// let update = format!("UPDATE report SET fence = {0} WHERE fence <= {0}", lease.fence());
    /// ```
    pub fn fence(&self) -> u64 {
        self.0.id.fence
    }

    /// Whether the lease expired, or the key was deleted or taken over. The caller still receives the result, but the result
    /// is not stored.
    ///
    /// ```no_run
    /// # use dspinlock_runtime as dspinlock;
    /// // In the body of a locked function:
    /// let lease = dspinlock::current().expect("the body runs under a lease");
    /// for batch in 0..100 {
    ///     if lease.is_lost() {
    ///         break; // another caller may run the same function
    ///     }
    ///     println!("batch {batch}");
    /// }
    /// ```
    pub fn is_lost(&self) -> bool {
        self.0.is_lost()
    }

    /// The time until the lease is lost if it is not renewed. Zero if it is lost.
    ///
    /// It ends 2 % of the lease and 50 ms before the lease expires in the store. Each renewal of the heartbeat makes it longer
    /// again.
    ///
    /// ```no_run
    /// # use dspinlock_runtime as dspinlock;
    /// # use std::time::Duration;
    /// // In the body of a locked function:
    /// let lease = dspinlock::current().expect("the body runs under a lease");
    /// // The time limit of a request that must end while the lock is certainly held.
    /// let timeout = lease.remaining().min(Duration::from_secs(5));
    /// ```
    pub fn remaining(&self) -> Duration {
        self.0.remaining()
    }

    /// Resolves when the lease is lost. If the lease is not lost, it never resolves.
    ///
    /// ```
    /// # use dspinlock_runtime as dspinlock;
    /// use dspinlock::Current;
    ///
    /// /// Returns `None` if the lease is lost before the work is done.
    /// async fn until_lost<T>(lease: &Current, work: impl Future<Output = T>) -> Option<T> {
    ///     tokio::select! {
    ///         () = lease.lost() => None,
    ///         result = work => Some(result),
    ///     }
    /// }
    /// ```
    ///
    /// # Cancellation safety
    ///
    /// This method is cancel safe: a dropped future changes nothing.
    pub async fn lost(&self) {
        self.0.lost().await;
    }
}

/// What a body holds, and the frames of the bodies that wait for it.
#[derive(Debug)]
pub(crate) struct Frame {
    holds: Holds,
    /// Weak, because a body that is detached may outlive the body that called it, which then waits for nothing.
    parent: Weak<Frame>,
}

#[derive(Debug, Clone)]
enum Holds {
    Lease(Arc<Held>),
    /// The body runs without the lock, because the store cannot be asked.
    Key(Pool, Key),
}

impl Frame {
    /// The frame of a body that the current one waits for.
    pub(crate) fn new(held: Arc<Held>) -> Arc<Self> {
        Self::with_parent(Holds::Lease(held))
    }

    pub(crate) fn without_lease(pool: &Pool, key: &Key) -> Arc<Self> {
        Self::with_parent(Holds::Key(pool.clone(), key.clone()))
    }

    fn with_parent(holds: Holds) -> Arc<Self> {
        let parent = CURRENT.with_borrow(|current| current.as_ref().map(Arc::downgrade));
        Arc::new(Self {
            holds,
            parent: parent.unwrap_or_default(),
        })
    }

    /// A copy of the current frame. The call of a detached body owns it, so that it ends with the call, and not with the body that
    /// made the call.
    pub(crate) fn of_call() -> Option<Arc<Self>> {
        CURRENT.with_borrow(|current| {
            let current = current.as_ref()?;
            Some(current.called_by(&current.parent))
        })
    }

    /// The same frame of a body that is called by another one.
    pub(crate) fn called_by(&self, caller: &Weak<Self>) -> Arc<Self> {
        Arc::new(Self {
            holds: self.holds.clone(),
            parent: caller.clone(),
        })
    }

    /// The frame of the body that runs on this thread.
    pub(crate) fn current() -> Option<Arc<Self>> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// Runs `body` with this frame as the current one.
    pub(crate) fn enter<T>(self: &Arc<Self>, body: impl FnOnce() -> T) -> T {
        let _restore = Restore(CURRENT.replace(Some(self.clone())));
        body()
    }

    /// Whether the body that runs on this thread, or a body that waits for it, holds the key.
    pub(crate) fn is_held(pool: &Pool, key: &Key) -> bool {
        CURRENT.with_borrow(|current| current.as_ref().is_some_and(|frame| frame.holds(pool, key)))
    }

    /// Whether the body of this frame, or a body that waits for it, holds the key.
    pub(crate) fn holds(self: &Arc<Self>, pool: &Pool, key: &Key) -> bool {
        self.frames().any(|frame| match &frame.holds {
            Holds::Lease(held) => held.is_for(pool, key),
            Holds::Key(of_pool, held) => held == key && of_pool.is_same(pool),
        })
    }

    /// The keys that these bodies hold, the innermost first.
    pub(crate) fn held_keys(self: &Arc<Self>) -> Box<[KeyName]> {
        let leases = self.frames().filter_map(|frame| match &frame.holds {
            Holds::Lease(held) => Some(held.clone()),
            Holds::Key(..) => None,
        });
        let held = leases.filter(|held| !held.is_lost());
        held.map(|held| held.name()).collect()
    }

    fn frames(self: &Arc<Self>) -> impl Iterator<Item = Arc<Self>> {
        std::iter::successors(Some(self.clone()), |frame| frame.parent.upgrade())
    }
}

/// Restores the outer frame, also if the body panics.
struct Restore(Option<Arc<Frame>>);

impl Drop for Restore {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}
