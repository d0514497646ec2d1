//! The foundation of the runtime: the background thread, parked threads and primitives of synchronization.
//!
//! Every module may import from here. Nothing here knows a key, a store or a lease.

pub(crate) mod background;
pub(crate) mod blocking;
pub(crate) mod latch;
pub(crate) mod op;
pub(crate) mod process;
pub(crate) mod sync;
