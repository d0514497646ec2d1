//! Keeps the map true, in the background, one look at a time.

use std::sync::{Arc, Weak};

use tokio::task::JoinSet;

use super::Nodes;
use super::slot_map::{Node, Range, SLOTS, parse};
use crate::rt::background;
use crate::store::redis::Address;

/// How many nodes are asked at once. The first to answer is believed: what it does not know yet, another look will tell.
const AT_ONCE: usize = 3;
/// Looks at the nodes' connections in the time that a request may take. A node that owes an answer may have lost its slots.
const LOOKS: u32 = 10;
/// So seldom is the map made anew where nobody wants that: in the time that a request may take.
const IDLE_LOOKS: u32 = LOOKS;

pub(super) fn start(nodes: &Arc<Nodes>) {
    background::handle().spawn(keep(
        Arc::downgrade(nodes),
        nodes.wanted.clone(),
        nodes.limits.respond / LOOKS,
    ));
}

async fn keep(known: Weak<Nodes>, wanted: Arc<tokio::sync::Notify>, look: std::time::Duration) {
    let mut idle = 0;
    loop {
        let is_wanted = tokio::select! {
            biased;
            () = wanted.notified() => true,
            () = background::sleep(look) => false,
        };
        let Some(nodes) = known.upgrade() else { return };
        idle += 1;
        let is_silent = || nodes.read().nodes().iter().any(|node| node.links.is_silent());
        if is_wanted || idle >= IDLE_LOOKS || is_silent() {
            idle = 0;
            nodes.learn().await;
            nodes.asked.send_modify(|times| *times += 1);
            drop(nodes);
            // Many callers want the same map.
            background::sleep(look / 10).await;
        }
    }
}

impl Nodes {
    /// Asks until a node tells who serves what.
    async fn learn(&self) {
        for (host, port) in self.seeds.iter().filter_map(Address::host) {
            self.node(host, port);
        }
        let mut nodes = self.read().nodes().to_vec();
        // A node that is silent would use up its time.
        nodes.sort_by_key(|node| node.links.is_silent());
        for some in nodes.chunks(AT_ONCE) {
            let mut asked = JoinSet::new();
            for node in some.iter().cloned() {
                let limit = self.limits.connect;
                asked.spawn(async move {
                    tokio::select! {
                        ranges = ask(&node) => ranges.map(|ranges| (node, ranges)),
                        () = background::patience(limit) => None,
                    }
                });
            }
            while let Some(answer) = asked.join_next().await {
                if let Ok(Some((node, ranges))) = answer {
                    self.replace(&node, ranges);
                    return;
                }
            }
        }
    }

    /// Another map. A node that has lost its slots and owes an answer is left: its callers go to whoever has them now.
    fn replace(&self, by: &Node, ranges: Vec<Range>) {
        let mut slots = vec![None; SLOTS];
        for (first, last, host, port) in ranges {
            let owner = self.node(host.as_deref().unwrap_or(&by.place.0), port);
            for slot in slots.iter_mut().take(last + 1).skip(first) {
                *slot = Some(owner.clone());
            }
        }
        let Some(losers) = self.write().replace(slots) else {
            return;
        };
        let silent = losers.iter().filter(|node| node.links.is_silent());
        silent.for_each(|node| node.links.end());
        // What was pushed by the one node is not pushed by the other.
        self.shared.watches.wake_all();
    }
}

async fn ask(node: &Node) -> Option<Vec<Range>> {
    let generation = node.links.background().link.generation().await.ok()?;
    let mut command = redis::cmd("CLUSTER");
    command.arg("SLOTS");
    parse(&generation.send(&command).await.ok()?)
}
