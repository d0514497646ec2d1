//! What tools see: the entries and the servers of a store, and the resources of this process. No other module calls it.
//!
//! Modules: `keys`, `servers`, `in_use`, `test_pool`.

mod in_use;
#[cfg(feature = "inspect")]
mod keys;
#[cfg(feature = "inspect")]
mod servers;
#[cfg(feature = "testing")]
mod test_pool;

pub use self::in_use::{InUse, in_use};
#[cfg(feature = "inspect")]
pub use self::keys::{KeyInfo, Keys};
#[cfg(feature = "inspect")]
pub use self::servers::{Answer, Server};
#[cfg(feature = "testing")]
pub use self::test_pool::{TestKey, TestPool};
