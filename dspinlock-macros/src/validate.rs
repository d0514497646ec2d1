//! Refuses what can be known to be wrong at compile time, and reports all of it.
//!
//! `expand` calls it before it writes anything. It knows tokens only: what a type implements is checked by the traits of
//! the runtime, with messages of their own.

mod arguments;
mod key;
mod signature;

use crate::errors::Errors;
use crate::model::LockedFn;

/// Adds an error for each thing that is wrong with the function or with its arguments.
pub(crate) fn validate(function: &LockedFn, errors: &mut Errors) {
    arguments::validate(&function.args, errors);
    signature::validate(function, errors);
    key::validate(function, errors);
}
