//! The run-time half of dspinlock; use it through the crate `dspinlock`.
//!
//! The way of a call: the attribute's shim builds a `site` and a `call`, `key` hashes the arguments, `engine` decides
//! (hit, lead or follow) and asks a `store` to take steps of the `protocol`. `ARCHITECTURE.md` has the map.

pub mod current;
pub mod error;
pub mod key;
pub mod lease;
pub mod lock;
pub mod options;
pub mod pool;
pub mod protocol;
pub mod record;
pub mod site;
pub mod state;
pub mod store;
pub mod tls;
pub mod value;

mod background;
mod blocking;
mod call;
mod claim;
mod codec;
mod engine;
mod flight;
mod heart;
mod inspect;
mod near;
mod outcome;
mod run;
mod secret;
mod sync;
mod verdict;
mod wait;

pub use error::Error;

/// What the shim of the attribute calls. Not for people: it changes without notice.
#[doc(hidden)]
pub mod __private {
    pub use crate::call::{Call, Returning, never};
    pub use crate::inspect::{InHand, in_hand};
    pub use crate::outcome::{Copies, Judge, Judgement, Keep, Outcome, Rules, Shape};
    pub use crate::run::Run;
    pub use crate::site::Site;
}
