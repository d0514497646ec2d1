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

/// The schemes that a host follows.
const WITH_HOST: [&str; 8] = [
    "redis",
    "rediss",
    "valkey",
    "valkeys",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
];

impl Scheme {
    pub(crate) fn of(url: &str) -> Result<Self, Error> {
        let (scheme, rest) = url.split_once(':').unwrap_or_default();
        // The scheme is not quoted: the text before the first colon may be a password.
        let reason = match scheme {
            _ if WITH_HOST.contains(&scheme) && !rest.starts_with("//") => {
                "two slashes must follow the scheme: write `redis://host:port`"
            }
            "redis+unix" | "valkey+unix" | "unix" => return Ok(Self::Server),
            "redis" | "rediss" | "valkey" | "valkeys" => return Ok(Self::Server),
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
            _ if !url.contains("://") => {
                "it has no scheme: write `redis://host:port`, or `sqlite:PATH` for a file"
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
    fn a_url_without_a_known_scheme_is_not_quoted_and_the_message_says_what_to_write() {
        assert_eq!(Scheme::of("redis://host").unwrap(), Scheme::Server);
        assert_eq!(Scheme::of("unix:/path").unwrap(), Scheme::Server);
        for (url, part) in [
            ("secret://password@host", "unknown URL scheme"),
            ("secret:6379", "no scheme: write `redis://host:port`"),
            ("secret", "no scheme: write `redis://host:port`"),
            ("", "no scheme"),
            ("redis:/secret", "two slashes"),
            ("redis:secret:6379", "two slashes"),
        ] {
            let message = Scheme::of(url).unwrap_err().to_string();
            assert!(message.contains(part) && !message.contains("secret"), "{message}");
        }
    }
}
