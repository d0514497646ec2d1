//! The store on a Redis Cluster: sends every step to the node that serves the slot of its key, and follows redirects.
//!
//! Every step of the protocol has one key, so one node executes it. A redirect changes one slot of the map. The whole map
//! is loaded in the background, never inside a caller's future.
//!
//! Modules, top first: `topology`, `slot_migration`, `asking`, `nodes`, `slot_map`.

mod asking;
mod nodes;
mod slot_map;
mod slot_migration;
mod topology;

use crate::rt::clock::Instant;
use std::sync::Arc;
use std::time::Duration;

use self::nodes::Nodes;
use self::slot_map::{Member, slot};
use super::node::{Node, never};
use super::reconnect::start_background;
use super::timeouts::Timeouts;
use super::url::address::Address;
use super::wire::reply::{CommandError, Refusal};
use crate::error::Error;
use crate::key::Key;
use crate::protocol::{Read, Reply, Request};
use crate::rt::background;
use crate::store::api::{Boxed, CallerRead, Change, Failure, Health, Listener, Store, Tracked};
#[cfg(feature = "inspect")]
use crate::store::api::{Names, Server};

/// How many redirects a step follows.
const MAX_REDIRECTS: usize = 16;
/// The pause before a step is sent again because a key that it names has not moved yet.
const TRY_AGAIN: Duration = Duration::from_millis(20);

/// A Redis Cluster. It connects with the first step.
pub(crate) struct Cluster {
    nodes: Arc<Nodes>,
}

impl Cluster {
    /// A cluster with these nodes, and others.
    ///
    /// # Errors
    ///
    /// [`Error::RedisNotInitialized`] if the background thread cannot be started.
    pub(crate) fn open(seeds: Vec<Address>, timeouts: Timeouts) -> Result<Self, Error> {
        start_background(&seeds[0])?;
        let nodes = Arc::new(Nodes::new(seeds, timeouts));
        Ok(Self { nodes })
    }

    /// Reads on the owner with `send`, or behind `ASKING`.
    fn read_by(
        &self,
        key: &Key,
        read: Read,
        since: Instant,
        send: impl Fn(&Node, &Key) -> Boxed<Result<Reply, CommandError>> + Send + Sync + 'static,
    ) -> Boxed<Result<Reply, Failure>> {
        let (nodes, key) = (self.nodes.clone(), key.clone());
        Box::pin(async move {
            let send = |member: &Member, is_asking: bool| match is_asking {
                true => asking::step(member.node.clone(), &key, Request::Read(read), since),
                false => send(&member.node, &key),
            };
            send_to_owner(&nodes, &key, since, send).await
        })
    }
}

impl Store for Cluster {
    fn step(&self, key: &Key, request: Request, since: Instant) -> Boxed<Result<Reply, Failure>> {
        let (nodes, key) = (self.nodes.clone(), key.clone());
        Box::pin(async move {
            let send = |member: &Member, is_asking: bool| -> Boxed<Result<Reply, CommandError>> {
                let node = member.node.clone();
                match &request {
                    _ if is_asking => asking::step(node, &key, request.clone(), since),
                    Request::Publish(_) => {
                        let (nodes, member, key) = (nodes.clone(), member.clone(), key.clone());
                        let request = request.clone();
                        Box::pin(async move {
                            slot_migration::follow(&nodes, &member, &node, &key, &request, since).await?;
                            node.step(&key, request, since).await
                        })
                    }
                    _ => node.step(&key, request.clone(), since),
                }
            };
            send_to_owner(&nodes, &key, since, send).await
        })
    }

    fn read(&self, key: &Key, read: Read, since: Instant) -> Boxed<Result<Reply, Failure>> {
        self.read_by(key, read, since, move |node, key| node.read(key, read, since))
    }

