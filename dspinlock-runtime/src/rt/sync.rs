//! The synchronization primitives of the modules that `tests/races` checks. That crate compiles the same modules with
//! primitives that a scheduler controls.

pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
pub(crate) use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) use ::papaya;
pub(crate) use tokio::sync::{Notify, Semaphore, SemaphorePermit, oneshot, watch};

pub(crate) use super::clock::Instant;
