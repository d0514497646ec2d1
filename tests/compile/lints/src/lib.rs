//! Annotated functions and the lints of each. A comment `//~ lint` is behind the line to which the lint points.
//!
//! `tests/lints.rs` copies this crate and runs clippy on it. Every lint that has no comment fails the test.

use dspinlock::{Error, dspinlock};

#[dspinlock]
fn never_called(id: u32) -> Result<u32, Error> { //~ dead_code
    Ok(id)
}

#[dspinlock]
async fn never_awaited(id: u32) -> Result<u32, Error> { //~ dead_code
    Ok(id)
}

/// A type with methods.
pub struct Shop {
    /// Its id.
    pub id: u32,
}

impl Shop {
    #[dspinlock(key = self.id)]
    fn never_used(&self) -> Result<u32, Error> { //~ dead_code
        Ok(self.id)
    }

    fn plain_beside_it(&self) -> u32 { //~ dead_code
        self.id
    }

    /// A method.
    #[dspinlock(key = (self.id, tax), cached_if_computed, near_cache = "1s")]
    pub fn price(&self, tax: u32) -> Result<u32, Error> {
        Ok(self.id + tax)
    }
}

/// Eight arguments.
#[dspinlock(key = a)]
pub fn sync(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8) -> Result<u8, Error> { //~ clippy::too_many_arguments
    Ok(a + b + c + d + e + f + g + h)
}

/// Eight arguments.
#[dspinlock(key = a)]
pub async fn future(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8) -> Result<u8, Error> { //~ clippy::too_many_arguments
    Ok(a + b + c + d + e + f + g + h)
}

/// An argument that the body does not use, because the key does.
#[dspinlock]
pub fn used_by_the_key(id: u32) -> Result<u32, Error> {
    Ok(1)
}

/// An argument that nothing uses.
#[dspinlock(skip(client))]
pub fn skipped(id: u32, client: &str) -> Result<u32, Error> { //~ unused_variables
    Ok(id)
}

/// Variables of a body.
#[dspinlock(key = id, cached_if_computed, ttl = "1m")]
pub fn sync_body(id: u32) -> Result<u32, Error> {
    let unused = 1; //~ unused_variables
    let mut fixed = 2; //~ unused_mut
    id.checked_add(1); //~ unused_must_use
    if (id == 3) { //~ unused_parens
        return Ok(3);
    }
    Ok(fixed)
}

/// Variables of a body.
#[dspinlock(key = "user:{id}", on_error = run_unlocked)]
pub async fn async_body(id: u32) -> u32 {
    let unused = 1; //~ unused_variables
    let mut fixed = 2; //~ unused_mut
    id.checked_add(1); //~ unused_must_use
    if id == 3 {
        return 3;
        let _ = id; //~ unreachable_code
    }
    fixed
}

/// A name for the caller's place. The attribute adds no lint to it.
#[track_caller]
#[dspinlock(key = id)]
pub fn tracked(id: u32) -> Result<u32, Error> {
    Ok(id)
}

/// The same with the attributes exchanged.
#[dspinlock(key = id, on_error = panic)]
#[track_caller]
pub fn tracked_below(id: u32) -> u32 {
    id
}

/// A whole module of them.
pub mod all {
    use super::*;

    /// `#[must_use]` holds for the function.
    #[must_use]
    #[dspinlock(key = id, on_error = panic)]
    pub fn important(id: u32) -> u32 {
        id
    }

    /// Calls it.
    pub fn caller() {
        important(1); //~ unused_must_use
    }
}
