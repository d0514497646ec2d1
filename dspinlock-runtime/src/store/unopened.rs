//! A store that cannot be opened, for functions with `on_store_error = run_unlocked`. `pool` creates it. It executes nothing:
//! each request tries to open the store, and a read succeeds as soon as that is possible.

use super::api::{Boxed, Change, Failure, Store};
use crate::key::Key;
use crate::protocol::{Reply, Request};
use crate::rt::clock::Instant;

/// Tries to open the store.
pub(crate) type TryOpen = fn() -> Boxed<Result<(), Failure>>;

/// See the module.
pub(crate) struct Unopened(pub(crate) TryOpen);

impl Store for Unopened {
    fn step(&self, _: &Key, request: Request, _: Instant) -> Boxed<Result<Reply, Failure>> {
        let opened = self.0();
        Box::pin(async move {
            opened.await?;
            match request {
                Request::Read(_) => Ok(Reply::Miss),
                // The next call uses the store itself.
                _ => Err(Failure::FileNotReady {
                    path: String::new(),
                    reason: "the store was opened a moment ago: try again".into(),
                }),
            }
        })
    }

    fn step_watched(
        &self,
        key: &Key,
        request: Request,
        since: Instant,
    ) -> Boxed<Result<(Reply, Change), Failure>> {
        let reply = self.step(key, request, since);
        Box::pin(async move { Ok((reply.await?, Box::pin(std::future::pending()) as Change)) })
    }
}
