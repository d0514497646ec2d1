//! Warns once per function if its stored values cannot be decoded. `steps` calls it.
//!
//! Such a function works, but it never hits: every caller of every host runs the body, one after another.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::rt::process::PerProcess;

/// The functions of this process that need no further warning, and those that a debug build has checked.
#[derive(Default)]
struct Sites {
    warned: HashSet<String>,
    checked: HashSet<String>,
}

static SITES: PerProcess<Mutex<Sites>> = PerProcess::new(|_| Mutex::default());

/// A stored value of this function was not one of its return type.
#[cold]
pub(super) fn warn(site: &str, type_name: &str) {
    if first(site, |sites| &mut sites.warned) {
        log::warn!(target: "dspinlock", "a stored value of `{site}` cannot be decoded as `{type_name}`, so it is computed again; if the type has not changed, its `Serialize` and `Deserialize` implementations do not agree, and the function never hits: make them agree, or remove `cached_if_computed`");
    }
}

/// For debug builds: checks the first value that this function stores.
pub(super) fn check(site: &str, type_name: &str, is_readable: impl FnOnce() -> bool) {
    if first(site, |sites| &mut sites.checked) && !is_readable() {
        warn(site, type_name);
    }
}

/// Whether the function is new in this set.
fn first(site: &str, set: fn(&mut Sites) -> &mut HashSet<String>) -> bool {
    let mut sites = SITES.get().lock().unwrap_or_else(PoisonError::into_inner);
    set(&mut sites).insert(site.to_owned())
}
