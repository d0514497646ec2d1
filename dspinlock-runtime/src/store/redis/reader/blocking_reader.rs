//! The connection on which a sync caller blocks for its own read.
//!
//! On the connection of the background thread, a read costs two thread switches beyond the round trip. This connection
//! serves one caller at a time. If it is in use, the read goes to the background thread, as all writes do. It belongs to
//! one connection of the background thread and is replaced with it, so that both lead to the same server.

use std::sync::{Arc, Mutex, TryLockError, Weak};

use redis::{Client, ConnectionAddr, ConnectionInfo, ConnectionLike, IntoConnectionInfo, RedisError, Value};

use crate::error::StoreFailure;
use crate::key::Key;
use crate::protocol::{Read, Reply};
use crate::store::api::Failure;
use crate::store::redis::connection::Connection;
use crate::store::redis::timeouts::Timeouts;
use crate::store::redis::url::address::{Address, Place};
use crate::store::redis::wire::command::value_range;
use crate::store::redis::wire::reply::{self, Answer};

/// Reads for one sync caller at a time.
pub(crate) struct SyncReader {
    info: ConnectionInfo,
    timeouts: Timeouts,
    slot: Mutex<Slot>,
}

#[derive(Default)]
struct Slot {
    /// The connection of the background thread that `connection` belongs to.
    owner: Weak<Connection>,
    /// `None` if connecting failed.
    connection: Option<redis::Connection>,
}

impl SyncReader {
    /// `None` with TLS: the blocking connection of the redis crate has its own TLS stack, which is not built in.
    pub(crate) fn new(address: &Address, timeouts: Timeouts) -> Option<Self> {
        if address.is_secure() {
            return None;
        }
        let place = match &address.place {
            Place::Tcp { host, port } => ConnectionAddr::Tcp(host.clone(), *port),
            Place::Unix(path) => ConnectionAddr::Unix(path.clone()),
        };
        let info = place.into_connection_info().ok()?;
        let tcp = info.tcp_settings().clone().set_nodelay(true);
        Some(Self {
            info: info
                .set_tcp_settings(tcp)
                .set_redis_settings(address.login.clone()),
            timeouts,
            slot: Mutex::default(),
        })
    }

    /// Blocks the calling thread. `None` if the background thread has to serve the read.
    pub(crate) fn read(
        &self,
        key: &Key,
        request: &Read,
        owner: &Arc<Connection>,
    ) -> Option<Result<Reply, Failure>> {
        let mut slot = match self.slot.try_lock() {
            Ok(slot) => slot,
            Err(TryLockError::Poisoned(slot)) => slot.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        if slot.owner.as_ptr() != Arc::as_ptr(owner) {
            *slot = Slot {
                owner: Arc::downgrade(owner),
                connection: self.connect().ok(),
            };
        }
        let command = value_range(&key.value_name(), request.bound);
        let answer = slot
            .connection
            .as_mut()?
            .req_packed_command(&command.get_packed_command());
        if matches!(&answer, Err(error) if error.is_unrecoverable_error() || error.is_io_error()) {
            // The next read connects again.
            *slot = Slot::default();
        }
        Some(reply::read(request.clone(), None, classify(answer)).map_err(Failure::from))
    }

    fn connect(&self) -> redis::RedisResult<redis::Connection> {
        let client = Client::open(self.info.clone())?;
        let connection = client.get_connection_with_timeout(self.timeouts.connect)?;
        connection.set_read_timeout(Some(self.timeouts.response))?;
        connection.set_write_timeout(Some(self.timeouts.response))?;
        Ok(connection)
    }
}

fn classify(answer: Result<Value, RedisError>) -> Answer {
    match answer {
        Ok(Value::ServerError(error)) => Err(reply::refused(&error.into())),
        Ok(value) => Ok(value),
        Err(error) if error.is_timeout() => Err(Failure::Unknown(StoreFailure::Timeout).into()),
        Err(error) if error.is_unrecoverable_error() || error.is_io_error() => {
            Err(Failure::Unknown(StoreFailure::Disconnected).into())
        }
        Err(error) => Err(reply::refused(&error)),
    }
}
