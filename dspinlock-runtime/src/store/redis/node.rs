//! One server: executes steps in the order in which their futures are first polled. RENEW has a separate connection.
//!
//! It never follows a redirect; `cluster` does.

pub(crate) mod confirm;
pub(crate) mod tracked_read;

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Pipeline};

use super::connection::Connection;
use super::failover::grants::{self, Grants};
use super::failover::replicas::{ReplicaWaits, Replicated};
use super::group::Group;
use super::reconnect::{Locate, Reconnecting};
use super::timeouts::Timeouts;
use super::tracking::Watches;
use super::wire::command::{Step, bound, range};
use super::wire::reply::{self, Answer, CommandError};
use crate::key::Key;
use crate::protocol::{self, Read, Reply, Request};
use crate::rt::clock::Instant;
#[cfg(feature = "inspect")]
use crate::store::api::{self, NAMES, Names, Server};
use crate::store::api::{Boxed, CallerRead, Change, Failure, Health, Role, Tracked};

/// What all nodes of a pool share.
#[derive(Clone, Default)]
pub(crate) struct Shared {
    pub(crate) grants: Arc<Grants>,
    pub(crate) watches: Arc<Watches>,
}

/// A server and its connections.
pub(crate) struct Node {
    pub(crate) reconnecting: Reconnecting,
    pub(crate) shared: Shared,
    replica_waits: ReplicaWaits,
}

/// The methods return the error type of their caller: `cluster` follows a redirect, other callers see a refusal.
impl Node {
    pub(crate) fn new(server: Arc<dyn Locate>, timeouts: Timeouts, shared: Shared) -> Arc<Self> {
        Arc::new(Self {
            reconnecting: Reconnecting::new(server.clone(), timeouts, Some(shared.watches.clone())),
            shared,
            replica_waits: ReplicaWaits::new(server, timeouts),
        })
    }

    pub(crate) fn step<E>(&self, key: &Key, request: Request, since: Instant) -> Boxed<Result<Reply, E>>
    where
        E: From<CommandError> + Send + 'static,
    {
        // An ABORT ends its grant, also if there is no connection for it.
        self.shared.grants.end(&request);
        let is_renewal = matches!(request, Request::Renew(_));
        match Step::new(key, request) {
            Err(request) => self.read(key, request, since),
            Ok(step) => {
                let (reconnecting, grants) = (self.reconnecting.clone(), self.shared.grants.clone());
                Box::pin(async move {
                    let group = reconnecting.group(since).await.map_err(CommandError::from)?;
                    let connection = match is_renewal {
                        true => group.heartbeats(),
                        false => group.steps(),
                    };
                    Ok(execute(connection, &grants, step, since).await?)
                })
            }
        }
    }

    /// Executes a step and waits for replicas. `is_asking`: the slot of the key is migrating to this server.
    pub(crate) fn step_replicated<E>(
        self: &Arc<Self>,
        key: &Key,
        request: Request,
        replicas: u32,
        is_asking: bool,
        since: Instant,
    ) -> Boxed<Result<Reply, E>>
    where
        E: From<CommandError> + Send + 'static,
    {
        let step = match Step::new(key, request) {
            Ok(step) => step,
            // A read writes nothing that a replica could acknowledge.
            Err(request) => return self.read(key, request, since),
        };
        let replicated = Replicated {
            step,
            replicas,
            is_asking,
        };
        let this = self.clone();
        Box::pin(async move { Ok(this.replica_waits.execute(replicated, since).await?) })
    }

    /// Reads on the reader of the caller, if it has one.
    pub(crate) fn read_here(&self, key: &Key, read: Read) -> Option<CallerRead> {
        let group = self.reconnecting.current()?;
        key.with_name(|name| group.readers().read(name, bound(key, read)))
    }

    /// Repeats a read on the steps. If the reply is the same again, the value is damaged or forged. If not, the reader gave
    /// the first reply to another read.
    pub(crate) fn read_again<E>(
        &self,
        key: &Key,
        read: Read,
        first: Reply,
        since: Instant,
    ) -> Boxed<Result<Reply, E>>
    where
        E: From<CommandError> + Send + 'static,
    {
        let (key, reconnecting) = (key.clone(), self.reconnecting.clone());
        Box::pin(async move {
            let group = reconnecting.group(since).await.map_err(CommandError::from)?;
            Ok(read_again(&group, &key, read, first, since).await?)
        })
    }

