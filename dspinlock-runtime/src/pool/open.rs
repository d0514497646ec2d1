//! Opens a store from the settings of a pool, or from the environment. `pool` calls it. It never connects to a server.

use std::env::VarError;
use std::sync::Once;

use sha2::{Digest, Sha256};

use super::namespace::Namespace;
use super::near_cache;
use super::secret::Secret;
use crate::error::Error;
use crate::store::credentials::Credentials;
use crate::store::limits::Limits;
use crate::store::{self, RedisParameters, SharedStore};
use crate::tls::Tls;

/// The environment variable with the URL of the global pool.
const VARIABLE: &str = "DSPINLOCK_URL";

/// The environment variable with the namespace of every pool that has none.
const NAMESPACE_VARIABLE: &str = "DSPINLOCK_NAMESPACE";

/// The default of `PoolBuilder::max_value_size`: 8 MiB.
const MAX_VALUE_SIZE: usize = 8 << 20;

/// The settings of a pool. Pools with equal settings are interchangeable.
#[derive(Clone, PartialEq)]
pub(super) struct Settings {
    location: Location,
    pub(super) tls: Tls,
    pub(super) limits: Limits,
    pub(super) credentials: Option<Credentials>,
    pub(super) secret: Option<Box<[u8]>>,
    pub(super) secrets: Option<Vec<Box<[u8]>>>,
    pub(super) namespace: Option<String>,
    pub(super) max_value_size: usize,
    pub(super) near_cache_size: usize,
}

#[derive(Clone, PartialEq)]
pub(super) enum Location {
    Url(String),
    Redis(Box<RedisParameters>),
}

impl Location {
    /// A URL from a file often ends with a line break.
    fn trimmed(self) -> Self {
        match self {
            Self::Url(url) => Self::Url(url.trim().into()),
            other => other,
        }
    }

    /// The scheme of a URL has any case.
    fn is_default_file(&self) -> bool {
        matches!(self, Self::Url(url) if url.eq_ignore_ascii_case("sqlite:"))
    }
}

impl Settings {
    pub(super) fn new(location: Location) -> Self {
        Self {
            location: location.trimmed(),
            tls: Tls::default(),
            limits: Limits::default(),
            credentials: None,
            secret: None,
            secrets: None,
            namespace: None,
            max_value_size: MAX_VALUE_SIZE,
            near_cache_size: near_cache::DEFAULT_SIZE,
        }
    }

    /// The URL in `DSPINLOCK_URL`, or else the default file of the embedded store.
    pub(super) fn from_environment() -> Result<Self, Error> {
        match std::env::var(VARIABLE) {
            Ok(url) => Ok(Self::new(Location::Url(url))),
            Err(VarError::NotPresent) if cfg!(feature = "embedded") => {
                static WARNED: Once = Once::new();
                WARNED.call_once(|| tracing::warn!(target: "dspinlock", "`{VARIABLE}` is not set: using the embedded store, a file of this user on this machine; set it to share results between programs or machines"));
                Ok(Self::new(Location::Url("sqlite:".into())))
            }
            Err(VarError::NotPresent) => Err(Error::InvalidUrl {
                reason: format!(
                    "`{VARIABLE}` is not set, and the feature `embedded` is off; set the variable, or call `dspinlock::init`"
                ),
            }),
            Err(VarError::NotUnicode(_)) => Err(Error::InvalidUrl {
                reason: format!("`{VARIABLE}` is not valid UTF-8; set it to a URL"),
            }),
        }
    }

    /// The namespace of the settings, or else that of the environment. Without both, the default file has the namespace of this
    /// program: all programs of a user share the file, although nobody has chosen that.
    pub(super) fn namespace(&self) -> Result<Option<Namespace>, Error> {
        self.namespace_or(std::env::var(NAMESPACE_VARIABLE))
    }

    /// An empty text of the builder is a choice. An empty variable is one that is not set.
    fn namespace_or(&self, variable: Result<String, VarError>) -> Result<Option<Namespace>, Error> {
        if let Some(namespace) = &self.namespace {
            return Ok(Namespace::new(namespace.clone()));
        }
        let variable = match variable {
            // A text from a file often ends with a line break.
            Ok(namespace) => Namespace::new(namespace.trim().into()),
            Err(VarError::NotPresent) => None,
            Err(VarError::NotUnicode(_)) => {
                return Err(Error::option(format!(
                    "`{NAMESPACE_VARIABLE}` is not valid UTF-8; set it to the name of a namespace"
                )));
            }
        };
        Ok(match variable {
            None if self.location.is_default_file() => Namespace::of_program(),
            variable => variable,
        })
    }

    /// The secrets of names and of signatures.
    pub(super) fn secret(&self) -> Result<Option<Secret>, Error> {
        match &self.secret {
            Some(secret) => Secret::new(secret, self.secrets.as_deref()).map(Some),
            None if self.secrets.is_some() => Err(Error::option(
                "`secrets` needs `secret`, which names the keys and stays the same: set both",
            )),
            None => Ok(None),
        }
    }

    /// Replaces each secret with its digest, which suffices to compare pools.
    pub(super) fn with_hashed_secrets(mut self) -> Self {
        let secrets = self.secret.iter_mut().chain(self.secrets.iter_mut().flatten());
        secrets.for_each(|secret| *secret = Sha256::digest(&*secret).as_slice().into());
        self
    }

