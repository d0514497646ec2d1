//! Redis and Valkey: the only place that imports the redis crate.

#[cfg(feature = "cluster")]
mod cluster;
mod connection;
mod failover;
mod node;
mod per_runtime;
mod reader;
mod reconnect;
#[cfg(feature = "tls")]
mod tls;
mod tracking;
mod url;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Pipeline, Value};

use self::connection::Generation;
use self::failover::grants::{self as master, Grants};
use self::node::tracked_read;
use self::per_runtime::{Links, Shared};
use self::reader::sync_reader::Direct;
use self::reconnect::Link;
use self::tracking::Watches;
use self::url::address::{Address, login};
pub use self::url::parameters::RedisParameters;
pub(crate) use self::url::parameters::open;
use self::wire::command::Step;
use self::wire::reply;
use super::{Boxed, Change, Failure, Listener, SharedStore, Store, Tracked};
use crate::key::Key;
use crate::protocol::state::MAX_STATE;
use crate::protocol::{Read, Reply, Request};
use crate::rt::{background, blocking};
use crate::tls::Tls;

/// One Redis server.
pub struct RedisStore {
    links: Arc<Links>,
    /// The way of sync callers, where there is one.
    direct: Option<Arc<Direct>>,
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// From the name's lookup to the end of the login.
    connect: Duration,
    /// From a request to its reply.
    respond: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            respond: Duration::from_secs(5),
        }
    }
}

impl RedisStore {
    /// The master that the sentinels of a URL name. Connects with the first step.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    #[cfg(feature = "sentinel")]
    fn by_sentinels(url: &str, tls: Tls) -> Result<Self, crate::Error> {
        Self::new(Address::sentinels(url, tls)?, Limits::default())
    }

    /// The server behind a URL. Connects with the first step.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Configuration`] where the URL is none, [`crate::Error::RedisNotInitialized`] where no background
    /// thread can be started.
    pub fn open(url: &str) -> Result<Self, crate::Error> {
        Self::open_tls(url, Tls::default())
    }

    fn open_tls(url: &str, tls: Tls) -> Result<Self, crate::Error> {
        Self::new(Address::parse(url, tls)?, Limits::default())
    }

    fn new(address: Address, limits: Limits) -> Result<Self, crate::Error> {
        background::start(&address)?;
        let links = Links::new(address.clone(), limits, Shared::default());
        let direct = Direct::new(&address, limits, links.background().clone()).map(Arc::new);
        Ok(Self { links, direct })
    }
}

/// By way of the background thread, unless the caller asks for the way from [`here`](Store::here).
impl Store for RedisStore {
    fn here(&self) -> Option<SharedStore> {
        match &self.direct {
            Some(direct) if blocking::is_waiting() => Some(direct.clone()),
            _ => Some(self.links.here()),
        }
    }

    fn listen(&self, listener: Arc<dyn Listener>) {
        self.links.background().listen(listener);
    }

    fn watches(&self) -> usize {
        self.links.background().watches()
    }

    fn read_tracked(&self, key: &Key, request: Read) -> Boxed<Result<Option<Tracked>, Failure>> {
        self.links.background().read_tracked(key, request)
    }

    fn step(&self, key: &Key, request: Request) -> Boxed<Result<Reply, Failure>> {
        self.links.background().step(key, request)
    }

    fn step_replicated(&self, key: &Key, request: Request, replicas: u32) -> Boxed<Result<Reply, Failure>> {
        self.links.step_replicated(key, request, replicas, false)
    }

    fn step_watched(&self, key: &Key, request: Request) -> Boxed<Result<(Reply, Change), Failure>> {
        self.links.background().step_watched(key, request)
    }
}

/// One server by way of one connection. Steps are taken in the order in which their futures are first polled.
struct Session {
    link: Link,
    grants: Arc<Grants>,
    /// On the background thread's connection.
    watches: Option<Arc<Watches>>,
}

impl Store for Session {
    fn listen(&self, listener: Arc<dyn Listener>) {
        if let Some(watches) = &self.watches {
            watches.listen(listener);
        }
    }

    fn watches(&self) -> usize {
        self.watches.as_ref().map_or(0, |watches| watches.count())
    }

    fn read_tracked(&self, key: &Key, request: Read) -> Boxed<Result<Option<Tracked>, Failure>> {
        let (link, names) = (self.link.clone(), [key.state_name(), key.value_name()]);
        Box::pin(async move {
            let generation = link.generation().await?;
            match generation.is_tracking() {
                true => tracked_read::read(&generation, names, request).await.map(Some),
                false => Ok(None),
            }
        })
    }

