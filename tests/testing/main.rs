//! The pool of a test, as users test their own programs with it. No test here sleeps, and none needs a server.

mod clock;
mod faults;
mod isolation;
mod keys;
#[rustfmt::skip] // docs/testing.md has the same text, in shorter lines
mod user;
