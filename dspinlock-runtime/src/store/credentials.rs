//! The user and the password of each login, from a function of the program. Plain data, which `redis` calls and `pool` passes
//! on.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Returns the user and the password of now.
#[derive(Clone)]
pub(crate) struct Credentials(Arc<dyn Fn() -> (String, String) + Send + Sync>);

impl Credentials {
    pub(crate) fn new(of_now: impl Fn() -> (String, String) + Send + Sync + 'static) -> Self {
        Self(Arc::new(of_now))
    }

    /// The user, unless it is empty, and the password.
    ///
    /// # Errors
    ///
    /// The function panicked.
    pub(crate) fn get(&self) -> Result<(Option<String>, String), String> {
        let (user, password) = catch_unwind(AssertUnwindSafe(&*self.0))
            .map_err(|_| "the function of `PoolBuilder::credentials` panicked: fix it")?;
        Ok((Some(user).filter(|user| !user.is_empty()), password))
    }
}

/// Clones are equal.
impl PartialEq for Credentials {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}
