//! The nodes of a cluster and the slots that each serves. `nodes` keeps it, and `topology` loads it. It does no I/O.

use std::sync::Arc;

use redis::Value;

use crate::store::redis::node::Node;
use crate::store::redis::url::address::HostPort;

/// The number of slots of every cluster.
pub(crate) const SLOTS: usize = 16_384;

/// A member of the cluster.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) host_port: HostPort,
    pub(crate) node: Arc<Node>,
}

impl Member {
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.node, &other.node)
    }

    /// The address, as text that sorts.
    #[cfg(feature = "inspect")]
    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.host_port.0, self.host_port.1)
    }
}

/// The first and the last slot of a range, and the address of its master. An empty host is the host of the node that
/// replied.
pub(crate) type Range = (usize, usize, HostPort);

/// The known members, and the owner of each slot. Before the first reply there are no slots.
#[derive(Default)]
pub(crate) struct SlotMap {
    slots: Vec<Option<Member>>,
    members: Vec<Member>,
}

impl SlotMap {
    pub(crate) fn owner(&self, slot: usize) -> Option<&Member> {
        self.slots.get(slot)?.as_ref()
    }

    /// The members that serve slots.
    pub(crate) fn owners(&self) -> Vec<Member> {
        let mut owners: Vec<Member> = Vec::new();
        for owner in self.slots.iter().flatten() {
            // The slots of a member are in few ranges.
            if !owners.iter().rev().any(|known| known.is(owner)) {
                owners.push(owner.clone());
            }
        }
        owners
    }

    /// Changes the owner of one slot.
    pub(crate) fn patch(&mut self, slot: usize, owner: Member) {
        if let Some(current) = self.slots.get_mut(slot) {
            *current = Some(owner);
        }
    }

    /// The member at an address. An unknown one is added.
    pub(crate) fn member(
        &mut self,
        host_port: HostPort,
        connect: impl FnOnce(HostPort) -> Arc<Node>,
    ) -> Member {
        if let Some(member) = self.members.iter().find(|member| member.host_port == host_port) {
            return member.clone();
        }
        let member = Member {
            host_port: host_port.clone(),
            node: connect(host_port),
        };
        self.members.push(member.clone());
        member
    }

    pub(crate) fn members(&self) -> &[Member] {
        &self.members
    }

    /// Replaces the owners of all slots, and forgets members without slots and without a connection. Returns the members
    /// that have lost all their slots, or `None` if nothing has changed.
    pub(crate) fn replace(&mut self, slots: Vec<Option<Member>>) -> Option<Vec<Member>> {
        let before = std::mem::replace(&mut self.slots, slots);
        let is_owner =
            |slots: &[Option<Member>], member: &Member| slots.iter().flatten().any(|owner| owner.is(member));
        let has_lost = |member: &&Member| is_owner(&before, member) && !is_owner(&self.slots, member);
        let former_owners = self.members.iter().filter(has_lost).cloned().collect();
        let slots = &self.slots;
        self.members
            .retain(|member| member.node.reconnecting.is_up() || is_owner(slots, member));
        let is_same = |(one, two): (&Option<Member>, &Option<Member>)| match (one, two) {
            (Some(one), Some(two)) => one.is(two),
            (one, two) => one.is_none() && two.is_none(),
        };
        let unchanged = before.len() == slots.len() && before.iter().zip(slots).all(is_same);
        (!unchanged).then_some(former_owners)
    }
}

/// The slot of the key whose state has this name: CRC-16 (XMODEM) of the name. The name of the value has the name of the
/// state as its hash tag, so both have the same slot.
pub(crate) fn slot(name: &str) -> usize {
    let bit = |crc: u16| match crc & 0x8000 {
        0 => crc << 1,
        _ => crc << 1 ^ 0x1021,
    };
    let byte = |crc: u16, byte: u8| (0..8).fold(crc ^ u16::from(byte) << 8, |crc, _| bit(crc));
    usize::from(name.bytes().fold(0, byte)) % SLOTS
}

/// Parses the reply to `CLUSTER SLOTS`. `None` if it is something else, or names no master.
pub(crate) fn parse(reply: &Value) -> Option<Vec<Range>> {
    let Value::Array(ranges) = reply else { return None };
    let ranges: Vec<_> = ranges.iter().map(parse_range).collect::<Option<_>>()?;
    (!ranges.is_empty()).then_some(ranges)
}

fn parse_range(range: &Value) -> Option<Range> {
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
    (last < SLOTS).then_some((first, last, (host, u16::try_from(*port).ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_server() {
        // From the cluster specification and `CLUSTER KEYSLOT`.
        assert_eq!(slot("123456789"), 0x31c3);
        assert_eq!(slot("foo"), 12_182);
        assert_eq!(slot(""), 0);
    }

    #[test]
    fn a_missing_host_is_the_host_of_the_node_that_replied() {
        let master = |host| Value::Array(vec![host, Value::Int(7000), Value::BulkString("id".into())]);
        let reply = |host| {
            Value::Array(vec![Value::Array(vec![
                Value::Int(0),
                Value::Int(5),
                master(host),
            ])])
        };
        let known = parse(&reply(Value::BulkString("node".into())));
        assert_eq!(known, Some(vec![(0, 5, ("node".into(), 7000))]));
        for missing in [Value::Nil, Value::BulkString(Vec::new())] {
            assert_eq!(parse(&reply(missing)), Some(vec![(0, 5, (String::new(), 7000))]));
        }
        assert_eq!(parse(&Value::Array(Vec::new())), None);
        assert_eq!(parse(&Value::Nil), None);
    }
}
