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
use crate::store::{self, Change, Failure, SharedStore, Tracked};

pub(crate) struct Requests {
    store: SharedStore,
    near_cache: Arc<NearCache>,
}

impl Requests {
    pub(super) fn new(store: SharedStore, near_cache: Arc<NearCache>) -> Self {
        Self { store, near_cache }
    }

    /// Executes a step on the store. If the connection is lost, the request is sent again on a new connection. That one may
    /// be lost too, so there is a second retry. A retry that cannot be sent leaves the request lost: it may have been executed.
    pub(super) async fn send(&self, key: &Key, request: Request) -> Result<Reply, Error> {
        self.send_noting(key, request, &mut false).await
    }

    /// [`send`](Self::send), which sets `is_lost` if a copy of the request may be executed after the reply.
    pub(crate) async fn send_noting(
        &self,
        key: &Key,
        request: Request,
        is_lost: &mut bool,
    ) -> Result<Reply, Error> {
        let operation = operation(&request);
        let mut answer = self.store.step(key, request.clone()).await;
        for _ in 0..2 {
            *is_lost |= matches!(answer, Err(Failure::Unknown(_)));
            if !is_disconnected(&answer) {
                break;
            }
            match self.store.step(key, request.clone()).await {
                Err(Failure::NotReady { .. }) => break,
                other => answer = other,
            }
        }
        self.forget_own_write(key, &answer);
        answer.map_err(|failure| into_error(operation, key, failure))
    }

    /// Reads for the calling thread. A small future, because the future of every hit contains it.
    pub(crate) async fn read(&self, key: &Key, read: Read) -> Result<Reply, Error> {
        match self.store.read(key, read.clone()).await {
            answer if is_disconnected(&answer) => Box::pin(self.send(key, Request::Read(read))).await,
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

    /// [`send_noting`](Self::send_noting), and a subscription to the next change.
    pub(crate) async fn send_watched(
        &self,
        key: &Key,
        request: Request,
        is_lost: &mut bool,
    ) -> Result<(Reply, Change), Error> {
        let operation = operation(&request);
        let mut answer = self.store.step_watched(key, request.clone()).await;
        *is_lost |= matches!(answer, Err(Failure::Unknown(_)));
        if is_disconnected(&answer) {
            match self.store.step_watched(key, request).await {
                Err(Failure::NotReady { .. }) => {}
                other => answer = other,
            }
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
    pub(crate) async fn read_tracked(
        &self,
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
        Ok((self.read(key, read).await?, None))
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
