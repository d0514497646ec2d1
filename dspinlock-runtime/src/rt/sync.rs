//! The primitives by which threads share state. `tests/races` compiles the modules that import from here with primitives
//! that a scheduler drives.

pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
pub(crate) use std::sync::{Mutex, MutexGuard, PoisonError};
pub(crate) use std::time::Instant;

pub(crate) use ::papaya;
pub(crate) use once_cell::sync::Lazy;
pub(crate) use tokio::sync::{Notify, Semaphore, oneshot, watch};
