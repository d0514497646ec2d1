//! Checks the function and its arguments, and reports every error.
//!
//! `expand` calls it before `shim`. It sees tokens only: the traits of the runtime check which traits a type implements, and
//! have their own messages. It never changes the function.

mod arguments;
mod body;
mod closures;
mod durations;
mod entry;
mod key;
mod signature;
mod unordered;

use crate::errors::Errors;
use crate::model::LockedFn;

/// Adds every error of the function and of its arguments.
pub(crate) fn validate(function: &LockedFn, errors: &mut Errors) {
    arguments::validate(&function.args, errors);
    signature::validate(function, errors);
    durations::validate(function, errors);
    key::validate(function, errors);
    entry::validate(function, errors);
    body::validate(function, errors);
    closures::validate(function, errors);
    unordered::validate(function, errors);
}
