//! dspinlock
pub use dspinlock_macros::dspinlock;
pub use dspinlock_runtime::*;

#[doc(hidden)]
pub use dspinlock_runtime::__private;
