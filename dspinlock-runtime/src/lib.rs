//! The run-time half of dspinlock.
pub mod current;
pub mod error;
pub mod key;
pub mod lease;
pub mod lock;
pub mod pool;
pub mod protocol;
pub mod record;
pub mod site;
pub mod state;
pub mod store;
pub mod value;

mod background;
mod blocking;
mod engine;
mod flight;
mod heart;
mod options;
mod wait;

pub use error::Error;
