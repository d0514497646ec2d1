//! A step at a node that a slot is on its way to: each command behind `ASKING`, and no change is pushed.

use std::sync::Arc;

use redis::{Cmd, Pipeline};

use crate::key::Key;
use crate::protocol::{Reply, Request};
use crate::store::redis::failover::grants as master;
use crate::store::redis::wire::command::Step;
use crate::store::redis::wire::reply;
use crate::store::redis::{Session, state_range, value_range};
use crate::store::{Boxed, Failure};

/// The node that had the key has sent the step here, so that the step is of the same master's making.
pub(super) fn take(session: Arc<Session>, key: &Key, request: Request) -> Boxed<Result<Reply, Failure>> {
    let names = [key.state_name(), key.value_name()];
    Box::pin(async move {
        let generation = session.link.generation().await?;
        let mut pipeline = Pipeline::new();
        let Request::Read(read) = request else {
            let tag = master::tag(&request);
            if let Request::Abort { .. } = request {
                session.grants.allow(&request, &generation);
            }
            asking(&mut pipeline, Step { names, request }.by_text());
            let answer = generation.pipeline(pipeline).await?.pop();
            let reply = reply::parse(answer.unwrap_or_else(|| Err(reply::unexpected()))?)?;
            session.grants.note(tag, &reply, &generation);
            return Ok(reply);
        };
        asking(&mut pipeline, state_range(&names[0]));
        asking(&mut pipeline, value_range(&names[1], read.bound));
        let answers = generation.pipeline(pipeline).await?;
        let [_, state, _, value] = <[_; 4]>::try_from(answers).map_err(|_| reply::unexpected())?;
        reply::read(read.clone(), read.shared.then_some(state), value)
    })
}

fn asking(pipeline: &mut Pipeline, command: Cmd) {
    pipeline.cmd("ASKING");
    pipeline.add_command(command);
}
