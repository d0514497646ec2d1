//! The read that fills the near cache: a plain read, its registration and its remaining lifetime, in one round trip. `node`
//! calls it. It runs no script.

use redis::{Pipeline, Value};

use super::confirm;
use crate::key::Key;
use crate::protocol::{Read, Reply};
use crate::rt::clock::Instant;
use crate::store::api::Tracked;
use crate::store::redis::connection::Connection;
use crate::store::redis::wire::command::{bound, range};
use crate::store::redis::wire::reply::{self, CommandError};

/// Reads the entry and registers its name.
pub(crate) async fn read(
    connection: &Connection,
    key: &Key,
    request: Read,
    since: Instant,
) -> Result<Tracked, CommandError> {
    let name = key.name();
    let mut pipeline = Pipeline::with_capacity(3);
    pipeline.cmd("CLIENT").arg("CACHING").arg("YES");
    pipeline.add_command(range(&name, bound(key, request)));
    pipeline.cmd("PTTL").arg(name);
    let answers = connection.pipeline(pipeline, since).await?;
    let [registered, read, remaining] = <[_; 3]>::try_from(answers).map_err(|_| reply::unexpected())?;
    let reply = confirm::read(connection, key, request, reply::read(key, request, read)?, since).await?;
    let reply = match (reply, &remaining) {
        // Negative if there is no expiry.
        (Reply::Hit(hit, _), Ok(Value::Int(remaining))) => Reply::Hit(hit, u64::try_from(*remaining).ok()),
        (reply, _) => reply,
    };
    Ok(Tracked {
        reply,
        registered: registered.is_ok() && matches!(remaining, Ok(Value::Int(_))),
    })
}
