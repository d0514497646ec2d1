//! What is run under every schedule.

pub mod flight;
pub mod lease;
pub mod near;
pub mod watch;

use crate::key::Key;

fn key() -> Key {
    Key::new("dspinlock".into(), [1; 32])
}
