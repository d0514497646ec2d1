//! What the rooms share things by. Those whose races are checked take these from here: `tests/races` compiles the same
//! files with primitives that a scheduler drives.

pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
pub(crate) use std::sync::{Mutex, MutexGuard, PoisonError};
pub(crate) use std::time::Instant;

pub(crate) use ::papaya;
pub(crate) use once_cell::sync::Lazy;
pub(crate) use tokio::sync::{Notify, Semaphore, oneshot, watch};
