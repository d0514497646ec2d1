//! What the library stands on: its background thread, parked threads, and what threads share things by.

pub(crate) mod background;
pub(crate) mod blocking;
pub(crate) mod holder;
pub(crate) mod sync;
