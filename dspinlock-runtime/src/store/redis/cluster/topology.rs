//! Loads the slot map in a background task, one attempt at a time: on request, and periodically. `cluster` requests it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use redis::Value;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::nodes::Nodes;
use super::slot_map::{Member, Range, SLOTS, parse};
use crate::rt::background;
use crate::rt::clock::Instant;
use crate::store::redis::url::address::Address;

/// How many nodes are asked at once. The first reply is used. If that node has an outdated map, a later attempt fixes it.
const AT_ONCE: usize = 3;
/// How many times within the response timeout the connections are checked. A node that owes a reply may have lost its
/// slots.
const CHECKS: u32 = 10;
/// After how many checks without a request the map is loaded: once in a response timeout.
const IDLE_CHECKS: u32 = CHECKS;

/// Requests a new map, and waits until it is loaded, an attempt has failed, or the request that began at `since` is overdue.
pub(crate) async fn refresh(nodes: &Arc<Nodes>, since: Instant) {
    nodes.started.call_once(|| start(nodes));
    let mut attempts = nodes.attempts.subscribe();
    nodes.wanted.notify_one();
    let limit = nodes.timeouts.connect.min(nodes.timeouts.rest(since));
    tokio::select! {
        _ = attempts.changed() => {}
        () = background::time_limit(limit) => {}
    }
}

fn start(nodes: &Arc<Nodes>) {
    let interval = nodes.timeouts.response / CHECKS;
    background::handle().spawn(run(Arc::downgrade(nodes), nodes.wanted.clone(), interval));
}

/// Ends when the pool is dropped.
async fn run(nodes: Weak<Nodes>, wanted: Arc<Notify>, interval: Duration) {
    let mut idle = 0;
    loop {
        let is_wanted = tokio::select! {
            biased;
            () = wanted.notified() => true,
            () = background::sleep(interval) => false,
        };
        let Some(nodes) = nodes.upgrade() else { return };
        idle += 1;
        let is_silent = || {
            nodes
                .read()
                .members()
                .iter()
                .any(|member| member.node.reconnecting.is_silent())
        };
        if is_wanted || idle >= IDLE_CHECKS || is_silent() {
            idle = 0;
            load(&nodes).await;
            nodes.attempts.send_modify(|attempts| *attempts += 1);
            drop(nodes);
            // Concurrent callers want the same map.
            background::sleep(interval / 10).await;
        }
    }
}

/// Asks the nodes until one replies.
async fn load(nodes: &Nodes) {
    for host_port in nodes.seeds.iter().filter_map(Address::host_port) {
        nodes.member(host_port);
    }
    let mut members = nodes.read().members().to_vec();
    // A silent node would use up its time limit.
    members.sort_by_key(|member| member.node.reconnecting.is_silent());
    for batch in members.chunks(AT_ONCE) {
        let mut requests = JoinSet::new();
        for member in batch.iter().cloned() {
            let limit = nodes.timeouts.connect;
            requests.spawn(async move {
                tokio::select! {
                    ranges = ask(&member) => ranges.map(|ranges| (member, ranges)),
                    () = background::time_limit(limit) => None,
                }
            });
        }
        while let Some(answer) = requests.join_next().await {
            if let Ok(Some((member, ranges))) = answer {
                replace(nodes, &member, ranges);
                return;
            }
        }
    }
}

/// Replaces the map. If a node has lost its slots and owes a reply, its connections are closed, so that its callers retry
/// at the new owner.
fn replace(nodes: &Nodes, by: &Member, ranges: Vec<Range>) {
    let mut slots = vec![None; SLOTS];
    for (first, last, host_port) in ranges {
        let owner = nodes.named(by, host_port);
        for slot in slots.iter_mut().take(last + 1).skip(first) {
            *slot = Some(owner.clone());
        }
    }
    let Some(former_owners) = nodes.write().replace(slots) else {
        return;
    };
    let silent = former_owners
        .iter()
        .filter(|member| member.node.reconnecting.is_silent());
    silent.for_each(|member| member.node.reconnecting.close());
    // The new owner of a slot does not push changes of names that were registered at the former owner.
    nodes.shared.watches.wake_all();
}

async fn ask(member: &Member) -> Option<Vec<Range>> {
    let since = Instant::now();
    let connection = member.node.reconnecting.connection(since).await.ok()?;
    let mut command = redis::cmd("CLUSTER");
    command.arg("SLOTS");
    let reply: Value = connection.send(&command, since).await.ok()?;
    parse(&reply)
}
