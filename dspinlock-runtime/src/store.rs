//! Stores keep records and execute the steps of the protocol. `Pool` opens one by its URL.
//!
//! Every store implements the trait [`Store`]. A store knows nothing of pools, calls and user types.
//!
//! Modules, top first: `redis`, `embedded`, `testing`, `memory`, `unopened`, `watch`, `api`, `credentials`, `limits`. Imports point downwards.

mod api;
pub(crate) mod credentials;
#[cfg(feature = "embedded")]
pub mod embedded;
pub(crate) mod limits;
pub mod memory;
pub mod redis;
#[cfg(feature = "testing")]
pub(crate) mod testing;
pub(crate) mod unopened;
mod watch;

use std::any::Any;

use self::credentials::Credentials;
use self::limits::Limits;
use crate::error::Error;
use crate::tls::Tls;

#[cfg(feature = "inspect")]
pub use self::api::{Answer, Names, Server};
pub use self::api::{
    Boxed, CallerRead, Change, Doubt, Failure, Health, Listener, Outcome, Replies, Role, SharedStore, Store,
    Tracked,
};
pub use self::redis::RedisParameters;

/// Opens the store behind a URL.
pub(crate) fn open(
    url: &str,
    tls: Tls,
    credentials: Option<Credentials>,
    limits: Limits,
) -> Result<SharedStore, Error> {
    let path = url
        .split_once(':')
        .and_then(|(scheme, path)| scheme.eq_ignore_ascii_case("sqlite").then_some(path));
    match path {
        Some(_) if tls != Tls::default() => Err(Error::option(
            "TLS options were given, but a `sqlite:` URL has no TLS: remove them",
        )),
        Some(":memory:") => memory::open(),
        #[cfg(feature = "embedded")]
        Some(path) if path.contains('?') => Err(Error::InvalidUrl {
            reason: "a `sqlite:` URL has no parameters, and its path cannot contain `?`: remove them".into(),
        }),
        #[cfg(feature = "embedded")]
        Some(path) => embedded::open(path, limits.request),
        #[cfg(not(feature = "embedded"))]
        Some(_) => Err(Error::InvalidUrl {
            reason: "`sqlite:` needs the feature `embedded` of dspinlock: enable it, or use a `redis:` URL"
                .into(),
        }),
        None => redis::open(url, tls, credentials, limits),
    }
}

/// The number of names of a Redis store that calls wait for. Only `inspect` needs it.
pub(crate) fn watched_names(store: &SharedStore) -> usize {
    let store: &dyn Any = &**store;
    store
        .downcast_ref::<redis::RedisStore>()
        .map_or(0, redis::RedisStore::watched_names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(url: &str) -> Result<SharedStore, Error> {
        super::open(
            url,
            Tls::default(),
            None,
            Limits::default().check().expect("valid limits"),
        )
    }

    /// `./check` runs this test without the feature `embedded` too.
    #[test]
    fn the_store_in_memory_needs_no_feature() {
        let store: SharedStore = open("sqlite::memory:").expect("the store opens");
        let store: &dyn Any = &*store;
        assert!(store.is::<memory::Memory>(), "SQLite is not used");
    }

    #[test]
    fn the_scheme_is_known_in_any_case() {
        assert!(open("SQLite::memory:").is_ok());
    }

    #[cfg(feature = "embedded")]
    #[test]
    fn a_path_that_would_not_be_what_it_says_is_refused_and_creates_nothing() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let inside = |end: &str| format!("sqlite:{}/{end}", folder.path().display());
        for url in [
            "sqlite::memory",
            "sqlite::MEMORY:",
            "sqlite:memory:",
            "sqlite: :memory:",
            "sqlite:///:memory:",
            "sqlite:/:memory:",
            "sqlite:~/locks.sqlite",
            "sqlite:///~/locks.sqlite",
            "sqlite:$HOME/locks.sqlite",
            "sqlite:${HOME}/locks.sqlite",
            "sqlite://$HOME/locks.sqlite",
            "sqlite:file:locks.sqlite",
            "sqlite://locks.sqlite",
            "sqlite://localhost/locks.sqlite",
            &inside("$USER/locks.sqlite"),
            &inside("locks.sqlite?mode=ro"),
        ] {
            let Err(Error::InvalidUrl { reason }) = open(url).map(drop) else {
                panic!("{url} is accepted")
            };
            assert!(reason.contains("`sqlite:"), "{url}: {reason}");
        }
        assert!(
            std::fs::read_dir(folder.path())
                .expect("the folder")
                .next()
                .is_none()
        );
        let absolute = format!("sqlite://{}/a$ 1.sqlite", folder.path().display());
        assert!(
            absolute.starts_with("sqlite:///") && open(&absolute).is_ok(),
            "{absolute}"
        );
    }

    #[cfg(not(feature = "embedded"))]
    #[test]
    fn a_file_needs_the_feature() {
        let error = open("sqlite:locks.db").map(drop).expect_err("no SQLite");
        assert!(error.to_string().contains("feature `embedded`"), "{error}");
    }
}
