//! Redis Cluster: one set of links per node, and a map of who serves which slot.
//!
//! Every step of the protocol is about one key, so a step goes to one node. The map is patched when a node says that a
//! slot has moved, and made anew in the background, never inside a caller's future.

mod asking;
mod slot_map;
mod slot_migration;
mod topology;

use std::sync::{Arc, Once, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

use self::slot_map::{Map, Node, slot};
use crate::error::Error;
use crate::key::Key;
use crate::protocol::{Read, Reply, Request};
use crate::rt::background;
use crate::store::redis::per_runtime::{Links, Shared, home};
use crate::store::redis::url::multi_host::Several;
use crate::store::redis::wire::reply::{self, Redirect};
use crate::store::redis::{Address, Limits};
use crate::store::{Boxed, Change, Failure, Listener, SharedStore, Store, Tracked};
use crate::tls::Tls;

/// How often a step follows the nodes' word of where its key is.
const REDIRECTS: usize = 16;
/// How long to let a key be of which one entry has moved and the other has not.
const TORN: Duration = Duration::from_millis(20);

/// A cluster by the way that is shortest for one caller.
pub(crate) struct Cluster {
    nodes: Arc<Nodes>,
    /// The caller's runtime; `None` is the background thread's.
    home: Option<Handle>,
}

/// All that is known of a cluster.
struct Nodes {
    seeds: Vec<Address>,
    limits: Limits,
    shared: Shared,
    map: RwLock<Map>,
    keeper: Once,
    /// A new map is wanted.
    wanted: Arc<Notify>,
    /// How often a new map was asked for, with or without success.
    asked: watch::Sender<u64>,
}

impl Cluster {
    /// `redis+cluster://user:password@host:port,host:port` and `rediss+cluster://`: some of the nodes. Connects with the
    /// first step.
    ///
    /// # Errors
    ///
    /// [`Error::Configuration`] where the URL is none, [`Error::RedisNotInitialized`] where no background thread can be
    /// started.
    pub(crate) fn open(url: &str, tls: Tls) -> Result<Self, Error> {
        let several = Several::parse(url, tls);
        if !matches!(several.path, "" | "0") {
            return Err(Error::Configuration("a cluster has no databases but 0".into()));
        }
        let seeds = several.addresses(6379)?;
        background::start(&seeds[0])?;
        let nodes = Arc::new(Nodes {
            seeds,
            limits: Limits::default(),
            shared: Shared::default(),
            map: RwLock::default(),
            keeper: Once::new(),
            wanted: Arc::default(),
            asked: watch::Sender::default(),
        });
        Ok(Self { nodes, home: None })
    }
}

impl Store for Cluster {
    fn here(&self) -> Option<SharedStore> {
        let nodes = self.nodes.clone();
        Some(Arc::new(Self { nodes, home: home() }))
    }

    fn listen(&self, listener: Arc<dyn Listener>) {
        self.nodes.shared.watches.listen(listener);
    }

    fn read_tracked(&self, key: &Key, request: Read) -> Boxed<Result<Option<Tracked>, Failure>> {
        let (nodes, key) = (self.nodes.clone(), key.clone());
        Box::pin(async move {
            let take = |node: &Node, is_asking: bool| -> Boxed<Result<Option<Tracked>, Failure>> {
                let session = node.links.background().clone();
                if !is_asking {
                    return session.read_tracked(&key, request.clone());
                }
                let asked = asking::take(session, &key, Request::Read(request.clone()));
                Box::pin(async move {
                    let (reply, registered) = (asked.await?, false);
                    Ok(Some(Tracked { reply, registered }))
                })
            };
            nodes.route(&key, take).await
        })
    }

    fn step(&self, key: &Key, request: Request) -> Boxed<Result<Reply, Failure>> {
        let (nodes, home, key) = (self.nodes.clone(), self.home.clone(), key.clone());
        Box::pin(async move {
            let take = |node: &Node, is_asking: bool| -> Boxed<Result<Reply, Failure>> {
                let session = node.links.at(home.as_ref());
                match &request {
                    _ if is_asking => asking::take(session, &key, request.clone()),
                    Request::Publish(_) => {
                        let (nodes, node, key) = (nodes.clone(), node.clone(), key.clone());
                        let request = request.clone();
                        Box::pin(async move {
                            nodes.follow(&node, &session, &key, &request).await?;
                            session.step(&key, request).await
                        })
                    }
                    _ => session.step(&key, request.clone()),
                }
            };
            nodes.route(&key, take).await
        })
    }

    fn step_replicated(&self, key: &Key, request: Request, replicas: u32) -> Boxed<Result<Reply, Failure>> {
        let (nodes, key) = (self.nodes.clone(), key.clone());
        Box::pin(async move {
            let take = |node: &Node, is_asking: bool| {
                node.links
                    .step_replicated(&key, request.clone(), replicas, is_asking)
            };
            nodes.route(&key, take).await
        })
    }

    fn step_watched(&self, key: &Key, request: Request) -> Boxed<Result<(Reply, Change), Failure>> {
        let (nodes, key) = (self.nodes.clone(), key.clone());
        Box::pin(async move {
            let take = |node: &Node, is_asking: bool| -> Boxed<Result<(Reply, Change), Failure>> {
                let session = node.links.background().clone();
                if !is_asking {
                    return session.step_watched(&key, request.clone());
                }
                // Not told of changes: `ASKING` and `CLIENT CACHING` each cancel what was said before them.
                let asked = asking::take(session, &key, request.clone());
                Box::pin(async move { Ok((asked.await?, Box::pin(std::future::pending()) as Change)) })
            };
            nodes.route(&key, take).await
        })
    }
}

impl Nodes {
    /// Takes a step where its key is: at the node of the map, or where that one sends it.
    async fn route<T>(
        self: &Arc<Self>,
        key: &Key,
        take: impl Fn(&Node, bool) -> Boxed<Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let (slot, start) = (slot(&key.state_name()), Instant::now());
        let (mut redirects, mut elsewhere, mut failed) = (0, None, false);
        loop {
            let (node, is_asking) = match elsewhere.take() {
                Some(node) => (node, true),
                None => (self.owner(slot).await?, false),
            };
            let failure = match take(&node, is_asking).await {
                Ok(taken) => return Ok(taken),
                Err(failure) => failure,
            };
            match reply::redirect(&failure) {
                Some(Redirect::Moved(place)) if redirects < REDIRECTS => {
                    redirects += 1;
                    let owner = self.named(&node, place);
                    self.write().patch(slot, owner);
                    self.wanted.notify_one();
                }
                Some(Redirect::Ask(place)) if redirects < REDIRECTS => {
                    redirects += 1;
                    elsewhere = Some(self.named(&node, place));
                }
                Some(Redirect::Torn) if start.elapsed() < self.limits.respond => {
                    background::sleep(TORN).await
                }
                _ if matches!(failure, Failure::NotReady { .. }) && !failed => {
                    // Nothing was sent: the slot may have another master by now.
                    failed = true;
                    self.ask_anew().await;
                    if self.owner(slot).await?.is(&node) {
                        return Err(failure);
                    }
                }
                _ => {
                    self.wanted.notify_one();
                    return Err(failure);
                }
            }
        }
    }

    /// Who serves a slot; the first step waits for the map.
    async fn owner(self: &Arc<Self>, slot: usize) -> Result<Node, Failure> {
        for is_last in [false, true] {
            if let Some(node) = self.read().owner(slot) {
                return Ok(node.clone());
            }
            if !is_last {
                self.ask_anew().await;
            }
        }
        Err(Failure::NotReady {
            address: self
                .seeds
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(","),
            reason: "no node tells who serves this key".into(),
        })
    }

    /// Has the map made anew, and waits for that.
    async fn ask_anew(self: &Arc<Self>) {
        self.keeper.call_once(|| topology::start(self));
        let mut asked = self.asked.subscribe();
        self.wanted.notify_one();
        tokio::select! {
            _ = asked.changed() => {}
            () = background::patience(self.limits.connect) => {}
        }
    }

    /// The node at a place that another node named; without a host it is that node's.
    fn named(&self, by: &Node, (host, port): (&str, u16)) -> Node {
        self.node(if host.is_empty() { &by.place.0 } else { host }, port)
    }

    fn node(&self, host: &str, port: u16) -> Node {
        let links = || {
            let address = self.seeds[0].elsewhere(host, port);
            Links::new(address, self.limits, self.shared.clone())
        };
        self.write().node(host, port, links)
    }

    fn read(&self) -> RwLockReadGuard<'_, Map> {
        self.map.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Map> {
        self.map.write().unwrap_or_else(PoisonError::into_inner)
    }
}
