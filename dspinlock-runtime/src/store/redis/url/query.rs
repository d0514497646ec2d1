//! The parameters in the query of a URL. `redis` refuses unknown ones, because a misspelled parameter would have no effect.

use std::borrow::Cow;

use crate::error::Error;

/// The parameters of every URL. They have the names of Python's redis package.
const COMMON: [&str; 3] = ["protocol", "socket_connect_timeout", "socket_timeout"];
const TLS: [&str; 3] = ["ssl_ca_certs", "ssl_certfile", "ssl_keyfile"];
/// Those of a unix socket have the names of the redis crate.
const UNIX: [&str; 3] = ["db", "user", "pass"];
const SENTINEL: [&str; 2] = ["sentinel_user", "sentinel_password"];
/// Other parameters of Python's redis package.
const PYTHON: [&str; 14] = [
    "client_name",
    "decode_responses",
    "encoding",
    "encoding_errors",
    "health_check_interval",
    "legacy_responses",
    "lib_name",
    "lib_version",
    "max_connections",
    "retry_on_error",
    "retry_on_timeout",
    "socket_keepalive",
    "socket_read_size",
    "timeout",
];

/// The names and values, percent-decoded.
pub(crate) fn pairs(url: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    url::form_urlencoded::parse(text(url).as_bytes())
}

fn text(url: &str) -> &str {
    let (url, _fragment) = url.split_once('#').unwrap_or((url, ""));
    url.split_once('?').map_or("", |(_, query)| query)
}

/// Refuses parameters that URLs with this scheme do not have. `address` checks those of TLS. No value is shown.
pub(crate) fn check(url: &str) -> Result<(), Error> {
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
    let is_unix = scheme.ends_with("unix");
    let known: Vec<&str> = [
        (true, &COMMON[..]),
        (matches!(scheme, "valkeys") || scheme.starts_with("rediss"), &TLS),
        (is_unix, &UNIX),
        (scheme.ends_with("sentinel"), &SENTINEL),
    ]
    .into_iter()
    .filter_map(|(applies, names)| applies.then_some(names))
    .flatten()
    .copied()
    .collect();
    for (name, _) in pairs(url) {
        if known.contains(&&*name) || name.starts_with("ssl") {
            continue;
        }
        return Err(Error::InvalidUrl {
            reason: match &*name {
                "db" => "`db` is a parameter of unix sockets: append `/` and the database to the host".into(),
                "user" | "username" | "pass" | "password" if is_unix => {
                    "the parameters of the login to a unix socket are `user` and `pass`".into()
                }
                "user" | "username" | "pass" | "password" => {
                    "a login is no parameter: put `user:password@` before the host".into()
                }
                name if PYTHON.contains(&name) => format!(
                    "`{name}` is a parameter of Python's redis package that dspinlock does not have: remove it"
                ),
                name => format!("unknown parameter{}: use {}", shown(name, url), list(&known)),
            },
        });
    }
    Ok(())
}

/// The name in backticks. The query may be a part of a password with an unescaped `?`, which is not shown. Such a password
/// may also have a `#`.
fn shown(name: &str, url: &str) -> String {
    const MAX: usize = 40;
    let may_be_password = url.split_once('?').is_some_and(|(_, rest)| rest.contains('@'));
    let is_name = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    match is_name && (1..=MAX).contains(&name.len()) && !may_be_password {
        true => format!(" `{name}`"),
        false => String::new(),
    }
}

fn list(names: &[&str]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_parameter_is_known() {
        for url in [
            "redis://host",
            "valkey://host/1?protocol=2&socket_timeout=1&socket_connect_timeout=1",
            "redis+unix:///path?db=1&user=me&pass=secret&protocol=2",
            "rediss://host?ssl_cert_reqs=required&ssl_ca_certs=a&ssl_certfile=b&ssl_keyfile=c",
            "redis+cluster://one,two?socket_timeout=1",
            "rediss+sentinel://one/main?sentinel_user=s&sentinel_password=p@ss&ssl_ca_certs=a",
        ] {
            assert!(check(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn an_unknown_parameter_is_named_without_its_value() {
        for (query, part) in [
            ("socket_timeouts=secret", "`socket_timeouts`: use `protocol`,"),
            ("protocol=2&Protocol=secret", "`Protocol`"),
            ("max_connections=secret", "Python's redis package"),
            ("db=secret", "append `/` and the database"),
            ("password=secret", "`user:password@`"),
            ("sentinel_password=secret", "`sentinel_password`: use"),
            ("secret@host", "unknown parameter: use"),
            ("x&secret@host", "unknown parameter: use"),
            ("secret#x@host", "unknown parameter: use"),
            ("=secret", "unknown parameter: use"),
        ] {
            let message = check(&format!("redis://host?{query}"))
                .expect_err(query)
                .to_string();
            assert!(message.contains(part) && !message.contains("secret"), "{message}");
        }
        let unix = check("unix:///path?username=secret")
            .expect_err("a wrong name")
            .to_string();
        assert!(unix.contains("`user` and `pass`"), "{unix}");
    }
}
