//! The foundation of the runtime, on the scheduler: see the files of the same names in `dspinlock-runtime/src/rt`.

pub mod background;
pub mod blocking;
#[path = "../../../dspinlock-runtime/src/rt/handle.rs"]
pub mod handle;
#[path = "../../../dspinlock-runtime/src/rt/in_flight.rs"]
pub mod in_flight;
#[path = "../../../dspinlock-runtime/src/rt/latch.rs"]
pub mod latch;
#[path = "../../../dspinlock-runtime/src/rt/metrics.rs"]
pub mod metrics;
pub mod op;
pub mod process;
pub mod sync;
pub mod thread_end;
pub mod timers;