    /// A redirect is a doubt: the background follows it.
    fn read_here(&self, key: &Key, read: Read) -> Option<CallerRead> {
        let owner = self.nodes.owner(key.with_name(slot))?;
        owner.node.read_here(key, read)
    }

    fn read_again(
        &self,
        key: &Key,
        read: Read,
        first: Reply,
        since: Instant,
    ) -> Boxed<Result<Reply, Failure>> {
        let again = move |node: &Node, key: &Key| node.read_again(key, read, first.clone(), since);
        self.read_by(key, read, since, again)
    }

    fn step_watched(
        &self,
        key: &Key,
        request: Request,
        since: Instant,
    ) -> Boxed<Result<(Reply, Change), Failure>> {
        let (nodes, key) = (self.nodes.clone(), key.clone());
        Box::pin(async move {
            let send = |member: &Member, is_asking: bool| -> Boxed<Result<(Reply, Change), CommandError>> {
                let node = member.node.clone();
                if !is_asking {
                    return node.step_watched(&key, request.clone(), since);
                }
                // `ASKING` and `CLIENT CACHING` cancel each other, so the record is not watched.
                let reply = asking::step(node, &key, request.clone(), since);
                Box::pin(async move { Ok((reply.await?, never())) })
            };
            send_to_owner(&nodes, &key, since, send).await
        })
    }

    fn step_replicated(
        &self,
        key: &Key,
        request: Request,
        replicas: u32,
        since: Instant,
    ) -> Boxed<Result<Reply, Failure>> {
        let (nodes, key) = (self.nodes.clone(), key.clone());
        Box::pin(async move {
            let send = |member: &Member, is_asking: bool| {
                member
                    .node
                    .step_replicated(&key, request.clone(), replicas, is_asking, since)
            };
            send_to_owner(&nodes, &key, since, send).await
        })
    }

    fn read_tracked(
        &self,
        key: &Key,
        request: Read,
        since: Instant,
    ) -> Boxed<Result<Option<Tracked>, Failure>> {
        let (nodes, key) = (self.nodes.clone(), key.clone());
        Box::pin(async move {
            let send = |member: &Member, is_asking: bool| -> Boxed<Result<Option<Tracked>, CommandError>> {
                let node = member.node.clone();
                if !is_asking {
                    return node.read_tracked(&key, request, since);
                }
                let reply = asking::step(node, &key, Request::Read(request), since);
                Box::pin(async move {
                    let (reply, registered) = (reply.await?, false);
                    Ok(Some(Tracked { reply, registered }))
                })
            };
            send_to_owner(&nodes, &key, since, send).await
        })
    }

    fn pushes(&self, key: &Key) -> bool {
        let owner = self.nodes.owner(slot(&key.name()));
        owner.is_some_and(|member| member.node.pushes())
    }

    fn server(&self, key: &Key) -> usize {
        let owner = self.nodes.owner(key.with_name(slot));
        owner.map_or(0, |owner| Arc::as_ptr(&owner.node).addr())
    }

    /// Asks every master, so that one that is away is noticed.
    fn check(&self, key: &Key, since: Instant) -> Boxed<Result<Health, Failure>> {
        let (nodes, slot) = (self.nodes.clone(), slot(&key.name()));
        Box::pin(async move {
            // Waits for the map.
            let mut health = owner(&nodes, slot, since).await?.node.check(since).await?;
            let owners = nodes.read().owners();
            for member in owners {
                let other = member.node.check(since).await?;
                health.round_trip = health.round_trip.max(other.round_trip);
                health.pushes &= other.pushes;
            }
            Ok(health)
        })
    }

    fn listen(&self, listener: Arc<dyn Listener>) {
        self.nodes.shared.watches.listen(listener);
    }

