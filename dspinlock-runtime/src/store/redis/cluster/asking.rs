//! A step on a node to which the slot is migrating: `ASKING` precedes each command, and no change is pushed. `cluster`
//! calls it.

use std::sync::Arc;

use redis::{Cmd, Pipeline};

use crate::key::Key;
use crate::protocol::{Reply, Request};
use crate::rt::clock::Instant;
use crate::store::api::Boxed;
use crate::store::redis::failover::grants;
use crate::store::redis::node::{Node, confirm};
use crate::store::redis::wire::command::{Step, bound, range};
use crate::store::redis::wire::reply::{self, CommandError};

/// Executes a step that the owner of the slot has redirected. The owner sent the redirect, so a grant stays valid.
pub(crate) fn step(
    node: Arc<Node>,
    key: &Key,
    request: Request,
    since: Instant,
) -> Boxed<Result<Reply, CommandError>> {
    let (key, step) = (key.clone(), Step::new(key, request));
    Box::pin(async move {
        let connection = node.reconnecting.connection(since).await?;
        let mut pipeline = Pipeline::new();
        let read = match step {
            Err(read) => read,
            Ok(step) => {
                node.shared.grants.end(step.request());
                add(&mut pipeline, step.by_text());
                let answer = connection.pipeline(pipeline, since).await?.pop();
                let reply = reply::parse(answer.unwrap_or_else(|| Err(reply::unexpected()))?)?;
                confirm::grant(&connection, step.request(), &reply)?;
                node.shared
                    .grants
                    .note(grants::tag(step.request()), &reply, &connection);
                return Ok(reply);
            }
        };
        add(&mut pipeline, range(&key.name(), bound(&key, read)));
        let answer = connection.pipeline(pipeline, since).await?.pop();
        reply::read(&key, read, answer.unwrap_or_else(|| Err(reply::unexpected())))
    })
}

fn add(pipeline: &mut Pipeline, command: Cmd) {
    pipeline.cmd("ASKING");
    pipeline.add_command(command);
}
