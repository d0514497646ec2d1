pub use dspinlock_macros::dspinlock;
pub use dspinlock_runtime::*;
