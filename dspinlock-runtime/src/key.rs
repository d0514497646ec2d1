//! From arguments to a key: canonical bytes, SHA-256, names in the store. No I/O.
//! (stub; the interface is final)

use std::borrow::Cow;

/// The name of one lock.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key;

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("key")
    }
}

/// What can be a part of a key: everything that is `serde::Serialize`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be part of a lock key",
    label = "this is not `serde::Serialize`",
    note = "derive `serde::Serialize` for it, choose another key with `key = ...`, or leave the argument out with `skip(...)`"
)]
pub trait KeyPart {
    /// Feeds the canonical bytes of this part to the hasher.
    fn feed(&self, hasher: &mut KeyHasher);
}

#[diagnostic::do_not_recommend]
impl<T: serde::Serialize + ?Sized> KeyPart for T {
    fn feed(&self, _hasher: &mut KeyHasher) {}
}

/// Collects the parts of a key.
#[derive(Debug, Clone, Default)]
pub struct KeyHasher {}

impl KeyHasher {
    /// Nothing fed yet. `shared` is `name = ""`: the object alone, hashed as py-dspinlock does.
    pub fn new(_shared: bool) -> Self { Self {} }

    /// The key of a site: `name` is the explicit name or the canonical path, `body_type` the `type_name` of the body.
    /// `Err` where a part's `Serialize` failed.
    pub fn finish(self, _site: &crate::site::Site, _prefix: Cow<'static, str>, _body_type: &'static str) -> Result<Key, crate::Error> { Ok(Key) }
}
