//! Who serves which slot.

use std::sync::Arc;

use redis::Value;

use crate::store::redis::per_runtime::Links;

/// How many slots a cluster has.
pub(super) const SLOTS: usize = 16_384;

/// A node and its connections.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) place: (String, u16),
    pub(super) links: Arc<Links>,
}

/// First and last slot, and the master's host (of the node that was asked, where there is none) and port.
pub(super) type Range = (usize, usize, Option<String>, u16);

/// The nodes that are known, and the one of each slot. Without slots before the first look.
#[derive(Default)]
pub(super) struct Map {
    slots: Vec<Option<Node>>,
    nodes: Vec<Node>,
}

impl Map {
    pub(super) fn owner(&self, slot: usize) -> Option<&Node> {
        self.slots.get(slot)?.as_ref()
    }

    /// A node said that this slot is another's.
    pub(super) fn patch(&mut self, slot: usize, owner: Node) {
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(owner);
        }
    }

    /// The node at a place, which is known from now on.
    pub(super) fn node(&mut self, host: &str, port: u16, links: impl FnOnce() -> Arc<Links>) -> Node {
        let is_it = |node: &&Node| node.place.1 == port && node.place.0 == host;
        if let Some(node) = self.nodes.iter().find(is_it) {
            return node.clone();
        }
        let node = Node {
            place: (host.into(), port),
            links: links(),
        };
        self.nodes.push(node.clone());
        node
    }

    pub(super) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The slots' owners from now on. Nodes without slots are forgotten where nobody is connected to them. Returns those
    /// that have lost all of their slots, and `None` where nothing has changed.
    pub(super) fn replace(&mut self, slots: Vec<Option<Node>>) -> Option<Vec<Node>> {
        let before = std::mem::replace(&mut self.slots, slots);
        let is_owner =
            |slots: &[Option<Node>], node: &Node| slots.iter().flatten().any(|owner| owner.is(node));
        let lost = |node: &&Node| is_owner(&before, node) && !is_owner(&self.slots, node);
        let losers = self.nodes.iter().filter(lost).cloned().collect();
        let slots = &self.slots;
        self.nodes
            .retain(|node| node.links.is_up() || is_owner(slots, node));
        let is_same = |(one, two): (&Option<Node>, &Option<Node>)| match (one, two) {
            (Some(one), Some(two)) => one.is(two),
            (one, two) => one.is_none() && two.is_none(),
        };
        let unchanged = before.len() == slots.len() && before.iter().zip(slots).all(is_same);
        (!unchanged).then_some(losers)
    }
}

impl Node {
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.links, &other.links)
    }
}

/// The slot of a key whose state has this name: CRC-16 (XMODEM) over the name, which is also what stands in the braces of
/// the value's name. Eight lines, where a crate would bring tables of a hundred other sums.
pub(super) fn slot(name: &str) -> usize {
    let bit = |crc: u16| match crc & 0x8000 {
        0 => crc << 1,
        _ => crc << 1 ^ 0x1021,
    };
    let byte = |crc: u16, byte: u8| (0..8).fold(crc ^ u16::from(byte) << 8, |crc, _| bit(crc));
    usize::from(name.bytes().fold(0, byte)) % SLOTS
}

/// The reply to `CLUSTER SLOTS`. `None` where it is something else, or names no master.
pub(super) fn parse(reply: &Value) -> Option<Vec<Range>> {
    let Value::Array(ranges) = reply else { return None };
    let range = |range: &Value| {
        let Value::Array(range) = range else { return None };
        let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = range.as_slice() else {
            return None;
        };
        let [host, Value::Int(port), ..] = master.as_slice() else {
            return None;
        };
        let host = match host {
            Value::BulkString(host) => String::from_utf8(host.clone()).ok()?,
            _ => String::new(),
        };
        let (first, last) = (usize::try_from(*first).ok()?, usize::try_from(*last).ok()?);
        let host = (!host.is_empty()).then_some(host);
        (last < SLOTS).then_some((first, last, host, u16::try_from(*port).ok()?))
    };
    let ranges: Vec<_> = ranges.iter().map(range).collect::<Option<_>>()?;
    (!ranges.is_empty()).then_some(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_the_servers_own() {
        // From the cluster specification, and as CLUSTER KEYSLOT tells.
        assert_eq!(slot("123456789"), 0x31c3);
        assert_eq!(slot("foo"), 12_182);
        assert_eq!(slot(""), 0);
    }

    #[test]
    fn a_reply_without_a_host_means_the_one_that_was_asked() {
        let master = |host| Value::Array(vec![host, Value::Int(7000), Value::BulkString("id".into())]);
        let reply = |host| {
            Value::Array(vec![Value::Array(vec![
                Value::Int(0),
                Value::Int(5),
                master(host),
            ])])
        };
        let known = parse(&reply(Value::BulkString("node".into())));
        assert_eq!(known, Some(vec![(0, 5, Some("node".into()), 7000)]));
        for unknown in [Value::Nil, Value::BulkString(Vec::new())] {
            assert_eq!(parse(&reply(unknown)), Some(vec![(0, 5, None, 7000)]));
        }
        assert_eq!(parse(&Value::Array(Vec::new())), None);
        assert_eq!(parse(&Value::Nil), None);
    }
}
