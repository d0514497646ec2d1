//! The run-time half of dspinlock.
mod background;
mod blocking;
mod engine;
pub mod error;
pub mod key;
pub mod protocol;
pub mod record;
pub mod site;
pub mod state;
pub mod store;
pub mod value;
pub use error::Error;
