//! The scenarios that the tests run under many schedules.

pub mod flight;
pub mod lease;
pub mod near;
pub mod turns;
pub mod watch;

use crate::key::{Format, Key};

fn key() -> Key {
    Key::new(Format::Single, "dspinlock".into(), [1; 32])
}
