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

#[cfg(test)]
mod tests {
    use dspinlock_testkit::{Attack, Hostile, Redis, Target};
    use redis::RedisConnectionInfo;

    use super::*;
    use crate::key::Format;
    use crate::protocol::Acquire;
    use crate::protocol::header::Origin;
    use crate::protocol::tag::Tag;
    use crate::rt::blocking::wait;
    use crate::store::api::Failure;
    use crate::store::redis::node::Shared;
    use crate::store::redis::reconnect::start_background;
    use crate::store::redis::timeouts::Timeouts;
    use crate::store::redis::url::address::Address;

    #[test]
    fn the_grant_of_another_call_closes_the_connection() {
        let server = Redis::start();
        let hostile = Hostile::start(server.port());
        let address = Address::tcp("127.0.0.1", hostile.port(), None, RedisConnectionInfo::default());
        let address = Arc::new(address.expect("no TLS"));
        start_background(&address).expect("the background thread");
        let node = Node::new(address, Timeouts::default(), Shared::default());
        let key = Key::new(Format::Single, "dspinlock".into(), [1; 32]);
        let acquire = Acquire {
            tag: Tag::parse(b"tag-of-16-bytes_").expect("a tag"),
            lease: 10_000,
            max_block: 10_000,
            cached: false,
            fail_if_key_exists: false,
            seize: false,
            refuse: None,
            stale: None,
            origin: Origin::new(1, "host", "site"),
            bound: 1000,
        };
        let request = || Request::Acquire(acquire.clone());
        let send = |way| match way {
            "asking" => wait(step(node.clone(), &key, request(), Instant::now())),
            "plain" => wait(node.step(&key, request(), Instant::now())),
            _ => wait(node.step_watched(&key, request(), Instant::now())).map(|(reply, _)| reply),
        };
        for way in ["asking", "plain", "watched"] {
            let is_granted = |reply| matches!(reply, Ok(Reply::Acquired(id)) if id.tag == acquire.tag);
            assert!(is_granted(send(way)), "{way}");
            let connection = node.reconnecting.current().expect("a group").steps().clone();
            hostile.attack(Target::Reply("ACQUIRE"), Attack::OtherGrant);
            let outcome = send(way);
            let is_lost = matches!(outcome, Err(CommandError::Failed(Failure::Lost { .. })));
            assert!(is_lost, "{way}: {outcome:?}");
            assert!(!connection.is_open(), "{way}");
            hostile.attack(Target::Reply("ACQUIRE"), Attack::Nothing);
        }
    }
}
