//! Sends the requests of a pool: one step each. It retries a step after a lost connection, and keeps the near cache coherent.
//!
//! A step is idempotent under its tag, so it may be sent again. `engine`, `lease` and `lock` call this module. It never waits
//! for a lock.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::near_cache::{NearCache, Placeholder, Written};
use crate::error::{Error, KeyName, StoreFailure};
use crate::key::{Format, Key};
use crate::protocol::{self, Read, Reply, Request};
use crate::rt::clock::Instant;
use crate::rt::handle::Handle;
use crate::rt::metrics;
use crate::rt::timers::Timers;
use crate::store::{self, Boxed, CallerRead, Change, Doubt, Failure, Health, SharedStore, Tracked};

/// Clones share everything.
#[derive(Clone)]
pub(crate) struct Requests(Handle<Inner>);

struct Inner {
    store: SharedStore,
    near_cache: Arc<NearCache>,
    /// For the ages in the near cache. The time limits of requests are those of the store.
    timers: Timers,
}

impl Requests {
    pub(super) fn new(store: SharedStore, near_cache: Arc<NearCache>, timers: Timers) -> Self {
        Self(Handle::new(Inner {
            store,
            near_cache,
            timers,
        }))
    }

    /// Requests whose clones cost nothing.
    pub(super) fn of_static(&'static self) -> Self {
        Self(Handle::of_static(&self.0))
    }

    /// Executes a step on the store. If the connection is lost, the request is sent again on a new connection. That one may
    /// be lost too, so there is a second retry. A retry that cannot be sent leaves the request lost: it may have been executed.
    /// One time limit includes all of that.
    pub(crate) async fn send(&self, key: &Key, request: Request) -> Result<Reply, Error> {
        self.send_noting(key, request, &mut false).await
    }

    /// [`send`](Self::send), which sets `is_lost` if a copy of the request may be executed after the reply.
    pub(crate) async fn send_noting(
        &self,
        key: &Key,
        request: Request,
        is_lost: &mut bool,
    ) -> Result<Reply, Error> {
        self.send_since(Instant::now(), key, request, is_lost).await
    }

    /// [`send_noting`](Self::send_noting) for a request that began at `since`.
    async fn send_since(
        &self,
        mut since: Instant,
        key: &Key,
        mut request: Request,
        is_lost: &mut bool,
    ) -> Result<Reply, Error> {
        let operation = operation(&request);
        let mut answer = self.0.store.step(key, request.clone(), since).await;
        for _ in 0..2 {
            *is_lost |= may_be_executed(&answer);
            let Err(Failure::Lost { extension }) = answer else {
                break;
            };
            since = since.moved_by(extension);
            if let Request::Release(release) = &mut request {
                release.was_sent = true;
            }
            match self.0.store.step(key, request.clone(), since).await {
                Err(Failure::NotReady { .. }) => break,
                other => answer = other,
            }
        }
        self.forget_own_write(key, &answer);
        answer.map_err(|failure| into_error(operation, key, failure))
    }

    /// Starts to read.
    pub(crate) fn read(&self, key: Key, read: Read) -> Reading {
        self.read_since(Instant::now(), key, read)
    }

    /// [`read`](Self::read) for a request that began at `since`.
    fn read_since(&self, since: Instant, key: Key, read: Read) -> Reading {
        let state = match self.0.store.read_here(&key, read) {
            Some(reading) => ReadState::Here(reading),
            None => ReadState::OnBackground(self.read_on_background(&key, read, None, since)),
        };
        Reading {
            requests: self.clone(),
            key,
            read,
            since,
            state,
        }
    }

    /// `first` is the reply of the caller's connection, if it is doubtful.
    fn read_on_background(
        &self,
        key: &Key,
        read: Read,
        first: Option<Reply>,
        since: Instant,
    ) -> Boxed<Result<Reply, Error>> {
        let (requests, key) = (self.clone(), key.clone());
        Box::pin(async move {
            let answer = match first {
                None => requests.0.store.read(&key, read, since),
                Some(first) => requests.0.store.read_again(&key, read, first, since),
            };
            match answer.await {
                Err(Failure::Lost { extension }) => {
                    let (since, request) = (since.moved_by(extension), Request::Read(read));
                    requests.send_since(since, &key, request, &mut false).await
                }
                answer => {
                    requests.forget_own_write(&key, &answer);
                    answer.map_err(|failure| into_error("read", &key, failure))
                }
            }
        })
    }

