//! Warns once per function that a result was returned, but not stored. `steps` calls it.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::error::KeyName;
use crate::rt::process::PerProcess;

/// The functions of this process that need no further warning.
static WARNED: PerProcess<Mutex<HashSet<String>>> = PerProcess::new(|_| Mutex::default());

/// The result of a call that holds this key cannot be stored.
#[cold]
pub(super) fn warn(key: &KeyName, reason: &str) {
    let is_first = {
        let mut warned = WARNED.get().lock().unwrap_or_else(PoisonError::into_inner);
        warned.insert(key.site().to_owned())
    };
    if is_first {
        tracing::warn!(target: "dspinlock", "the result of {key} was returned, but not stored: {reason}");
    }
}
