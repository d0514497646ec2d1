//! The scheme of a URL: what it leads to, and whether by TLS. `parts` calls it before it parses the rest.

use crate::error::Error;

/// What a URL leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Server,
    Unix,
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
    /// Splits a URL into its scheme, whether it uses TLS, and the text behind the first colon.
    pub(crate) fn split(url: &str) -> Result<(Self, bool, &str), Error> {
        let (scheme, rest) = url.split_once(':').unwrap_or_default();
        let scheme = &*scheme.to_ascii_lowercase();
        let is_secure = scheme == "valkeys" || scheme.starts_with("rediss");
        // The scheme is not quoted: the text before the first colon may be a password.
        let reason = match scheme {
            _ if WITH_HOST.contains(&scheme) && !rest.starts_with("//") => {
                "two slashes must follow the scheme: write `redis://host:port`"
            }
            "redis+unix" | "valkey+unix" | "unix" => return Ok((Self::Unix, false, rest)),
            "redis" | "rediss" | "valkey" | "valkeys" => return Ok((Self::Server, is_secure, rest)),
            #[cfg(feature = "sentinel")]
            "redis+sentinel" | "rediss+sentinel" => return Ok((Self::Sentinel, is_secure, rest)),
            #[cfg(feature = "cluster")]
            "redis+cluster" | "rediss+cluster" => return Ok((Self::Cluster, is_secure, rest)),
            #[cfg(not(feature = "sentinel"))]
            "redis+sentinel" | "rediss+sentinel" => {
                "a `redis+sentinel:` URL needs the feature `sentinel` of dspinlock: enable it"
            }
            #[cfg(not(feature = "cluster"))]
            "redis+cluster" | "rediss+cluster" => {
                "a `redis+cluster:` URL needs the feature `cluster` of dspinlock: enable it"
            }
            "sqlite3" | "file" => "unknown URL scheme: write `sqlite:PATH` for a file",
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

    /// Whether the URL names several hosts.
    pub(crate) fn has_list(self) -> bool {
        !matches!(self, Self::Server | Self::Unix)
    }

    /// Whether the URL names sentinels, which have a separate login.
    pub(crate) fn has_sentinels(self) -> bool {
        #[cfg(feature = "sentinel")]
        return self == Self::Sentinel;
        #[cfg(not(feature = "sentinel"))]
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_scheme_of_a_file_is_refused_with_the_right_one() {
        for url in [
            "sqlite3:secret",
            "file:secret",
            "FILE:///secret",
            "sqlite3://secret",
        ] {
            let message = Scheme::split(url).expect_err(url).to_string();
            let is_right = message.contains("write `sqlite:PATH`") && !message.contains("secret");
            assert!(is_right, "{url}: {message}");
        }
    }

    #[test]
    fn a_scheme_is_known_in_any_case() {
        for (url, scheme, is_secure, rest) in [
            ("redis://host", Scheme::Server, false, "//host"),
            ("Redis://Host", Scheme::Server, false, "//Host"),
            ("REDISS://host", Scheme::Server, true, "//host"),
            ("ValkeyS://host", Scheme::Server, true, "//host"),
            ("Valkey+Unix:///path", Scheme::Unix, false, "///path"),
            ("unix:/path", Scheme::Unix, false, "/path"),
            #[cfg(feature = "sentinel")]
            (
                "RedisS+Sentinel://host/main",
                Scheme::Sentinel,
                true,
                "//host/main",
            ),
            #[cfg(feature = "cluster")]
            ("Redis+CLUSTER://host", Scheme::Cluster, false, "//host"),
        ] {
            assert_eq!(Scheme::split(url).expect(url), (scheme, is_secure, rest));
        }
    }

    #[test]
    fn a_url_without_a_known_scheme_is_not_quoted_and_the_message_says_what_to_write() {
        for (url, part) in [
            ("secret://password@host", "unknown URL scheme"),
            ("secret:6379", "no scheme: write `redis://host:port`"),
            ("secret", "no scheme: write `redis://host:port`"),
            ("", "no scheme"),
            ("redis:/secret", "two slashes"),
            ("redis:secret:6379", "two slashes"),
        ] {
            let message = Scheme::split(url).unwrap_err().to_string();
            assert!(message.contains(part) && !message.contains("secret"), "{message}");
        }
    }
}