    /// Reads on a connection of the background.
    pub(crate) fn read<E>(&self, key: &Key, request: Read, since: Instant) -> Boxed<Result<Reply, E>>
    where
        E: From<CommandError> + Send + 'static,
    {
        let (key, name, reconnecting) = (key.clone(), key.name(), self.reconnecting.clone());
        Box::pin(async move {
            let (group, mut since) = (
                reconnecting.group(since).await.map_err(CommandError::from)?,
                since,
            );
            let reserved = group.reserve_read();
            if reserved.is_none() {
                let bound = bound(&key, request);
                match group.readers().read_on_background(&name, bound).await {
                    Ok(bytes) => {
                        let reply = protocol::read(&key, bytes, request);
                        return match reply.may_be_of(&key) {
                            true => Ok(reply),
                            false => Ok(read_again(&group, &key, request, reply, since).await?),
                        };
                    }
                    Err(extension) => since = since.moved_by(extension),
                }
            }
            let reply = read_on_steps(&group, &key, request, since).await?;
            Ok(confirm::read(group.steps(), &key, request, reply, since).await?)
        })
    }

    /// `None` if the server pushes no changes.
    pub(crate) fn read_tracked<E>(
        &self,
        key: &Key,
        request: Read,
        since: Instant,
    ) -> Boxed<Result<Option<Tracked>, E>>
    where
        E: From<CommandError> + Send + 'static,
    {
        let (reconnecting, key) = (self.reconnecting.clone(), key.clone());
        Box::pin(async move {
            let connection = reconnecting.connection(since).await.map_err(CommandError::from)?;
            match connection.is_tracking() {
                true => Ok(Some(tracked_read::read(&connection, &key, request, since).await?)),
                false => Ok(None),
            }
        })
    }

    /// Sends a command of an operator on the connection for steps.
    #[cfg(feature = "inspect")]
    pub(crate) fn command(&self, words: &[&str], since: Instant) -> Boxed<Result<api::Answer, Failure>> {
        let (mut command, reconnecting) = (Cmd::new(), self.reconnecting.clone());
        command.arg(words);
        Box::pin(async move {
            let connection = reconnecting.connection(since).await?;
            Ok(reply::answer(connection.send(&command, since).await?)?)
        })
    }

    /// Some names that begin with `prefix`, by `SCAN`, which keeps the server busy for a fraction of a millisecond.
    #[cfg(feature = "inspect")]
    pub(crate) fn names(&self, prefix: &str, cursor: &str, since: Instant) -> Boxed<Result<Names, Failure>> {
        let pattern = format!("{}*", escaped(prefix));
        let (cursor, count) = (if cursor.is_empty() { "0" } else { cursor }, NAMES.to_string());
        let scan = self.command(&["SCAN", cursor, "MATCH", &pattern, "COUNT", &count], since);
        Box::pin(async move {
            let (rest, names) = reply::scanned(scan.await?)?;
            Ok(Names {
                names,
                rest: Some(rest).filter(|rest| rest != "0"),
            })
        })
    }

    /// Asks the server for its state.
    pub(crate) fn check(&self, since: Instant) -> Boxed<Result<Health, Failure>> {
        let reconnecting = self.reconnecting.clone();
        Box::pin(async move {
            let connection = reconnecting.connection(since).await?;
            let start = Instant::now();
            connection.ask(since).await?;
            let round_trip = start.elapsed();
            // The server has said that it is not the master any more.
            if !connection.is_open() {
                return Err(Failure::Lost {
                    extension: Duration::ZERO,
                });
            }
            let identity = connection.identity();
            Ok(Health {
                role: identity.as_ref().map(|identity| match identity.is_master() {
                    true => Role::Master,
                    false => Role::Replica,
                }),
                version: identity.and_then(|identity| identity.version().map(str::to_owned)),
                pushes: connection.is_tracking(),
                ..Health::new(round_trip)
            })
        })
    }

    /// Whether the server pushes changes.
    pub(crate) fn pushes(&self) -> bool {
        let group = self.reconnecting.current();
        group.is_some_and(|group| group.steps().is_tracking())
    }

