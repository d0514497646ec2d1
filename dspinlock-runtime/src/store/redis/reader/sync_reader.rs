//! A sync caller that is alone talks to the server by itself.
//!
//! By way of the background thread a hit costs two changes of thread beyond the round trip: as much again. So there is
//! one connection on which a sync caller writes, and waits for, its own read. Who finds it taken goes by the background,
//! whose connection serves many at once, and so do all writes. It lives beside one generation of the background's
//! connection and ends with it: what is found out there about the server holds here too.

use std::sync::{Arc, Mutex, TryLockError, Weak};

use redis::{Client, ConnectionAddr, ConnectionInfo, ConnectionLike, IntoConnectionInfo, RedisError, Value};

use crate::error::StoreFailure;
use crate::key::Key;
use crate::protocol::{Read, Reply, Request};
use crate::rt::blocking;
use crate::store::redis::connection::Generation;
use crate::store::redis::url::address::Place;
use crate::store::redis::wire::reply;
use crate::store::redis::{Address, Answer, Limits, Session, value_range};
use crate::store::{Boxed, Change, Failure, Store};

/// The way of a sync caller.
pub(in crate::store::redis) struct Direct {
    info: ConnectionInfo,
    limits: Limits,
    background: Arc<Session>,
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    /// The generation of the background beside which the connection was made.
    beside: Weak<Generation>,
    /// `None` where none could be made.
    connection: Option<redis::Connection>,
}

impl Direct {
    /// `None` where there is no fixed place, and with TLS, which the redis crate's own connection knows only with a TLS
    /// stack of its own.
    pub(in crate::store::redis) fn new(
        address: &Address,
        limits: Limits,
        background: Arc<Session>,
    ) -> Option<Self> {
        let place = match &address.place {
            Place::Tcp { host, port } if !address.is_secure() => ConnectionAddr::Tcp(host.clone(), *port),
            Place::Unix(path) => ConnectionAddr::Unix(path.clone()),
            _ => return None,
        };
        let info = place.into_connection_info().ok()?;
        let tcp = info.tcp_settings().clone().set_nodelay(true);
        Some(Self {
            info: info
                .set_tcp_settings(tcp)
                .set_redis_settings(address.login.clone()),
            limits,
            background,
            line: Mutex::default(),
        })
    }

    /// `None`: go by the background.
    fn read(&self, key: &Key, request: &Read) -> Option<Result<Reply, Failure>> {
        let mut line = match self.line.try_lock() {
            Ok(line) => line,
            Err(TryLockError::Poisoned(line)) => line.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        let generation = self.background.link.up()?;
        if line.beside.as_ptr() != Arc::as_ptr(&generation) {
            *line = Line {
                beside: Arc::downgrade(&generation),
                connection: self.connect().ok(),
            };
        }
        let command = value_range(&key.value_name(), request.bound);
        let answer = line
            .connection
            .as_mut()?
            .req_packed_command(&command.get_packed_command());
        if matches!(&answer, Err(error) if error.is_unrecoverable_error() || error.is_io_error()) {
            // Made anew with the next read.
            *line = Line::default();
        }
        Some(reply::read(request.clone(), None, judged(answer)))
    }

    fn connect(&self) -> redis::RedisResult<redis::Connection> {
        let client = Client::open(self.info.clone())?;
        let connection = client.get_connection_with_timeout(self.limits.connect)?;
        connection.set_read_timeout(Some(self.limits.respond))?;
        connection.set_write_timeout(Some(self.limits.respond))?;
        Ok(connection)
    }
}

impl Store for Direct {
    fn step(&self, key: &Key, request: Request) -> Boxed<Result<Reply, Failure>> {
        if let Request::Read(request) = &request
            && !request.shared
            && blocking::is_waiting()
            && let Some(answer) = self.read(key, request)
        {
            return Box::pin(std::future::ready(answer));
        }
        self.background.step(key, request)
    }

    fn step_watched(&self, key: &Key, request: Request) -> Boxed<Result<(Reply, Change), Failure>> {
        self.background.step_watched(key, request)
    }
}

fn judged(answer: Result<Value, RedisError>) -> Answer {
    match answer {
        Ok(Value::ServerError(error)) => Err(reply::refused(&error.into())),
        Ok(value) => Ok(value),
        Err(error) if error.is_timeout() => Err(Failure::Unknown(StoreFailure::Timeout)),
        Err(error) if error.is_unrecoverable_error() || error.is_io_error() => {
            Err(Failure::Unknown(StoreFailure::Disconnected))
        }
        Err(error) => Err(reply::refused(&error)),
    }
}
