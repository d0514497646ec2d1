//! A step on a node to which the slot is migrating: `ASKING` precedes each command, and no change is pushed. `cluster`
//! calls it.

use std::sync::Arc;

use redis::{Cmd, Pipeline};

use crate::key::Key;
use crate::protocol::{Reply, Request};
use crate::rt::clock::Instant;
use crate::store::api::Boxed;
use crate::store::redis::failover::grants;
use crate::store::redis::node::Node;
use crate::store::redis::wire::command::{Step, state_range, value_range};
use crate::store::redis::wire::reply::{self, CommandError};

/// Executes a step that the owner of the slot has redirected. The owner sent the redirect, so a grant stays valid.
pub(crate) fn step(
    node: Arc<Node>,
    key: &Key,
    request: Request,
    since: Instant,
) -> Boxed<Result<Reply, CommandError>> {
    let (names, step) = ([key.state_name(), key.value_name()], Step::new(key, request));
    Box::pin(async move {
        let connection = node.reconnecting.connection(since).await?;
        let mut pipeline = Pipeline::new();
        let read = match step {
            Err(read) => read,
            Ok(step) => {
                node.shared.grants.end(step.request());
                add(&mut pipeline, step.by_text(connection.server_minute()));
                let answer = connection.pipeline(pipeline, since).await?.pop();
                let reply = reply::parse(answer.unwrap_or_else(|| Err(reply::unexpected()))?)?;
                node.shared
                    .grants
                    .note(grants::tag(step.request()), &reply, &connection);
                return Ok(reply);
            }
        };
        add(&mut pipeline, state_range(&names[0]));
        add(&mut pipeline, value_range(&names[1], read.bound));
        let answers = connection.pipeline(pipeline, since).await?;
        let [_, state, _, value] = <[_; 4]>::try_from(answers).map_err(|_| reply::unexpected())?;
        let state = read.shared.then_some(state);
        reply::read(read, state, value)
    })
}

fn add(pipeline: &mut Pipeline, command: Cmd) {
    pipeline.cmd("ASKING");
    pipeline.add_command(command);
}
