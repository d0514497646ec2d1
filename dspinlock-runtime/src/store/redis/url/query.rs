//! The parameters in the query of a URL. They have the names of Python's redis package. A parameter has an effect, or is
//! harmless and logged, or is refused: `?db=3` without effect would lock in another database than Python. `parts` calls it.

use crate::error::Error;

/// The parameters of every URL.
const COMMON: [&str; 7] = [
    "db",
    "username",
    "password",
    "socket_timeout",
    "socket_connect_timeout",
    "protocol",
    "client_name",
];
const TLS: [&str; 5] = [
    "ssl_ca_certs",
    "ssl_certfile",
    "ssl_keyfile",
    "ssl_cert_reqs",
    "ssl_check_hostname",
];
const SENTINEL: [&str; 2] = ["sentinel_user", "sentinel_password"];

/// The names that the redis crate has for unix sockets, and redis-py for the user of a sentinel.
const ALIASES: [(&str, &str); 3] = [
    ("user", "username"),
    ("pass", "password"),
    ("sentinel_username", "sentinel_user"),
];

/// Parameters of Python's redis package that change neither the server nor the keys.
const WITHOUT_EFFECT: [&str; 14] = [
    "auto_close_connection_pool",
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
    "single_connection_client",
    "socket_keepalive",
    "socket_read_size",
];

/// The parameters with an effect.
#[derive(Debug, Default)]
pub(crate) struct Query(Vec<(&'static str, String)>);

impl Query {
    /// Parses the text behind `?`, and logs the parameters without effect. No message shows a value.
    pub(crate) fn parse(text: &str, is_secure: bool, has_sentinels: bool) -> Result<Self, Error> {
        let known = [(true, &COMMON[..]), (is_secure, &TLS), (has_sentinels, &SENTINEL)];
        let known: Vec<&'static str> = known
            .into_iter()
            .filter(|(applies, _)| *applies)
            .flat_map(|(_, names)| names)
            .copied()
            .collect();
        let (mut query, mut without_effect) = (Self::default(), Vec::new());
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let alias = ALIASES.into_iter().find(|(alias, _)| *alias == name);
            let name = alias.map_or(name, |(_, name)| name);
            if let Some(name) = WITHOUT_EFFECT.into_iter().find(|ignored| *ignored == name) {
                if name == "encoding" {
                    check_encoding(&decode(value)?)?;
                }
                without_effect.push(name);
                continue;
            }
            let Some(name) = known.iter().copied().find(|known| *known == name) else {
                // Such a text may be a part of a password with an ampersand.
                let name = if pair.contains('=') { name } else { "" };
                return Err(unknown(name, is_secure, &known));
            };
            if query.get(name).is_some() {
                return Err(Error::url(format!("`{name}` is given twice: remove one")));
            }
            // A blank may be written as a plus in a query.
            query.0.push((name, decode(&value.replace('+', " "))?));
        }
        if !without_effect.is_empty() {
            tracing::warn!(target: "dspinlock", "these parameters of the store URL have no effect: {}", list(&without_effect));
        }
        Ok(query)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut pairs = self.0.iter();
        pairs.find_map(|(known, value)| (*known == name).then_some(&**value))
    }
}

/// Decodes percent-encoded text.
pub(crate) fn decode(text: &str) -> Result<String, Error> {
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
    let decoded = decoded.map_err(|_| Error::url("its percent-encoded text is not UTF-8: correct it"))?;
    Ok(decoded.into_owned())
}

/// Python writes the names of keys in this encoding, and Rust writes them in UTF-8.
fn check_encoding(encoding: &str) -> Result<(), Error> {
    match ["utf-8", "utf8"]
        .iter()
        .any(|utf8| encoding.eq_ignore_ascii_case(utf8))
    {
        true => Ok(()),
        false => Err(Error::url(
            "`encoding` must be `utf-8`, because keys are written in UTF-8: remove it, and use the same in Python",
        )),
    }
}

fn unknown(name: &str, is_secure: bool, known: &[&str]) -> Error {
    Error::url(match name {
        "host" | "port" | "path" => {
            format!("`{name}` is no parameter: write `redis://host:port`, or `redis+unix:///path`")
        }
        "ssl" | "tls" => format!("`{name}` is no parameter: use `rediss://` for TLS, and `redis://` without"),
        name if TLS.contains(&name) => {
            format!("`{name}` is a parameter of TLS, which the scheme does not use: use `rediss://`")
        }
        name if SENTINEL.contains(&name) => {
            format!(
                "`{name}` is a parameter of Sentinel, which the scheme does not use: use `redis+sentinel://`"
            )
        }
        name if name.starts_with("ssl") && is_secure => {
            "unknown TLS parameter: use `ssl_ca_certs`, `ssl_certfile` or `ssl_keyfile`".into()
        }
        name => match nearest(name, known) {
            Some(nearest) => format!("unknown parameter `{name}`: did you mean `{nearest}`?"),
            // The name may be a part of a password with an ampersand.
            None => format!("unknown parameter: use {}", list(known)),
        },
    })
}

fn list(names: &[&str]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

/// The known name that contains this one, or else the one with the most similar spelling.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let name = &*name.to_ascii_lowercase();
    let containing = known
        .iter()
        .filter(|known| name.len() > 3 && known.contains(name));
    let similar = known
        .iter()
        .map(|known| (distance(name, known), known))
        .filter(|(distance, known)| *distance <= known.len() / 3);
    let similar = similar
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known);
    containing.min_by_key(|known| known.len()).or(similar).copied()
}

