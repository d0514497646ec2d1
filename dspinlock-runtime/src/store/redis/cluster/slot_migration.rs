//! Moves a grant with its slot to another node. `cluster` calls it before a PUBLISH.

use super::nodes::Nodes;
use super::slot_map::Member;
use crate::key::Key;
use crate::protocol::Request;
use crate::rt::clock::Instant;
use crate::store::redis::failover::grants;
use crate::store::redis::node::Node;
use crate::store::redis::wire::reply::{CommandError, Refusal};

/// Moves the grant of a PUBLISH to `member`, if the slot has migrated there.
///
/// After a failover the grant must not move. So it moves only if the node that made it redirects the key to `member`, and
/// `member` was not a replica of that node.
pub(crate) async fn follow(
    nodes: &Nodes,
    member: &Member,
    node: &Node,
    key: &Key,
    request: &Request,
    since: Instant,
) -> Result<(), CommandError> {
    let current = node.reconnecting.connection(since).await?;
    let Some(tag) = grants::tag(request) else {
        return Ok(());
    };
    let grants = &nodes.shared.grants;
    let Some(granted) = grants.by_another(&tag, &current) else {
        return Ok(());
    };
    let mut probe = redis::cmd("EXISTS");
    probe.arg(key.name());
    let is_moved_here = match granted.send(&probe, since).await {
        Err(CommandError::Refused(Refusal::Moved((host, port)) | Refusal::Ask((host, port)))) => {
            port == member.host_port.1 && (host.is_empty() || host == member.host_port.0)
        }
        _ => false,
    };
    if !is_moved_here {
        // The slot map may be out of date. Then this node has no slot of the key either, and redirects the PUBLISH.
        return current.send(&probe, since).await.map(drop);
    }
    let was_replica = match (current.identity(), granted.identity()) {
        (Some(current), Some(granted)) => current.succeeds(&granted),
        _ => false,
    };
    if !was_replica {
        grants.rebind(tag, current);
    }
    Ok(())
}