    /// If the server pushes no changes, the [`Change`] never resolves.
    pub(crate) fn step_watched<E>(
        &self,
        key: &Key,
        request: Request,
        since: Instant,
    ) -> Boxed<Result<(Reply, Change), E>>
    where
        E: From<CommandError> + Send + 'static,
    {
        let (key, name, step) = (key.clone(), key.name(), Step::new(key, request));
        let (reconnecting, watches, grants) = (
            self.reconnecting.clone(),
            self.shared.watches.clone(),
            self.shared.grants.clone(),
        );
        Box::pin(async move {
            let group = reconnecting.group(since).await.map_err(CommandError::from)?;
            let connection = group.steps();
            if !connection.is_tracking() {
                let reply = match step {
                    Ok(step) => execute(connection, &grants, step, since).await?,
                    Err(request) => read_on_steps(&group, &key, request, since).await?,
                };
                return Ok((reply, never()));
            }
            // Subscribed before the request is sent, so that a push right after the reply is not missed.
            let watched = watches.subscribe(&name);
            let reply = match step.map(Step::into_look) {
                Ok(step) => {
                    let mut answer = register(connection, step.by_hash(), since).await;
                    if reply::needs_text(&answer) {
                        answer = register(connection, step.by_text(), since).await;
                    }
                    let reply = confirm::step(connection, &step, reply::parse(answer?)?, since).await?;
                    grants.note(grants::tag(step.request()), &reply, connection);
                    reply
                }
                Err(request) => {
                    let range = range(&name, bound(&key, request));
                    reply::read(&key, request, register(connection, range, since).await)?
                }
            };
            Ok((reply, Box::pin(watched.changed()) as Change))
        })
    }
}

#[cfg(feature = "inspect")]
impl Server for Node {
    fn address(&self) -> String {
        self.reconnecting.server()
    }

    fn command(&self, words: &[&str], since: Instant) -> Boxed<Result<api::Answer, Failure>> {
        Self::command(self, words, since)
    }
}

/// The text as a pattern that matches it alone.
#[cfg(feature = "inspect")]
fn escaped(text: &str) -> String {
    let special = |c| matches!(c, '*' | '?' | '[' | ']' | '^' | '\\');
    let escape = |c| special(c).then_some('\\').into_iter().chain([c]);
    text.chars().flat_map(escape).collect()
}

pub(crate) fn never() -> Change {
    Box::pin(std::future::pending())
}

/// Registers the names that the command reads and executes it, in one round trip. If the registration is refused, the
/// waiter polls.
async fn register(connection: &Connection, command: Cmd, since: Instant) -> Answer {
    let mut pipeline = Pipeline::with_capacity(2);
    pipeline.cmd("CLIENT").arg("CACHING").arg("YES");
    pipeline.add_command(command);
    connection
        .pipeline(pipeline, since)
        .await?
        .pop()
        .unwrap_or_else(|| Err(reply::unexpected()))
}

/// Repeats a read whose first reply was doubtful. If the value is the same again, it is damaged or forged. If not, the reader
/// gave the reply to another read.
async fn read_again(
    group: &Group,
    key: &Key,
    request: Read,
    first: Reply,
    since: Instant,
) -> Result<Reply, CommandError> {
    let reply = read_on_steps(group, key, request, since).await?;
    if first == reply {
        return Ok(reply);
    }
    group.readers().reset();
    confirm::read(group.steps(), key, request, reply, since).await
}

/// A plain read without a script.
async fn read_on_steps(
    group: &Group,
    key: &Key,
    request: Read,
    since: Instant,
) -> Result<Reply, CommandError> {
    let range = range(&key.name(), bound(key, request));
    reply::read(key, request, group.steps().send(&range, since).await)
}

/// Executes a script. A PUBLISH is not sent if another master made its grant: the reply is `Lost`.
async fn execute(
    connection: &Arc<Connection>,
    grants: &Grants,
    step: Step,
    since: Instant,
) -> Result<Reply, CommandError> {
    if !grants.allow(step.request(), connection) {
        return Ok(Reply::Lost);
    }
    let mut answer = connection.send(&step.by_hash(), since).await;
    if reply::needs_text(&answer) {
        answer = connection.send(&step.by_text(), since).await;
    }
    let reply = confirm::step(connection, &step, reply::parse(answer?)?, since).await?;
    grants.note(grants::tag(step.request()), &reply, connection);
    Ok(reply)
}
