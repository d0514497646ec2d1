//! Attribute tokens → [`Args`].

pub(crate) mod args;
pub(crate) mod duration;
pub(crate) mod names;