    /// Scans the masters in the order of their addresses. The cursor begins with the address of the next one.
    #[cfg(feature = "inspect")]
    fn names(&self, prefix: &str, cursor: &str, since: Instant) -> Boxed<Result<Names, Failure>> {
        let (nodes, prefix) = (self.nodes.clone(), prefix.to_owned());
        let (place, inner) = cursor.split_once(' ').unwrap_or_default();
        let (place, inner) = (place.to_owned(), inner.to_owned());
        Box::pin(async move {
            let mut masters = masters(&nodes, since).await?.into_iter();
            let Some(master) = masters.find(|master| master.place() >= place) else {
                return Ok(Names::default());
            };
            // The master of the cursor may be gone.
            let inner = if master.place() == place { &*inner } else { "" };
            let Names { names, rest } = master.node.names(&prefix, inner, since).await?;
            let rest = match rest {
                Some(rest) => Some(format!("{} {rest}", master.place())),
                None => masters.next().map(|next| format!("{} ", next.place())),
            };
            Ok(Names { names, rest })
        })
    }

    #[cfg(feature = "inspect")]
    fn servers(&self, since: Instant) -> Boxed<Result<Vec<Arc<dyn Server>>, Failure>> {
        let nodes = self.nodes.clone();
        Box::pin(async move {
            let masters = masters(&nodes, since).await?.into_iter();
            Ok(masters.map(|master| master.node as Arc<dyn Server>).collect())
        })
    }
}

/// The masters that serve slots, in the order of their addresses.
#[cfg(feature = "inspect")]
async fn masters(nodes: &Arc<Nodes>, since: Instant) -> Result<Vec<Member>, Failure> {
    owner(nodes, 0, since).await?;
    let mut masters = nodes.read().owners();
    masters.sort_by_key(Member::place);
    Ok(masters)
}

/// Sends a step to the owner of its slot, and follows redirects. `send` receives `true` if `ASKING` must precede the step.
async fn send_to_owner<T>(
    nodes: &Arc<Nodes>,
    key: &Key,
    since: Instant,
    send: impl Fn(&Member, bool) -> Boxed<Result<T, CommandError>>,
) -> Result<T, Failure> {
    let slot = slot(&key.name());
    let (mut redirects, mut asked, mut failed) = (0, None, false);
    loop {
        let (member, is_asking) = match asked.take() {
            Some(member) => (member, true),
            None => (owner(nodes, slot, since).await?, false),
        };
        let error = match send(&member, is_asking).await {
            Ok(sent) => return Ok(sent),
            Err(error) => error,
        };
        match error {
            CommandError::Refused(Refusal::Moved(host_port)) if redirects < MAX_REDIRECTS => {
                redirects += 1;
                let owner = nodes.named(&member, host_port);
                nodes.write().patch(slot, owner);
                nodes.wanted.notify_one();
            }
            CommandError::Refused(Refusal::Ask(host_port)) if redirects < MAX_REDIRECTS => {
                redirects += 1;
                asked = Some(nodes.named(&member, host_port));
            }
            CommandError::Refused(Refusal::TryAgain) if !nodes.timeouts.rest(since).is_zero() => {
                background::sleep(TRY_AGAIN).await;
            }
            CommandError::Failed(failure @ Failure::NotReady { .. }) if !failed => {
                // The step was not sent, and the slot may have a new master.
                failed = true;
                topology::refresh(nodes, since).await;
                if owner(nodes, slot, since).await?.is(&member) {
                    return Err(failure);
                }
            }
            error => {
                nodes.wanted.notify_one();
                return Err(error.into());
            }
        }
    }
}

/// The node that serves a slot. The first step waits for the map.
async fn owner(nodes: &Arc<Nodes>, slot: usize, since: Instant) -> Result<Member, Failure> {
    if let Some(member) = nodes.owner(slot) {
        return Ok(member);
    }
    topology::refresh(nodes, since).await;
    nodes.owner(slot).ok_or_else(|| Failure::NotReady {
        address: nodes.to_string(),
        reason: "no node names the master of this key: check the addresses, the login and `CLUSTER INFO`"
            .into(),
    })
}
