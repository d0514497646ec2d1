//! The scenarios that the tests run under many schedules.

pub mod flight;
pub mod lease;
pub mod near;
pub mod watch;

use crate::key::Key;

fn key() -> Key {
    Key::new("dspinlock".into(), [1; 32])
}
