//! The login to a server or a sentinel.

use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ErrorKind, RedisError};

use super::transport::{CountingStream, Traffic};
use crate::store::redis::url::address::Address;
use crate::store::redis::wire::reply;

/// Connects and logs in on the current runtime. The second value drives the connection.
pub(crate) async fn login(
    address: &Address,
    config: AsyncConnectionConfig,
    traffic: Arc<Traffic>,
) -> Result<(MultiplexedConnection, impl Future<Output = ()> + Send + 'static), String> {
    let stream = CountingStream::open(address, traffic).await?;
    // The timer of the redis crate would need a tokio runtime around each call. The watchdog replaces it.
    let config = config.set_response_timeout(None);
    MultiplexedConnection::new_with_config(&address.login, stream, config)
        .await
        .map_err(|error| failure(&error))
}

/// The step and the code of the server's reply, never its text: it may quote the password.
fn failure(error: &RedisError) -> String {
    #[cfg(feature = "tls")]
    if let Some(reason) = crate::store::redis::tls::reason(error) {
        return reason;
    }
    if error.kind() == ErrorKind::RESP3NotSupported {
        return "the server does not know `HELLO`: dspinlock needs Redis 7 or later".into();
    }
    if error.is_io_error() {
        return "the connection was closed during the login: check that a Redis server listens on this port"
            .into();
    }
    if error.code().is_none() {
        return "the answer to the login is not Redis: check that a Redis server listens on this port".into();
    }
    let code = reply::code(error);
    // Only the description of the error names the step.
    if error
        .to_string()
        .starts_with("Redis server refused to switch database")
    {
        return format!(
            "`SELECT` failed (`{code}`): the server has no database with this number, or the user may not select it"
        );
    }
    match code {
        "NOAUTH" => {
            "`HELLO` failed (`NOAUTH`): the server requires a login: add `user:password@` to the URL".into()
        }
        "WRONGPASS" => "`HELLO` failed (`WRONGPASS`): check the user name and the password".into(),
        "LOADING" | "BUSY" | "MASTERDOWN" => {
            format!("`HELLO` failed (`{code}`): the server is not ready yet, try again")
        }
        _ => format!("`HELLO` failed (`{code}`): check the login and the permissions of the user"),
    }
}

#[cfg(test)]
mod tests {
    use redis::{ServerError, Value, parse_redis_value};

    use super::*;

    #[test]
    fn the_reply_to_a_login_is_not_shown() {
        for (line, code) in [
            ("WRONGPASS invalid username-password pair: secret", "WRONGPASS"),
            (
                "ERR unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'u' 'secret'",
                "ERR",
            ),
            ("secret 3 AUTH", "ERR"),
        ] {
            let reply = parse_redis_value(format!("-{line}\r\n").as_bytes()).expect("an error reply");
            let Value::ServerError(error) = reply else {
                panic!("{reply:?}")
            };
            let error: ServerError = error;
            let shown = failure(&error.into());
            assert!(shown.contains("`HELLO`") && shown.contains(code), "{shown}");
            assert!(!shown.contains("secret"), "{shown}");
        }
    }
}
