//! Warns once per function if its stored values cannot be decoded. `steps` calls it.
//!
//! Such a function works, but it never hits: every caller of every host runs the body, one after another.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::codec::Undecodable;
use crate::rt::process::PerProcess;

/// The functions of this process that need no further warning.
static WARNED: PerProcess<Mutex<HashSet<String>>> = PerProcess::new(|_| Mutex::default());

/// A stored value of this function was not one of its return type.
#[cold]
pub(super) fn warn(site: &str, type_name: &str, reason: Undecodable) {
    let is_new = WARNED
        .get()
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(site.to_owned());
    if is_new {
        let type_name = short(type_name);
        tracing::warn!(target: "dspinlock", "a stored value of `{site}` cannot be decoded as `{type_name}`, so it is computed again: {reason}; if the type has not changed, its `Serialize` and `Deserialize` implementations do not agree, and the function never hits: make them agree, or remove `cached_if_computed`");
    }
}

/// The name of a type without the paths of modules.
fn short(type_name: &str) -> String {
    let mut short = String::new();
    for segment in type_name.split_inclusive("::") {
        match segment.strip_suffix("::") {
            Some(path) => short.push_str(path.trim_end_matches(|c: char| c.is_alphanumeric() || c == '_')),
            None => short.push_str(segment),
        }
    }
    short
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn a_type_name_is_shown_without_modules() {
        let name = "core::result::Result<alloc::vec::Vec<(u8, app::model::Row)>, app::Error>";
        assert_eq!(short(name), "Result<Vec<(u8, Row)>, Error>");
        assert_eq!(short("u8"), "u8");
    }
}
