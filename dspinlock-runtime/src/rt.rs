//! The foundation of the runtime: the background thread, the clock, blocking waits and synchronization primitives.
//!
//! Every module may import it. It knows no key, store or lease.

pub(crate) mod background;
pub(crate) mod blocking;
pub(crate) mod clock;
pub(crate) mod handle;
pub(crate) mod in_flight;
pub(crate) mod latch;
pub(crate) mod metrics;
pub(crate) mod op;
pub(crate) mod process;
pub(crate) mod sync;
pub(crate) mod thread_end;
pub(crate) mod timers;