    /// Executes a step that `replicas` replicas must acknowledge.
    pub(crate) async fn send_replicated(
        &self,
        key: &Key,
        request: Request,
        replicas: u32,
    ) -> Result<Reply, Error> {
        let (operation, since) = (operation(&request), Instant::now());
        let first = self
            .0
            .store
            .step_replicated(key, request.clone(), replicas, since);
        let mut answer = first.await;
        if let Err(Failure::Lost { extension }) = answer {
            let since = since.moved_by(extension);
            answer = self.0.store.step_replicated(key, request, replicas, since).await;
        }
        self.forget_own_write(key, &answer);
        answer.map_err(|failure| into_error(operation, key, failure))
    }

    /// [`send_noting`](Self::send_noting), and a subscription to the next change.
    pub(crate) async fn send_watched(
        &self,
        key: &Key,
        request: Request,
        is_lost: &mut bool,
    ) -> Result<(Reply, Change), Error> {
        let (operation, since) = (operation(&request), Instant::now());
        let mut answer = self.0.store.step_watched(key, request.clone(), since).await;
        *is_lost |= may_be_executed(&answer);
        if let Err(Failure::Lost { extension }) = answer {
            match self
                .0
                .store
                .step_watched(key, request, since.moved_by(extension))
                .await
            {
                Err(Failure::NotReady { .. }) => {}
                other => answer = other,
            }
        }
        if let Ok((Reply::Acquired(_), _)) = &answer {
            self.0.near_cache.forget(key);
        }
        answer.map_err(|failure| into_error(operation, key, failure))
    }

    /// Reads for a call with a near cache, on the connection that receives invalidations. The slot is reserved before the
    /// read is sent, so an invalidation that overtakes the reply removes the reservation.
    ///
    /// If the store pushes no invalidations, this is [`read`](Self::read).
    pub(crate) async fn read_tracked(
        &self,
        key: &Key,
        read: Read,
    ) -> Result<(Reply, Option<Placeholder>), Error> {
        let mut since = Instant::now();
        let mut placeholder = self.0.near_cache.reserve(key, self.0.timers.now());
        if placeholder.is_some() {
            let mut answer = self.0.store.read_tracked(key, read, since).await;
            if let Err(Failure::Lost { extension }) = answer {
                placeholder = self.0.near_cache.reserve(key, self.0.timers.now());
                since = since.moved_by(extension);
                answer = self.0.store.read_tracked(key, read, since).await;
            }
            if let Some(Tracked { reply, registered }) =
                answer.map_err(|failure| into_error("read", key, failure))?
            {
                let placeholder = placeholder.filter(|_| registered).map(|mut placeholder| {
                    (placeholder.remaining, placeholder.written) = lifetime(&reply);
                    placeholder
                });
                return Ok((reply, placeholder));
            }
        }
        drop(placeholder);
        Ok((self.read_since(since, key.clone(), read).await?, None))
    }

    /// See [`Store::names`](crate::store::Store::names).
    #[cfg(feature = "inspect")]
    pub(crate) async fn names(&self, prefix: &str, cursor: &str) -> Result<store::Names, Error> {
        let names = self.0.store.names(prefix, cursor, Instant::now()).await;
        names.map_err(|failure| named_error("scan", &format!("{prefix}*"), failure))
    }

    /// See [`Store::file`](crate::store::Store::file).
    #[cfg(feature = "inspect")]
    pub(crate) fn file(&self) -> Option<std::path::PathBuf> {
        self.0.store.file()
    }

    /// See [`Store::servers`](crate::store::Store::servers).
    #[cfg(feature = "inspect")]
    pub(crate) async fn servers(&self) -> Result<Vec<Arc<dyn store::Server>>, Error> {
        let servers = self.0.store.servers(Instant::now()).await;
        servers.map_err(|failure| named_error("servers", "the cluster", failure))
    }

    /// Asks the store for its state, again on a new connection if the connection is lost.
    pub(super) async fn check(&self) -> Result<Health, Error> {
        let (key, mut since) = (
            Key::new(Format::Single, "dspinlock".into(), [0; 32]),
            Instant::now(),
        );
        let mut answer = self.0.store.check(&key, since).await;
        if let Err(Failure::Lost { extension }) = answer {
            since = since.moved_by(extension);
            answer = self.0.store.check(&key, since).await;
        }
        answer.map_err(|failure| into_error("check", &key, failure))
    }

