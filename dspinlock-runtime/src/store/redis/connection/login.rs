//! The login to a server or a sentinel.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, ErrorKind, ProtocolVersion, PushInfo, RedisConnectionInfo, RedisError, Value,
};

use super::transport::{CountingStream, Traffic};
use crate::store::redis::client_name::Purpose;
use crate::store::redis::resp::{Refusal, Resp};
use crate::store::redis::url::address::Address;
use crate::store::redis::wire::reply;

/// Receives the pushes of a connection with RESP3.
pub(crate) type Pushes = Arc<dyn Fn(PushInfo) + Send + Sync>;

/// A connection after its login.
pub(crate) struct Login {
    pub(crate) connection: MultiplexedConnection,
    /// Drives the connection.
    pub(crate) driver: Pin<Box<dyn Future<Output = ()> + Send>>,
    pub(crate) resp: Resp,
    /// The address of the server; `None` for a unix socket.
    pub(crate) peer: Option<SocketAddr>,
}

/// Connects and logs in on the current runtime. If the server refuses `HELLO`, it is used with RESP2.
pub(crate) async fn login(
    address: &Address,
    config: AsyncConnectionConfig,
    pushes: Option<Pushes>,
    traffic: Arc<Traffic>,
    purpose: Purpose,
) -> Result<Login, String> {
    // The timer of the redis crate would need a tokio runtime around each call. The watchdog replaces it.
    let config = config.set_response_timeout(None);
    let mut version = address.resp.version();
    let mut refusal = None;
    loop {
        let stream = CountingStream::open(address, traffic.clone()).await?;
        let protocol = address.current_login()?;
        let error = match log_in(
            address,
            protocol,
            stream,
            version,
            &config,
            pushes.as_ref(),
            purpose,
        )
        .await
        {
            Ok(login) => {
                address.resp.opened(version, refusal);
                if !version.has_pushes() && address.resp.take_warning() {
                    warn(address, version);
                }
                return Ok(login);
            }
            Err(error) => error,
        };
        let refused = refusal_of(&error, version);
        let Some(next) = refused.and_then(|refused| address.resp.after(version, refused)) else {
            return Err(failure(&error, version));
        };
        (version, refusal) = (next, refused);
    }
}

async fn log_in(
    address: &Address,
    protocol: RedisConnectionInfo,
    stream: CountingStream,
    resp: Resp,
    config: &AsyncConnectionConfig,
    pushes: Option<&Pushes>,
    purpose: Purpose,
) -> Result<Login, RedisError> {
    let peer = stream.peer();
    let mut config = config.clone();
    let login = protocol.set_protocol(match resp {
        Resp::V3 => ProtocolVersion::RESP3,
        Resp::V2 | Resp::V2Bare => ProtocolVersion::RESP2,
    });
    if let Some(pushes) = pushes.filter(|_| resp.has_pushes()).cloned() {
        config = config.set_push_sender(move |push| {
            pushes(push);
            Ok::<(), ()>(())
        });
    }
    let (connection, driver) = MultiplexedConnection::new_with_config(&login, stream, config).await?;
    let mut login = Login {
        connection,
        driver: Box::pin(driver),
        resp,
        peer,
    };
    if resp != Resp::V3 {
        login.check(&address.name_for(purpose)).await?;
    }
    Ok(login)
}

impl Login {
    /// Waits for a reply: a login with RESP2 may have sent nothing. A proxy may close a connection that sends `CLIENT`.
    async fn check(&mut self, name: &str) -> Result<(), RedisError> {
        let mut command = redis::cmd("PING");
        if self.resp.has_setup() {
            command = redis::cmd("CLIENT");
            command.arg("SETNAME").arg(name);
        }
        let answer = tokio::select! {
            answer = self.connection.send_packed_command(&command) => answer,
            () = &mut self.driver => Err((ErrorKind::Io, "the connection was closed").into()),
        };
        let refused = |reply| match reply {
            Value::ServerError(error) => Err(RedisError::from(error)),
            _ => Ok(()),
        };
        match answer.and_then(refused) {
            Err(error) if error.is_io_error() || error.kind() == ErrorKind::Parse => Err(error),
            Err(error) if error.code() == Some("NOAUTH") => Err(error),
            // The name is not needed, and each step has its own error.
            _ => Ok(()),
        }
    }
}

/// What a server or a proxy without this version of RESP answers.
fn refusal_of(error: &RedisError, version: Resp) -> Option<Refusal> {
    #[cfg(feature = "tls")]
    if crate::store::redis::tls::reason(error).is_some() {
        return None;
    }
    if error.is_io_error() {
        return Some(Refusal::Closed);
    }
    let is_refused = error.kind() == ErrorKind::RESP3NotSupported
        || reply::is_unknown_command(error)
        || matches!(error.code(), Some("NOPROTO" | "NOPERM"));
    (version == Resp::V3 && is_refused).then_some(Refusal::Reply)
}

fn warn(address: &Address, resp: Resp) {
    let cost = if resp.has_setup() {
        ""
    } else {
        ", and a publish may be stored even if another master granted its lock"
    };
    tracing::warn!(
        target: "dspinlock",
        "`{address}` refuses `HELLO`, so waiting callers poll and the near cache is off{cost}: use a server with RESP3, or add `?protocol=2` to the URL"
    );
}

/// The step and the code of the server's reply, never its text: it may quote the password.
fn failure(error: &RedisError, version: Resp) -> String {
    #[cfg(feature = "tls")]
    if let Some(reason) = crate::store::redis::tls::reason(error) {
        return reason;
    }
    if error.kind() == ErrorKind::RESP3NotSupported {
        return "the server does not know `HELLO`: remove `protocol=3` from the URL".into();
    }
    if error.kind() == ErrorKind::AuthenticationFailed {
        return "`AUTH` failed: check the user name and the password".into();
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
    let command = match version {
        Resp::V3 => "HELLO",
        Resp::V2 | Resp::V2Bare => "AUTH",
    };
    let hint = match code {
        "NOAUTH" => "the server requires a login: add `user:password@` to the URL",
        "WRONGPASS" => "check the user name and the password",
        "LOADING" | "BUSY" | "MASTERDOWN" => "the server is not ready yet, try again",
        _ => "check the login and the permissions of the user",
    };
    format!("`{command}` failed (`{code}`): {hint}")
}

#[cfg(test)]
mod tests {
    use redis::{ServerError, parse_redis_value};

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
            let shown = failure(&error.into(), Resp::V3);
            assert!(shown.contains("`HELLO`") && shown.contains(code), "{shown}");
            assert!(!shown.contains("secret"), "{shown}");
        }
    }
}
