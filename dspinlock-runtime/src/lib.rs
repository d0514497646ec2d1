//! The run-time half of dspinlock.
pub mod error;
pub mod key;
pub mod site;
mod engine;
pub use error::Error;
