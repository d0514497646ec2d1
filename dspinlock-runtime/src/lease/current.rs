//! The lease of the body that is being polled on this thread.

use std::cell::RefCell;
use std::sync::Arc;

use crate::key::Key;
use crate::lease::Held;
use crate::pool::Pool;

thread_local! {
    static CURRENT: RefCell<Option<Arc<Frame>>> = const { RefCell::new(None) };
}

/// The lease under which the calling body runs, `None` outside of one.
///
/// It is set only while the body itself is polled: a task or thread that the body spawns does not see it, but may be
/// given a clone. Costs a few nanoseconds and never fails.
pub fn current() -> Option<Current> {
    CURRENT.with_borrow(|current| current.as_ref().map(|frame| Current(frame.held.clone())))
}

/// What a body may know of its lease.
#[derive(Debug, Clone)]
pub struct Current(Arc<Held>);

impl Current {
    /// A number that grows with every grant of this key: what a resource checks to refuse a holder that was paused.
    pub fn fence(&self) -> u64 {
        self.0.fence
    }

    /// Whether the lease lapsed or the key was taken. The result will be returned to the caller, but not kept.
    pub fn is_lost(&self) -> bool {
        self.0.is_lost()
    }

    /// Resolves when the lease is lost; never, where it ends well.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again at will.
    pub async fn lost(&self) {
        self.0.lost().await;
    }
}

/// A lease and those around it: the bodies that wait for this one.
#[derive(Debug)]
pub(crate) struct Frame {
    held: Arc<Held>,
    parent: Option<Arc<Frame>>,
}

impl Frame {
    /// A frame within the one that is current now.
    pub(crate) fn within(parent: Option<Arc<Self>>, held: Arc<Held>) -> Arc<Self> {
        Arc::new(Self { held, parent })
    }

    /// The frame that is current now.
    pub(crate) fn here() -> Option<Arc<Self>> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// Runs `body` with this frame as the current one.
    pub(crate) fn enter<T>(self: &Arc<Self>, body: impl FnOnce() -> T) -> T {
        let _restore = Restore(CURRENT.replace(Some(self.clone())));
        body()
    }

    /// Whether this key is held by this body or by one that waits for it.
    pub(crate) fn holds(self: &Arc<Self>, pool: &Pool, key: &Key) -> bool {
        let mut frame = Some(self);
        while let Some(here) = frame {
            if here.held.is_of(pool, key) {
                return true;
            }
            frame = here.parent.as_ref();
        }
        false
    }
}

/// Puts the outer frame back, also when the body unwinds.
struct Restore(Option<Arc<Frame>>);

impl Drop for Restore {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}
