//! What the runtime stands on, by the scheduler.

pub mod background;
pub mod blocking;
pub mod holder;
pub mod sync;
