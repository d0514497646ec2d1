//! The namespace of a pool, which keeps the results of two programs apart. `open` chooses it, and `pool` applies it to keys.
//!
//! The key of a function without `name` begins with the path of its crate and module, and many programs have an `app` or a
//! `main`.

use std::fmt;
use std::path::Path;

use sha2::{Digest, Sha256};

/// The text of a namespace, and its digest.
#[derive(Clone)]
pub(super) struct Namespace {
    text: String,
    digest: [u8; 32],
}

impl Namespace {
    /// `None` for the empty text.
    pub(super) fn new(text: String) -> Option<Self> {
        let digest = Sha256::digest(text.as_bytes()).into();
        (!text.is_empty()).then_some(Self { text, digest })
    }

    /// The path of this program. `None` if the system does not know it.
    pub(super) fn of_program() -> Option<Self> {
        Self::of_path(&std::env::current_exe().ok()?)
    }

    fn of_path(path: &Path) -> Option<Self> {
        let path = path.to_string_lossy();
        // Linux adds this if the file was replaced while the program runs, for example by a build.
        let path = path.strip_suffix(" (deleted)").unwrap_or(&path);
        Self::new(path.to_owned())
    }

    #[inline]
    pub(super) fn digest(&self) -> &[u8; 32] {
        &self.digest
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_whose_file_was_replaced_has_the_same_namespace() {
        let text = |path: &str| Namespace::of_path(Path::new(path)).map(|namespace| namespace.text);
        assert_eq!(text("/bin/app (deleted)"), text("/bin/app"));
        assert_eq!(text("/bin/app").as_deref(), Some("/bin/app"));
        assert_eq!(text(""), None);
    }
}
