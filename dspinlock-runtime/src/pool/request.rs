//! Sends the requests of a pool: one step each. It retries a step after a lost connection, and keeps the near cache coherent.
//!
//! A step is idempotent under its tag, so it may be sent again. `engine`, `lease` and `lock` call this module. It never waits
//! for a lock.

use std::sync::Arc;
use std::time::Duration;

use super::near_cache::{NearCache, Placeholder};
use crate::error::{Error, KeyName, StoreFailure};
use crate::key::Key;
use crate::protocol::{Read, Reply, Request};
use crate::store::{self, Change, Failure, Route, SharedStore, Tracked};

pub(crate) struct Requests {
    store: SharedStore,
    near_cache: Arc<NearCache>,
}

impl Requests {
    pub(super) fn new(store: SharedStore, near_cache: Arc<NearCache>) -> Self {
        Self { store, near_cache }
    }

    /// Executes a step on the store, by `route`.
    ///
    /// If the connection is lost, or its runtime shuts down, the background thread sends the request again. Its connection
    /// may be lost too, which is noticed only by this request, so there is a second retry on a new connection.
    pub(super) async fn send(&self, route: &Route, key: &Key, request: Request) -> Result<Reply, Error> {
        let operation = operation(&request);
        let mut answer = self.store.step(key, request.clone(), route).await;
        let is_background = matches!(route, Route::Background);
        for _ in 0..1 + u8::from(!is_background) {
            if !is_disconnected(&answer) {
                break;
            }
            answer = self.store.step(key, request.clone(), &Route::Background).await;
        }
        self.forget_own_write(key, &answer);
        answer.map_err(|failure| into_error(operation, key, failure))
    }

    /// [`send`](Self::send) for a read, with a small future, because the future of every hit contains it.
    pub(super) async fn read(&self, route: &Route, key: &Key, read: Read) -> Result<Reply, Error> {
        let request = Request::Read(read.clone());
        match self.store.step(key, request, route).await {
            answer if is_disconnected(&answer) => Box::pin(self.send(route, key, Request::Read(read))).await,
            answer => {
                self.forget_own_write(key, &answer);
                answer.map_err(|failure| into_error("read", key, failure))
            }
        }
    }

    /// Executes a step that `replicas` replicas must acknowledge.
    pub(crate) async fn send_replicated(
        &self,
        key: &Key,
        request: Request,
        replicas: u32,
    ) -> Result<Reply, Error> {
        let operation = operation(&request);
        let mut answer = self.store.step_replicated(key, request.clone(), replicas).await;
        if is_disconnected(&answer) {
            answer = self.store.step_replicated(key, request, replicas).await;
        }
        self.forget_own_write(key, &answer);
        answer.map_err(|failure| into_error(operation, key, failure))
    }

    /// Executes a step, and subscribes to the next change.
    pub(crate) async fn send_watched(&self, key: &Key, request: Request) -> Result<(Reply, Change), Error> {
        let operation = operation(&request);
        let mut answer = self.store.step_watched(key, request.clone()).await;
        if is_disconnected(&answer) {
            answer = self.store.step_watched(key, request).await;
        }
        if let Ok((Reply::Acquired(_), _)) = &answer {
            self.near_cache.forget(key);
        }
        answer.map_err(|failure| into_error(operation, key, failure))
    }

    /// Reads for a call with a near cache, on the connection that receives invalidations. The slot is reserved before the
    /// read is sent, so an invalidation that overtakes the reply removes the reservation.
    ///
    /// If the store pushes no invalidations, this is [`read`](Self::read).
    pub(super) async fn read_tracked(
        &self,
        route: &Route,
        key: &Key,
        read: Read,
    ) -> Result<(Reply, Option<Placeholder>), Error> {
        let mut placeholder = self.near_cache.reserve(key);
        if placeholder.is_some() {
            let mut answer = self.store.read_tracked(key, read.clone()).await;
            if is_disconnected(&answer) {
                placeholder = self.near_cache.reserve(key);
                answer = self.store.read_tracked(key, read.clone()).await;
            }
            if let Some(Tracked { reply, registered }) =
                answer.map_err(|failure| into_error("read", key, failure))?
            {
                let placeholder = placeholder.filter(|_| registered).map(|mut placeholder| {
                    placeholder.remaining = remaining(&reply);
                    placeholder
                });
                return Ok((reply, placeholder));
            }
        }
        drop(placeholder);
        Ok((self.read(route, key, read).await?, None))
    }

    /// The number of names whose next change a call waits for.
    pub(super) fn watched_names(&self) -> usize {
        store::watched_names(&self.store)
    }

    /// Read-your-writes: the near cache forgets the key before the caller sees the reply to its write. Pushes report the
    /// writes of other processes and of dropped callers.
    fn forget_own_write(&self, key: &Key, answer: &Result<Reply, Failure>) {
        use Reply::{Bad, Busy, Computed, Exists, Hit, Miss, Renewed, TooLong};
        if !matches!(
            answer,
            Ok(Miss | TooLong | Hit(..) | Busy(_) | Exists(_) | Computed | Bad(_) | Renewed)
        ) {
            self.near_cache.forget(key);
        }
    }
}

fn is_disconnected<T>(answer: &Result<T, Failure>) -> bool {
    matches!(answer, Err(Failure::Unknown(StoreFailure::Disconnected)))
}

/// The remaining lifetime of a hit, at most the ttl of its publish.
fn remaining(reply: &Reply) -> Option<Duration> {
    match reply {
        Reply::Hit(hit, remaining) => {
            Some(Duration::from_millis(remaining.unwrap_or(hit.life).min(hit.life)))
        }
        _ => None,
    }
}

fn into_error(operation: &'static str, key: &Key, failure: Failure) -> Error {
    match failure {
        Failure::NotReady { address, reason } => Error::RedisNotInitialized { address, reason },
        Failure::FileNotReady { path, reason } => Error::EmbeddedNotInitialized { path, reason },
        Failure::Unknown(reason) | Failure::Refused(reason) => Error::Store {
            operation,
            key: KeyName::new("", key.to_string()),
            reason,
        },
    }
}

fn operation(request: &Request) -> &'static str {
    match request {
        Request::Read(_) => "read",
        Request::Acquire(_) => "acquire",
        Request::Renew(_) => "renew",
        Request::Publish(_) => "publish",
        Request::Abort { .. } => "abort",
        Request::Delete => "delete",
    }
}
