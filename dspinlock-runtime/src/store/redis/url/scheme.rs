//! The scheme of a URL: a single server, Sentinel or Redis Cluster. `redis` calls it before it parses the rest.

use crate::error::Error;

/// What a URL leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Server,
    #[cfg(feature = "sentinel")]
    Sentinel,
    #[cfg(feature = "cluster")]
    Cluster,
}

impl Scheme {
    pub(crate) fn of(url: &str) -> Result<Self, Error> {
        let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
        // The scheme is not quoted: the text before the first colon may be a password.
        let reason = match scheme {
            "redis" | "rediss" | "valkey" | "valkeys" | "redis+unix" | "valkey+unix" | "unix" => {
                return Ok(Self::Server);
            }
            #[cfg(feature = "sentinel")]
            "redis+sentinel" | "rediss+sentinel" => return Ok(Self::Sentinel),
            #[cfg(feature = "cluster")]
            "redis+cluster" | "rediss+cluster" => return Ok(Self::Cluster),
            #[cfg(not(feature = "sentinel"))]
            "redis+sentinel" | "rediss+sentinel" => {
                "a `redis+sentinel:` URL needs the feature `sentinel` of dspinlock: enable it"
            }
            #[cfg(not(feature = "cluster"))]
            "redis+cluster" | "rediss+cluster" => {
                "a `redis+cluster:` URL needs the feature `cluster` of dspinlock: enable it"
            }
            _ => {
                "unknown URL scheme: use `redis:`, `rediss:`, `valkey:`, `valkeys:`, `redis+unix:`, \
                 `redis+sentinel:`, `redis+cluster:` or `sqlite:`"
            }
        };
        Err(Error::InvalidUrl {
            reason: reason.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_scheme_is_not_quoted() {
        assert_eq!(Scheme::of("redis://host").unwrap(), Scheme::Server);
        let message = Scheme::of("secret:password@host").unwrap_err().to_string();
        assert!(
            message.contains("unknown URL scheme") && !message.contains("secret"),
            "{message}"
        );
    }
}
