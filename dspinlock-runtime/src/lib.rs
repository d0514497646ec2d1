//! The run-time half of dspinlock.
mod blocking;
mod call;
mod codec;
mod engine;
pub mod error;
pub mod key;
mod outcome;
mod run;
pub mod site;
mod verdict;
pub use error::Error;

/// What the shim of the attribute calls. Not for people: it changes without notice.
#[doc(hidden)]
pub mod __private {
    pub use crate::call::{Call, Returning, never};
    pub use crate::outcome::{Judge, Judgement, Keep, Outcome, Rules, Shape};
    pub use crate::run::Run;
    pub use crate::site::Site;
}