    fn step(&self, key: &Key, request: Request) -> Boxed<Result<Reply, Failure>> {
        match request {
            Request::Read(request) => {
                let state = request.shared.then(|| key.state_name());
                let value = key.value_name();
                if let Some(generation) = self.link.up() {
                    return Box::pin(read(generation, state, value, request));
                }
                let link = self.link.clone();
                Box::pin(async move { read(link.generation().await?, state, value, request).await })
            }
            request => {
                let link = self.link.clone();
                let (grants, names) = (self.grants.clone(), [key.state_name(), key.value_name()]);
                // Also where there is no connection to give it up on.
                grants.end(&request);
                Box::pin(async move { take(&link.generation().await?, &grants, names, request).await })
            }
        }
    }

    fn step_watched(&self, key: &Key, request: Request) -> Boxed<Result<(Reply, Change), Failure>> {
        let (link, names) = (self.link.clone(), [key.state_name(), key.value_name()]);
        let (watches, grants) = (self.watches.clone(), self.grants.clone());
        Box::pin(async move {
            let generation = link.generation().await?;
            // Joined before the request goes out: what is pushed behind the reply is not missed.
            let watched = watches
                .filter(|_| generation.is_tracking())
                .map(|watches| watches.join(&names[0]));
            let Some(watched) = watched else {
                return Ok((
                    take(&generation, &grants, names, request).await?,
                    Box::pin(std::future::pending()) as Change,
                ));
            };
            let tag = master::tag(&request);
            let step = Step { names, request };
            let mut answer = tracked(&generation, step.by_hash()).await;
            if reply::is_unknown_script(&answer) {
                answer = tracked(&generation, step.by_text()).await;
            }
            let reply = reply::parse(answer?)?;
            grants.note(tag, &reply, &generation);
            Ok((reply, Box::pin(watched.changed()) as Change))
        })
    }
}

/// Registers what the command reads and runs it, in one round trip.
async fn tracked(generation: &Generation, command: Cmd) -> Answer {
    let mut pair = Pipeline::with_capacity(2);
    pair.cmd("CLIENT").arg("CACHING").arg("YES");
    pair.add_command(command);
    // A registration that is refused leaves the waiter to its timer.
    generation
        .pipeline(pair)
        .await?
        .pop()
        .unwrap_or_else(|| Err(reply::unexpected()))
}

/// Plain reads, no script: one command where the value alone decides.
async fn read(
    generation: Arc<Generation>,
    state: Option<String>,
    value: String,
    request: Read,
) -> Result<Reply, Failure> {
    let bounded = value_range(&value, request.bound);
    let Some(state) = state else {
        return reply::read(request, None, generation.send(&bounded).await);
    };
    let mut pair = Pipeline::with_capacity(2);
    pair.add_command(state_range(&state));
    pair.add_command(bounded);
    // Boxed: a named site's hits, which do without it, would carry it.
    let answers = Box::pin(generation.pipeline(pair)).await?;
    let [state, value] = <[Answer; 2]>::try_from(answers).map_err(|_| reply::unexpected())?;
    reply::read(request, Some(state), value)
}

fn state_range(name: &str) -> Cmd {
    let mut command = redis::cmd("GETRANGE");
    command.arg(name).arg(0).arg(MAX_STATE);
    command
}

/// One byte more than the bound tells that there is more.
fn value_range(name: &str, bound: usize) -> Cmd {
    let mut command = Cmd::with_capacity(4, name.len() + 32);
    command.arg("GETRANGE").arg(name).arg(0).arg(bound);
    command
}

/// Takes a step by its script, unless another master would be told of a grant that is not its own.
async fn take(
    generation: &Arc<Generation>,
    grants: &Grants,
    names: [String; 2],
    request: Request,
) -> Result<Reply, Failure> {
    if !grants.allow(&request, generation) {
        return Ok(Reply::Lost);
    }
    let tag = master::tag(&request);
    let reply = run(generation, Step { names, request }).await?;
    grants.note(tag, &reply, generation);
    Ok(reply)
}

/// Runs a script by its hash; a server that has forgotten it is given the text, which it then remembers.
async fn run(generation: &Generation, step: Step) -> Result<Reply, Failure> {
    let mut answer = generation.send(&step.by_hash()).await;
    if reply::is_unknown_script(&answer) {
        answer = generation.send(&step.by_text()).await;
    }
    reply::parse(answer?)
}

/// A reply, or the server's refusal of that one command.
type Answer = Result<Value, Failure>;
