//! The bound of a part of a key. `Call::part` uses it.

use serde::Serialize;

use crate::key::{self, KeyHasher};

/// A part of a key: every type that implements `serde::Serialize`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be part of the key",
    label = "this does not implement `serde::Serialize`",
    note = "derive `serde::Serialize` for it, leave it out with `skip(...)`, or set `key = ...`",
    note = "`Arc` and `Rc` need serde's feature `rc`; an array of more than 32 elements is a slice in the key, `key = id[..]`"
)]
pub trait KeyPart {
    /// Feeds this part into the hasher.
    #[doc(hidden)]
    fn feed(&self, hasher: &mut KeyHasher);
}

#[diagnostic::do_not_recommend]
impl<T: Serialize + ?Sized> KeyPart for T {
    #[inline]
    fn feed(&self, hasher: &mut KeyHasher) {
        key::KeyPart::feed(self, hasher);
    }
}