/// The number of letters to insert, remove or replace.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, letter) in one.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], line + 1);
        for (column, other) in other.bytes().enumerate() {
            let replaced = diagonal + usize::from(letter != other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(query: &str) -> String {
        let error = Query::parse(query, true, false).expect_err(query);
        error.to_string()
    }

    #[test]
    fn a_parameter_has_its_decoded_value_under_every_name() {
        let query = "user=me&pass=p%2Bq+r%26&db=3&ssl_ca_certs=%2Fa&sentinel_username=s";
        let query = Query::parse(query, true, true).expect("known names");
        for (name, value) in [
            ("username", Some("me")),
            ("password", Some("p+q r&")),
            ("db", Some("3")),
            ("ssl_ca_certs", Some("/a")),
            ("sentinel_user", Some("s")),
            ("sentinel_password", None),
        ] {
            assert_eq!(query.get(name), value, "{name}");
        }
    }

    #[test]
    fn an_unknown_parameter_is_named_with_the_nearest_one_and_without_its_value() {
        for (query, part) in [
            (
                "socket_timeouts=secret",
                "`socket_timeouts`: did you mean `socket_timeout`?",
            ),
            (
                "protocol=2&Protocol=secret",
                "`Protocol`: did you mean `protocol`?",
            ),
            ("timeout=secret", "`timeout`: did you mean `socket_timeout`?"),
            ("connect_timeout=secret", "did you mean `socket_connect_timeout`?"),
            ("DB=secret", "did you mean `db`?"),
            ("usename=secret", "did you mean `username`?"),
            ("passwd=secret", "did you mean `password`?"),
            (
                "ssl_ca_path=secret",
                "unknown TLS parameter: use `ssl_ca_certs`, `ssl_certfile` or `ssl_keyfile`",
            ),
            ("sentinel_password=secret", "use `redis+sentinel://`"),
            ("host=secret", "write `redis://host:port`"),
            ("db=1&db=secret", "`db` is given twice"),
            ("user=a&username=secret", "`username` is given twice"),
            (
                "credential_provider=secret",
                "unknown parameter: use `db`, `username`,",
            ),
            ("s%65cret", "unknown parameter: use"),
            ("=secret", "unknown parameter: use"),
            ("password=a&secret", "unknown parameter: use"),
            ("password=ab&secret9=x", "unknown parameter: use"),
            ("ssl=secret", "`ssl` is no parameter: use `rediss://`"),
        ] {
            let message = error(query);
            assert!(
                message.contains(part) && !message.contains("secret"),
                "{query}: {message}"
            );
        }
        let plain = Query::parse("ssl_keyfile=secret", false, false).expect_err("no TLS");
        assert!(plain.to_string().contains("use `rediss://`"), "{plain}");
    }

    #[test]
    fn an_encoding_other_than_utf_8_is_refused() {
        for accepted in ["utf-8", "utf8", "UTF-8", "Utf8", "utf%2D8"] {
            let query = format!("encoding={accepted}");
            assert!(Query::parse(&query, false, false).is_ok(), "{accepted}");
        }
        for refused in ["latin-1", "ascii", "utf-16", "utf_8", ""] {
            let message = error(&format!("encoding={refused}"));
            assert!(
                message.contains("`encoding` must be `utf-8`"),
                "{refused}: {message}"
            );
        }
    }

    #[test]
    fn the_docs_list_every_parameter() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/stores.md");
        let docs = std::fs::read_to_string(path).expect("the page is beside the crate");
        let aliases = ALIASES.map(|(alias, _)| alias);
        let names = [&COMMON[..], &TLS, &SENTINEL, &WITHOUT_EFFECT, &aliases].concat();
        for name in names {
            let is_listed = docs.contains(&format!("`{name}`")) || docs.contains(&format!("`{name}="));
            assert!(is_listed, "`{name}` is not in docs/stores.md");
        }
    }

    #[test]
    fn the_distance_counts_changed_letters() {
        for (one, other, expected) in [
            ("db", "db", 0),
            ("", "db", 2),
            ("usename", "username", 1),
            ("passwd", "password", 2),
        ] {
            assert_eq!(distance(one, other), expected);
            assert_eq!(distance(other, one), expected);
        }
    }
}
