//! A grant whose slot has moved.

use super::Nodes;
use super::slot_map::Node;
use crate::key::Key;
use crate::protocol::Request;
use crate::store::Failure;
use crate::store::redis::Session;
use crate::store::redis::failover::grants::tag;
use crate::store::redis::wire::reply::{self, Redirect};

impl Nodes {
    /// A grant moves along with its slot. That the slot has moved, and was not taken over from a master that failed, is
    /// known where the very connection that brought the grant says so, and the key is now at no replica of that master.
    pub(super) async fn follow(
        &self,
        node: &Node,
        session: &Session,
        key: &Key,
        request: &Request,
    ) -> Result<(), Failure> {
        let now = session.link.generation().await?;
        let Some(tag) = tag(request) else { return Ok(()) };
        let Some(granted) = self.shared.grants.by_another(&tag, &now) else {
            return Ok(());
        };
        let mut probe = redis::cmd("EXISTS");
        probe.arg(key.state_name());
        let answer = granted.send(&probe).await;
        let named = match answer.as_ref().err().and_then(reply::redirect) {
            Some(Redirect::Moved(place) | Redirect::Ask(place)) => place,
            _ => return Ok(()),
        };
        if named.1 == node.place.1
            && [node.place.0.as_str(), ""].contains(&named.0)
            && !now.succeeds(&granted)
        {
            self.shared.grants.rebind(tag, now);
        }
        Ok(())
    }
}
