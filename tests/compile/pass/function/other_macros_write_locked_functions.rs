#![deny(warnings, clippy::all)]

use dspinlock::dspinlock;

macro_rules! locked {
    ($(#[$attr:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),*) -> $ret:ty $body:block, $key:expr, $ttl:literal) => {
        $(#[$attr])*
        #[dspinlock(key = $key, ttl = $ttl, cached_if_computed)]
        $vis async fn $name($($arg: $ty),*) -> $ret $body
    };
    ($name:ident, $pat:pat, $ty:ty, $path:path) => {
        #[dspinlock(map_err = $path)]
        pub fn $name($pat: $ty) -> Result<$ty, anyhow::Error> {
            let inner = 5;
            Ok((inner, 6))
        }
    };
    ($name:ident) => {
        #[dspinlock(key = "{id}", on_error = panic)]
        pub fn $name(id: u64) -> u64 {
            id
        }
    };
}

locked!(
    /// Docs.
    pub fn price(id: u64, inner: &str) -> Result<u64, dspinlock::Error> {
        if id == 0 {
            return Ok(1);
        }
        Ok(inner.len() as u64)
    },
    (id, inner.len()),
    "5m"
);
locked!(pair, (_a, _b), (u64, u64), anyhow::Error::new);
locked!(hygienic);

fn main() {}
