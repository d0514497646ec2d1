//! Reads the tokens between the attribute's parentheses into [`Args`].
//!
//! `expand` calls it; `model`, `validate` and the shim read the result. It never reads the function.

mod args;
mod duration;
mod format;
mod names;
mod value;

pub(crate) use args::{Args, is_on};
pub(crate) use format::{argument, holes, is_name};
pub(crate) use value::{Arg, OnError, Setting, Wait};
