// Version 2 of one crate, which `names.rs` includes.

use dspinlock::{Error, dspinlock};

#[dspinlock(cached_if_computed)]
pub(crate) fn version() -> Result<u32, Error> {
    Ok(2)
}