    /// Whether the store pushes changes of this key now.
    pub(crate) fn pushes(&self, key: &Key) -> bool {
        self.0.store.pushes(key)
    }

    /// A number for the server of this key.
    pub(super) fn server(&self, key: &Key) -> usize {
        self.0.store.server(key)
    }

    /// The number of names whose next change a call waits for.
    pub(super) fn watches(&self) -> usize {
        store::watched_names(&self.0.store)
    }

    /// Read-your-writes: the near cache forgets the key before the caller sees the reply to its write. Pushes report the
    /// writes of other processes and of dropped callers.
    fn forget_own_write(&self, key: &Key, answer: &Result<Reply, Failure>) {
        use Reply::{Bad, Busy, Computed, Exists, Hit, Miss, Renewed, TooLong};
        if !matches!(
            answer,
            Ok(Miss | TooLong | Hit(..) | Busy(_) | Exists(_) | Computed | Bad(_) | Renewed)
        ) {
            self.0.near_cache.forget(key);
        }
    }
}

/// A read of a pool, on the connection of its caller if possible. It is `Unpin`, so it needs no box: most hits allocate
/// nothing for it.
pub(crate) struct Reading {
    requests: Requests,
    pub(crate) key: Key,
    read: Read,
    since: Instant,
    state: ReadState,
}

impl Reading {
    /// When the read began.
    pub(crate) fn since(&self) -> Instant {
        self.since
    }
}

enum ReadState {
    Here(CallerRead),
    OnBackground(Boxed<Result<Reply, Error>>),
}

impl Future for Reading {
    type Output = Result<Reply, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let ReadState::Here(reading) = &mut this.state {
            let outcome = ready!(Pin::new(&mut *reading).poll(context));
            let since = match outcome {
                Ok(_) => this.since,
                Err(Doubt) => this.since.moved_by(reading.extension()),
            };
            let first = outcome
                .ok()
                .map(|bytes| protocol::read(&this.key, bytes, this.read));
            match first {
                Some(reply) if reply.may_be_of(&this.key) => return Poll::Ready(Ok(reply)),
                first => {
                    let again = this
                        .requests
                        .read_on_background(&this.key, this.read, first, since);
                    this.state = ReadState::OnBackground(again);
                }
            }
        }
        match &mut this.state {
            ReadState::OnBackground(reply) => reply.as_mut().poll(context),
            ReadState::Here(_) => Poll::Pending,
        }
    }
}

/// Whether a step without a reply may be executed later.
fn may_be_executed<T>(answer: &Result<T, Failure>) -> bool {
    matches!(answer, Err(Failure::Lost { .. } | Failure::Unknown(_)))
}

/// The remaining lifetime of a hit, at most the ttl of its publish, and what else the reply says of it.
fn lifetime(reply: &Reply) -> (Option<Duration>, Written) {
    let Reply::Hit(hit, remaining) = reply else {
        return Default::default();
    };
    let written = Written {
        fence: Some(hit.id.fence),
        age: remaining.and_then(|remaining| Some(hit.facts()?.age(remaining))),
    };
    let remaining = remaining.unwrap_or(hit.ttl()).min(hit.ttl());
    (Some(Duration::from_millis(remaining)), written)
}

fn into_error(operation: &'static str, key: &Key, failure: Failure) -> Error {
    named_error(operation, &key.to_string(), failure)
}

/// The error of an operation on what has this name.
pub(crate) fn named_error(operation: &'static str, name: &str, failure: Failure) -> Error {
    metrics::store_error(operation);
    match failure {
        Failure::NotReady { address, reason } => Error::RedisNotInitialized { address, reason },
        Failure::FileNotReady { path, reason } => Error::EmbeddedNotInitialized { path, reason },
        Failure::Lost { .. } => store_error(operation, name, StoreFailure::Disconnected),
        Failure::Unknown(reason) | Failure::Refused(reason) => store_error(operation, name, reason),
    }
}

fn store_error(operation: &'static str, name: &str, reason: StoreFailure) -> Error {
    Error::Store {
        operation,
        key: KeyName::new("", name),
        reason,
    }
}

fn operation(request: &Request) -> &'static str {
    match request {
        Request::Read(_) => "read",
        Request::Acquire(_) => "acquire",
        Request::Renew(_) => "renew",
        Request::Publish(_) => "publish",
        Request::Release(_) => "release",
        Request::Abort { .. } => "abort",
        Request::Delete => "delete",
        Request::Describe(_) => "describe",
    }
}