    pub(super) fn open_store(&self) -> Result<SharedStore, Error> {
        let (limits, credentials) = (self.limits.check()?, self.credentials.clone());
        match &self.location {
            Location::Url(url) => store::open(url, self.tls.clone(), credentials, limits),
            Location::Redis(parameters) => {
                let mut parameters = RedisParameters::clone(parameters);
                if self.tls != Tls::default() {
                    parameters.tls = self.tls.clone();
                }
                parameters.open(credentials, limits)
            }
        }
    }
}

/// Names the environment variable in the error of the global pool, if the variable is set.
pub(super) fn name_variable(error: Error) -> Error {
    match std::env::var_os(VARIABLE) {
        Some(_) => from_variable(error),
        None => error,
    }
}

fn from_variable(error: Error) -> Error {
    let named = |reason: String| format!("{reason} (from the environment variable `{VARIABLE}`)");
    match error {
        Error::InvalidUrl { reason } => Error::InvalidUrl {
            reason: named(reason),
        },
        Error::InvalidOption { reason } => Error::InvalidOption {
            reason: named(reason),
        },
        Error::EmbeddedNotInitialized { path, reason } => Error::EmbeddedNotInitialized {
            path,
            reason: named(reason),
        },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_file_has_a_namespace_in_any_case_of_its_scheme() {
        for url in ["sqlite:", "SQLite:", " SQLITE:\n"] {
            let settings = Settings::new(Location::Url(url.into()));
            assert!(settings.location.is_default_file(), "{url}");
        }
        for url in ["sqlite::memory:", "sqlite:locks.db", "redis://localhost"] {
            let settings = Settings::new(Location::Url(url.into()));
            assert!(!settings.location.is_default_file(), "{url}");
        }
    }

    #[test]
    fn an_empty_variable_is_no_namespace_and_an_empty_text_of_the_builder_turns_it_off() {
        let namespace = |url: &str, of_builder: Option<&str>, variable: Option<&str>| {
            let mut settings = Settings::new(Location::Url(url.into()));
            settings.namespace = of_builder.map(Into::into);
            let variable = variable.map(Into::into).ok_or(VarError::NotPresent);
            let namespace = settings.namespace_or(variable).expect("valid settings");
            namespace.map(|namespace| namespace.to_string())
        };
        let program = Namespace::of_program().map(|program| program.to_string());
        assert!(program.is_some(), "the system knows the executable");
        for url in ["sqlite:", "redis://localhost"] {
            let default = program.clone().filter(|_| url == "sqlite:");
            for unset in [None, Some(""), Some(" \n")] {
                assert_eq!(namespace(url, None, unset), default, "{url} {unset:?}");
                assert_eq!(namespace(url, Some(""), unset), None, "{url} {unset:?}");
                assert_eq!(namespace(url, Some("own"), unset).as_deref(), Some("own"));
            }
            let padded = Some(" billing\n");
            assert_eq!(namespace(url, None, padded).as_deref(), Some("billing"));
            assert_eq!(namespace(url, Some(""), padded), None, "{url}");
            assert_eq!(namespace(url, Some("own"), padded).as_deref(), Some("own"));
        }
    }

    #[test]
    fn a_variable_that_is_not_set_is_not_blamed() {
        assert!(
            std::env::var_os(VARIABLE).is_none(),
            "unset `{VARIABLE}` for the tests"
        );
        let unusable = Error::EmbeddedNotInitialized {
            path: "locks.sqlite".into(),
            reason: "permission denied".into(),
        };
        assert!(!name_variable(unusable).to_string().contains(VARIABLE));
    }

    #[test]
    fn blanks_around_a_url_make_no_difference() {
        let settings = |url: &str| Settings::new(Location::Url(url.into()));
        let padded = settings(" \tsqlite::memory:\r\n");
        assert!(padded.open_store().is_ok());
        assert!(padded == settings("sqlite::memory:"), "both are the same pool");
    }

    /// `./check` runs this test too.
    #[cfg(not(feature = "embedded"))]
    #[test]
    fn a_program_without_the_embedded_store_and_without_a_url_gets_a_clear_error() {
        let Err(Error::InvalidUrl { reason }) = Settings::from_environment() else {
            panic!("there is a default store")
        };
        let parts = [
            "`DSPINLOCK_URL` is not set",
            "`embedded` is off",
            "`dspinlock::init`",
        ];
        assert!(parts.iter().all(|part| reason.contains(part)), "{reason}");
    }

    #[test]
    fn an_unusable_variable_is_named_whatever_is_wrong_with_it() {
        for url in [
            "gopher://hole",
            "sqlite:~/locks.sqlite",
            "sqlite:/",
            "redis://localhost?ssl_ca_certs=/etc/hosts",
            "rediss://localhost?ssl_ca_certs=/etc/hosts",
            "redis+cluster://localhost/1",
        ] {
            let Err(error) = Settings::new(Location::Url(url.into())).open_store() else {
                panic!("{url} is accepted")
            };
            let message = from_variable(error).to_string();
            assert!(message.contains("`DSPINLOCK_URL`"), "{url}: {message}");
        }
    }
}
