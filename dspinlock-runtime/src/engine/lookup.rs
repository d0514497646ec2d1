//! The beginning of a cached call, in place: joins the flight of its key and reads. A hit ends here.
//!
//! `call` polls it before it asks `engine` for more. It has no names, no options and no box, because most calls
//! need none of them.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;

use super::trace::Trace;
use crate::error::Error;
use crate::key::Key;
use crate::lease::current::Frame;
use crate::pool::Pool;
use crate::pool::flight::{Asked, Found, Handoff, Leader, Role};
use crate::pool::request::Reading;
use crate::protocol::header::Flag;
use crate::protocol::tag::Tag;
use crate::protocol::{Read, Reply};

/// A read by the leader of a flight.
pub(crate) struct Lookup {
    pool: Pool,
    leader: Option<(Leader, Asked)>,
    reading: Reading,
}

/// How far a call has come in place.
#[expect(
    clippy::large_enum_variant,
    reason = "a read that finds no value allocates no box"
)]
pub(crate) enum Joined {
    /// It leads a flight, and its read has found no value.
    Leader(Leader, Missed),
    /// Another call of this process leads.
    Follower(oneshot::Receiver<Handoff>),
}

/// Why a read has no value for its call.
#[derive(Default)]
pub(crate) struct Missed {
    /// The value with this tag is damaged or forged.
    pub(super) refuse: Option<Tag>,
    /// The value is longer than the bound.
    pub(super) is_too_long: bool,
    /// The store could not be asked. The call ends with this error, unless it runs without the lock then.
    pub(super) failure: Option<Error>,
}

impl Joined {
    /// Why the store could not be asked.
    pub(crate) fn failure(&self) -> Option<&Error> {
        match self {
            Self::Leader(_, missed) => missed.failure.as_ref(),
            Self::Follower(_) => None,
        }
    }
}

impl Lookup {
    /// Joins the flight of `key`, and reads if the call leads. `None` if the call is inside a body that holds the key.
    pub(crate) fn start(pool: Pool, key: Key) -> Option<Result<Self, Joined>> {
        let key = pool.store_key(key);
        if Frame::is_held(&pool, &key) {
            return None;
        }
        Some(match pool.flights().join(&key, true, None) {
            Role::Leader(leader, asked) => {
                let bound = pool.bound();
                Ok(Self {
                    leader: Some((leader, asked)),
                    reading: pool.read(key, Read { bound }),
                    pool,
                })
            }
            Role::Follower(handoff) => Err(Joined::Follower(handoff)),
            Role::Stranger => return None,
        })
    }

    fn found(&self, reply: Reply) -> Result<Found, Missed> {
        match reply {
            Reply::Hit(hit, remaining) => match self.pool.verified(&self.reading.key, hit, remaining) {
                Ok(found) if found.flag == Flag::Value => Ok(found),
                // The engine knows whether the call accepts a recorded error.
                Ok(_) => Err(Missed::default()),
                Err(tag) => Err(Missed {
                    refuse: Some(tag),
                    ..Missed::default()
                }),
            },
            Reply::Computed => Ok(Found::NO_VALUE),
            reply => Err(Missed {
                is_too_long: reply == Reply::TooLong,
                ..Missed::default()
            }),
        }
    }
}

impl Future for Lookup {
    type Output = Result<Result<(Found, Trace), Joined>, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let reply = ready!(Pin::new(&mut self.reading).poll(context));
        let (leader, asked) = self.leader.take().expect("not polled after completion");
        let reply = match reply {
            Err(error) if error.is_of_store() => {
                let missed = Missed {
                    failure: Some(error),
                    ..Missed::default()
                };
                return Poll::Ready(Ok(Err(Joined::Leader(leader, missed))));
            }
            reply => reply?,
        };
        Poll::Ready(Ok(match self.found(reply) {
            Ok(found) => {
                leader.complete(asked, &found);
                Ok((found, Trace::without_span(self.reading.since())))
            }
            Err(missed) => Err(Joined::Leader(leader, missed)),
        }))
    }
}
