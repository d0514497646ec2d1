//! The time limits in the query of a URL, with the names and the unit (seconds) of Python's redis package.

use std::time::Duration;

use super::query::Query;
use crate::error::Error;
use crate::store::limits::Limits;
use crate::store::redis::timeouts::Timeouts;

/// The longest limit, in seconds.
const MAX: f64 = 86_400.0;

/// The time limits of the connections to a URL. Those of the URL replace those of the builder.
pub(crate) fn timeouts(query: &Query, mut limits: Limits) -> Result<Timeouts, Error> {
    let limit = |name| query.get(name).map(|value| seconds(name, value)).transpose();
    limits.connect = limit("socket_connect_timeout")?.or(limits.connect);
    limits.request = limit("socket_timeout")?.or(limits.request);
    Ok(Timeouts::default().with(limits))
}

fn seconds(name: &str, value: &str) -> Result<Duration, Error> {
    let seconds = value
        .parse()
        .ok()
        .filter(|seconds| (0.001..=MAX).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| {
        Error::url(format!(
            "`{name}` must be a number of seconds from 0.001 to {MAX}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query::parse(text, false, false).expect("known names")
    }

    #[test]
    fn a_limit_of_the_url_replaces_that_of_the_builder() {
        let builder = Limits {
            connect: Some(Duration::from_secs(1)),
            request: Some(Duration::from_secs(3)),
            readers: false,
        };
        let timeouts = timeouts(&query("protocol=2&socket_timeout=0.25"), builder).expect("a good URL");
        assert_eq!(timeouts.connect, Duration::from_secs(1));
        assert_eq!(timeouts.response, Duration::from_millis(250));
        assert!(!timeouts.readers);
    }

    #[test]
    fn a_limit_that_is_not_a_number_of_seconds_is_refused_without_quoting_it() {
        for value in ["", "secret", "0", "-1", "nan", "inf", "1e9", "5s"] {
            let query = query(&format!("socket_connect_timeout={value}"));
            let message = timeouts(&query, Limits::default()).expect_err(value).to_string();
            assert!(message.contains("`socket_connect_timeout`"), "{message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }
}
