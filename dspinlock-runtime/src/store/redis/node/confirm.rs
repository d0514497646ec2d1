//! Whether a reply belongs to its request. A connection that lost a byte, or a proxy that mixed up two callers, gives the replies
//! of other requests. `node` and `tracked_read` call this module.
//!
//! A value of another key, or one whose header is damaged, is read again. If the second reply is the same, the value itself is
//! damaged or forged, and the caller refuses it: a forged value must not cost all callers their connection. If not, the
//! connection is closed.

use std::time::Duration;

use crate::key::Key;
use crate::protocol::{Read, Reply, Request};
use crate::rt::clock::Instant;
use crate::store::api::Failure;
use crate::store::redis::connection::Connection;
use crate::store::redis::wire::command::{Step, bound, range};
use crate::store::redis::wire::reply::{self, CommandError};

/// The reply to a read, or `Lost` if the connection gave the reply of another request.
pub(crate) async fn read(
    connection: &Connection,
    key: &Key,
    request: Read,
    reply: Reply,
    since: Instant,
) -> Result<Reply, CommandError> {
    if reply.may_be_of(key) {
        return Ok(reply);
    }
    let range = range(&key.name(), bound(key, request));
    let again = reply::read(key, request, connection.send(&range, since).await)?;
    match (&reply, &again) {
        (Reply::Hit(first, _), Reply::Hit(second, _)) if first == second => Ok(reply),
        _ => Err(mixed_up(connection)),
    }
}

/// `Lost` if the reply is the grant of another request.
pub(crate) fn grant(connection: &Connection, request: &Request, reply: &Reply) -> Result<(), CommandError> {
    match (request, reply) {
        (Request::Acquire(acquire), Reply::Acquired(id)) if id.tag != acquire.tag => {
            Err(mixed_up(connection))
        }
        _ => Ok(()),
    }
}

/// The reply to a step, or `Lost` if the connection gave the reply of another request.
pub(crate) async fn step(
    connection: &Connection,
    step: &Step,
    reply: Reply,
    since: Instant,
) -> Result<Reply, CommandError> {
    grant(connection, step.request(), &reply)?;
    match &reply {
        Reply::Hit(..) => {
            let bound = step.request().bound();
            read(connection, step.key(), Read { bound }, reply, since).await
        }
        _ => Ok(reply),
    }
}

/// Closes the connection. The request is sent again on another one.
fn mixed_up(connection: &Connection) -> CommandError {
    tracing::warn!(
        target: "dspinlock",
        "a connection gave a request the reply of another one; it is closed"
    );
    connection.close();
    let extension = Duration::ZERO;
    Failure::Lost { extension }.into()
}
